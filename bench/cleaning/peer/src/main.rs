//! The peers of crates.io, behind the same frames as `crates/mail/examples/cleaning.rs`.
//!
//! Arguments: `clean` or `time`, a peer, a file of frames, and for `time` how many seconds.

use mail_parser::MessageParser;
use mailparse::{MailHeaderMap, ParsedMail};
use std::io::{self, BufWriter, Write};

/// One mail's bytes to its text.
fn peer(name: &str) -> fn(u8, &[u8]) -> String {
    match name {
        "email_reply_parser" => |_, text| email_reply_parser::EmailReplyParser::parse_reply(&words(text)),
        "mail-parser" => |_, raw| {
            let message = MessageParser::default().parse(raw);
            message
                .and_then(|message| message.body_text(0).map(|text| text.into_owned()))
                .unwrap_or_default()
        },
        "mailparse + html2text" => |_, raw| {
            let mail = mailparse::parse_mail(raw).ok();
            mail.and_then(|mail| {
                text(&mail, "text/plain").or_else(|| text(&mail, "text/html").map(|html| plain(&html)))
            })
            .unwrap_or_default()
        },
        other => panic!("`{other}` is no peer here"),
    }
}

fn words(text: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(text)
}

fn plain(html: &str) -> String {
    html2text::config::plain_no_decorate()
        .string_from_read(html.as_bytes(), 10_000)
        .unwrap_or_default()
}

/// The first part of a type that is no attachment.
fn text(mail: &ParsedMail<'_>, kind: &str) -> Option<String> {
    let attached = mail
        .headers
        .get_first_value("Content-Disposition")
        .is_some_and(|value| value.starts_with("attachment"));
    if mail.ctype.mimetype == kind && !attached {
        return mail.get_body().ok();
    }
    mail.subparts.iter().find_map(|part| text(part, kind))
}

/// Seconds of processor time so far, which other programs on the machine do not stretch.
fn busy() -> f64 {
    let told = std::fs::read_to_string("/proc/self/schedstat")
        .unwrap_or_else(|error| panic!("no schedstat: {error}"));
    let nanoseconds: f64 = told
        .split(' ')
        .next()
        .and_then(|first| first.parse().ok())
        .unwrap_or_else(|| panic!("`{told}`"));
    nanoseconds / 1e9
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (mode, name, path, seconds) = match &arguments[..] {
        [mode, name, path] => (mode, name, path, 1.0),
        [mode, name, path, seconds] => (mode, name, path, seconds.parse().expect("seconds are a number")),
        _ => panic!("usage: peer clean|time PEER FRAMES [SECONDS]"),
    };
    let clean = peer(name);
    let all = std::fs::read(path)?;
    let (mut frames, mut rest) = (Vec::new(), &all[..]);
    while let [kind, a, b, c, d, after @ ..] = rest {
        let (bytes, next) = after.split_at(u32::from_le_bytes([*a, *b, *c, *d]) as usize);
        frames.push((*kind, bytes));
        rest = next;
    }
    let mut out = BufWriter::new(io::stdout().lock());
    if mode == "clean" {
        for (kind, bytes) in &frames {
            let text = clean(*kind, bytes);
            out.write_all(b"p")?;
            out.write_all(&(text.len() as u32).to_le_bytes())?;
            out.write_all(text.as_bytes())?;
        }
    } else {
        let pass = || {
            frames
                .iter()
                .map(|(kind, bytes)| clean(*kind, bytes).len())
                .sum::<usize>()
        };
        let mut start = busy();
        let kept = pass();
        while busy() - start < seconds / 2.0 {
            pass();
        }
        let mut mails = 0;
        start = busy();
        while mails == 0 || busy() - start < seconds {
            assert_eq!(pass(), kept);
            mails += frames.len();
        }
        writeln!(out, "{{\"per_s\": {}}}", mails as f64 / (busy() - start))?;
    }
    out.flush()?;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(peak) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
        eprintln!("peak {}", peak.trim());
    }
    Ok(())
}
