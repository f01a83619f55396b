//! What a predictor needs of a model.

use poststelle_labels::Schema;
use poststelle_nn::Logits;

/// A trained model: scores texts for every task of its schema.
pub trait Classify: Send + Sync {
    /// The tasks it was trained for.
    fn schema(&self) -> &Schema;

    /// Scores texts: one [`Logits`] per task in schema order, its rows in the order of `texts`.
    fn logits(&self, texts: &[&str]) -> Vec<Logits>;
}
