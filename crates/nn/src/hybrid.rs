//! Puts the logits of the linear model and of the encoder together.
//!
//! Each model's logits are first brought to one scale by a temperature of their own; then their log-probabilities
//! are averaged, a logarithmic opinion pool:
//!
//! ```text
//! z = (1 − s)·log softmax(z_words / T_words) + s·log softmax(z_encoder / T_encoder)
//! ```
//!
//! Source: Genest & Zidek 1986, "Combining Probability Distributions"; Hinton 2002 (products of experts).

use crate::logits::Logits;
use serde::{Deserialize, Serialize};

/// How one task's logits are put together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskMix {
    /// What the linear model's logits are divided by.
    pub words_temperature: f32,
    /// What the encoder's logits are divided by.
    pub encoder_temperature: f32,
    /// The encoder's share s in `[0, 1]`.
    pub encoder_share: f32,
}

/// How every task's logits are put together, in schema order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// One per task.
    pub tasks: Vec<TaskMix>,
}

/// Combines both models' logits, one [`Logits`] per task of one shape.
pub fn combine(mix: &Mix, words: &[Logits], encoder: &[Logits]) -> Vec<Logits> {
    let tasks = mix.tasks.iter().zip(words.iter().zip(encoder));
    tasks
        .map(|(mix, (words, encoder))| combine_task(*mix, words, encoder))
        .collect()
}

fn combine_task(mix: TaskMix, words: &Logits, encoder: &Logits) -> Logits {
    let (rows, classes) = (words.rows(), words.classes());
    let mut values = Vec::with_capacity(rows * classes);
    for row in 0..rows {
        let words = log_softmax(words.row(row), mix.words_temperature);
        let encoder = log_softmax(encoder.row(row), mix.encoder_temperature);
        let pool = |(w, e): (f64, f64)| {
            let share = f64::from(mix.encoder_share);
            ((1.0 - share) * w + share * e) as f32
        };
        values.extend(words.zip(encoder).map(pool));
    }
    Logits::new(rows, classes, values)
}

fn log_softmax(row: &[f32], temperature: f32) -> impl Iterator<Item = f64> + '_ {
    let scaled = move |z: f32| f64::from(z) / f64::from(temperature);
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = row.iter().map(|z| (scaled(*z) - scaled(most)).exp()).sum();
    row.iter().map(move |z| scaled(*z) - scaled(most) - total.ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_nothing_or_all_keeps_the_order_of_one_model() {
        let words = [Logits::new(1, 3, vec![3.0, 1.0, 0.0])];
        let encoder = [Logits::new(1, 3, vec![0.0, 2.0, 9.0])];
        let at = |share| {
            let task = TaskMix {
                words_temperature: 2.0,
                encoder_temperature: 0.5,
                encoder_share: share,
            };
            combine(&Mix { tasks: vec![task] }, &words, &encoder)[0]
                .row(0)
                .to_vec()
        };
        assert!(at(0.0)[0] > at(0.0)[1] && at(0.0)[1] > at(0.0)[2]);
        assert!(at(1.0)[2] > at(1.0)[1] && at(1.0)[1] > at(1.0)[0]);
        let half = at(0.5);
        let expected = |c: usize| 0.5 * (at(0.0)[c] + at(1.0)[c]);
        assert!((0..3).all(|c| (half[c] - expected(c)).abs() < 1e-6));
    }

    #[test]
    fn saturated_logits_stay_finite() {
        let sure = [Logits::new(1, 2, vec![1e4, -1e4])];
        let task = TaskMix {
            words_temperature: 0.1,
            encoder_temperature: 1.0,
            encoder_share: 0.5,
        };
        let mixed = combine(&Mix { tasks: vec![task] }, &sure, &sure);
        assert!(mixed[0].values().iter().all(|z| z.is_finite()));
    }
}
