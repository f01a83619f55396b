//! A sparse row times each task's weights, and which n-grams led there.

use super::vectorizer::{Block, SparseRow, Vectorizer};
use crate::logits::Logits;
use half::f16;
use rayon::prelude::*;

/// One task's weights.
///
/// Weights are kept at the precision of the file (f16) and computed with in f32, so a model answers the same
/// before it is saved and after it is opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    classes: usize,
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Head {
    /// Takes weights `[features, classes]`, row-major, and a bias per class; weights are rounded to f16.
    ///
    /// # Panics
    /// If the weights are not a whole number of rows.
    pub fn new(mut weights: Vec<f32>, bias: Vec<f32>) -> Self {
        let classes = bias.len();
        assert!(classes > 0 || weights.is_empty(), "weights without classes");
        assert!(
            classes == 0 || weights.len().is_multiple_of(classes),
            "weights of {classes} classes"
        );
        weights.iter_mut().for_each(|w| *w = f16::from_f32(*w).to_f32());
        Self {
            classes,
            weights,
            bias,
        }
    }

    /// How many classes the task has.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Weights `[features, classes]`, row-major.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// One bias per class.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// The scores of one row, into `scores` of length `classes`.
    fn score(&self, row: &SparseRow, scores: &mut [f32]) {
        scores.copy_from_slice(&self.bias);
        for (feature, value) in row.iter() {
            let weights = &self.weights[feature * self.classes..(feature + 1) * self.classes];
            for (score, weight) in scores.iter_mut().zip(weights) {
                *score += value * weight;
            }
        }
    }
}

/// What one n-gram of a text adds to the score of a class.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// Which kind of n-gram.
    pub block: Block,
    /// The n-gram in lower case; characters keep the spaces at a word's ends.
    pub gram: String,
    /// Added to the class's score, less what it adds to the average class.
    pub weight: f32,
}

/// A vocabulary and one head per task, in the schema's task order.
#[derive(Debug, Clone)]
pub struct WordsModel {
    vectorizer: Vectorizer,
    heads: Vec<Head>,
}

impl WordsModel {
    /// Puts a vocabulary and its heads together.
    ///
    /// # Panics
    /// If a head does not have one row of weights per feature.
    pub fn new(vectorizer: Vectorizer, heads: Vec<Head>) -> Self {
        for head in &heads {
            assert_eq!(
                head.weights.len(),
                vectorizer.features() * head.classes,
                "a head's weights"
            );
        }
        Self { vectorizer, heads }
    }

    /// The vocabulary.
    pub fn vectorizer(&self) -> &Vectorizer {
        &self.vectorizer
    }

    /// One head per task.
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// How many classes each task has, in task order.
    pub fn classes(&self) -> Vec<usize> {
        self.heads.iter().map(Head::classes).collect()
    }

    /// Scores texts: one [`Logits`] of shape `[texts, classes]` per task, in task order.
    pub fn logits(&self, texts: &[&str]) -> Vec<Logits> {
        self.logits_of(&self.vectorizer.transform_all(texts))
    }

    /// Scores rows this model's vectorizer made.
    pub fn logits_of(&self, rows: &[SparseRow]) -> Vec<Logits> {
        self.heads
            .iter()
            .map(|head| {
                let mut values = vec![0.0; rows.len() * head.classes];
                if head.classes > 0 {
                    values
                        .par_chunks_exact_mut(head.classes)
                        .zip(rows)
                        .for_each(|(scores, row)| head.score(row, scores));
                }
                Logits::new(rows.len(), head.classes, values)
            })
            .collect()
    }

    /// The n-grams of `text` that speak most for `class` of `task`, strongest first, at most `top`.
    ///
    /// A gram that lifts every class alike says nothing, so each weight is taken against the task's mean.
    /// Empty when the task or the class does not exist.
    pub fn explain(&self, text: &str, task: usize, class: usize, top: usize) -> Vec<Contribution> {
        let Some(head) = self.heads.get(task).filter(|head| class < head.classes) else {
            return Vec::new();
        };
        let mut found: Vec<(usize, f32)> = self
            .vectorizer
            .transform(text)
            .iter()
            .map(|(feature, value)| {
                let weights = &head.weights[feature * head.classes..(feature + 1) * head.classes];
                let mean = weights.iter().sum::<f32>() / head.classes as f32;
                (feature, value * (weights[class] - mean))
            })
            .filter(|&(_, weight)| weight > 0.0)
            .collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found
            .into_iter()
            .take(top)
            .map(|(feature, weight)| {
                let (block, gram) = self.vectorizer.gram(feature);
                Contribution {
                    block,
                    gram: gram.to_owned(),
                    weight,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Settings;

    fn model() -> WordsModel {
        let settings = Settings {
            characters: [0, 0],
            min_documents: 1,
            ..Settings::default()
        };
        let vectorizer = Vectorizer::fit(&["depot", "konto"], &settings);
        let head = Head::new(vec![2.0, -1.0, -2.0, 0.1], vec![0.5, 0.0]);
        WordsModel::new(vectorizer, vec![head])
    }

    #[test]
    fn scores_are_bias_plus_weighted_features() {
        let logits = &model().logits(&["Depot", "", "Konto"])[0];
        assert_eq!(logits.row(0), [2.5, -1.0]);
        assert_eq!(logits.row(1), [0.5, 0.0]);
        assert_eq!(logits.row(2), [-1.5, f16::from_f32(0.1).to_f32()]);
    }

    #[test]
    fn explains_by_what_sets_a_class_apart() {
        let why = model().explain("Konto und Depot", 0, 1, 5);
        assert_eq!(why.len(), 1);
        assert_eq!(why[0].gram, "konto");
        assert!(model().explain("Konto", 0, 9, 5).is_empty());
        assert!(model().explain("Konto", 3, 0, 5).is_empty());
    }

    #[test]
    fn no_text_is_no_rows() {
        let logits = model().logits(&[]);
        assert_eq!((logits[0].rows(), logits[0].classes()), (0, 2));
    }
}
