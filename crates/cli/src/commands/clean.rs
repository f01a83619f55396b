//! `clean`: raw mails in, the text worth reading out, with an account of every cut.

use crate::failure::{Failure, Kind};
use crate::output::Output;
use clap::ValueEnum;
use poststelle_mail::explain::{self, Page};
use poststelle_mail::{
    CleanText, Cleaner, Cut, Defect, Masked, Message, Nature, Profile, Protection, Redact, base64, mbox,
};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Clean mails down to what the sender wrote
///
/// Reads raw mails, mailboxes, texts or JSON Lines, from files or standard input. A JSON Line holds `id`, and `raw`
/// with `content_type` (and `raw_encoding` = `base64` for bytes) or `subject` and `body`; other keys are ignored.
/// A bad line is reported and passed over; the exit code is then 2. Spans are bytes of the decoded body.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What the input is [default: by file extension, else text]
    #[arg(long, value_enum)]
    from: Option<From>,
    /// What to write [default: jsonl, for one text or HTML file text]
    #[arg(long, value_enum)]
    to: Option<To>,
    /// Show each mail whole, with every cut and the rule that made it [default: terminal]
    #[arg(
        long,
        value_enum,
        value_name = "WHERE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "terminal",
        conflicts_with = "to"
    )]
    explain: Option<Explain>,
    /// What to keep
    #[arg(long, value_enum, default_value_t = Keep::Request)]
    profile: Keep,
    /// Put placeholders for names, accounts, addresses and other personal details; not with --explain, which shows all
    #[arg(long, conflicts_with = "explain")]
    redact: bool,
    /// Files to read; none or `-` is standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    /// A plain text body
    Text,
    /// An HTML body
    Html,
    /// A raw mail
    Eml,
    /// A mailbox of raw mails
    Mbox,
    /// A mail on each line, as JSON
    Jsonl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    /// The kept text alone
    Text,
    /// `id`, `subject`, `text`, `language`, `nature`, `masked`, `removed`, `protection`, `defects` as JSON, a mail a line
    Jsonl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Explain {
    /// As text, in colour on a terminal unless NO_COLOR is set
    Terminal,
    /// As one page of HTML that needs nothing else
    Html,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Keep {
    /// The sender's words and a forwarded mail's text
    Request,
    /// The sender's own words
    Author,
    /// The whole visible text
    Decode,
}

/// A mail on a line of input.
#[derive(Deserialize)]
struct Line {
    id: Option<serde_json::Value>,
    raw: Option<String>,
    raw_encoding: Option<String>,
    content_type: Option<String>,
    subject: Option<String>,
    body: Option<String>,
}

/// A cleaned mail on a line of output.
#[derive(Serialize)]
struct View<'a> {
    id: serde_json::Value,
    subject: &'a str,
    text: &'a str,
    language: Option<&'a str>,
    nature: Nature,
    /// How many details of each kind were masked, where they were to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    masked: Option<&'a Masked>,
    removed: &'a [Cut],
    protection: Protection,
    defects: &'a [Defect],
}

/// Why a line of JSON holds no mail.
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error("not a mail as JSON")]
    Json(#[from] serde_json::Error),
    #[error("neither `raw` nor `body` is given")]
    Empty,
    #[error("`raw` is no base64")]
    Base64,
    #[error("`raw_encoding` is `{0}`, expected `base64` or `text`")]
    Encoding(String),
    #[error("`content_type` is `{0}`, expected `text/plain`, `text/html` or `message/rfc822`")]
    ContentType(String),
}

/// Runs the command.
pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    let Args {
        from,
        to,
        explain,
        profile,
        redact,
        files,
    } = args;
    let cleaner = Cleaner::new(match profile {
        Keep::Request => Profile::Request,
        Keep::Author => Profile::Author,
        Keep::Decode => Profile::Decode,
    })
    .redacting(if redact { Redact::Everything } else { Redact::Off });
    let files = if files.is_empty() {
        vec![PathBuf::from("-")]
    } else {
        files
    };
    let single = files.len() == 1;
    let mut bad = 0usize;
    let mut writer = Writer {
        cleaner,
        form: Form::Text,
        first: true,
        out,
    };
    if let Some(explain) = explain {
        writer.form = match explain {
            Explain::Terminal => Form::Terminal {
                colour: writer.out.takes_colour(),
            },
            Explain::Html => Form::Html(Page::new()),
        };
    }
    for file in &files {
        let from = from.unwrap_or_else(|| guess(file));
        if explain.is_none() {
            writer.form = match (to, from) {
                (Some(To::Text), _) => Form::Text,
                (None, From::Text | From::Html | From::Eml) if single => Form::Text,
                _ => Form::Jsonl,
            };
        }
        let name = name(file);
        let reader = open(file, &name)?;
        match from {
            From::Mbox => {
                for (index, raw) in mbox::messages(reader).enumerate() {
                    let raw = raw.map_err(|error| unreadable(&name, &error))?;
                    let message = Message::parse(&raw);
                    let id = message
                        .message_id()
                        .map_or_else(|| format!("{name}:{}", index + 1), str::to_owned);
                    writer.write(id.into(), &message)?;
                }
            }
            From::Jsonl => bad += lines(reader, &name, &mut writer)?,
            From::Text | From::Html | From::Eml => {
                let message = whole(reader, from).map_err(|error| unreadable(&name, &error))?;
                let id = message.message_id().map_or_else(|| name.clone(), str::to_owned);
                writer.write(id.into(), &message)?;
            }
        }
    }
    writer.finish(&files, profile)?;
    if bad > 0 {
        let lines = if bad == 1 { "line" } else { "lines" };
        return Err(Failure {
            kind: Kind::Misused,
            message: format!("{bad} {lines} could not be read"),
            hint: None,
        });
    }
    Ok(())
}

/// Cleans the mails of a JSON Lines stream; returns how many lines were bad.
fn lines(mut reader: impl BufRead, name: &str, writer: &mut Writer<'_>) -> Result<usize, Failure> {
    let (mut bad, mut number, mut line) = (0, 0, Vec::new());
    loop {
        line.clear();
        if reader
            .read_until(b'\n', &mut line)
            .map_err(|error| unreadable(name, &error))?
            == 0
        {
            return Ok(bad);
        }
        number += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match read(&line) {
            Ok((id, message)) => writer.write(id.unwrap_or_else(|| number.into()), &message)?,
            Err(error) => {
                bad += 1;
                let cause = std::error::Error::source(&error)
                    .map(|cause| format!(": {cause}"))
                    .unwrap_or_default();
                writer.out.note(format!("{name}:{number}: {error}{cause}"));
            }
        }
    }
}

/// One line of JSON to a mail and its id.
fn read(line: &[u8]) -> Result<(Option<serde_json::Value>, Message), LineError> {
    let Line {
        id,
        raw,
        raw_encoding,
        content_type,
        subject,
        body,
    } = serde_json::from_slice(line)?;
    let subject = subject.unwrap_or_default();
    let message = match (raw, body) {
        (Some(raw), _) => {
            let bytes = match raw_encoding.as_deref() {
                None | Some("text" | "utf-8" | "") => raw.into_bytes(),
                Some("base64") => base64(raw.as_bytes()).ok_or(LineError::Base64)?,
                Some(other) => return Err(LineError::Encoding(other.to_owned())),
            };
            match content_type.as_deref() {
                None | Some("message/rfc822") => Message::parse(&bytes),
                Some("text/plain") => Message::plain(subject, String::from_utf8_lossy(&bytes)),
                Some("text/html") => Message::html(subject, String::from_utf8_lossy(&bytes)),
                Some(other) => return Err(LineError::ContentType(other.to_owned())),
            }
        }
        (None, Some(body)) => match content_type.as_deref() {
            None => Message::from_body(subject, body),
            Some("text/plain") => Message::plain(subject, body),
            Some("text/html") => Message::html(subject, body),
            Some(other) => return Err(LineError::ContentType(other.to_owned())),
        },
        (None, None) => return Err(LineError::Empty),
    };
    Ok((id, message))
}

/// A stream that is one mail.
fn whole(mut reader: impl Read, from: From) -> io::Result<Message> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    Ok(match from {
        From::Html => Message::html("", String::from_utf8_lossy(&bytes)),
        From::Eml => Message::parse(&bytes),
        _ => Message::plain("", String::from_utf8_lossy(&bytes)),
    })
}

/// What becomes of each mail.
enum Form {
    Text,
    Jsonl,
    Terminal { colour: bool },
    Html(Page),
}

struct Writer<'a> {
    cleaner: Cleaner,
    form: Form,
    /// True until a mail is written.
    first: bool,
    out: &'a mut Output,
}

impl Writer<'_> {
    fn write(&mut self, id: serde_json::Value, message: &Message) -> Result<(), Failure> {
        let text: CleanText = self.cleaner.clean(message);
        let first = std::mem::take(&mut self.first);
        match &mut self.form {
            Form::Jsonl => self.out.json(&View {
                id,
                subject: text.subject(),
                text: text.text(),
                language: text.language(),
                nature: text.nature(),
                masked: text.masked(),
                removed: text.cuts(),
                protection: text.protection(),
                defects: text.defects(),
            }),
            Form::Text => {
                // A form feed parts one mail from the next.
                let part = if first { "" } else { "\u{c}\n" };
                self.out.text(&format!("{part}{}\n", text.text()))
            }
            Form::Terminal { colour } => {
                if !first {
                    self.out.text(&format!("\n{}\n\n", "=".repeat(72)))?;
                }
                self.out.text(&explain::terminal(&word(&id), &text, *colour))
            }
            Form::Html(page) => {
                page.add(&word(&id), &text);
                Ok(())
            }
        }
    }

    /// Writes what could not be written mail by mail.
    fn finish(self, files: &[PathBuf], profile: Keep) -> Result<(), Failure> {
        let Form::Html(page) = self.form else {
            return Ok(());
        };
        let source = match files {
            [file] => name(file),
            files => format!("{} files", files.len()),
        };
        let profile = profile.to_possible_value();
        let profile = profile.as_ref().map_or("", |profile| profile.get_name());
        self.out
            .text(&page.finish(&format!("{source}, profile {profile}")))
    }
}

/// An id as a person reads it: a string without its quotes.
fn word(id: &serde_json::Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

fn name(file: &Path) -> String {
    if is_stdin(file) {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    }
}

fn guess(file: &Path) -> From {
    let extension = file
        .extension()
        .map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        Some("eml" | "mail" | "msg822") => From::Eml,
        Some("mbox" | "mbx") => From::Mbox,
        Some("jsonl" | "ndjson") => From::Jsonl,
        Some("html" | "htm" | "xhtml") => From::Html,
        _ => From::Text,
    }
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn open(file: &Path, name: &str) -> Result<Box<dyn BufRead>, Failure> {
    if is_stdin(file) {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(file).map_err(|error| unreadable(name, &error))?;
    Ok(Box::new(BufReader::new(file)))
}

fn unreadable(name: &str, error: &io::Error) -> Failure {
    Failure {
        kind: Kind::Misused,
        message: format!("cannot read `{name}`: {error}"),
        hint: None,
    }
}
