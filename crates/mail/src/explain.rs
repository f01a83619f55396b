//! A cleaned mail for a person to look at: the whole body, what is cut in the colour of its
//! kind, and the rule that cut it.
//!
//! Trust in a cut comes from seeing it. Nothing is left out here: what was cut stands where it
//! stood. What tells kept from cut is never colour alone.
//!
//! A mail's words are hostile until shown otherwise. Characters that would move a cursor, colour
//! a screen or turn round the order of letters are written as their code points.
//!
//! **Not here.** Whether a terminal wants colour: callers know their streams and environment.

mod html;
mod terminal;

pub use html::Page;
pub use terminal::terminal;

use crate::{CleanText, Cut, CutKind, Rule, Span};
use std::collections::BTreeMap;
use std::fmt::{self, Display};

/// Whole lines of a body that are drawn as one.
enum Block<'a> {
    /// One cut.
    Cut { cut: &'a Cut, text: &'a str },
    /// Kept lines, and lines that are cut in part.
    Kept(Vec<Span<'a>>),
}

/// The body as blocks, in order; each but the last ends with a line break.
fn blocks(text: &CleanText) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut at_line_start = true;
    for span in text.spans() {
        let ends_line = span.text.ends_with('\n') || span.range().end == text.body().len();
        match (span.cut, blocks.last_mut()) {
            (Some(cut), _) if at_line_start && ends_line => blocks.push(Block::Cut { cut, text: span.text }),
            (_, Some(Block::Kept(spans))) => spans.push(span),
            _ => blocks.push(Block::Kept(vec![span])),
        }
        at_line_start = ends_line;
    }
    blocks
}

/// How many lines a stretch of text touches.
fn lines(text: &str) -> usize {
    text.split_inclusive('\n').count()
}

/// How much of a body one rule cut, or how much is kept.
#[derive(Clone, Copy, Default)]
struct Amount {
    /// Lines it touches; a line that is cut in part counts as kept and as cut.
    lines: usize,
    bytes: usize,
}

/// A body's bytes dealt to what is kept and to each kind and rule.
#[derive(Default)]
struct Tally {
    kept: Amount,
    cuts: BTreeMap<(CutKind, Rule), Amount>,
    bytes: usize,
}

impl Tally {
    fn of(text: &CleanText) -> Self {
        let mut tally = Self::default();
        for span in text.spans() {
            let amount = match span.cut {
                None => &mut tally.kept,
                Some(cut) => tally.cuts.entry((cut.kind, cut.rule)).or_default(),
            };
            amount.lines += lines(span.text);
            amount.bytes += span.text.len();
            tally.bytes += span.text.len();
        }
        tally
    }

    /// Bytes cut as `kind`.
    fn bytes_of(&self, kind: CutKind) -> usize {
        let of_kind = self.cuts.iter().filter(|((cut, _), _)| *cut == kind);
        of_kind.map(|(_, amount)| amount.bytes).sum()
    }

    /// A count of bytes as a percentage of the body.
    fn percent(&self, bytes: usize) -> Percent {
        Percent(100.0 * bytes as f64 / self.bytes.max(1) as f64)
    }
}

/// A percentage with one digit.
struct Percent(f64);

impl Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.1} %", self.0))
    }
}

/// A run of text, or of characters that must not reach a screen.
enum Piece<'a> {
    Text(&'a str),
    Controls(Escaped<'a>),
}

/// Splits text at control characters; line breaks and tabs are text.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let control = is_control(rest.chars().next()?);
        let end = rest.find(|c| is_control(c) != control).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        Some(if control {
            Piece::Controls(Escaped(run))
        } else {
            Piece::Text(run)
        })
    })
}

/// A character that moves the cursor, starts an escape sequence, breaks a line unseen, changes
/// the direction of writing, or is not seen at all. Joiners (U+200C, U+200D) stay: scripts and
/// emoji need them.
fn is_control(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        // Bidi controls, those of Unicode's property `Bidi_Control`.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // Line and paragraph separators, zero-width and deprecated format characters, tags.
        '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}' | '\u{206a}'..='\u{206f}' | '\u{feff}' => true,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        other => other.is_control(),
    }
}

/// How control characters are written: `<U+202E>`.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for control in self.0.chars() {
            write!(f, "<U+{:04X}>", u32::from(control))?;
        }
        Ok(())
    }
}

/// Text on one line, control characters made visible.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for part in text.split_inclusive(['\n', '\t']) {
        let (words, end) = part.split_at(part.trim_end_matches(['\n', '\t']).len());
        for piece in pieces(words) {
            match piece {
                Piece::Text(run) => line.push_str(run),
                Piece::Controls(controls) => line.push_str(&controls.to_string()),
            }
        }
        line.push_str(&Escaped(end).to_string());
    }
    line
}

/// A mail's defects as one clause after another.
fn defects(text: &CleanText) -> String {
    let defects: Vec<String> = text.defects().iter().map(ToString::to_string).collect();
    one_line(&defects.join("; "))
}
