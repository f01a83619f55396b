//! What a predictor needs of a model.

use poststelle_labels::Schema;
use poststelle_nn::Logits;
use poststelle_nn::bundle::Encoded;

/// A trained model: encodes each text, and scores encoded texts for every task of its schema.
///
/// Two steps, because a caller who packs batches by their cost has to know it first.
pub trait Classify: Send + Sync {
    /// The tasks it was trained for.
    fn schema(&self) -> &Schema;

    /// Encodes a text: what can be done of the work for it by itself.
    ///
    /// # Errors
    /// [`ModelError`] when it cannot be encoded.
    fn encode(&self, text: String) -> Result<Encoded, ModelError>;

    /// Scores texts this model encoded: one [`Logits`] per task in schema order, its rows in the order of `texts`.
    ///
    /// It uses the threads of the rayon pool it is called in, or within [`alone`](poststelle_nn::threads::alone) the caller's.
    ///
    /// # Errors
    /// [`ModelError`] when the texts cannot be scored.
    fn logits(&self, texts: &[&Encoded]) -> Result<Vec<Logits>, ModelError>;
}

/// A model could not encode or score texts.
#[derive(Debug, thiserror::Error)]
#[error("the model cannot score these texts")]
pub struct ModelError(#[source] pub Box<dyn std::error::Error + Send + Sync>);
