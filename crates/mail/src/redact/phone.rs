//! Finds phone numbers: with a country's code, with the zero of a trunk call and separators, or
//! behind a word such as "Tel.".
//!
//! Dates, times, amounts and order numbers are digits with separators too. So a number without a
//! country's code needs its zero and a separator, and must not read as any of those.

use super::date::{self, Year};
use super::page::Page;
use super::words::Near;
use super::{Found, MaskKind};
use std::ops::Range;

pub(super) fn find(page: &Page<'_>, found: &mut Found) {
    let mut free = 0;
    for index in 0..page.groups.len() {
        let group = &page.groups[index];
        if group.start < free {
            continue;
        }
        // Digits behind digits are the middle of something longer, unless those were a number too.
        let behind = index > 0
            && page.groups[index - 1].end > free
            && page
                .gap(index - 1)
                .is_some_and(|gap| matches!(gap, " " | "\u{a0}"));
        if let Some(span) = at(page, index, behind) {
            free = span.end;
            found.add(span, MaskKind::Phone);
        }
    }
}

/// The number whose first digits are group `index`.
fn at(page: &Page<'_>, index: usize, behind: bool) -> Option<Range<usize>> {
    let first = &page.groups[index];
    let plus = page.before(first.start) == Some('+');
    let start = first.start - usize::from(plus);
    let bracket = page.before(start) == Some('(');
    let start = start - usize::from(bracket);
    let named = [first.start, first.start - usize::from(plus)]
        .into_iter()
        .any(|at| page.is_near(at, Near::Phone));
    if !named && (behind || page.is_inside(start) || page.is_others(first.start) || page.is_others(start)) {
        return None;
    }
    let digits = &page.text[first.clone()];
    let kind = if plus && !digits.starts_with('0') {
        Kind::Plus
    } else if digits.starts_with("00") && (digits.len() > 3 || named) {
        Kind::Zeros
    } else if digits.starts_with('0') && !digits.starts_with("00") {
        Kind::Trunk
    } else if named {
        Kind::Named
    } else {
        return None;
    };
    let number = Number::read(page, index, kind)?;
    let lengths = match kind {
        _ if named => 5..=16,
        Kind::Plus => 8..=15,
        Kind::Zeros => 10..=17,
        Kind::Trunk | Kind::Named => 8..=13,
    };
    if !lengths.contains(&number.digits) || page.goes_on(number.end) {
        return None;
    }
    if !named {
        let code = match kind {
            Kind::Plus => is_calling_code(digits),
            Kind::Zeros => is_calling_code(&digits[2..]),
            Kind::Trunk | Kind::Named => number.is_parted() || is_mobile(digits),
        };
        if !code || kind != Kind::Plus && number.is_something_else(page, first.start) {
            return None;
        }
    } else if date::read(page, first.start, Year::Needed).is_some() {
        return None;
    }
    // A bracket belongs to it when its other half does.
    let inner = page.text[first.start..number.end].matches(')').count()
        > page.text[first.start..number.end].matches('(').count();
    Some(if bracket && !inner { start + 1 } else { start }..number.end)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// +49 …
    Plus,
    /// 0049 …
    Zeros,
    /// 040 …
    Trunk,
    /// Whatever stands behind "Tel.".
    Named,
}

/// Groups that make one number.
struct Number {
    digits: usize,
    end: usize,
    /// Their lengths, up to eight.
    lengths: [usize; 8],
    groups: usize,
    first: usize,
}

impl Number {
    /// Reads on while groups follow with a number's separators between.
    fn read(page: &Page<'_>, first: usize, kind: Kind) -> Option<Self> {
        let most = match kind {
            Kind::Plus => 15,
            Kind::Zeros => 17,
            Kind::Trunk | Kind::Named => 13,
        };
        let group = &page.groups[first];
        let mut number = Self {
            digits: group.len(),
            end: group.end,
            lengths: [0; 8],
            groups: 1,
            first,
        };
        number.lengths[0] = group.len();
        for index in first..page.groups.len() - 1 {
            let next = &page.groups[index + 1];
            let gap = page.gap(index)?;
            let last = page.groups[index].len();
            let plain = gap.trim().is_empty();
            let another = page.text.as_bytes()[next.start] == b'0'
                && number.digits >= 7
                && (gap.contains('/') || gap.chars().count() > 1 || next.len() >= 3 && !plain);
            // Nine digits with a long last group are whole; a number behind a blank is the next thing.
            let whole = plain && (number.digits >= 10 && last >= 4 || number.digits >= 8 && last >= 6);
            if !is_separator(gap)
                || number.digits + next.len() > most
                || number.groups == 8
                || another
                || whole
            {
                break;
            }
            number.lengths[number.groups] = next.len();
            number.digits += next.len();
            number.end = next.end;
            number.groups += 1;
        }
        (number.digits <= most).then_some(number)
    }

    fn is_parted(&self) -> bool {
        self.groups > 1
    }

    /// A date, a time, a range of them, postcodes, a version.
    fn is_something_else(&self, page: &Page<'_>, start: usize) -> bool {
        let lengths = &self.lengths[..self.groups];
        let group = |at: usize| &page.text[page.groups[self.first + at].clone()];
        let is_year = |at: usize| lengths[at] == 4 && group(at).parse().is_ok_and(date::is_year);
        let dotted = self.groups > 1 && page.gap(self.first).is_some_and(|gap| gap.starts_with('.'));
        let pairs = lengths.iter().all(|&length| length <= 2);
        let small = (0..self.groups).all(|at| lengths[at] <= 2 || is_year(at));
        // 01 23 45 67 89, as in France.
        if pairs && self.groups == 5 {
            return false;
        }
        date::read(page, start, Year::Needed).is_some()
            || small
            || dotted && self.groups >= 4 && lengths.iter().all(|&length| length <= 3)
            || dotted && lengths[0] <= 2 && lengths[1] <= 2
            || self.groups == 2 && lengths[0] == 5 && lengths[1] == 5 && group(1).starts_with('0')
            || lengths[0] == 1
    }
}

/// What stands between the groups of a number: up to three blanks, strokes, a dot, brackets.
fn is_separator(gap: &str) -> bool {
    let mut count = 0;
    !gap.is_empty()
        && gap.chars().all(|c| {
            count += 1;
            count <= 3
                && matches!(
                    c,
                    ' ' | '\t'
                        | '\u{a0}'
                        | '\u{2007}'
                        | '\u{2009}'
                        | '\u{202f}'
                        | '-'
                        | '‐'
                        | '‑'
                        | '–'
                        | '/'
                        | '.'
                        | '('
                        | ')'
                )
        })
        && !gap.starts_with(". ")
        && gap.matches('.').count() < 2
}

/// A German mobile number without separators: 015, 016 or 017 and eight or nine digits.
fn is_mobile(digits: &str) -> bool {
    matches!(digits.len(), 11 | 12) && digits.starts_with("01") && matches!(digits.as_bytes()[2], b'5'..=b'7')
}

/// True when digits begin with a country's calling code (ITU-T E.164).
fn is_calling_code(digits: &str) -> bool {
    let bytes = digits.as_bytes();
    match (bytes.first(), bytes.get(1)) {
        (Some(b'1' | b'7'), _) => true,
        (Some(first), Some(second)) => match first {
            b'2' => true,
            b'3' => !matches!(second, b'a'),
            b'4' | b'5' | b'6' => true,
            b'8' => !matches!(second, b'3' | b'9'),
            b'9' => true,
            _ => false,
        },
        _ => false,
    }
}
