//! Encoder networks that together answer every task, with their tokenizer: texts in, logits out.

use crate::encode::{Batch, Encoder as TextEncoder, Encoding, TokenizerError};
use crate::encoder::{PackError, Packed};
use crate::logits::Logits;
use crate::network::Network;
use poststelle_kernels::lanes::Arithmetic;
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;

/// Whether tasks share an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// One encoder with a head per task.
    #[default]
    MultiTask,
    /// A whole model per task.
    SingleTask,
}

/// A network and the tasks its heads answer, as positions in the schema.
pub struct Part {
    /// One task per head, in the heads' order.
    pub tasks: Vec<usize>,
    /// The network.
    pub network: Network,
    /// Its encoder as inference computes it.
    pub packed: Packed,
}

impl Part {
    /// Packs a network's encoder for inference.
    pub fn new(tasks: Vec<usize>, network: Network, arithmetic: Arithmetic) -> Result<Self, PackError> {
        let packed = Packed::new(&network.encoder, arithmetic)?;
        Ok(Self {
            tasks,
            network,
            packed,
        })
    }
}

/// Every encoder of a trained model.
pub struct EncoderModel {
    /// The tokenizer all parts share.
    pub text: TextEncoder,
    /// The networks; together they answer every task once.
    pub parts: Vec<Part>,
}

/// Tokens computed at once in inference: enough to keep the cores busy, few enough to stay in the caches.
const BATCH_TOKENS: usize = 4096;

impl EncoderModel {
    /// Logits of each task, in schema order, rows in the order of `texts`.
    pub fn logits(&self, texts: &[&str]) -> Result<Vec<Logits>, TokenizerError> {
        Ok(self.logits_of(&self.text.encode(texts)?))
    }

    /// Logits of texts this model's tokenizer encoded.
    pub fn logits_of(&self, encodings: &[impl Borrow<Encoding>]) -> Vec<Logits> {
        let mut by_task: Vec<(usize, Logits)> = Vec::new();
        for part in &self.parts {
            by_task.extend(
                part.tasks
                    .iter()
                    .copied()
                    .zip(logits(&part.network, &part.packed, encodings)),
            );
        }
        by_task.sort_by_key(|(task, _)| *task);
        by_task.into_iter().map(|(_, logits)| logits).collect()
    }

    /// Pooled vectors of the first part's encoder, `[texts, hidden]`.
    pub fn embeddings(&self, texts: &[&str]) -> Result<Vec<f32>, TokenizerError> {
        let encodings = self.text.encode(texts)?;
        let part = &self.parts[0];
        let embed = |batch: &Batch| part.network.embeddings(&part.packed, batch);
        Ok(batches(&encodings).flat_map(|batch| embed(&batch)).collect())
    }
}

/// Logits of one network's heads over any number of texts.
pub fn logits(network: &Network, packed: &Packed, encodings: &[impl Borrow<Encoding>]) -> Vec<Logits> {
    let mut values: Vec<Vec<f32>> = vec![Vec::new(); network.heads.len()];
    for batch in batches(encodings) {
        for (values, logits) in values.iter_mut().zip(network.logits(packed, &batch)) {
            values.extend_from_slice(logits.values());
        }
    }
    let shaped =
        |(head, values): (&crate::encoder::Linear, _)| Logits::new(encodings.len(), head.outputs(), values);
    network.heads.iter().zip(values).map(shaped).collect()
}

/// Packs texts in their order into batches of about [`BATCH_TOKENS`].
pub fn batches<E: Borrow<Encoding>>(encodings: &[E]) -> impl Iterator<Item = Batch> + '_ {
    let mut rest = encodings;
    std::iter::from_fn(move || {
        let mut tokens = 0;
        let fits = |encoding: &&E| {
            tokens += (*encoding).borrow().ids.len();
            tokens <= BATCH_TOKENS
        };
        let count = rest.iter().take_while(fits).count().max(1).min(rest.len());
        let (now, later) = rest.split_at(count);
        rest = later;
        (!now.is_empty()).then(|| Batch::pack(now.iter().map(|encoding| &encoding.borrow().ids[..])))
    })
}
