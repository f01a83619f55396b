//! The text inside `winmail.dat`, which Outlook sends in place of a body (MS-OXTNEF).
//!
//! Only the message's own text is looked for: plain, HTML or compressed RTF. Every length comes from
//! outside, so every read may fail, and what is not there ends the reading, not the program.

use crate::{html, rtf};
use encoding_rs::{Encoding, UTF_16LE, WINDOWS_1252};

const SIGNATURE: u32 = 0x223e_9f78;
/// attBody, the plain text in the code page of attOemCodepage.
const BODY: u32 = 0x0002_800c;
const CODE_PAGE: u32 = 0x0006_9007;
/// attMsgProps, the properties of the message.
const PROPERTIES: u32 = 0x0006_9003;

/// What a `winmail.dat` says, as rendered text with its marks, or nothing.
pub(crate) fn text(bytes: &[u8]) -> Option<(String, Vec<html::Mark>)> {
    let mut rest = Bytes(bytes);
    if rest.u32()? != SIGNATURE {
        return None;
    }
    rest.take(2)?;
    let mut found = Found::default();
    // A file that was cut off says what it can.
    while let Some((id, data)) = attribute(&mut rest) {
        match id {
            CODE_PAGE => found.page = Bytes(data).u32().unwrap_or_default(),
            BODY => found.body = data,
            PROPERTIES => {
                let _ = properties(data, &mut found);
            }
            _ => {}
        }
    }
    let plain = |text: String| (crate::message::line_ends(&text), Vec::new());
    if let Some(markup) = found.html {
        return Some(html::render(&page(found.page, markup)));
    }
    match found.rich.and_then(rtf::decompress).map(|rich| rtf::text(&rich)) {
        Some(rtf::Text::Html(markup)) => return Some(html::render(&markup)),
        Some(rtf::Text::Plain(text)) if !text.trim().is_empty() => return Some(plain(text)),
        _ => {}
    }
    let body = match found.unicode {
        Some(wide) => UTF_16LE.decode_without_bom_handling(wide).0.into_owned(),
        None => page(found.page, found.body),
    };
    let body = body.trim_end_matches('\0');
    (!body.trim().is_empty()).then(|| plain(body.to_owned()))
}

#[derive(Default)]
struct Found<'a> {
    page: u32,
    body: &'a [u8],
    unicode: Option<&'a [u8]>,
    html: Option<&'a [u8]>,
    rich: Option<&'a [u8]>,
}

/// The next attribute: level, identifier, length, data, checksum.
fn attribute<'a>(rest: &mut Bytes<'a>) -> Option<(u32, &'a [u8])> {
    rest.take(1)?;
    let id = rest.u32()?;
    let length = rest.u32()? as usize;
    let data = rest.take(length)?;
    rest.take(2)?;
    Some((id, data))
}

/// Walks a list of properties (MS-OXTNEF, section 2.1.3.4); `None` where it stops making sense.
fn properties<'a>(data: &'a [u8], found: &mut Found<'a>) -> Option<()> {
    let mut rest = Bytes(data);
    let count = rest.u32()?;
    for _ in 0..count {
        let (kind, id) = (rest.u16()?, rest.u16()?);
        if id >= 0x8000 {
            rest.take(16)?;
            if rest.u32()? == 0 {
                rest.take(4)?;
            } else {
                let length = rest.u32()? as usize;
                rest.padded(length)?;
            }
        }
        let fixed = match kind & 0x0fff {
            0x0002 | 0x0003 | 0x0004 | 0x000a | 0x000b => Some(4),
            0x0005..=0x0007 | 0x0014 | 0x0040 => Some(8),
            0x0048 => Some(16),
            0x000d | 0x001e | 0x001f | 0x0102 => None,
            _ => return None,
        };
        let several = kind & 0x1000 != 0;
        let values = if several || fixed.is_none() {
            rest.u32()?
        } else {
            1
        };
        for _ in 0..values {
            let value = match fixed {
                Some(size) => rest.take(size)?,
                None => {
                    let length = rest.u32()? as usize;
                    rest.padded(length)?
                }
            };
            match (id, kind) {
                (0x1000, 0x001f) => found.unicode = Some(value),
                (0x1000, 0x001e) if found.body.is_empty() => found.body = value,
                (0x1013, 0x0102 | 0x001e) => found.html = Some(value),
                (0x1009, 0x0102) => found.rich = Some(value),
                // The code page of the text outlives the system's own.
                (0x3fde, 0x0003) => found.page = Bytes(value).u32()?,
                _ => {}
            }
        }
    }
    Some(())
}

/// Text in a Windows code page; UTF-8 is told by its bytes.
fn page(page: u32, bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let label = match page {
        28591..=28606 => format!("iso-8859-{}", page - 28590),
        _ => format!("windows-{page}"),
    };
    Encoding::for_label(label.as_bytes())
        .unwrap_or(WINDOWS_1252)
        .decode(bytes)
        .0
        .into_owned()
}

/// Little-endian bytes taken from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A value that fills up to a multiple of four bytes.
    fn padded(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.take(count)?;
        let fill = count.wrapping_neg() % 4;
        self.take(fill.min(self.0.len()))?;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(attributes: &[(u32, &[u8])]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_le_bytes().to_vec();
        bytes.extend([1, 0]);
        for (id, data) in attributes {
            bytes.push(1);
            bytes.extend(id.to_le_bytes());
            bytes.extend((data.len() as u32).to_le_bytes());
            bytes.extend(*data);
            bytes.extend([0, 0]);
        }
        bytes
    }

    /// One property of variable length among others of other forms.
    fn holding(id: u16, kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = 4u32.to_le_bytes().to_vec();
        bytes.extend([0x03, 0x00, 0xde, 0x3f]);
        bytes.extend(1252u32.to_le_bytes());
        // A named property and a list of times.
        bytes.extend([0x0b, 0x00, 0x05, 0x80]);
        bytes.extend([7; 16]);
        bytes.extend([1, 0, 0, 0, 3, 0, 0, 0, b'a', 0, 0, 0, 1, 0, 0, 0]);
        bytes.extend([0x40, 0x10, 0x01, 0x0e, 2, 0, 0, 0]);
        bytes.extend([9; 16]);
        bytes.extend(kind.to_le_bytes());
        bytes.extend(id.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.extend((value.len() as u32).to_le_bytes());
        bytes.extend(value);
        bytes.extend(std::iter::repeat_n(0, value.len().wrapping_neg() % 4));
        bytes
    }

    fn read(bytes: &[u8]) -> Option<String> {
        text(bytes).map(|(text, _)| text)
    }

    #[test]
    fn finds_the_text_in_each_place() {
        let plain = file(&[
            (CODE_PAGE, &1252u32.to_le_bytes()),
            (BODY, b"Gr\xfc\xdfe\r\naus Kiel\0"),
        ]);
        assert_eq!(read(&plain).as_deref(), Some("Grüße\naus Kiel"));
        let wide: Vec<u8> = "Grüße".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(
            read(&file(&[(PROPERTIES, &holding(0x1000, 0x1f, &wide))])).as_deref(),
            Some("Grüße")
        );
        let html = holding(0x1013, 0x102, b"<p>Gr\xfc\xdfe</p><p>Max</p>");
        assert_eq!(
            read(&file(&[(PROPERTIES, &html)])).as_deref(),
            Some("Grüße\n\nMax")
        );
        let rich = holding(0x1009, 0x102, &rtf::stored(br"{\rtf1\ansi Gr\'fc\'dfe\par Max}"));
        assert_eq!(
            read(&file(&[(BODY, b"x"), (PROPERTIES, &rich)])).as_deref(),
            Some("Grüße\nMax")
        );
    }

    #[test]
    fn a_file_cut_anywhere_is_read_as_far_as_it_goes() {
        let whole = file(&[
            (BODY, b"Hallo"),
            (PROPERTIES, &holding(0x1013, 0x102, b"<p>Hallo")),
        ]);
        for end in 0..whole.len() {
            let found = read(&whole[..end]);
            assert!(found.is_none() || found.as_deref() == Some("Hallo"), "{end}");
        }
        assert_eq!(read(b"no such file"), None);
        assert_eq!(read(&file(&[])), None);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..400), id in prop::sample::select(&[BODY, PROPERTIES][..])) {
            read(&file(&[(id, &bytes)]));
        }
    }
}
