//! Finds payment cards: a known issuer's prefix, its lengths and the Luhn digit.
//!
//! A card's number behind a word for it is masked whatever its digits say; a slip of a finger
//! makes it no less personal.

use super::page::{Page, luhn};
use super::words::Near;
use super::{Found, MaskKind};

/// The longest card number, in digits.
const LONGEST: usize = 19;

pub(super) fn find(page: &Page<'_>, found: &mut Found) {
    for (index, group) in page.groups.iter().enumerate() {
        if group.len() < 3 || group.len() > LONGEST || page.is_inside(group.start) {
            continue;
        }
        let (mut digits, mut count) = ([0u8; LONGEST], 0);
        let mut end = None;
        for next in index..page.groups.len() {
            let part = &page.groups[next];
            if count + part.len() > LONGEST || part.len() < 2 {
                break;
            }
            for byte in page.text[part.clone()].bytes() {
                digits[count] = byte - b'0';
                count += 1;
            }
            let grouped = next == index || group.len() == 4;
            if grouped && is_card(&digits[..count]) && !page.goes_on(part.end) {
                end = Some(part.end);
            }
            if !page
                .gap(next)
                .is_some_and(|gap| matches!(gap, " " | "-" | "\u{a0}" | "." | "  "))
            {
                break;
            }
        }
        if let Some(end) = end
            && !page.is_others(group.start)
        {
            found.add(group.start..end, MaskKind::Card);
        }
    }
    for context in page.contexts(Near::Card) {
        if let Some(span) = page.code(context.value, 8, LONGEST) {
            found.add(span, MaskKind::Card);
        }
    }
}

/// True for an issuer's number of one of its lengths. The old Visa numbers of 13 digits are not
/// among them: so many are on goods.
fn is_card(digits: &[u8]) -> bool {
    if digits.len() < 14 || !luhn(digits.iter().copied()) {
        return false;
    }
    let prefix = |count: usize| {
        digits[..count]
            .iter()
            .fold(0u32, |sum, &digit| sum * 10 + u32::from(digit))
    };
    let lengths = match (prefix(1), prefix(2), prefix(3), prefix(4)) {
        // Visa, Mastercard, American Express.
        (4, ..) => 16..=19,
        (_, 51..=55, ..) | (_, _, _, 2221..=2720) => 16..=16,
        (_, 34 | 37, ..) => 15..=15,
        // Diners Club.
        (_, 36 | 38 | 39, ..) | (_, _, 300..=305 | 309, _) => 14..=19,
        // JCB, Discover and UnionPay, Mir.
        (_, _, _, 3528..=3589) => 16..=19,
        (_, 62 | 64 | 65, ..) | (_, _, _, 6011) => 16..=19,
        (_, _, _, 2200..=2204) => 16..=19,
        // Maestro, girocard, Dankort.
        (_, 50 | 56..=58 | 63 | 67 | 68, ..) => 16..=19,
        _ => return false,
    };
    lengths.contains(&digits.len())
}
