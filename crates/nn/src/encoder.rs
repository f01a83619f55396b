//! Post-LayerNorm encoders (BERT, DistilBERT, XLM-RoBERTa) with explicit forward and backward passes.
//!
//! Batches are packed: sequences lie one after another, nothing is padded, and every matrix product runs over
//! all tokens of a batch at once. Dropout masks are functions of the step and the place ([`Noise`]), so the
//! backward pass recomputes them and a run repeats bit for bit.
//!
//! Source: Devlin et al. 2019, arXiv:1810.04805; Sanh et al. 2019, arXiv:1910.01108; Conneau et al. 2020,
//! arXiv:1911.02116; the reference for parity is Hugging Face transformers.

mod activations;
mod config;
mod infer;
mod layer;
mod weights;

pub use activations::Activations;
pub use config::{Architecture, Config, ConfigError, amend};
pub use infer::{PackError, Packed};
pub use weights::{Body, Element, Layer, Linear, Norm, Parameter, RowGradients, WordTable};

use crate::encode::Batch;
use activations::sized;
use layer::Pass;
use poststelle_kernels::dropout::{self, Dropout};
use poststelle_kernels::matmul::Precision;
use poststelle_kernels::norm;
use rayon::prelude::*;

/// An encoder: tokens in, one vector a token out.
pub struct Encoder {
    /// Sizes and constants.
    pub config: Config,
    /// The word-piece table.
    pub words: WordTable,
    /// Everything else.
    pub body: Body,
}

/// The dropout of one training step; [`Noise::NONE`] in inference.
#[derive(Debug, Clone, Copy)]
pub struct Noise {
    key: u64,
    hidden: f32,
    attention: f32,
    head: f32,
}

/// Where in a layer dropout applies.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Embeddings,
    Attention,
    AttentionOut,
    Output,
    Pooled,
}

impl Noise {
    /// No dropout anywhere.
    pub const NONE: Self = Self {
        key: 0,
        hidden: 0.0,
        attention: 0.0,
        head: 0.0,
    };

    /// Dropout at the rates given; `key` differs between steps and between runs.
    pub fn new(key: u64, hidden: f32, attention: f32, head: f32) -> Self {
        Self {
            key,
            hidden,
            attention,
            head,
        }
    }

    /// The dropout of the `n`-th part of a step whose batch is computed in parts.
    pub fn part(self, n: usize) -> Self {
        Self {
            key: self.key ^ (n as u64).wrapping_mul(0xa076_1d64_78bd_642f),
            ..self
        }
    }

    pub(crate) fn dropout(self, depth: usize, place: Place) -> Dropout {
        let rate = match place {
            Place::Embeddings | Place::AttentionOut | Place::Output => self.hidden,
            Place::Attention => self.attention,
            Place::Pooled => self.head,
        };
        if rate == 0.0 {
            return Dropout::NONE;
        }
        let site = (depth as u64) << 3 | place as u64;
        Dropout::new(
            rate,
            self.key.wrapping_add(site.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        )
    }
}

/// How one pass through an encoder runs.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// Arithmetic of the matrix products.
    pub precision: Precision,
    /// Dropout.
    pub noise: Noise,
    /// Lower layers that do not learn; the embeddings below them do not either. They run without dropout.
    pub frozen: usize,
    /// Whether the word-piece table learns; never with frozen layers.
    pub learn_words: bool,
    /// Whether the forward pass keeps only the layers' inputs and the backward pass computes the rest again: the same
    /// gradients bit for bit, less memory, more time.
    pub recompute: bool,
}

impl Mode {
    /// Inference in this precision.
    pub fn inference(precision: Precision) -> Self {
        Self {
            precision,
            noise: Noise::NONE,
            frozen: 0,
            learn_words: false,
            recompute: false,
        }
    }

    /// Which tape layer `n` writes.
    fn tape(self, n: usize) -> usize {
        if self.recompute { 0 } else { n - self.frozen }
    }
}

impl Encoder {
    /// Runs the embeddings and the first `layers` layers without dropout; `[tokens, hidden]`.
    pub fn hidden(&self, precision: Precision, batch: &Batch, layers: usize) -> Vec<f32> {
        let mut activations = Activations::default();
        self.lower(precision, batch, layers, &mut activations).to_vec()
    }

    /// The same in memory that is kept from batch to batch.
    pub fn lower<'a>(
        &self,
        precision: Precision,
        batch: &Batch,
        layers: usize,
        activations: &'a mut Activations,
    ) -> &'a [f32] {
        let mode = Mode {
            frozen: layers,
            recompute: true,
            ..Mode::inference(precision)
        };
        activations.arrange(&self.config, mode);
        let Activations {
            sums,
            states,
            tapes,
            scratch,
        } = activations;
        let out = sized(&mut states[layers], batch.len() * self.config.hidden);
        self.embed(batch, Noise::NONE, sums, out);
        for n in 0..layers {
            let (layer, pass) = (&self.body.layers[n], self.pass(mode, batch, n));
            layer.record(pass, out, &mut tapes[0], scratch);
            layer.finish(pass, &tapes[0], out);
        }
        out
    }

    /// The forward pass of training; the result is [`Activations::output`].
    ///
    /// `lower`: the output of the frozen layers for this batch, when there are any and it is known already.
    pub fn forward(&self, mode: Mode, batch: &Batch, lower: Option<&[f32]>, activations: &mut Activations) {
        let length = batch.len() * self.config.hidden;
        if let (1.., None) = (mode.frozen, lower) {
            self.lower(mode.precision, batch, mode.frozen, activations);
        }
        activations.arrange(&self.config, mode);
        let Activations {
            sums,
            states,
            tapes,
            scratch,
        } = activations;
        let first = sized(&mut states[mode.frozen], length);
        match (mode.frozen, lower) {
            (0, _) => self.embed(batch, mode.noise, sums, first),
            (_, Some(lower)) => first.copy_from_slice(lower),
            (_, None) => (),
        }
        for n in mode.frozen..self.config.layers {
            let (layer, pass) = (&self.body.layers[n], self.pass(mode, batch, n));
            let tape = &mut tapes[mode.tape(n)];
            let (below, above) = states.split_at_mut(n + 1);
            layer.record(pass, &below[n][..length], tape, scratch);
            layer.finish(pass, tape, sized(&mut above[0], length));
        }
    }

    /// Adds the gradients of every learning parameter to `grads`, from that of the output, which is used up.
    ///
    /// `activations`: those of the forward pass with the same mode and batch.
    pub fn backward(
        &self,
        mode: Mode,
        batch: &Batch,
        activations: &mut Activations,
        grad: &mut [f32],
        grads: (&mut Body, &mut RowGradients),
    ) {
        let (body, words) = grads;
        let Activations {
            sums,
            states,
            tapes,
            scratch,
        } = activations;
        for n in (mode.frozen..self.config.layers).rev() {
            let below = n > mode.frozen || mode.frozen == 0;
            let (layer, pass) = (&self.body.layers[n], self.pass(mode, batch, n));
            let (input, tape) = (&states[n][..grad.len()], &mut tapes[mode.tape(n)]);
            // The tape of the last layer is the one that the forward pass filled last.
            if mode.recompute && n + 1 < self.config.layers {
                layer.record(pass, input, tape, scratch);
            }
            layer.backward(pass, input, tape, scratch, grad, &mut body.layers[n], below);
        }
        if mode.frozen > 0 {
            return;
        }
        dropout::apply(mode.noise.dropout(0, Place::Embeddings), grad);
        let after = &mut body.embedding_norm;
        let (gain, epsilon) = (&self.body.embedding_norm.gain, self.config.epsilon);
        norm::backward(
            &sums[..grad.len()],
            gain,
            epsilon,
            grad,
            &mut after.gain,
            &mut after.bias,
        );
        let hidden = self.config.hidden;
        for (row, position, id) in batch.tokens() {
            let grad = &grad[row * hidden..][..hidden];
            let at = (position + self.config.first_position) * hidden;
            norm::add(grad, &mut body.positions[at..at + hidden]);
            if self.config.token_types > 0 {
                norm::add(grad, &mut body.token_types[..hidden]);
            }
            if mode.learn_words {
                words.add(id, grad);
            }
        }
    }

    /// Sums the tables to `sums` and normalises, with dropout, to `out`; both `[tokens, hidden]`.
    fn embed(&self, batch: &Batch, noise: Noise, sums: &mut Vec<f32>, out: &mut [f32]) {
        let hidden = self.config.hidden;
        let sums = sized(sums, out.len());
        let starts = batch.starts();
        sums.par_chunks_mut(hidden).enumerate().for_each(|(row, sum)| {
            let text = starts.partition_point(|start| *start <= row) - 1;
            self.words.row(batch.id(row), sum);
            let at = (row - starts[text] + self.config.first_position) * hidden;
            norm::add(&self.body.positions[at..at + hidden], sum);
            if self.config.token_types > 0 {
                norm::add(&self.body.token_types[..hidden], sum);
            }
        });
        let after = &self.body.embedding_norm;
        norm::forward(sums, &after.gain, &after.bias, self.config.epsilon, out);
        dropout::apply(noise.dropout(0, Place::Embeddings), out);
    }

    fn pass<'a>(&'a self, mode: Mode, batch: &'a Batch, layer: usize) -> Pass<'a> {
        let Mode { precision, noise, .. } = mode;
        Pass {
            config: &self.config,
            precision,
            starts: batch.starts(),
            noise,
            layer,
        }
    }

    /// Keeps these layers, in this order, and drops the others.
    ///
    /// # Panics
    /// If a layer is not there or stands twice.
    pub fn keep_layers(&mut self, kept: &[usize]) {
        let mut layers: Vec<_> = std::mem::take(&mut self.body.layers)
            .into_iter()
            .map(Some)
            .collect();
        let take = |n: &usize| layers[*n].take().expect("a layer is kept once");
        self.body.layers = kept.iter().map(take).collect();
        self.config.layers = kept.len();
    }

    /// Gives back the memory of the layers' maps once they are packed; only [`Packed`] can compute then.
    pub fn forget_layers(&mut self) {
        for layer in &mut self.body.layers {
            for linear in [
                &mut layer.qkv,
                &mut layer.attention_out,
                &mut layer.up,
                &mut layer.down,
            ] {
                linear.weight = Vec::new();
            }
        }
    }
}
