//! Writes headers and bodies the way RFC 2045 and 2047 want them, in old charsets too.
//!
//! Mail-writing crates emit UTF-8 and tidy structures only; here the untidy rest is the point.

use encoding_rs::{ISO_8859_15, UTF_8, WINDOWS_1252};

/// A charset and the name a mail gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    Utf8,
    Latin1,
    Latin9,
    Windows1252,
}

impl Charset {
    /// The name in a Content-Type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Latin1 => "iso-8859-1",
            Self::Latin9 => "iso-8859-15",
            Self::Windows1252 => "windows-1252",
        }
    }

    /// The text's bytes, `None` when it holds a character this charset lacks.
    pub fn encode(self, text: &str) -> Option<Vec<u8>> {
        let encoding = match self {
            Self::Utf8 => UTF_8,
            Self::Latin9 => ISO_8859_15,
            Self::Windows1252 => WINDOWS_1252,
            // What the web calls ISO-8859-1 is windows-1252; mail means the real one.
            Self::Latin1 => return text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect(),
        };
        let (bytes, _, lossy) = encoding.encode(text);
        (!lossy).then(|| bytes.into_owned())
    }
}

/// How a body travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// As it is; lines must be shorter than 998 bytes.
    EightBit,
    QuotedPrintable,
    Base64,
}

/// A body part: its headers, an empty line, its encoded bytes. Lines end in CRLF.
pub(crate) fn part(content_type: &str, transfer: Transfer, bytes: &[u8]) -> Vec<u8> {
    let seven_bit = bytes.is_ascii() && bytes.split(|&b| b == b'\n').all(|line| line.len() < 900);
    let (name, encoded) = match transfer {
        Transfer::EightBit if seven_bit => ("7bit", bytes.to_vec()),
        Transfer::EightBit => ("8bit", bytes.to_vec()),
        Transfer::QuotedPrintable => ("quoted-printable", quoted_printable(bytes)),
        Transfer::Base64 => ("base64", base64_lines(bytes)),
    };
    let mut out =
        format!("Content-Type: {content_type}\r\nContent-Transfer-Encoding: {name}\r\n\r\n").into_bytes();
    out.extend(encoded);
    if !out.ends_with(b"\r\n") {
        out.extend(b"\r\n");
    }
    out
}

/// A multipart of ready parts.
pub(crate) fn multipart(kind: &str, boundary: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    let mut out = format!("Content-Type: multipart/{kind}; boundary=\"{boundary}\"\r\n\r\n").into_bytes();
    if kind == "mixed" || kind == "alternative" {
        out.extend(b"This is a multi-part message in MIME format.\r\n");
    }
    for part in parts {
        out.extend(format!("--{boundary}\r\n").into_bytes());
        out.extend(part);
    }
    out.extend(format!("--{boundary}--\r\n").into_bytes());
    out
}

/// RFC 2045 §6.7; CRLF in `bytes` stays a line break.
fn quoted_printable(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 5 / 4);
    let mut width = 0;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"\r\n") {
            out.extend(b"\r\n");
            width = 0;
            at += 2;
            continue;
        }
        let byte = bytes[at];
        let ends_line = at + 1 == bytes.len() || bytes[at + 1..].starts_with(b"\r\n");
        let plain = matches!(byte, b'!'..=b'<' | b'>'..=b'~') || (matches!(byte, b' ' | b'\t') && !ends_line);
        if width + if plain { 1 } else { 3 } > 75 {
            out.extend(b"=\r\n");
            width = 0;
        }
        if plain {
            out.push(byte);
            width += 1;
        } else {
            out.extend(format!("={byte:02X}").into_bytes());
            width += 3;
        }
        at += 1;
    }
    out
}

/// Base64 in lines of 76 letters.
pub(crate) fn base64_lines(bytes: &[u8]) -> Vec<u8> {
    let text = base64(bytes);
    let mut out = Vec::with_capacity(text.len() + text.len() / 38);
    for line in text.as_bytes().chunks(76) {
        out.extend(line);
        out.extend(b"\r\n");
    }
    out
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .enumerate()
            .fold(0u32, |word, (at, &byte)| word | u32::from(byte) << (16 - 8 * at));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    out
}

/// A header value: itself when ASCII, else encoded words (RFC 2047), folded.
pub(crate) fn header_text(text: &str, charset: Charset, base64_words: bool) -> String {
    if text.is_ascii() && !text.contains("=?") {
        return text.to_owned();
    }
    let charset = if charset.encode(text).is_some() {
        charset
    } else {
        Charset::Utf8
    };
    let encode = |piece: &str| charset.encode(piece).unwrap_or_else(|| piece.as_bytes().to_vec());
    let word = |piece: &str| {
        let bytes = encode(piece);
        if base64_words {
            format!("=?{}?B?{}?=", charset.name(), base64(&bytes))
        } else {
            let letters: String = bytes
                .iter()
                .map(|&byte| match byte {
                    b' ' => "_".to_owned(),
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
                    _ => format!("={byte:02X}"),
                })
                .collect();
            format!("=?{}?Q?{letters}?=", charset.name())
        }
    };
    let (mut words, mut piece) = (Vec::new(), String::new());
    for c in text.chars() {
        piece.push(c);
        if word(&piece).len() > 72 {
            piece.pop();
            words.push(word(&piece));
            piece = c.to_string();
        }
    }
    words.push(word(&piece));
    words.join("\r\n ")
}

/// Lines wrapped at 72 columns; `flowed` marks the soft breaks with a trailing space (RFC 3676).
pub(crate) fn wrapped(lines: &[String], flowed: bool) -> Vec<String> {
    let mut out = Vec::new();
    for line in lines {
        let depth = line.chars().take_while(|&c| c == '>').count();
        let (mark, text) = line.split_at(depth);
        let text = text.strip_prefix(' ').filter(|_| depth > 0).unwrap_or(text);
        let mark = if depth > 0 {
            format!("{mark} ")
        } else {
            String::new()
        };
        if text == "-- " || text.chars().count() + depth <= 72 {
            out.push(if text.is_empty() {
                mark.trim_end().to_owned()
            } else {
                format!("{mark}{text}")
            });
            continue;
        }
        let mut row = String::new();
        for word in text.split(' ') {
            if !row.is_empty() && row.chars().count() + word.chars().count() + depth > 71 {
                out.push(format!("{mark}{row}{}", if flowed { " " } else { "" }));
                row.clear();
            }
            if !row.is_empty() {
                row.push(' ');
            }
            row.push_str(word);
        }
        out.push(format!("{mark}{row}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_as_the_standards_show() {
        assert_eq!(base64(b"Ma"), "TWE=");
        assert_eq!(base64(b"Mann"), "TWFubg==");
        assert_eq!(
            quoted_printable("Grüße = \r\nx".as_bytes()),
            b"Gr=C3=BC=C3=9Fe =3D=20\r\nx"
        );
        assert_eq!(
            header_text("Grüße an", Charset::Latin1, false),
            "=?iso-8859-1?Q?Gr=FC=DFe_an?="
        );
    }

    #[test]
    fn keeps_quoted_printable_lines_within_76() {
        let encoded = quoted_printable("äöü".repeat(80).as_bytes());
        assert!(encoded.split(|&b| b == b'\n').all(|line| line.len() <= 77));
    }

    #[test]
    fn wraps_quotes_with_their_mark() {
        let long = format!("> {}", "Wort ".repeat(30).trim());
        let rows = wrapped(&[long], true);
        assert!(
            rows.len() > 1
                && rows
                    .iter()
                    .all(|row| row.starts_with("> ") && row.chars().count() <= 75)
        );
        assert!(rows[0].ends_with(' ') && !rows[rows.len() - 1].ends_with(' '));
    }
}
