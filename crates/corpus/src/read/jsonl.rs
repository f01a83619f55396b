//! JSON Lines: one object a line; the keys are the columns.

use super::row::Row;
use super::{ReadError, Rows};
use crate::Record;
use serde_json::{Map, Value};
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

/// An open file of JSON Lines.
pub(super) struct JsonLines {
    file: Arc<Path>,
    stream: Box<dyn BufRead + Send>,
    columns: Vec<String>,
    bytes: Vec<u8>,
    row: u64,
    line: u64,
    broken: bool,
}

impl JsonLines {
    pub(super) fn new(file: Arc<Path>, stream: Box<dyn BufRead + Send>) -> Self {
        Self {
            file,
            stream,
            columns: Vec::new(),
            bytes: Vec::new(),
            row: 0,
            line: 0,
            broken: false,
        }
    }

    fn record(&mut self) -> Result<Record, ReadError> {
        let mut row = Row::new(&self.file, self.row, Some(self.line));
        let Ok(text) = std::str::from_utf8(&self.bytes) else {
            return Err(row.whole("bytes that are not UTF-8", "UTF-8 text"));
        };
        let object: Map<String, Value> = match serde_json::from_str(text) {
            Ok(Value::Object(object)) => object,
            Ok(other) => return Err(row.whole(kind(&other), "a JSON object")),
            // The parser's own words could quote the mail; its position does not.
            Err(error) => {
                return Err(row.whole(format!("no JSON at column {}", error.column()), "a JSON object"));
            }
        };
        let has_text = ["body", "subject", "raw"]
            .iter()
            .any(|key| object.contains_key(*key));
        for (key, value) in object {
            let text = match value {
                Value::Null => String::new(),
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(yes) => yes.to_string(),
                other => return Err(row.cell(&key, kind(&other), "a string, a number or null")),
            };
            if !self.columns.contains(&key) {
                self.columns.push(key.clone());
            }
            row.set(&key, text)?;
        }
        if !has_text {
            return Err(row.whole("no text", "a key `body`, `subject` or `raw`"));
        }
        row.finish()
    }
}

impl Iterator for JsonLines {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.broken {
            self.bytes.clear();
            match self.stream.read_until(b'\n', &mut self.bytes) {
                Ok(0) => return None,
                Ok(_) => self.line += 1,
                Err(source) => {
                    self.broken = true;
                    let file = self.file.to_path_buf();
                    return Some(Err(ReadError::Broken {
                        file,
                        row: self.row,
                        source,
                    }));
                }
            }
            if !self.bytes.trim_ascii().is_empty() {
                self.row += 1;
                return Some(self.record());
            }
        }
        None
    }
}

impl Rows for JsonLines {
    fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
