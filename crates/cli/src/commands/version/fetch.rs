//! `version fetch`: an artifact as a bundle's directory.

use crate::context::{Context, store_failure};
use crate::failure::{Failure, Kind};
use crate::output::Output;
use poststelle_lifecycle::{Version, VersionId};
use poststelle_nn::bundle::{Bundle, unpack};
use poststelle_store::PublicKey;
use std::path::{Path, PathBuf};

/// Fetch a version's bundle, checked
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The version, as MODEL@NUMBER
    version: VersionId,
    /// Directory of the bundle, which must not exist
    #[arg(long, value_name = "BUNDLE")]
    out: PathBuf,
}

pub fn run(args: Args, context: &Context, out: &mut Output) -> Result<(), Failure> {
    let Args { version, out: to } = args;
    if to.exists() {
        return Err(Failure {
            kind: Kind::Misused,
            message: format!("`{}` exists", to.display()),
            hint: Some("name another directory with --out".into()),
        });
    }
    let record = context
        .block(context.store.version(&version))
        .map_err(store_failure)?;
    let beside = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = unpacked_in(&record, beside.unwrap_or(Path::new(".")), context)?;
    std::fs::rename(folder.keep(), &to)?;
    out.note(format!("{version} is at {}", to.display()));
    Ok(())
}

/// A version's bundle in a directory that goes with the value.
pub fn unpacked(version: &Version, context: &Context) -> Result<tempfile::TempDir, Failure> {
    unpacked_in(version, &std::env::temp_dir(), context)
}

fn unpacked_in(version: &Version, place: &Path, context: &Context) -> Result<tempfile::TempDir, Failure> {
    PublicKey::check(&context.trusted, &version.artifact, version.signature.as_ref())
        .map_err(Failure::refused)?;
    let archive = tempfile::Builder::new().prefix(".model-").tempdir_in(place)?;
    let file = archive.path().join("model.tar.gz");
    context
        .block(context.blobs.fetch(&version.artifact, &file))
        .map_err(Failure::broken)?;
    let folder = tempfile::Builder::new().prefix(".bundle-").tempdir_in(place)?;
    unpack(&file, folder.path()).map_err(Failure::broken)?;
    Bundle::verify(folder.path()).map_err(Failure::broken)?;
    Ok(folder)
}
