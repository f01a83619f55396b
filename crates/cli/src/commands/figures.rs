//! Figures of a bundle as the registry keeps them.

use super::evaluate::{self, Answers};
use super::predict::Opened;
use crate::failure::Failure;
use crate::output::Output;
use poststelle_corpus::Dataset;
use poststelle_labels::{ClassIndex, TaskName};
use poststelle_lifecycle::{Comparison, Evaluation, LabelFigures, TaskFigures, Verdict, VersionId};
use poststelle_measure::{Interval, Seed, paired_bootstrap};
use std::collections::BTreeMap;
use std::time::Instant;

/// Mails asked one by one for the latency.
const LONE: usize = 200;
/// As `measure` draws.
const RESAMPLES: usize = 1000;
const LEVEL: f64 = 0.95;

/// What is kept of an evaluation; `dataset` is the digest of its mails.
pub fn record(dataset: String, evaluation: &poststelle_measure::Evaluation, size_bytes: u64) -> Evaluation {
    let mut tasks = BTreeMap::new();
    for (name, task) in &evaluation.tasks {
        let labels = task.label_rows().map(|row| {
            let (f1, support) = (row.f1, row.support);
            (row.label.to_owned(), LabelFigures { f1, support })
        });
        let figures = TaskFigures {
            macro_f1: task.scores.macro_f1,
            accuracy: task.scores.accuracy,
            weighted_f1: task.scores.weighted_f1,
            calibration_error: task.ece,
            labels: labels.collect(),
        };
        tasks.insert(TaskName::new(name), figures);
    }
    Evaluation {
        dataset,
        examples: evaluation.examples,
        tasks,
        latency_ms: None,
        size_bytes,
        against: None,
        verdicts: Vec::new(),
    }
}

/// A gate and how it was met, for people.
pub fn told(verdict: &Verdict) -> String {
    let found = verdict
        .found
        .map_or("nothing to measure on".to_owned(), |found| format!("{found:.3}"));
    let bound = match verdict.gate.as_str().split('/').next() {
        Some("latency_ms" | "size_mb" | "calibration_error") => "at most",
        _ => "at least",
    };
    format!("{}: {found}, expected {bound} {}", verdict.gate, verdict.expected)
}

/// Measures a bundle on labelled mails, beside the one in production where there is one.
pub fn measure(
    opened: &Opened,
    dataset: &Dataset,
    size_bytes: u64,
    production: Option<(VersionId, &Opened)>,
    seed: Seed,
    out: &mut Output,
) -> Result<Evaluation, Failure> {
    let answers = evaluate::answers(&opened.predictor, dataset, out)?;
    let evaluation = evaluate::measure(&opened.predictor, dataset, &answers, seed, out)?;
    let mut record = record(dataset.digest().to_owned(), &evaluation, size_bytes);
    record.latency_ms = latency(opened, dataset)?;
    if let Some((with, production)) = production {
        let theirs = evaluate::answers(&production.predictor, dataset, out)?;
        let macro_f1 = compare(opened, production, dataset, [&answers, &theirs], seed);
        record.against = Some(Comparison { with, macro_f1 });
    }
    Ok(record)
}

/// What a lone clean text takes, 95th percentile, in milliseconds.
fn latency(opened: &Opened, dataset: &Dataset) -> Result<Option<f64>, Failure> {
    let mut took = Vec::new();
    for example in dataset.examples().iter().take(LONE) {
        let begun = Instant::now();
        opened
            .predictor
            .predict_texts(&[example.text()])
            .map_err(Failure::broken)?;
        took.push(1e3 * begun.elapsed().as_secs_f64());
    }
    took.sort_by(f64::total_cmp);
    Ok(took.get(took.len().saturating_sub(1) * 95 / 100).copied())
}

/// Per task both have, the interval of the difference in macro-F1. Labels are matched by name; one the other does not know is
/// no answer of it.
fn compare(
    ours: &Opened,
    theirs: &Opened,
    dataset: &Dataset,
    answers: [&Answers; 2],
    seed: Seed,
) -> BTreeMap<TaskName, Interval> {
    let [schema, other] = [ours, theirs].map(|opened| opened.predictor.schema());
    let mut intervals = BTreeMap::new();
    for (n, task) in schema.tasks().iter().enumerate() {
        let Some(at) = other.tasks().iter().position(|other| other.name() == task.name()) else {
            continue;
        };
        let position = |name: &str| task.labels().iter().position(|label| label.name == name);
        let known: Vec<Option<usize>> = other.tasks()[at]
            .labels()
            .iter()
            .map(|label| position(&label.name))
            .collect();
        let pairs: Vec<(usize, [Option<usize>; 2])> = dataset
            .examples()
            .iter()
            .enumerate()
            .filter_map(|(row, example)| {
                let gold = example.gold()[n].map(ClassIndex::position)?;
                let first = answers[0][n][row].map(|(class, _)| class);
                let second = answers[1][at][row].and_then(|(class, _)| known[class]);
                Some((gold, [first, second]))
            })
            .collect();
        let interval = paired_bootstrap(
            task.len(),
            &pairs,
            |scores| scores.macro_f1,
            RESAMPLES,
            LEVEL,
            seed,
        );
        if let Some(interval) = interval {
            intervals.insert(task.name().clone(), interval);
        }
    }
    intervals
}
