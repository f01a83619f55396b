//! The command tree: one file per command, each with its `Args` and its `run`.

mod api_key;
mod base;
mod bundle;
mod clean;
mod data;
mod demo;
mod deploy;
mod evaluate;
mod events;
mod figures;
mod key;
mod pipeline;
mod predict;
mod sample;
mod serve;
mod train;
mod version;

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
enum Command {
    ApiKey(api_key::Args),
    Base(base::Args),
    Bundle(bundle::Args),
    Clean(clean::Args),
    Data(data::Args),
    Demo(demo::Args),
    Deploy(deploy::Args),
    Evaluate(evaluate::Args),
    Events(events::Args),
    Key(key::Args),
    Pipeline(pipeline::Args),
    Predict(predict::Args),
    Sample(sample::Args),
    Serve(serve::Args),
    Train(train::Args),
    Version(version::Args),
}

/// Runs one command.
pub fn run(cli: Cli, out: &mut Output) -> Result<(), Failure> {
    match cli.command {
        Command::ApiKey(args) => api_key::run(args, out),
        Command::Base(args) => base::run(args, out),
        Command::Bundle(args) => bundle::run(args, out),
        Command::Clean(args) => clean::run(args, out),
        Command::Data(args) => data::run(args, out),
        Command::Demo(args) => demo::run(args, out),
        Command::Deploy(args) => deploy::run(args, out),
        Command::Evaluate(args) => evaluate::run(args, out),
        Command::Events(args) => events::run(args, out),
        Command::Key(args) => key::run(args, out),
        Command::Pipeline(args) => pipeline::run(args, out),
        Command::Predict(args) => predict::run(args, out),
        Command::Sample(args) => sample::run(args, out),
        Command::Serve(args) => serve::run(args, out),
        Command::Train(args) => train::run(args, out),
        Command::Version(args) => version::run(args, out),
    }
}
