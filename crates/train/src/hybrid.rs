//! Fits how a hybrid puts its two models together.
//!
//! Fitted on rows neither model was trained on: a temperature for each model by likelihood, then the encoder's share of
//! the pool by macro-F1. On little data the words may know almost everything about a task and the encoder little, or the
//! other way round; a fixed share would let the weaker one spoil the better one's answers, and so would the likelihood,
//! which a poor model can improve by making rare labels rarer.

use poststelle_labels::ClassIndex;
use poststelle_measure::{Confusion, Rows, Scores, Temperature, fit_temperature};
use poststelle_nn::Logits;
use poststelle_nn::hybrid::{Mix, TaskMix, combine};

/// The share where the data does not decide.
const EVEN: f32 = 0.5;

/// Shares that are tried, in tenths: from `EVEN` outwards, so that it wins ties.
const TENTHS: [u8; 11] = [5, 4, 6, 3, 7, 2, 8, 1, 9, 0, 10];

/// Brings each model's validation logits to one scale by a temperature of its own and weighs them by macro-F1.
///
/// The share is the one, in tenths, whose favourites have the highest macro-F1; of equals, the one whose pool gives the
/// gold labels the highest likelihood at its own best temperature. On these rows the pool is therefore never worse than
/// the better of the two.
///
/// All three hold one entry per task in schema order; `gold[task][row]` is `None` where the row is not labelled.
/// A task without a labelled row keeps both temperatures at 1 and weighs both alike.
///
/// # Panics
/// If logits and gold disagree on rows or classes: they come from one dataset and one schema.
pub fn fit(words: &[Logits], encoder: &[Logits], gold: &[Vec<Option<ClassIndex>>]) -> Mix {
    let tasks = words.iter().zip(encoder).zip(gold);
    Mix {
        tasks: tasks
            .map(|((words, encoder), gold)| fit_task(words, encoder, gold))
            .collect(),
    }
}

fn fit_task(words: &Logits, encoder: &Logits, gold: &[Option<ClassIndex>]) -> TaskMix {
    let gold: Vec<Option<usize>> = gold.iter().map(|class| class.map(ClassIndex::position)).collect();
    let temperature = |logits: &Logits| fitted(logits, &gold).map_or(1.0, |fitted| fitted.value);
    let even = TaskMix {
        words_temperature: temperature(words),
        encoder_temperature: temperature(encoder),
        encoder_share: EVEN,
    };
    let mut best = (f64::NEG_INFINITY, f64::INFINITY, even);
    for tenths in TENTHS {
        let mix = TaskMix {
            encoder_share: f32::from(tenths) / 10.0,
            ..even
        };
        let pool = combine(
            &Mix { tasks: vec![mix] },
            std::slice::from_ref(words),
            std::slice::from_ref(encoder),
        );
        let (Some(score), Some(pooled)) = (macro_f1(&pool[0], &gold), fitted(&pool[0], &gold)) else {
            continue;
        };
        if score > best.0 || (score == best.0 && pooled.nll_after < best.1) {
            best = (score, pooled.nll_after, mix);
        }
    }
    best.2
}

/// Macro-F1 of the favourites; none without a labelled row.
fn macro_f1(logits: &Logits, gold: &[Option<usize>]) -> Option<f64> {
    let probabilities = logits.softmax(1.0);
    let favourites: Vec<usize> = (0..logits.rows())
        .filter_map(|row| probabilities.best(row))
        .collect();
    let confusion =
        Confusion::count(logits.classes(), gold, &favourites).expect("logits and gold of one dataset");
    Scores::of(&confusion).map(|scores| scores.macro_f1)
}

/// The best temperature of some logits; none without a labelled row.
fn fitted(logits: &Logits, gold: &[Option<usize>]) -> Option<Temperature> {
    let scores = Rows::new(logits.values(), logits.classes()).expect("logits of a task with labels");
    fit_temperature(scores, gold).expect("logits and gold of one dataset")
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// An encoder that guesses gets no say; one that knows more than the words gets most of it.
    #[test]
    fn the_share_follows_what_each_model_knows() {
        let (good, gold) = logits(300, 20, 1, 4.0);
        let guess = Logits::new(
            300,
            3,
            (0..900).map(|i| ((i * i) as f32 * 0.37).sin() * 5.0).collect(),
        );
        let share = |words: &Logits, encoder: &Logits| {
            fit(
                std::slice::from_ref(words),
                std::slice::from_ref(encoder),
                std::slice::from_ref(&gold),
            )
            .tasks[0]
                .encoder_share
        };
        assert!(share(&good, &guess) < 0.2, "{}", share(&good, &guess));
        assert!(share(&guess, &good) > 0.8, "{}", share(&guess, &good));
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
            (1.0, 1.0, EVEN)
        );
        assert!(mix.tasks[1].words_temperature.is_finite());
    }
}
