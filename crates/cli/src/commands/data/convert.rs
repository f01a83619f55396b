//! `data convert`: one format to another.

use super::thousands;
use crate::failure::Failure;
use crate::output::Output;
use poststelle_corpus::{Content, Record, read, write};
use std::path::PathBuf;

/// Convert a dataset or a mail export to CSV, JSON Lines or Parquet
///
/// The endings name the formats; .csv and .jsonl may end in .gz. Raw mails stay raw, in a column `raw` that every
/// command reads, so cleaning still sees their headers and parts; --decode writes subject and body instead.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// CSV, JSON Lines, Parquet, mbox, .eml, or a directory of .eml files
    #[arg(value_name = "IN")]
    from: PathBuf,
    /// File to write, ending in .csv, .jsonl or .parquet
    #[arg(value_name = "OUT")]
    to: PathBuf,
    /// Table of labels by Message-ID for mail exports
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Write the decoded subject and body of raw mails, for people to read
    #[arg(long)]
    decode: bool,
}

/// Runs `data convert`.
pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    let Args {
        from,
        to,
        labels,
        decode,
    } = args;
    let mut reader = read::open_with(&from, &read::Options { labels }).map_err(Failure::misused)?;
    let read: Result<Vec<Record>, _> = reader.by_ref().collect();
    let mut records = read.map_err(|error| {
        Failure::misused(error).hint("`poststelle data inspect` lists every row that cannot be read")
    })?;
    let mut columns = reader.columns();
    if decode {
        records.iter_mut().for_each(decoded);
        columns.retain(|column| !matches!(column.as_str(), "raw" | "raw_encoding"));
        for (position, column) in ["subject", "body"].into_iter().enumerate() {
            if !columns.iter().any(|known| known == column) {
                columns.insert((position + 1).min(columns.len()), column.to_owned());
            }
        }
    }
    write::write(&to, &columns, &records).map_err(|error| match error {
        write::WriteError::Write { .. } => Failure::broken(error),
        error => Failure::misused(error),
    })?;
    out.note(format!(
        "wrote {} mails to {}",
        thousands(records.len()),
        to.display()
    ));
    Ok(())
}

/// Replaces a raw mail by what a reader would see of it.
fn decoded(record: &mut Record) {
    if let Content::Raw(_) = record.content {
        let message = record.message();
        let subject = message.subject().unwrap_or_default().to_owned();
        record.content = Content::Body {
            subject,
            body: message.body().to_owned(),
        };
    }
}
