//! Content transfer encodings, forgiving: mail in the wild breaks both of them.

/// Decodes base64, skipping white space and whatever else is not of its alphabet.
///
/// Returns `None` when nothing decodable is there although `text` is not blank.
pub fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0u32);
    for &byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => {
                // Padding ends a run; encoders that work in chunks start anew after it.
                (bits, count) = (0, 0);
                continue;
            }
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    (!bytes.is_empty() || text.iter().all(u8::is_ascii_whitespace)).then_some(bytes)
}

/// Decodes quoted-printable. The flag is true when some `=` stood for nothing; those are kept as they are.
pub(crate) fn quoted_printable(text: &[u8]) -> (Vec<u8>, bool) {
    let mut bytes = Vec::with_capacity(text.len());
    let mut broken = false;
    let mut rest = text;
    while let Some(&byte) = rest.first() {
        if byte != b'=' {
            bytes.push(byte);
            rest = &rest[1..];
            continue;
        }
        if let [_, high, low, ..] = *rest
            && let (Some(high), Some(low)) = (hex(high), hex(low))
        {
            bytes.push(high << 4 | low);
            rest = &rest[3..];
            continue;
        }
        // A soft line break: `=`, white space that a relay may have added, the line's end.
        let blank = rest[1..]
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
            .count();
        match rest.get(1 + blank) {
            Some(b'\n') => rest = &rest[blank + 2..],
            None => rest = &[],
            Some(_) => {
                broken = true;
                bytes.push(b'=');
                rest = &rest[1..];
            }
        }
    }
    (bytes, broken)
}

fn hex(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_skips_what_is_not_its_own() {
        assert_eq!(base64(b"R3L8\r\n w58="), base64(b"R3L8w58="));
        assert_eq!(base64(b"SGk=SGk="), Some(b"HiHi".to_vec()));
        assert_eq!(base64(b"  "), Some(vec![]));
        assert_eq!(base64(b"!"), None);
    }

    #[test]
    fn quoted_printable_keeps_a_stray_equals_sign() {
        assert_eq!(quoted_printable(b"a=20b=\r\nc= \nd"), (b"a bcd".to_vec(), false));
        assert_eq!(quoted_printable(b"2 = 1+1 =XY="), (b"2 = 1+1 =XY".to_vec(), true));
    }
}
