//! Turns every library error into what a person sees: a message, a hint and an exit code.

use std::fmt::{self, Display};
use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It did what was asked.
    Done = 0,
    /// A check or a gate said no; nothing is broken.
    Refused = 1,
    /// The command line, a recipe or an input file is wrong.
    Misused = 2,
    /// Something failed that should have worked.
    Broken = 3,
}

impl Kind {
    /// The process exit code of this ending.
    pub fn exit(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// A failed command: what went wrong, and what the person can do next.
#[derive(Debug)]
pub struct Failure {
    pub kind: Kind,
    pub message: String,
    pub hint: Option<String>,
}

impl Failure {
    /// A check or gate said no.
    pub fn refused(error: impl Display) -> Self {
        Self {
            kind: Kind::Refused,
            message: error.to_string(),
            hint: None,
        }
    }

    /// Bad input or a wrong command line.
    pub fn misused(error: impl std::error::Error) -> Self {
        Self {
            kind: Kind::Misused,
            message: chain(&error),
            hint: None,
        }
    }

    /// Something that should have worked did not.
    pub fn broken(error: impl std::error::Error) -> Self {
        Self {
            kind: Kind::Broken,
            message: chain(&error),
            hint: None,
        }
    }

    /// Adds what the person can do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Reads and writes of files and streams, wherever a command meets them directly.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::broken(error)
    }
}

/// An error and its causes on one line, outermost first.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
