//! A raw mail to a [`Message`]: which parts are its text, and their bytes as characters.
//!
//! mail-parser finds headers and part boundaries; the parts' bytes are decoded here, because
//! a wrong charset label, a broken encoding and `format=flowed` are the common case in mail.

use crate::html;
use crate::message::{Message, line_ends, subject_of};
use crate::nature::Evidence;
use crate::protection::{self, Envelope, Protection};
use crate::{Defect, calendar, charset, encoded, flowed, tnef, transfer};
use mail_parser::{Encoding, HeaderName, HeaderValue, MessageParser, MessagePart, MimeHeaders, PartType};

/// Parts nest no deeper than this in any honest mail.
const DEPTH: usize = 32;

/// Signed envelopes one inside the other; a second is rare.
const ENVELOPES: usize = 4;

/// What is learnt about a mail besides its text.
#[derive(Default)]
struct Notes {
    protection: Protection,
    defects: Vec<Defect>,
}

impl Notes {
    fn protect(&mut self, by: Protection) {
        self.protection = self.protection.max(by);
    }

    fn append(&mut self, mut other: Notes) {
        self.protect(other.protection);
        self.defects.append(&mut other.defects);
    }
}

/// One text as found in the mail, with what markup says about it.
#[derive(Default)]
struct Text {
    body: String,
    marks: Vec<html::Mark>,
}

impl Text {
    fn is_blank(&self) -> bool {
        self.body.trim().is_empty()
    }

    fn append(&mut self, other: Text) {
        if other.is_blank() {
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
    parse_at(raw, 0)
}

/// Reads a mail that stands `level` signed envelopes deep.
fn parse_at(raw: &[u8], level: usize) -> Message {
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
    let mut notes = Notes::default();
    let parsed = has_header(raw)
        .then(|| MessageParser::default().parse(raw))
        .flatten();
    let readable =
        |mail: &mail_parser::Message<'_>| mail.parts.first().is_some_and(|root| !root.headers.is_empty());
    let Some(parsed) = parsed.filter(readable) else {
        let body = line_ends(&charset::decode(raw, None, &mut notes.defects));
        notes.defects.insert(0, Defect::NoHeaders);
        return Message {
            protection: protection::armour(&body),
            body,
            defects: notes.defects,
            ..Message::default()
        };
    };
    let mut text = read(&parsed, 0, 0, &mut notes);
    if text.is_blank() {
        text = elsewhere(&parsed, level, &mut notes).unwrap_or(text);
    } else if let Some(forward) = forwarded(&parsed, &mut notes) {
        text.append(forward);
    }
    if text.is_blank() {
        notes.defects.push(Defect::NoText);
    }
    notes.protect(protection::armour(&text.body));
    let from = parsed.from().and_then(|from| from.first()).and_then(person);
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
        protection: notes.protection,
        evidence: Evidence::read(&parsed),
        defects: notes.defects,
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
fn read(mail: &mail_parser::Message<'_>, index: usize, depth: usize, notes: &mut Notes) -> Text {
    let Some(part) = mail.parts.get(index) else {
        return Text::default();
    };
    if depth > DEPTH {
        notes.defects.push(Defect::TooDeep);
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
            leaf(mail, part, notes).unwrap_or_default()
        };
    };
    let children = children.iter().map(|&child| child as usize);
    let subtype = part
        .content_type()
        .and_then(|kind| kind.subtype())
        .unwrap_or_default()
        .to_ascii_lowercase();
    match subtype.as_str() {
        "signed" => notes.protect(Protection::Signed),
        "encrypted" => notes.protect(Protection::Encrypted),
        _ => {}
    }
    match subtype.as_str() {
        "alternative" => alternative(mail, children, depth, notes),
        _ => {
            let mut text = Text::default();
            for child in children {
                text.append(read(mail, child, depth + 1, notes));
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
    notes: &mut Notes,
) -> Text {
    let (mut plain, mut rich): (Option<Text>, Option<Text>) = (None, None);
    let (mut plain_notes, mut rich_notes) = (Notes::default(), Notes::default());
    for child in children {
        let is_plain = mail.parts.get(child).is_some_and(|part| {
            part.content_type().is_none_or(|kind| {
                kind.subtype()
                    .is_some_and(|kind| kind.eq_ignore_ascii_case("plain"))
            })
        });
        let (slot, noted) = if is_plain {
            (&mut plain, &mut plain_notes)
        } else {
            (&mut rich, &mut rich_notes)
        };
        if slot.as_ref().is_none_or(|text| text.body.trim().is_empty()) {
            *noted = Notes::default();
            *slot = Some(read(mail, child, depth + 1, noted));
        }
    }
    let plain = plain.unwrap_or_default();
    let rich = rich.unwrap_or_default();
    if !rich.body.trim().is_empty() && is_stub(&plain.body, &rich.body) {
        if !plain.body.trim().is_empty() {
            notes.defects.push(Defect::StubPlainPart);
        }
        notes.append(rich_notes);
        return rich;
    }
    notes.append(plain_notes);
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

/// The text of a mail that has none where texts stand: in a signed envelope, in Outlook's
/// container, in an attached mail, in a calendar part.
fn elsewhere(mail: &mail_parser::Message<'_>, level: usize, notes: &mut Notes) -> Option<Text> {
    let enveloped = mail.parts.iter().find_map(|part| match envelope(part)? {
        Envelope::Closed => Some(Err(())),
        Envelope::Open(pieces) => Some(Ok(pieces.concat())),
    });
    match enveloped {
        Some(Ok(inner)) if level < ENVELOPES => {
            let inner = parse_at(&inner, level + 1);
            notes.append(Notes {
                protection: inner.protection.max(Protection::Signed),
                defects: inner.defects,
            });
            return Some(Text {
                body: inner.body,
                marks: inner.marks,
            });
        }
        Some(Ok(_)) => notes.defects.push(Defect::TooDeep),
        // A part named so but signed only, with its text elsewhere, has been read.
        Some(Err(())) => notes.protect(Protection::Encrypted),
        None => {}
    }
    if let Some((body, marks)) = mail.parts.iter().find_map(winmail) {
        notes.defects.push(Defect::Winmail);
        return Some(Text { body, marks });
    }
    if let Some(text) = nested(mail)
        .map(|nested| read(nested, 0, 0, notes))
        .filter(|text| !text.is_blank())
    {
        return Some(text);
    }
    let body = mail.parts.iter().find_map(|part| calendar(mail, part, notes))?;
    notes.defects.push(Defect::CalendarOnly);
    Some(Text {
        body,
        marks: Vec::new(),
    })
}

/// What an S/MIME part holds; `None` for parts of other kinds (RFC 8551, section 3.2).
fn envelope<'a>(part: &'a MessagePart<'_>) -> Option<Envelope<'a>> {
    let kind = part.content_type()?;
    let subtype = kind.subtype()?;
    let is_smime = subtype.eq_ignore_ascii_case("pkcs7-mime") || subtype.eq_ignore_ascii_case("x-pkcs7-mime");
    if !is_smime {
        return None;
    }
    let certificates = kind
        .attribute("smime-type")
        .is_some_and(|kind| kind.eq_ignore_ascii_case("certs-only"));
    (!certificates).then(|| protection::envelope(part.contents()))
}

/// The text of a `winmail.dat`.
fn winmail(part: &MessagePart<'_>) -> Option<(String, Vec<html::Mark>)> {
    let subtype = part
        .content_type()
        .and_then(|kind| kind.subtype())
        .unwrap_or_default();
    let named = part
        .attachment_name()
        .is_some_and(|name| name.eq_ignore_ascii_case("winmail.dat"));
    if !named && !matches!(subtype.to_ascii_lowercase().as_str(), "ms-tnef" | "vnd.ms-tnef") {
        return None;
    }
    tnef::text(part.contents()).filter(|(body, _)| !body.trim().is_empty())
}

/// The lines of a calendar part.
fn calendar(mail: &mail_parser::Message<'_>, part: &MessagePart<'_>, notes: &mut Notes) -> Option<String> {
    let kind = part.content_type()?;
    if !kind
        .subtype()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("calendar") || kind.eq_ignore_ascii_case("ics"))
    {
        return None;
    }
    let bytes = transferred(mail, part, notes).unwrap_or_else(|| part.contents().to_vec());
    let label = kind.attribute("charset").or(Some("utf-8"));
    calendar::text(&line_ends(&charset::decode(
        &calendar::unfold(&bytes),
        label,
        &mut notes.defects,
    )))
}

/// The first mail that is attached.
fn nested<'a>(mail: &'a mail_parser::Message<'a>) -> Option<&'a mail_parser::Message<'a>> {
    mail.parts.iter().find_map(|part| match &part.body {
        PartType::Message(nested) => Some(nested),
        _ => None,
    })
}

/// A mail forwarded as an attachment, as if it were forwarded in the text: there is the request. Only
/// the subject tells it from a mail attached for evidence.
fn forwarded(mail: &mail_parser::Message<'_>, notes: &mut Notes) -> Option<Text> {
    let subtype = mail
        .parts
        .first()?
        .content_type()
        .and_then(|kind| kind.subtype())
        .unwrap_or_default();
    let is_forward = subject(mail)
        .and_then(subject_of)
        .is_some_and(|subject| crate::subject::strip(&subject).forwarded);
    if !is_forward || !subtype.eq_ignore_ascii_case("mixed") {
        return None;
    }
    let inner = nested(mail)?;
    let text = read(inner, 0, 0, notes);
    if text.is_blank() {
        return None;
    }
    let address =
        |address: Option<&mail_parser::Address<'_>>| address.and_then(|one| one.first()).map(person);
    let lines = [
        ("From", address(inner.from()).flatten()),
        (
            "Date",
            inner
                .date()
                .filter(|date| date.is_valid())
                .map(|date| date.to_rfc3339()),
        ),
        ("Subject", subject(inner).and_then(subject_of)),
        ("To", address(inner.to()).flatten()),
    ];
    let mut body = "---------- Forwarded message ----------\n".to_owned();
    for (name, value) in lines {
        if let Some(value) = value {
            body.push_str(&format!("{name}: {value}\n"));
        }
    }
    let mut forward = Text {
        body,
        marks: Vec::new(),
    };
    forward.append(text);
    Some(forward)
}

/// `Name <address>`, or what there is of it.
fn person(sender: &mail_parser::Addr<'_>) -> Option<String> {
    match (sender.name.as_deref(), sender.address.as_deref()) {
        (Some(name), Some(address)) => Some(format!("{name} <{address}>")),
        (name, address) => address.or(name).map(str::to_owned),
    }
}

/// A text part's characters; `None` for parts that are no text.
fn leaf(mail: &mail_parser::Message<'_>, part: &MessagePart<'_>, notes: &mut Notes) -> Option<Text> {
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
    let bytes = transferred(mail, part, notes)?;
    let label = kind.and_then(|kind| kind.attribute("charset"));
    let text = line_ends(&charset::decode(&bytes, label, &mut notes.defects));
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

/// A text part's bytes, its transfer encoding undone; `None` for parts that are no text.
fn transferred(
    mail: &mail_parser::Message<'_>,
    part: &MessagePart<'_>,
    notes: &mut Notes,
) -> Option<Vec<u8>> {
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
        notes.defects.push(Defect::BrokenEncoding);
    }
    Some(bytes)
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

    fn part(kind: &str, content: &str) -> String {
        format!("--b\nContent-Type: {kind}\n\n{content}\n")
    }

    fn mixed(subtype: &str, parts: &[String]) -> Message {
        let mail = format!(
            "Subject: WG: x\nContent-Type: multipart/{subtype}; boundary=b\n\n{}--b--\n",
            parts.concat()
        );
        parse(mail.replace('\n', "\r\n").as_bytes())
    }

    #[test]
    fn names_signed_and_encrypted_mail() {
        let text = part("text/plain", "Hallo");
        let signed = mixed(
            "signed",
            &[text.clone(), part("application/pgp-signature", "xyz")],
        );
        assert_eq!(
            (signed.body.trim(), signed.protection),
            ("Hallo", Protection::Signed)
        );
        let closed = mixed(
            "encrypted",
            &[
                part("application/pgp-encrypted", "Version: 1"),
                part("application/octet-stream", "xyz"),
            ],
        );
        assert_eq!(
            (closed.body.trim(), closed.protection),
            ("", Protection::Encrypted)
        );
        assert_eq!(closed.defects, [Defect::NoText]);
        let smime = parse(b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\nContent-Transfer-Encoding: base64\n\nMIAG\n");
        assert_eq!(smime.protection, Protection::Encrypted);
        let armoured =
            parse(b"Subject: x\n\n-----BEGIN PGP MESSAGE-----\n\nabc\n-----END PGP MESSAGE-----\n");
        assert_eq!(armoured.protection, Protection::Encrypted);
        assert_eq!(mixed("mixed", &[text]).protection, Protection::None);
    }

    #[test]
    fn reads_what_an_opaque_signature_holds() {
        let mut raw = b"Subject: x\nContent-Type: application/pkcs7-mime; smime-type=signed-data\nContent-Transfer-Encoding: 8bit\n\n".to_vec();
        raw.extend(protection::signed(
            b"Content-Type: text/plain; charset=utf-8\n\nBitte sperren.\n",
        ));
        let message = parse(&raw);
        assert_eq!(
            (message.body.trim(), message.protection),
            ("Bitte sperren.", Protection::Signed)
        );
        assert_eq!(message.defects, []);
    }

    #[test]
    fn reads_a_calendar_when_there_is_no_other_text() {
        let event = part(
            "text/calendar; method=REQUEST",
            "BEGIN:VEVENT\nSUMMARY:Beratung\nEND:VEVENT",
        );
        let alone = mixed("mixed", std::slice::from_ref(&event));
        assert_eq!(
            (alone.body.as_str(), alone.defects),
            ("Beratung", vec![Defect::CalendarOnly])
        );
        assert_eq!(
            mixed("alternative", &[part("text/plain", "Einladung"), event])
                .body
                .trim(),
            "Einladung"
        );
    }

    #[test]
    fn reads_outlooks_container() {
        let mut raw = b"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: application/ms-tnef; name=winmail.dat\n\n".to_vec();
        raw.extend(0x223e_9f78u32.to_le_bytes());
        raw.extend([1, 0, 1]);
        raw.extend(0x0002_800cu32.to_le_bytes());
        raw.extend(5u32.to_le_bytes());
        raw.extend(b"Hallo\0\0\n--b--\n");
        let message = parse(&raw);
        assert_eq!(
            (message.body.as_str(), message.defects),
            ("Hallo", vec![Defect::Winmail])
        );
    }

    #[test]
    fn a_mail_attached_to_a_note_is_a_forward() {
        let inner = part(
            "message/rfc822",
            "From: Eva <eva@example.com>\nSubject: Karte\nDate: Mon, 4 May 2026 10:00:00 +0200\n\nBitte sperren.",
        );
        let message = mixed("mixed", &[part("text/plain", "Bitte übernehmen."), inner.clone()]);
        let clean = |profile| crate::Cleaner::new(profile).clean(&message).text().to_owned();
        assert_eq!(
            clean(crate::Profile::Request),
            "Bitte übernehmen.\n\nBitte sperren."
        );
        assert_eq!(clean(crate::Profile::Author), "Bitte übernehmen.");
        let bounce = mixed("report", &[part("text/plain", "Unzustellbar"), inner]);
        assert_eq!(bounce.body.trim(), "Unzustellbar");
    }
}
