//! Fits how a hybrid puts its two models together.

use poststelle_labels::ClassIndex;
use poststelle_measure::{Rows, fit_temperature};
use poststelle_nn::Logits;
use poststelle_nn::hybrid::{Mix, TaskMix};

/// Brings each model's validation logits to one scale by a temperature and averages them.
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
            encoder_share: 0.5,
        });
    Mix {
        tasks: tasks.collect(),
    }
}
