//! Parquet, through its row interface.

use super::csv::check_header;
use super::row::Row;
use super::{ReadError, Rows};
use crate::Record;
use jiff::Timestamp;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::record::reader::RowIter;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// An open Parquet file.
pub(super) struct Parquet {
    file: Arc<Path>,
    rows: RowIter<'static>,
    columns: Vec<String>,
    row: u64,
    broken: bool,
}

impl Parquet {
    /// Reads the footer and checks that the columns hold what a record needs.
    pub(super) fn open(file: Arc<Path>) -> Result<Self, ReadError> {
        let handle = File::open(&file).map_err(|source| ReadError::Open {
            file: file.to_path_buf(),
            source,
        })?;
        let broken = |error| ReadError::Broken {
            file: file.to_path_buf(),
            row: 0,
            source: io::Error::other(cause(error)),
        };
        let reader = SerializedFileReader::new(handle).map_err(broken)?;
        let schema = reader.metadata().file_metadata().schema();
        let columns: Vec<String> = schema
            .get_fields()
            .iter()
            .map(|field| field.name().to_owned())
            .collect();
        check_header(&file, &columns)?;
        let rows = RowIter::from_file_into(Box::new(reader));
        Ok(Self {
            file,
            rows,
            columns,
            row: 0,
            broken: false,
        })
    }

    fn record(&self, fields: parquet::record::Row) -> Result<Record, ReadError> {
        let mut row = Row::new(&self.file, self.row, None);
        for (name, field) in fields.into_columns() {
            let text = match text(field) {
                Ok(text) => text,
                Err(found) => return Err(row.cell(&name, found, "text, a number or a time")),
            };
            row.set(&name, text)?;
        }
        row.finish()
    }
}

/// A cell as the text other formats would hold; `Err` says what it is instead.
fn text(field: Field) -> Result<String, &'static str> {
    let time = |time: Result<Timestamp, jiff::Error>| {
        time.map(|time| time.to_string())
            .map_err(|_| "a time out of range")
    };
    Ok(match field {
        Field::Null => String::new(),
        Field::Str(text) => text,
        Field::Bytes(bytes) => {
            String::from_utf8(bytes.data().to_vec()).map_err(|_| "bytes that are not UTF-8")?
        }
        Field::TimestampMillis(millis) => time(Timestamp::from_millisecond(millis))?,
        Field::TimestampMicros(micros) => time(Timestamp::from_microsecond(micros))?,
        Field::Bool(value) => value.to_string(),
        Field::Byte(value) => value.to_string(),
        Field::Short(value) => value.to_string(),
        Field::Int(value) => value.to_string(),
        Field::Long(value) => value.to_string(),
        Field::UByte(value) => value.to_string(),
        Field::UShort(value) => value.to_string(),
        Field::UInt(value) => value.to_string(),
        Field::ULong(value) => value.to_string(),
        Field::Float(value) => value.to_string(),
        Field::Double(value) => value.to_string(),
        _ => return Err("a nested or unusual type"),
    })
}

/// Without the library's prefix, which repeats what the error around it says.
fn cause(error: ParquetError) -> String {
    match error {
        ParquetError::General(text) | ParquetError::NYI(text) | ParquetError::EOF(text) => text,
        other => other.to_string(),
    }
}

impl Iterator for Parquet {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        match self.rows.next()? {
            Ok(fields) => {
                self.row += 1;
                Some(self.record(fields))
            }
            Err(error) => {
                self.broken = true;
                let source = io::Error::other(cause(error));
                Some(Err(ReadError::Broken {
                    file: self.file.to_path_buf(),
                    row: self.row,
                    source,
                }))
            }
        }
    }
}

impl Rows for Parquet {
    fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }
}
