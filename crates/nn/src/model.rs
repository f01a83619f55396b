//! Encoder networks that together answer every task, with their tokenizer: texts in, logits out.

use crate::encode::{Batch, Encoder as TextEncoder, Encoding, TokenizerError};
use crate::logits::Logits;
use crate::network::Network;
use poststelle_kernels::{Precision, UnsupportedPrecision};
use serde::{Deserialize, Serialize};

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
}

/// Every encoder of a trained model.
pub struct EncoderModel {
    /// The tokenizer all parts share.
    pub text: TextEncoder,
    /// The networks; together they answer every task once.
    pub parts: Vec<Part>,
    /// Arithmetic of inference.
    pub precision: Precision,
}

/// Tokens computed at once in inference: enough to keep the cores busy, few enough to stay in the caches.
const BATCH_TOKENS: usize = 4096;

impl EncoderModel {
    /// Chooses the arithmetic of inference and packs the weights for it.
    pub fn prepare(&mut self, precision: Precision) -> Result<(), UnsupportedPrecision> {
        for part in &mut self.parts {
            part.network.encoder.prepare(precision)?;
        }
        self.precision = precision;
        Ok(())
    }

    /// Logits of each task, in schema order, rows in the order of `texts`.
    pub fn logits(&self, texts: &[&str]) -> Result<Vec<Logits>, TokenizerError> {
        let encodings = self.text.encode(texts)?;
        let mut by_task: Vec<(usize, Logits)> = Vec::new();
        for part in &self.parts {
            by_task.extend(
                part.tasks
                    .iter()
                    .copied()
                    .zip(logits(&part.network, self.precision, &encodings)),
            );
        }
        by_task.sort_by_key(|(task, _)| *task);
        Ok(by_task.into_iter().map(|(_, logits)| logits).collect())
    }

    /// Pooled vectors of the first part's encoder, `[texts, hidden]`.
    pub fn embeddings(&self, texts: &[&str]) -> Result<Vec<f32>, TokenizerError> {
        let encodings = self.text.encode(texts)?;
        let network = &self.parts[0].network;
        let embed = |batch: &Batch| network.embeddings(self.precision, batch);
        Ok(batches(&encodings).flat_map(|batch| embed(&batch)).collect())
    }
}

/// Logits of one network's heads over any number of texts.
pub fn logits(network: &Network, precision: Precision, encodings: &[Encoding]) -> Vec<Logits> {
    let mut values: Vec<Vec<f32>> = vec![Vec::new(); network.heads.len()];
    for batch in batches(encodings) {
        for (values, logits) in values.iter_mut().zip(network.logits(precision, &batch)) {
            values.extend_from_slice(logits.values());
        }
    }
    let shaped =
        |(head, values): (&crate::encoder::Linear, _)| Logits::new(encodings.len(), head.outputs(), values);
    network.heads.iter().zip(values).map(shaped).collect()
}

/// Packs texts in their order into batches of about [`BATCH_TOKENS`].
pub fn batches(encodings: &[Encoding]) -> impl Iterator<Item = Batch> + '_ {
    let mut rest = encodings;
    std::iter::from_fn(move || {
        let mut tokens = 0;
        let fits = |encoding: &&Encoding| {
            tokens += encoding.ids.len();
            tokens <= BATCH_TOKENS
        };
        let count = rest.iter().take_while(fits).count().max(1).min(rest.len());
        let (now, later) = rest.split_at(count);
        rest = later;
        (!now.is_empty()).then(|| Batch::pack(now.iter().map(|encoding| &encoding.ids[..])))
    })
}
