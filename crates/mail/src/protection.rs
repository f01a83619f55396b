//! Whether a mail is signed or encrypted, as its structure says; nothing is verified.

use serde::Serialize;

/// How a mail's text is protected (RFC 1847, RFC 3156, RFC 8551). The highest of what its parts say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// Neither.
    #[default]
    None,
    /// Signed; its text is read, the signature is not checked.
    Signed,
    /// Encrypted; what can be read is not what the sender wrote.
    Encrypted,
}

impl Protection {
    /// The word in JSON and on pages.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Signed => "signed",
            Self::Encrypted => "encrypted",
        }
    }
}

/// What armour of OpenPGP (RFC 9580, section 6.2) inside a plain text says.
pub(crate) fn armour(text: &str) -> Protection {
    let starts = |label: &str| text.lines().any(|line| line.trim_end() == label);
    if !text.contains("-----BEGIN PGP ") {
        Protection::None
    } else if starts("-----BEGIN PGP MESSAGE-----") {
        Protection::Encrypted
    } else if starts("-----BEGIN PGP SIGNED MESSAGE-----") {
        Protection::Signed
    } else {
        Protection::None
    }
}

/// What an S/MIME part holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Envelope<'a> {
    /// Encrypted, or of a kind that shows no text.
    Closed,
    /// Signed: the MIME entity inside, in the pieces it is stored in.
    Open(Vec<&'a [u8]>),
}

/// Object identifier 1.2.840.113549.1.7.2, signed data (RFC 5652, section 5.1), as DER.
const SIGNED_DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// Object identifier 1.2.840.113549.1.7.1, data, as DER.
const DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];

/// Reads the CMS structure of an S/MIME part just far enough to find the text that was signed.
pub(crate) fn envelope(der: &[u8]) -> Envelope<'_> {
    let head = &der[..der.len().min(64)];
    if !head.windows(SIGNED_DATA.len()).any(|bytes| bytes == SIGNED_DATA) {
        return Envelope::Closed;
    }
    // What is signed follows the second object identifier, tagged [0], as one octet string or several.
    let Some(at) = der[..der.len().min(4096)]
        .windows(DATA.len())
        .position(|bytes| bytes == DATA)
    else {
        return Envelope::Closed;
    };
    let mut rest = &der[at + DATA.len()..];
    let mut pieces = Vec::new();
    while let [tag, ..] = *rest {
        let Some((length, head)) = length(&rest[1..]) else {
            break;
        };
        let body = &rest[1 + head..];
        match tag {
            // [0] and a constructed octet string hold what follows them.
            0xa0 | 0x24 => rest = body,
            0x04 => {
                let Some(piece) = length.and_then(|length| body.get(..length)) else {
                    break;
                };
                pieces.push(piece);
                rest = &body[piece.len()..];
            }
            _ => break,
        }
    }
    if pieces.is_empty() {
        Envelope::Closed
    } else {
        Envelope::Open(pieces)
    }
}

/// A DER length and how many bytes it takes; the length is `None` where it is indefinite (X.690, 8.1.3).
fn length(bytes: &[u8]) -> Option<(Option<usize>, usize)> {
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some((Some(usize::from(first)), 1));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 {
        return Some((None, 1));
    }
    let digits = bytes.get(1..1 + count).filter(|_| count <= 4)?;
    let length = digits
        .iter()
        .fold(0usize, |length, &digit| length << 8 | usize::from(digit));
    Some((Some(length), 1 + count))
}

#[cfg(test)]
fn tagged(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    match body.len() {
        short @ 0..0x80 => der.push(short as u8),
        long => der.extend([0x82, (long >> 8) as u8, long as u8]),
    }
    der.extend(body);
    der
}

/// Signed data around `content`, without certificates and signatures.
#[cfg(test)]
pub(crate) fn signed(content: &[u8]) -> Vec<u8> {
    let inner = [DATA, &tagged(0xa0, &tagged(0x04, content))].concat();
    let data = [vec![0x02, 1, 1, 0x31, 0], tagged(0x30, &inner)].concat();
    tagged(0x30, &[SIGNED_DATA, &tagged(0xa0, &tagged(0x30, &data))].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_signed_text_at_any_length() {
        for length in [0, 1, 127, 128, 3000] {
            let content = vec![b'x'; length];
            assert_eq!(
                envelope(&signed(&content)),
                Envelope::Open(vec![&content]),
                "{length}"
            );
        }
    }

    #[test]
    fn joins_the_pieces_of_an_indefinite_string() {
        let mut der = vec![0x30, 0x80];
        der.extend(SIGNED_DATA);
        der.extend([0xa0, 0x80, 0x30, 0x80, 0x02, 1, 1, 0x31, 0, 0x30, 0x80]);
        der.extend(DATA);
        der.extend([
            0xa0, 0x80, 0x24, 0x80, 0x04, 2, b'a', b'b', 0x04, 1, b'c', 0, 0, 0, 0,
        ]);
        assert_eq!(envelope(&der), Envelope::Open(vec![b"ab", b"c"]));
    }

    #[test]
    fn a_cut_or_foreign_structure_stays_closed() {
        let whole = signed(b"text");
        for end in 0..whole.len() - 4 {
            assert_eq!(envelope(&whole[..end]), Envelope::Closed, "{end}");
        }
        assert_eq!(envelope(b"\x30\x80enveloped"), Envelope::Closed);
        assert_eq!(
            envelope(&[SIGNED_DATA, DATA, &[0x04, 0x84, 0xff, 0xff, 0xff, 0xff]].concat()),
            Envelope::Closed
        );
    }

    #[test]
    fn armour_names_what_it_holds() {
        let block =
            |label: &str| format!("Hallo\n-----BEGIN PGP {label}-----\nxyz\n-----END PGP {label}-----\n");
        assert_eq!(armour(&block("MESSAGE")), Protection::Encrypted);
        assert_eq!(armour(&block("SIGNED MESSAGE")), Protection::Signed);
        assert_eq!(armour(&block("PUBLIC KEY BLOCK")), Protection::None);
        assert_eq!(armour("Was ist -----BEGIN PGP MESSAGE----- ?"), Protection::None);
    }
}
