//! Puts the logits of the linear model and of the encoder together.
//!
//! Each model's logits are first brought to one scale by a temperature of their own; then their log-probabilities
//! are averaged, a logarithmic opinion pool:
//!
//! ```text
//! z = (1 − s)·log softmax(z_words / T_words) + s·log softmax(z_encoder / T_encoder)
//! ```
//!
//! The temperatures do the weighing: a model that knows little about a task gets a high one, its
//! log-probabilities become flat and leave the order of the classes to the other. Where the two err on different
//! mails, the pool beats both even when one is far weaker. It multiplies rather than adds probabilities, so a class
//! either model rules out stays out.
//!
//! **Not here.** The hierarchy between tasks: labels that agree are chosen from all tasks' probabilities at once,
//! after the models have been put together.
//!
//! Source: Genest & Zidek 1986, "Combining Probability Distributions"; Hinton 2002 (products of experts).

use crate::logits::Logits;
use serde::{Deserialize, Serialize};

/// One of a hybrid's two models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// TF-IDF and logistic regression.
    Linear,
    /// The encoder.
    Encoder,
}

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

/// Combines both models' logits into one [`Logits`] per task, each row a logarithm of unnormalised probabilities.
///
/// All three hold one entry per task in schema order; a task's two logits have one shape.
///
/// # Panics
/// If the tasks or a task's shapes differ: both models were built from one schema and read the same texts.
pub fn combine(mix: &Mix, words: &[Logits], encoder: &[Logits]) -> Vec<Logits> {
    assert!(
        mix.tasks.len() == words.len() && words.len() == encoder.len(),
        "a hybrid's tasks"
    );
    let tasks = mix.tasks.iter().zip(words.iter().zip(encoder));
    tasks
        .map(|(mix, (words, encoder))| combine_task(*mix, words, encoder))
        .collect()
}

fn combine_task(mix: TaskMix, words: &Logits, encoder: &Logits) -> Logits {
    let (rows, classes) = (words.rows(), words.classes());
    assert_eq!(
        (rows, classes),
        (encoder.rows(), encoder.classes()),
        "a hybrid's logits"
    );
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

    /// The pool as it is defined, over probabilities in f64: `p ∝ p_words^(1−s) · p_encoder^s`.
    fn twin(mix: TaskMix, words: &[f32], encoder: &[f32]) -> Vec<f64> {
        let softmax = |row: &[f32], temperature: f32| -> Vec<f64> {
            let weights: Vec<f64> = row
                .iter()
                .map(|&z| (f64::from(z) / f64::from(temperature)).exp())
                .collect();
            let total: f64 = weights.iter().sum();
            weights.iter().map(|w| w / total).collect()
        };
        let share = f64::from(mix.encoder_share);
        let pooled: Vec<f64> = softmax(words, mix.words_temperature)
            .iter()
            .zip(softmax(encoder, mix.encoder_temperature))
            .map(|(w, e)| w.powf(1.0 - share) * e.powf(share))
            .collect();
        let total: f64 = pooled.iter().sum();
        pooled.iter().map(|p| p / total).collect()
    }

    #[test]
    fn equals_its_slow_twin() {
        let (rows, classes) = (7, 5);
        let wave = |by: f32| {
            (0..rows * classes)
                .map(|i| 4.0 * (i as f32 * by).sin())
                .collect::<Vec<_>>()
        };
        let (words, encoder) = (
            Logits::new(rows, classes, wave(0.7)),
            Logits::new(rows, classes, wave(1.3)),
        );
        for (words_temperature, encoder_temperature, encoder_share) in [
            (1.0, 1.0, 0.5),
            (0.6, 0.4, 0.5),
            (3.0, 0.2, 0.3),
            (1.0, 2.0, 0.0),
            (1.0, 2.0, 1.0),
        ] {
            let task = TaskMix {
                words_temperature,
                encoder_temperature,
                encoder_share,
            };
            let mix = Mix { tasks: vec![task] };
            let pooled =
                combine(&mix, std::slice::from_ref(&words), std::slice::from_ref(&encoder))[0].softmax(1.0);
            for row in 0..rows {
                let expected = twin(task, words.row(row), encoder.row(row));
                for (found, expected) in pooled.row(row).iter().zip(expected) {
                    assert!(
                        (f64::from(*found) - expected).abs() < 1e-6,
                        "{task:?}: {found}, {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn no_text_one_class_and_no_task_are_shapes_too() {
        let task = TaskMix {
            words_temperature: 1.0,
            encoder_temperature: 1.0,
            encoder_share: 0.5,
        };
        let mix = Mix { tasks: vec![task] };
        let none = [Logits::new(0, 4, vec![])];
        assert_eq!(combine(&mix, &none, &none)[0].rows(), 0);
        let one = [Logits::new(1, 1, vec![-3.0])];
        assert_eq!(combine(&mix, &one, &one)[0].values(), [0.0]);
        assert!(combine(&Mix { tasks: vec![] }, &[], &[]).is_empty());
    }

    #[test]
    #[should_panic(expected = "a hybrid's logits")]
    fn logits_of_different_shapes_do_not_mix() {
        let task = TaskMix {
            words_temperature: 1.0,
            encoder_temperature: 1.0,
            encoder_share: 0.5,
        };
        let (two, three) = (Logits::new(1, 2, vec![0.0; 2]), Logits::new(1, 3, vec![0.0; 3]));
        combine(&Mix { tasks: vec![task] }, &[two], &[three]);
    }
}
