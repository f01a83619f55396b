//! The command tree: one file per command, each with its `Args` and its `run`.

use crate::failure::Failure;
use crate::output::Output;
use clap::{Parser, Subcommand};

/// Sort a company's incoming client mail: clean, label, train, serve
#[derive(Debug, Parser)]
#[command(name = "poststelle", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {}

/// Runs one command.
pub fn run(cli: Cli, _out: &mut Output) -> Result<(), Failure> {
    match cli.command {}
}
