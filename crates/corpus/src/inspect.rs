//! Looks a dataset over before anyone pays for a run.
//!
//! What makes a model look better than it is (leaks), what it can never learn (rare labels), and what teaches
//! it nonsense (contradicting labels). Findings name rows by id; no mail text leaves this module.

mod labels;
mod report;
mod texts;

pub use report::{Check, Finding, LabelCount, Lengths, Report, Severity, TaskReport};

use crate::{ReadError, Record};
use poststelle_labels::{Schema, TaskName};

/// A dataset to look over: records with their clean texts, in the same order.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// The records.
    pub records: &'a [Record],
    /// The model text of each record.
    pub texts: &'a [String],
    /// Rows that could not be read.
    pub unreadable: &'a [ReadError],
}

/// What is expected of the data.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The tasks and their labels.
    pub schema: &'a Schema,
    /// The column of each task that is looked at.
    pub columns: &'a [(TaskName, String)],
    /// A label with fewer rows is rare.
    pub rare_below: usize,
}

/// Looks `data` over, and for leaks between it and the other splits in `against`.
///
/// Without `expected`, texts are checked and labels are not.
///
/// # Panics
/// If a part has not exactly one text per record.
pub fn inspect(data: Part<'_>, against: &[Part<'_>], expected: Option<Expected<'_>>) -> Report {
    for part in [data].iter().chain(against) {
        assert_eq!(part.records.len(), part.texts.len(), "a text per record");
    }
    let mut findings = texts::unreadable(data.unreadable);
    findings.extend(texts::ids(data.records));
    findings.extend(texts::empty(data));
    let columns: &[(TaskName, String)] = expected.map_or(&[], |expected| expected.columns);
    findings.extend(texts::alike(data, against, columns));
    let mut tasks = Vec::new();
    if let Some(expected) = expected {
        for (task, column) in expected.columns {
            if let Some(task) = expected.schema.task(task) {
                tasks.push(labels::count(data.records, task, column));
                findings.extend(labels::check(data.records, &expected, task, column));
            }
        }
    }
    // Errors first, otherwise in the order of the checks.
    findings.sort_by_key(|finding| finding.severity);
    Report {
        rows: data.records.len(),
        lengths: Lengths::of(data.texts),
        tasks,
        findings,
    }
}
