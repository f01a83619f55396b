//! `labels.toml`: the schema as people write it, in both directions.
//!
//! The file is walked by hand rather than derived, so that every error names the place and an unknown
//! key the known one it resembles. A label is a string, or a table when it has more than a name.

use crate::{Change, Edit, Label, Rule, Schema, SchemaError, Task, TaskName};
use std::fmt::Write as _;
use toml::{Table, Value};

impl Schema {
    /// Reads `labels.toml`.
    ///
    /// # Errors
    /// [`SchemaError`], naming the place, what was found and what was expected.
    pub fn from_toml(text: &str) -> Result<Self, SchemaError> {
        let file = Section {
            at: "the file".to_owned(),
            table: &text.parse::<Table>()?,
        };
        file.refuse_unknown(&["version", "task", "change"])?;
        let version = file.version()?;
        let mut tasks = Vec::new();
        for (name, value) in file.section("task", "task")?.table {
            tasks.push(read_task(name, value)?);
        }
        let mut changes = Vec::new();
        for (position, value) in file.list("change")?.unwrap_or_default().iter().enumerate() {
            changes.push(read_change(format!("change {}", position + 1), value)?);
        }
        Self::new(version, tasks)?.with_changes(changes)
    }

    /// Writes `labels.toml`; reading it back gives an equal schema.
    pub fn to_toml(&self) -> String {
        let mut text = format!("version = {}\n", self.version());
        for task in self.tasks() {
            write_task(&mut text, task);
        }
        for change in self.changes() {
            write_change(&mut text, change);
        }
        text
    }
}

/// A table and the words for where it stands.
struct Section<'a> {
    at: String,
    table: &'a Table,
}

impl<'a> Section<'a> {
    fn of(at: String, value: &'a Value) -> Result<Self, SchemaError> {
        match value {
            Value::Table(table) => Ok(Self { at, table }),
            other => Err(wrong(at, other, "a table")),
        }
    }

    fn refuse_unknown(&self, known: &[&str]) -> Result<(), SchemaError> {
        match self.table.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(SchemaError::UnknownKey {
                at: self.at.clone(),
                key: key.clone(),
                nearest: crate::nearest(key, known.iter().copied()).map(String::from),
            }),
            None => Ok(()),
        }
    }

    fn place(&self, key: &str) -> String {
        format!("`{key}` in {}", self.at)
    }

    fn required(&self, key: &'static str) -> Result<&'a Value, SchemaError> {
        self.table.get(key).ok_or_else(|| SchemaError::MissingKey {
            at: self.at.clone(),
            key,
        })
    }

    fn section(&self, key: &'static str, at: &str) -> Result<Section<'a>, SchemaError> {
        Section::of(at.to_owned(), self.required(key)?)
    }

    fn version(&self) -> Result<u32, SchemaError> {
        self.whole("version")?.ok_or_else(|| SchemaError::MissingKey {
            at: self.at.clone(),
            key: "version",
        })
    }

    fn whole(&self, key: &str) -> Result<Option<u32>, SchemaError> {
        let Some(value) = self.table.get(key) else {
            return Ok(None);
        };
        let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
        number
            .map(Some)
            .ok_or_else(|| wrong(self.place(key), value, "a whole number from 0"))
    }

    fn text(&self, key: &str) -> Result<Option<String>, SchemaError> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(wrong(self.place(key), other, "a string")),
        }
    }

    fn required_text(&self, key: &'static str) -> Result<String, SchemaError> {
        self.required(key)?;
        self.text(key)?.ok_or_else(|| SchemaError::MissingKey {
            at: self.at.clone(),
            key,
        })
    }

    fn list(&self, key: &str) -> Result<Option<&'a [Value]>, SchemaError> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::Array(values)) => Ok(Some(values)),
            Some(other) => Err(wrong(self.place(key), other, "a list")),
        }
    }

    fn texts(&self, key: &'static str) -> Result<Vec<String>, SchemaError> {
        self.required(key)?;
        let text = |value: &Value| match value {
            Value::String(text) => Ok(text.clone()),
            other => Err(wrong(
                format!("an entry of {}", self.place(key)),
                other,
                "a string",
            )),
        };
        self.list(key)?.unwrap_or_default().iter().map(text).collect()
    }
}

fn wrong(at: String, found: &Value, expected: &'static str) -> SchemaError {
    let found = match found {
        Value::Integer(number) => format!("the number {number}"),
        other => format!("of type {}", other.type_str()),
    };
    SchemaError::Value { at, found, expected }
}

fn read_task(name: &str, value: &Value) -> Result<Task, SchemaError> {
    let section = Section::of(format!("task `{name}`"), value)?;
    section.refuse_unknown(&["parent", "labels"])?;
    section.required("labels")?;
    let mut labels = Vec::new();
    for (position, value) in section.list("labels")?.unwrap_or_default().iter().enumerate() {
        labels.push(read_label(
            format!("label {} of {}", position + 1, section.at),
            value,
        )?);
    }
    let parent = section.text("parent")?.map(TaskName::new);
    let name = TaskName::new(name);
    Task::new(name.clone(), parent, labels).map_err(|label| SchemaError::Twice { task: name, label })
}

fn read_label(at: String, value: &Value) -> Result<Label, SchemaError> {
    if let Value::String(name) = value {
        return Ok(Label::named(name));
    }
    let Value::Table(table) = value else {
        return Err(wrong(at, value, "a string or a table"));
    };
    let section = Section { at, table };
    section.refuse_unknown(&["name", "parent", "since", "description"])?;
    Ok(Label {
        name: section.required_text("name")?,
        parent: section.text("parent")?,
        since: section.whole("since")?,
        description: section.text("description")?,
    })
}

const EDITS: [&str; 5] = ["rename", "merge", "split", "retire", "add"];

fn read_change(at: String, value: &Value) -> Result<Change, SchemaError> {
    let section = Section::of(at, value)?;
    section.refuse_unknown(&["version", "task", "rename", "merge", "split", "retire", "add"])?;
    let version = section.version()?;
    let task = TaskName::new(section.required_text("task")?);
    let edits: Vec<_> = EDITS
        .iter()
        .copied()
        .filter(|key| section.table.contains_key(*key))
        .collect();
    let [key] = edits[..] else {
        return Err(SchemaError::Value {
            at: section.at,
            found: format!("a change with {} edits", edits.len()),
            expected: "exactly one of rename, merge, split, retire, add",
        });
    };
    let edit = match key {
        "retire" => Edit::Retire(section.texts("retire")?),
        "add" => Edit::Add(section.texts("add")?),
        key => read_move(key, section.section(key, &section.place(key))?)?,
    };
    Ok(Change { version, task, edit })
}

/// The edits written as a table with `from` and `into`.
fn read_move(key: &str, section: Section<'_>) -> Result<Edit, SchemaError> {
    match key {
        "rename" => {
            section.refuse_unknown(&["from", "into"])?;
            Ok(Edit::Rename {
                from: section.required_text("from")?,
                into: section.required_text("into")?,
            })
        }
        "merge" => {
            section.refuse_unknown(&["from", "into"])?;
            Ok(Edit::Merge {
                from: section.texts("from")?,
                into: section.required_text("into")?,
            })
        }
        _ => {
            section.refuse_unknown(&["from", "into", "rules"])?;
            let mut rules = Vec::new();
            for (position, value) in section.list("rules")?.unwrap_or_default().iter().enumerate() {
                let rule = Section::of(format!("rule {} of {}", position + 1, section.at), value)?;
                rule.refuse_unknown(&["contains", "into"])?;
                rules.push(Rule {
                    contains: rule.required_text("contains")?,
                    into: rule.required_text("into")?,
                });
            }
            Ok(Edit::Split {
                from: section.required_text("from")?,
                into: section.texts("into")?,
                rules,
            })
        }
    }
}

/// A basic string on one line, which may stand as a key too; the library writes line breaks as they are.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

fn quoted_list(texts: &[String]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}

fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

fn write_task(text: &mut String, task: &Task) {
    let _ = writeln!(text, "\n[task.{}]", key(task.name().as_str()));
    if let Some(parent) = task.parent() {
        let _ = writeln!(text, "parent = {}", quoted(parent.as_str()));
    }
    text.push_str("labels = [\n");
    for label in task.labels() {
        let _ = writeln!(text, "  {},", written_label(label));
    }
    text.push_str("]\n");
}

fn written_label(label: &Label) -> String {
    let Label {
        name,
        parent,
        since,
        description,
    } = label;
    let mut keys = vec![format!("name = {}", quoted(name))];
    keys.extend(parent.iter().map(|parent| format!("parent = {}", quoted(parent))));
    keys.extend(since.iter().map(|since| format!("since = {since}")));
    keys.extend(
        description
            .iter()
            .map(|words| format!("description = {}", quoted(words))),
    );
    if keys.len() == 1 {
        quoted(name)
    } else {
        format!("{{ {} }}", keys.join(", "))
    }
}

fn write_change(text: &mut String, change: &Change) {
    let Change { version, task, edit } = change;
    let value = match edit {
        Edit::Rename { from, into } => format!("{{ from = {}, into = {} }}", quoted(from), quoted(into)),
        Edit::Merge { from, into } => format!("{{ from = {}, into = {} }}", quoted_list(from), quoted(into)),
        Edit::Split { from, into, rules } => {
            let mut keys = format!("from = {}, into = {}", quoted(from), quoted_list(into));
            if !rules.is_empty() {
                let rule = |r: &Rule| {
                    format!(
                        "{{ contains = {}, into = {} }}",
                        quoted(&r.contains),
                        quoted(&r.into)
                    )
                };
                let _ = write!(
                    keys,
                    ", rules = [{}]",
                    rules.iter().map(rule).collect::<Vec<_>>().join(", ")
                );
            }
            format!("{{ {keys} }}")
        }
        Edit::Retire(labels) | Edit::Add(labels) => quoted_list(labels),
    };
    let _ = writeln!(
        text,
        "\n[[change]]\nversion = {version}\ntask = {}\n{} = {value}",
        quoted(task.as_str()),
        edit.key()
    );
}
