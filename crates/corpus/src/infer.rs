//! A schema from data, for a team that has labels and no `labels.toml` yet.

use crate::Record;
use poststelle_labels::{Label, Schema, SchemaError, Task, TaskName};
use std::collections::BTreeMap;

/// Why no schema can be read off the data.
#[derive(Debug, thiserror::Error)]
pub enum InferError {
    /// A parent is given for a task that no column is given for, or the parent has no column.
    #[error("task `{child}` with parent `{parent}`: no column is given for `{missing}`")]
    NoColumn {
        /// The child task.
        child: TaskName,
        /// The parent task.
        parent: TaskName,
        /// Which of the two has no column.
        missing: TaskName,
    },
    /// A label of a child task that never stands beside a label of the parent task.
    #[error("label `{label}` of task `{task}` never stands beside a label of its parent task `{parent}`")]
    NoParent {
        /// The child task.
        task: TaskName,
        /// The label.
        label: String,
        /// The parent task.
        parent: TaskName,
    },
    /// The labels do not make a schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// The schema of these records, version 1: a task per column in the order given, labels sorted by name, a
/// child label under the parent it stands beside most often (the first by name when equally often).
///
/// `parents` holds (child, parent) tasks.
///
/// # Errors
/// [`InferError`] when a hierarchy or a label set cannot be read off the records.
pub fn infer_schema<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    columns: &[(TaskName, String)],
    parents: &[(TaskName, TaskName)],
) -> Result<Schema, InferError> {
    let column_of = |task: &TaskName| columns.iter().position(|(name, _)| name == task);
    let mut parent_of: Vec<Option<usize>> = vec![None; columns.len()];
    for (child, parent) in parents {
        let at = |task: &TaskName| {
            column_of(task).ok_or_else(|| InferError::NoColumn {
                child: child.clone(),
                parent: parent.clone(),
                missing: task.clone(),
            })
        };
        parent_of[at(child)?] = Some(at(parent)?);
    }
    // Per task: label → parent label → rows.
    let mut seen: Vec<BTreeMap<&str, BTreeMap<&str, usize>>> = vec![BTreeMap::new(); columns.len()];
    for record in records {
        for (task, (_, column)) in columns.iter().enumerate() {
            let Some(label) = record.label(column) else {
                continue;
            };
            let beside = seen[task].entry(label).or_default();
            if let Some(parent) = parent_of[task].and_then(|parent| record.label(&columns[parent].1)) {
                *beside.entry(parent).or_default() += 1;
            }
        }
    }
    let mut tasks = Vec::with_capacity(columns.len());
    for (task, (name, _)) in columns.iter().enumerate() {
        let parent = parent_of[task].map(|parent| columns[parent].0.clone());
        let mut labels = Vec::with_capacity(seen[task].len());
        for (label, beside) in &seen[task] {
            // `max_by_key` keeps the last of equals, so the names run backwards.
            let most = beside
                .iter()
                .rev()
                .max_by_key(|(_, rows)| **rows)
                .map(|(parent, _)| (*parent).to_owned());
            if let (Some(parent), None) = (&parent, &most) {
                return Err(InferError::NoParent {
                    task: name.clone(),
                    label: (*label).to_owned(),
                    parent: parent.clone(),
                });
            }
            labels.push(Label {
                parent: most,
                ..Label::named(*label)
            });
        }
        let task = Task::new(name.clone(), parent, labels);
        tasks.push(task.map_err(|label| SchemaError::Twice {
            task: name.clone(),
            label,
        })?);
    }
    Ok(Schema::new(1, tasks)?)
}
