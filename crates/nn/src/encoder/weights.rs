//! The parameters of an encoder, and gradients in the same shape.

use crate::encoder::Config;
use half::{bf16, f16};
use memmap2::Mmap;
use poststelle_kernels::matmul::{Precision, Product, View, multiply};
use std::sync::Arc;

/// A linear map with bias: `y = x·weightᵀ + bias`.
pub struct Linear {
    /// `[outputs, inputs]`
    pub weight: Vec<f32>,
    /// `[outputs]`
    pub bias: Vec<f32>,
}

impl Linear {
    /// A map of zeros.
    pub fn zeros(outputs: usize, inputs: usize) -> Self {
        Self {
            weight: vec![0.0; outputs * inputs],
            bias: vec![0.0; outputs],
        }
    }

    /// Width of the output.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// Width of the input.
    pub fn inputs(&self) -> usize {
        self.weight.len() / self.bias.len().max(1)
    }

    fn matrix(&self) -> View<'_> {
        View::new(&self.weight, self.outputs(), self.inputs())
    }

    /// `out = x·weightᵀ`, without the bias; `x` `[rows, inputs]`, `out` `[rows, outputs]`.
    pub fn product(&self, precision: Precision, x: &[f32], out: &mut [f32]) {
        let x = View::new(x, x.len() / self.inputs(), self.inputs());
        multiply(precision, x, self.matrix().transposed(), Product::Replace, out);
    }

    /// Adds this map's gradients to `grad` and writes that of its input.
    ///
    /// `x` `[rows, inputs]` is the input of the forward pass, `out_grad` `[rows, outputs]`; `x_grad`
    /// `[rows, inputs]` is replaced or added to as `product` says.
    pub fn backward(
        &self,
        precision: Precision,
        x: &[f32],
        out_grad: &[f32],
        grad: &mut Linear,
        x_grad: Option<(Product, &mut [f32])>,
    ) {
        let rows = x.len() / self.inputs();
        let out_view = View::new(out_grad, rows, self.outputs());
        let x_view = View::new(x, rows, self.inputs());
        multiply(
            precision,
            out_view.transposed(),
            x_view,
            Product::Add,
            &mut grad.weight,
        );
        poststelle_kernels::norm::add_column_sums(out_grad, &mut grad.bias);
        if let Some((product, x_grad)) = x_grad {
            multiply(precision, out_view, self.matrix(), product, x_grad);
        }
    }
}

/// Gain and bias of a LayerNorm.
pub struct Norm {
    /// `[hidden]`
    pub gain: Vec<f32>,
    /// `[hidden]`
    pub bias: Vec<f32>,
}

/// One layer: attention and feed-forward, each followed by LayerNorm.
pub struct Layer {
    /// Queries, keys and values in one map, `[3·hidden, hidden]`.
    pub qkv: Linear,
    /// What mixes the heads' outputs, `[hidden, hidden]`.
    pub attention_out: Linear,
    /// LayerNorm after attention.
    pub attention_norm: Norm,
    /// `[feed_forward, hidden]`
    pub up: Linear,
    /// `[hidden, feed_forward]`
    pub down: Linear,
    /// LayerNorm after the feed-forward block.
    pub output_norm: Norm,
}

/// Every dense parameter of an encoder: all but the word-piece table.
pub struct Body {
    /// `[positions, hidden]`
    pub positions: Vec<f32>,
    /// `[token_types, hidden]`
    pub token_types: Vec<f32>,
    /// LayerNorm after the embeddings.
    pub embedding_norm: Norm,
    /// The layers, first to last.
    pub layers: Vec<Layer>,
}

/// One dense tensor with what training needs to know of it.
pub struct Parameter<'a> {
    /// Unique within a network.
    pub name: String,
    /// The elements.
    pub values: &'a mut [f32],
    /// Whether weight decay applies: not to biases and LayerNorm.
    pub decays: bool,
    /// 0 for embeddings, n for the n-th layer, layers + 1 for heads; layer-wise learning rates use it.
    pub depth: usize,
}

impl Body {
    /// All zeros: where gradients are collected.
    pub fn zeros(config: &Config) -> Self {
        let (hidden, inner) = (config.hidden, config.feed_forward);
        let norm = || Norm {
            gain: vec![0.0; hidden],
            bias: vec![0.0; hidden],
        };
        Self {
            positions: vec![0.0; config.positions * hidden],
            token_types: vec![0.0; config.token_types * hidden],
            embedding_norm: norm(),
            layers: (0..config.layers)
                .map(|_| Layer {
                    qkv: Linear::zeros(3 * hidden, hidden),
                    attention_out: Linear::zeros(hidden, hidden),
                    attention_norm: norm(),
                    up: Linear::zeros(inner, hidden),
                    down: Linear::zeros(hidden, inner),
                    output_norm: norm(),
                })
                .collect(),
        }
    }

    /// Every tensor, in one fixed order.
    pub fn parameters(&mut self) -> Vec<Parameter<'_>> {
        let mut all = Vec::new();
        let mut push = |name: String, values, decays, depth| {
            all.push(Parameter {
                name,
                values,
                decays,
                depth,
            })
        };
        push("embeddings.positions".into(), &mut self.positions[..], true, 0);
        push(
            "embeddings.token_types".into(),
            &mut self.token_types[..],
            true,
            0,
        );
        push(
            "embeddings.norm.gain".into(),
            &mut self.embedding_norm.gain[..],
            false,
            0,
        );
        push(
            "embeddings.norm.bias".into(),
            &mut self.embedding_norm.bias[..],
            false,
            0,
        );
        for (n, layer) in self.layers.iter_mut().enumerate() {
            let Layer {
                qkv,
                attention_out,
                attention_norm,
                up,
                down,
                output_norm,
            } = layer;
            for (name, linear) in [
                ("qkv", qkv),
                ("attention_out", attention_out),
                ("up", up),
                ("down", down),
            ] {
                push(
                    format!("layers.{n}.{name}.weight"),
                    &mut linear.weight[..],
                    true,
                    n + 1,
                );
                push(
                    format!("layers.{n}.{name}.bias"),
                    &mut linear.bias[..],
                    false,
                    n + 1,
                );
            }
            for (name, norm) in [("attention_norm", attention_norm), ("output_norm", output_norm)] {
                push(
                    format!("layers.{n}.{name}.gain"),
                    &mut norm.gain[..],
                    false,
                    n + 1,
                );
                push(
                    format!("layers.{n}.{name}.bias"),
                    &mut norm.bias[..],
                    false,
                    n + 1,
                );
            }
        }
        all
    }
}

/// The word-piece table `[vocabulary, hidden]`.
#[derive(Clone)]
pub enum WordTable {
    /// In memory, trainable.
    Owned(Vec<f32>),
    /// In its file, in the type it is stored in; several processes share the pages.
    Mapped {
        /// The file.
        map: Arc<Mmap>,
        /// First byte of the table.
        offset: usize,
        /// Type of an element.
        element: Element,
    },
}

/// Types that weights are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// IEEE 754 single.
    F32,
    /// IEEE 754 half.
    F16,
    /// bfloat16.
    Bf16,
}

impl Element {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Widens little-endian `bytes` to `out`; exact.
    pub fn widen(self, bytes: &[u8], out: &mut [f32]) {
        match self {
            Self::F32 => {
                for (out, x) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *out = f32::from_le_bytes(*x);
                }
            }
            Self::F16 => {
                for (out, x) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *out = f16::from_le_bytes(*x).to_f32();
                }
            }
            Self::Bf16 => {
                for (out, x) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *out = bf16::from_le_bytes(*x).to_f32();
                }
            }
        }
    }
}

impl WordTable {
    /// Copies the vector of word piece `id` to `out` `[hidden]`.
    pub fn row(&self, id: u32, out: &mut [f32]) {
        let first = id as usize * out.len();
        match self {
            Self::Owned(values) => out.copy_from_slice(&values[first..first + out.len()]),
            Self::Mapped { map, offset, element } => {
                let bytes = &map[offset + first * element.bytes()..][..out.len() * element.bytes()];
                element.widen(bytes, out);
            }
        }
    }

    /// The table in memory, read from its file if it was mapped; `elements` is its size.
    pub fn own(&mut self, elements: usize) -> &mut Vec<f32> {
        if let Self::Mapped { map, offset, element } = self {
            let mut values = vec![0.0; elements];
            element.widen(&map[*offset..*offset + elements * element.bytes()], &mut values);
            *self = Self::Owned(values);
        }
        match self {
            Self::Owned(values) => values,
            Self::Mapped { .. } => unreachable!("made owned just above"),
        }
    }
}

/// Gradients of the rows of the word-piece table that a batch used; the memory is kept from batch to batch.
pub struct RowGradients {
    /// Per row of the table, 1 + its place in `ids`; 0 where it was not used.
    places: Vec<u32>,
    ids: Vec<u32>,
    values: Vec<f32>,
}

impl RowGradients {
    /// None yet, of a table with this many rows.
    pub fn new(vocabulary: usize) -> Self {
        Self {
            places: vec![0; vocabulary],
            ids: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Makes room for `rows` rows of `width` elements.
    pub fn plan(&mut self, rows: usize, width: usize) {
        self.ids.reserve_exact(rows);
        self.values.reserve_exact(rows * width);
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let words = self.places.capacity() + self.ids.capacity() + self.values.capacity();
        words * size_of::<f32>()
    }

    /// Adds `grad` to row `id`.
    pub fn add(&mut self, id: u32, grad: &[f32]) {
        let place = &mut self.places[id as usize];
        if *place == 0 {
            self.ids.push(id);
            self.values.extend_from_slice(grad);
            *place = self.ids.len() as u32;
            return;
        }
        let start = (*place as usize - 1) * grad.len();
        for (sum, grad) in self.values[start..start + grad.len()].iter_mut().zip(grad) {
            *sum += grad;
        }
    }

    /// The rows used, in the order of [`values`](Self::values).
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// `[rows used, hidden]`
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        for id in self.ids.drain(..) {
            self.places[id as usize] = 0;
        }
        self.values.clear();
    }
}
