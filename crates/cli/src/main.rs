//! The binary `poststelle`: reads the command line, runs one command, turns its failure into an exit code.

mod clock;
mod commands;
mod config;
mod context;
mod failure;
mod output;
mod webhook;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match commands::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no failures; clap prints them on standard output.
            let code = if error.use_stderr() {
                failure::Kind::Misused
            } else {
                failure::Kind::Done
            };
            let _ = error.print();
            return code.exit();
        }
    };
    let mut out = output::Output::stdio();
    match commands::run(cli, &mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            out.failure(&failure);
            failure.kind.exit()
        }
    }
}
