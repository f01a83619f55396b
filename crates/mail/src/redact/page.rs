//! A text as the rules read it: folded, with its groups of digits and the words that name numbers.

use super::date;
use super::words::{Near, words};
use crate::markers::{Pattern, fold};
use std::borrow::Cow;
use std::ops::Range;

/// Bytes looked through behind a word for the number it names.
const REACH: usize = 48;

/// A word that names the number behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    pub(super) near: Near,
    /// Where the word begins.
    pub(super) start: usize,
    /// Where its number would begin.
    pub(super) value: usize,
}

/// A text with what every rule needs of it. All offsets are bytes of the text.
pub(super) struct Page<'a> {
    pub(super) text: &'a str,
    /// Lower case and plain spaces, byte for byte as long.
    folded: Cow<'a, str>,
    /// Runs of ASCII digits.
    pub(super) groups: Vec<Range<usize>>,
    /// By `value`.
    contexts: Vec<Context>,
}

impl<'a> Page<'a> {
    pub(super) fn read(text: &'a str) -> Self {
        let folded = fold(text);
        let mut groups: Vec<Range<usize>> = Vec::new();
        for (at, byte) in text.bytes().enumerate() {
            if byte.is_ascii_digit() {
                match groups.last_mut() {
                    Some(last) if last.end == at => last.end += 1,
                    _ => groups.push(at..at + 1),
                }
            }
        }
        let mut page = Self {
            text,
            folded,
            groups,
            contexts: Vec::new(),
        };
        if page.has_numbers() {
            page.contexts = page.find_contexts();
        }
        page
    }

    /// False when there are too few digits for any number or date.
    pub(super) fn has_numbers(&self) -> bool {
        self.groups.iter().map(Range::len).take(4).sum::<usize>() >= 4
    }

    fn find_contexts(&self) -> Vec<Context> {
        let mut contexts: Vec<Context> = words()
            .near
            .iter()
            .flat_map(|near| self.contexts_of(near))
            .collect();
        contexts.sort_by_key(|context| (context.value, context.start));
        contexts
    }

    fn contexts_of<'p>(&'p self, (near, pattern): &'p (Near, Pattern)) -> impl Iterator<Item = Context> + 'p {
        pattern.places(&self.folded).map(|place| {
            let end = place.end();
            let reach = floor(self.text, end + REACH);
            let fill = words().fill.places(&self.folded[end..reach]).next();
            Context {
                near: *near,
                start: place.start(),
                value: ceil(self.text, end + fill.map_or(0, |fill| fill.end())),
            }
        })
    }

    /// Where what words of one kind name would begin, in a text without numbers.
    pub(super) fn named(&self, wanted: Near) -> Vec<usize> {
        let near = words().near.iter().filter(|(near, _)| *near == wanted);
        near.flat_map(|near| self.contexts_of(near))
            .map(|context| context.value)
            .collect()
    }

    pub(super) fn folded(&self) -> &str {
        &self.folded
    }

    /// The words that name numbers, by where the number would begin.
    pub(super) fn contexts(&self, wanted: Near) -> impl Iterator<Item = Context> + '_ {
        self.contexts
            .iter()
            .copied()
            .filter(move |context| context.near == wanted)
    }

    /// True when a word of this kind names the number at `at`.
    pub(super) fn is_near(&self, at: usize, wanted: Near) -> bool {
        let first = self.contexts.partition_point(|context| context.value < at);
        self.contexts[first..]
            .iter()
            .take_while(|context| context.value == at)
            .any(|context| context.near == wanted)
    }

    /// True when another name is nearer: an order's or a security's number.
    pub(super) fn is_others(&self, at: usize) -> bool {
        let first = self.contexts.partition_point(|context| context.value < at);
        self.contexts[first..]
            .iter()
            .take_while(|context| context.value == at)
            .max_by_key(|context| context.start)
            .is_some_and(|context| context.near == Near::Other)
    }

    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.folded.as_bytes().get(at).copied()
    }

    pub(super) fn before(&self, at: usize) -> Option<char> {
        self.text.get(..at)?.chars().next_back()
    }

    pub(super) fn after(&self, at: usize) -> Option<char> {
        self.text.get(at..)?.chars().next()
    }

    /// What stands between a group and the next.
    pub(super) fn gap(&self, group: usize) -> Option<&str> {
        let next = self.groups.get(group + 1)?;
        Some(&self.text[self.groups[group].end..next.start])
    }

    /// The group that begins at `at`.
    pub(super) fn group_at(&self, at: usize) -> Option<usize> {
        self.groups.binary_search_by_key(&at, |group| group.start).ok()
    }

    /// True when a number cannot begin here: in a word, a decimal, an address of the web.
    pub(super) fn is_inside(&self, at: usize) -> bool {
        let Some(before) = self.before(at) else {
            return false;
        };
        let further = || {
            self.before(at - before.len_utf8())
                .is_some_and(char::is_alphanumeric)
        };
        before.is_alphanumeric()
            || matches!(before, '_' | '=' | '&' | '#' | '@' | '%' | '+' | '$' | '€' | '£')
            || matches!(before, '.' | ',' | ':' | '/' | '-' | '–') && further()
            || before == '/' && self.before(at - 1) == Some('/')
    }

    /// True when a number cannot end here, or is an amount or a share.
    pub(super) fn goes_on(&self, at: usize) -> bool {
        let bytes = self.folded.as_bytes();
        let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        match self.after(at) {
            None => false,
            Some(after) if after.is_alphanumeric() || after == '_' => true,
            Some(',' | '.' | ':') if digit(at + 1) => true,
            Some('%' | '€' | '$' | '£') => true,
            Some(',') if bytes.get(at + 1) == Some(&b'-') => true,
            Some(after) if after.is_whitespace() => self.is_unit(at),
            Some(_) => false,
        }
    }

    /// A currency or a unit behind a blank.
    fn is_unit(&self, at: usize) -> bool {
        const UNITS: [&str; 21] = [
            "eur", "euro", "euros", "usd", "chf", "gbp", "dollar", "dollars", "franken", "prozent",
            "percent", "stück", "stk", "stueck", "anteile", "aktien", "shares", "uhr", "tsd", "mio", "zł",
        ];
        let reach = floor(self.text, at + 16);
        let rest = self.folded[at..reach].trim_start_matches(' ');
        let word: &str = rest
            .split(|c: char| !c.is_alphanumeric())
            .next()
            .unwrap_or_default();
        rest.starts_with(['€', '$', '%', '£']) || UNITS.contains(&word)
    }

    /// Reads a code: letters and digits in groups, from `least` to `most` digits.
    ///
    /// It ends where the words of the text go on; a group behind a blank belongs to it only as one
    /// of several short ones, as in "12 345 678". Dates, amounts and securities are no codes.
    pub(super) fn code(&self, at: usize, least: usize, most: usize) -> Option<Range<usize>> {
        let bytes = self.folded.as_bytes();
        if date::read(self, at, date::Year::Needed).is_some() {
            return None;
        }
        let (mut end, mut digits, mut last) = (at, 0, 0);
        let mut next = at;
        loop {
            let run = bytes[next..]
                .iter()
                .take(40)
                .take_while(|byte| byte.is_ascii_alphanumeric())
                .count();
            let word = &bytes[next..next + run];
            let numbers = word.iter().filter(|byte| byte.is_ascii_digit()).count();
            let letters = run - numbers;
            let joined = next > end && matches!(bytes[next - 1], b'-' | b'/' | b'.');
            // "DE 123", "AB-123" begin with letters; a single letter may end a code.
            let head = digits == 0 && letters == run && run > 0 && run <= 4;
            let tail = digits > 0 && letters == run && run == 1 && (joined || digits >= 6 && letters == 1);
            let fits = run > 0
                && run < 40
                && (numbers > 0 && letters <= 5
                    || head
                    || tail && self.text.as_bytes()[next].is_ascii_uppercase());
            let fits = fits
                && (next == at || joined || numbers >= 2 && last < 6 || digits == 0 || tail)
                && digits + numbers <= most;
            if !fits {
                break;
            }
            if !head {
                end = next + run;
            }
            digits += numbers;
            last = numbers;
            next += run;
            if tail {
                break;
            }
            // What parts two groups: a blank, a mark, or a mark between blanks; never a line's end.
            let gap = bytes[next..]
                .iter()
                .zip(&self.text.as_bytes()[next..])
                .take(3)
                .take_while(|(byte, raw)| matches!(byte, b' ' | b'-' | b'/' | b'.') && **raw != b'\n')
                .count();
            let sentence = bytes[next..next + gap].starts_with(b". ");
            if gap == 0 || sentence {
                break;
            }
            next += gap;
        }
        let text = &self.text[at..end];
        let plain = text.len() == 12 && is_isin(text);
        let inside = self.before(at).is_some_and(char::is_alphanumeric);
        (digits >= least && !plain && !inside && !self.goes_on(end)).then_some(at..end)
    }
}

/// The largest character boundary up to `at`.
pub(super) fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at.min(text.len()))
}

/// The smallest from `at` on: where folded text has blanks, a hard blank is several bytes.
pub(super) fn ceil(text: &str, at: usize) -> usize {
    text.ceil_char_boundary(at.min(text.len()))
}

/// A security's number: two letters, nine letters or digits, a check digit (ISO 6166).
pub(super) fn is_isin(code: &str) -> bool {
    let bytes = code.as_bytes();
    bytes.len() == 12
        && bytes[..2].iter().all(u8::is_ascii_alphabetic)
        && bytes[2..].iter().all(u8::is_ascii_alphanumeric)
        && bytes[11].is_ascii_digit()
        && luhn(bytes.iter().flat_map(|&byte| {
            let value = char::from(byte).to_digit(36).unwrap_or(0) as u8;
            let tens = (value >= 10).then_some(value / 10);
            tens.into_iter().chain([value % 10])
        }))
}

/// True when the last digit checks the others (ISO/IEC 7812-1, annex B).
pub(super) fn luhn(digits: impl DoubleEndedIterator<Item = u8>) -> bool {
    let sum: u32 = digits
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(digit) * 2) {
            (0, _) => u32::from(digit),
            (_, twice @ 10..) => twice - 9,
            (_, twice) => twice,
        })
        .sum();
    sum.is_multiple_of(10)
}
