//! The history of a schema: what happened to its labels, in order.
//!
//! Kept with the schema so that data labelled under an older version can be carried over.

use crate::TaskName;

/// One change of one task's label set, made by a schema version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The schema version that made the change.
    pub version: u32,
    /// The task whose labels changed.
    pub task: TaskName,
    /// What happened.
    pub edit: Edit,
}

/// What happened to the labels of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// A label got another name and means the same.
    Rename {
        /// The name before.
        from: String,
        /// The name since.
        into: String,
    },
    /// Several labels became one.
    Merge {
        /// The labels before, at least one.
        from: Vec<String>,
        /// The label since.
        into: String,
    },
    /// One label became several. Rows that no rule decides have to be labelled again.
    Split {
        /// The label before.
        from: String,
        /// The labels since, at least two.
        into: Vec<String>,
        /// Rules that decide a row, tried in order; empty means every row is labelled again.
        rules: Vec<Rule>,
    },
    /// Labels that are no longer given; their rows become unlabelled.
    Retire(Vec<String>),
    /// Labels that are new; no row has them yet.
    Add(Vec<String>),
}

/// Decides which part of a split label a row belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The row's text contains this, letter case ignored.
    pub contains: String,
    /// The label it then gets.
    pub into: String,
}

impl Edit {
    /// The key of the edit in `labels.toml`.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Rename { .. } => "rename",
            Self::Merge { .. } => "merge",
            Self::Split { .. } => "split",
            Self::Retire(_) => "retire",
            Self::Add(_) => "add",
        }
    }
}
