//! `version promote`: a version of another environment becomes one here.

use crate::config::Config;
use crate::context::{Context, open, store_failure};
use crate::failure::{Failure, Kind};
use crate::output::Output;
use poststelle_lifecycle::{Promoted, Reason, StandingName, Subject, VersionId};
use poststelle_store::{NewVersion, PublicKey};

/// Take a version over from the environment this one is promoted from
///
/// The artifact is copied by digest, its history there is kept in the event. Only what was evaluated there and not refused is taken;
/// here it is registered anew, to be evaluated on this environment's data.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The version there, as MODEL@NUMBER
    version: VersionId,
    /// Reason kept with the event
    #[arg(long, value_name = "TEXT")]
    reason: Reason,
}

pub fn run(args: Args, context: &Context, out: &mut Output) -> Result<(), Failure> {
    let Args { version: id, reason } = args;
    let from = context.environment.promote_from.clone().ok_or_else(|| Failure {
        kind: Kind::Misused,
        message: format!("environment `{}` takes over from no other", context.name),
        hint: Some("`promote_from` in poststelle.toml names the environment".into()),
    })?;
    let config: &Config = &context.config;
    let (store, blobs) = context.block(open(config, config.environment(&from)?))?;
    let there = context.block(store.version(&id)).map_err(store_failure)?;
    let standing = there.standing.name();
    if !matches!(
        standing,
        StandingName::Evaluated | StandingName::Pending | StandingName::Approved
    ) {
        return Err(Failure::refused(format!(
            "{id} is {standing} in `{from}`, expected evaluated, pending or approved"
        )));
    }
    let signature = context
        .signing_key()?
        .map(|key| key.sign(&there.artifact))
        .or(there.signature);
    PublicKey::check(&context.trusted, &there.artifact, signature.as_ref()).map_err(Failure::refused)?;
    let history = context
        .block(store.history(&Subject::Version(id.clone())))
        .map_err(store_failure)?;
    let folder = tempfile::tempdir()?;
    let archive = folder.path().join("model.tar.gz");
    context
        .block(blobs.fetch(&there.artifact, &archive))
        .map_err(Failure::broken)?;
    context
        .block(context.blobs.put(&archive))
        .map_err(Failure::broken)?;
    let new = NewVersion {
        model: there.id.model,
        artifact: there.artifact,
        size_bytes: there.size_bytes,
        lineage: there.lineage,
        signature,
        promoted: Some(Promoted {
            environment: from.clone(),
            version: id.clone(),
            history,
        }),
        act: context.act(reason),
    };
    let (version, made) = context
        .block(context.store.register(&context.scene(), new))
        .map_err(store_failure)?;
    out.json(&version)?;
    out.note(if made {
        format!("{id} of `{from}` is {} of `{}`", version.id, context.name)
    } else {
        format!("{id} of `{from}` is {} here already", version.id)
    });
    Ok(())
}
