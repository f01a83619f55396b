//! Accuracy, precision, recall and F1 of a confusion matrix.

use crate::Confusion;
use serde::Serialize;

/// The scores of one task over the examples that carry a label for it.
///
/// A quotient whose denominator is 0 counts as 0. The macro means are unweighted means over the labels that
/// occur in the gold or among the predictions; the weighted means weigh each label by its support. Both follow
/// `classification_report(zero_division=0)` of scikit-learn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Labelled examples.
    pub examples: u64,
    /// Right answers / labelled examples.
    pub accuracy: f64,
    /// Mean precision over occurring labels.
    pub macro_precision: f64,
    /// Mean recall over occurring labels.
    pub macro_recall: f64,
    /// Mean F1 over occurring labels (not the F1 of the two means above).
    pub macro_f1: f64,
    /// Precision weighted by support.
    pub weighted_precision: f64,
    /// Recall weighted by support; equals accuracy.
    pub weighted_recall: f64,
    /// F1 weighted by support.
    pub weighted_f1: f64,
    /// Scores of every class, also of those that occur nowhere.
    pub labels: Vec<LabelScores>,
}

/// The scores of one label.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LabelScores {
    /// Right / predicted.
    pub precision: f64,
    /// Right / gold.
    pub recall: f64,
    /// 2·right / (predicted + gold).
    pub f1: f64,
    /// Gold examples.
    pub support: u64,
    /// Predicted examples.
    pub predicted: u64,
}

impl Scores {
    /// The scores of a matrix, or `None` when it holds no example.
    pub fn of(confusion: &Confusion) -> Option<Self> {
        let examples = confusion.total();
        if examples == 0 {
            return None;
        }
        let labels: Vec<LabelScores> = (0..confusion.classes())
            .map(|class| {
                let (right, support) = (confusion.get(class, class), confusion.gold(class));
                let predicted = confusion.predicted(class);
                LabelScores {
                    precision: ratio(right, predicted),
                    recall: ratio(right, support),
                    f1: ratio(2 * right, predicted + support),
                    support,
                    predicted,
                }
            })
            .collect();
        let occurring = labels
            .iter()
            .filter(|label| label.support + label.predicted > 0)
            .count() as f64;
        let mean = |of: fn(&LabelScores) -> f64| labels.iter().map(of).sum::<f64>() / occurring;
        let weighted = |of: fn(&LabelScores) -> f64| {
            labels
                .iter()
                .map(|label| of(label) * label.support as f64)
                .sum::<f64>()
                / examples as f64
        };
        Some(Self {
            examples,
            accuracy: ratio(confusion.right(), examples),
            macro_precision: mean(|label| label.precision),
            macro_recall: mean(|label| label.recall),
            macro_f1: mean(|label| label.f1),
            weighted_precision: weighted(|label| label.precision),
            weighted_recall: weighted(|label| label.recall),
            weighted_f1: weighted(|label| label.f1),
            labels,
        })
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_labelled_has_no_scores() {
        assert_eq!(Scores::of(&Confusion::new(3)), None);
        assert_eq!(
            Scores::of(&Confusion::count(3, &[None, None], &[0, 1]).unwrap()),
            None
        );
    }

    #[test]
    fn a_label_that_occurs_nowhere_does_not_dilute_the_macro_mean() {
        let scores = Scores::of(&Confusion::count(4, &[Some(0), Some(1)], &[0, 1]).unwrap()).unwrap();
        assert_eq!(
            (scores.macro_f1, scores.weighted_f1, scores.labels.len()),
            (1.0, 1.0, 4)
        );
    }

    #[test]
    fn a_label_only_predicted_counts_as_zero() {
        let scores = Scores::of(&Confusion::count(3, &[Some(0), Some(0)], &[0, 2]).unwrap()).unwrap();
        assert!((scores.macro_f1 - (2.0 / 3.0) / 2.0).abs() < 1e-12);
        assert_eq!(
            scores.labels[2],
            LabelScores {
                precision: 0.0,
                recall: 0.0,
                f1: 0.0,
                support: 0,
                predicted: 1
            }
        );
    }
}
