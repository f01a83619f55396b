//! Kept and cut spans as one sequence.

use super::Cut;
use std::iter;
use std::ops::Range;

/// A stretch of a body that is kept or cut as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<'a> {
    /// Its words, never empty.
    pub text: &'a str,
    /// First byte in the body.
    pub start: usize,
    /// Why it was cut; `None` where it is kept.
    pub cut: Option<&'a Cut>,
}

impl Span<'_> {
    /// Its bytes in the body.
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }
}

/// Merges two lists of spans, each in order, that together tile `body`.
pub(super) fn merge<'a>(
    body: &'a str,
    kept: &'a [Range<usize>],
    cuts: &'a [Cut],
) -> impl Iterator<Item = Span<'a>> {
    let (mut kept, mut cuts) = (kept.iter().peekable(), cuts.iter().peekable());
    iter::from_fn(move || {
        let next_kept = kept.peek().map_or(usize::MAX, |span| span.start);
        let cut = cuts.next_if(|cut| cut.start < next_kept);
        let range = match cut {
            Some(cut) => cut.start..cut.end,
            None => kept.next()?.clone(),
        };
        Some(Span {
            start: range.start,
            text: &body[range],
            cut,
        })
    })
}
