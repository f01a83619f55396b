//! Finds mail addresses, also where the `@` is written out in brackets.

use super::{Found, MaskKind};
use std::ops::Range;

/// The longest local part and domain (RFC 5321, 4.5.3.1), in bytes.
const LOCAL: usize = 64;
const DOMAIN: usize = 255;

pub(super) fn find(text: &str, found: &mut Found) {
    for (at, _) in text.match_indices('@') {
        add(text, at..at + 1, found);
    }
    for (at, bracket) in text.match_indices(['(', '[']) {
        let rest = &text.as_bytes()[at + 1..];
        let closing: &[u8] = if bracket == "(" { b")" } else { b"]" };
        let written = [&b"at"[..], b"@", b"\xc3\xa4t"].into_iter().find(|word| {
            rest.get(..word.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(word))
                && rest[word.len()..].starts_with(closing)
        });
        if let Some(word) = written {
            add(text, at..at + word.len() + 2, found);
        }
    }
}

/// The address around an `@` sign that stands at `sign`.
fn add(text: &str, sign: Range<usize>, found: &mut Found) {
    let blank = |c: char| c == ' ' && sign.len() > 1;
    let before = text[..sign.start]
        .strip_suffix(blank)
        .unwrap_or(&text[..sign.start]);
    let mut start = before.len();
    for (at, c) in before.char_indices().rev() {
        if !(c.is_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-' | '\''))
            || before.len() - at > LOCAL
        {
            break;
        }
        start = at;
    }
    let local = before[start..].trim_start_matches(['.', '\'', '-']);
    let start = before.len() - local.len();
    let after = text[sign.end..].strip_prefix(blank).unwrap_or(&text[sign.end..]);
    let mut end = 0;
    for (at, c) in after.char_indices() {
        if !(c.is_alphanumeric() || matches!(c, '.' | '-')) || at > DOMAIN {
            break;
        }
        end = at + c.len_utf8();
    }
    let domain = after[..end].trim_end_matches(['.', '-']);
    let top = domain.rsplit('.').next().unwrap_or_default();
    let is_domain = top.len() < domain.len()
        && top.chars().count() >= 2
        && top.chars().all(char::is_alphabetic)
        && !domain.starts_with(['.', '-'])
        && !domain.contains("..");
    // A sign behind the domain is part of no address.
    if !local.is_empty() && is_domain && !after[domain.len()..].starts_with('@') {
        let end = text.len() - after.len() + domain.len();
        found.add(start..end, MaskKind::Email);
    }
}
