//! What a version must reach before a person may approve it, and how it fared.

use crate::{GateName, VersionId};
use poststelle_labels::TaskName;
use poststelle_measure::Interval;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The gates of a recipe. Absent ones are not asked.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gate {
    /// Lowest macro-F1 per task.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub macro_f1: BTreeMap<TaskName, f64>,
    /// Lowest F1 per task and label.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub f1: BTreeMap<TaskName, BTreeMap<String, f64>>,
    /// Highest expected calibration error per task.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub calibration_error: BTreeMap<TaskName, f64>,
    /// Whether macro-F1 of every task must not be worse than that of the version in production by more than chance: the
    /// 95 % interval of the difference, on the same mails, must reach 0. Default true; without such a version nothing is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_worse: Option<bool>,
    /// Longest time a lone mail may take, 95th percentile, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Largest artifact, in MB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_mb: Option<f64>,
}

/// How one gate was met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// The gate.
    pub gate: GateName,
    /// What was measured; none where there was nothing to measure on, which no gate passes.
    pub found: Option<f64>,
    /// The bound.
    pub expected: f64,
    /// Whether it is met.
    pub passed: bool,
}

/// The figures of a version on mails it never learned from, and what its gates say of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Digest of the mails.
    pub dataset: String,
    /// How many there were.
    pub examples: u64,
    /// Per task; one without a labelled mail is absent.
    pub tasks: BTreeMap<TaskName, TaskFigures>,
    /// What a lone mail took, 95th percentile, in milliseconds; only where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Bytes of the artifact.
    pub size_bytes: u64,
    /// How it compares with the version in production.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<Comparison>,
    /// What the gates said.
    pub verdicts: Vec<Verdict>,
}

/// The figures of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskFigures {
    /// Mean of the labels' F1.
    pub macro_f1: f64,
    /// Share of right answers.
    pub accuracy: f64,
    /// Mean of the labels' F1, weighted by their mails.
    pub weighted_f1: f64,
    /// Expected calibration error.
    pub calibration_error: f64,
    /// Per label.
    pub labels: BTreeMap<String, LabelFigures>,
}

/// The figures of one label.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelFigures {
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Mails that have the label.
    pub support: u64,
}

/// A version beside the one in production, on the same mails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The version in production.
    pub with: VersionId,
    /// Per task: 95 % interval of macro-F1, this version's less the other's.
    pub macro_f1: BTreeMap<TaskName, Interval>,
}

impl Evaluation {
    /// The same with the verdicts of these gates.
    pub fn judged(self, gate: &Gate) -> Self {
        let verdicts = gate.judge(&self);
        Self { verdicts, ..self }
    }

    /// The gates that are not met.
    pub fn failed(&self) -> impl Iterator<Item = &Verdict> {
        self.verdicts.iter().filter(|verdict| !verdict.passed)
    }
}

impl Gate {
    /// Holds figures against every gate. A figure that is missing, or no number, passes none.
    pub fn judge(&self, evaluation: &Evaluation) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        let task = |name: &TaskName| evaluation.tasks.get(name);
        for (name, least) in &self.macro_f1 {
            let found = task(name).map(|task| task.macro_f1);
            verdicts.push(at_least(format!("macro_f1/{name}"), found, *least));
        }
        for (name, labels) in &self.f1 {
            for (label, least) in labels {
                // A label no mail of the test has cannot be judged.
                let figures = task(name).and_then(|task| task.labels.get(label));
                let found = figures.filter(|label| label.support > 0).map(|label| label.f1);
                verdicts.push(at_least(format!("f1/{name}/{label}"), found, *least));
            }
        }
        for (name, most) in &self.calibration_error {
            let found = task(name).map(|task| task.calibration_error);
            verdicts.push(at_most(format!("calibration_error/{name}"), found, *most));
        }
        if let (true, Some(against)) = (self.not_worse.unwrap_or(true), &evaluation.against) {
            for (name, interval) in &against.macro_f1 {
                verdicts.push(at_least(format!("not_worse/{name}"), Some(interval.high), 0.0));
            }
        }
        if let Some(most) = self.latency_ms {
            verdicts.push(at_most("latency_ms".into(), evaluation.latency_ms, most));
        }
        if let Some(most) = self.size_mb {
            let found = evaluation.size_bytes as f64 / 1e6;
            verdicts.push(at_most("size_mb".into(), Some(found), most));
        }
        verdicts
    }
}

fn at_least(gate: String, found: Option<f64>, least: f64) -> Verdict {
    verdict(gate, found, least, found.is_some_and(|found| found >= least))
}

fn at_most(gate: String, found: Option<f64>, most: f64) -> Verdict {
    verdict(gate, found, most, found.is_some_and(|found| found <= most))
}

fn verdict(gate: String, found: Option<f64>, expected: f64, passed: bool) -> Verdict {
    // Labels come from a schema and may be long or odd; a gate's name is one line.
    let name: String = gate
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect();
    Verdict {
        gate: name.parse().expect("a gate's name starts with a word"),
        found: found.filter(|found| found.is_finite()),
        expected,
        passed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation() -> Evaluation {
        let labels = [("tax", 0.5, 10), ("fees", 0.9, 0)]
            .map(|(label, f1, support)| (label.to_owned(), LabelFigures { f1, support }));
        let figures = TaskFigures {
            macro_f1: 0.7,
            accuracy: 0.8,
            weighted_f1: 0.75,
            calibration_error: 0.04,
            labels: labels.into(),
        };
        Evaluation {
            dataset: "mails".into(),
            examples: 10,
            tasks: [(TaskName::new("queue"), figures)].into(),
            latency_ms: None,
            size_bytes: 5_000_000,
            against: None,
            verdicts: Vec::new(),
        }
    }

    fn judged(gate: &str, evaluation: &Evaluation) -> Vec<(String, bool)> {
        let gate: Gate = serde_json::from_str(gate).unwrap();
        let verdicts = gate.judge(evaluation).into_iter();
        verdicts
            .map(|verdict| (verdict.gate.to_string(), verdict.passed))
            .collect()
    }

    #[test]
    fn every_gate_is_held_against_its_figure() {
        let gate = r#"{"macro_f1": {"queue": 0.7, "topic": 0.1}, "f1": {"queue": {"tax": 0.6, "fees": 0.1}},
            "calibration_error": {"queue": 0.05}, "latency_ms": 50, "size_mb": 5}"#;
        let expected = [
            ("macro_f1/queue", true),
            ("macro_f1/topic", false),
            ("f1/queue/fees", false),
            ("f1/queue/tax", false),
            ("calibration_error/queue", true),
            ("latency_ms", false),
            ("size_mb", true),
        ];
        assert_eq!(
            judged(gate, &evaluation()),
            expected.map(|(name, passed)| (name.to_owned(), passed))
        );
        assert!(judged("{}", &evaluation()).is_empty());
    }

    #[test]
    fn worse_by_chance_is_not_worse() {
        let mut found = evaluation();
        let mut with = |low, high| {
            found.against = Some(Comparison {
                with: "mails@1".parse().unwrap(),
                macro_f1: [(TaskName::new("queue"), Interval { low, high })].into(),
            });
            (judged("{}", &found), judged(r#"{"not_worse": false}"#, &found))
        };
        assert_eq!(with(-0.05, 0.01).0, [("not_worse/queue".to_owned(), true)]);
        let (asked, not_asked) = with(-0.05, -0.01);
        assert_eq!(
            (asked, not_asked),
            (vec![("not_worse/queue".to_owned(), false)], vec![])
        );
    }
}
