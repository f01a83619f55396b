//! What a pull tells its caller while it works.

use std::fmt::{self, Display};
use std::path::PathBuf;

/// One thing that happened. `Display` gives a line for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The cache has the model; nothing is fetched.
    Cached {
        /// Its directory.
        dir: PathBuf,
    },
    /// Another process pulls the same model; waiting for it.
    Waiting {
        /// The model.
        id: String,
    },
    /// A source is asked.
    Asking {
        /// Which one.
        source: String,
    },
    /// A source could not be reached and the next one is tried.
    Unreachable {
        /// Which one, and why.
        reason: String,
    },
    /// A file is being fetched or copied. Sent often; `done` grows up to `total`.
    Transfer {
        /// The file's name.
        file: String,
        /// Bytes on disk.
        done: u64,
        /// Bytes in all, where known.
        total: Option<u64>,
    },
    /// A transfer broke and goes on from where it stopped.
    Resuming {
        /// The file's name.
        file: String,
        /// Bytes already on disk.
        at: u64,
    },
    /// A file is complete and its checksum is right.
    Complete {
        /// The file's name.
        file: String,
        /// Its size in bytes.
        bytes: u64,
    },
    /// A packaged model is being rewritten in the Hugging Face layout.
    Converting {
        /// What it is rewritten from.
        from: String,
    },
}

impl Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cached { dir } => write!(f, "cached in {}", dir.display()),
            Self::Waiting { id } => write!(f, "waiting for another process that pulls {id}"),
            Self::Asking { source } => write!(f, "asking {source}"),
            Self::Unreachable { reason } => write!(f, "{reason}"),
            Self::Transfer {
                file,
                done,
                total: Some(total),
            } => {
                write!(f, "{file}: {} of {}", megabytes(*done), megabytes(*total))
            }
            Self::Transfer {
                file,
                done,
                total: None,
            } => write!(f, "{file}: {}", megabytes(*done)),
            Self::Resuming { file, at } => write!(f, "{file}: going on at {}", megabytes(*at)),
            Self::Complete { file, bytes } => write!(f, "{file}: {}, checksum right", megabytes(*bytes)),
            Self::Converting { from } => write!(f, "rewriting {from} in the Hugging Face layout"),
        }
    }
}

fn megabytes(bytes: u64) -> String {
    if bytes < 100_000 {
        format!("{bytes} B")
    } else {
        format!("{:.1} MB", bytes as f64 / 1e6)
    }
}
