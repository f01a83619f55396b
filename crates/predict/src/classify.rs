//! What a predictor needs of a model.

use poststelle_labels::Schema;
use poststelle_nn::Logits;

/// A trained model: scores texts for every task of its schema.
pub trait Classify: Send + Sync {
    /// The tasks it was trained for.
    fn schema(&self) -> &Schema;

    /// Scores texts: one [`Logits`] per task in schema order, its rows in the order of `texts`.
    ///
    /// # Errors
    /// [`ModelError`] when the texts cannot be scored.
    fn logits(&self, texts: &[&str]) -> Result<Vec<Logits>, ModelError>;
}

/// A model could not score texts.
#[derive(Debug, thiserror::Error)]
#[error("the model cannot score these texts")]
pub struct ModelError(#[source] pub Box<dyn std::error::Error + Send + Sync>);
