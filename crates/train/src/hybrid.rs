//! Fits how a hybrid puts its two models together.
//!
//! Only temperatures are fitted, on rows neither model was trained on; the share is fixed at one half. A fitted
//! share would be a third number from a few hundred rows, for a curve that is flat around its middle: with
//! both models on one scale, shares from 0.3 to 0.7 lie within a hundredth of macro-F1 of each other, and a model that
//! is worth less has already been flattened by its temperature.

use poststelle_labels::ClassIndex;
use poststelle_measure::{Rows, fit_temperature};
use poststelle_nn::Logits;
use poststelle_nn::hybrid::{Mix, TaskMix};

/// The encoder's share of the pool, for every task.
const SHARE: f32 = 0.5;

/// Brings each model's validation logits to one scale by a temperature of its own and weighs both alike.
///
/// All three hold one entry per task in schema order; `gold[task][row]` is `None` where the row is not labelled.
/// A task without a labelled row keeps both temperatures at 1.
///
/// # Panics
/// If logits and gold disagree on rows or classes: they come from one dataset and one schema.
pub fn fit(words: &[Logits], encoder: &[Logits], gold: &[Vec<Option<ClassIndex>>]) -> Mix {
    let temperature = |logits: &Logits, gold: &[Option<ClassIndex>]| {
        let gold: Vec<Option<usize>> = gold.iter().map(|class| class.map(ClassIndex::position)).collect();
        let scores = Rows::new(logits.values(), logits.classes()).expect("logits of a task with labels");
        let fitted = fit_temperature(scores, &gold).expect("logits and gold of one dataset");
        fitted.map_or(1.0, |fitted| fitted.value)
    };
    let tasks = words
        .iter()
        .zip(encoder)
        .zip(gold)
        .map(|((words, encoder), gold)| TaskMix {
            words_temperature: temperature(words, gold),
            encoder_temperature: temperature(encoder, gold),
            encoder_share: SHARE,
        });
    Mix {
        tasks: tasks.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poststelle_nn::hybrid::combine;

    /// Logits that favour the gold class on all but every `wrong`th row, `sure` apart.
    fn logits(rows: usize, wrong: usize, first: usize, sure: f32) -> (Logits, Vec<Option<ClassIndex>>) {
        let classes = 3;
        let mut values = vec![0.0; rows * classes];
        for row in 0..rows {
            let miss = usize::from(row % wrong == first);
            values[row * classes + (row + miss) % classes] = sure;
        }
        let gold = (0..rows)
            .map(|row| Some(ClassIndex::from(row % classes)))
            .collect();
        (Logits::new(rows, classes, values), gold)
    }

    fn hits(logits: &Logits, gold: &[Option<ClassIndex>]) -> usize {
        let best = |row| logits.softmax(1.0).best(row);
        (0..logits.rows())
            .filter(|&row| best(row) == gold[row].map(ClassIndex::position))
            .count()
    }

    #[test]
    fn a_model_that_shouts_is_brought_to_the_others_scale() {
        let (quiet, gold) = logits(300, 5, 1, 2.0);
        let (loud, _) = logits(300, 5, 1, 20.0);
        let task = fit(&[quiet], &[loud], &[gold]).tasks[0];
        assert!(
            (task.encoder_temperature / task.words_temperature - 10.0).abs() < 0.1,
            "{task:?}"
        );
    }

    #[test]
    fn the_better_model_decides_where_the_weaker_one_shouts() {
        let (good, gold) = logits(300, 20, 1, 1.0);
        let (poor, _) = logits(300, 2, 0, 50.0);
        let (good, poor, gold) = ([good], [poor], [gold]);
        let mixed = combine(&fit(&good, &poor, &gold), &good, &poor);
        assert!(hits(&mixed[0], &gold[0]) >= hits(&good[0], &gold[0]));
    }

    #[test]
    fn a_task_without_a_label_is_left_as_it_is() {
        let (scores, gold) = logits(4, 2, 0, 3.0);
        let none = vec![None; gold.len()];
        let mix = fit(
            &[scores.clone(), scores.clone()],
            &[scores.clone(), scores],
            &[none, gold],
        );
        assert_eq!(mix.tasks.len(), 2);
        let task = mix.tasks[0];
        assert_eq!(
            (
                task.words_temperature,
                task.encoder_temperature,
                task.encoder_share
            ),
            (1.0, 1.0, SHARE)
        );
        assert!(mix.tasks[1].words_temperature.is_finite());
    }
}
