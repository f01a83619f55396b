//! How much each class counts in the loss.

use crate::recipe::Weighting;
use poststelle_labels::ClassIndex;

/// Each class's factor in the loss, mean 1 over the labelled examples; 0 for a class without any.
pub(crate) fn class_weights(weighting: Weighting, classes: usize, gold: &[Option<ClassIndex>]) -> Vec<f32> {
    let mut counts = vec![0usize; classes];
    for class in gold.iter().flatten() {
        counts[class.position()] += 1;
    }
    let raw: Vec<f64> = counts
        .iter()
        .map(|count| match (weighting, *count) {
            (Weighting::None, _) => 1.0,
            (_, 0) => 0.0,
            (Weighting::Balanced, n) => 1.0 / n as f64,
            (Weighting::SqrtBalanced, n) => 1.0 / (n as f64).sqrt(),
        })
        .collect();
    let labelled: usize = counts.iter().sum();
    let mass: f64 = raw
        .iter()
        .zip(&counts)
        .map(|(weight, count)| weight * *count as f64)
        .sum();
    let scale = if mass > 0.0 { labelled as f64 / mass } else { 1.0 };
    raw.into_iter().map(|weight| (weight * scale) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_weights_have_mean_one_over_the_examples() {
        let gold: Vec<_> = [0, 0, 0, 1, 3]
            .iter()
            .map(|c| Some(ClassIndex(*c)))
            .chain([None])
            .collect();
        assert_eq!(class_weights(Weighting::None, 4, &gold), [1.0; 4]);
        for weighting in [Weighting::Balanced, Weighting::SqrtBalanced] {
            let weights = class_weights(weighting, 4, &gold);
            assert!((weights[0] * 3.0 + weights[1] + weights[3] - 5.0).abs() < 1e-5);
            assert!(weights[1] > weights[0] && weights[2] == 0.0);
        }
    }
}
