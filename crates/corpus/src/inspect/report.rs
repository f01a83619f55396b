//! The shape of what an inspection found.

use poststelle_labels::TaskName;
use serde::Serialize;
use std::fmt;

/// Everything an inspection found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Rows read.
    pub rows: usize,
    /// How long the texts are.
    pub lengths: Lengths,
    /// The tasks looked at, with their labels.
    pub tasks: Vec<TaskReport>,
    /// What is wrong, errors first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// True when something is wrong enough to refuse the data.
    pub fn has_errors(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.severity == Severity::Error)
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The data should not be trained or measured on as it is.
    Error,
    /// Someone should look.
    Warning,
}

/// What was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// A row that no record could be made of.
    Unreadable,
    /// An id that stands on several rows.
    IdTwice,
    /// Nothing to read is left after cleaning.
    EmptyText,
    /// A label the schema does not know.
    UnknownLabel,
    /// A child label whose parent, by the schema, is another than the row's.
    Contradiction,
    /// A text that equals one of another split.
    Leak,
    /// A text that nearly equals one of another split.
    NearLeak,
    /// A text that equals an earlier one.
    Duplicate,
    /// A text that nearly equals an earlier one.
    NearDuplicate,
    /// Equal texts with different labels.
    Conflict,
    /// A label with few rows.
    RareLabel,
    /// A label of the schema without a row.
    UnseenLabel,
}

impl Check {
    /// How bad it is when the check finds something.
    pub fn severity(self) -> Severity {
        match self {
            Self::Unreadable | Self::IdTwice | Self::UnknownLabel | Self::Contradiction | Self::Leak => {
                Severity::Error
            }
            Self::EmptyText
            | Self::NearLeak
            | Self::Duplicate
            | Self::NearDuplicate
            | Self::Conflict
            | Self::RareLabel
            | Self::UnseenLabel => Severity::Warning,
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was looked for.
    pub check: Check,
    /// The task, when it is about labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskName>,
    /// The labels it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Rows it is about.
    pub rows: usize,
    /// Ids of some of them, at most [`Finding::IDS`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// The finding in words.
    pub message: String,
}

impl Finding {
    /// Ids a finding names at most.
    pub const IDS: usize = 10;

    pub(super) fn new(check: Check, rows: usize, message: impl Into<String>) -> Self {
        let severity = check.severity();
        let (labels, ids, message) = (Vec::new(), Vec::new(), message.into());
        Self {
            severity,
            check,
            task: None,
            labels,
            rows,
            ids,
            message,
        }
    }

    pub(super) fn about(self, task: &TaskName, labels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            task: Some(task.clone()),
            labels: labels.into_iter().map(Into::into).collect(),
            ..self
        }
    }

    pub(super) fn with_ids<'a>(self, ids: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            ids: ids.into_iter().take(Self::IDS).map(str::to_owned).collect(),
            ..self
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A task and how often each of its labels stands in the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskReport {
    /// The task.
    pub task: TaskName,
    /// The column it was read from.
    pub column: String,
    /// Rows without a label for the task.
    pub unlabelled: usize,
    /// Known labels, most rows first, then by name.
    pub labels: Vec<LabelCount>,
}

/// A label and its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LabelCount {
    /// The label.
    pub label: String,
    /// Rows that have it.
    pub rows: usize,
}

/// How long texts are, in characters after cleaning.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lengths {
    /// Mean.
    pub mean: f64,
    /// Half of the texts are at most this long.
    pub median: usize,
    /// 95 of 100 texts are at most this long.
    pub p95: usize,
    /// The longest.
    pub longest: usize,
}

impl Lengths {
    /// The lengths of these texts; all 0 without texts.
    pub fn of(texts: &[String]) -> Self {
        let mut lengths: Vec<usize> = texts.iter().map(|text| text.chars().count()).collect();
        lengths.sort_unstable();
        // Nearest rank.
        let at = |percent: usize| {
            lengths
                .get((lengths.len() * percent).div_ceil(100).saturating_sub(1))
                .copied()
        };
        Self {
            mean: lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64,
            median: at(50).unwrap_or(0),
            p95: at(95).unwrap_or(0),
            longest: at(100).unwrap_or(0),
        }
    }
}
