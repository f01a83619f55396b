//! Bytes to characters, trusting the bytes more than the label.
//!
//! Mail software mislabels: UTF-8 sent as ISO-8859-1, Windows-1252 sent as US-ASCII, nothing
//! declared at all. UTF-8 is almost impossible to hit by accident, so bytes that are valid
//! UTF-8 beyond ASCII are read as such; 8-bit text without a usable label is guessed.

use crate::Defect;
use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Decodes `bytes`, which call themselves `label`.
pub(crate) fn decode(bytes: &[u8], label: Option<&str>, defects: &mut Vec<Defect>) -> String {
    let declared = label
        .map(|label| label.trim().trim_matches(['"', '\'']))
        .unwrap_or_default();
    if let Some((encoding, skip)) = Encoding::for_bom(bytes)
        && (encoding == UTF_8 || declared.to_ascii_lowercase().starts_with("utf-16"))
    {
        return lossy(encoding, &bytes[skip..], defects);
    }
    let name = declared.to_ascii_lowercase();
    if matches!(
        name.as_str(),
        "utf-7" | "utf7" | "unicode-1-1-utf-7" | "x-unicode-1-1-utf-7"
    ) && let Some(decoder) = mail_parser::decoders::charsets::map::charset_decoder(b"utf-7")
    {
        return decoder(bytes);
    }
    let plain = matches!(
        name.as_str(),
        "" | "us-ascii"
            | "ascii"
            | "ansi_x3.4-1968"
            | "ansi_x3.110-1983"
            | "utf-8"
            | "utf8"
            | "unknown-8bit"
            | "x-unknown"
    );
    let seven_bit = bytes.is_ascii();
    if seven_bit
        && (plain || !bytes.contains(&0x1b))
        && !name.starts_with("utf-16")
        && !name.starts_with("hz")
    {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let encoding = if plain {
        Some(UTF_8)
    } else {
        Encoding::for_label(name.as_bytes())
    };
    if !seven_bit
        && !matches!(encoding, Some(e) if e == UTF_16LE || e == UTF_16BE)
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        if encoding != Some(UTF_8) || (plain && !name.starts_with("utf")) {
            defects.push(Defect::WrongCharset {
                declared: declared.to_owned(),
                used: "UTF-8".into(),
            });
        }
        return text.to_owned();
    }
    match encoding {
        Some(encoding) if encoding == UTF_8 => {
            if mostly_utf8(bytes) {
                return lossy(UTF_8, bytes, defects);
            }
            let guess = guess(bytes);
            defects.push(Defect::WrongCharset {
                declared: declared.to_owned(),
                used: guess.name().into(),
            });
            lossy(guess, bytes, defects)
        }
        Some(encoding) => lossy(encoding, bytes, defects),
        None => {
            let guess = guess(bytes);
            defects.push(Defect::UnknownCharset {
                declared: declared.to_owned(),
                used: guess.name().into(),
            });
            lossy(guess, bytes, defects)
        }
    }
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(bytes, true);
    let guess = detector.guess(None, Utf8Detection::Allow);
    // Too little text to tell: in mail to a German desk it is Western European.
    if bytes.iter().filter(|byte| !byte.is_ascii()).count() < 4 && !bytes.contains(&0x1b) {
        return WINDOWS_1252;
    }
    guess
}

/// True when valid multi-byte characters outnumber broken ones, as in UTF-8 cut at a boundary.
fn mostly_utf8(bytes: &[u8]) -> bool {
    let (mut valid, mut broken) = (0usize, 0usize);
    for chunk in bytes.utf8_chunks() {
        valid += chunk
            .valid()
            .chars()
            .filter(|character| !character.is_ascii())
            .count();
        broken += usize::from(!chunk.invalid().is_empty());
    }
    valid > broken * 3
}

fn lossy(encoding: &'static Encoding, bytes: &[u8], defects: &mut Vec<Defect>) -> String {
    let (text, broken) = encoding.decode_without_bom_handling(bytes);
    if broken {
        defects.push(Defect::InvalidBytes);
    }
    text.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_bytes_rather_than_a_wrong_label() {
        let mut defects = Vec::new();
        assert_eq!(
            decode("Grüße".as_bytes(), Some("iso-8859-1"), &mut defects),
            "Grüße"
        );
        assert_eq!(
            defects,
            [Defect::WrongCharset {
                declared: "iso-8859-1".into(),
                used: "UTF-8".into()
            }]
        );
        assert_eq!(
            decode(b"Gr\xfc\xdfe aus K\xf6ln", Some("us-ascii"), &mut vec![]),
            "Grüße aus Köln"
        );
        assert_eq!(decode(b"Gr\xfc\xdfe", None, &mut vec![]), "Grüße");
        assert_eq!(decode(b"5 \x80", Some("iso-8859-15"), &mut vec![]), "5 \u{80}");
        assert_eq!(decode(b"5 \xa4", Some("iso-8859-15"), &mut vec![]), "5 €");
    }

    #[test]
    fn a_right_label_is_no_defect() {
        let mut defects = Vec::new();
        assert_eq!(
            decode(b"Gr\xfc\xdfe", Some("windows-1252"), &mut defects),
            "Grüße"
        );
        assert_eq!(decode("Grüße".as_bytes(), Some("UTF-8"), &mut defects), "Grüße");
        assert_eq!(
            decode(b"Hi Mom +Jjo-!", Some("unicode-1-1-utf-7"), &mut defects),
            "Hi Mom ☺!"
        );
        assert_eq!(defects, []);
    }
}
