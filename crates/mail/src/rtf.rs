//! Compressed rich text (MS-OXRTFCP) and the words in it (RTF 1.9.1, MS-OXRTFEX).
//!
//! Outlook wraps HTML into RTF and compresses it; both are undone here. Nothing of the formatting is
//! kept: a classifier needs words and line breaks.

use encoding_rs::{Encoding, WINDOWS_1252};

/// Bytes that a compressed text may unfold to.
const LIMIT: usize = 32 << 20;

/// What the window of the compression holds before the first byte.
const DICTIONARY: &[u8] = b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans \
SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";

/// Unfolds an LZFu or stored text; `None` when it is neither. A text cut off gives what there is.
pub(crate) fn decompress(bytes: &[u8]) -> Option<Vec<u8>> {
    let (head, mut rest) = bytes.split_at_checked(16)?;
    let size = u32::from_le_bytes(head[4..8].try_into().ok()?) as usize;
    match &head[8..12] {
        b"MELA" => return Some(rest[..rest.len().min(size)].to_vec()),
        b"LZFu" => {}
        _ => return None,
    }
    let mut window = [b' '; 4096];
    window[..DICTIONARY.len()].copy_from_slice(DICTIONARY);
    let mut at = DICTIONARY.len();
    let mut text = Vec::new();
    let size = size.min(LIMIT);
    'runs: while let Some((&control, after)) = rest.split_first() {
        rest = after;
        for bit in 0..8 {
            let (from, count) = if control >> bit & 1 == 0 {
                let Some((&byte, after)) = rest.split_first() else {
                    break 'runs;
                };
                rest = after;
                window[at % 4096] = byte;
                (at, 1)
            } else {
                let Some((&[high, low], after)) = rest.split_first_chunk() else {
                    break 'runs;
                };
                rest = after;
                let reference = usize::from(high) << 8 | usize::from(low);
                let from = reference >> 4;
                // A reference to the place of writing ends the text.
                if from == at % 4096 {
                    break 'runs;
                }
                (from, (reference & 0xf) + 2)
            };
            for step in 0..count {
                let byte = window[(from + step) % 4096];
                window[at % 4096] = byte;
                at += 1;
                text.push(byte);
            }
            if text.len() >= size {
                break 'runs;
            }
        }
    }
    text.truncate(size);
    Some(text)
}

/// What rich text stood for.
pub(crate) enum Text {
    /// Words and line breaks.
    Plain(String),
    /// The HTML that was wrapped into it.
    Html(String),
}

#[derive(Clone, Copy)]
struct Group {
    /// Fonts, colours and other things that are no text.
    hidden: bool,
    /// A tag of the wrapped HTML.
    tag: bool,
    /// Rich text that stands for a tag, not to be read again.
    shadow: bool,
    /// Characters that stand in for a `\u` one, to pass over.
    stand_in: usize,
}

/// The words of rich text, or the HTML in it.
pub(crate) fn text(rich: &[u8]) -> Text {
    let head = &rich[..rich.len().min(2048)];
    let wraps = head.windows(9).any(|word| word == b"\\fromhtml");
    let mut reader = Reader {
        wraps,
        page: WINDOWS_1252,
        text: String::new(),
        bytes: Vec::new(),
        surrogate: None,
    };
    reader.read(rich);
    reader.flush();
    if wraps {
        Text::Html(reader.text)
    } else {
        Text::Plain(reader.text)
    }
}

struct Reader {
    wraps: bool,
    page: &'static Encoding,
    text: String,
    /// Bytes of the code page not decoded yet: a character may take two.
    bytes: Vec<u8>,
    surrogate: Option<u16>,
}

impl Reader {
    fn read(&mut self, rich: &[u8]) {
        let mut group = Group {
            hidden: false,
            tag: false,
            shadow: false,
            stand_in: 1,
        };
        let mut stack = Vec::new();
        let mut at = 0;
        // Stand-ins left to pass over.
        let mut skip = 0;
        while let Some(&byte) = rich.get(at) {
            at += 1;
            match byte {
                // Groups this deep are no mail; closing them late does no harm.
                b'{' if stack.len() < 4096 => stack.push(group),
                b'}' => group = stack.pop().unwrap_or(group),
                b'{' | b'\r' | b'\n' | 0 => {}
                b'\\' => {
                    let (word, number, end) = control(rich, at);
                    at = end;
                    self.control(word, number, &mut group, &mut skip);
                }
                _ if skip > 0 => skip -= 1,
                _ => self.byte(byte, group),
            }
        }
    }

    fn control(&mut self, word: &[u8], number: Option<i32>, group: &mut Group, skip: &mut usize) {
        match word {
            b"'" if *skip > 0 => *skip -= 1,
            b"'" => self.byte(number.unwrap_or_default() as u8, *group),
            b"\\" | b"{" | b"}" => self.byte(word[0], *group),
            b"~" => self.push('\u{a0}', *group),
            b"_" => self.push('-', *group),
            b"u" => {
                *skip = group.stand_in;
                // Negative numbers are those above 32767.
                self.unit(number.unwrap_or_default() as u16, *group);
            }
            b"uc" => group.stand_in = number.unwrap_or(1).clamp(0, 16) as usize,
            b"par" | b"line" | b"sect" | b"page" | b"row" => self.push('\n', *group),
            b"tab" | b"cell" => self.push('\t', *group),
            b"emdash" => self.push('—', *group),
            b"endash" => self.push('–', *group),
            b"lquote" => self.push('‘', *group),
            b"rquote" => self.push('’', *group),
            b"ldblquote" => self.push('“', *group),
            b"rdblquote" => self.push('”', *group),
            b"bullet" => self.push('•', *group),
            b"ansicpg" => {
                let label = format!("windows-{}", number.unwrap_or(1252));
                self.page = match number {
                    Some(65001) => encoding_rs::UTF_8,
                    _ => Encoding::for_label(label.as_bytes()).unwrap_or(WINDOWS_1252),
                };
            }
            b"htmlrtf" => group.shadow = number != Some(0),
            b"htmltag" | b"mhtmltag" => {
                group.hidden = word != b"htmltag" || !self.wraps;
                group.tag = !group.hidden;
            }
            b"*" | b"fonttbl" | b"colortbl" | b"stylesheet" | b"info" | b"pict" | b"object"
            | b"themedata" | b"header" | b"footer" | b"listtable" | b"filetbl" | b"datastore" => {
                group.hidden = true
            }
            _ => {}
        }
    }

    fn shows(&self, group: Group) -> bool {
        !group.hidden && !group.shadow
    }

    fn byte(&mut self, byte: u8, group: Group) {
        if self.shows(group) {
            self.surrogate = None;
            self.escape(char::from(byte), group, |reader| reader.bytes.push(byte));
        }
    }

    fn push(&mut self, c: char, group: Group) {
        if self.shows(group) {
            self.flush();
            self.escape(c, group, |reader| reader.text.push(c));
        }
    }

    /// Text between the tags of wrapped HTML is stored without its entities.
    fn escape(&mut self, c: char, group: Group, plain: impl FnOnce(&mut Self)) {
        if self.wraps && !group.tag && c == '<' {
            self.flush();
            self.text.push_str("&lt;");
        } else {
            plain(self);
        }
    }

    /// One unit of UTF-16.
    fn unit(&mut self, unit: u16, group: Group) {
        match (self.surrogate.take(), unit) {
            (_, 0xd800..=0xdbff) => self.surrogate = Some(unit),
            (high, _) => {
                let units = high.into_iter().chain([unit]);
                for c in char::decode_utf16(units) {
                    self.push(c.unwrap_or(char::REPLACEMENT_CHARACTER), group);
                }
            }
        }
    }

    fn flush(&mut self) {
        if !self.bytes.is_empty() {
            self.text
                .push_str(&self.page.decode_without_bom_handling(&self.bytes).0);
            self.bytes.clear();
        }
    }
}

/// A control word or symbol at `at`, its number, and where the text goes on.
fn control(rich: &[u8], at: usize) -> (&[u8], Option<i32>, usize) {
    let rest = &rich[at..];
    let letters = rest
        .iter()
        .take(32)
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    if letters == 0 {
        let hex = |at: usize| rest.get(at).and_then(|&digit| char::from(digit).to_digit(16));
        return match rest.first() {
            Some(b'\'') => match hex(1).zip(hex(2)) {
                Some((high, low)) => (&rest[..1], Some((high << 4 | low) as i32), at + 3),
                None => (&[], None, at + 1),
            },
            // A line break after the backslash is a paragraph's end.
            Some(b'\r' | b'\n') => (b"par", None, at + 1),
            Some(_) => (&rest[..1], None, at + 1),
            None => (&[], None, at),
        };
    }
    let mut end = letters;
    let minus = rest.get(end) == Some(&b'-');
    let digits = rest[end + usize::from(minus)..]
        .iter()
        .take(10)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let number = (digits > 0).then(|| {
        let start = end + usize::from(minus);
        end = start + digits;
        let value = rest[start..end]
            .iter()
            .fold(0i64, |value, digit| value * 10 + i64::from(digit - b'0'));
        (if minus { -value } else { value }).clamp(i32::MIN.into(), i32::MAX.into()) as i32
    });
    // One space belongs to the word.
    let space = usize::from(rest.get(end) == Some(&b' '));
    (&rest[..letters], number, at + end + space)
}

/// Rich text in the container of the compression, as it is.
#[cfg(test)]
pub(crate) fn stored(rich: &[u8]) -> Vec<u8> {
    let size = (rich.len() as u32).to_le_bytes();
    [&size[..], &size, b"MELA", &[0; 4], rich].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(rich: &str) -> String {
        match text(rich.as_bytes()) {
            Text::Plain(text) | Text::Html(text) => text,
        }
    }

    #[test]
    fn unfolds_the_examples_of_the_specification() {
        // MS-OXRTFCP, section 4.1.
        let simple = b"\x2d\0\0\0\x2b\0\0\0LZFu\xf1\xc5\xc7\xa7\x03\0\x0a\0rcpg125\x42\x32\x0a\xf3 hel\x09\0 bw\x05\xb0ld}\x0a\x80\x0f\xa0";
        assert_eq!(
            decompress(simple).unwrap(),
            b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
        );
        // Section 4.2: a reference into what is being written.
        let crossing = b"\x1a\0\0\0\x1c\0\0\0LZFu\xe2\xd4\x4b\x51\x41\0\x04\x20WXYZ\x0d\x6e\x7d\x01\x0e\xb0";
        assert_eq!(decompress(crossing).unwrap(), b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}");
    }

    #[test]
    fn reads_words_and_breaks() {
        let rich = r"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}{\*\generator x;}\f0 Gr\'fc\'dfe\par aus\tab \{Kiel\} \u8364?5 \uc2\u-10179??\u-8704??}";
        assert_eq!(plain(rich), "Grüße\naus\t{Kiel} €5 😀");
    }

    #[test]
    fn unwraps_html() {
        let rich = r"{\rtf1\ansi\fromhtml1 {\*\htmltag64 <p>}\htmlrtf \par\htmlrtf0 5 < 6{\*\htmltag84 &nbsp;}{\*\mhtmltag64 <q>}{\*\htmltag72 </p>}}";
        assert!(matches!(text(rich.as_bytes()), Text::Html(html) if html == "<p>5 &lt; 6&nbsp;</p>"));
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..300), rich in r"(\\[a-z']{1,8}-?[0-9]{0,11}|[{}\\a-z <]){0,60}") {
            text(&bytes);
            text(rich.as_bytes());
            let mut packed = stored(&bytes);
            packed[8..12].copy_from_slice(b"LZFu");
            packed[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
            decompress(&packed);
        }
    }
}
