//! A task: one question asked of every mail, answered with one label of its set.

use crate::{ClassIndex, Label};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;

/// A task's name; also the dataset column it is read from unless a recipe says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskName(String);

impl TaskName {
    /// Names a task.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One task and its labels, in the order of their class indices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    name: TaskName,
    parent: Option<TaskName>,
    labels: Vec<Label>,
    index: HashMap<String, ClassIndex>,
}

impl Task {
    /// A task over distinct labels; `Err` holds the first name that stands twice.
    pub fn new(name: TaskName, parent: Option<TaskName>, labels: Vec<Label>) -> Result<Self, String> {
        let mut index = HashMap::with_capacity(labels.len());
        for (position, label) in labels.iter().enumerate() {
            if index
                .insert(label.name.clone(), ClassIndex::from(position))
                .is_some()
            {
                return Err(label.name.clone());
            }
        }
        Ok(Self {
            name,
            parent,
            labels,
            index,
        })
    }

    /// The task's name.
    pub fn name(&self) -> &TaskName {
        &self.name
    }

    /// The task whose label narrows this one's, if any.
    pub fn parent(&self) -> Option<&TaskName> {
        self.parent.as_ref()
    }

    /// The labels, by class index.
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True when the task has no label.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The index of a label by its exact name.
    pub fn index_of(&self, label: &str) -> Option<ClassIndex> {
        self.index.get(label).copied()
    }

    /// The label at an index of this task.
    ///
    /// # Panics
    /// If the index belongs to another task and is not below [`Task::len`].
    pub fn label(&self, class: ClassIndex) -> &Label {
        &self.labels[class.position()]
    }
}
