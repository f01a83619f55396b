//! What a recipe or a command line calls a base model.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

/// The hub id of the model that can also come from the Python index.
pub const E5_SMALL: &str = "intfloat/multilingual-e5-small";

/// The short name the same model goes by here.
const E5_SHORT: &str = "multilingual-e5-small";

/// Names a base model: a hub id with an optional revision, or a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseRef {
    /// A model on the hub.
    Hub {
        /// `name` or `organisation/name`.
        id: String,
        /// A branch, tag or commit; `None` is `main`.
        revision: Option<String>,
    },
    /// A directory in the Hugging Face layout.
    Directory(PathBuf),
}

/// Why a text names no base model.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names no base model: {reason}; expected `organisation/name[@revision]` or a directory")]
pub struct RefError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl BaseRef {
    /// Reads a reference.
    ///
    /// A directory that exists and holds a `config.json` wins over a hub id of the same spelling, as in transformers.
    /// A text that can only be a path (`./m`, `/m`, `../m`, more than one slash before any `@`) is a directory.
    ///
    /// # Errors
    /// [`RefError`] for a text that is neither.
    pub fn parse(text: &str) -> Result<Self, RefError> {
        if Path::new(text).join("config.json").is_file() {
            return Ok(Self::Directory(text.into()));
        }
        let bad = |reason| {
            Err(RefError {
                text: text.to_owned(),
                reason,
            })
        };
        let (id, revision) = match text.split_once('@') {
            Some((id, revision)) => (id, Some(revision)),
            None => (text, None),
        };
        if id == "."
            || id == ".."
            || id.starts_with(['/', '~'])
            || id.starts_with("./")
            || id.starts_with("../")
        {
            return Ok(Self::Directory(text.into()));
        }
        let parts: Vec<&str> = id.split('/').collect();
        if parts.len() > 2 || id.contains('\\') || id.contains(':') {
            return Ok(Self::Directory(text.into()));
        }
        if id.is_empty() {
            return bad("it has no name");
        }
        if id.len() > 96 || !parts.iter().all(|part| is_segment(part)) {
            return bad(
                "a name has letters, digits, `-`, `_` and `.` only, and starts with a letter or digit",
            );
        }
        if let Some(revision) = revision
            && (revision.is_empty() || revision.len() > 96 || !revision.split('/').all(is_segment))
        {
            return bad("a revision has letters, digits, `-`, `_`, `.` and `/` only");
        }
        let id = if id == E5_SHORT { E5_SMALL } else { id };
        Ok(Self::Hub {
            id: id.to_owned(),
            revision: revision.map(str::to_owned),
        })
    }
}

/// One piece of an id or revision: safe as a file name and in a URL.
fn is_segment(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !part.contains("..")
        && part
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

impl Display for BaseRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub { id, revision: None } => f.write_str(id),
            Self::Hub {
                id,
                revision: Some(revision),
            } => write!(f, "{id}@{revision}"),
            Self::Directory(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(id: &str, revision: Option<&str>) -> BaseRef {
        BaseRef::Hub {
            id: id.into(),
            revision: revision.map(str::to_owned),
        }
    }

    #[test]
    fn reads_ids_revisions_and_paths() {
        let cases = [
            (
                "distilbert-base-german-cased",
                hub("distilbert-base-german-cased", None),
            ),
            ("org/name.v1_2@refs/pr/3", hub("org/name.v1_2", Some("refs/pr/3"))),
            ("multilingual-e5-small", hub(E5_SMALL, None)),
            ("intfloat/multilingual-e5-small@main", hub(E5_SMALL, Some("main"))),
            ("./model", BaseRef::Directory("./model".into())),
            ("/models/a@b", BaseRef::Directory("/models/a@b".into())),
            ("a/b/c", BaseRef::Directory("a/b/c".into())),
        ];
        for (text, expected) in cases {
            assert_eq!(BaseRef::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_could_leave_the_cache() {
        for text in [
            "",
            "@main",
            "org/",
            "org/..",
            "or g/x",
            "org/x@",
            "org/x@../y",
            "org/x@a//b",
            "-x",
            "a..b",
        ] {
            assert!(BaseRef::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_existing_model_directory_wins() {
        let dir = tempfile::tempdir().expect("temporary directory");
        std::fs::write(dir.path().join("config.json"), "{}").expect("write");
        let text = dir.path().to_str().expect("utf-8 path");
        assert_eq!(BaseRef::parse(text), Ok(BaseRef::Directory(dir.path().into())));
    }
}
