//! `version register`: a bundle becomes a version.

use crate::commands::predict::check_there;
use crate::context::{Context, store_failure};
use crate::failure::{Failure, Kind};
use crate::output::Output;
use poststelle_lifecycle::{Digest, Gate, Lineage, ModelName, Reason, Version};
use poststelle_nn::bundle::{Bundle, Manifest, pack};
use poststelle_store::{NewVersion, PublicKey};
use std::path::{Path, PathBuf};

/// Register a bundle as the next version of a model
///
/// Checks every file of the bundle, packs it, keeps the archive under its digest, signs it where the environment has a key, and
/// writes the version with what it was made from. The same bundle again is the version it already is.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle's directory
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// The model [default: that of the environment]
    #[arg(long, value_name = "NAME")]
    model: Option<ModelName>,
    /// The run that made it
    #[arg(long, value_name = "NAME", default_value = "by hand")]
    run: String,
    /// Reason kept with the event
    #[arg(long, value_name = "TEXT", default_value = "trained")]
    reason: Reason,
}

pub fn run(args: Args, context: &Context, out: &mut Output) -> Result<(), Failure> {
    let Args {
        bundle,
        model,
        run,
        reason,
    } = args;
    check_there(&bundle)?;
    let registration = Registration { model, run, reason };
    let (version, made) = register(&bundle, registration, context)?;
    out.json(&version)?;
    out.note(if made {
        format!("{} is registered as {}", bundle.display(), version.id)
    } else {
        format!("{} is {} already", bundle.display(), version.id)
    });
    Ok(())
}

/// How a bundle is registered.
pub struct Registration {
    pub model: Option<ModelName>,
    pub run: String,
    pub reason: Reason,
}

/// Stores a bundle's archive and registers it; false where it was registered before.
pub fn register(bundle: &Path, how: Registration, context: &Context) -> Result<(Version, bool), Failure> {
    let Registration { model, run, reason } = how;
    if !bundle.is_dir() {
        return Err(Failure {
            kind: Kind::Misused,
            message: format!(
                "`{}` is no directory, expected that of a bundle",
                bundle.display()
            ),
            hint: None,
        });
    }
    Bundle::verify(bundle).map_err(Failure::broken)?;
    let manifest = Bundle::manifest_of(bundle).map_err(Failure::misused)?;
    let folder = tempfile::tempdir()?;
    let archive = folder.path().join("model.tar.gz");
    pack(bundle, &archive).map_err(Failure::broken)?;
    let (artifact, size_bytes) = context
        .block(context.blobs.put(&archive))
        .map_err(Failure::broken)?;
    let signature = context.signing_key()?.map(|key| key.sign(&artifact));
    PublicKey::check(&context.trusted, &artifact, signature.as_ref()).map_err(|error| {
        Failure::refused(error).hint("`sign_with` names the secret key, `trusted` lists its public key")
    })?;
    let new = NewVersion {
        model: model.unwrap_or_else(|| context.environment.model.clone()),
        artifact,
        size_bytes,
        lineage: lineage(&manifest, run)?,
        signature,
        promoted: None,
        act: context.act(reason),
    };
    context
        .block(context.store.register(&context.scene(), new))
        .map_err(store_failure)
}

/// What a manifest says of where its bundle comes from.
fn lineage(manifest: &Manifest, run: String) -> Result<Lineage, Failure> {
    let recipe = toml::to_string(&manifest.recipe).map_err(Failure::broken)?;
    let gate: Gate = match manifest.recipe.get("gate") {
        Some(gate) => gate.clone().try_into().map_err(Failure::misused)?,
        None => Gate::default(),
    };
    Ok(Lineage {
        run,
        recipe: Digest::of(recipe.as_bytes()),
        train: manifest.dataset.train_digest.clone(),
        validation: manifest.dataset.validation_digest.clone(),
        schema_version: manifest.schema_version,
        schema: manifest.schema_digest.clone(),
        base: manifest
            .encoder
            .as_ref()
            .map(|encoder| format!("{} {}", encoder.base, encoder.base_digest)),
        written_by: manifest.written_by.clone(),
        created: manifest.created.clone(),
        gate,
    })
}
