//! Examples with their schema, named by a digest: what a run trains on and a bundle remembers.

use crate::{Example, Origin, Record, clean_texts};
use poststelle_labels::{ClassIndex, Schema, TaskName, nearest};
use poststelle_mail::Cleaner;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};

/// Examples of one schema.
#[derive(Debug, Clone)]
pub struct Dataset {
    schema: Schema,
    examples: Vec<Example>,
    digest: String,
}

/// Why no dataset can be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A column is given for a task the schema lacks.
    #[error("column `{column}` is meant for task `{task}`, which the schema lacks")]
    UnknownTask {
        /// The task.
        task: TaskName,
        /// The column.
        column: String,
    },
    /// No row has a label for a task that a column is given for.
    #[error("no row has a label for task `{task}` in column `{column}`{}", meant(.nearest))]
    NoLabel {
        /// The task.
        task: TaskName,
        /// The column it is read from.
        column: String,
        /// The column it resembles.
        nearest: Option<String>,
    },
}

fn meant(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}

/// A row that did not become what its file meant it to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A label the schema does not know; the example is kept, unlabelled for this task.
    #[error("`{}` row {}: column `{column}` has `{found}`, which is no label of task `{task}`{}", .origin.file.display(), .origin.row, meant(.nearest))]
    UnknownLabel {
        /// Where the row stands.
        origin: Origin,
        /// The task.
        task: TaskName,
        /// The column.
        column: String,
        /// The label as found.
        found: String,
        /// The label it resembles.
        nearest: Option<String>,
    },
    /// Nothing is left to read after cleaning; the example is kept, with an empty text.
    #[error("`{}` row {}: no text is left after cleaning", .origin.file.display(), .origin.row)]
    EmptyText {
        /// Where the row stands.
        origin: Origin,
    },
    /// An id that an earlier row has; the example is kept.
    #[error("`{}` row {}: the id `{id}` stands twice", .origin.file.display(), .origin.row)]
    IdTwice {
        /// Where the later row stands.
        origin: Origin,
        /// The id.
        id: String,
    },
}

impl Dataset {
    /// Cleans the records on all cores and looks their labels up.
    ///
    /// `columns` names, for each task that is read, the column holding its labels. A task without a
    /// column stays unlabelled. Rows are kept, in order; what is wrong with them comes back as problems,
    /// in order of rows, and the caller decides.
    ///
    /// # Errors
    /// [`BuildError`] when a column's task is unknown, or records exist and a column labels none of them.
    pub fn build(
        schema: Schema,
        columns: &[(TaskName, String)],
        records: impl IntoIterator<Item = Record>,
        cleaner: &Cleaner,
    ) -> Result<(Self, Vec<Problem>), BuildError> {
        let records: Vec<Record> = records.into_iter().collect();
        let by_task = resolve(&schema, columns, &records)?;
        let texts = clean_texts(&records, cleaner);
        let mut problems = Vec::new();
        let mut ids = HashSet::new();
        let mut examples = Vec::with_capacity(records.len());
        for (record, text) in records.iter().zip(&texts) {
            if !ids.insert(record.id.as_str()) {
                problems.push(Problem::IdTwice {
                    origin: record.origin.clone(),
                    id: record.id.clone(),
                });
            }
            let gold = look_up(&schema, &by_task, record, &mut problems);
            let example = Example::new(record, text, gold);
            // A broker's name alone is nothing to read.
            if text.model_text(None).trim().is_empty() {
                problems.push(Problem::EmptyText {
                    origin: record.origin.clone(),
                });
            }
            examples.push(example);
        }
        Ok((Self::new(schema, examples), problems))
    }

    /// A dataset of these examples.
    ///
    /// # Panics
    /// If an example's gold labels do not fit the schema.
    pub fn new(schema: Schema, examples: Vec<Example>) -> Self {
        for example in &examples {
            assert_eq!(example.gold().len(), schema.tasks().len(), "an entry per task");
            for (task, gold) in schema.tasks().iter().zip(example.gold()) {
                assert!(
                    gold.is_none_or(|class| class.position() < task.len()),
                    "a class of the task"
                );
            }
        }
        let digest = digest(&schema, &examples);
        Self {
            schema,
            examples,
            digest,
        }
    }

    /// The schema.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The examples, in order.
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// Names the dataset: sha256, as 64 hex digits, over ids, texts and labels in order.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The number of examples labelled for each task, in the schema's order.
    pub fn labelled(&self) -> Vec<usize> {
        let count = |task: usize| {
            self.examples
                .iter()
                .filter(|example| example.gold()[task].is_some())
                .count()
        };
        (0..self.schema.tasks().len()).map(count).collect()
    }
}

/// The column of each task, in the schema's order.
fn resolve<'a>(
    schema: &Schema,
    columns: &'a [(TaskName, String)],
    records: &[Record],
) -> Result<Vec<Option<&'a str>>, BuildError> {
    let mut by_task = vec![None; schema.tasks().len()];
    for (task, column) in columns {
        let Some(position) = schema.tasks().iter().position(|known| known.name() == task) else {
            return Err(BuildError::UnknownTask {
                task: task.clone(),
                column: column.clone(),
            });
        };
        if !records.is_empty() && records.iter().all(|record| record.label(column).is_none()) {
            let mut known = BTreeMap::new();
            for name in records.iter().flat_map(|record| record.labels.keys()) {
                *known.entry(name.as_str()).or_insert(0) += 1;
            }
            let nearest = nearest(column, known.into_keys()).map(String::from);
            return Err(BuildError::NoLabel {
                task: task.clone(),
                column: column.clone(),
                nearest,
            });
        }
        by_task[position] = Some(column.as_str());
    }
    Ok(by_task)
}

fn look_up(
    schema: &Schema,
    by_task: &[Option<&str>],
    record: &Record,
    problems: &mut Vec<Problem>,
) -> Vec<Option<ClassIndex>> {
    let mut gold = Vec::with_capacity(by_task.len());
    for (task, column) in schema.tasks().iter().zip(by_task) {
        let cell = column.and_then(|column| Some((column, record.label(column)?)));
        gold.push(cell.and_then(|(column, found)| {
            let class = task.index_of(found);
            if class.is_none() {
                let known = task.labels().iter().map(|label| label.name.as_str());
                problems.push(Problem::UnknownLabel {
                    origin: record.origin.clone(),
                    task: task.name().clone(),
                    column: column.to_owned(),
                    found: found.to_owned(),
                    nearest: nearest(found, known).map(String::from),
                });
            }
            class
        }));
    }
    gold
}

fn digest(schema: &Schema, examples: &[Example]) -> String {
    let mut hash = Sha256::new();
    let mut text = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    text("poststelle dataset 1");
    for example in examples {
        text(example.id());
        text(example.text());
        for (task, gold) in schema.tasks().iter().zip(example.gold()) {
            text(task.name().as_str());
            text(gold.map_or("", |class| &task.label(class).name));
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
