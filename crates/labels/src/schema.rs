//! The schema: every task with its labels, named by a digest.

use crate::{Task, TaskName};

/// All tasks of a system, in the order heads and answers have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    version: u32,
    tasks: Vec<Task>,
}

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A label stands twice in one task.
    #[error("task `{task}` names the label `{label}` twice")]
    Twice { task: TaskName, label: String },
}

impl Schema {
    /// A schema of these tasks.
    pub fn new(version: u32, tasks: Vec<Task>) -> Result<Self, SchemaError> {
        Ok(Self { version, tasks })
    }

    /// The schema's version, counted up by every change.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The tasks, in order.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// A task by name.
    pub fn task(&self, name: &TaskName) -> Option<&Task> {
        self.tasks.iter().find(|task| task.name() == name)
    }
}
