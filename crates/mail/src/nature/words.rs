//! The words of notices and reports, of all languages, compiled once.

use super::{Kind, Title};
use crate::markers::{Pattern, pattern, spaced};
use crate::redact::Personal;
use crate::subject;
use serde::Deserialize;
use std::collections::HashSet;

/// The `[automatic]` section of a language's file; a list may be left out.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Automatic {
    /// Subjects of notices of absence.
    absent_subject: Vec<String>,
    /// Subjects of other automatic answers.
    reply_subject: Vec<String>,
    /// Subjects of reports on delivery.
    bounce_subject: Vec<String>,
    /// Whom a notice of absence speaks of.
    writer: Vec<String>,
    /// Where they are, or are not.
    away: Vec<String>,
    /// What may be closed.
    office: Vec<String>,
    /// That it is.
    closed: Vec<String>,
    /// What stands beside that: thanks for the mail, whom to turn to, when the writer is back.
    beside: Vec<String>,
    /// What only somebody writes who wants something.
    wish: Vec<String>,
    /// Words beside names, dates and numbers that say nothing by themselves.
    filler: Vec<String>,
    /// Words in capitals that speak to the reader.
    you: Vec<String>,
    /// The beginning of a report on delivery.
    bounce: Vec<String>,
}

/// The lists of all languages, over folded text.
pub(crate) struct Words {
    /// Any of the three below.
    title: Pattern,
    absent_subject: Pattern,
    reply_subject: Pattern,
    spam_subject: Pattern,
    writer: Pattern,
    away: Pattern,
    office: Pattern,
    closed: Pattern,
    /// Away or closed; without a gap in any entry, for it is looked for in every mail.
    either: Pattern,
    pub(super) beside: Pattern,
    pub(super) wish: Pattern,
    bounce: Pattern,
    greeting: Pattern,
    filler: HashSet<String>,
    you: HashSet<String>,
    month: HashSet<String>,
}

/// How gateways mark the subject of what they take for spam.
const SPAM: &str = r"\*{2,7} ?spam ?\*{2,7}|\[ ?spam ?\]|\{ ?spam ?\??\}";

impl Words {
    pub(crate) fn compile(languages: &[(&Automatic, &Personal)]) -> Self {
        let any = |list: fn(&Automatic) -> &Vec<String>| {
            languages
                .iter()
                .flat_map(|(automatic, _)| list(automatic))
                .map(|word| spaced(word))
                .collect::<Vec<_>>()
                .join("|")
        };
        let absent_subject = any(|l| &l.absent_subject);
        let reply_subject = any(|l| &l.reply_subject);
        let bounce_subject = any(|l| &l.bounce_subject);
        // A subject's words, and what parts them from the subject they answer.
        let title = |words: &str| pattern(&format!(r"^(?:{words})\s?(?:[:：]|\s[-–—]\s|[.!]*$)"));
        let whole = |words: String| pattern(&format!(r"\b(?:{words})\b"));
        let greeting: Vec<String> = languages
            .iter()
            .flat_map(|(_, personal)| &personal.greeting)
            .map(|word| spaced(word))
            .collect();
        let you = languages.iter().flat_map(|(automatic, _)| &automatic.you);
        let filler = languages.iter().flat_map(|(automatic, _)| &automatic.filler);
        let month = languages.iter().flat_map(|(_, personal)| &personal.month);
        Self {
            title: title(&[&*absent_subject, &*reply_subject, &*bounce_subject].join("|")),
            absent_subject: title(&absent_subject),
            reply_subject: title(&reply_subject),
            spam_subject: pattern(&format!("^(?:{SPAM})")),
            writer: whole(any(|l| &l.writer)),
            away: whole(any(|l| &l.away)),
            office: whole(any(|l| &l.office)),
            closed: whole(any(|l| &l.closed)),
            either: whole([any(|l| &l.away), any(|l| &l.closed)].join("|")),
            beside: pattern(&any(|l| &l.beside)),
            wish: pattern(&any(|l| &l.wish)),
            bounce: pattern(&format!(r"^[^a-z0-9]{{0,12}}(?:{})", any(|l| &l.bounce))),
            greeting: pattern(&format!(r"^(?:{})(?:[ ,!:.]|$)", greeting.join("|"))),
            filler: filler.cloned().collect(),
            you: you.cloned().collect(),
            month: month.cloned().collect(),
        }
    }

    /// What a subject says by its first words.
    pub(super) fn title(&self, subject: &str) -> Option<Title> {
        if subject.starts_with(['*', '[', '{']) && self.spam_subject.is_match(subject) {
            return Some(Title {
                kind: Kind::Spam,
                before: true,
            });
        }
        let subject = match subject.as_bytes().first()? {
            b'[' | b'(' | b'#' | b'*' => subject::untagged(subject),
            _ => subject,
        };
        let whole = self.title.find(subject)?;
        let (kind, found) = if let Some(found) = self.absent_subject.find(subject) {
            (Kind::Absent, found)
        } else if let Some(found) = self.reply_subject.find(subject) {
            (Kind::Reply, found)
        } else {
            (Kind::Bounce, whole)
        };
        let before = found.end() < subject.len();
        Some(Title { kind, before })
    }

    /// True when a text holds what a notice of absence must hold.
    pub(super) fn is_away(&self, text: &str) -> bool {
        self.either.is_match(text)
    }

    /// True when a sentence says that its writer is away, or an office closed.
    pub(super) fn is_absent(&self, sentence: &str) -> bool {
        self.away.is_match(sentence) && self.writer.is_match(sentence)
            || self.closed.is_match(sentence) && self.office.is_match(sentence)
    }

    /// True when a body begins as reports on delivery do.
    pub(super) fn opens_bounce(&self, head: &str) -> bool {
        self.bounce.is_match(head)
    }

    /// A text behind its greeting.
    pub(super) fn behind_greeting<'t>(&self, text: &'t str) -> &'t str {
        self.greeting
            .find(text)
            .map_or(text, |found| &text[found.end()..])
    }

    /// True for a word, folded, that says nothing by itself.
    pub(super) fn is_filler(&self, folded: &str) -> bool {
        self.filler.contains(folded) || self.is_month(folded)
    }

    /// True for a word, folded, that speaks to the reader.
    pub(super) fn is_you(&self, folded: &str) -> bool {
        self.you.contains(folded)
    }

    /// True for the name of a month, folded.
    pub(super) fn is_month(&self, folded: &str) -> bool {
        self.month.contains(folded)
    }
}
