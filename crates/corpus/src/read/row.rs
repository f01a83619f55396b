//! Turns the cells of one row into a record; the same rules for every table format.

use super::ReadError;
use crate::{Content, Origin, Record};
use base64::Engine as _;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A row being read.
pub(super) struct Row {
    file: Arc<Path>,
    row: u64,
    line: Option<u64>,
    subject: String,
    body: String,
    raw: Option<String>,
    base64: bool,
    record: Record,
}

impl Row {
    pub(super) fn new(file: &Arc<Path>, row: u64, line: Option<u64>) -> Self {
        let record = Record {
            id: String::new(),
            content: Content::Raw(Vec::new()),
            broker: None,
            received_at: None,
            thread: None,
            language: None,
            group: None,
            labels: BTreeMap::new(),
            origin: Origin {
                file: file.clone(),
                row,
            },
        };
        let (subject, body) = (String::new(), String::new());
        Self {
            file: file.clone(),
            row,
            line,
            subject,
            body,
            raw: None,
            base64: false,
            record,
        }
    }

    /// An error about one cell of this row.
    pub(super) fn cell(&self, field: &str, found: impl Into<String>, expected: &'static str) -> ReadError {
        ReadError::Cell {
            file: self.file.to_path_buf(),
            row: self.row,
            line: self.line,
            field: field.to_owned(),
            found: found.into(),
            expected,
        }
    }

    /// An error about the row as a whole.
    pub(super) fn whole(&self, found: impl Into<String>, expected: impl Into<String>) -> ReadError {
        ReadError::Row {
            file: self.file.to_path_buf(),
            row: self.row,
            line: self.line,
            found: found.into(),
            expected: expected.into(),
        }
    }

    /// Takes one cell.
    pub(super) fn set(&mut self, field: &str, value: String) -> Result<(), ReadError> {
        let trimmed = value.trim();
        let name = || (!trimmed.is_empty()).then(|| trimmed.to_owned());
        match field {
            "id" => self.record.id = trimmed.to_owned(),
            "subject" => self.subject = value,
            "body" => self.body = value,
            "raw" => self.raw = (!value.is_empty()).then_some(value),
            "raw_encoding" => match trimmed {
                "" => {}
                "base64" => self.base64 = true,
                _ => return Err(self.cell(field, described(trimmed), "`base64` or nothing")),
            },
            "broker" => self.record.broker = name(),
            "thread" => self.record.thread = name(),
            "language" => self.record.language = name(),
            "group" => self.record.group = name(),
            "received_at" if trimmed.is_empty() => {}
            "received_at" => match trimmed.parse() {
                Ok(time) => self.record.received_at = Some(time),
                Err(_) => {
                    let expected = "an RFC 3339 time such as 2026-11-23T09:30:00+01:00";
                    return Err(self.cell(field, described(trimmed), expected));
                }
            },
            _ => {
                if let Some(label) = name() {
                    self.record.labels.insert(field.to_owned(), label);
                }
            }
        }
        Ok(())
    }

    /// The record, when the row has what a record needs.
    pub(super) fn finish(mut self) -> Result<Record, ReadError> {
        if self.record.id.is_empty() {
            return Err(self.cell("id", "nothing", "a name for the row"));
        }
        self.record.content = match self.raw.take() {
            None => Content::Body {
                subject: std::mem::take(&mut self.subject),
                body: std::mem::take(&mut self.body),
            },
            Some(raw) if self.base64 => match base64::engine::general_purpose::STANDARD.decode(raw.trim()) {
                Ok(bytes) => Content::Raw(bytes),
                Err(_) => return Err(self.cell("raw", "text that is not base64", "base64")),
            },
            Some(raw) => Content::Raw(raw.into_bytes()),
        };
        Ok(self.record)
    }
}

/// A value as an error may show it: itself when it can only be a date, a number or a keyword, else its size.
fn described(value: &str) -> String {
    let plain = |c: char| c.is_ascii_digit() || "-+:./TZ ".contains(c);
    if value.len() <= 35 && value.chars().all(plain) {
        format!("`{value}`")
    } else {
        format!("a text of {} characters", value.chars().count())
    }
}
