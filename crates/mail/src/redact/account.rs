//! Finds account, securities account and customer numbers, which only the word before them tells.

use super::page::{Page, floor};
use super::words::Near;
use super::{Found, MaskKind};
use std::ops::Range;

/// The most digits of one.
const LONGEST: usize = 22;

/// What may stand between two numbers of one kind.
const AND: &[&str] = &[
    "und ", "and ", "sowie ", "oder ", "or ", "& ", "/ ", "bzw. ", "et ", "y ", "e ", "en ", "i ",
];

pub(super) fn find(page: &Page<'_>, found: &mut Found) {
    for context in page.contexts(Near::Account) {
        let mut span = page.code(context.value, 4, LONGEST);
        while let Some(code) = span {
            let next = following(page, code.end).filter(|_| !found.meets(&code));
            found.add(code, MaskKind::Account);
            span = next;
        }
    }
    for context in page.contexts(Near::Holding) {
        let between = &page.folded()[context.start..context.value];
        let asked = between.contains([':', '#', '°'])
            || ["nr", "no", "num"].iter().any(|word| between.contains(word));
        let least = if asked { 5 } else { 7 };
        if let Some(span) = page.code(context.value, least, LONGEST)
            && !is_amount(&page.text[span.clone()])
        {
            found.add(span, MaskKind::Account);
        }
    }
}

/// A further number behind "und".
fn following(page: &Page<'_>, end: usize) -> Option<Range<usize>> {
    let rest = &page.folded()[end..floor(page.text, end + 16)];
    let words = rest.trim_start_matches(' ');
    let and = AND.iter().find(|and| words.starts_with(**and))?;
    let number = words[and.len()..].trim_start_matches(' ');
    page.code(end + rest.len() - number.len(), 6, LONGEST)
}

/// Digits in threes, as thousands are written.
fn is_amount(code: &str) -> bool {
    let mut groups = code.split(['.', ' ', '\u{a0}']);
    let first = groups.next().is_some_and(|group| group.len() <= 3);
    let rest: Vec<&str> = groups.collect();
    first && !rest.is_empty() && rest.iter().all(|group| group.len() == 3) && code.contains('.')
}
