//! Reads datasets and mail exports as records.
//!
//! A reader goes on after a row it cannot use, so a caller may stop at the first error
//! (`reader.collect::<Result<_, _>>()`, [`all`]) or see them all ([`lenient`]). What breaks the file
//! itself (a lost disk, a torn gzip stream) is the reader's last word.

mod csv;
mod jsonl;
mod mail;
mod parquet;
mod row;

use crate::{Format, Record};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Columns with a meaning of their own; every other column holds labels.
pub const KNOWN: [&str; 10] = [
    "id",
    "subject",
    "body",
    "raw",
    "raw_encoding",
    "broker",
    "received_at",
    "thread",
    "language",
    "group",
];

/// Why a file or a row cannot be read. Never holds mail text.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened.
    #[error("cannot open `{}`", .file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file breaks off or the disk fails; nothing more can be read.
    #[error("cannot read `{}` after row {row}", .file.display())]
    Broken {
        /// The file.
        file: PathBuf,
        /// Rows read before.
        row: u64,
        /// The cause.
        source: io::Error,
    },
    /// The file as a whole is not what it should be.
    #[error("`{}` has {found}, expected {expected}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What it has.
        found: String,
        /// What it should have.
        expected: String,
    },
    /// A row that cannot be used.
    #[error("`{}` row {row}{}: found {found}, expected {expected}", .file.display(), at_line(.line))]
    Row {
        /// The file.
        file: PathBuf,
        /// The row, from 1, not counting a header.
        row: u64,
        /// The line the row starts on, from 1, where the format has lines.
        line: Option<u64>,
        /// What the row has.
        found: String,
        /// What it should have.
        expected: String,
    },
    /// A cell that cannot be used.
    #[error("`{}` row {row}{}, field `{field}`: found {found}, expected {expected}", .file.display(), at_line(.line))]
    Cell {
        /// The file.
        file: PathBuf,
        /// The row, from 1, not counting a header.
        row: u64,
        /// The line the row starts on, from 1, where the format has lines.
        line: Option<u64>,
        /// The column.
        field: String,
        /// What the cell holds; a description, not its text.
        found: String,
        /// What it should hold.
        expected: &'static str,
    },
}

fn at_line(line: &Option<u64>) -> String {
    line.map(|line| format!(" (line {line})")).unwrap_or_default()
}

impl ReadError {
    /// True when the rest of the file was not read.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::Broken { .. } | Self::File { .. })
    }
}

/// Rows of one file.
trait Rows: Iterator<Item = Result<Record, ReadError>> + Send {
    /// The columns met so far, in the order of the file.
    fn columns(&self) -> Vec<String>;
}

/// An open dataset or mail export: an iterator of records.
pub struct Reader(Box<dyn Rows>);

impl Reader {
    /// The columns in the order of the file; for JSON Lines those met so far.
    pub fn columns(&self) -> Vec<String> {
        self.0.columns()
    }
}

impl Iterator for Reader {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

/// What is read beside the file itself.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// For mail exports: a table with a column `message_id` and label columns.
    pub labels: Option<PathBuf>,
}

/// Opens a dataset or a mail export by its ending, see [`Format::of`].
///
/// # Errors
/// [`ReadError`] when the file cannot be opened, has an ending no reader knows, or lacks a column.
pub fn open(path: impl AsRef<Path>) -> Result<Reader, ReadError> {
    open_with(path, &Options::default())
}

/// Opens a dataset or a mail export with a side file of labels.
///
/// # Errors
/// As [`open`]; also when labels are given for a table, which holds its own.
pub fn open_with(path: impl AsRef<Path>, options: &Options) -> Result<Reader, ReadError> {
    let path = path.as_ref();
    let file = || path.to_path_buf();
    let Some((format, gzip)) = Format::of(path) else {
        let expected = Format::ENDINGS.to_owned();
        return Err(ReadError::File {
            file: file(),
            found: "an unknown ending".to_owned(),
            expected,
        });
    };
    let table = matches!(format, Format::Csv | Format::JsonLines | Format::Parquet);
    if let (true, Some(side)) = (table, &options.labels) {
        return Err(ReadError::File {
            file: file(),
            found: format!("columns of its own beside the labels in `{}`", side.display()),
            expected: "an mbox or .eml files when labels come from a side file".to_owned(),
        });
    }
    let labels = match &options.labels {
        Some(side) => mail::SideLabels::read(side)?,
        None => mail::SideLabels::default(),
    };
    let shared: Arc<Path> = Arc::from(path);
    let rows: Box<dyn Rows> = match format {
        Format::Csv => Box::new(csv::Csv::open(shared, text(path, gzip)?)?),
        Format::JsonLines => Box::new(jsonl::JsonLines::new(shared, text(path, gzip)?)),
        Format::Parquet => Box::new(parquet::Parquet::open(shared)?),
        Format::Mbox => Box::new(mail::Mails::mbox(shared, gzip, labels)?),
        Format::Eml => Box::new(mail::Mails::files(shared, vec![path.to_path_buf()], labels)),
        Format::Folder => Box::new(mail::Mails::files(shared, mail::eml_files(path)?, labels)),
    };
    Ok(Reader(rows))
}

/// Reads a table that arrives as a stream, such as standard input; `name` stands for it in messages.
///
/// # Errors
/// [`ReadError::File`] for a format that is no text table, or a table that lacks a column.
pub fn from_stream(
    name: &Path,
    format: Format,
    stream: Box<dyn BufRead + Send>,
) -> Result<Reader, ReadError> {
    let shared: Arc<Path> = Arc::from(name);
    let rows: Box<dyn Rows> = match format {
        Format::Csv => Box::new(csv::Csv::open(shared, unmarked(name, stream)?)?),
        Format::JsonLines => Box::new(jsonl::JsonLines::new(shared, unmarked(name, stream)?)),
        Format::Parquet | Format::Mbox | Format::Eml | Format::Folder => {
            return Err(ReadError::File {
                file: name.to_path_buf(),
                found: "a format that cannot be streamed".to_owned(),
                expected: "CSV or JSON Lines".to_owned(),
            });
        }
    };
    Ok(Reader(rows))
}

/// Every record of a file.
///
/// # Errors
/// The first [`ReadError`].
pub fn all(path: impl AsRef<Path>) -> Result<Vec<Record>, ReadError> {
    open(path)?.collect()
}

/// A file as it was read: usable records, columns, and the errors of the rest.
#[derive(Debug)]
pub struct Lenient {
    /// The usable records, in order.
    pub records: Vec<Record>,
    /// The columns, in the order of the file.
    pub columns: Vec<String>,
    /// Why each other row cannot be used, in order.
    pub errors: Vec<ReadError>,
}

/// Reads on past rows that cannot be used.
///
/// # Errors
/// A [`ReadError`] when the file cannot be opened at all.
pub fn lenient(path: impl AsRef<Path>, options: &Options) -> Result<Lenient, ReadError> {
    let mut reader = open_with(path, options)?;
    let (mut records, mut errors) = (Vec::new(), Vec::new());
    for row in &mut reader {
        match row {
            Ok(record) => records.push(record),
            Err(error) => errors.push(error),
        }
    }
    Ok(Lenient {
        records,
        columns: reader.columns(),
        errors,
    })
}

/// The bytes of a file, decompressed.
fn stream(path: &Path, gzip: bool) -> Result<Box<dyn BufRead + Send>, ReadError> {
    let file = File::open(path).map_err(|source| ReadError::Open {
        file: path.to_path_buf(),
        source,
    })?;
    let file = BufReader::with_capacity(1 << 16, file);
    Ok(match gzip {
        true => Box::new(BufReader::with_capacity(
            1 << 16,
            flate2::bufread::MultiGzDecoder::new(file),
        )),
        false => Box::new(file),
    })
}

/// A text file without its byte order mark.
fn text(path: &Path, gzip: bool) -> Result<Box<dyn BufRead + Send>, ReadError> {
    unmarked(path, stream(path, gzip)?)
}

/// A stream of text without its byte order mark.
fn unmarked(path: &Path, mut stream: Box<dyn BufRead + Send>) -> Result<Box<dyn BufRead + Send>, ReadError> {
    let start = stream.fill_buf();
    let start = start.map_err(|source| ReadError::Broken {
        file: path.to_path_buf(),
        row: 0,
        source,
    })?;
    if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
        return Err(ReadError::File {
            file: path.to_path_buf(),
            found: "UTF-16 text".to_owned(),
            expected: "UTF-8; save it as UTF-8".to_owned(),
        });
    }
    if start.starts_with(&[0xef, 0xbb, 0xbf]) {
        stream.consume(3);
    }
    Ok(stream)
}
