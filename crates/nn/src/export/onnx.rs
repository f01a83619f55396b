//! Graphs of ONNX that compute what the encoder and its heads compute in f32.
//!
//! ```text
//! model.onnx            every task: input_ids, attention_mask → logits_<task>
//! model.onnx_data       the weights it names, by offset; model-<n>.onnx_data where each task has its own encoder
//! tasks/<task>/         the same for one task: → logits, divided by the temperature; config.json and tokenizer for pipelines
//! ```
//!
//! Batches are padded here, on the right, where ours are packed: a mask keeps attention and pooling off the padding.
//! Operators are those that PyTorch's own export gives for these families, in its order, so that the patterns graph
//! optimisers look for are there.
//!
//! Source: ONNX operator set 17.

pub mod proto;

use super::{ExportError, Room, family, put, put_json, reads_mean, share, temperature, write_error};
use crate::encoder::{Element, Linear, Norm, WordTable};
use crate::network::Network;
use prost::Message;
use proto::{
    Attribute, Dimension, Entry, Graph, Model, Node, OperatorSet, Shape, Tensor, TensorType, Type, Value,
    element,
};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Version of the file format that belongs to the operator set.
const IR_VERSION: i64 = 8;
/// The first operator set with LayerNormalization.
const OPSET: i64 = 17;
/// Where a tensor's bytes begin is a multiple of this, so that readers can map them.
const ALIGNMENT: usize = 4096;
/// Tensors up to this size stand in the graph itself; readers want shapes and axes there.
const INLINE_BYTES: usize = 1024;
const IDS: &str = "input_ids";
const MASK: &str = "attention_mask";

/// The graph of all tasks, as far as their networks have been added.
#[derive(Default)]
pub struct Whole {
    nodes: Vec<Node>,
    tensors: Vec<Tensor>,
    outputs: Vec<(String, usize)>,
}

impl Whole {
    /// Writes the `n`-th network's weights and the graph of each task it answers.
    pub fn add(
        &mut self,
        room: &Room<'_>,
        n: usize,
        tasks: &[usize],
        network: &Network,
    ) -> Result<(), ExportError> {
        let data = match room.parts {
            1 => "model.onnx_data".to_owned(),
            _ => format!("model-{n}.onnx_data"),
        };
        let path = room.root.join(&data);
        let failed = |source| write_error((path.clone(), source));
        let mut build = Builder::create(&path, &data, format!("encoder_{n}")).map_err(failed)?;
        let pooled = build.pooled(network).map_err(failed)?;
        let encoder = build.nodes.clone();
        let mut alone = Vec::new();
        for (head, &task) in network.heads.iter().zip(tasks) {
            let name = room.tasks[task].output.as_str();
            build.head(head, &pooled, name).map_err(failed)?;
            self.outputs.push((name.to_owned(), head.outputs()));
            let mut nodes = encoder.clone();
            nodes.extend(build.nodes.last().cloned());
            let divisor = build.scalar(&format!("{name}/temperature"), temperature(room, task));
            nodes.push(node("Div", &[name, &divisor], "logits", Vec::new()));
            alone.push((task, nodes, head.outputs()));
        }
        build.file.flush().map_err(failed)?;
        let Builder { nodes, tensors, .. } = build;
        for (task, alone, width) in alone {
            let folder = room.task_folder(task)?;
            share(&path, &folder.join(&data))?;
            let graph = model(alone, &tensors, &[("logits".to_owned(), width)]);
            put(&folder.join("model.onnx"), &graph)?;
            let class = format!("{}ForSequenceClassification", family(&room.config));
            put_json(&folder.join("config.json"), &room.task_config(task, &class))?;
            room.put_tokenizer(&folder)?;
        }
        self.nodes.extend(nodes);
        self.tensors.extend(tensors);
        Ok(())
    }

    /// Writes the graph of all tasks and what belongs beside it.
    pub fn write(self, room: &Room<'_>) -> Result<(), ExportError> {
        let graph = model(self.nodes, &self.tensors, &self.outputs);
        put(&room.root.join("model.onnx"), &graph)?;
        let class = format!("{}Model", family(&room.config));
        put_json(&room.root.join("config.json"), &room.plain_config(&class))?;
        room.put_tokenizer(room.root)
    }
}

/// The bytes of a file with these nodes and the constants they use.
fn model(nodes: Vec<Node>, tensors: &[Tensor], outputs: &[(String, usize)]) -> Vec<u8> {
    let used: BTreeSet<&str> = nodes
        .iter()
        .flat_map(|node| &node.input)
        .map(String::as_str)
        .collect();
    let kept = |tensor: &&Tensor| tensor.name.as_deref().is_some_and(|name| used.contains(name));
    let initializer = tensors.iter().filter(kept).cloned().collect();
    let named = |name: &str| Dimension {
        name: Some(name.to_owned()),
        value: None,
    };
    let sized = |size: usize| Dimension {
        value: Some(size as i64),
        name: None,
    };
    let value = |name: &str, kind: i32, dim: Vec<Dimension>| Value {
        name: Some(name.to_owned()),
        kind: Some(Type {
            tensor: Some(TensorType {
                element: Some(kind),
                shape: Some(Shape { dim }),
            }),
        }),
    };
    let inputs = [IDS, MASK].map(|name| value(name, element::INT64, vec![named("batch"), named("sequence")]));
    let outputs = outputs
        .iter()
        .map(|(name, width)| value(name, element::FLOAT, vec![named("batch"), sized(*width)]));
    let graph = Graph {
        name: Some("mail".to_owned()),
        initializer,
        input: inputs.into(),
        output: outputs.collect(),
        node: nodes,
    };
    let model = Model {
        ir_version: Some(IR_VERSION),
        producer_name: Some("poststelle".to_owned()),
        producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        graph: Some(graph),
        opset_import: vec![OperatorSet {
            domain: Some(String::new()),
            version: Some(OPSET),
        }],
    };
    model.encode_to_vec()
}

fn node(kind: &str, inputs: &[&str], output: &str, attribute: Vec<Attribute>) -> Node {
    Node {
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        name: Some(format!("{output}/{kind}")),
        op_type: Some(kind.to_owned()),
        attribute,
    }
}

fn int(name: &str, value: i64) -> Attribute {
    Attribute {
        name: Some(name.to_owned()),
        i: Some(value),
        kind: Some(2),
        ..Attribute::default()
    }
}

fn ints(name: &str, values: &[i64]) -> Attribute {
    Attribute {
        name: Some(name.to_owned()),
        ints: values.to_vec(),
        kind: Some(7),
        ..Attribute::default()
    }
}

fn float(name: &str, value: f32) -> Attribute {
    Attribute {
        name: Some(name.to_owned()),
        f: Some(value),
        kind: Some(1),
        ..Attribute::default()
    }
}

/// Collects the nodes of one network and writes its weights. Names of values are `<prefix>/<number>`.
struct Builder {
    prefix: String,
    nodes: Vec<Node>,
    tensors: Vec<Tensor>,
    file: BufWriter<File>,
    /// The file's name in the graph.
    location: String,
    /// Bytes written so far.
    at: usize,
}

impl Builder {
    fn create(path: &Path, location: &str, prefix: String) -> io::Result<Self> {
        Ok(Self {
            prefix,
            nodes: Vec::new(),
            tensors: Vec::new(),
            file: BufWriter::new(File::create(path)?),
            location: location.to_owned(),
            at: 0,
        })
    }

    fn op(&mut self, kind: &str, inputs: &[&str], attributes: Vec<Attribute>) -> String {
        let output = format!("{}/{}", self.prefix, self.nodes.len());
        self.nodes.push(node(kind, inputs, &output, attributes));
        output
    }

    /// `[batch, hidden]` from the inputs.
    fn pooled(&mut self, network: &Network) -> io::Result<String> {
        let encoder = &network.encoder;
        let mut x = self.embed(network)?;
        // 0 where a token is and the least f32 where padding is, to be added to scores: `[batch, 1, 1, sequence]`.
        let axes = self.integers("mask_axes", &[1, 2]);
        let mask = self.op("Unsqueeze", &[MASK, &axes], vec![]);
        let mask = self.op("Cast", &[&mask], vec![int("to", element::FLOAT.into())]);
        let one = self.scalar("one", 1.0);
        let mask = self.op("Sub", &[&one, &mask], vec![]);
        let least = self.scalar("least", f32::MIN);
        let mask = self.op("Mul", &[&mask, &least], vec![]);
        for n in 0..encoder.config.layers {
            x = self.layer(network, n, &x, &mask)?;
        }
        if !reads_mean(network) {
            let first = self.inline("first", &[], element::INT64, &0i64.to_le_bytes());
            return Ok(self.op("Gather", &[&x, &first], vec![int("axis", 1)]));
        }
        let axes = self.integers("row_axes", &[2]);
        let mask = self.op("Unsqueeze", &[MASK, &axes], vec![]);
        let mask = self.op("Cast", &[&mask], vec![int("to", element::FLOAT.into())]);
        let kept = self.op("Mul", &[&x, &mask], vec![]);
        let axes = self.integers("sum_axes", &[1]);
        let sum = self.op("ReduceSum", &[&kept, &axes], vec![int("keepdims", 0)]);
        let count = self.op("ReduceSum", &[&mask, &axes], vec![int("keepdims", 0)]);
        Ok(self.op("Div", &[&sum, &count], vec![]))
    }

    /// The embeddings, `[batch, sequence, hidden]`.
    fn embed(&mut self, network: &Network) -> io::Result<String> {
        let (encoder, body) = (&network.encoder, &network.encoder.body);
        let config = &encoder.config;
        let shape = [config.vocabulary, config.hidden];
        let (kind, table) = match &encoder.words {
            WordTable::Owned(values) => (element::FLOAT, self.floats("words", &shape, values)?),
            WordTable::Mapped { map, offset, element } => {
                let bytes = &map[*offset..][..shape[0] * shape[1] * element.bytes()];
                let kind = match element {
                    Element::F32 => element::FLOAT,
                    Element::F16 => element::FLOAT16,
                    Element::Bf16 => element::BFLOAT16,
                };
                (kind, self.tensor("words", &shape, kind, bytes)?)
            }
        };
        let mut sum = self.op("Gather", &[&table, IDS], vec![]);
        if kind != element::FLOAT {
            sum = self.op("Cast", &[&sum], vec![int("to", element::FLOAT.into())]);
        }
        let table = self.floats("positions", &[config.positions, config.hidden], &body.positions)?;
        let shape = self.op("Shape", &[IDS], vec![]);
        let second = self.integers("second", &[1]);
        let length = self.op("Gather", &[&shape, &second], vec![]);
        let start = self.integers("first_position", &[config.first_position as i64]);
        let end = self.op("Add", &[&length, &start], vec![]);
        let axes = self.integers("position_axes", &[0]);
        let rows = self.op("Slice", &[&table, &start, &end, &axes], vec![]);
        sum = self.op("Add", &[&sum, &rows], vec![]);
        if config.token_types > 0 {
            let row = &body.token_types[..config.hidden];
            let row = self.floats("token_type", &[config.hidden], row)?;
            sum = self.op("Add", &[&sum, &row], vec![]);
        }
        self.norm("embeddings/norm", &body.embedding_norm, config.epsilon, &sum)
    }

    /// One layer's output from its input, both `[batch, sequence, hidden]`.
    fn layer(&mut self, network: &Network, n: usize, x: &str, mask: &str) -> io::Result<String> {
        let (config, layer) = (&network.encoder.config, &network.encoder.body.layers[n]);
        let (hidden, width) = (config.hidden, config.head_width());
        let at = |name: &str| format!("layer_{n}/{name}");
        // 0 keeps the size that is there.
        let split = self.integers(&at("split"), &[0, 0, config.heads as i64, width as i64]);
        let mut heads = Vec::new();
        let order = [
            ("query", [0, 2, 1, 3]),
            ("key", [0, 2, 3, 1]),
            ("value", [0, 2, 1, 3]),
        ];
        let weights = layer.qkv.weight.chunks_exact(hidden * hidden);
        for ((name, order), (weight, bias)) in order
            .into_iter()
            .zip(weights.zip(layer.qkv.bias.chunks_exact(hidden)))
        {
            let y = self.linear(&at(name), (weight, bias), x)?;
            let y = self.op("Reshape", &[&y, &split], vec![]);
            heads.push(self.op("Transpose", &[&y], vec![ints("perm", &order)]));
        }
        let scores = self.op("MatMul", &[&heads[0], &heads[1]], vec![]);
        let root = self.scalar(&at("root"), (width as f32).sqrt());
        let scores = self.op("Div", &[&scores, &root], vec![]);
        let scores = self.op("Add", &[&scores, mask], vec![]);
        let shares = self.op("Softmax", &[&scores], vec![int("axis", -1)]);
        let context = self.op("MatMul", &[&shares, &heads[2]], vec![]);
        let context = self.op("Transpose", &[&context], vec![ints("perm", &[0, 2, 1, 3])]);
        let whole = self.integers(&at("whole"), &[0, 0, hidden as i64]);
        let context = self.op("Reshape", &[&context, &whole], vec![]);
        let out = self.whole_linear(&at("attention_out"), &layer.attention_out, &context)?;
        let sum = self.op("Add", &[&out, x], vec![]);
        let middle = self.norm(&at("attention_norm"), &layer.attention_norm, config.epsilon, &sum)?;

        let inner = self.whole_linear(&at("up"), &layer.up, &middle)?;
        let root = self.scalar(&at("root_of_two"), std::f32::consts::SQRT_2);
        let scaled = self.op("Div", &[&inner, &root], vec![]);
        let erf = self.op("Erf", &[&scaled], vec![]);
        let one = self.scalar(&at("one"), 1.0);
        let erf = self.op("Add", &[&erf, &one], vec![]);
        let product = self.op("Mul", &[&inner, &erf], vec![]);
        let half = self.scalar(&at("half"), 0.5);
        let activated = self.op("Mul", &[&product, &half], vec![]);
        let out = self.whole_linear(&at("down"), &layer.down, &activated)?;
        let sum = self.op("Add", &[&out, &middle], vec![]);
        self.norm(&at("output_norm"), &layer.output_norm, config.epsilon, &sum)
    }

    fn whole_linear(&mut self, name: &str, linear: &Linear, x: &str) -> io::Result<String> {
        self.linear(name, (&linear.weight, &linear.bias), x)
    }

    /// `x·weightᵀ + bias`; the weight is stored transposed, as MatMul takes it.
    fn linear(&mut self, name: &str, (weight, bias): (&[f32], &[f32]), x: &str) -> io::Result<String> {
        let (outputs, inputs) = (bias.len(), weight.len() / bias.len());
        let transposed: Vec<f32> = (0..weight.len())
            .map(|i| weight[i % outputs * inputs + i / outputs])
            .collect();
        let weight = self.floats(&format!("{name}/weight"), &[inputs, outputs], &transposed)?;
        let bias = self.floats(&format!("{name}/bias"), &[outputs], bias)?;
        let product = self.op("MatMul", &[x, &weight], vec![]);
        // Bias first, as PyTorch writes it and optimisers expect it.
        Ok(self.op("Add", &[&bias, &product], vec![]))
    }

    fn norm(&mut self, name: &str, norm: &Norm, epsilon: f32, x: &str) -> io::Result<String> {
        let gain = self.floats(&format!("{name}/gain"), &[norm.gain.len()], &norm.gain)?;
        let bias = self.floats(&format!("{name}/bias"), &[norm.bias.len()], &norm.bias)?;
        let settings = vec![int("axis", -1), float("epsilon", epsilon)];
        Ok(self.op("LayerNormalization", &[x, &gain, &bias], settings))
    }

    /// One task's logits, under the name `output`.
    fn head(&mut self, head: &Linear, pooled: &str, output: &str) -> io::Result<()> {
        let shape = [head.outputs(), head.inputs()];
        let weight = self.floats(&format!("{output}/weight"), &shape, &head.weight)?;
        let bias = self.floats(&format!("{output}/bias"), &shape[..1], &head.bias)?;
        let inputs = [pooled, &weight, &bias];
        self.nodes
            .push(node("Gemm", &inputs, output, vec![int("transB", 1)]));
        Ok(())
    }

    fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> io::Result<String> {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.tensor(name, shape, element::FLOAT, &bytes)
    }

    fn scalar(&mut self, name: &str, value: f32) -> String {
        self.inline(name, &[], element::FLOAT, &value.to_le_bytes())
    }

    fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.inline(name, &[values.len()], element::INT64, &bytes)
    }

    /// A constant in the graph itself.
    fn inline(&mut self, name: &str, shape: &[usize], kind: i32, bytes: &[u8]) -> String {
        let name = format!("{}/{name}", self.prefix);
        self.tensors.push(Tensor {
            dims: shape.iter().map(|size| *size as i64).collect(),
            data_type: Some(kind),
            name: Some(name.clone()),
            raw_data: Some(bytes.to_vec()),
            ..Tensor::default()
        });
        name
    }

    /// A constant in the file of weights, or in the graph if it is small.
    fn tensor(&mut self, name: &str, shape: &[usize], kind: i32, bytes: &[u8]) -> io::Result<String> {
        if bytes.len() <= INLINE_BYTES {
            return Ok(self.inline(name, shape, kind, bytes));
        }
        let gap = self.at.next_multiple_of(ALIGNMENT) - self.at;
        self.file.write_all(&vec![0; gap])?;
        self.file.write_all(bytes)?;
        let place = [
            ("location", self.location.clone()),
            ("offset", (self.at + gap).to_string()),
            ("length", bytes.len().to_string()),
        ];
        self.at += gap + bytes.len();
        let name = format!("{}/{name}", self.prefix);
        self.tensors.push(Tensor {
            dims: shape.iter().map(|size| *size as i64).collect(),
            data_type: Some(kind),
            name: Some(name.clone()),
            external_data: place
                .map(|(key, value)| Entry {
                    key: Some(key.to_owned()),
                    value: Some(value),
                })
                .into(),
            data_location: Some(1),
            ..Tensor::default()
        });
        Ok(name)
    }
}
