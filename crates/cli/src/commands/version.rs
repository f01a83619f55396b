//! `version`: the registry.

mod decide;
mod evaluate;
mod fetch;
mod list;
mod promote;
mod register;
mod show;

pub use evaluate::evaluate;
pub use fetch::unpacked;
pub use register::{Registration, register};

use crate::context::Where;
use crate::failure::Failure;
use crate::output::Output;
use clap::Subcommand;

/// Register versions, and decide which may serve
///
/// A version is registered, evaluated against the gates of its recipe, put before a person, approved or rejected, and may be
/// withdrawn. Every step is an event with who, when and why, chained to the one before.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    at: Where,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::Args),
    Show(show::Args),
    Register(register::Args),
    Evaluate(evaluate::Args),
    Request(decide::Request),
    Approve(decide::Approve),
    Reject(decide::Reject),
    Withdraw(decide::Withdraw),
    Promote(promote::Args),
    Fetch(fetch::Args),
}

/// Runs one `version` command.
pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    let context = args.at.open()?;
    match args.command {
        Command::List(args) => list::run(args, &context, out),
        Command::Show(args) => show::run(args, &context, out),
        Command::Register(args) => register::run(args, &context, out),
        Command::Evaluate(args) => evaluate::run(args, &context, out),
        Command::Request(args) => decide::request(args, &context, out),
        Command::Approve(args) => decide::approve(args, &context, out),
        Command::Reject(args) => decide::reject(args, &context, out),
        Command::Withdraw(args) => decide::withdraw(args, &context, out),
        Command::Promote(args) => promote::run(args, &context, out),
        Command::Fetch(args) => fetch::run(args, &context, out),
    }
}
