//! `sample`: a mail set of our own, for those who cannot or may not use their own mail yet.

use crate::failure::Failure;
use crate::output::Output;
use poststelle_sample::export;
use std::path::PathBuf;

/// Write a realistic mail set to try things on
///
/// German and English mails of a broker platform's clients, all invented: `mails.mbox` as a mail server exports it,
/// `labels.csv` with business unit, queue and topic by Message-ID, and `labels.toml`, the schema. The same count and
/// seed always give the same files.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Number of mails
    #[arg(long, default_value_t = 3000, value_name = "N")]
    count: usize,
    /// Names the set
    #[arg(long, default_value_t = 7, value_name = "S")]
    seed: u64,
    /// Directory for the three files, made if need be
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    let Args {
        count,
        seed,
        out: directory,
    } = args;
    let written = export(count, seed, &directory).map_err(Failure::broken)?;
    for path in [&written.mails, &written.labels, &written.schema] {
        out.text(&format!("{}\n", path.display()))?;
    }
    out.note(format!(
        "{} mails written; look at them with `poststelle data inspect`.",
        written.count
    ));
    Ok(())
}
