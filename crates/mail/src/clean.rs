//! Runs the rules over a mail and accounts for every byte they leave out.
//!
//! Rules only propose; this file decides. A zone is one person's mail: the client's own, or
//! the one inside a forward. In each zone quotes and history are found first, then what is
//! left is read for notices and signatures, and what the profile keeps of the history becomes
//! a zone of its own.
//!
//! **Invariants.** Kept and cut spans tile the body in order. A mail with words in its body
//! never cleans to nothing: a mail that is only a quote keeps the quote, one that is only a
//! closing formula keeps that.

mod disclaimer;
mod forwarded;
mod quoted;
mod rule;
mod signature;
mod span;

pub use rule::Rule;
pub use span::Span;

use crate::lines::{self, Line};
use crate::markers::{Label, markers};
use crate::message::{Hidden, Message};
use crate::redact::{self, Masked, Redact};
use crate::{Defect, Nature, Protection, language, subject};
use serde::Serialize;
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

/// Zones inside zones; a deeper forward is kept as it stands.
const DEPTH: usize = 6;

/// How often the rules read a mail at most; one that needs more than three readings is made to.
const ROUNDS: usize = 8;

/// What of a mail is worth reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Profile {
    /// What the sender wants: their own words, and a forwarded mail's text, which is the request.
    #[default]
    Request,
    /// Only the sender's own words; of a mail that is nothing but a forward, the forwarded text.
    Author,
    /// The whole visible text; nothing is cut.
    Decode,
}

/// Why a span was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CutKind {
    /// An earlier mail that this one answers, with what introduces it.
    Quoted,
    /// A forwarded mail, or only its header when its text is kept.
    Forwarded,
    /// Closing formula, name, contact block, line of a mobile mail program.
    Signature,
    /// Confidentiality notice, company particulars, newsletter and virus-scanner lines, gateway banner.
    Disclaimer,
}

impl CutKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Quoted, Self::Forwarded, Self::Signature, Self::Disclaimer];

    /// The kind's word in JSON and on pages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quoted => "quoted",
            Self::Forwarded => "forwarded",
            Self::Signature => "signature",
            Self::Disclaimer => "disclaimer",
        }
    }
}

/// A span of the body that was cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// What it holds.
    pub kind: CutKind,
    /// The rule that cut it.
    pub rule: Rule,
    /// First byte in [`CleanText::body`].
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

/// Cleans mails by one profile.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cleaner {
    profile: Profile,
    redact: Redact,
}

impl Cleaner {
    /// A cleaner that keeps what `profile` says and masks nothing.
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            redact: Redact::Off,
        }
    }

    /// The same with personal details masked as far as `redact` says.
    pub fn redacting(self, redact: Redact) -> Self {
        Self { redact, ..self }
    }

    /// How far personal details are masked.
    pub fn redact(&self) -> Redact {
        self.redact
    }

    /// Cuts from `message` what its profile does not keep, in time linear in its length.
    pub fn clean(&self, message: &Message) -> CleanText {
        CleanText {
            nature: message.nature(),
            ..self.read(message)
        }
    }

    /// The same without asking for its nature, which asks for this.
    pub(crate) fn read(&self, message: &Message) -> CleanText {
        let body = message.body();
        let subject = subject::strip(message.subject().unwrap_or_default());
        let mut sheet = Sheet::new(body, lines::split(body, &message.marks));
        let mut text = None;
        if self.profile != Profile::Decode {
            self.cut(&mut sheet, subject.forwarded);
            let plain = message.marks.is_empty() && !subject.forwarded;
            // What is left may look like a signature only now that a quote below it is gone. So that
            // a cleaned text is clean, the rules read their own result until they leave it alone.
            for _ in 1..ROUNDS {
                let (kept, cuts) = sheet.spans();
                let left = tidy(body, &kept, &cuts);
                if plain && left == body.trim_end() {
                    break;
                }
                let mut again = Sheet::new(&left, lines::split(&left, &[]));
                self.cut(&mut again, false);
                if !sheet.take_over(&again) {
                    text = Some(left);
                    break;
                }
            }
        }
        let (kept, cuts) = sheet.spans();
        let text = text.unwrap_or_else(|| tidy(body, &kept, &cuts));
        let text = CleanText {
            subject: subject.words.to_owned(),
            language: OnceLock::new(),
            text,
            masked: None,
            body: body.to_owned(),
            kept,
            cuts,
            nature: Nature::default(),
            protection: message.protection(),
            defects: message.defects().to_vec(),
        };
        if self.redact.in_reading() {
            text.redacted()
        } else {
            text
        }
    }

    /// Cuts what the profile does not keep, but not all that holds words.
    fn cut(&self, sheet: &mut Sheet<'_>, forwarded: bool) {
        let all = 0..sheet.lines.len();
        self.zone(sheet, all.clone(), 0, forwarded, 0);
        // What a closing formula took holds words of the client; a quote's are somebody else's.
        if !sheet.has_words(all.clone()) {
            sheet.restore(|kind, rule| kind == CutKind::Signature && rule == Rule::Closing);
        }
        if !sheet.has_words(all.clone()) {
            sheet.restore(|kind, _| matches!(kind, CutKind::Quoted | CutKind::Forwarded));
        }
        if !sheet.has_words(all) {
            sheet.restore(|_, _| true);
        }
    }

    /// Cleans one person's mail: the lines of `zone` whose quote depth is at most `base`;
    /// `forwarded` when the mail's subject says it is a forward.
    fn zone(&self, sheet: &mut Sheet<'_>, zone: Range<usize>, base: usize, forwarded: bool, level: usize) {
        let found = quoted::find(&sheet.lines, zone.clone(), base);
        let end = found.history.as_ref().map_or(zone.end, |history| history.start);
        // What this person wrote: everything between the quotes, up to the history.
        let mut own = Vec::new();
        let mut at = zone.start;
        for quote in &found.quotes {
            own.push(at..quote.intro.start);
            at = quote.block.end;
            sheet.cut(quote.intro.clone(), CutKind::Quoted, quote.rule);
            sheet.cut(quote.block.clone(), CutKind::Quoted, quote.rule);
        }
        own.push(at..end);
        for range in &own {
            for line in range.clone() {
                sheet.strip[line] = base;
            }
            disclaimer::cut(sheet, range.clone());
            signature::cut(sheet, range.clone());
        }
        for (quote, below) in found.quotes.iter().zip(&own[1..]) {
            if sheet.has_words(below.clone()) {
                sheet.uncut(quote.block.clone());
                sheet.cut(quote.block.clone(), CutKind::Quoted, Rule::Answered);
            }
        }
        let mut wrote = own.iter().any(|range| sheet.has_words(range.clone()));
        let deeper = level < DEPTH;
        if let Some(history) = found.history {
            let forward = history.forward || forwarded;
            if !wrote && !forward {
                for range in &own {
                    sheet.restore_in(range.clone(), Rule::Closing);
                }
                wrote = own.iter().any(|range| sheet.has_words(range.clone()));
            }
            let kind = if forward {
                CutKind::Forwarded
            } else {
                CutKind::Quoted
            };
            if (!wrote || forward && self.profile == Profile::Request) && deeper {
                sheet.cut(history.start..history.content, kind, history.rule);
                let base = sheet.base(history.content..zone.end).unwrap_or(base);
                let forwarded = sheet.forwards(history.start..history.content);
                self.zone(sheet, history.content..zone.end, base, forwarded, level + 1);
            } else if wrote {
                sheet.cut(history.start..zone.end, kind, history.rule);
            }
            return;
        }
        for quote in &found.quotes {
            let forward = quote.forward || forwarded;
            if (!wrote || forward && self.profile == Profile::Request) && deeper {
                sheet.uncut(quote.block.clone());
                let base = sheet.base(quote.block.clone()).unwrap_or(base + 1);
                self.zone(sheet, quote.block.clone(), base, false, level + 1);
            }
        }
    }
}

/// A body's lines and what becomes of each.
struct Sheet<'a> {
    body: &'a str,
    lines: Vec<Line<'a>>,
    fate: Vec<Option<(CutKind, Rule)>>,
    /// How many `>` marks to take from each kept line.
    strip: Vec<usize>,
}

impl<'a> Sheet<'a> {
    fn new(body: &'a str, lines: Vec<Line<'a>>) -> Self {
        let count = lines.len();
        Self {
            body,
            lines,
            fate: vec![None; count],
            strip: vec![0; count],
        }
    }

    fn cut(&mut self, range: Range<usize>, kind: CutKind, rule: Rule) {
        for fate in &mut self.fate[range] {
            fate.get_or_insert((kind, rule));
        }
    }

    /// Takes over what `again` cut from the tidied text of this sheet; false when that is nothing.
    fn take_over(&mut self, again: &Sheet<'_>) -> bool {
        let mut shown = (0..again.lines.len()).filter(|&at| {
            let line = &again.lines[at];
            !again.body[line.start..line.end].trim_end().is_empty()
        });
        let mut changed = false;
        for at in 0..self.lines.len() {
            if !self.is_kept(at)
                || self.body[self.kept_start(at)..self.lines[at].end]
                    .trim_end()
                    .is_empty()
            {
                continue;
            }
            let Some(twin) = shown.next() else { break };
            let marks = again.strip[twin].min(again.lines[twin].marks);
            changed |= marks > 0 || !again.is_kept(twin);
            self.strip[at] += marks;
            self.fate[at] = again.fate[twin];
        }
        changed
    }

    /// Where a kept line's text starts: after the quote marks taken from it.
    fn kept_start(&self, at: usize) -> usize {
        let line = &self.lines[at];
        if self.strip[at] > 0 && line.marks > 0 {
            after_marks(self.body, line, self.strip[at])
        } else {
            line.start
        }
    }

    fn uncut(&mut self, range: Range<usize>) {
        self.fate[range].fill(None);
    }

    fn restore(&mut self, which: impl Fn(CutKind, Rule) -> bool) {
        for fate in &mut self.fate {
            if fate.is_some_and(|(kind, rule)| which(kind, rule)) {
                *fate = None;
            }
        }
    }

    fn restore_in(&mut self, range: Range<usize>, restored: Rule) {
        for fate in &mut self.fate[range] {
            if fate.is_some_and(|(_, rule)| rule == restored) {
                *fate = None;
            }
        }
    }

    fn is_kept(&self, line: usize) -> bool {
        self.fate[line].is_none()
    }

    /// True when a kept line of `range` holds a letter or a digit.
    fn has_words(&self, range: Range<usize>) -> bool {
        range
            .into_iter()
            .any(|line| self.is_kept(line) && has_word(self.lines[line].words))
    }

    /// True when the subject among the lines of a header is that of a forward.
    fn forwards(&self, header: Range<usize>) -> bool {
        self.lines[header].iter().any(|line| {
            matches!(markers().label(line.words), Some((Label::Subject, value))
                if subject::strip(&line.words[value..]).forwarded)
        })
    }

    /// The quote depth a range starts at.
    fn base(&self, range: Range<usize>) -> Option<usize> {
        self.lines[range]
            .iter()
            .find(|line| !line.is_blank())
            .map(|line| line.depth)
    }

    /// Kept spans and cuts, which tile the body.
    fn spans(&self) -> (Vec<Range<usize>>, Vec<Cut>) {
        let (mut kept, mut cuts): (Vec<Range<usize>>, Vec<Cut>) = (Vec::new(), Vec::new());
        let mut cut = |kind, rule, start, end| match cuts.last_mut() {
            Some(last) if last.end == start && last.kind == kind && last.rule == rule => last.end = end,
            _ if start == end => {}
            _ => cuts.push(Cut {
                kind,
                rule,
                start,
                end,
            }),
        };
        for (index, line) in self.lines.iter().enumerate() {
            if let Some((kind, rule)) = self.fate[index] {
                cut(kind, rule, line.start, line.end);
                continue;
            }
            let start = self.kept_start(index);
            cut(CutKind::Quoted, Rule::QuoteMark, line.start, start);
            match kept.last_mut() {
                Some(last) if last.end == start => last.end = line.end,
                _ if start == line.end => {}
                _ => kept.push(start..line.end),
            }
        }
        (kept, cuts)
    }
}

/// Where a line goes on after `count` of its `>` marks and one space.
fn after_marks(body: &str, line: &Line<'_>, count: usize) -> usize {
    let raw = &body[line.start..line.end];
    let Some((mark, _)) = raw.match_indices('>').take(count.min(line.marks)).last() else {
        return line.start;
    };
    let after = mark + 1;
    line.start + after + usize::from(raw[after..].starts_with(' '))
}

pub(crate) fn has_word(text: &str) -> bool {
    text.contains(char::is_alphanumeric)
}

/// The kept spans as one text: no blank line at the ends, at most one between paragraphs, and one
/// where a forwarded mail begins.
fn tidy(body: &str, kept: &[Range<usize>], cuts: &[Cut]) -> String {
    let mut text = String::new();
    let mut blank = 0usize;
    let mut joined = String::with_capacity(body.len());
    let mut cuts = cuts.iter().peekable();
    for span in kept {
        while let Some(cut) = cuts.next_if(|cut| cut.start < span.start) {
            if cut.kind == CutKind::Forwarded {
                joined.push('\n');
            }
        }
        joined.push_str(&body[span.clone()]);
    }
    for line in joined.lines() {
        let line = line.trim_end();
        if line.is_empty() {
            blank += 1;
            continue;
        }
        if !text.is_empty() {
            text.push_str(if blank > 0 { "\n\n" } else { "\n" });
        }
        blank = 0;
        text.push_str(line);
    }
    text.truncate(text.trim_end().len());
    let leading = text.len()
        - text
            .trim_start_matches(['\n', ' ', '\t', '\u{a0}', '\u{feff}'])
            .len();
    text.drain(..leading);
    text
}

/// What a mail says, cleaned, with an account of every cut.
///
/// `Debug` shows lengths instead of words; `Display` is the subject line, a blank line, the text.
#[derive(Clone)]
pub struct CleanText {
    subject: String,
    text: String,
    masked: Option<Masked>,
    body: String,
    kept: Vec<Range<usize>>,
    cuts: Vec<Cut>,
    /// Found when first asked for: it takes longer than all the rules together.
    language: OnceLock<Option<&'static str>>,
    nature: Nature,
    protection: Protection,
    defects: Vec<Defect>,
}

impl CleanText {
    /// The subject without `Re:`, `AW:`, `WG:`, `Fwd:` and ticket tags; empty when there is none.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What is kept of the body, blank lines tidied.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same with the personal details of subject and text masked, for whoever writes it down.
    ///
    /// [`body`](Self::body) stays the mail's own, since [`cuts`](Self::cuts) index it: what must
    /// hold no personal details keeps neither.
    pub fn redacted(self) -> Self {
        if self.masked.is_some() {
            return self;
        }
        let subject = redact::redact(&self.subject);
        let text = redact::redact(&self.text);
        let mut masked = subject.masked;
        masked.add(&text.masked);
        Self {
            subject: subject.text,
            text: text.text,
            masked: Some(masked),
            ..self
        }
    }

    /// How many details of each kind were masked; `None` when nothing was to be.
    pub fn masked(&self) -> Option<&Masked> {
        self.masked.as_ref()
    }

    /// The whole decoded visible text, which [`cuts`](Self::cuts) index.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// What was cut, in order, not overlapping.
    pub fn cuts(&self) -> &[Cut] {
        &self.cuts
    }

    /// ISO 639-1 code of the kept text's language, `None` when unsure.
    pub fn language(&self) -> Option<&'static str> {
        *self.language.get_or_init(|| {
            // Placeholders are of no language.
            let told = |text: &str| match self.masked {
                Some(_) => language::detect(&redact::without_placeholders(text)),
                None => language::detect(text),
            };
            told(&self.text).or_else(|| told(&format!("{} {}", self.subject, self.text)))
        })
    }

    /// What kind of mail this is; the same under every profile and however it was redacted.
    pub fn nature(&self) -> Nature {
        self.nature
    }

    /// Whether the mail says that it is signed or encrypted.
    pub fn protection(&self) -> Protection {
        self.protection
    }

    /// What was wrong with the mail.
    pub fn defects(&self) -> &[Defect] {
        &self.defects
    }

    /// Kept and cut spans in the order of the body; they tile it.
    pub fn spans(&self) -> impl Iterator<Item = Span<'_>> {
        span::merge(&self.body, &self.kept, &self.cuts)
    }

    /// The body put together again from kept and cut spans; equal to [`body`](Self::body).
    pub fn rebuild(&self) -> String {
        self.spans().map(|span| span.text).collect()
    }

    /// What a classifier reads, the same in training and in serving: a line `Broker: …` when
    /// there is one, the subject on a line, the text. Empty parts leave no line behind.
    pub fn model_text(&self, broker: Option<&str>) -> String {
        let broker = broker.map(str::trim).filter(|broker| !broker.is_empty());
        let broker = broker.map(|broker| format!("Broker: {broker}"));
        let parts = [broker.as_deref().unwrap_or_default(), &self.subject, &self.text];
        parts
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

impl fmt::Display for CleanText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{}", self.subject, self.text)
    }
}

impl fmt::Debug for CleanText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CleanText")
            .field("subject", &Hidden(&self.subject))
            .field("text", &Hidden(&self.text))
            .field("body", &Hidden(&self.body))
            .field("masked", &self.masked)
            .field("cuts", &self.cuts)
            .field("language", &self.language())
            .field("nature", &self.nature)
            .field("protection", &self.protection)
            .field("defects", &self.defects)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(body: &str) -> CleanText {
        Cleaner::default().clean(&Message::plain("AW: Depot", body))
    }

    #[test]
    fn the_model_reads_no_blank_parts() {
        let text = clean("Bitte sperren.");
        assert_eq!(
            text.model_text(Some("Nordbank")),
            "Broker: Nordbank\nDepot\nBitte sperren."
        );
        assert_eq!(text.model_text(Some(" ")), "Depot\nBitte sperren.");
        assert_eq!(
            Cleaner::default()
                .clean(&Message::plain("", "x"))
                .model_text(None),
            "x"
        );
    }

    #[test]
    fn a_mail_never_cleans_to_nothing() {
        for body in [
            "> nur Zitat\n> noch mehr",
            "Gruß Max",
            "Von meinem iPhone gesendet",
            "-- \nMax Muster",
            "Am 3.4.2026 um 10:00 schrieb Max <m@example.com>:\n> ja",
            "-----Ursprüngliche Nachricht-----\nVon: A <a@example.com>\nBetreff: x\n",
        ] {
            assert!(!clean(body).text().is_empty(), "{body}");
        }
    }

    #[test]
    fn debug_shows_no_words() {
        let shown = format!("{:?}", clean("Geheimnis\n> alt\n> alt"));
        assert!(!shown.contains("Geheim") && !shown.contains("Depot"), "{shown}");
    }

    #[test]
    fn masks_where_the_level_says_so() {
        let message = Message::plain(
            "Frage von max@example.com",
            "Hallo Eva,\nmeine Nummer: 0170 1234567",
        );
        let read = |redact| Cleaner::default().redacting(redact).clean(&message);
        for redact in [Redact::Off, Redact::Storage] {
            let text = read(redact);
            assert!(text.text().contains("Eva") && text.masked().is_none());
        }
        let text = read(Redact::Everything);
        assert_eq!(text.subject(), "Frage von [EMAIL]");
        assert_eq!(text.text(), "Hallo [NAME],\nmeine Nummer: [PHONE]");
        assert_eq!(text.masked().map(Masked::total), Some(3));
        assert_eq!(read(Redact::Storage).redacted().text(), text.text());
        assert_eq!(text.rebuild(), text.body());
    }

    #[test]
    fn decode_cuts_nothing() {
        let body = "Ja\n\n> alt\n> alt\n--\nMax";
        let text = Cleaner::new(Profile::Decode).clean(&Message::plain("", body));
        assert_eq!((text.text(), text.cuts().len()), (body, 0));
    }
}
