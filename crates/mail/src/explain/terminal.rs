//! A mail on the terminal: `- ` before what is cut, `~ ` before a line that is cut in part.
//! Colour adds to these marks and never replaces them.

use super::{Amount, Block, Piece, Tally, blocks, defects, one_line, pieces};
use crate::{CleanText, Cut, CutKind, Rule, Span};
use std::fmt::{self, Write};

/// Explains one mail. `name` tells it from the others; `colour` adds ANSI colours.
///
/// ```text
/// mail      name
/// subject   Karte sperren
/// language  de
/// defects   none
///
///   Bitte sperren.
///
/// [signature: closing]
/// - Mit freundlichen Grüßen
/// - Max Muster
///
/// kind       rule          lines    bytes    share
/// kept                         2       16   31.4 %
/// signature  closing           2       35   68.6 %  A closing formula …
/// ```
///
/// A line cut in part reads `~ [-> -]kept words`. The only escape sequences are our own.
pub fn terminal(name: &str, text: &CleanText, colour: bool) -> String {
    let mut screen = Screen {
        out: String::with_capacity(text.body().len() + text.body().len() / 8 + 1024),
        colour,
    };
    // Writing to a string cannot fail.
    let _ = screen.mail(name, text);
    screen.out
}

const BOLD: &str = "1";
const REVERSED: &str = "7";

/// The colour of a kind, one of the terminal's own eight, so that its theme keeps it readable.
fn colour(kind: CutKind) -> &'static str {
    match kind {
        CutKind::Quoted => "36",
        CutKind::Forwarded => "35",
        CutKind::Signature => "32",
        CutKind::Disclaimer => "33",
    }
}

struct Screen {
    out: String,
    colour: bool,
}

impl Screen {
    fn mail(&mut self, name: &str, text: &CleanText) -> fmt::Result {
        let or = |value: String, empty: &str| {
            if value.is_empty() { empty.to_owned() } else { value }
        };
        for (key, value) in [
            ("mail", one_line(name)),
            ("subject", or(one_line(text.subject()), "none")),
            ("language", text.language().unwrap_or("not told").to_owned()),
            ("defects", or(defects(text), "none")),
        ] {
            self.style(BOLD, |out| write!(out, "{key:<8}"))?;
            writeln!(self.out, "  {value}")?;
        }
        writeln!(self.out)?;
        if text.body().is_empty() {
            writeln!(self.out, "(the mail holds no text)")?;
        }
        let mut labelled = None;
        for block in blocks(text) {
            match block {
                Block::Cut { cut, text } => {
                    self.label(cut)?;
                    for line in text.split_inclusive('\n') {
                        let line = line.strip_suffix('\n').unwrap_or(line);
                        self.line('-', &[(line, Some(cut))])?;
                    }
                    labelled = None;
                }
                Block::Kept(spans) => self.kept(&spans, &mut labelled)?,
            }
        }
        self.legend(&Tally::of(text))
    }

    /// Draws lines that are kept whole or in part. A run of lines cut by one rule, as `>` marks
    /// are, has its rule named once.
    fn kept(&mut self, spans: &[Span<'_>], labelled: &mut Option<(CutKind, Rule)>) -> fmt::Result {
        let mut line: Vec<(&str, Option<&Cut>)> = Vec::new();
        for span in spans {
            for part in span.text.split_inclusive('\n') {
                let ended = part.strip_suffix('\n');
                line.push((ended.unwrap_or(part), span.cut));
                if ended.is_some() {
                    self.mixed(&line, labelled)?;
                    line.clear();
                }
            }
        }
        if line.is_empty() {
            Ok(())
        } else {
            self.mixed(&line, labelled)
        }
    }

    fn mixed(
        &mut self,
        line: &[(&str, Option<&Cut>)],
        labelled: &mut Option<(CutKind, Rule)>,
    ) -> fmt::Result {
        let mut cuts = line.iter().filter_map(|(_, cut)| *cut).peekable();
        let mark = if cuts.peek().is_some() { '~' } else { ' ' };
        if mark == ' ' && line.iter().any(|(part, _)| !part.trim().is_empty()) {
            *labelled = None;
        }
        for cut in cuts {
            if labelled.replace((cut.kind, cut.rule)) != Some((cut.kind, cut.rule)) {
                self.label(cut)?;
            }
        }
        self.line(mark, line)
    }

    fn label(&mut self, cut: &Cut) -> fmt::Result {
        let style = format!("{BOLD};{}", colour(cut.kind));
        self.style(&style, |out| write!(out, "[{}: {}]", cut.kind.name(), cut.rule))?;
        writeln!(self.out)
    }

    /// Draws one line; `mark` says what becomes of it.
    fn line(&mut self, mark: char, parts: &[(&str, Option<&Cut>)]) -> fmt::Result {
        let blank = parts.iter().all(|(part, _)| part.is_empty());
        match (mark, blank) {
            (' ', true) => {}
            // No space at a line's end.
            (_, true) => write!(self.out, "{mark}")?,
            _ => write!(self.out, "{mark} ")?,
        }
        for (part, cut) in parts {
            match cut {
                Some(cut) if !part.is_empty() => {
                    let bracketed = mark == '~';
                    self.open(colour(cut.kind))?;
                    self.out.push_str(if bracketed { "[-" } else { "" });
                    self.words(part)?;
                    self.out.push_str(if bracketed { "-]" } else { "" });
                    self.close()?;
                }
                _ => self.words(part)?,
            }
        }
        writeln!(self.out)
    }

    /// Writes a mail's words, control characters as their code points.
    fn words(&mut self, text: &str) -> fmt::Result {
        for piece in pieces(text) {
            match piece {
                Piece::Text(run) => self.out.push_str(run),
                Piece::Controls(controls) if self.colour => {
                    // Reversing ends by itself, so the colour around it stays.
                    write!(self.out, "\u{1b}[{REVERSED}m{controls}\u{1b}[27m")?;
                }
                Piece::Controls(controls) => write!(self.out, "{controls}")?,
            }
        }
        Ok(())
    }

    fn legend(&mut self, tally: &Tally) -> fmt::Result {
        writeln!(self.out)?;
        self.style(BOLD, |out| {
            write!(
                out,
                "{:<10} {:<13} {:>6} {:>8} {:>8}",
                "kind", "rule", "lines", "bytes", "share"
            )
        })?;
        writeln!(self.out)?;
        self.row(None, tally.kept, tally)?;
        for (&cut, &amount) in &tally.cuts {
            self.row(Some(cut), amount, tally)?;
        }
        Ok(())
    }

    fn row(&mut self, cut: Option<(CutKind, Rule)>, amount: Amount, of: &Tally) -> fmt::Result {
        let Amount { lines, bytes } = amount;
        let numbers = format!("{lines:>6} {bytes:>8} {:>8}", of.percent(bytes));
        match cut {
            None => writeln!(self.out, "{:<10} {:<13} {numbers}", "kept", ""),
            Some((kind, rule)) => {
                self.style(colour(kind), |out| write!(out, "{:<10}", kind.name()))?;
                writeln!(self.out, " {rule:<13} {numbers}  {}", rule.description())
            }
        }
    }

    /// Writes something in a style.
    fn style(&mut self, sgr: &str, write: impl FnOnce(&mut String) -> fmt::Result) -> fmt::Result {
        self.open(sgr)?;
        write(&mut self.out)?;
        self.close()
    }

    fn open(&mut self, sgr: &str) -> fmt::Result {
        if self.colour {
            write!(self.out, "\u{1b}[{sgr}m")?;
        }
        Ok(())
    }

    fn close(&mut self) -> fmt::Result {
        if self.colour {
            self.out.push_str("\u{1b}[0m");
        }
        Ok(())
    }
}
