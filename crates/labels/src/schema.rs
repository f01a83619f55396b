//! The schema: every task with its labels and history, named by a digest.

use crate::{Change, ClassIndex, Edit, Label, Task, TaskName};
use sha2::{Digest, Sha256};
use std::collections::HashSet;

/// All tasks of a system, in the order heads and answers have.
///
/// **Invariant.** Task names are distinct; every task has a label; a parent task exists and no chain of
/// parents comes back to itself; a label names a parent label exactly when its task has a parent, and
/// that label exists there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    version: u32,
    tasks: Vec<Task>,
    changes: Vec<Change>,
}

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The text is not TOML.
    #[error("not TOML")]
    Toml(#[from] toml::de::Error),
    /// A key that means nothing here.
    #[error("unknown key `{key}` in {at}{}", did_you_mean(.nearest))]
    UnknownKey {
        /// The table the key stands in.
        at: String,
        /// The key as found.
        key: String,
        /// The known key it resembles.
        nearest: Option<String>,
    },
    /// A key that must be there.
    #[error("{at} lacks the key `{key}`")]
    MissingKey {
        /// The table the key belongs in.
        at: String,
        /// The key.
        key: &'static str,
    },
    /// A value of the wrong type or range.
    #[error("{at} is {found}, expected {expected}")]
    Value {
        /// Where the value stands.
        at: String,
        /// What it is.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// No task at all.
    #[error("the schema has no task")]
    NoTask,
    /// Two tasks with one name.
    #[error("the task `{task}` stands twice")]
    TaskTwice {
        /// The name.
        task: TaskName,
    },
    /// A task without labels.
    #[error("task `{task}` has no label")]
    NoLabel {
        /// The task.
        task: TaskName,
    },
    /// A label stands twice in one task.
    #[error("task `{task}` names the label `{label}` twice")]
    Twice {
        /// The task.
        task: TaskName,
        /// The label.
        label: String,
    },
    /// A name that is empty or has space around it; a dataset cell could never match it.
    #[error("the name `{name}` in {at} is empty or has space around it")]
    Name {
        /// Where the name stands.
        at: String,
        /// The name.
        name: String,
    },
    /// A parent task that does not exist.
    #[error("task `{task}` has the parent `{parent}`, which is no task{}", did_you_mean(.nearest))]
    UnknownParent {
        /// The task.
        task: TaskName,
        /// The parent it names.
        parent: TaskName,
        /// The task it resembles.
        nearest: Option<String>,
    },
    /// A chain of parents that comes back to itself.
    #[error("task `{task}` is its own ancestor")]
    Cycle {
        /// A task on the cycle.
        task: TaskName,
    },
    /// A parent label that does not exist.
    #[error("label `{label}` of task `{task}` has the parent `{found}`, which is no label of `{parent}`{}", did_you_mean(.nearest))]
    UnknownParentLabel {
        /// The task.
        task: TaskName,
        /// The label.
        label: String,
        /// The parent task.
        parent: TaskName,
        /// The parent label it names.
        found: String,
        /// The label it resembles.
        nearest: Option<String>,
    },
    /// A label without a parent in a task that has one.
    #[error("label `{label}` of task `{task}` names no parent, expected a label of `{parent}`")]
    Orphan {
        /// The task.
        task: TaskName,
        /// The label.
        label: String,
        /// The parent task.
        parent: TaskName,
    },
    /// A label with a parent in a task that has none.
    #[error("label `{label}` of task `{task}` names the parent `{found}`, but the task has no parent task")]
    NoParentTask {
        /// The task.
        task: TaskName,
        /// The label.
        label: String,
        /// The parent it names.
        found: String,
    },
    /// A change that does not fit the schema.
    #[error("change {number} (version {version}, task `{task}`): {reason}")]
    Change {
        /// Position in the history, from 1.
        number: usize,
        /// The version the change names.
        version: u32,
        /// The task the change names.
        task: TaskName,
        /// What does not fit.
        reason: String,
    },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}

impl Schema {
    /// A schema of these tasks, without history.
    ///
    /// # Errors
    /// [`SchemaError`] when the tasks break the schema's invariant.
    pub fn new(version: u32, tasks: Vec<Task>) -> Result<Self, SchemaError> {
        let schema = Self {
            version,
            tasks,
            changes: Vec::new(),
        };
        schema.check_tasks()?;
        schema.check_hierarchy()?;
        Ok(schema)
    }

    /// The same schema with its history, oldest change first.
    ///
    /// # Errors
    /// [`SchemaError::Change`] for an unknown task, a version above the schema's or below the one before,
    /// and an edit that contradicts itself.
    pub fn with_changes(mut self, changes: Vec<Change>) -> Result<Self, SchemaError> {
        let mut newest = 0;
        for (position, change) in changes.iter().enumerate() {
            let refuse = |reason: String| SchemaError::Change {
                number: position + 1,
                version: change.version,
                task: change.task.clone(),
                reason,
            };
            if change.version < newest || change.version > self.version {
                return Err(refuse(format!(
                    "its version should lie in {newest} ..= {}",
                    self.version
                )));
            }
            newest = change.version;
            if self.task(&change.task).is_none() {
                let near = crate::nearest(
                    change.task.as_str(),
                    self.tasks.iter().map(|task| task.name().as_str()),
                );
                return Err(refuse(format!(
                    "no such task{}",
                    did_you_mean(&near.map(String::from))
                )));
            }
            check_edit(&change.edit).map_err(refuse)?;
        }
        self.changes = changes;
        Ok(self)
    }

    /// The schema's version, counted up by every change.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The tasks, in order.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// The history, oldest change first.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// A task by name.
    pub fn task(&self, name: &TaskName) -> Option<&Task> {
        self.tasks.iter().find(|task| task.name() == name)
    }

    /// The class of the parent task that a class of `task` belongs to; `None` when the task has no parent.
    ///
    /// # Panics
    /// If `class` is no class of `task`.
    pub fn parent_class(&self, task: &Task, class: ClassIndex) -> Option<ClassIndex> {
        let parent = self.task(task.parent()?)?;
        parent.index_of(task.label(class).parent.as_deref()?)
    }

    /// Names what can be predicted: sha256, as 64 hex digits, over the tasks, their parents, their labels
    /// and the labels' parents, in order. Descriptions, versions and history do not count, so two schemas
    /// with one digest have the same heads.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"poststelle schema 1\n");
        let mut text = |kind: u8, text: &str| {
            hash.update([kind]);
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        for task in &self.tasks {
            text(b't', task.name().as_str());
            if let Some(parent) = task.parent() {
                text(b'p', parent.as_str());
            }
            for label in task.labels() {
                text(b'l', &label.name);
                if let Some(parent) = &label.parent {
                    text(b'q', parent);
                }
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn check_tasks(&self) -> Result<(), SchemaError> {
        if self.tasks.is_empty() {
            return Err(SchemaError::NoTask);
        }
        let mut seen = HashSet::new();
        for task in &self.tasks {
            check_name("the tasks", task.name().as_str())?;
            if !seen.insert(task.name()) {
                return Err(SchemaError::TaskTwice {
                    task: task.name().clone(),
                });
            }
            if task.is_empty() {
                return Err(SchemaError::NoLabel {
                    task: task.name().clone(),
                });
            }
            for label in task.labels() {
                check_name(&format!("task `{}`", task.name()), &label.name)?;
            }
        }
        Ok(())
    }

    fn check_hierarchy(&self) -> Result<(), SchemaError> {
        for task in &self.tasks {
            let Some(name) = task.parent() else {
                if let Some((label, found)) = task.labels().iter().find_map(|l| Some((l, l.parent.clone()?)))
                {
                    return Err(SchemaError::NoParentTask {
                        task: task.name().clone(),
                        label: label.name.clone(),
                        found,
                    });
                }
                continue;
            };
            let Some(parent) = self.task(name) else {
                let near = crate::nearest(name.as_str(), self.tasks.iter().map(|task| task.name().as_str()));
                return Err(SchemaError::UnknownParent {
                    task: task.name().clone(),
                    parent: name.clone(),
                    nearest: near.map(String::from),
                });
            };
            self.check_ancestors(task)?;
            task.labels()
                .iter()
                .try_for_each(|label| check_parent_label(task, label, parent))?;
        }
        Ok(())
    }

    /// A chain longer than the number of tasks must have met a task twice.
    fn check_ancestors(&self, task: &Task) -> Result<(), SchemaError> {
        let mut at = Some(task);
        for _ in 0..self.tasks.len() {
            at = at.and_then(Task::parent).and_then(|name| self.task(name));
        }
        match at {
            Some(_) => Err(SchemaError::Cycle {
                task: task.name().clone(),
            }),
            None => Ok(()),
        }
    }
}

fn check_name(at: &str, name: &str) -> Result<(), SchemaError> {
    if name.is_empty() || name.trim() != name {
        return Err(SchemaError::Name {
            at: at.to_owned(),
            name: name.to_owned(),
        });
    }
    Ok(())
}

fn check_parent_label(task: &Task, label: &Label, parent: &Task) -> Result<(), SchemaError> {
    let Some(found) = &label.parent else {
        return Err(SchemaError::Orphan {
            task: task.name().clone(),
            label: label.name.clone(),
            parent: parent.name().clone(),
        });
    };
    if parent.index_of(found).is_none() {
        let near = crate::nearest(found, parent.labels().iter().map(|label| label.name.as_str()));
        return Err(SchemaError::UnknownParentLabel {
            task: task.name().clone(),
            label: label.name.clone(),
            parent: parent.name().clone(),
            found: found.clone(),
            nearest: near.map(String::from),
        });
    }
    Ok(())
}

fn check_edit(edit: &Edit) -> Result<(), String> {
    let distinct = |names: &[String]| names.iter().collect::<HashSet<_>>().len() == names.len();
    match edit {
        Edit::Rename { from, into } if from == into => Err(format!("renames `{from}` into itself")),
        Edit::Merge { from, .. } if from.is_empty() => Err("merges nothing".to_owned()),
        Edit::Merge { from, .. } if !distinct(from) => Err("merges a label twice".to_owned()),
        Edit::Split { into, .. } if into.len() < 2 => Err("splits into fewer than two labels".to_owned()),
        Edit::Split { into, .. } if !distinct(into) => Err("splits into one label twice".to_owned()),
        Edit::Split { into, rules, .. } => match rules.iter().find(|rule| !into.contains(&rule.into)) {
            Some(rule) => Err(format!(
                "a rule gives `{}`, which is not among its new labels",
                rule.into
            )),
            None => Ok(()),
        },
        Edit::Retire(labels) | Edit::Add(labels) if labels.is_empty() => Err("names no label".to_owned()),
        Edit::Rename { .. } | Edit::Merge { .. } | Edit::Retire(_) | Edit::Add(_) => Ok(()),
    }
}
