//! A mail, decoded: the headers that matter and the text a reader would see.

use crate::html::{self, Mark};
use crate::mime;
use crate::nature::{self, Evidence, Nature};
use crate::{Defect, Protection, protection};
use std::fmt;

/// A decoded mail: headers and the visible text, with what was wrong on the way.
///
/// `Debug` shows lengths instead of words, so a log line never carries a client's mail.
#[derive(Clone, Default)]
pub struct Message {
    /// Subject, decoded, on one line.
    pub(crate) subject: Option<String>,
    /// The sender as `Name <address>`.
    pub(crate) from: Option<String>,
    /// When it was sent, RFC 3339, as the mail itself claims.
    pub(crate) date: Option<String>,
    pub(crate) message_id: Option<String>,
    pub(crate) in_reply_to: Option<String>,
    pub(crate) references: Vec<String>,
    pub(crate) body: String,
    /// What HTML markup says about the body, in order of start.
    pub(crate) marks: Vec<Mark>,
    pub(crate) protection: Protection,
    pub(crate) evidence: Evidence,
    pub(crate) defects: Vec<Defect>,
}

impl Message {
    /// Reads a raw mail (RFC 5322, MIME). Never fails: what is wrong is listed in
    /// [`defects`](Self::defects), and bytes that are no mail become a plain body.
    pub fn parse(raw: &[u8]) -> Self {
        mime::parse(raw)
    }

    /// A mail whose body is plain text.
    pub fn plain(subject: impl Into<String>, body: impl AsRef<str>) -> Self {
        Self {
            subject: subject_of(subject.into()),
            protection: protection::armour(body.as_ref()),
            body: line_ends(body.as_ref()),
            ..Self::default()
        }
    }

    /// A mail whose body is HTML.
    pub fn html(subject: impl Into<String>, body: impl AsRef<str>) -> Self {
        let (body, marks) = html::render(body.as_ref());
        Self {
            subject: subject_of(subject.into()),
            body,
            marks,
            ..Self::default()
        }
    }

    /// A dataset's row: `body` is taken as HTML when it clearly is, as plain text otherwise.
    pub fn from_body(subject: impl Into<String>, body: impl AsRef<str>) -> Self {
        let body = body.as_ref();
        if html::looks_like(body) {
            Self::html(subject, body)
        } else {
            Self::plain(subject, body)
        }
    }

    /// The subject as it came, decoded; `None` when the mail has none or an empty one.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// The sender as `Name <address>` or the bare address.
    pub fn from(&self) -> Option<&str> {
        self.from.as_deref()
    }

    /// When the mail says it was sent, RFC 3339 with the sender's offset.
    pub fn date(&self) -> Option<&str> {
        self.date.as_deref()
    }

    /// Message-ID without angle brackets.
    pub fn message_id(&self) -> Option<&str> {
        self.message_id.as_deref()
    }

    /// The Message-ID this mail answers, without angle brackets.
    pub fn in_reply_to(&self) -> Option<&str> {
        self.in_reply_to.as_deref()
    }

    /// The Message-IDs of the thread, oldest first, without angle brackets.
    pub fn references(&self) -> &[String] {
        &self.references
    }

    /// What names the thread: the first of References, else In-Reply-To, else Message-ID.
    pub fn thread(&self) -> Option<&str> {
        self.references
            .first()
            .map(String::as_str)
            .or(self.in_reply_to())
            .or(self.message_id())
    }

    /// The whole visible text, lines ended by `\n`; nothing is cut.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Whether the mail says that it is signed or encrypted; nothing is verified.
    pub fn protection(&self) -> Protection {
        self.protection
    }

    /// What kind of mail this is, from its headers, its structure, its subject and what its sender wrote above
    /// all history; read anew at each call.
    pub fn nature(&self) -> Nature {
        nature::of(self)
    }

    /// What was wrong with the mail.
    pub fn defects(&self) -> &[Defect] {
        &self.defects
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("subject", &self.subject.as_deref().map(Hidden))
            .field("body", &Hidden(&self.body))
            .field("marks", &self.marks.len())
            .field("protection", &self.protection)
            .field("defects", &self.defects)
            .finish_non_exhaustive()
    }
}

/// Personal text in a debug print: its length.
pub(crate) struct Hidden<'a>(pub(crate) &'a str);

impl fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} chars]", self.0.chars().count())
    }
}

/// A subject on one line, `None` when nothing is left.
pub(crate) fn subject_of(subject: String) -> Option<String> {
    let line = subject.split_whitespace().collect::<Vec<_>>().join(" ");
    (!line.is_empty()).then_some(line)
}

/// Unix line ends and no NUL; a byte order mark at the start goes.
pub(crate) fn line_ends(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !text.contains(['\r', '\0']) {
        return text.to_owned();
    }
    text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_tells_lengths_and_no_words() {
        let shown = format!("{:?}", Message::plain("Konto", "Guten Tag"));
        assert!(
            shown.contains("[9 chars]") && !shown.contains("Konto") && !shown.contains("Guten"),
            "{shown}"
        );
    }

    #[test]
    fn a_thread_is_named_by_its_first_mail() {
        let mail = b"Message-ID: <c@x>\r\nIn-Reply-To: <b@x>\r\nReferences: <a@x> <b@x>\r\n\r\nHallo\r\n";
        assert_eq!(Message::parse(mail).thread(), Some("a@x"));
        assert_eq!(
            Message::parse(b"Message-ID: <c@x>\r\n\r\nHallo\r\n").thread(),
            Some("c@x")
        );
    }

    #[test]
    fn a_dataset_body_is_read_as_what_it_is() {
        assert_eq!(
            Message::from_body("", "<p>Hallo</p><p>Welt</p>").body(),
            "Hallo\n\nWelt"
        );
        assert_eq!(Message::from_body("", "a < b\r\nc").body(), "a < b\nc");
    }
}
