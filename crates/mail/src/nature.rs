//! What kind of mail this is, before any model reads it.
//!
//! A notice of absence, a report that a mail could not be delivered, and what the mail system in front
//! calls spam are no requests: nobody wrote them to be answered, and a model that must name a queue for
//! them names a wrong one.
//!
//! What a program says about its own mail is believed: headers, the sender `mailer-daemon`, the structure
//! of a report. Everything a person could have written or passed on as well (a subject, a sentence,
//! `Auto-Submitted: auto-generated`, which web forms and helpdesks put on a client's words) counts only
//! together with something else, and never in a reply or a forward.
//!
//! **Invariant.** Finding nothing is better than finding the wrong thing: a letter that passes for a notice
//! is a client who is not heard. What is in doubt is a [`Nature::Letter`].
//!
//! **Not here.** Newsletters and notifications of systems; whether something *is* spam.

mod headers;
mod notice;
mod words;

pub(crate) use headers::Evidence;
pub(crate) use words::{Automatic, Words};

use crate::markers::markers;
use crate::message::Message;
use crate::subject;
use headers::{Report, Sender};
use notice::Notice;
use serde::Serialize;
use std::fmt;

/// What kind of mail this is, seen from headers, structure and text, before any model reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Nature {
    /// What a person wrote, or nothing says otherwise.
    #[default]
    Letter,
    /// A notice that somebody is away, sent by a program in answer to a mail.
    OutOfOffice,
    /// Another mail of a program: an acknowledgement, a receipt, a report on something but delivery.
    AutoReply,
    /// A mail system reports on the delivery of a mail.
    Bounce,
    /// The mail system in front calls it spam.
    Spam,
}

impl Nature {
    /// Every nature.
    pub const ALL: [Self; 5] = [
        Self::Letter,
        Self::OutOfOffice,
        Self::AutoReply,
        Self::Bounce,
        Self::Spam,
    ];

    /// The word in JSON and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Letter => "letter",
            Self::OutOfOffice => "out_of_office",
            Self::AutoReply => "auto_reply",
            Self::Bounce => "bounce",
            Self::Spam => "spam",
        }
    }
}

impl fmt::Display for Nature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a subject says when it does not begin as a reply or a forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Title {
    kind: Kind,
    /// It goes on behind the words, as mail programs put theirs before the subject they answer.
    before: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Absent,
    Reply,
    Bounce,
    Spam,
}

/// Bytes of a body in which notices and reports show themselves; looking further costs every letter time.
const HEAD: usize = 400;

/// A longer body, history included, is not read as a notice.
const LONGEST: usize = 32 << 10;

/// The nature of a mail, in time linear in its length.
pub(crate) fn of(message: &Message) -> Nature {
    let (seen, words) = (message.evidence, &markers().automatic);
    let subject = message.subject().unwrap_or_default();
    let title = words.title(subject);
    let titled = |kind| title.is_some_and(|title| title.kind == kind);
    if seen.spam || titled(Kind::Spam) {
        return Nature::Spam;
    }
    if seen.failed_recipients || seen.report == Some(Report::Delivery) || seen.sender == Sender::Daemon {
        return Nature::Bounce;
    }
    let head = head(message.body());
    let notice_like = || message.body().len() <= notice::LONGEST && words.is_away(head);
    if title.is_none() && seen.is_nothing() && !notice_like() {
        return Nature::Letter;
    }
    let passed_on = seen.resent || subject::strip(subject).forwarded;
    if !passed_on && is_bounce(seen, titled(Kind::Bounce), || words.opens_bounce(head)) {
        return Nature::Bounce;
    }
    let notice = (message.body().len() <= LONGEST)
        .then(|| Notice::read(message))
        .flatten()
        .unwrap_or_default();
    let absent = titled(Kind::Absent) || notice.absent > 0;
    let answers = seen.generated && message.in_reply_to().is_some() && (seen.unreturnable || seen.rule);
    let certain = seen.replied || seen.report.is_some();
    let likely = seen.generated || seen.unreturnable;
    let automatic = certain
        || !passed_on
            && (likely && (answers || titled(Kind::Absent) || titled(Kind::Reply) || notice.is_absence())
                || notice.stands_alone(title, subject::is_reply(subject)));
    match (automatic, absent) {
        (false, _) => Nature::Letter,
        (true, true) => Nature::OutOfOffice,
        (true, false) => Nature::AutoReply,
    }
}

/// True when content and circumstances together are those of a report on delivery: two of them at least, and
/// the subject, a part or the body's beginning among them.
fn is_bounce(seen: Evidence, titled: bool, opens: impl FnOnce() -> bool) -> bool {
    let count = |hints: [bool; 3]| hints.into_iter().filter(|hint| *hint).count();
    let content = usize::from(titled) + usize::from(seen.delivery_status);
    let around = count([seen.sender == Sender::System, seen.unreturnable, seen.replied]);
    // Forms and helpdesks generate mails about parcels that were not delivered, too.
    content > 0 && content + around > 1 || (content + around > 0 || seen.generated) && opens()
}

/// The beginning of a body.
fn head(body: &str) -> &str {
    let body = body.trim_start();
    let mut end = body.len().min(HEAD);
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    &body[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_json() {
        for nature in Nature::ALL {
            let mut json = toml::Table::new();
            json.insert("nature".to_owned(), toml::Value::try_from(nature).unwrap());
            assert_eq!(json["nature"].as_str(), Some(nature.as_str()));
            assert_eq!(nature.to_string(), nature.as_str());
        }
        assert_eq!(Nature::default(), Nature::Letter);
    }

    #[test]
    fn a_head_ends_between_characters() {
        let body = format!(" x{}", "ä".repeat(HEAD));
        assert_eq!(head(&body).len(), HEAD - 1);
        assert_eq!(head(""), "");
    }
}
