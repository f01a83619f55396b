//! `events`: what happened, and who is told.

use crate::context::{Context, Where, store_failure};
use crate::failure::Failure;
use crate::output::Output;
use crate::webhook::{self, Receiver};
use clap::Subcommand;
use poststelle_lifecycle::{Event, verify};
use serde_json::json;
use std::time::Duration;

/// Read what happened, check that nothing was changed, and tell others
///
/// Every change of a version or an endpoint is an event that holds the digest of the one before.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    at: Where,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print events as JSON Lines, oldest first
    List {
        /// Only those after this one
        #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
        after: u64,
    },
    /// Check the chain of all events
    Verify,
    /// Post events to the environment's webhooks, each until it is taken
    Deliver {
        /// Stop when nothing is due
        #[arg(long)]
        once: bool,
    },
    /// Show how far each webhook is, and what was put aside because it never took it
    Receivers {
        /// Print JSON Lines
        #[arg(long)]
        json: bool,
    },
    /// Offer a webhook everything after an event again
    Replay {
        /// The webhook
        #[arg(value_name = "NAME")]
        receiver: String,
        /// The event, 0 for all
        #[arg(long, value_name = "SEQUENCE")]
        after: u64,
    },
}

/// Events read at a time.
const PAGE: u32 = 500;
/// Time between two looks for new events.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs one `events` command.
pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    let context = args.at.open()?;
    match args.command {
        Command::List { after } => list(after, &context, out),
        Command::Verify => check(&context, out),
        Command::Deliver { once } => deliver(once, &context, out),
        Command::Receivers { json } => receivers(json, &context, out),
        Command::Replay { receiver, after } => {
            context
                .block(context.store.replay(&receiver, after))
                .map_err(store_failure)?;
            out.note(format!(
                "`{receiver}` is offered everything after event {after} again"
            ));
            Ok(())
        }
    }
}

fn list(mut after: u64, context: &Context, out: &mut Output) -> Result<(), Failure> {
    loop {
        let events = context
            .block(context.store.events(after, PAGE))
            .map_err(store_failure)?;
        let Some(last) = events.last() else {
            return Ok(());
        };
        after = last.sequence;
        for event in &events {
            out.json(event)?;
        }
    }
}

fn check(context: &Context, out: &mut Output) -> Result<(), Failure> {
    let mut last: Option<Event> = None;
    loop {
        let after = last.as_ref().map_or(0, |last| last.sequence);
        let events = context
            .block(context.store.events(after, PAGE))
            .map_err(store_failure)?;
        verify(last.as_ref(), &events).map_err(Failure::refused)?;
        match events.into_iter().next_back() {
            Some(event) => last = Some(event),
            None => break,
        }
    }
    match last {
        None => out.note("there are no events"),
        Some(last) => {
            out.json(&json!({ "events": last.sequence, "last": last.id }))?;
            out.note(format!("{} events, each fits the one before", last.sequence));
        }
    }
    Ok(())
}

fn deliver(once: bool, context: &Context, out: &mut Output) -> Result<(), Failure> {
    let hooks = context
        .environment
        .webhook
        .iter()
        .map(|hook| Receiver::of(hook, &context.config));
    let hooks: Vec<Receiver> = hooks.collect::<Result<_, _>>()?;
    if hooks.is_empty() {
        out.note(format!("environment `{}` has no webhook", context.name));
        return Ok(());
    }
    loop {
        for hook in &hooks {
            while let Some(told) = webhook::next(hook, context)? {
                out.note(told);
            }
        }
        if once {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
}

fn receivers(as_json: bool, context: &Context, out: &mut Output) -> Result<(), Failure> {
    let receivers = context.block(context.store.receivers()).map_err(store_failure)?;
    let dead = context.block(context.store.dead()).map_err(store_failure)?;
    for receiver in receivers {
        let aside: Vec<u64> = dead
            .iter()
            .filter(|dead| dead.receiver == receiver.name)
            .map(|dead| dead.sequence)
            .collect();
        if as_json {
            out.json(&json!({
                "receiver": receiver.name, "sequence": receiver.sequence, "attempts": receiver.attempts,
                "error": receiver.error, "dead": aside,
            }))?;
            continue;
        }
        let mut line = format!("{:<24} has event {}", receiver.name, receiver.sequence);
        if let Some(error) = &receiver.error {
            line.push_str(&format!("; {} times in vain: {error}", receiver.attempts));
        }
        if !aside.is_empty() {
            line.push_str(&format!("; never took {aside:?}"));
        }
        out.text(&format!("{line}\n"))?;
    }
    Ok(())
}
