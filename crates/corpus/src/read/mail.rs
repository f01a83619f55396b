//! Mail exports: an mbox, one `.eml` file, or a directory of them, with labels beside them by Message-ID.

use super::csv::Csv;
use super::{ReadError, Rows, stream};
use crate::{Content, Format, Origin, Record};
use jiff::Timestamp;
use poststelle_mail::{Message, mbox};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Label columns by Message-ID, from a table with a column `message_id`.
#[derive(Default)]
pub(super) struct SideLabels {
    columns: Vec<String>,
    by_id: HashMap<String, Record>,
}

impl SideLabels {
    /// Reads a side file: any table format, `message_id` in place of `id`, no text needed.
    pub(super) fn read(path: &Path) -> Result<Self, ReadError> {
        let Some((Format::Csv, gzip)) = Format::of(path) else {
            let expected = "a path ending in .csv or .csv.gz".to_owned();
            return Err(ReadError::File {
                file: path.to_path_buf(),
                found: "another ending".to_owned(),
                expected,
            });
        };
        let mut rows = Csv::open_labels(Arc::from(path), super::text(path, gzip)?)?;
        let mut by_id = HashMap::new();
        for row in &mut rows {
            let row = row?;
            by_id.insert(bare(&row.id).to_owned(), row);
        }
        let columns = rows.columns().into_iter().filter(|name| name != "id").collect();
        Ok(Self { columns, by_id })
    }
}

/// Where the mails come from.
enum Source {
    Mbox(mbox::Messages<Box<dyn BufRead + Send>>),
    Files(std::vec::IntoIter<PathBuf>),
}

/// Mails being read.
pub(super) struct Mails {
    file: Arc<Path>,
    source: Source,
    labels: SideLabels,
    row: u64,
}

impl Mails {
    pub(super) fn mbox(file: Arc<Path>, gzip: bool, labels: SideLabels) -> Result<Self, ReadError> {
        let source = Source::Mbox(mbox::messages(stream(&file, gzip)?));
        Ok(Self {
            file,
            source,
            labels,
            row: 0,
        })
    }

    pub(super) fn files(file: Arc<Path>, files: Vec<PathBuf>, labels: SideLabels) -> Self {
        Self {
            file,
            source: Source::Files(files.into_iter()),
            labels,
            row: 0,
        }
    }

    /// The record of one mail. A mail without Message-ID is named by its file, or its place in the mbox.
    fn record(&self, raw: Vec<u8>, file: &Arc<Path>, row: u64) -> Record {
        let message = Message::parse(&raw);
        let own = message.message_id().map(bare).filter(|id| !id.is_empty());
        let name = || {
            let stem = file
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default();
            if matches!(self.source, Source::Mbox(_)) {
                format!("{stem}-{row}")
            } else {
                stem
            }
        };
        let labelled = own.and_then(|id| self.labels.by_id.get(id));
        let date = message.date().and_then(|date| date.parse::<Timestamp>().ok());
        Record {
            id: own.map_or_else(name, str::to_owned),
            broker: labelled.and_then(|row| row.broker.clone()),
            received_at: labelled.and_then(|row| row.received_at).or(date),
            thread: labelled
                .and_then(|row| row.thread.clone())
                .or(message.thread().map(|id| bare(id).to_owned())),
            language: labelled.and_then(|row| row.language.clone()),
            group: labelled.and_then(|row| row.group.clone()),
            labels: labelled.map_or_else(BTreeMap::new, |row| row.labels.clone()),
            origin: Origin {
                file: file.clone(),
                row,
            },
            content: Content::Raw(raw),
        }
    }

    fn broken(&self, file: &Path, source: io::Error) -> ReadError {
        ReadError::Broken {
            file: file.to_path_buf(),
            row: self.row,
            source,
        }
    }
}

impl Iterator for Mails {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            Source::Mbox(messages) => {
                let raw = messages.next()?;
                let raw = raw.map_err(|source| self.broken(&self.file, source));
                self.row += 1;
                Some(raw.map(|raw| self.record(raw, &self.file, self.row)))
            }
            Source::Files(files) => {
                let path = files.next()?;
                let raw = fs::read(&path).map_err(|source| ReadError::Open {
                    file: path.clone(),
                    source,
                });
                self.row += 1;
                // Each file holds one mail, so the row in it is the first.
                Some(raw.map(|raw| self.record(raw, &Arc::from(path), 1)))
            }
        }
    }
}

impl Rows for Mails {
    fn columns(&self) -> Vec<String> {
        let known = ["id", "raw", "raw_encoding", "received_at", "thread"].map(String::from);
        let labels = self
            .labels
            .columns
            .iter()
            .filter(|name| !known.contains(name))
            .cloned();
        known.iter().cloned().chain(labels).collect()
    }
}

/// The `.eml` files below a directory, sorted by path.
pub(super) fn eml_files(folder: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        let failed = |source| ReadError::Open {
            file: folder.clone(),
            source,
        };
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // A link to a directory is not followed, so no circle of links is walked.
            if entry.file_type().map_err(failed)?.is_dir() {
                folders.push(entry.path());
            } else if entry
                .path()
                .extension()
                .is_some_and(|ending| ending.eq_ignore_ascii_case("eml"))
            {
                files.push(entry.path());
            }
        }
    }
    if files.is_empty() {
        let (found, expected) = ("no .eml file".to_owned(), "at least one".to_owned());
        return Err(ReadError::File {
            file: folder.to_path_buf(),
            found,
            expected,
        });
    }
    files.sort();
    Ok(files)
}

/// A Message-ID without its angle brackets.
fn bare(id: &str) -> &str {
    id.trim().trim_start_matches('<').trim_end_matches('>')
}
