//! `data`: look at, split and convert datasets and mail exports.

mod convert;
mod inspect;
mod split;

use crate::failure::Failure;
use crate::output::Output;
use clap::Subcommand;
use poststelle_corpus::{Record, clean_texts, infer_schema};
use poststelle_labels::{Schema, SchemaError, TaskName};
use poststelle_mail::{Cleaner, Profile};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Look at, split and convert datasets and mail exports
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Inspect(inspect::Args),
    Split(split::Args),
    Convert(convert::Args),
}

/// Runs one of the `data` commands.
pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    match args.command {
        Command::Inspect(args) => inspect::run(args, out),
        Command::Split(args) => split::run(args, out),
        Command::Convert(args) => convert::run(args, out),
    }
}

/// A task and the column that holds its labels, as `NAME` or `NAME=COLUMN`.
#[derive(Debug, Clone)]
struct TaskColumn {
    task: TaskName,
    column: String,
}

impl FromStr for TaskColumn {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (task, column) = text.split_once('=').unwrap_or((text, text));
        if task.is_empty() || column.is_empty() {
            return Err("expected NAME or NAME=COLUMN");
        }
        Ok(Self {
            task: TaskName::new(task),
            column: column.to_owned(),
        })
    }
}

/// A child task and its parent, as `CHILD=PARENT`.
#[derive(Debug, Clone)]
struct ParentOf {
    child: TaskName,
    parent: TaskName,
}

impl FromStr for ParentOf {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((child, parent)) if !child.is_empty() && !parent.is_empty() => Ok(Self {
                child: TaskName::new(child),
                parent: TaskName::new(parent),
            }),
            _ => Err("expected CHILD=PARENT"),
        }
    }
}

/// Which tasks the data is labelled for.
#[derive(Debug, clap::Args)]
struct Tasks {
    /// Schema with the tasks and their labels
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Task, and its column when that has another name (can be repeated)
    #[arg(long = "task", value_name = "NAME[=COLUMN]")]
    tasks: Vec<TaskColumn>,
    /// Parent of a task, when no schema says so (can be repeated)
    #[arg(long = "parent", value_name = "CHILD=PARENT", conflicts_with = "schema")]
    parents: Vec<ParentOf>,
}

/// A schema file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{}`", .path.display())]
struct SchemaFile {
    path: PathBuf,
    source: SchemaError,
}

/// A task that no column of the data is for.
#[derive(Debug, thiserror::Error)]
#[error("task `{task}`: the data has no column `{column}`, only {found}{}", .nearest.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default())]
struct NoColumn {
    task: TaskName,
    column: String,
    found: String,
    nearest: Option<String>,
}

/// A schema and, for each of its tasks that the data has, the column.
type Resolved = (Schema, Vec<(TaskName, String)>);

impl Tasks {
    /// The schema and the column of each task in the data; `None` when no task is named.
    ///
    /// A schema's task without a column is passed over with a note unless it was named on the command line.
    fn resolve(
        &self,
        records: &[&Record],
        columns: &[String],
        out: &mut Output,
    ) -> Result<Option<Resolved>, Failure> {
        for TaskColumn { task, column } in &self.tasks {
            if !columns.contains(column) {
                let nearest = poststelle_labels::nearest(column, columns.iter().map(String::as_str));
                return Err(Failure::misused(NoColumn {
                    task: task.clone(),
                    column: column.clone(),
                    found: columns
                        .iter()
                        .map(|name| format!("`{name}`"))
                        .collect::<Vec<_>>()
                        .join(", "),
                    nearest: nearest.map(String::from),
                }));
            }
        }
        let named: Vec<_> = self
            .tasks
            .iter()
            .map(|one| (one.task.clone(), one.column.clone()))
            .collect();
        let Some(path) = &self.schema else {
            if named.is_empty() {
                return Ok(None);
            }
            let parents: Vec<_> = self
                .parents
                .iter()
                .map(|one| (one.child.clone(), one.parent.clone()))
                .collect();
            let schema = infer_schema(records.iter().copied(), &named, &parents).map_err(Failure::misused)?;
            return Ok(Some((schema, named)));
        };
        let schema = read_schema(path)?;
        let mut found = Vec::new();
        for task in schema.tasks() {
            let column = named.iter().find(|(name, _)| name == task.name());
            let column = column.map_or(task.name().as_str(), |(_, column)| column.as_str());
            if columns.iter().any(|known| known == column) {
                found.push((task.name().clone(), column.to_owned()));
            } else {
                out.note(format!("task `{}` of the schema has no column here", task.name()));
            }
        }
        Ok(Some((schema, found)))
    }
}

/// Reads `labels.toml`.
pub fn read_schema(path: &Path) -> Result<Schema, Failure> {
    let named = |source| SchemaFile {
        path: path.to_path_buf(),
        source,
    };
    let text = std::fs::read_to_string(path).map_err(|error| Failure::misused(Opening::of(path, error)))?;
    Schema::from_toml(&text).map_err(|error| Failure::misused(named(error)))
}

/// A file that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open `{}`", .path.display())]
pub struct Opening {
    path: PathBuf,
    source: std::io::Error,
}

impl Opening {
    pub fn of(path: &Path, source: std::io::Error) -> Self {
        Self {
            path: path.to_path_buf(),
            source,
        }
    }
}

/// What a model would read of each record, without the broker: a broker's name makes no two mails alike.
fn texts(records: &[Record]) -> Vec<String> {
    let cleaned = clean_texts(records, &Cleaner::new(Profile::Request));
    cleaned.iter().map(|text| text.model_text(None)).collect()
}

/// A number with a thin mark between thousands.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A share as per cent with one decimal.
fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Lines of cells in columns: the first left, the others right aligned.
fn table(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::from(" ");
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[column] - cell.chars().count());
            line.push(' ');
            line += &if column == 0 {
                format!("{cell}{pad}")
            } else {
                format!(" {pad}{cell}")
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}
