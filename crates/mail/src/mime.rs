//! A raw mail to a [`Message`]: which parts are its text, and their bytes as characters.
//!
//! mail-parser finds headers and part boundaries; the parts' bytes are decoded here, because
//! a wrong charset label, a broken encoding and `format=flowed` are the common case in mail.

use crate::html;
use crate::message::{Message, line_ends, subject_of};
use crate::{Defect, charset, encoded, flowed, transfer};
use mail_parser::{Encoding, HeaderName, HeaderValue, MessageParser, MessagePart, MimeHeaders, PartType};

/// Parts nest no deeper than this in any honest mail.
const DEPTH: usize = 32;

/// One text as found in the mail, with what markup says about it.
#[derive(Default)]
struct Text {
    body: String,
    marks: Vec<html::Mark>,
}

impl Text {
    fn append(&mut self, other: Text) {
        if other.body.trim().is_empty() {
            return;
        }
        if !self.body.is_empty() {
            self.body.truncate(self.body.trim_end().len());
            self.body.push_str("\n\n");
        }
        let offset = self.body.len();
        self.body.push_str(&other.body);
        self.marks.extend(other.marks.into_iter().map(|mark| html::Mark {
            start: mark.start + offset,
            end: mark.end + offset,
            ..mark
        }));
    }
}

/// Reads a raw mail. Never fails.
pub(crate) fn parse(raw: &[u8]) -> Message {
    // A line `From …` before the headers is a leftover of an mbox file.
    let raw = match raw.strip_prefix(b"From ") {
        Some(rest) => rest
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(rest, |end| &rest[end + 1..]),
        None => raw,
    };
    // Old Macs and broken exports end lines with CR alone.
    let unix;
    let raw = if raw.contains(&b'\r') && !raw.contains(&b'\n') {
        unix = raw
            .iter()
            .map(|&byte| if byte == b'\r' { b'\n' } else { byte })
            .collect::<Vec<u8>>();
        &unix
    } else {
        raw
    };
    let mut defects = Vec::new();
    let parsed = has_header(raw)
        .then(|| MessageParser::default().parse(raw))
        .flatten();
    let readable =
        |mail: &mail_parser::Message<'_>| mail.parts.first().is_some_and(|root| !root.headers.is_empty());
    let Some(parsed) = parsed.filter(readable) else {
        let body = line_ends(&charset::decode(raw, None, &mut defects));
        defects.insert(0, Defect::NoHeaders);
        return Message {
            body,
            defects,
            ..Message::default()
        };
    };
    let mut text = read(&parsed, 0, 0, &mut defects);
    if text.body.trim().is_empty() {
        text = attached(&parsed, &mut defects).unwrap_or(text);
    }
    if text.body.trim().is_empty() {
        defects.push(Defect::NoText);
    }
    let from = parsed.from().and_then(|from| from.first()).and_then(|sender| {
        match (sender.name.as_deref(), sender.address.as_deref()) {
            (Some(name), Some(address)) => Some(format!("{name} <{address}>")),
            (name, address) => address.or(name).map(str::to_owned),
        }
    });
    let message = Message {
        subject: subject(&parsed).and_then(subject_of),
        from,
        date: parsed
            .date()
            .filter(|date| date.is_valid())
            .map(|date| date.to_rfc3339()),
        message_id: parsed.message_id().map(str::to_owned),
        in_reply_to: ids(parsed.in_reply_to()).into_iter().next_back(),
        references: ids(parsed.references()),
        body: text.body,
        marks: text.marks,
        defects,
    };
    take_apart(parsed);
    message
}

/// Drops a mail level by level: mails one inside the other by the hundred thousand would use up
/// the stack if each dropped the next.
fn take_apart(mail: mail_parser::Message<'_>) {
    let mut left = vec![mail];
    while let Some(mail) = left.pop() {
        left.extend(mail.parts.into_iter().filter_map(|part| match part.body {
            PartType::Message(nested) => Some(nested),
            _ => None,
        }));
    }
}

/// True when the first line that holds something is a header field.
fn has_header(raw: &[u8]) -> bool {
    let start = raw
        .iter()
        .position(|byte| !byte.is_ascii_whitespace())
        .unwrap_or(raw.len());
    let name = raw[start..]
        .iter()
        .take(80)
        .take_while(|&&byte| byte.is_ascii_graphic() && byte != b':')
        .count();
    name > 0 && raw[start + name..].trim_ascii_start().first() == Some(&b':')
}

/// The subject; read again from its bytes where the parser met some it could not place.
fn subject(mail: &mail_parser::Message<'_>) -> Option<String> {
    let subject = mail.subject()?;
    if !subject.contains('\u{fffd}') {
        return Some(subject.to_owned());
    }
    let header = mail
        .headers()
        .iter()
        .rfind(|header| header.name == HeaderName::Subject)?;
    let raw = mail
        .raw_message()
        .get(header.offset_start as usize..header.offset_end as usize);
    Some(raw.map_or_else(|| subject.to_owned(), encoded::text))
}

fn ids(value: &HeaderValue<'_>) -> Vec<String> {
    match value {
        HeaderValue::Text(id) => vec![id.to_string()],
        HeaderValue::TextList(ids) => ids.iter().map(|id| id.to_string()).collect(),
        _ => Vec::new(),
    }
}

/// The text of part `index` and the parts inside it.
fn read(mail: &mail_parser::Message<'_>, index: usize, depth: usize, defects: &mut Vec<Defect>) -> Text {
    let Some(part) = mail.parts.get(index) else {
        return Text::default();
    };
    if depth > DEPTH {
        defects.push(Defect::TooDeep);
        return Text::default();
    }
    let PartType::Multipart(children) = &part.body else {
        let attachment = depth > 0
            && (part
                .content_disposition()
                .is_some_and(|disposition| disposition.is_attachment())
                || part.attachment_name().is_some());
        return if attachment {
            Text::default()
        } else {
            leaf(mail, part, defects).unwrap_or_default()
        };
    };
    let children = children.iter().map(|&child| child as usize);
    let subtype = part
        .content_type()
        .and_then(|kind| kind.subtype())
        .unwrap_or_default()
        .to_ascii_lowercase();
    match subtype.as_str() {
        "alternative" => alternative(mail, children, depth, defects),
        _ => {
            let mut text = Text::default();
            for child in children {
                text.append(read(mail, child, depth + 1, defects));
                // In `related` the first part is the text, the others are what it shows; in
                // `signed` and `report` machine-readable parts follow.
                let first_only = matches!(subtype.as_str(), "related" | "signed" | "report");
                if first_only && !text.body.trim().is_empty() {
                    break;
                }
            }
            text
        }
    }
}

/// One of several versions of the same text: the plain one, unless it is a stub.
fn alternative(
    mail: &mail_parser::Message<'_>,
    children: impl Iterator<Item = usize>,
    depth: usize,
    defects: &mut Vec<Defect>,
) -> Text {
    let (mut plain, mut rich): (Option<Text>, Option<Text>) = (None, None);
    let (mut plain_defects, mut rich_defects) = (Vec::new(), Vec::new());
    for child in children {
        let is_plain = mail.parts.get(child).is_some_and(|part| {
            part.content_type().is_none_or(|kind| {
                kind.subtype()
                    .is_some_and(|kind| kind.eq_ignore_ascii_case("plain"))
            })
        });
        let (slot, noted) = if is_plain {
            (&mut plain, &mut plain_defects)
        } else {
            (&mut rich, &mut rich_defects)
        };
        if slot.as_ref().is_none_or(|text| text.body.trim().is_empty()) {
            noted.clear();
            *slot = Some(read(mail, child, depth + 1, noted));
        }
    }
    let plain = plain.unwrap_or_default();
    let rich = rich.unwrap_or_default();
    if !rich.body.trim().is_empty() && is_stub(&plain.body, &rich.body) {
        if !plain.body.trim().is_empty() {
            defects.push(Defect::StubPlainPart);
        }
        defects.append(&mut rich_defects);
        return rich;
    }
    defects.append(&mut plain_defects);
    plain
}

/// True when the plain part stands for nothing: empty, markup, or a fraction of the HTML text.
fn is_stub(plain: &str, rich: &str) -> bool {
    let plain = plain.trim();
    if plain.is_empty() || (html::looks_like(plain) && plain.starts_with('<')) {
        return true;
    }
    let words = |text: &str| {
        text.split_whitespace()
            .filter(|word| word.contains(char::is_alphabetic))
            .count()
    };
    let (few, many) = (words(plain), words(rich));
    few * 4 < many && many > 20
}

/// The text of an attached mail, for a mail that has none itself.
fn attached(mail: &mail_parser::Message<'_>, defects: &mut Vec<Defect>) -> Option<Text> {
    let nested = mail.parts.iter().find_map(|part| match &part.body {
        PartType::Message(nested) => Some(nested),
        _ => None,
    })?;
    Some(read(nested, 0, 0, defects))
}

/// A text part's characters; `None` for parts that are no text.
fn leaf(mail: &mail_parser::Message<'_>, part: &MessagePart<'_>, defects: &mut Vec<Defect>) -> Option<Text> {
    let kind = part.content_type();
    let subtype = kind
        .and_then(|kind| kind.subtype())
        .unwrap_or("plain")
        .to_ascii_lowercase();
    let is_text = kind.is_none_or(|kind| kind.ctype().eq_ignore_ascii_case("text"));
    let rich = subtype == "html" || subtype == "xhtml";
    let readable = rich || matches!(subtype.as_str(), "plain" | "enriched" | "x-markdown" | "markdown");
    if !is_text || !readable {
        return None;
    }
    let (PartType::Text(found) | PartType::Html(found)) = &part.body else {
        return None;
    };
    let raw = mail
        .raw_message()
        .get(part.offset_body as usize..part.offset_end as usize)
        .unwrap_or_default();
    // The root of an attached mail has no end recorded; its text is decoded already.
    let encoding = if raw.is_empty() {
        Encoding::None
    } else {
        part.encoding
    };
    let raw = if raw.is_empty() { found.as_bytes() } else { raw };
    let (bytes, broken) = match encoding {
        Encoding::None => (raw.to_vec(), false),
        Encoding::QuotedPrintable => transfer::quoted_printable(raw),
        Encoding::Base64 => match transfer::base64(raw) {
            Some(bytes) => (bytes, false),
            None => (raw.to_vec(), true),
        },
    };
    if broken {
        defects.push(Defect::BrokenEncoding);
    }
    let label = kind.and_then(|kind| kind.attribute("charset"));
    let text = line_ends(&charset::decode(&bytes, label, defects));
    if rich {
        let (body, marks) = html::render(&text);
        return Some(Text { body, marks });
    }
    let flows = kind
        .and_then(|kind| kind.attribute("format"))
        .is_some_and(|f| f.eq_ignore_ascii_case("flowed"));
    let del_sp = kind
        .and_then(|kind| kind.attribute("delsp"))
        .is_some_and(|f| f.eq_ignore_ascii_case("yes"));
    let body = if flows { flowed::join(&text, del_sp) } else { text };
    Some(Text {
        body,
        marks: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(mail: &str) -> String {
        parse(mail.replace('\n', "\r\n").as_bytes())
            .body
            .trim()
            .to_owned()
    }

    #[test]
    fn prefers_plain_text_unless_it_is_a_stub() {
        let mail = |plain: &str| {
            format!(
                "Subject: x\nContent-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n\n{plain}\n\
                 --b\nContent-Type: text/html\n\n<p>Hallo aus HTML</p>\n--b--\n"
            )
        };
        assert_eq!(body(&mail("Hallo aus Text")), "Hallo aus Text");
        assert_eq!(body(&mail(" ")), "Hallo aus HTML");
    }

    #[test]
    fn leaves_attachments_out() {
        let mail = "Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nHallo\n--b\n\
            Content-Type: text/plain; name=\"a.txt\"\nContent-Disposition: attachment\n\nAnhang\n--b--\n";
        assert_eq!(body(mail), "Hallo");
    }

    #[test]
    fn bytes_that_are_no_mail_become_a_plain_body() {
        let message = parse(b"einfach nur Text, ohne Kopf");
        assert_eq!(message.body, "einfach nur Text, ohne Kopf");
        assert_eq!(message.defects, [Defect::NoHeaders]);
    }

    #[test]
    fn reads_an_attached_mail_when_there_is_no_other_text() {
        let mail = "Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n\
            Subject: y\n\nWeitergeleitet\n--b--\n";
        assert_eq!(body(mail), "Weitergeleitet");
    }
}
