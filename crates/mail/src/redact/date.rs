//! Reads dates, so that a birth date is found whole and no other date is taken for a number.

use super::page::{Page, floor};
use super::words::words;
use std::ops::Range;

/// Whether a date may do without its year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Year {
    Needed,
    Free,
}

/// The span of a date that begins at `at`: 12.03.1980, 12/3/80, 1980-03-12, 12. März 1980,
/// 12 de marzo de 1980, March 12th, 1980.
pub(super) fn read(page: &Page<'_>, at: usize, year: Year) -> Option<Range<usize>> {
    let reader = Reader { page };
    reader
        .numeric(at, year)
        .or_else(|| reader.written(at, year))
        .or_else(|| reader.month_first(at, year))
        .filter(|&end| !page.after(end).is_some_and(char::is_alphanumeric))
        .map(|end| at..end)
}

/// True for a year somebody living may be born in.
pub(super) fn is_year(value: u32) -> bool {
    (1900..2100).contains(&value)
}

struct Reader<'p, 'a> {
    page: &'p Page<'a>,
}

impl Reader<'_, '_> {
    /// A number of up to four digits, with its length.
    fn number(&self, at: usize) -> Option<(u32, usize)> {
        let (mut value, mut length) = (0, 0);
        while let Some(digit) = self.page.byte(at + length).filter(u8::is_ascii_digit) {
            value = value * 10 + u32::from(digit - b'0');
            length += 1;
            if length > 4 {
                return None;
            }
        }
        (length > 0).then_some((value, length))
    }

    /// After up to three blanks; a hard blank is two bytes.
    fn blanks(&self, mut at: usize) -> usize {
        for _ in 0..3 {
            at += usize::from(self.page.byte(at) == Some(b' '));
        }
        at
    }

    fn numeric(&self, at: usize, year: Year) -> Option<usize> {
        let (first, length) = self.number(at)?;
        let sign = self.page.byte(at + length).filter(|byte| b"./-".contains(byte))?;
        let next = |at: usize| if sign == b'.' { self.blanks(at + 1) } else { at + 1 };
        let (second, second_length) = self.number(next(at + length))?;
        let after = next(at + length) + second_length;
        if length == 4 {
            let (day, day_length) = self
                .number(next(after))
                .filter(|_| self.page.byte(after) == Some(sign))?;
            let fits = is_year(first) && (1..=12).contains(&second) && (1..=31).contains(&day);
            return (fits && day_length <= 2).then_some(next(after) + day_length);
        }
        let fits = length <= 2
            && second_length <= 2
            && (1..=31).contains(&first)
            && (1..=31).contains(&second)
            && (first <= 12 || second <= 12);
        if !fits {
            return None;
        }
        let third = self
            .number(next(after))
            .filter(|_| self.page.byte(after) == Some(sign))
            .filter(|&(value, length)| length == 2 || length == 4 && is_year(value));
        match (third, year) {
            (Some((_, length)), _) => Some(next(after) + length),
            (None, Year::Free) if sign == b'.' => {
                Some(after + usize::from(self.page.byte(after) == Some(b'.')))
            }
            _ => None,
        }
    }

    /// Day, month, year.
    fn written(&self, at: usize, year: Year) -> Option<usize> {
        let (day, length) = self.number(at)?;
        if length > 2 || !(1..=31).contains(&day) {
            return None;
        }
        let mut next = at + length;
        let ordinal = ["st", "nd", "rd", "th", "er", "º", "°", "."]
            .into_iter()
            .find(|word| self.rest(next).starts_with(word));
        next = self.blanks(next + ordinal.map_or(0, str::len));
        next = self.small(next);
        let month = self.month(next)?;
        next = month.end;
        let after =
            self.small(self.blanks(next + usize::from(matches!(self.page.byte(next), Some(b'.' | b',')))));
        match self.number(after) {
            Some((value, 4)) if is_year(value) => Some(after + 4),
            Some((_, 2)) if after > next => Some(after + 2),
            _ => (year == Year::Free).then_some(next),
        }
    }

    /// Month, day, year.
    fn month_first(&self, at: usize, year: Year) -> Option<usize> {
        let month = self.month(at)?;
        let dot = usize::from(self.page.byte(month.end) == Some(b'.'));
        let next = self.blanks(month.end + dot);
        let (day, length) = self.number(next)?;
        if length > 2 || !(1..=31).contains(&day) {
            // "March 1980".
            return (length == 4 && is_year(day)).then_some(next + length);
        }
        let mut after = next + length;
        let ordinal = ["st", "nd", "rd", "th"]
            .into_iter()
            .find(|word| self.rest(after).starts_with(word));
        after += ordinal.map_or(0, str::len);
        let end = after;
        after = self.blanks(after + usize::from(self.page.byte(after) == Some(b',')));
        match self.number(after) {
            Some((value, 4)) if is_year(value) => Some(after + 4),
            _ => (year == Year::Free).then_some(end),
        }
    }

    fn rest(&self, at: usize) -> &str {
        let folded = self.page.folded();
        folded
            .get(at..floor(self.page.text, at + 24).max(at))
            .unwrap_or_default()
    }

    /// After "de", "of", "of the".
    fn small(&self, at: usize) -> usize {
        let rest = self.rest(at);
        ["de ", "of ", "del ", "di "]
            .into_iter()
            .find(|word| rest.starts_with(word))
            .map_or(at, |word| self.blanks(at + word.len()))
    }

    /// The name of a month.
    fn month(&self, at: usize) -> Option<Range<usize>> {
        let rest = self.rest(at);
        let length = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        (length > 2 && words().is_month(&rest[..length])).then_some(at..at + length)
    }
}
