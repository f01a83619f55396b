//! Header text as mail programs really write it: RFC 2047 and what breaks it.
//!
//! The parser reads each encoded word by itself and takes all else for UTF-8. Many programs cut
//! a long subject in the middle of a character, and old ones send the bytes of their code page.
//! So words that follow each other in one charset are joined before they are decoded, and bytes
//! that are no UTF-8 are guessed.

use crate::{charset, transfer};

/// Bytes of a header field that are read; a longer one is no text.
const LONGEST: usize = 1 << 16;

/// Decodes the bytes of an unstructured header field, folded or not.
pub(crate) fn text(raw: &[u8]) -> String {
    let mut text = String::new();
    let mut word: Option<Word<'_>> = None;
    let mut rest = &raw[..raw.len().min(LONGEST)];
    while !rest.is_empty() {
        let start = rest
            .windows(2)
            .position(|pair| pair == b"=?")
            .unwrap_or(rest.len());
        let (plain, after) = rest.split_at(start);
        // White space between two words is no part of the text.
        if !plain.trim_ascii().is_empty() {
            flush(&mut word, &mut text);
            text.push_str(&charset::decode(plain, None, &mut Vec::new()));
        }
        let Some((next, end)) = Word::read(after) else {
            flush(&mut word, &mut text);
            let mark = after.len().min(2);
            text.push_str(&String::from_utf8_lossy(&after[..mark]));
            rest = &after[mark..];
            continue;
        };
        match &mut word {
            Some(open) if open.charset.eq_ignore_ascii_case(next.charset) => {
                open.bytes.extend(next.bytes);
            }
            _ => {
                flush(&mut word, &mut text);
                word = Some(next);
            }
        }
        rest = &after[end..];
    }
    flush(&mut word, &mut text);
    text
}

/// One encoded word, or several in one charset.
struct Word<'a> {
    charset: &'a str,
    bytes: Vec<u8>,
}

impl<'a> Word<'a> {
    /// The encoded word `raw` begins with, and how many bytes it takes.
    fn read(raw: &'a [u8]) -> Option<(Self, usize)> {
        // A word ends on its line; RFC 2047 allows 75 bytes, programs write more.
        let reach = raw.get(2..raw.len().min(2000))?;
        let mut parts = reach.splitn(3, |&byte| byte == b'?');
        let (name, kind, tail) = (parts.next()?, parts.next()?, parts.next()?);
        let end = tail.windows(2).position(|pair| pair == b"?=")?;
        let name = std::str::from_utf8(name).ok()?;
        let bytes = match kind {
            b"Q" | b"q" => {
                let spaced: Vec<u8> = tail[..end]
                    .iter()
                    .map(|&byte| if byte == b'_' { b' ' } else { byte })
                    .collect();
                transfer::quoted_printable(&spaced).0
            }
            b"B" | b"b" => transfer::base64(&tail[..end])?,
            _ => return None,
        };
        // RFC 2231 lets a language follow the charset.
        let charset = name.split('*').next().unwrap_or(name);
        Some((Self { charset, bytes }, 2 + name.len() + 3 + end + 2))
    }
}

fn flush(word: &mut Option<Word<'_>>, text: &mut String) {
    if let Some(word) = word.take() {
        text.push_str(&charset::decode(&word.bytes, Some(word.charset), &mut Vec::new()));
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn joins_words_cut_inside_a_character() {
        assert_eq!(
            text(b"=?utf-8?Q?Gro=C3?=\r\n =?UTF-8?Q?=9Fbestellung_4?= (neu)"),
            "Großbestellung 4 (neu)"
        );
        assert_eq!(text(b"=?utf-8?B?R3Jvw58=?= =?iso-8859-1?Q?e?= x"), "Große x");
    }

    #[test]
    fn guesses_bytes_without_a_charset() {
        assert_eq!(text(b"AW: K\xfcndigung M\xfcller"), "AW: Kündigung Müller");
        assert_eq!(text("AW: Kündigung".as_bytes()), "AW: Kündigung");
    }

    #[test]
    fn leaves_broken_words_as_they_stand() {
        assert_eq!(text(b"=?utf-8?X?a?= =?b"), "=?utf-8?X?a?= =?b");
        assert_eq!(text(b"=?=?=?"), "=?=?=?");
    }
}
