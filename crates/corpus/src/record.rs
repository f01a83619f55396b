//! A row of a dataset as its file has it, before cleaning.

use jiff::Timestamp;
use poststelle_mail::Message;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// One mail and what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Names the row; never empty.
    pub id: String,
    /// The mail itself.
    pub content: Content,
    /// The broker the mail came through.
    pub broker: Option<String>,
    /// When the mail arrived.
    pub received_at: Option<Timestamp>,
    /// The conversation the mail belongs to.
    pub thread: Option<String>,
    /// The language the file claims.
    pub language: Option<String>,
    /// Rows of one group stay on one side of a split.
    pub group: Option<String>,
    /// Every other column with a value, by column name; space around the value is cut off.
    pub labels: BTreeMap<String, String>,
    /// Where the row was read.
    pub origin: Origin,
}

/// A mail as the file holds it.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// A subject and a body, plain text or HTML.
    Body {
        /// The subject, possibly empty.
        subject: String,
        /// The body, possibly empty.
        body: String,
    },
    /// The bytes as they were sent, headers included.
    Raw(Vec<u8>),
}

/// Prints sizes, never text: mail does not belong in logs.
impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Body { subject, body } => write!(f, "Body[{} + {} bytes]", subject.len(), body.len()),
            Self::Raw(bytes) => write!(f, "Raw[{} bytes]", bytes.len()),
        }
    }
}

/// Where a record was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub file: Arc<Path>,
    /// The row in it, from 1, not counting a header.
    pub row: u64,
}

impl Record {
    /// The mail, parsed.
    pub fn message(&self) -> Message {
        match &self.content {
            Content::Body { subject, body } => Message::from_body(subject, body),
            Content::Raw(bytes) => Message::parse(bytes),
        }
    }

    /// The value of a label column, `None` where the row has none.
    pub fn label(&self, column: &str) -> Option<&str> {
        self.labels.get(column).map(String::as_str)
    }
}

/// How a dataset is stored, told by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Values separated by commas (or semicolons or tabs when the header has those), RFC 4180 quoting.
    Csv,
    /// One JSON object a line.
    JsonLines,
    /// Apache Parquet.
    Parquet,
    /// Mails one after another, each after a `From ` line.
    Mbox,
    /// One mail.
    Eml,
    /// A directory of `.eml` files, searched downwards.
    Folder,
}

impl Format {
    /// The format a path names and whether the file is compressed with gzip; `None` for other endings.
    pub fn of(path: &Path) -> Option<(Self, bool)> {
        if path.is_dir() {
            return Some((Self::Folder, false));
        }
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let (name, gzip) = match name.strip_suffix(".gz") {
            Some(inner) => (inner, true),
            None => (name.as_str(), false),
        };
        let format = match name.rsplit_once('.')?.1 {
            "csv" | "tsv" => Self::Csv,
            "jsonl" | "ndjson" => Self::JsonLines,
            "parquet" if !gzip => Self::Parquet,
            "mbox" => Self::Mbox,
            "eml" => Self::Eml,
            _ => return None,
        };
        Some((format, gzip))
    }

    /// The endings a table may have, for messages.
    pub const ENDINGS: &'static str = "a path ending in .csv, .jsonl (either may end in .gz), .parquet, .mbox or .eml, or a directory of .eml files";
}
