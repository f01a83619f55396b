//! Softmax cross-entropy over the rows that carry a label, and over what a teacher says.

use crate::logits::{Logits, Probabilities};
use poststelle_labels::ClassIndex;

/// How one task's loss is computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// Factor of each class, `classes` entries; all 1 without weighting.
    pub class_weights: Vec<f32>,
    /// Share ε in `[0, 1)` of the target spread over all classes, the gold one included.
    pub smoothing: f32,
}

impl Objective {
    /// The divisor of [`cross_entropy`]'s mean: the summed class weights of the labelled rows.
    pub fn weight_of(&self, gold: &[Option<ClassIndex>]) -> f64 {
        gold.iter()
            .flatten()
            .map(|class| f64::from(self.class_weights[class.position()]))
            .sum()
    }
}

/// Adds up one task's cross-entropy over the labelled rows of a batch and writes its gradient.
///
/// A dataset labels each example for some tasks only. An unlabelled row neither moves the head nor dilutes the
/// mean. The caller gives the mean's divisor, so that a step may be split into several batches:
///
/// ```text
/// loss = Σ_b [ (1 − ε)·w[y_b]·(−log p_b[y_b]) + ε/C·Σ_c w[c]·(−log p_b[c]) ] / total_weight
/// ```
///
/// # Shapes and units
/// - `logits`: `[rows, classes]`, unnormalised
/// - `gold`: `rows` entries, `None` where the example has no label for this task
/// - `total_weight`: [`Objective::weight_of`] all rows of the step
/// - returns nats, and the gradient `[rows, classes]` times `scale`
///
/// # Panics
/// If the shapes disagree or a gold index is not below `classes`; datasets are checked when they are built.
///
/// # Source
/// Szegedy et al. 2016, "Rethinking the Inception Architecture", arXiv:1512.00567, §7, with class weights as in
/// PyTorch's `CrossEntropyLoss`.
pub fn cross_entropy(
    logits: &Logits,
    gold: &[Option<ClassIndex>],
    objective: &Objective,
    total_weight: f64,
    scale: f32,
) -> (f64, Vec<f32>) {
    let classes = logits.classes();
    assert_eq!(gold.len(), logits.rows(), "one gold label, or none, per row");
    assert_eq!(objective.class_weights.len(), classes, "one weight per class");
    let smoothing = f64::from(objective.smoothing);
    let weights: Vec<f64> = objective.class_weights.iter().map(|w| f64::from(*w)).collect();
    let even = smoothing / classes as f64;
    let mut grad = vec![0.0; logits.rows() * classes];
    let mut loss = 0.0;
    for (row, gold) in gold.iter().enumerate() {
        let Some(gold) = gold.map(ClassIndex::position) else {
            continue;
        };
        let z = logits.row(row);
        let most = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f64 = z.iter().map(|z| f64::from(z - most).exp()).sum();
        let log_total = total.ln();
        let target = |c: usize| weights[c] * (even + if c == gold { 1.0 - smoothing } else { 0.0 });
        let mass: f64 = (0..classes).map(target).sum();
        for c in 0..classes {
            let log_p = f64::from(z[c] - most) - log_total;
            let t = target(c);
            if t != 0.0 {
                loss -= t * log_p / total_weight;
            }
            grad[row * classes + c] = ((mass * log_p.exp() - t) / total_weight) as f32 * scale;
        }
    }
    (loss, grad)
}

/// Adds up how far a student's softened answers are from a teacher's, and writes the gradient.
///
/// Softened gradients shrink with 1/T²; the factor T² keeps this loss as strong as that on labels whatever T is. What
/// the teacher leaves unsure is taken off (it is a constant), so a student that agrees has loss 0:
///
/// ```text
/// p = softmax(teacher / T)   q = softmax(student / T)
/// loss = T²·Σ_b Σ_c p_b[c]·(log p_b[c] − log q_b[c]) / total_rows
/// ```
///
/// # Shapes and units
/// - `logits`: the student's, `[rows, classes]`, unnormalised
/// - `teacher`: the teacher's probabilities at temperature T, `[rows, classes]`
/// - `total_rows`: rows of the whole step, which may be split into several batches
/// - returns nats, and the gradient `[rows, classes]` times `scale`
///
/// # Panics
/// If the shapes disagree.
///
/// # Source
/// Hinton, Vinyals, Dean 2015, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531, §2.
pub fn distillation(
    logits: &Logits,
    teacher: &Probabilities,
    temperature: f32,
    total_rows: usize,
    scale: f32,
) -> (f64, Vec<f32>) {
    assert_eq!(
        (teacher.rows(), teacher.classes()),
        (logits.rows(), logits.classes()),
        "the teacher answers the same rows and classes"
    );
    let t = f64::from(temperature);
    let rows = total_rows.max(1) as f64;
    let mut grad = Vec::with_capacity(logits.values().len());
    let mut loss = 0.0;
    for row in 0..logits.rows() {
        let (z, p) = (logits.row(row), teacher.row(row));
        let most = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let soft = |z: f32| f64::from(z - most) / t;
        let log_total = z.iter().map(|z| soft(*z).exp()).sum::<f64>().ln();
        for (z, p) in z.iter().zip(p) {
            let (log_q, p) = (soft(*z) - log_total, f64::from(*p));
            if p > 0.0 {
                loss += t * t * p * (p.ln() - log_q) / rows;
            }
            grad.push((t * (log_q.exp() - p) / rows) as f32 * scale);
        }
    }
    (loss, grad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gold(class: u32) -> Option<ClassIndex> {
        Some(ClassIndex(class))
    }

    fn plain(classes: usize) -> Objective {
        Objective {
            class_weights: vec![1.0; classes],
            smoothing: 0.0,
        }
    }

    #[test]
    fn stays_finite_where_the_softmax_saturates() {
        let logits = Logits::new(1, 2, vec![200.0, -200.0]);
        let nats = |class| cross_entropy(&logits, &[gold(class)], &plain(2), 1.0, 1.0);
        assert_eq!(nats(0).0, 0.0);
        assert_eq!(nats(1).0, 400.0);
        assert!(nats(1).1.iter().all(|g| g.is_finite()));
    }

    #[test]
    fn a_row_without_a_label_counts_for_nothing() {
        let logits = Logits::new(2, 2, vec![1.0, -1.0, 0.5, 0.25]);
        let one = Logits::new(1, 2, vec![1.0, -1.0]);
        let (both, grad) = cross_entropy(&logits, &[gold(0), None], &plain(2), 1.0, 1.0);
        let (alone, grad_alone) = cross_entropy(&one, &[gold(0)], &plain(2), 1.0, 1.0);
        assert_eq!(both, alone);
        assert_eq!(grad[..2], grad_alone[..]);
        assert_eq!(grad[2..], [0.0, 0.0]);
        let (nothing, grad) = cross_entropy(&logits, &[None, None], &plain(2), 1.0, 1.0);
        assert!(nothing == 0.0 && grad.iter().all(|g| *g == 0.0));
    }

    #[test]
    fn a_student_that_agrees_has_no_loss() {
        let logits = Logits::new(2, 3, vec![1.0, -2.0, 0.5, 300.0, 0.0, -300.0]);
        let (loss, grad) = distillation(&logits, &logits.softmax(3.0), 3.0, 2, 1.0);
        assert!(loss.abs() < 1e-6, "{loss}");
        assert!(grad.iter().all(|g| g.abs() < 1e-6));
    }

    /// The distance as it is defined, over probabilities in f64.
    #[test]
    fn the_distance_to_a_teacher_equals_its_slow_twin() {
        let softmax = |row: &[f32], t: f64| -> Vec<f64> {
            let weights: Vec<f64> = row.iter().map(|z| (f64::from(*z) / t).exp()).collect();
            let total: f64 = weights.iter().sum();
            weights.iter().map(|w| w / total).collect()
        };
        let wave = |by: f32| Logits::new(3, 4, (0..12).map(|i| 3.0 * (i as f32 * by).sin()).collect());
        let (student, teacher) = (wave(0.7), wave(1.9));
        for temperature in [0.5f32, 1.0, 2.0, 8.0] {
            let t = f64::from(temperature);
            let mut expected = 0.0;
            for row in 0..3 {
                let pairs = softmax(teacher.row(row), t);
                let pairs = pairs.iter().zip(softmax(student.row(row), t));
                expected += t * t * pairs.map(|(p, q)| p * (p / q).ln()).sum::<f64>() / 5.0;
            }
            let target = teacher.softmax(temperature);
            let (found, grad) = distillation(&student, &target, temperature, 5, 1.0);
            assert!((found - expected).abs() < 1e-5 * expected, "{found} {expected}");
            // `scale` is the gradient's alone.
            let (same, half) = distillation(&student, &target, temperature, 5, 0.5);
            assert_eq!(found, same);
            assert!(grad.iter().zip(half).all(|(g, h)| (g * 0.5 - h).abs() < 1e-7));
        }
    }

    #[test]
    fn a_saturated_teacher_and_student_stay_finite() {
        let sure = Logits::new(1, 2, vec![300.0, -300.0]);
        let contrary = Logits::new(1, 2, vec![-300.0, 300.0]);
        let (loss, grad) = distillation(&contrary, &sure.softmax(1.0), 1.0, 1, 1.0);
        assert_eq!((loss, grad), (600.0, vec![-1.0, 1.0]));
        assert_eq!(
            distillation(
                &Logits::new(0, 2, vec![]),
                &Logits::new(0, 2, vec![]).softmax(1.0),
                2.0,
                0,
                1.0
            )
            .0,
            0.0
        );
    }

    #[test]
    fn the_gradient_towards_a_teacher_is_the_slope_at_any_temperature() {
        let teacher = Logits::new(2, 3, vec![0.3, 2.0, -1.0, 0.0, 0.1, 4.0]);
        let values: Vec<f32> = (0..6).map(|i| (i as f32 * 1.3).cos() * 2.0).collect();
        for temperature in [0.5, 1.0, 4.0] {
            let target = teacher.softmax(temperature);
            let at = |values: &[f32]| {
                distillation(&Logits::new(2, 3, values.to_vec()), &target, temperature, 5, 1.0)
            };
            let (loss, grad) = at(&values);
            assert!(loss > 0.0);
            for i in 0..values.len() {
                let (mut above, mut below) = (values.clone(), values.clone());
                above[i] += 1e-3;
                below[i] -= 1e-3;
                let step = f64::from(above[i]) - f64::from(below[i]);
                let slope = (at(&above).0 - at(&below).0) / step;
                assert!(
                    (f64::from(grad[i]) - slope).abs() < 1e-4,
                    "T {temperature}, element {i}"
                );
            }
        }
    }

    #[test]
    fn gradient_is_the_slope_with_weights_and_smoothing() {
        let objective = Objective {
            class_weights: vec![0.5, 2.0, 1.25],
            smoothing: 0.1,
        };
        let labels = [gold(2), gold(0), None, gold(1)];
        let total = objective.weight_of(&labels);
        let values: Vec<f32> = (0..12).map(|i| (i as f32 * 0.7).sin() * 2.0).collect();
        let loss = |values: &[f32]| {
            cross_entropy(
                &Logits::new(4, 3, values.to_vec()),
                &labels,
                &objective,
                total,
                1.0,
            )
            .0
        };
        let (_, grad) = cross_entropy(
            &Logits::new(4, 3, values.clone()),
            &labels,
            &objective,
            total,
            1.0,
        );
        for i in 0..values.len() {
            let (mut above, mut below) = (values.clone(), values.clone());
            above[i] += 1e-3;
            below[i] -= 1e-3;
            let step = f64::from(above[i]) - f64::from(below[i]);
            let slope = (loss(&above) - loss(&below)) / step;
            assert!(
                (f64::from(grad[i]) - slope).abs() < 1e-5,
                "element {i}: {} {slope}",
                grad[i]
            );
        }
    }
}
