//! CSV: RFC 4180 quoting, `,` `;` or tab between values, UTF-8.

use super::row::Row;
use super::{ReadError, Rows};
use crate::Record;
use csv::{ByteRecord, ReaderBuilder};
use std::collections::HashSet;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

/// An open CSV file.
pub(super) struct Csv {
    file: Arc<Path>,
    reader: csv::Reader<Box<dyn BufRead + Send>>,
    columns: Vec<String>,
    cells: ByteRecord,
    row: u64,
    broken: bool,
}

impl Csv {
    /// Reads the header and checks that it has what a record needs.
    pub(super) fn open(file: Arc<Path>, stream: Box<dyn BufRead + Send>) -> Result<Self, ReadError> {
        let csv = Self::with_header(file, stream)?;
        check_header(&csv.file, &csv.columns)?;
        Ok(csv)
    }

    /// Opens labels without mails: the column `message_id` (or `id`) names the mail, no text is needed.
    pub(super) fn open_labels(file: Arc<Path>, stream: Box<dyn BufRead + Send>) -> Result<Self, ReadError> {
        let mut csv = Self::with_header(file, stream)?;
        if let Some(name) = csv.columns.iter_mut().find(|name| *name == "message_id") {
            "id".clone_into(name);
        }
        check_columns(&csv.file, &csv.columns, "message_id")?;
        Ok(csv)
    }

    fn with_header(file: Arc<Path>, mut stream: Box<dyn BufRead + Send>) -> Result<Self, ReadError> {
        let broken = |row, source| ReadError::Broken {
            file: file.to_path_buf(),
            row,
            source,
        };
        let start = stream.fill_buf().map_err(|source| broken(0, source))?;
        let delimiter = delimiter(start);
        // `flexible`: a ragged row is our error, with row and field, not the end of the file.
        let mut reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .from_reader(stream);
        let header = reader.byte_headers().map_err(|error| broken(0, error.into()))?;
        let mut columns = Vec::with_capacity(header.len());
        for cell in header {
            let name = std::str::from_utf8(cell).map_err(|_| ReadError::File {
                file: file.to_path_buf(),
                found: "a header with bytes that are not UTF-8".to_owned(),
                expected: "UTF-8; save it as UTF-8".to_owned(),
            })?;
            columns.push(name.trim().to_owned());
        }
        Ok(Self {
            file,
            reader,
            columns,
            cells: ByteRecord::new(),
            row: 0,
            broken: false,
        })
    }

    fn record(&self) -> Result<Record, ReadError> {
        let line = self.cells.position().map(|position| position.line());
        let mut row = Row::new(&self.file, self.row, line);
        let (found, expected) = (self.cells.len(), self.columns.len());
        if found != expected {
            let last = self
                .columns
                .get(found.wrapping_sub(1))
                .filter(|_| found < expected);
            let found = match last {
                Some(last) => format!("{found} fields, the last in column `{last}`"),
                None => format!("{found} fields"),
            };
            return Err(row.whole(found, format!("{expected}, one per column; is a quote missing?")));
        }
        for (column, cell) in self.columns.iter().zip(&self.cells) {
            match std::str::from_utf8(cell) {
                Ok(_) if column.is_empty() => {}
                Ok(text) => row.set(column, text.to_owned())?,
                Err(_) => return Err(row.cell(column, "bytes that are not UTF-8", "UTF-8 text")),
            }
        }
        row.finish()
    }
}

impl Iterator for Csv {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        match self.reader.read_byte_record(&mut self.cells) {
            Ok(false) => None,
            Ok(true) => {
                self.row += 1;
                Some(self.record())
            }
            Err(error) => {
                self.broken = true;
                let file = self.file.to_path_buf();
                Some(Err(ReadError::Broken {
                    file,
                    row: self.row,
                    source: error.into(),
                }))
            }
        }
    }
}

impl Rows for Csv {
    fn columns(&self) -> Vec<String> {
        self.columns
            .iter()
            .filter(|name| !name.is_empty())
            .cloned()
            .collect()
    }
}

/// The delimiter that stands most often in the first line, a comma when in doubt; German spreadsheets
/// write `;`.
fn delimiter(start: &[u8]) -> u8 {
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut best = (0, b',');
    for candidate in [b',', b';', b'\t'] {
        let count = line.iter().filter(|byte| **byte == candidate).count();
        if count > best.0 {
            best = (count, candidate);
        }
    }
    best.1
}

/// Refuses a header without an id, without a text, or with a column twice. Shared by the table formats
/// that have a header.
pub(super) fn check_header(file: &Path, columns: &[String]) -> Result<(), ReadError> {
    check_columns(file, columns, "id")?;
    if !["body", "subject", "raw"]
        .iter()
        .any(|name| columns.iter().any(|column| column == name))
    {
        return Err(lacks(file, columns, "a column `body`, `subject` or `raw`"));
    }
    Ok(())
}

/// Refuses a header without an id (which the reader knows as `called`) or with a column twice.
fn check_columns(file: &Path, columns: &[String], called: &str) -> Result<(), ReadError> {
    let mut seen = HashSet::new();
    if let Some(name) = columns
        .iter()
        .find(|name| !name.is_empty() && !seen.insert(*name))
    {
        return Err(ReadError::File {
            file: file.to_path_buf(),
            found: format!("the column `{name}` twice"),
            expected: "every column once".to_owned(),
        });
    }
    if !columns.iter().any(|name| name == "id") {
        return Err(lacks(file, columns, &format!("a column `{called}`")));
    }
    Ok(())
}

fn lacks(file: &Path, columns: &[String], expected: &str) -> ReadError {
    let names: Vec<_> = columns.iter().map(|name| format!("`{name}`")).collect();
    let found = match names.as_slice() {
        [] => "no header".to_owned(),
        names => format!("the columns {}", names.join(", ")),
    };
    ReadError::File {
        file: file.to_path_buf(),
        found,
        expected: expected.to_owned(),
    }
}
