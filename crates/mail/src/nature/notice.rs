//! Reads a text as a notice of absence, piece by piece.
//!
//! "Thank you for your mail, I am away until Friday" is a notice; the same words before "please close my
//! account" are a client's letter. So every piece of the sender's own text must be one that notices are
//! made of: absence, what stands beside it, or a greeting, a name, a date, a number. One piece that is none
//! of these, a question or a wish makes it a letter.

use super::words::Words;
use super::{Kind, Title};
use crate::clean::{Cleaner, Profile};
use crate::markers::{fold, markers};
use crate::message::Message;
use crate::{CutKind, Span};

/// A longer text is no notice.
pub(super) const LONGEST: usize = 4000;

/// A line ending before this many bytes was ended by its writer and not by a mail program.
const SHORT_LINE: usize = 50;

/// What the pieces of a text are, counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Notice {
    /// Pieces that say somebody is away.
    pub(super) absent: usize,
    /// Pieces that often stand beside those.
    beside: usize,
    /// Pieces of any other kind.
    foreign: usize,
    /// It asks or wants something.
    wants: bool,
    /// There is no text at all.
    empty: bool,
}

impl Notice {
    /// Reads what the sender wrote above all history; `None` when the mail begins with somebody else's words.
    pub(super) fn read(message: &Message) -> Option<Self> {
        let text = Cleaner::new(Profile::Author).read(message);
        let quotes = |span: &Span<'_>| {
            matches!(
                span.cut.map(|cut| cut.kind),
                Some(CutKind::Quoted | CutKind::Forwarded)
            )
        };
        let first = text
            .spans()
            .find(|span| quotes(span) || span.cut.is_none() && !span.text.trim().is_empty());
        let theirs = first.is_some_and(|span| quotes(&span)) || text.text().starts_with('>');
        (!theirs).then(|| Self::of(text.text()))
    }

    fn of(text: &str) -> Self {
        let mut notice = Self {
            empty: text.is_empty(),
            ..Self::default()
        };
        if text.len() > LONGEST {
            notice.foreign = usize::MAX;
            return notice;
        }
        let words = &markers().automatic;
        notice.wants = text.split_whitespace().any(|word| {
            word.trim_end_matches(['"', '”', '“', ')', '!', '.'])
                .ends_with(['?', '？'])
        });
        for piece in pieces(text, words) {
            let piece = words.behind_greeting(piece);
            notice.wants |= words.wish.is_match(piece);
            if words.is_absent(piece) {
                notice.absent += 1;
            } else if words.beside.is_match(piece) {
                notice.beside += 1;
            } else if !says_nothing(piece, words) {
                notice.foreign += 1;
            }
        }
        notice
    }

    /// True when it is a notice of absence, and nothing else.
    pub(super) fn is_absence(&self) -> bool {
        self.absent > 0 && self.foreign == 0 && !self.wants
    }

    /// True when subject and text together are a program's, whatever the headers say; `reply` when the subject
    /// begins as a reply.
    pub(super) fn stands_alone(&self, title: Option<Title>, reply: bool) -> bool {
        let notes = self.absent + self.beside;
        match title {
            _ if self.wants => false,
            Some(Title {
                kind: Kind::Absent | Kind::Reply,
                before: true,
            }) => self.empty || notes > 0 && self.foreign <= usize::from(self.absent > 0),
            Some(Title {
                kind: Kind::Absent | Kind::Reply,
                ..
            }) => notes > 0 && self.foreign == 0,
            // A person who answers may say just that they are away and thank for the mail.
            _ => self.is_absence() && self.beside > usize::from(reply),
        }
    }
}

/// More words than this are no name.
const NAME: usize = 3;

/// True when a piece is a name, an address, a date, a number, a word of thanks.
fn says_nothing(piece: &str, words: &Words) -> bool {
    let mut names = 0;
    let says = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        let folded = fold(word);
        if word.contains(['@', '/'])
            || word.contains(|c: char| c.is_ascii_digit())
            || folded.starts_with("www.")
            || words.is_filler(&folded)
        {
            return false;
        }
        names += usize::from(!word.is_empty());
        // Who writes in capitals alone says something with every word.
        let capitals = word.chars().count() > 3 && word.chars().all(char::is_uppercase);
        names > NAME || word.starts_with(char::is_lowercase) || capitals || words.is_you(&folded)
    };
    !piece.split_whitespace().any(says) || markers().closing_thanks.is_match(piece.trim())
}

/// The sentences of a text, further parted by commas, colons and lines that end early.
fn pieces<'t>(text: &'t str, words: &Words) -> Vec<&'t str> {
    let mut pieces = Vec::new();
    let (mut start, mut line) = (0, 0);
    for (at, c) in text.char_indices() {
        let next = at + c.len_utf8();
        let rest = &text[next..];
        let spaced = rest.is_empty() || rest.starts_with(char::is_whitespace);
        let ends = match c {
            '\n' => {
                let short = at - line < SHORT_LINE;
                line = next;
                short || rest.starts_with('\n')
            }
            ',' | ';' | ':' | '!' | '?' => spaced,
            '.' => spaced && !goes_on(&text[start..at], rest, words),
            '–' | '—' | '-' => spaced && text[..at].ends_with(char::is_whitespace),
            _ => false,
        };
        if ends {
            pieces.push(text[start..at].trim());
            start = next;
        }
    }
    pieces.push(text[start..].trim());
    pieces.retain(|piece| piece.contains(char::is_alphanumeric));
    pieces
}

/// Abbreviations notices hold.
const SHORT: [&str; 16] = [
    "tel", "hr", "fr", "dr", "nr", "bzw", "ggf", "ca", "inkl", "str", "mr", "mrs", "ms", "ext", "prof", "tlf",
];

/// True when a dot ends an abbreviation or a day and no sentence.
fn goes_on(before: &str, rest: &str, words: &Words) -> bool {
    let word = before
        .rsplit(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap_or_default();
    if word.ends_with(|c: char| c.is_ascii_digit()) {
        let next = rest.trim_start();
        let next = next
            .split(|c: char| !c.is_alphanumeric())
            .next()
            .unwrap_or_default();
        return !next.starts_with(char::is_uppercase) || words.is_month(&fold(next));
    }
    word.chars().count() == 1 || SHORT.contains(&&*fold(word))
}
