//! Makes validation logits into honest confidence: a temperature and bands per task, and the figures they give.
//!
//! Answers are chosen as in serving, all tasks of a mail at once under the hierarchy, so that a band's precision is
//! the precision of what a team will see.

use poststelle_labels::{ClassIndex, Schema, TaskName};
use poststelle_measure::{
    Bands, Evaluation, Judged, Rows, Seed, TaskEvaluation, Wanted, choose_bands, expected_calibration_error,
    fit_temperature,
};
use poststelle_nn::Logits;
use poststelle_nn::bundle::Calibration;
use poststelle_predict::decode::Hierarchy;
use std::collections::BTreeMap;

/// What validation says about a model.
pub struct Calibrated {
    /// Per task: from logits to decisions.
    pub calibration: BTreeMap<TaskName, Calibration>,
    /// The figures.
    pub evaluation: Evaluation,
}

/// Fits temperatures, then bands for the precision `wanted`, then measures; `gold` is per task, per row.
pub fn calibrate(
    schema: &Schema,
    logits: &[Logits],
    gold: &[Vec<Option<ClassIndex>>],
    wanted: Wanted,
    seed: u64,
) -> Calibrated {
    const SHAPES: &str = "logits and gold come from one dataset and one schema";
    let rows = logits.first().map_or(0, Logits::rows);
    let gold: Vec<Vec<Option<usize>>> = gold
        .iter()
        .map(|task| task.iter().map(|class| class.map(ClassIndex::position)).collect())
        .collect();
    let temperatures: Vec<f32> = logits
        .iter()
        .zip(&gold)
        .map(|(logits, gold)| {
            let scores = Rows::new(logits.values(), logits.classes()).expect(SHAPES);
            fit_temperature(scores, gold)
                .expect(SHAPES)
                .map_or(1.0, |fitted| fitted.value)
        })
        .collect();
    let probabilities: Vec<_> = logits
        .iter()
        .zip(&temperatures)
        .map(|(logits, temperature)| logits.softmax(*temperature))
        .collect();
    let hierarchy = Hierarchy::of(schema);
    // Per task: the answer to each row, if the hierarchy leaves one, and its probability.
    let mut answers: Vec<Vec<Option<(usize, f32)>>> = vec![Vec::with_capacity(rows); logits.len()];
    for row in 0..rows {
        let all: Vec<&[f32]> = probabilities.iter().map(|task| task.row(row)).collect();
        for ((answers, class), probability) in answers.iter_mut().zip(hierarchy.decode(&all)).zip(&all) {
            answers.push(class.map(|class| (class, probability[class])));
        }
    }
    let mut calibration = BTreeMap::new();
    let mut tasks = Vec::new();
    for (n, task) in schema.tasks().iter().enumerate() {
        let answered: Vec<Judged> = answers[n]
            .iter()
            .zip(&gold[n])
            .filter_map(|(answer, gold)| {
                let ((class, confidence), gold) = ((*answer)?, (*gold)?);
                Some(Judged {
                    confidence,
                    right: class == gold,
                })
            })
            .collect();
        let bands = choose_bands(&answered, wanted);
        let Bands { auto, suggest } = bands;
        let ece = expected_calibration_error(&answered).unwrap_or(0.0) as f32;
        let entry = Calibration {
            temperature: temperatures[n],
            auto,
            suggest,
            ece,
        };
        calibration.insert(task.name().clone(), entry);

        let names: Vec<String> = task.labels().iter().map(|label| label.name.clone()).collect();
        let measured = TaskEvaluation::of(&names, &gold[n], &answers[n], bands, Seed(seed));
        if let Some(measured) = measured.expect(SHAPES) {
            tasks.push((task.name().to_string(), measured));
        }
    }
    Calibrated {
        calibration,
        evaluation: Evaluation {
            examples: rows as u64,
            tasks,
        },
    }
}
