//! A directory in the Hugging Face layout: used where it lies, or copied into the cache.

use crate::cache::Slot;
use crate::digest;
use crate::error::PullError;
use crate::event::Event;
use crate::layout;
use crate::manifest::{File, Manifest, Source, digest_of};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The files of a directory that make a base model, hashed and sorted by name.
pub(crate) fn describe(dir: &Path) -> Result<(String, Vec<File>), PullError> {
    let mut files = Vec::new();
    for name in chosen(dir)? {
        let path = dir.join(&name);
        let (size, sha256) = digest::file(&path).map_err(PullError::disk("read", &path))?;
        files.push(File { name, size, sha256 });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((digest_of(&files), files))
}

/// Copies a model into the cache under `id`. The snapshot is named by the content where `snapshot` is `None`.
pub(crate) fn import(
    slot: &Slot,
    from: &Path,
    id: &str,
    revision: &str,
    source: Source,
    snapshot: Option<&str>,
    progress: &mut dyn FnMut(Event),
) -> Result<(PathBuf, Manifest), PullError> {
    let names = chosen(from)?;
    let partial = slot.partial("import")?;
    // A killed import has nothing worth continuing: the source is as near as the copy.
    fs::remove_dir_all(&partial).map_err(PullError::disk("empty", &partial))?;
    fs::create_dir_all(&partial).map_err(PullError::disk("create", &partial))?;
    let mut files = Vec::new();
    for name in names {
        files.push(copy(&from.join(&name), &partial.join(&name), name, progress)?);
    }
    let manifest = Manifest::new(id, revision, source, files);
    let snapshot = snapshot.map_or_else(|| format!("directory-{}", &manifest.digest[..12]), str::to_owned);
    let dir = slot.publish(&partial, &snapshot, &manifest)?;
    Ok((dir, manifest))
}

/// The names of a directory's model files, shards included.
fn chosen(dir: &Path) -> Result<Vec<String>, PullError> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(dir).map_err(PullError::disk("read", dir))? {
        let entry = entry.map_err(PullError::disk("read", dir))?;
        if let Ok(name) = entry.file_name().into_string() {
            names.insert(name);
        }
    }
    let model = dir.display().to_string();
    let mut chosen = layout::select(&model, &names)?;
    let read = |name: &str| fs::read(dir.join(name)).map_err(PullError::disk("read", dir.join(name)));
    layout::check_config(&model, &read(layout::CONFIG)?)?;
    if chosen.iter().any(|name| name == layout::INDEX) {
        chosen.extend(layout::shards(&model, &read(layout::INDEX)?)?);
    }
    Ok(chosen)
}

fn copy(from: &Path, to: &Path, name: String, progress: &mut dyn FnMut(Event)) -> Result<File, PullError> {
    let mut reader = fs::File::open(from).map_err(PullError::disk("read", from))?;
    let total = reader.metadata().map_err(PullError::disk("read", from))?.len();
    let mut writer = fs::File::create(to).map_err(PullError::disk("write", to))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let read = reader.read(&mut buffer).map_err(PullError::disk("read", from))?;
        if read == 0 {
            break;
        }
        writer
            .write_all(&buffer[..read])
            .map_err(PullError::disk("write", to))?;
        hash.update(&buffer[..read]);
        size += read as u64;
        progress(Event::Transfer {
            file: name.clone(),
            done: size,
            total: Some(total),
        });
    }
    progress(Event::Complete {
        file: name.clone(),
        bytes: size,
    });
    Ok(File {
        name,
        size,
        sha256: digest::hex(hash),
    })
}
