//! An encoder, a pooling and one head per task: text in tokens to logits, and back again for training.

use crate::encode::Batch;
use crate::encoder::{Activations, Body, Encoder, Linear, Mode, Packed, Parameter, Place, RowGradients};
use crate::logits::Logits;
use poststelle_kernels::dropout;
use poststelle_kernels::matmul::Precision;
use poststelle_kernels::norm::add_bias;
use serde::{Deserialize, Serialize};

/// How a text's token vectors become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// Their mean, special tokens included.
    #[default]
    Mean,
    /// The first token's vector.
    Cls,
}

/// An encoder with heads.
pub struct Network {
    /// The shared part.
    pub encoder: Encoder,
    /// How texts are pooled.
    pub pooling: Pooling,
    /// One linear head per task, `[classes, hidden]`.
    pub heads: Vec<Linear>,
}

/// Gradients of a network's parameters.
pub struct Gradients {
    /// Of the encoder's dense parameters.
    pub body: Body,
    /// Of the word pieces a batch used.
    pub words: RowGradients,
    /// Of the heads.
    pub heads: Vec<Linear>,
}

impl Gradients {
    /// All zeros, for this network.
    pub fn zeros(network: &Network) -> Self {
        Self {
            body: Body::zeros(&network.encoder.config),
            words: RowGradients::new(network.encoder.config.vocabulary),
            heads: network
                .heads
                .iter()
                .map(|head| Linear::zeros(head.outputs(), head.inputs()))
                .collect(),
        }
    }

    /// Every dense tensor, in the order of [`Network::parameters`].
    pub fn parameters(&mut self) -> Vec<Parameter<'_>> {
        parameters(&mut self.body, &mut self.heads)
    }
}

fn parameters<'a>(body: &'a mut Body, heads: &'a mut [Linear]) -> Vec<Parameter<'a>> {
    let depth = body.layers.len() + 1;
    let mut all = body.parameters();
    for (n, head) in heads.iter_mut().enumerate() {
        all.push(Parameter {
            name: format!("heads.{n}.weight"),
            values: &mut head.weight,
            decays: true,
            depth,
        });
        all.push(Parameter {
            name: format!("heads.{n}.bias"),
            values: &mut head.bias,
            decays: false,
            depth,
        });
    }
    all
}

/// Buffers of training passes, reused from batch to batch.
#[derive(Default)]
pub struct Workspace {
    activations: Activations,
    pooled: Vec<f32>,
    pooled_grad: Vec<f32>,
    grad: Vec<f32>,
}

impl Workspace {
    /// Gives every buffer its size for the largest batch there will be; without it they grow as batches come.
    pub fn plan(&mut self, network: &Network, mode: Mode, tokens: usize, texts: usize) {
        let config = &network.encoder.config;
        self.activations.plan(config, mode, tokens);
        for (buffer, rows) in [
            (&mut self.pooled, texts),
            (&mut self.pooled_grad, texts),
            (&mut self.grad, tokens),
        ] {
            buffer.clear();
            buffer.reserve_exact(rows * config.hidden);
        }
    }

    /// Bytes that all buffers hold.
    pub fn bytes(&self) -> usize {
        let buffers = [&self.pooled, &self.pooled_grad, &self.grad];
        let own: usize = buffers
            .iter()
            .map(|buffer| buffer.capacity() * size_of::<f32>())
            .sum();
        own + self.activations.bytes()
    }
}

impl Network {
    /// Every dense parameter, in one fixed order; not the word-piece table.
    pub fn parameters(&mut self) -> Vec<Parameter<'_>> {
        parameters(&mut self.encoder.body, &mut self.heads)
    }

    /// Pooled vectors, `[texts, hidden]`; `packed` is this network's encoder.
    pub fn embeddings(&self, packed: &Packed, batch: &Batch) -> Vec<f32> {
        packed.embeddings(&self.encoder, self.pooling, batch)
    }

    /// Logits of each head for inference, rows in the order of the batch; `packed` is this network's encoder.
    pub fn logits(&self, packed: &Packed, batch: &Batch) -> Vec<Logits> {
        self.score(&self.embeddings(packed, batch))
    }

    /// The output of the first `layers` layers as frozen ones have it, without dropout; `[tokens, hidden]`.
    pub fn lower<'a>(
        &self,
        precision: Precision,
        batch: &Batch,
        layers: usize,
        workspace: &'a mut Workspace,
    ) -> &'a [f32] {
        self.encoder
            .lower(precision, batch, layers, &mut workspace.activations)
    }

    /// The forward pass of training; `lower` as in [`Encoder::forward`].
    pub fn forward(
        &self,
        mode: Mode,
        batch: &Batch,
        lower: Option<&[f32]>,
        workspace: &mut Workspace,
    ) -> Vec<Logits> {
        self.encoder
            .forward(mode, batch, lower, &mut workspace.activations);
        self.pool(batch, workspace.activations.output(), &mut workspace.pooled);
        dropout::apply(self.pooled_dropout(mode), &mut workspace.pooled);
        self.score(&workspace.pooled)
    }

    /// The backward pass that belongs to the last [`forward`](Self::forward) with this workspace.
    ///
    /// `logit_grads`: one `[texts, classes]` per head; gradients are added to `grads`.
    pub fn backward(
        &self,
        mode: Mode,
        batch: &Batch,
        logit_grads: &[Vec<f32>],
        workspace: &mut Workspace,
        grads: &mut Gradients,
    ) {
        let Workspace {
            activations,
            pooled,
            pooled_grad,
            grad,
        } = workspace;
        let hidden = self.encoder.config.hidden;
        pooled_grad.clear();
        pooled_grad.resize(pooled.len(), 0.0);
        for ((head, logit_grad), head_grad) in self.heads.iter().zip(logit_grads).zip(&mut grads.heads) {
            let into = Some((poststelle_kernels::Product::Add, &mut pooled_grad[..]));
            head.backward(Precision::F32, pooled, logit_grad, head_grad, into);
        }
        dropout::apply(self.pooled_dropout(mode), pooled_grad);
        grad.clear();
        grad.resize(batch.len() * hidden, 0.0);
        for (text, pooled_grad) in pooled_grad.chunks_exact(hidden).enumerate() {
            let tokens = batch.range(text);
            let (rows, share) = match self.pooling {
                Pooling::Mean => (tokens.clone(), 1.0 / tokens.len() as f32),
                Pooling::Cls => (tokens.start..tokens.start + 1, 1.0),
            };
            for row in grad[rows.start * hidden..rows.end * hidden].chunks_exact_mut(hidden) {
                for (grad, pooled) in row.iter_mut().zip(pooled_grad) {
                    *grad = pooled * share;
                }
            }
        }
        self.encoder.backward(
            mode,
            batch,
            activations,
            grad,
            (&mut grads.body, &mut grads.words),
        );
    }

    fn pooled_dropout(&self, mode: Mode) -> dropout::Dropout {
        mode.noise.dropout(self.encoder.config.layers + 1, Place::Pooled)
    }

    fn pool(&self, batch: &Batch, hidden: &[f32], pooled: &mut Vec<f32>) {
        let width = self.encoder.config.hidden;
        pooled.clear();
        pooled.resize(batch.texts() * width, 0.0);
        for (text, out) in pooled.chunks_exact_mut(width).enumerate() {
            let tokens = batch.range(text);
            match self.pooling {
                Pooling::Cls => out.copy_from_slice(&hidden[tokens.start * width..][..width]),
                Pooling::Mean => {
                    let share = 1.0 / tokens.len() as f32;
                    for row in hidden[tokens.start * width..tokens.end * width].chunks_exact(width) {
                        for (out, x) in out.iter_mut().zip(row) {
                            *out += x * share;
                        }
                    }
                }
            }
        }
    }

    fn score(&self, pooled: &[f32]) -> Vec<Logits> {
        let rows = pooled.len() / self.encoder.config.hidden;
        self.heads
            .iter()
            .map(|head| {
                let mut values = vec![0.0; rows * head.outputs()];
                head.product(Precision::F32, pooled, &mut values);
                add_bias(&mut values, &head.bias);
                Logits::new(rows, head.outputs(), values)
            })
            .collect()
    }
}
