//! Finds numbers of identity documents and of social insurance: by their check digits, or by the
//! word before them.

use super::page::{Page, floor};
use super::words::Near;
use super::{Found, MaskKind};
use std::ops::Range;

/// Those that need no word: social insurance numbers, German documents.
pub(super) fn find_checked(page: &Page<'_>, found: &mut Found) {
    for group in &page.groups {
        if let Some(span) =
            insurance(page, group.start).filter(|span| is_insurance(&page.folded()[span.clone()]))
        {
            found.add(span, MaskKind::IdNumber);
        }
        if let Some(span) = document(page, group.start) {
            found.add(span, MaskKind::IdNumber);
        }
    }
}

/// Those behind a word that names them.
pub(super) fn find(page: &Page<'_>, found: &mut Found) {
    for context in page.contexts(Near::Identity) {
        let at = context.value;
        if let Some(span) = insurance(page, at)
            .or_else(|| serial(page, at))
            .or_else(|| page.code(at, 5, 14))
        {
            found.add(span, MaskKind::IdNumber);
        }
    }
}

/// Eight digits, a letter, three digits, as "65 170839 J 003" or without blanks.
fn insurance(page: &Page<'_>, start: usize) -> Option<Range<usize>> {
    let bytes = page.folded().as_bytes();
    let (mut at, mut count) = (start, 0);
    while count < 12 {
        let byte = *bytes.get(at)?;
        let wanted = if count == 8 {
            byte.is_ascii_lowercase()
        } else {
            byte.is_ascii_digit()
        };
        if wanted {
            count += 1;
        } else if byte != b' ' || !matches!(count, 2 | 4 | 6 | 8 | 9 | 11) || bytes.get(at + 1) == Some(&b' ')
        {
            return None;
        }
        at += 1;
    }
    let inside = page
        .before(start)
        .is_some_and(|before| before.is_alphanumeric() || matches!(before, '.' | ','));
    (!inside && !page.after(at).is_some_and(char::is_alphanumeric)).then_some(start..at)
}

/// The check digit of VKVV §4 and a day and month within.
fn is_insurance(code: &str) -> bool {
    let mut digits = Vec::with_capacity(13);
    for byte in code.bytes().filter(u8::is_ascii_alphanumeric) {
        if byte.is_ascii_digit() {
            digits.push(u32::from(byte - b'0'));
        } else {
            let place = u32::from(byte - b'a') + 1;
            digits.extend([place / 10, place % 10]);
        }
    }
    let [.., check] = *digits.as_slice() else {
        return false;
    };
    let sum: u32 = digits
        .iter()
        .zip([2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1])
        .map(|(digit, weight)| digit * weight)
        .map(|product| product / 10 + product % 10)
        .sum();
    // A day above fifty tells numbers given twice.
    let day = (digits[2] * 10 + digits[3]) % 50;
    let month = digits[4] * 10 + digits[5];
    sum % 10 == check && (1..=31).contains(&day) && (1..=12).contains(&month)
}

/// A German identity card's or passport's number with its check digit: ten characters, of which the
/// first is one of the letters that such numbers begin with. One letter alone might be an order's.
fn document(page: &Page<'_>, at: usize) -> Option<Range<usize>> {
    let text = page.text.as_bytes();
    // The digits of a group stand behind the first letter.
    let start = at.checked_sub(1)?;
    let code = text.get(start..start + 10)?;
    let letter = |byte: &u8| b"CFGHJKLMNPRTVWXYZ".contains(byte);
    let fits = letter(&code[0])
        && code[..9].iter().all(|byte| byte.is_ascii_digit() || letter(byte))
        && code[9].is_ascii_digit()
        && code.iter().filter(|byte| letter(byte)).count() >= 2
        && !page
            .before(start)
            .is_some_and(|before| before.is_alphanumeric() || matches!(before, '-' | '/' | '_'));
    let end = start + 10 + usize::from(text.get(start + 10) == Some(&b'D'));
    let whole = !page
        .after(end)
        .is_some_and(|after| after.is_alphanumeric() || matches!(after, '-' | '/' | '_'));
    (fits && whole && is_checked(code) && !page.is_others(start)).then_some(start..end)
}

/// The check digit of ICAO 9303: weights 7, 3, 1, letters from ten on.
fn is_checked(code: &[u8]) -> bool {
    let [body @ .., check] = code else {
        return false;
    };
    let sum: u32 = body
        .iter()
        .zip([7, 3, 1].into_iter().cycle())
        .map(|(&byte, weight)| char::from(byte).to_digit(36).unwrap_or(0) * weight)
        .sum();
    char::from(*check).to_digit(10) == Some(sum % 10)
}

/// A document's number behind a word: eight to eleven capitals and digits, of which three are digits.
fn serial(page: &Page<'_>, at: usize) -> Option<Range<usize>> {
    let length = page.text.as_bytes()[at..]
        .iter()
        .take(12)
        .take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        .count();
    let code = &page.text[at..at + length];
    let digits = code.bytes().filter(u8::is_ascii_digit).count();
    let fits = (8..=11).contains(&length) && digits >= 3 && digits < length;
    (fits && !page.after(at + length).is_some_and(char::is_alphanumeric)).then_some(at..at + length)
}

/// The lines at the foot of a passport or identity card.
pub(super) fn find_machine_readable(page: &Page<'_>, found: &mut Found) {
    if !page.text.contains("<<<") {
        return;
    }
    let mut at = 0;
    for line in page.text.split_inclusive('\n') {
        let words = line.trim();
        let fits = (28..=48).contains(&words.len())
            && words
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'<')
            && words.bytes().filter(|byte| *byte == b'<').count() >= 3
            && words.bytes().any(|byte| byte.is_ascii_alphanumeric());
        if fits {
            let start = floor(page.text, at + line.len() - line.trim_start().len());
            found.add(start..start + words.len(), MaskKind::IdNumber);
        }
        at += line.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_the_published_examples() {
        assert!(is_insurance("15070649c103") && is_insurance("65 170839 j 003"));
        assert!(!is_insurance("15070649c104") && !is_insurance("15074649c103"));
        // The specimen of the passport in ICAO 9303 part 4.
        assert!(is_checked(b"L898902C36") && !is_checked(b"L898902C37"));
    }
}
