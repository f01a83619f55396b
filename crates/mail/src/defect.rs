//! What was wrong with a mail and how it was read all the same.

use serde::Serialize;
use std::fmt;

/// One thing that was wrong with a mail. Reading goes on after each of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "defect", rename_all = "kebab-case")]
pub enum Defect {
    /// The bytes hold no header a mail would have; they were read as a plain body.
    NoHeaders,
    /// No part holds text to show.
    NoText,
    /// The declared charset is unknown to us; another was used.
    UnknownCharset {
        /// As the mail names it.
        declared: String,
        /// As the Encoding Standard names it.
        used: String,
    },
    /// The bytes are not in the declared charset (or none is declared); another was used.
    WrongCharset {
        /// As the mail names it, empty when it names none.
        declared: String,
        /// As the Encoding Standard names it.
        used: String,
    },
    /// Some bytes stand for no character and were replaced by U+FFFD.
    InvalidBytes,
    /// Base64 or quoted-printable that does not decode cleanly.
    BrokenEncoding,
    /// The plain part is a stub; the HTML part was read instead.
    StubPlainPart,
    /// The text stood in a `winmail.dat`, Outlook's own container.
    Winmail,
    /// There is no text but a calendar part, which was read instead.
    CalendarOnly,
    /// The MIME parts nest deeper than any mail does; the deepest were not read.
    TooDeep,
}

impl fmt::Display for Defect {
    /// One clause for a person. Charset names stand as the mail declares them, whatever they hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeaders => f.write_str("no mail header, read as plain text"),
            Self::NoText => f.write_str("no part holds text"),
            Self::UnknownCharset { declared, used } => {
                write!(f, "unknown charset “{declared}”, read as {used}")
            }
            Self::WrongCharset { declared, used } if declared.is_empty() => {
                write!(f, "no charset declared, read as {used}")
            }
            Self::WrongCharset { declared, used } => {
                write!(f, "declared as “{declared}” but is not, read as {used}")
            }
            Self::InvalidBytes => f.write_str("some bytes stand for no character"),
            Self::BrokenEncoding => f.write_str("broken base64 or quoted-printable"),
            Self::StubPlainPart => f.write_str("the plain part is a stub, the HTML part was read"),
            Self::Winmail => f.write_str("the text was read from a winmail.dat"),
            Self::CalendarOnly => f.write_str("no text but a calendar part, which was read"),
            Self::TooDeep => f.write_str("parts nest too deep, the deepest were not read"),
        }
    }
}
