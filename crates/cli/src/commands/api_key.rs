//! `api-key`: who may call the gateway.

use crate::context::{Context, Where, change_failure, store_failure};
use crate::failure::{Failure, Kind};
use crate::output::Output;
use clap::Subcommand;
use poststelle_lifecycle::{
    ApiKey, ApiKeyId, ClientName, EndpointName, KeyText, Permission, Reason, Timestamp,
};
use poststelle_store::NextKey;
use serde_json::json;
use std::time::Duration;

/// Issue, list, rotate and revoke keys of an environment's gateway
///
/// A key is shown once, when it is issued; what is kept of it cannot be turned back. Each change is an event with who, when and why.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    at: Where,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Issue a key and print it, this once
    Create {
        /// The client it is for; all of a client's keys see what one of them made
        #[arg(value_name = "CLIENT")]
        client: EndpointName,
        /// What it is for: predict, read, feedback, erase
        #[arg(
            long,
            value_name = "PERMISSION",
            value_delimiter = ',',
            default_value = "predict,read,feedback"
        )]
        allow: Vec<Permission>,
        /// Days until it ends [default: never]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: Option<u32>,
        /// Requests a minute [default: what the gateway says]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        requests_per_minute: Option<u32>,
        /// Reason kept with it
        #[arg(long, value_name = "TEXT")]
        reason: Reason,
    },
    /// List keys, without what makes them good
    List {
        /// Print JSON Lines
        #[arg(long)]
        json: bool,
    },
    /// Issue a key's successor and print it; the old one is good for a while
    Rotate {
        /// The key's id, the part after `pst_`
        #[arg(value_name = "ID")]
        id: ApiKeyId,
        /// Hours the old one is good beside the new one
        #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(0..=8760))]
        overlap: u32,
        /// Days until the new one ends [default: never]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: Option<u32>,
        /// Reason kept with it
        #[arg(long, value_name = "TEXT")]
        reason: Reason,
    },
    /// End a key; gateways refuse it seconds later
    Revoke {
        /// The key's id, the part after `pst_`
        #[arg(value_name = "ID")]
        id: ApiKeyId,
        /// Reason kept with it
        #[arg(long, value_name = "TEXT")]
        reason: Reason,
    },
}

/// Runs one `api-key` command.
pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    let context = args.at.open()?;
    match args.command {
        Command::Create {
            client,
            allow,
            days,
            requests_per_minute,
            reason,
        } => {
            let text = chance()?;
            let act = context.act(reason);
            let key = ApiKey {
                id: text.id.clone(),
                // A name without a colon: those with one are an identity provider's.
                client: ClientName::try_from(client.to_string()).map_err(Failure::misused)?,
                permissions: allow.into_iter().collect(),
                requests_per_minute,
                secret: text.digest(),
                expires: days.map(|days| after(act.at, u64::from(days) * 24)),
                issued: act,
                revoked: None,
                replaces: None,
            };
            context
                .block(context.store.issue_key(&context.scene(), &key))
                .map_err(store_failure)?;
            out.note(format!(
                "Key {} for `{}`; it is not shown again:",
                key.id, key.client
            ));
            out.text(&format!("{}\n", text.reveal()))
        }
        Command::List { json } => list(json, &context, out),
        Command::Rotate {
            id,
            overlap,
            days,
            reason,
        } => {
            let text = chance()?;
            let act = context.act(reason);
            let next = NextKey {
                id: text.id.clone(),
                secret: text.digest(),
                expires: days.map(|days| after(act.at, u64::from(days) * 24)),
                overlap_until: after(act.at, overlap.into()),
            };
            let until = next.overlap_until;
            let rotated = context.block(context.store.rotate_key(&context.scene(), &id, next, act));
            let key = rotated.map_err(change_failure)?;
            out.note(format!(
                "Key {} for `{}`; {id} is good until {until}:",
                key.id, key.client
            ));
            out.text(&format!("{}\n", text.reveal()))
        }
        Command::Revoke { id, reason } => {
            let act = context.act(reason);
            let revoked = context.block(context.store.revoke_key(&context.scene(), &id, act));
            let key = revoked.map_err(change_failure)?;
            out.note(format!("Key {id} of `{}` is revoked.", key.client));
            Ok(())
        }
    }
}

/// A new key.
fn chance() -> Result<KeyText, Failure> {
    let mut bytes = [0; 40];
    getrandom::fill(&mut bytes).map_err(|error| Failure {
        kind: Kind::Broken,
        message: format!("the system gives no random bytes: {error}"),
        hint: None,
    })?;
    Ok(KeyText::of_chance(&bytes))
}

fn after(at: Timestamp, hours: u64) -> Timestamp {
    at.saturating_add(Duration::from_secs(hours * 3600))
        .unwrap_or(Timestamp::MAX)
}

fn list(json: bool, context: &Context, out: &mut Output) -> Result<(), Failure> {
    let now = context.scene().at;
    for key in context.block(context.store.keys()).map_err(store_failure)? {
        let standing = key.standing(now);
        if json {
            out.json(&json!({
                "id": key.id, "client": key.client, "permissions": key.permissions, "standing": standing, "issued": key.issued,
                "expires": key.expires, "requests_per_minute": key.requests_per_minute, "replaces": key.replaces,
            }))?;
            continue;
        }
        let allowed: Vec<&str> = key.permissions.iter().map(|one| one.as_str()).collect();
        let ends = key.expires.map(|end| format!(", ends {end}")).unwrap_or_default();
        out.text(&format!(
            "{}  {}  {standing}{ends}  {}\n",
            key.id,
            key.client,
            allowed.join(",")
        ))?;
    }
    Ok(())
}
