//! Labels and their indices.

use serde::{Deserialize, Serialize};

/// Position of a label in its task's label set, `0 .. task.len()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClassIndex(pub u32);

impl ClassIndex {
    /// The index as a position in a slice.
    pub fn position(self) -> usize {
        self.0 as usize
    }
}

impl From<usize> for ClassIndex {
    fn from(position: usize) -> Self {
        Self(u32::try_from(position).expect("a label set holds fewer than 2^32 labels"))
    }
}

/// One label of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Label {
    /// The name as it stands in datasets and answers.
    pub name: String,
    /// The label of the parent task this label belongs to, when the task has a parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The schema version that introduced the label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u32>,
    /// What belongs here, in the words of client service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl Label {
    /// A label with a name and nothing else.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            parent: None,
            since: None,
            description: None,
        }
    }
}
