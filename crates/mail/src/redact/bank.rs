//! Finds IBANs by their checksum and BICs by the word before them or an IBAN beside them.
//!
//! **Not here.** Old account numbers and bank codes, which only a word tells: `account.rs`.

use super::page::{Page, floor, is_isin};
use super::words::Near;
use super::{Found, MaskKind};
use std::ops::Range;

/// Countries and the length of their IBANs (ISO 13616, register release 99).
const IBANS: &[(&[u8; 2], usize)] = &[
    (b"ad", 24),
    (b"ae", 23),
    (b"al", 28),
    (b"at", 20),
    (b"az", 28),
    (b"ba", 20),
    (b"be", 16),
    (b"bg", 22),
    (b"bh", 22),
    (b"bi", 27),
    (b"br", 29),
    (b"by", 28),
    (b"ch", 21),
    (b"cr", 22),
    (b"cy", 28),
    (b"cz", 24),
    (b"de", 22),
    (b"dj", 27),
    (b"dk", 18),
    (b"do", 28),
    (b"ee", 20),
    (b"eg", 29),
    (b"es", 24),
    (b"fi", 18),
    (b"fk", 18),
    (b"fo", 18),
    (b"fr", 27),
    (b"gb", 22),
    (b"ge", 22),
    (b"gi", 23),
    (b"gl", 18),
    (b"gr", 27),
    (b"gt", 28),
    (b"hn", 28),
    (b"hr", 21),
    (b"hu", 28),
    (b"ie", 22),
    (b"il", 23),
    (b"iq", 23),
    (b"is", 26),
    (b"it", 27),
    (b"jo", 30),
    (b"kw", 30),
    (b"kz", 20),
    (b"lb", 28),
    (b"lc", 32),
    (b"li", 21),
    (b"lt", 20),
    (b"lu", 20),
    (b"lv", 21),
    (b"ly", 25),
    (b"mc", 27),
    (b"md", 24),
    (b"me", 22),
    (b"mk", 19),
    (b"mn", 20),
    (b"mr", 27),
    (b"mt", 31),
    (b"mu", 30),
    (b"ni", 28),
    (b"nl", 18),
    (b"no", 15),
    (b"om", 23),
    (b"pk", 24),
    (b"pl", 28),
    (b"ps", 29),
    (b"pt", 25),
    (b"qa", 29),
    (b"ro", 24),
    (b"rs", 22),
    (b"ru", 33),
    (b"sa", 24),
    (b"sc", 31),
    (b"sd", 18),
    (b"se", 24),
    (b"si", 19),
    (b"sk", 24),
    (b"sm", 27),
    (b"so", 23),
    (b"st", 25),
    (b"sv", 28),
    (b"tl", 23),
    (b"tn", 24),
    (b"tr", 26),
    (b"ua", 29),
    (b"va", 22),
    (b"vg", 24),
    (b"xk", 20),
    (b"ye", 30),
];

/// Countries of banks without IBANs whose BICs are met (ISO 3166).
const OTHERS: &[&[u8; 2]] = &[
    b"us", b"ca", b"au", b"nz", b"jp", b"cn", b"hk", b"sg", b"in", b"kr", b"za", b"mx", b"th", b"tw", b"id",
    b"my", b"ph", b"vn", b"ar", b"cl", b"co", b"pe", b"uy", b"ma", b"ke", b"ng", b"je", b"gg", b"im", b"ky",
    b"bm", b"bs", b"pa",
];

/// Bytes between an IBAN and a BIC that is known by it.
const BESIDE: usize = 16;

/// IBANs: every place where a country's letters and two digits begin a word.
pub(super) fn find(page: &Page<'_>, found: &mut Found) {
    let bytes = page.folded().as_bytes();
    for group in &page.groups {
        // "DE89" or "DE 89".
        let Some(start) = [2, 3].into_iter().find_map(|back| {
            let start = group.start.checked_sub(back)?;
            let letters = bytes[start..start + 2].iter().all(u8::is_ascii_alphabetic);
            let apart = back == 2 || bytes[start + 2] == b' ';
            (letters && apart && group.len() >= 2).then_some(start)
        }) else {
            continue;
        };
        let Some(length) = length(&bytes[start..start + 2]) else {
            continue;
        };
        let word =
            page.before(start).is_some_and(char::is_alphanumeric) && !bytes[..start].ends_with(b"iban");
        if word
            || bytes
                .get(start..start + 12)
                .is_some_and(|code| std::str::from_utf8(code).is_ok_and(is_isin))
        {
            continue;
        }
        if let Some(end) = checked(page, start, length) {
            found.add(start..end, MaskKind::Iban);
        }
    }
    for near in [Near::Iban, Near::Account, Near::Holding] {
        for context in page.contexts(near) {
            if let Some(span) = shaped(page, context.value) {
                found.add(span, MaskKind::Iban);
            }
        }
    }
}

/// The length of a country's IBANs.
fn length(country: &[u8]) -> Option<usize> {
    let place = IBANS
        .binary_search_by_key(&country, |(known, _)| &known[..])
        .ok()?;
    Some(IBANS[place].1)
}

/// The end of an IBAN at `start` whose checksum is right.
fn checked(page: &Page<'_>, start: usize, length: usize) -> Option<usize> {
    let mut code = [0u8; 34];
    let (count, end) = take(page, start, &mut code[..length]);
    let next = page.after(end);
    // "…00EUR" may be glued, a further digit may not.
    let whole = count == length && !next.is_some_and(|next| next.is_ascii_digit());
    (whole && remainder(&code[..length]) == 1).then_some(end)
}

/// Fills `code` with the letters and digits from `start` on; how many there were, and where they end.
fn take(page: &Page<'_>, start: usize, code: &mut [u8]) -> (usize, usize) {
    let bytes = page.folded().as_bytes();
    let (mut count, mut end, mut gap) = (0, start, 0);
    let mut at = start;
    while count < code.len() {
        match bytes.get(at) {
            Some(byte) if byte.is_ascii_alphanumeric() => {
                code[count] = *byte;
                count += 1;
                end = at + 1;
                gap = 0;
            }
            // A line may break once, and a hard blank is up to three bytes.
            Some(b' ' | b'.' | b'-' | b'/') if gap < 3 => gap += 1,
            _ => break,
        }
        at += 1;
    }
    (count, end)
}

/// ISO 7064 MOD 97-10 over the code with its first four characters moved to the end.
fn remainder(code: &[u8]) -> u32 {
    code[4..].iter().chain(&code[..4]).fold(0, |sum, &byte| {
        let value = char::from(byte).to_digit(36).unwrap_or(0);
        (if value < 10 { sum * 10 } else { sum * 100 } + value) % 97
    })
}

/// Something typed for an IBAN behind a word that asks for one: a known country's letters and about
/// as many digits as its layout has.
fn shaped(page: &Page<'_>, at: usize) -> Option<Range<usize>> {
    let bytes = page.folded().as_bytes();
    let length = length(bytes.get(at..at + 2)?)?;
    let mut end = at;
    let (mut digits, mut others) = (0usize, 0usize);
    let mut next = at;
    // Group by group, each with a digit, until there are as many as the country has.
    while digits + others < length + 2 {
        let run = bytes[next..]
            .iter()
            .take(36)
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'*'))
            .count();
        let word = &bytes[next..next + run];
        let numbers = word.iter().filter(|byte| byte.is_ascii_digit()).count();
        let hidden = word.iter().all(|byte| matches!(byte, b'*' | b'x'));
        let fits = run > 0 && (next == at || numbers > 0 && numbers * 2 >= run || hidden);
        if !fits || digits + others + run > length + 2 {
            break;
        }
        digits += numbers;
        others += run - numbers;
        end = next + run;
        let gap = bytes[end..]
            .iter()
            .take(2)
            .take_while(|byte| matches!(byte, b' ' | b'.' | b'-'))
            .count();
        if gap == 0 {
            break;
        }
        next = end + gap;
    }
    let count = digits + others;
    let isin = page.text.get(at..at + 12).is_some_and(is_isin) && count == 12;
    (count + 4 >= length && digits >= 8 && !isin && !page.after(end).is_some_and(char::is_alphanumeric))
        .then_some(at..end)
}

/// BICs: behind the word for them, or beside an IBAN.
pub(super) fn find_codes(page: &Page<'_>, found: &mut Found) {
    // Words are looked for here too where a text has no number at all.
    let named: Vec<usize> = if page.has_numbers() {
        page.contexts(Near::Bic).map(|context| context.value).collect()
    } else {
        page.named(Near::Bic)
    };
    for at in named {
        let marked = page.folded()[..at]
            .trim_end_matches([' ', '*'])
            .ends_with([':', '=']);
        if let Some(end) = code(page, at, !marked) {
            found.add(at..end, MaskKind::Bic);
        }
    }
    let ibans: Vec<Range<usize>> = found
        .spans
        .iter()
        .filter(|(_, (_, kind))| *kind == MaskKind::Iban)
        .map(|(start, (end, _))| *start..*end)
        .collect();
    for iban in ibans {
        let after = &page.text[iban.end..floor(page.text, iban.end + BESIDE)];
        if let Some(at) = after.find(char::is_alphanumeric).map(|at| iban.end + at)
            && let Some(end) = code(page, at, true)
        {
            found.add(at..end, MaskKind::Bic);
        }
        let before = &page.text[..iban.start];
        let end = before.trim_end_matches(|c: char| !c.is_alphanumeric()).len();
        let length = before[..end]
            .bytes()
            .rev()
            .take(12)
            .take_while(u8::is_ascii_alphanumeric)
            .count();
        if iban.start - end < BESIDE && code(page, end - length, true) == Some(end) {
            found.add(end - length..end, MaskKind::Bic);
        }
    }
}

/// The end of a BIC at `at`: four letters, a country, two characters and three for a branch.
fn code(page: &Page<'_>, at: usize, capitals: bool) -> Option<usize> {
    let text = page.text.as_bytes();
    let length = text[at..]
        .iter()
        .take(12)
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    let code = &page.folded().as_bytes()[at..at + length];
    let fits = matches!(length, 8 | 11)
        && code[..6].iter().all(u8::is_ascii_alphabetic)
        && (self::length(&code[4..6]).is_some() || OTHERS.contains(&&[code[4], code[5]]))
        && (!capitals
            || text[at..at + length]
                .iter()
                .all(|byte| !byte.is_ascii_lowercase()))
        && !page
            .before(at)
            .is_some_and(|before| before.is_alphanumeric() || before == '[')
        && !page.after(at + length).is_some_and(char::is_alphanumeric);
    fits.then_some(at + length)
}
