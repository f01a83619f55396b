//! What a head says about a batch, before and after the softmax.
//!
//! [`Logits`] and [`Probabilities`] hold the same shape of numbers but mean different things, so they are
//! different types: a temperature applies to the first, a threshold to the second. Both live on the CPU
//! in f32, row after row.

/// One task's unnormalised scores: `[rows, classes]`, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    rows: usize,
    classes: usize,
    values: Vec<f32>,
}

/// One task's class probabilities: `[rows, classes]`, row-major; each row sums to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Probabilities {
    rows: usize,
    classes: usize,
    values: Vec<f32>,
}

impl Logits {
    /// Takes `rows · classes` scores, row after row.
    ///
    /// # Panics
    /// If `values` does not hold exactly `rows · classes` numbers: the shape is ours, never outside data.
    pub fn new(rows: usize, classes: usize, values: Vec<f32>) -> Self {
        assert_eq!(
            values.len(),
            rows * classes,
            "logits of shape [{rows}, {classes}]"
        );
        Self {
            rows,
            classes,
            values,
        }
    }

    /// How many texts were scored.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many classes the task has.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The scores of text `i`, one per class.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.classes..(i + 1) * self.classes]
    }

    /// All scores, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Turns scores into probabilities: `softmax(z / temperature)` per row.
    ///
    /// A temperature above 1 makes the model less sure, below 1 surer; the order of the classes stays.
    /// Sums run in f64 from the row's largest score down, so saturated rows stay finite.
    ///
    /// # Panics
    /// If `temperature` is not finite and positive.
    pub fn softmax(&self, temperature: f32) -> Probabilities {
        assert!(
            temperature.is_finite() && temperature > 0.0,
            "temperature {temperature}"
        );
        let mut values = self.values.clone();
        if self.classes > 0 {
            for row in values.chunks_exact_mut(self.classes) {
                normalise(row, temperature);
            }
        }
        Probabilities {
            rows: self.rows,
            classes: self.classes,
            values,
        }
    }
}

/// Replaces one row of scores by its probabilities.
fn normalise(row: &mut [f32], temperature: f32) {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |z: f32| (f64::from(z - top) / f64::from(temperature)).exp();
    let sum: f64 = row.iter().map(|&z| weight(z)).sum();
    for z in row.iter_mut() {
        *z = (weight(*z) / sum) as f32;
    }
}

impl Probabilities {
    /// Takes `rows · classes` probabilities, row after row.
    ///
    /// # Panics
    /// If `values` does not hold exactly `rows · classes` numbers.
    pub fn new(rows: usize, classes: usize, values: Vec<f32>) -> Self {
        assert_eq!(
            values.len(),
            rows * classes,
            "probabilities of shape [{rows}, {classes}]"
        );
        Self {
            rows,
            classes,
            values,
        }
    }

    /// How many texts were scored.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many classes the task has.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The probabilities of text `i`, one per class.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.classes..(i + 1) * self.classes]
    }

    /// All probabilities, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The likeliest class of text `i`, the first one on a tie; `None` when the task has no class.
    pub fn best(&self, i: usize) -> Option<usize> {
        let row = self.row(i);
        (0..row.len()).reduce(|best, c| if row[c] > row[best] { c } else { best })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_sums_to_one_and_keeps_the_order() {
        let p = Logits::new(2, 3, vec![1.0, 2.0, 3.0, 0.0, 0.0, -5.0]).softmax(0.7);
        for i in 0..2 {
            assert!((p.row(i).iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        assert_eq!(p.best(0), Some(2));
        assert_eq!(p.best(1), Some(0));
    }

    #[test]
    fn stays_finite_where_the_softmax_saturates() {
        let p = Logits::new(2, 2, vec![3e38, -3e38, -1e30, -1e30]).softmax(0.01);
        assert_eq!(p.values(), [1.0, 0.0, 0.5, 0.5]);
    }

    #[test]
    fn a_high_temperature_flattens() {
        let z = Logits::new(1, 2, vec![0.0, 2.0]);
        assert!(z.softmax(4.0).row(0)[1] < z.softmax(1.0).row(0)[1]);
    }

    #[test]
    fn no_rows_and_one_class_are_shapes_too() {
        assert_eq!(Logits::new(0, 3, vec![]).softmax(1.0).rows(), 0);
        assert_eq!(Logits::new(1, 1, vec![-7.0]).softmax(1.0).values(), [1.0]);
    }
}
