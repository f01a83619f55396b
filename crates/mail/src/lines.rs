//! The lines of a body, each with its quote depth from `>` marks and from markup.

use crate::html::{Evidence, Mark};

/// One line of a body. All offsets are bytes of the body.
#[derive(Debug, Clone)]
pub(crate) struct Line<'a> {
    pub(crate) start: usize,
    /// After the line break, if there is one.
    pub(crate) end: usize,
    /// Where the words start: after `>` marks and white space.
    pub(crate) words_start: usize,
    /// The words, trimmed.
    pub(crate) words: &'a str,
    /// How many `>` stand before the words.
    pub(crate) marks: usize,
    /// `marks` plus the depth of quotes that markup tells.
    pub(crate) depth: usize,
    /// Markup says this line introduces a quote.
    pub(crate) attribution: bool,
    /// Markup says an earlier mail starts here.
    pub(crate) history: bool,
    /// Markup says this is an inserted signature.
    pub(crate) signature: bool,
}

impl Line<'_> {
    pub(crate) fn is_blank(&self) -> bool {
        self.words.is_empty()
    }
}

/// Splits `body` into lines; `marks` are in order of their start.
pub(crate) fn split<'a>(body: &'a str, marks: &[Mark]) -> Vec<Line<'a>> {
    let breaks = body.bytes().filter(|byte| *byte == b'\n').count();
    let mut lines: Vec<Line<'a>> = Vec::with_capacity(breaks + 1);
    let mut start = 0;
    for raw in body.split_inclusive('\n') {
        let end = start + raw.len();
        let (mut marks, mut prefix) = quote_marks(raw);
        // The end of "<address\n> wrote:" is no quote mark.
        if marks == 1 && closes_address(lines.last(), &raw[prefix..]) {
            (marks, prefix) = (0, 0);
        }
        let rest = &raw[prefix..];
        let words = rest.trim_matches(blank);
        let words_start = start + prefix + (rest.len() - rest.trim_start_matches(blank).len());
        lines.push(Line {
            start,
            end,
            words_start,
            words,
            marks,
            depth: marks,
            attribution: false,
            history: false,
            signature: false,
        });
        start = end;
    }
    apply(&mut lines, marks);
    lines
}

/// True when the line above opened an angle bracket that this one closes, before a colon.
fn closes_address(above: Option<&Line<'_>>, rest: &str) -> bool {
    let rest = rest.trim();
    rest.len() <= 60
        && rest.ends_with(':')
        && above.is_some_and(|line| {
            let (open, close) = (line.words.rfind('<'), line.words.rfind('>'));
            line.marks == 0 && line.words.len() < 400 && (open > close || line.words.starts_with("mailto:"))
        })
}

fn blank(character: char) -> bool {
    character.is_whitespace()
        || matches!(
            character,
            '\u{200b}' | '\u{feff}' | '\u{200e}' | '\u{200f}' | '\u{2060}'
        )
}

/// How many `>` begin a line (spaces between allowed) and how many bytes they take.
fn quote_marks(line: &str) -> (usize, usize) {
    let (mut count, mut end) = (0, 0);
    for (at, character) in line.char_indices() {
        match character {
            '>' => {
                count += 1;
                end = at + 1;
            }
            ' ' | '\t' | '\u{a0}' | '\u{feff}' => {}
            _ => break,
        }
        if at > 400 {
            break;
        }
    }
    (count, end)
}

fn apply(lines: &mut [Line<'_>], marks: &[Mark]) {
    if marks.is_empty() {
        return;
    }
    // Quote depth by counting starts and ends, the other marks by their first line or span.
    let mut delta: Vec<isize> = vec![0; lines.len() + 1];
    let mut signature: Vec<isize> = vec![0; lines.len() + 1];
    for mark in marks {
        let first = lines.partition_point(|line| line.words_start + line.words.len() <= mark.start);
        let after = lines.partition_point(|line| line.words_start < mark.end);
        // Lines that begin before the mark are not wholly inside.
        let first = first + usize::from(lines.get(first).is_some_and(|line| line.words_start < mark.start));
        match mark.evidence {
            Evidence::Quote if first < after => {
                delta[first] += 1;
                delta[after] -= 1;
            }
            Evidence::Signature if first < after => {
                signature[first] += 1;
                signature[after] -= 1;
            }
            Evidence::Attribution => {
                let until = lines.len().min(first + 4).min(after);
                for line in lines.get_mut(first..until).unwrap_or_default() {
                    line.attribution = true;
                }
            }
            Evidence::History => {
                if let Some(line) = lines.get_mut(first) {
                    line.history = true;
                }
            }
            Evidence::Quote | Evidence::Signature | Evidence::Indent => {}
        }
    }
    let (mut depth, mut signed) = (0, 0);
    for (at, line) in lines.iter_mut().enumerate() {
        depth += delta[at];
        signed += signature[at];
        line.depth += depth.max(0) as usize;
        line.signature = signed > 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_marks_and_finds_the_words() {
        let lines = split("Hallo\n> > zwei \n>\n", &[]);
        let seen: Vec<_> = lines.iter().map(|line| (line.depth, line.words)).collect();
        assert_eq!(seen, [(0, "Hallo"), (2, "zwei"), (1, "")]);
    }

    #[test]
    fn markup_deepens_the_lines_wholly_inside() {
        let mark = Mark {
            start: 4,
            end: 9,
            evidence: Evidence::Quote,
        };
        let lines = split("neu\nalt\nalt\nneu", &[mark]);
        assert_eq!(
            lines.iter().map(|line| line.depth).collect::<Vec<_>>(),
            [0, 1, 1, 0]
        );
    }
}
