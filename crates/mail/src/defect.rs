//! What was wrong with a mail and how it was read all the same.

use serde::Serialize;

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
    /// The MIME parts nest deeper than any mail does; the deepest were not read.
    TooDeep,
}
