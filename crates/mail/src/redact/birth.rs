//! Finds dates of birth: a date with a word such as "geboren" beside it.
//!
//! A date alone is when something happened, which says what a mail is about.

use super::date::{self, Year};
use super::page::{Page, floor};
use super::words::Near;
use super::{Found, MaskKind};
use std::ops::Range;

pub(super) fn find(page: &Page<'_>, found: &mut Found) {
    for context in page.contexts(Near::Birth) {
        let span = date::read(page, context.value, Year::Free)
            .or_else(|| behind_place(page, context.value))
            .or_else(|| year(page, context.value))
            .or_else(|| before(page, context.start));
        if let Some(span) = span {
            found.add(span, MaskKind::BirthDate);
        }
    }
}

/// "geboren in Kiel am 12.03.1980", "born in Leeds on 3 May 1980".
fn behind_place(page: &Page<'_>, at: usize) -> Option<Range<usize>> {
    let rest = &page.folded()[at..floor(page.text, at + 60)];
    let mut words = rest.split_inclusive(' ');
    let first = words.next()?;
    if !matches!(
        first.trim_end(),
        "in" | "à" | "a" | "en" | "em" | "w" | "i" | "te" | "zu"
    ) {
        return None;
    }
    let mut next = at + first.len();
    for word in words.take(6) {
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return date::read(page, next, Year::Free);
        }
        if word.trim_end().ends_with(['.', ';', ':', '!', '?']) {
            return None;
        }
        next += word.len();
    }
    None
}

/// "geb. 1980", "Jahrgang 1980".
fn year(page: &Page<'_>, at: usize) -> Option<Range<usize>> {
    let group = page.groups.get(page.group_at(at)?)?.clone();
    let value: u32 = page.text[group.clone()].parse().ok()?;
    (group.len() == 4 && date::is_year(value) && !page.goes_on(group.end)).then_some(group)
}

/// "am 12.03.1980 geboren", "12.03.1980 (Geburtsdatum)".
fn before(page: &Page<'_>, start: usize) -> Option<Range<usize>> {
    let text = page.folded();
    let date_end = text[..start].trim_end_matches([' ', '(', ',', '*']).len();
    if start - date_end > 4 || !text[..date_end].ends_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    // A date is at most "12. septiembre de 1980"; its beginning is the first place it reads from to the end.
    let earliest = text.len().min(date_end).saturating_sub(24);
    (earliest..date_end).find_map(|at| {
        let begins = text.is_char_boundary(at)
            && text.as_bytes()[at].is_ascii_digit()
            && !page.before(at).is_some_and(char::is_alphanumeric);
        let span = begins.then(|| date::read(page, at, Year::Free)).flatten()?;
        (span.end == date_end).then_some(span)
    })
}
