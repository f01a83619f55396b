//! `pipeline`: the whole way from data to a version, as named steps.

mod graph;
mod runner;
mod steps;

pub use steps::ask;

use crate::context::{Context, Where, store_failure};
use crate::failure::{Failure, Kind};
use crate::output::Output;
use clap::Subcommand;
use poststelle_store::Step;
use std::path::PathBuf;

/// Run the whole way from data to a registered version
///
/// Steps: fetch, split, check, clean, train, register, evaluate, request; with `endpoint` in the environment's `[pipeline]`, for a test
/// endpoint, also approve, deploy and smoke. Each is kept with its inputs' digests: a run that was killed or has failed goes on where
/// it was, and what is as it was is not done again.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    at: Where,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run it
    Run {
        /// Override one key of the recipe (can be repeated)
        #[arg(long = "set", value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Go on although the data checks found errors
        #[arg(long)]
        accept_findings: bool,
        /// Say which steps would run, and run none
        #[arg(long)]
        dry_run: bool,
    },
    /// Show a run: its steps, their times, what came of them
    Show {
        /// The run [default: the last]
        #[arg(long, value_name = "N")]
        run: Option<u32>,
        /// Print JSON Lines
        #[arg(long)]
        json: bool,
        /// Draw it
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
}

/// Runs one `pipeline` command.
pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    let context = args.at.open()?;
    match args.command {
        Command::Run {
            set,
            accept_findings,
            dry_run,
        } => steps::run(&context, &set, accept_findings, dry_run, out),
        Command::Show { run, json, svg } => show(run, json, svg, &context, out),
    }
}

fn show(
    run: Option<u32>,
    json: bool,
    svg: Option<PathBuf>,
    context: &Context,
    out: &mut Output,
) -> Result<(), Failure> {
    let pipeline = context.environment.model.as_str();
    let last = context
        .block(context.store.last_run(pipeline))
        .map_err(store_failure)?;
    let run = run.unwrap_or(last);
    let steps = context
        .block(context.store.steps(pipeline, run))
        .map_err(store_failure)?;
    if steps.is_empty() {
        return Err(Failure {
            kind: Kind::Misused,
            message: format!("there is no run {run} of pipeline `{pipeline}`"),
            hint: (last > 0).then(|| format!("the last is {last}")),
        });
    }
    if let Some(path) = svg {
        std::fs::write(&path, graph::svg(&steps))?;
        out.note(format!("wrote {}", path.display()));
    }
    if json {
        return steps.iter().try_for_each(|step: &Step| out.json(step));
    }
    out.text(&graph::text(&steps))
}
