//! `bundle`: what can be done with a trained model besides asking it.

mod export;
mod shrink;

use crate::failure::Failure;
use crate::output::Output;
use clap::Subcommand;

/// Take a bundle elsewhere, or make it smaller
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Export(export::Args),
    Shrink(shrink::Args),
}

/// Runs one `bundle` command.
pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    match args.command {
        Command::Export(args) => export::run(args, out),
        Command::Shrink(args) => shrink::run(args, out),
    }
}
