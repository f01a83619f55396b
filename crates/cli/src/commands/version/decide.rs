//! `version request`, `approve`, `reject`, `withdraw`: what people decide.

use crate::context::{Context, change_failure};
use crate::failure::Failure;
use crate::output::Output;
use poststelle_lifecycle::{Approval, ApproveError, Event, GateName, Reason, VersionId};
use poststelle_store::ChangeError;

/// Put an evaluated version before the people who approve
#[derive(Debug, clap::Args)]
pub struct Request {
    /// The version, as MODEL@NUMBER
    version: VersionId,
    /// Reason kept with the event
    #[arg(long, value_name = "TEXT", default_value = "evaluated")]
    reason: Reason,
}

/// Approve a version for deployment
///
/// Records who approved it and why, as an event that is never edited. A version that fails a gate is refused unless each failing
/// gate is waived by name; the waivers become part of the record. Endpoints with `on_approval` deploy it by themselves; else
/// follow it with `deploy start`.
#[derive(Debug, clap::Args)]
pub struct Approve {
    /// The version, as MODEL@NUMBER
    version: VersionId,
    /// Reason kept with the approval
    #[arg(long, value_name = "TEXT")]
    reason: Reason,
    /// Gate to waive (can be repeated)
    #[arg(long = "waive", value_name = "GATE")]
    waived: Vec<GateName>,
}

/// Refuse a version for good
#[derive(Debug, clap::Args)]
pub struct Reject {
    /// The version, as MODEL@NUMBER
    version: VersionId,
    /// Reason kept with the event
    #[arg(long, value_name = "TEXT")]
    reason: Reason,
}

/// Take an approval back: the version never serves again
///
/// Endpoints that serve it go back to what they served before.
#[derive(Debug, clap::Args)]
pub struct Withdraw {
    /// The version, as MODEL@NUMBER
    version: VersionId,
    /// Reason kept with the event
    #[arg(long, value_name = "TEXT")]
    reason: Reason,
}

fn told(event: &Event, note: &str, out: &mut Output) -> Result<(), Failure> {
    out.json(event)?;
    out.note(note);
    Ok(())
}

pub fn request(args: Request, context: &Context, out: &mut Output) -> Result<(), Failure> {
    let Request { version, reason } = args;
    let act = context.act(reason);
    let scene = context.scene();
    let change = context
        .store
        .change_version(&scene, &version, |version| version.request(act));
    let (_, event) = context.block(change).map_err(change_failure)?;
    told(&event, &format!("{version} waits for its approval"), out)
}

pub fn approve(args: Approve, context: &Context, out: &mut Output) -> Result<(), Failure> {
    let Approve {
        version,
        reason,
        waived,
    } = args;
    let approval = Approval {
        act: context.act(reason),
        waived: waived.into_iter().collect(),
    };
    let rules = context.environment.approval;
    let scene = context.scene();
    let change = context
        .store
        .change_version(&scene, &version, |version| version.approve(approval, rules));
    let (changed, event) = context.block(change).map_err(|error| match &error {
        ChangeError::Refused(ApproveError::GateFailed { .. }) => change_failure(error)
            .hint("`version show` tells the figures; --waive GATE takes responsibility for one"),
        ChangeError::Refused(ApproveError::Move(_)) => {
            change_failure(error).hint("`version evaluate`, then `version request`")
        }
        _ => change_failure(error),
    })?;
    told(&event, &format!("{version} is {}", changed.standing.name()), out)
}

pub fn reject(args: Reject, context: &Context, out: &mut Output) -> Result<(), Failure> {
    let Reject { version, reason } = args;
    let act = context.act(reason);
    let scene = context.scene();
    let change = context
        .store
        .change_version(&scene, &version, |version| version.reject(act));
    let (_, event) = context.block(change).map_err(change_failure)?;
    told(&event, &format!("{version} is rejected"), out)
}

pub fn withdraw(args: Withdraw, context: &Context, out: &mut Output) -> Result<(), Failure> {
    let Withdraw { version, reason } = args;
    let scene = context.scene();
    let withdraw = context.store.withdraw(&scene, &version, context.act(reason));
    let (_, events) = context.block(withdraw).map_err(change_failure)?;
    for event in &events {
        out.json(event)?;
    }
    out.note(format!(
        "{version} is withdrawn; {} endpoints served it",
        events.len() - 1
    ));
    Ok(())
}
