//! `key`: keys that vouch for artifacts.

use crate::failure::{Failure, Kind};
use crate::output::Output;
use poststelle_store::SecretKey;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// Make keys that vouch for artifacts
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write a new ed25519 secret key and print its public key
    ///
    /// Name the file in `sign_with` of the environment that trains, the printed key in `trusted` of those that serve.
    Create {
        /// The file, which must not exist; only its owner may read it
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    let Command::Create { file } = args.command;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Failure {
        kind: Kind::Broken,
        message: format!("the system gives no random bytes: {error}"),
        hint: None,
    })?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut opened = options.open(&file).map_err(|error| Failure {
        kind: Kind::Misused,
        message: format!("`{}`: {error}", file.display()),
        hint: None,
    })?;
    let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(opened, "{hex}")?;
    out.text(&format!("{}\n", SecretKey::of_seed(&seed).public()))
}
