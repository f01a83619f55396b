//! Seals a plan into the bytes of a mail: headers, structure, charset, transfer encoding.

use crate::chance::Chance;
use crate::compose;
use crate::layout::Content;
use crate::mime::{self, Charset, Transfer};
use crate::plan::Plan;
use crate::program::Program;
use crate::quote;
use crate::signature;
use jiff::civil::DateTime;

/// A written mail and what its author said in it.
pub(crate) struct Sealed {
    pub raw: Vec<u8>,
    pub subject: String,
    pub request: String,
}

/// Writes the mail of a plan.
pub(crate) fn seal(plan: &Plan) -> Sealed {
    let mut chance = Chance::for_item(plan.seed, 5);
    let program = Program::of(plan);
    let letter = compose::letter(plan);
    let mut request = letter.paragraphs.join("\n");
    let mut own = quote::lines_of(&letter);
    let mut subject = letter.subject.clone();
    let mut quoted = None;
    if plan.forwards {
        own = compose::note(plan);
        request = format!("{}\n{request}", own.join("\n"));
        quoted = Some(quote::forwarded(plan));
        subject = format!("{} {subject}", chance.pick(&["WG:", "Fwd:", "Fw:"]));
    } else if chance.odds(0.88) {
        quoted = quote::history(plan, 0);
    }
    let content = Content {
        language: plan.voice.language,
        own,
        signature: signature::signature(plan, program),
        below: program == Program::Thunderbird && !plan.forwards && chance.odds(0.4),
        forwards: plan.forwards,
        quote: quoted,
    };
    let subject = subject.trim().to_owned();
    let body = body(&content, program, letter.attaches && !plan.forwards, &mut chance);
    let charset = *chance.pick(&[
        Charset::Utf8,
        Charset::Utf8,
        Charset::Latin1,
        Charset::Windows1252,
    ]);
    let mut raw = headers(plan, program, &subject, charset, &mut chance).into_bytes();
    raw.extend(body);
    Sealed {
        raw,
        subject,
        request,
    }
}

fn headers(plan: &Plan, program: Program, subject: &str, charset: Charset, chance: &mut Chance) -> String {
    let base64_words = matches!(program, Program::Gmail | Program::Phone);
    let (author, id) = (&plan.author, plan.message_id());
    let name = match mime::header_text(&author.name(), charset, base64_words) {
        plain if plain.contains(['.', '\'']) && !plain.starts_with("=?") => format!("\"{plain}\""),
        plain => plain,
    };
    let (_, company) = quote::company();
    let sent = date(plan.when, plan.offset_hours());
    let arrived = date(
        plan.when
            .saturating_add(jiff::Span::new().seconds(chance.between(1, 9) as i64)),
        plan.offset_hours(),
    );
    let host = author.address.split_once('@').map_or("", |(_, host)| host);
    let mut lines = vec![
        format!("Return-Path: <{}>", author.address),
        format!(
            "Received: from mx{}.{host} by mail.depothafen.example with ESMTPS; {arrived}",
            chance.between(1, 4)
        ),
        format!("Date: {sent}"),
        format!("From: {name} <{}>", author.address),
        if chance.odds(0.3) {
            format!("To: Depothafen Kundenservice <{company}>")
        } else {
            format!("To: {company}")
        },
        format!("Subject: {}", mime::header_text(subject, charset, base64_words)),
        format!("Message-ID: <{id}>"),
    ];
    if let Some(earlier) = &plan.earlier {
        lines.push(format!("In-Reply-To: <{}>", earlier.message_id()));
        lines.push(format!(
            "References: <{}>\r\n <{}>",
            plan.root().message_id(),
            earlier.message_id()
        ));
    }
    lines.extend(program.header().map(str::to_owned));
    lines.push("MIME-Version: 1.0\r\n".into());
    lines.join("\r\n")
}

fn body(content: &Content, program: Program, attaches: bool, chance: &mut Chance) -> Vec<u8> {
    let boundary = format!("----=_{:016X}", chance.next());
    let text = text_of(content, program, chance);
    if !(attaches && chance.odds(0.75)) {
        return text;
    }
    let name = *chance.pick(&[
        "Scan_0017.pdf",
        "Formular.pdf",
        "Unterlagen.pdf",
        "IMG_2231.pdf",
        "Antrag_unterschrieben.pdf",
    ]);
    let mut pdf = b"%PDF-1.4\n%\xE2\xE3\xCF\xD3\n".to_vec();
    pdf.extend((0..chance.between(80, 300)).map(|_| chance.next() as u8));
    let mut file = mime::part(
        &format!("application/pdf; name=\"{name}\""),
        Transfer::Base64,
        &pdf,
    );
    let disposition = format!("Content-Disposition: attachment; filename=\"{name}\"\r\n");
    file.splice(0..0, disposition.into_bytes());
    mime::multipart("mixed", &boundary, &[text, file])
}

/// The readable part: plain, HTML, or both.
fn text_of(content: &Content, program: Program, chance: &mut Chance) -> Vec<u8> {
    let boundary = format!("=_{:016x}_{}", chance.next(), chance.digits(6));
    let wide = content.plain(program);
    match program {
        Program::Thunderbird => plain_part(
            &mime::wrapped(&wide, true),
            Charset::Utf8,
            Transfer::EightBit,
            "; format=flowed",
        ),
        Program::Web => {
            let charset = *chance.pick(&[
                Charset::Latin1,
                Charset::Latin9,
                Charset::Windows1252,
                Charset::Utf8,
            ]);
            let transfer = *chance.pick(&[Transfer::EightBit, Transfer::QuotedPrintable, Transfer::Base64]);
            plain_part(&mime::wrapped(&wide, false), charset, transfer, "")
        }
        Program::Office => html_part(content, program, Charset::Windows1252, Transfer::QuotedPrintable),
        Program::Phone if content.quote.is_none() => {
            plain_part(&wide, Charset::Utf8, Transfer::QuotedPrintable, "")
        }
        _ => {
            let charset = match program {
                Program::Outlook => *chance.pick(&[Charset::Utf8, Charset::Windows1252, Charset::Latin1]),
                _ => Charset::Utf8,
            };
            let transfer = if program == Program::Gmail && chance.odds(0.4) {
                Transfer::Base64
            } else {
                Transfer::QuotedPrintable
            };
            let html = html_part(content, program, charset, transfer);
            if program == Program::Outlook && chance.odds(0.35) {
                return html;
            }
            let lines = if program == Program::Gmail {
                mime::wrapped(&wide, false)
            } else {
                wide
            };
            let plain = plain_part(&lines, charset, transfer, "");
            mime::multipart("alternative", &boundary, &[plain, html])
        }
    }
}

fn plain_part(lines: &[String], charset: Charset, transfer: Transfer, parameters: &str) -> Vec<u8> {
    let mut text = lines.join("\r\n");
    text.push_str("\r\n");
    let (charset, bytes) = encoded(&text, charset);
    mime::part(
        &format!("text/plain; charset={}{parameters}", charset.name()),
        transfer,
        &bytes,
    )
}

fn html_part(content: &Content, program: Program, charset: Charset, transfer: Transfer) -> Vec<u8> {
    let html = content.html(program).replace('\n', "\r\n");
    let (charset, _) = encoded(&html, charset);
    let html = html.replace("charset=CHARSET", &format!("charset={}", charset.name()));
    let (charset, bytes) = encoded(&html, charset);
    mime::part(
        &format!("text/html; charset=\"{}\"", charset.name()),
        transfer,
        &bytes,
    )
}

/// The text in the wanted charset, in UTF-8 where that lacks a character.
fn encoded(text: &str, wanted: Charset) -> (Charset, Vec<u8>) {
    match wanted.encode(text) {
        Some(bytes) => (wanted, bytes),
        None => (Charset::Utf8, text.as_bytes().to_vec()),
    }
}

/// A date as RFC 5322 writes it.
fn date(when: DateTime, offset_hours: i8) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    format!(
        "{}, {:02} {} {} {:02}:{:02}:{:02} +{offset_hours:02}00",
        DAYS[when.weekday().to_monday_zero_offset() as usize],
        when.day(),
        MONTHS[(when.month() - 1) as usize],
        when.year(),
        when.hour(),
        when.minute(),
        when.second(),
    )
}
