//! Finds names where form tells them: in greetings, below closing formulas, where the writer gives
//! theirs, before a masked address, and in the fields of a form.
//!
//! Salutation and title stay ("Sehr geehrter Herr Dr. [NAME],"), and so does what is nobody's name
//! ("Hallo Team"). A word in running prose is left alone: "Muster" may be a person or a pattern.

use super::page::{Page, ceil, floor};
use super::words::{Words, words};
use super::{Found, MaskKind};
use crate::markers::{Pattern, markers};
use std::ops::Range;

/// Words a name has at most.
const LONGEST: usize = 5;

/// Bytes of a line that are read for a name.
const REACH: usize = 160;

/// A line longer than this is no closing formula.
const CLOSING: usize = 120;

pub(super) fn find(page: &Page<'_>, found: &mut Found) {
    let words = words();
    let mut spans = Vec::new();
    let mut lines = Vec::new();
    let mut at = 0;
    for line in page.text.split_inclusive('\n') {
        let start = at + line.len() - line.trim_start_matches(is_mark).len();
        let end = at + line.trim_end().len();
        if start < end {
            lines.push(start..end);
        }
        at += line.len();
    }
    for (index, line) in lines.iter().enumerate() {
        let names = Names { page, words };
        names.greeting(line.clone(), &mut spans);
        names.field(line.clone(), &mut spans);
        names.closing(&lines, index, &mut spans);
    }
    let names = Names { page, words };
    for place in words.intro.places(page.folded()) {
        let start = ceil(page.text, place.end());
        let end = floor(page.text, start + REACH);
        let line = page.text[start..end].find('\n').map_or(end, |at| start + at);
        let skipped = page.text[start..line].trim_start_matches([' ', ':', ',', '\u{a0}']);
        names.run(line - skipped.len()..line, Trust::Stated, &mut spans);
    }
    let addresses: Vec<usize> = found
        .spans
        .iter()
        .filter(|(_, (_, kind))| *kind == MaskKind::Email)
        .map(|(start, _)| *start)
        .collect();
    for at in addresses {
        names.before_address(at, &mut spans);
    }
    for span in spans {
        found.add(span, MaskKind::Name);
    }
}

fn is_mark(c: char) -> bool {
    c.is_whitespace() || matches!(c, '*' | '_' | '>' | '"' | '„' | '“' | '•' | '|')
}

/// How sure a place is that a name follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// "Hallo": a name ends with a mark or the line.
    Greeted,
    /// "Mein Name ist": capitals do.
    Stated,
    /// Below a closing formula or in a field: the whole line is a name or none of it.
    Line,
}

/// A word or a mark of a line.
#[derive(Debug, Clone)]
enum Token {
    /// With whether a dot follows it at once.
    Word {
        span: Range<usize>,
        dot: bool,
    },
    Mark(char),
}

struct Names<'p, 'a> {
    page: &'p Page<'a>,
    words: &'static Words,
}

impl Names<'_, '_> {
    /// "Sehr geehrter Herr Muster,", "Hallo Eva, hallo Max,".
    fn greeting(&self, line: Range<usize>, spans: &mut Vec<Range<usize>>) {
        let mut at = line.start;
        // A greeting greets a few at most.
        for _ in 0..4 {
            let reach = floor(self.page.text, line.end.min(at + REACH));
            if at >= reach {
                return;
            }
            let Some(place) = self.words.greeting.places(&self.page.folded()[at..reach]).next() else {
                return;
            };
            let mut start = ceil(self.page.text, at + place.end());
            let rest = &self.page.text[start..reach];
            // "Hallo, Frau Muster".
            let comma = rest.trim_start_matches([' ', ',']);
            if rest.starts_with(',') {
                let first: String = comma.chars().take_while(|c| c.is_alphabetic()).collect();
                if self.words.is_salutation(&first.to_lowercase()) {
                    start = reach - comma.len();
                }
            }
            let end = self.run(start..reach, Trust::Greeted, spans);
            let rest = &self.page.text[end..reach];
            at = reach - rest.trim_start_matches([' ', ',']).len();
            if at == end {
                return;
            }
        }
    }

    /// "Name: Eva Muster".
    fn field(&self, line: Range<usize>, spans: &mut Vec<Range<usize>>) {
        let reach = floor(self.page.text, line.end.min(line.start + 64));
        let Some(place) = self
            .words
            .name
            .places(&self.page.folded()[line.start..reach])
            .next()
        else {
            return;
        };
        let start = ceil(self.page.text, line.start + place.end());
        let end = floor(self.page.text, line.end.min(start + REACH));
        let value = &self.page.text[start..end];
        let value = &value[..value.find([';', '|', '\t', '<', '[']).unwrap_or(value.len())];
        self.run(start..start + value.len(), Trust::Line, spans);
    }

    /// The name on a closing formula's line or on the next.
    fn closing(&self, lines: &[Range<usize>], index: usize, spans: &mut Vec<Range<usize>>) {
        let line = &lines[index];
        let text = &self.page.text[line.clone()];
        let agent = self.agent(line.clone());
        if agent > line.start {
            self.run(
                agent..line.end.min(floor(self.page.text, agent + REACH)),
                Trust::Line,
                spans,
            );
            return;
        }
        if text.len() > CLOSING {
            return;
        }
        let folded = &self.page.folded()[line.clone()];
        let formula = markers()
            .closing
            .places(folded)
            .next()
            .filter(|place| place.end() > 1);
        let thanks = markers().closing_thanks.places(folded).next().is_some();
        let whole = |rest: &str| !rest.contains(char::is_alphanumeric);
        let rest = formula.map(|place| &text[ceil(text, place.end())..]);
        if let Some(rest) = rest
            && !whole(rest)
            && !thanks
            && self.behind(&self.words.yours, line.clone()) < line.end - rest.trim_start().len()
        {
            let rest = rest.trim_start_matches([' ', ',', '.', '!', '-', '–', '\u{a0}']);
            let start = self.signer(line.end - rest.len()..line.end);
            self.run(start..line.end, Trust::Line, spans);
            return;
        }
        let last = lines.len() <= index + 5;
        if !(rest.is_some_and(whole) || thanks && last) {
            return;
        }
        let Some(next) = lines.get(index + 1) else {
            return;
        };
        // A placeholder there is the name already.
        let gap = self.page.text[line.end..next.start].matches('\n').count();
        if gap <= 4 && next.len() <= CLOSING {
            let start = self.signer(next.clone());
            self.run(start..next.end, Trust::Line, spans);
        }
    }

    /// After "Ihr" and "i. A." at the start of a name's line.
    fn signer(&self, line: Range<usize>) -> usize {
        let start = self.behind(&self.words.yours, line.clone());
        self.agent(start..line.end)
    }

    /// After "i. A.", "gez." at a line's start.
    fn agent(&self, line: Range<usize>) -> usize {
        self.behind(&self.words.on_behalf, line)
    }

    fn behind(&self, pattern: &Pattern, line: Range<usize>) -> usize {
        let reach = floor(self.page.text, line.end.min(line.start + 48));
        pattern
            .places(&self.page.folded()[line.start..reach])
            .next()
            .map_or(line.start, |place| ceil(self.page.text, line.start + place.end()))
    }

    /// Proposes the names at the beginning of `range`; returns where reading ended.
    fn run(&self, range: Range<usize>, trust: Trust, spans: &mut Vec<Range<usize>>) -> usize {
        let tokens = self.tokens(range.clone());
        let mut names: Vec<Range<usize>> = Vec::new();
        let mut open = false;
        let (mut count, mut addressed, mut small) = (0, false, 0);
        let (mut nobody, mut ended) = (false, true);
        let mut end = range.start;
        for (index, token) in tokens.iter().enumerate() {
            let (span, dot) = match token {
                Token::Word { span, dot } => (span.clone(), *dot),
                Token::Mark('&' | '/') => {
                    open = false;
                    continue;
                }
                // The dot of a title or an initial has been read with it.
                Token::Mark(mark) => {
                    ended = matches!(mark, ',' | '!' | ':' | ';' | '–' | '-' | '.' | '\n' | '*' | '_');
                    break;
                }
            };
            let word = &self.page.text[span.clone()];
            let folded = &self.page.folded()[span.clone()];
            if self.words.is_salutation(folded) && (count == 0 || !open) && word.len() + usize::from(dot) > 1
            {
                addressed = true;
                open = false;
            } else if self.words.is_title(folded) && (dot || word.len() > 2) && (count == 0 || !open) {
                open = false;
            } else if self.words.is_particle(folded) && !word.starts_with(char::is_uppercase) {
                let connects = matches!(
                    folded,
                    "und" | "and" | "et" | "e" | "y" | "en" | "i" | "og" | "och" | "oder"
                );
                // A small word belongs to a name when a name's word follows.
                let follows =
                    matches!(tokens.get(index + 1), Some(Token::Word { span, .. }) if self.is_capital(span));
                if !follows || connects && count == 0 {
                    ended = false;
                    break;
                }
                if connects {
                    open = false;
                }
            } else if self.words.is_nobody(folded) || self.parts_nobody(folded) {
                nobody = true;
                ended = false;
                break;
            } else if self.is_capital(&span) && count < LONGEST {
                match names.last_mut() {
                    Some(last) if open => last.end = span.end,
                    _ => names.push(span.clone()),
                }
                open = true;
                count += 1;
            } else if self.is_plain(word) && trust != Trust::Stated && count == small && small < 2 {
                // "hallo frau muster,": a name in small letters, if a mark follows.
                match names.last_mut() {
                    Some(last) if open => last.end = span.end,
                    _ => names.push(span.clone()),
                }
                open = true;
                count += 1;
                small += 1;
            } else {
                ended = false;
                break;
            }
            end = span.end + usize::from(dot && self.is_short(word));
        }
        let sure = match trust {
            Trust::Greeted if small > 0 => ended && small == count && (addressed || small == 1),
            Trust::Greeted => addressed || ended && !nobody && !self.is_shout(&names),
            Trust::Stated => small == 0 && !nobody,
            Trust::Line => {
                let whole =
                    end >= range.end || !self.page.text[end..range.end].contains(char::is_alphanumeric);
                whole && !nobody && (small == 0 || small == count && count <= 2)
            }
        };
        if sure && count > 0 {
            spans.extend(names);
        }
        end
    }

    /// Words and marks of a range, up to as many as a greeting may have.
    fn tokens(&self, range: Range<usize>) -> Vec<Token> {
        let text = &self.page.text[range.clone()];
        let mut tokens = Vec::new();
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if tokens.len() > 16 {
                break;
            }
            if c.is_alphabetic() {
                let mut end = at + c.len_utf8();
                while let Some(&(next, c)) = chars.peek() {
                    let joins = matches!(c, '-' | '\'' | '’')
                        && text[next + c.len_utf8()..].starts_with(char::is_alphabetic);
                    let accent = matches!(c, '\u{300}'..='\u{36f}' | '\u{ad}');
                    if !(c.is_alphanumeric() || joins || accent) {
                        break;
                    }
                    end = next + c.len_utf8();
                    chars.next();
                }
                let word = &text[at..end];
                let span = range.start + at..range.start + end;
                let folded = &self.page.folded()[span.clone()];
                let abbreviated =
                    self.is_short(word) || self.words.is_title(folded) || self.words.is_salutation(folded);
                let dot = abbreviated && text[end..].starts_with('.');
                if dot {
                    chars.next();
                    // "Sig.ra", "Dott.ssa".
                    let ending = text[end + 1..].chars().take_while(|c| c.is_lowercase()).count();
                    if ending <= 3
                        && !text[end + 1..]
                            .chars()
                            .nth(ending)
                            .is_some_and(char::is_alphabetic)
                    {
                        chars.by_ref().take(ending).for_each(drop);
                    }
                }
                tokens.push(Token::Word { span, dot });
            } else if !c.is_whitespace() || c == '\n' {
                tokens.push(Token::Mark(c));
            }
        }
        tokens
    }

    /// An initial.
    fn is_short(&self, word: &str) -> bool {
        word.chars().count() <= 2 && word.starts_with(char::is_uppercase)
    }

    fn is_capital(&self, span: &Range<usize>) -> bool {
        let word = &self.page.text[span.clone()];
        word.starts_with(char::is_uppercase) && !word.contains(|c: char| c.is_numeric())
    }

    /// Letters only, not too many.
    fn is_plain(&self, word: &str) -> bool {
        word.starts_with(char::is_lowercase)
            && (2..=24).contains(&word.chars().count())
            && word
                .chars()
                .all(|c| c.is_alphabetic() || matches!(c, '-' | '\'' | '’'))
    }

    /// "Nordbank-Team".
    fn parts_nobody(&self, folded: &str) -> bool {
        folded.contains('-') && folded.split('-').any(|part| self.words.is_nobody(part))
    }

    /// One short word in capitals is a company: "Hallo DKB,".
    fn is_shout(&self, names: &[Range<usize>]) -> bool {
        let [name] = names else {
            return false;
        };
        let name = &self.page.text[name.clone()];
        name.len() <= 4 && name.len() > 1 && name.bytes().all(|byte| byte.is_ascii_uppercase())
    }

    /// "Eva Muster <eva@example.com>".
    fn before_address(&self, at: usize, spans: &mut Vec<Range<usize>>) {
        let before = &self.page.text[..at];
        let Some(before) = before
            .strip_suffix('<')
            .or_else(|| before.strip_suffix("<mailto:"))
        else {
            return;
        };
        let before = before.trim_end_matches([' ', '"', '\'']);
        let earliest = before.len().saturating_sub(80);
        let earliest = before.ceil_char_boundary(earliest);
        let phrase = &before[earliest..];
        let start = phrase
            .rfind(['\n', ':', ',', ';', '>', '"', '[', ']'])
            .map_or(earliest, |mark| earliest + mark + 1);
        let start = before.len() - before[start..].trim_start_matches([' ', '"', '\'']).len();
        self.run(start..before.len(), Trust::Line, spans);
    }
}
