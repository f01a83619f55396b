//! What a run tells of itself: its updates and its evaluations.

use poststelle_labels::ClassIndex;
use poststelle_measure::{Confusion, Scores};
use poststelle_nn::Logits;
use serde::Serialize;

/// What just happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// One update was made.
    Step(StepReport),
    /// The validation examples were classified.
    Evaluated(EvaluationReport),
}

/// One update.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepReport {
    /// Updates made, this one included.
    pub step: usize,
    /// Updates of the whole run if it is not stopped early.
    pub steps: usize,
    /// Passes over the data, with the share of the current one.
    pub epoch: f64,
    /// Weighted sum over tasks of their mean cross-entropy, in nats; with a teacher, its share is the distance to it.
    pub loss: f64,
    /// Learning rate of the topmost layer.
    pub learning_rate: f32,
    /// Global norm of the gradients before clipping.
    pub grad_norm: f64,
    /// Examples in this update.
    pub samples: usize,
    /// Tokens in this update.
    pub tokens: usize,
}

/// One evaluation on validation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvaluationReport {
    /// Passes made over the training data.
    pub epoch: usize,
    /// As [`StepReport::loss`], over the validation examples, without smoothing's noise.
    pub loss: f64,
    /// Per task: accuracy, macro precision, recall and F1; `None` without labelled examples.
    pub tasks: Vec<Option<TaskReport>>,
    /// Mean macro-F1 of the tasks.
    pub macro_f1: f64,
    /// Whether it is the best so far.
    pub best: bool,
    /// Whether the run ends here for want of a better one.
    pub stopped: bool,
}

/// One task's part of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskReport {
    /// Right / labelled.
    pub accuracy: f64,
    /// Mean over labels.
    pub macro_precision: f64,
    /// Mean over labels.
    pub macro_recall: f64,
    /// Mean over labels.
    pub macro_f1: f64,
}

/// Scores argmax answers; ties go to the lower class.
pub(crate) fn task_report(logits: &Logits, gold: &[Option<ClassIndex>]) -> Option<TaskReport> {
    let predicted: Vec<usize> = (0..logits.rows()).map(|row| argmax(logits.row(row))).collect();
    let gold: Vec<Option<usize>> = gold.iter().map(|class| class.map(ClassIndex::position)).collect();
    let confusion =
        Confusion::count(logits.classes(), &gold, &predicted).expect("classes come from the same schema");
    let scores = Scores::of(&confusion)?;
    Some(TaskReport {
        accuracy: scores.accuracy,
        macro_precision: scores.macro_precision,
        macro_recall: scores.macro_recall,
        macro_f1: scores.macro_f1,
    })
}

/// Position of the largest value, the first of equals.
fn argmax(row: &[f32]) -> usize {
    let better = |best: usize, i: usize| if row[i] > row[best] { i } else { best };
    (0..row.len()).fold(0, better)
}
