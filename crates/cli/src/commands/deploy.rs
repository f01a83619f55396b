//! `deploy`: which version an endpoint serves.

use crate::context::{Context, Where, change_failure, store_failure};
use crate::failure::Failure;
use crate::output::Output;
use clap::{Subcommand, ValueEnum};
use poststelle_lifecycle::{
    Change, Deployment, DeploymentError, EndpointName, Limits, Reason, RolloutEnd, Strategy, Subject,
    VersionId,
};
use poststelle_store::ChangeError;
use serde_json::json;
use std::time::{Duration, Instant};

/// Move endpoints to approved versions, and back
///
/// What is asked for is written to the store; `serve --endpoint` follows it without dropping a request. A version that cannot be
/// loaded, or breaks a limit while it is tried, ends its rollout; what served before serves on.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    at: Where,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Start(Start),
    /// Show what endpoints serve, and what they are moving to
    Status {
        /// The endpoint [default: all]
        #[arg(long, value_name = "NAME")]
        endpoint: Option<EndpointName>,
        /// Print JSON Lines
        #[arg(long)]
        json: bool,
    },
    /// Go back to what an endpoint served before
    Rollback(OnEndpoint),
    /// Stop a rollout; what serves serves on
    Stop(OnEndpoint),
}

/// Move an endpoint to an approved version
#[derive(Debug, clap::Args)]
struct Start {
    /// The version, as MODEL@NUMBER
    version: VersionId,
    #[command(flatten)]
    on: OnEndpoint,
    /// How to move
    #[arg(long, value_enum, default_value_t = How::AtOnce)]
    strategy: How,
    /// Share of the requests a canary answers
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=99))]
    percent: u8,
    /// Requests a canary or shadow answers before it is judged [default: 100]
    #[arg(long, value_name = "N")]
    requests: Option<u64>,
    /// Share of its requests that may fail [default: 0.01]
    #[arg(long, value_name = "SHARE")]
    errors: Option<f64>,
    /// How many times as long its mean answer may take [default: 2]
    #[arg(long, value_name = "TIMES")]
    latency: Option<f64>,
    /// Share of a shadow's mails that may get another label [default: 0.2]
    #[arg(long, value_name = "SHARE")]
    disagreement: Option<f64>,
    /// Wait until the rollout has ended, at most so long
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct OnEndpoint {
    /// The endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: EndpointName,
    /// Reason kept with the event
    #[arg(long, value_name = "TEXT", default_value = "asked for")]
    reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// As soon as it is loaded
    AtOnce,
    /// A share of the requests first
    Canary,
    /// It answers too, and its answers are compared but not given
    Shadow,
}

/// Runs one `deploy` command.
pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    let context = args.at.open()?;
    match args.command {
        Command::Start(args) => start(args, &context, out),
        Command::Status { endpoint, json } => status(endpoint.as_ref(), json, &context, out),
        Command::Rollback(on) => rollback(on, &context, out),
        Command::Stop(on) => stop(on, &context, out),
    }
}

fn start(args: Start, context: &Context, out: &mut Output) -> Result<(), Failure> {
    let Start {
        version,
        on: OnEndpoint { endpoint, reason },
        strategy,
        percent,
        requests,
        errors,
        latency,
        disagreement,
        wait,
    } = args;
    let usual = Limits::default();
    let limits = Limits {
        requests: requests.unwrap_or(usual.requests),
        errors: errors.unwrap_or(usual.errors),
        latency: latency.unwrap_or(usual.latency),
        disagreement: disagreement.unwrap_or(usual.disagreement),
    };
    let strategy = match strategy {
        How::AtOnce => Strategy::AtOnce,
        How::Canary => Strategy::Canary { percent, limits },
        How::Shadow => Strategy::Shadow { limits },
    };
    let scene = context.scene();
    let started = context
        .store
        .start(&scene, &endpoint, &version, strategy, context.act(reason));
    let started = context.block(started).map_err(|error| match &error {
        ChangeError::Refused(DeploymentError::Moving { .. }) => {
            change_failure(error).hint("`deploy stop` ends the rollout that is going on")
        }
        _ => change_failure(error),
    })?;
    match started {
        None => out.note(format!(
            "{endpoint} serves {version}, or is moving to it, already"
        )),
        Some((_, event)) => {
            out.json(&event)?;
            out.note(format!("{endpoint} moves to {version}"));
        }
    }
    match wait {
        Some(seconds) => ended(&endpoint, &version, Duration::from_secs(seconds), context, out),
        None => Ok(()),
    }
}

/// Waits until a rollout has ended, and tells how.
fn ended(
    endpoint: &EndpointName,
    version: &VersionId,
    patience: Duration,
    context: &Context,
    out: &mut Output,
) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let deployment = context
            .block(context.store.deployment(endpoint))
            .map_err(store_failure)?;
        if let Some(deployment) = deployment.filter(|deployment| deployment.rollout.is_none()) {
            if deployment.serving.as_ref() == Some(version) {
                out.note(format!("{endpoint} serves {version}"));
                return Ok(());
            }
            return Err(Failure::refused(match &deployment.last {
                Some((last, end)) if last == version => {
                    format!("{endpoint} does not serve {version}: {}", told(end))
                }
                _ => format!("{endpoint} does not serve {version}"),
            }));
        }
        if begun.elapsed() > patience {
            return Err(Failure::refused(format!(
                "{endpoint} has not moved to {version} within {} s; is `poststelle serve --endpoint {endpoint}` running?",
                patience.as_secs()
            )));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn told(end: &RolloutEnd) -> String {
    match end {
        RolloutEnd::Done => "done".into(),
        RolloutEnd::Unhealthy { limit } => limit.to_string(),
        RolloutEnd::Failed { why } => why.clone(),
        RolloutEnd::Stopped => "stopped".into(),
        RolloutEnd::Withdrawn => "its version was withdrawn".into(),
    }
}

fn status(
    endpoint: Option<&EndpointName>,
    json: bool,
    context: &Context,
    out: &mut Output,
) -> Result<(), Failure> {
    let deployments = context
        .block(context.store.deployments())
        .map_err(store_failure)?;
    let asked = |deployment: &&Deployment| endpoint.is_none_or(|endpoint| deployment.endpoint == *endpoint);
    let deployments: Vec<&Deployment> = deployments.iter().filter(asked).collect();
    if deployments.is_empty() {
        out.note("nothing is deployed");
    }
    for deployment in deployments {
        if json {
            let about = Subject::Endpoint(deployment.endpoint.clone());
            let history = context
                .block(context.store.history(&about))
                .map_err(store_failure)?;
            let since = history.last().map(|event| event.at);
            out.json(&json!({ "deployment": deployment, "since": since }))?;
            continue;
        }
        let serving = deployment
            .serving
            .as_ref()
            .map_or("nothing".into(), ToString::to_string);
        let mut line = format!("{:<16} serves {serving}", deployment.endpoint);
        if let Some(rollout) = &deployment.rollout {
            line.push_str(&format!(
                ", moving to {} since {}",
                rollout.version, rollout.started.at
            ));
        } else if let Some((version, end)) = &deployment.last {
            line.push_str(&format!("; last rollout, of {version}: {}", told(end)));
        }
        if let Some(before) = deployment.before.first() {
            line.push_str(&format!("; can go back to {before}"));
        }
        out.text(&format!("{line}\n"))?;
    }
    Ok(())
}

fn rollback(on: OnEndpoint, context: &Context, out: &mut Output) -> Result<(), Failure> {
    let OnEndpoint { endpoint, reason } = on;
    let scene = context.scene();
    let back = context.store.roll_back(&scene, &endpoint, context.act(reason));
    let (_, event) = context.block(back).map_err(change_failure)?;
    out.json(&event)?;
    if let Change::RolledBack {
        from, to: Some(to), ..
    } = &event.change
    {
        out.note(format!("{endpoint} goes back from {from} to {to}"));
    }
    Ok(())
}

fn stop(on: OnEndpoint, context: &Context, out: &mut Output) -> Result<(), Failure> {
    let OnEndpoint { endpoint, reason } = on;
    let deployment = context
        .block(context.store.deployment(&endpoint))
        .map_err(store_failure)?;
    let Some(rollout) = deployment.and_then(|deployment| deployment.rollout) else {
        return Err(Failure::refused(format!(
            "{endpoint} is not moving to another version"
        )));
    };
    let scene = context.scene();
    let end = context.store.end_rollout(
        &scene,
        &endpoint,
        &rollout.version,
        RolloutEnd::Stopped,
        context.act(reason),
    );
    let (_, event) = context.block(end).map_err(change_failure)?;
    out.json(&event)?;
    out.note(format!(
        "{endpoint} does not move to {} any more",
        rollout.version
    ));
    Ok(())
}
