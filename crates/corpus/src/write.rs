//! Writes records as CSV, JSON Lines or Parquet; the reverse of [`read`](crate::read).
//!
//! A mail read raw is written raw, in the columns `raw` and `raw_encoding`, so that cleaning it later
//! sees the same headers and parts.

mod parquet;

use crate::{Content, Format, Record};
use base64::Engine as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Why records cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// An ending no writer knows.
    #[error("cannot write `{}`: expected a path ending in .csv, .jsonl (either may end in .gz) or .parquet", .file.display())]
    Format {
        /// The file.
        file: PathBuf,
    },
    /// A record has a value in a column that is not written.
    #[error("cannot write `{}`: the row `{id}` has a value for `{column}`, which is not among the columns", .file.display())]
    Column {
        /// The file.
        file: PathBuf,
        /// The row.
        id: String,
        /// The column.
        column: String,
    },
    /// The disk refuses.
    #[error("cannot write `{}`", .file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Writes records to a new file, in the format its ending names; an existing file is replaced.
///
/// `columns` are written in this order; CSV and Parquet have every one of them in every row, JSON Lines
/// leaves out what a row has no value for. The same records give the same bytes.
///
/// # Errors
/// [`WriteError`] when the ending is unknown, the disk refuses, or a value has no column.
pub fn write<'a>(
    path: &Path,
    columns: &[String],
    records: impl IntoIterator<Item = &'a Record>,
) -> Result<(), WriteError> {
    let file = || path.to_path_buf();
    let (format, gzip) = Format::of(path).ok_or_else(|| WriteError::Format { file: file() })?;
    let rows = records.into_iter().map(|record| cells(path, columns, record));
    let tabs = path
        .to_str()
        .is_some_and(|path| path.trim_end_matches(".gz").ends_with(".tsv"));
    let write = match format {
        Format::Csv if tabs => csv::<b'\t'>,
        Format::Csv => csv::<b','>,
        Format::JsonLines => json_lines,
        Format::Parquet => parquet::write,
        Format::Mbox | Format::Eml | Format::Folder => return Err(WriteError::Format { file: file() }),
    };
    let failed = |source| WriteError::Write { file: file(), source };
    let mut refused = None;
    // The first refused row ends the rows; it is reported once the writer has let go of them.
    let mut rows = rows.map_while(|row| row.map_err(|error| refused = Some(error)).ok());
    let out = BufWriter::new(File::create(path).map_err(failed)?);
    if gzip {
        let mut out = GzEncoder::new(out, Compression::default());
        write(&mut out, columns, &mut rows).map_err(failed)?;
        out.finish().and_then(|mut out| out.flush()).map_err(failed)?;
    } else {
        let mut out = out;
        write(&mut out, columns, &mut rows).map_err(failed)?;
        out.flush().map_err(failed)?;
    }
    refused.map_or(Ok(()), Err)
}

/// The cells of one row, a text per column; `None` where the row has no value.
type Cells = Vec<Option<String>>;

fn csv<const DELIMITER: u8>(
    out: &mut (dyn Write + Send),
    columns: &[String],
    rows: &mut dyn Iterator<Item = Cells>,
) -> io::Result<()> {
    let mut writer = csv::WriterBuilder::new().delimiter(DELIMITER).from_writer(out);
    writer.write_record(columns)?;
    for cells in rows {
        writer.write_record(cells.iter().map(|cell| cell.as_deref().unwrap_or_default()))?;
    }
    writer.flush()
}

fn json_lines(
    out: &mut (dyn Write + Send),
    columns: &[String],
    rows: &mut dyn Iterator<Item = Cells>,
) -> io::Result<()> {
    for cells in rows {
        let pairs = columns.iter().zip(cells);
        let object: Map<String, Value> = pairs
            .filter_map(|(column, cell)| Some((column.clone(), Value::String(cell?))))
            .collect();
        serde_json::to_writer(&mut *out, &object)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// The values of a record in the order of the columns.
fn cells(path: &Path, columns: &[String], record: &Record) -> Result<Cells, WriteError> {
    let Record {
        id,
        content,
        broker,
        received_at,
        thread,
        language,
        group,
        labels,
        origin: _,
    } = record;
    let (subject, body, raw) = match content {
        Content::Body { subject, body } => (Some(subject.clone()), Some(body.clone()), None),
        Content::Raw(bytes) => (None, None, Some(bytes)),
    };
    let (raw, encoding) = match raw.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => (None, None),
        Some(Ok(text)) => (Some(text.to_owned()), None),
        Some(Err(bytes)) => (
            Some(base64::engine::general_purpose::STANDARD.encode(bytes)),
            Some("base64".to_owned()),
        ),
    };
    let mut known = [
        ("id", Some(id.clone())),
        ("subject", subject),
        ("body", body),
        ("raw", raw),
        ("raw_encoding", encoding),
        ("broker", broker.clone()),
        ("received_at", received_at.map(|time| time.to_string())),
        ("thread", thread.clone()),
        ("language", language.clone()),
        ("group", group.clone()),
    ];
    let mut labels: Vec<(&str, Option<String>)> = labels
        .iter()
        .map(|(column, label)| (column.as_str(), Some(label.clone())))
        .collect();
    let mut cells = Vec::with_capacity(columns.len());
    for column in columns {
        let of = |cells: &mut [(&str, Option<String>)]| {
            cells
                .iter_mut()
                .find(|(name, _)| name == column)
                .and_then(|(_, cell)| cell.take())
        };
        cells.push(of(&mut known).or_else(|| of(&mut labels)));
    }
    // An empty subject or body needs no column; anything else would be lost.
    let lost = known
        .iter()
        .chain(&labels)
        .find(|(_, cell)| cell.as_ref().is_some_and(|cell| !cell.is_empty()));
    match lost {
        Some((column, _)) => {
            let (file, column) = (path.to_path_buf(), (*column).to_owned());
            Err(WriteError::Column {
                file,
                id: id.clone(),
                column,
            })
        }
        None => Ok(cells),
    }
}
