//! Finds tax payers' numbers: the German one by its check digit, all others by the word before them.

use super::page::Page;
use super::words::Near;
use super::{Found, MaskKind};
use std::ops::Range;

pub(super) fn find(page: &Page<'_>, found: &mut Found) {
    for (index, group) in page.groups.iter().enumerate() {
        if let Some(span) = german(page, index).or_else(|| italian(page, group))
            && !page.is_others(span.start)
        {
            found.add(span, MaskKind::TaxId);
        }
    }
    for context in page.contexts(Near::Tax) {
        if let Some(span) = page.code(context.value, 7, 16) {
            found.add(span, MaskKind::TaxId);
        }
    }
}

/// Eleven digits, together or as 12 345 678 901, with the check digit and the repetitions of a
/// German Steuer-Identifikationsnummer.
fn german(page: &Page<'_>, index: usize) -> Option<Range<usize>> {
    let first = &page.groups[index];
    let last = match first.len() {
        11 => index,
        2 => {
            let parts = page.groups.get(index..index + 4)?;
            let lengths = parts.iter().map(Range::len).eq([2, 3, 3, 3]);
            let blank = |gap: &str| matches!(gap, " " | "\u{a0}" | "\u{202f}");
            let parted = (index..index + 3).all(|at| page.gap(at).is_some_and(blank));
            (lengths && parted).then_some(index + 3)?
        }
        _ => return None,
    };
    let span = first.start..page.groups[last].end;
    if page.is_inside(span.start) || page.goes_on(span.end) {
        return None;
    }
    let mut digits = [0u8; 11];
    let bytes = page.text[span.clone()].bytes().filter(u8::is_ascii_digit);
    for (digit, byte) in digits.iter_mut().zip(bytes) {
        *digit = byte - b'0';
    }
    is_german(&digits).then_some(span)
}

/// ISO 7064 MOD 11,10 and the rule of §139b AO: of the first ten digits exactly one stands twice or
/// three times, three not in a row, and none begins with zero.
fn is_german(digits: &[u8; 11]) -> bool {
    let body = &digits[..10];
    let mut counts = [0usize; 10];
    for &digit in body {
        counts[usize::from(digit)] += 1;
    }
    let repeated: Vec<usize> = counts.into_iter().filter(|&count| count > 1).collect();
    let row = body
        .windows(3)
        .any(|three| three[0] == three[1] && three[1] == three[2]);
    if body[0] == 0 || !matches!(repeated.as_slice(), [2 | 3]) || row {
        return false;
    }
    let product = body.iter().fold(10u32, |product, &digit| {
        let sum = (u32::from(digit) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10 == u32::from(digits[10])
}

/// The sixteen characters of a codice fiscale, which nothing else looks like.
fn italian(page: &Page<'_>, group: &Range<usize>) -> Option<Range<usize>> {
    let start = group.start.checked_sub(6).filter(|_| group.len() == 2)?;
    let code = page.folded().as_bytes().get(start..start + 16)?;
    let letters = [0, 1, 2, 3, 4, 5, 8, 11, 15];
    let fits = code
        .iter()
        .enumerate()
        .all(|(at, byte)| match letters.contains(&at) {
            true => byte.is_ascii_lowercase(),
            false => byte.is_ascii_digit(),
        });
    let alone = fits
        && !page.before(start).is_some_and(char::is_alphanumeric)
        && !page.after(start + 16).is_some_and(char::is_alphanumeric);
    alone.then_some(start..start + 16)
}

#[cfg(test)]
mod tests {
    use super::is_german;

    #[test]
    fn checks_the_published_examples() {
        for number in [
            "86095742719",
            "47036892816",
            "65929970489",
            "57549285017",
            "25768131411",
        ] {
            let mut digits = [0; 11];
            for (digit, byte) in digits.iter_mut().zip(number.bytes()) {
                *digit = byte - b'0';
            }
            assert!(is_german(&digits), "{number}");
            digits[10] = (digits[10] + 1) % 10;
            assert!(!is_german(&digits), "{number}");
        }
    }
}
