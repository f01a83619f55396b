//! Writes a mail set the way a mail server exports one, with the labels beside it.

use crate::{Mail, generate, schema};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The files a set was written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// All mails in one mbox file.
    pub mails: PathBuf,
    /// Labels by Message-ID: `message_id`, the tasks, `broker`, `thread`, `received_at`.
    pub labels: PathBuf,
    /// The schema, `labels.toml`.
    pub schema: PathBuf,
    /// Number of mails.
    pub count: usize,
}

/// Why a set could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file or directory could not be written.
    #[error("cannot write `{}`", .path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The table of labels could not be written.
    #[error("cannot write the labels to `{}`", .path.display())]
    Table {
        /// The table.
        path: PathBuf,
        /// What went wrong.
        source: csv::Error,
    },
}

/// Writes `count` mails to `mails.mbox`, their labels to `labels.csv` and the schema to
/// `labels.toml` in `directory`, made if need be.
pub fn export(count: usize, seed: u64, directory: &Path) -> Result<Exported, ExportError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| ExportError::Write { path, source }
    };
    std::fs::create_dir_all(directory).map_err(at(directory))?;
    let mails = directory.join("mails.mbox");
    let labels = directory.join("labels.csv");
    let schema_file = directory.join("labels.toml");
    std::fs::write(&schema_file, schema().to_toml()).map_err(at(&schema_file))?;
    let mut mbox = BufWriter::new(File::create(&mails).map_err(at(&mails))?);
    let table_failed = |source| ExportError::Table {
        path: labels.clone(),
        source,
    };
    let mut table = csv::Writer::from_path(&labels).map_err(table_failed)?;
    table
        .write_record([
            "message_id",
            "business_unit",
            "queue",
            "topic",
            "broker",
            "thread",
            "received_at",
        ])
        .map_err(table_failed)?;
    let mut written = 0;
    for mail in generate(count, seed) {
        append(&mail, &mut mbox).map_err(at(&mails))?;
        let label = |task: &str| {
            mail.labels
                .iter()
                .find(|(name, _)| name.as_str() == task)
                .map_or("", |(_, label)| label.as_str())
        };
        let broker = mail.broker.as_deref().unwrap_or("");
        let row = [
            &mail.message_id,
            label("business_unit"),
            label("queue"),
            label("topic"),
            broker,
            &mail.thread,
            &mail.received_at,
        ];
        table.write_record(row).map_err(table_failed)?;
        written += 1;
    }
    mbox.flush().map_err(at(&mails))?;
    table.flush().map_err(at(&labels))?;
    Ok(Exported {
        mails,
        labels,
        schema: schema_file,
        count: written,
    })
}

/// Appends one mail in the mboxrd variant: Unix line ends, `>` before every line that starts like a separator.
fn append(mail: &Mail, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "From MAILER-DAEMON {}", separator_date(&mail.received_at))?;
    let body = mail.raw.strip_suffix(b"\r\n").unwrap_or(&mail.raw);
    for line in body.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let marks = line.iter().take_while(|&&byte| byte == b'>').count();
        if line[marks..].starts_with(b"From ") {
            out.write_all(b">")?;
        }
        out.write_all(line)?;
        out.write_all(b"\n")?;
    }
    out.write_all(b"\n")
}

/// The date of a separator line in asctime form; the local time, as mail servers write it.
fn separator_date(received_at: &str) -> String {
    let local: Option<jiff::civil::DateTime> = received_at.get(..19).and_then(|text| text.parse().ok());
    local.map_or_else(
        || received_at.to_owned(),
        |when| when.strftime("%a %b %e %H:%M:%S %Y").to_string(),
    )
}
