//! Writes a bundle.

use super::{Manifest, Models};
use crate::encode::{self, pieces};
use crate::encoder::packed::{self, Packed};
use crate::encoder::{Config, Linear, PackError, amend};
use crate::folder::Half;
use crate::hf::{self, CheckpointError};
use crate::words;
use poststelle_kernels::lanes::Arithmetic;
use poststelle_labels::Schema;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Why a bundle cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The directory is there already.
    #[error("`{}` exists already; a bundle is never overwritten", .path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`: {reason}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The encoder's weights cannot be written.
    #[error(transparent)]
    Weights(#[from] CheckpointError),
    /// The encoder cannot be packed for inference.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The linear model cannot be written.
    #[error(transparent)]
    Words(#[from] words::SaveError),
}

/// Writes a bundle to `folder`, which must not exist; `manifest.files` is filled in.
///
/// `base` is the folder whose `config.json` and tokenizer the encoder has; `beside` are files kept with the models, such as the
/// run's history, by name.
pub fn save(
    folder: &Path,
    manifest: Manifest,
    schema: &Schema,
    models: &mut Models,
    base: Option<&Path>,
    beside: &[(&str, &[u8])],
) -> Result<Manifest, SaveError> {
    let half = begin(folder)?;
    let root = half.root();
    put(&root.join("labels.toml"), schema.to_toml().as_bytes())?;
    for (name, bytes) in beside {
        put(&root.join(name), bytes)?;
    }
    if let Some(words) = &models.words {
        words.save(root)?;
    }
    if let Some(encoder) = &mut models.encoder {
        // As they are: a tokenizer written anew would be another file than the one the base model came with.
        for name in std::iter::once("config.json").chain(encode::FILES) {
            let Some(from) = base.map(|base| base.join(name)).filter(|from| from.exists()) else {
                continue;
            };
            let to = root.join(name);
            std::fs::copy(&from, &to).map_err(|error| failed(&to, &error))?;
        }
        put_pieces(root)?;
        // A student has fewer layers than the folder its configuration comes from.
        let path = root.join("config.json");
        if let Some(now) = encoder.parts.first().map(|part| &part.network.encoder.config)
            && path.exists()
            && Config::read(&path).map_err(CheckpointError::from)?.layers != now.layers
        {
            let bytes = std::fs::read(&path).map_err(|error| failed(&path, &error))?;
            let amended = amend(&bytes, now.layers, now.vocabulary, &|_| None);
            put(&path, &amended.map_err(|error| failed(&path, &error))?)?;
        }
        let single = encoder.parts.len() > 1;
        for (n, part) in encoder.parts.iter_mut().enumerate() {
            let place = if single {
                root.join("tasks").join(n.to_string())
            } else {
                root.to_path_buf()
            };
            std::fs::create_dir_all(&place).map_err(|error| failed(&place, &error))?;
            let name = |task: usize| format!("heads.{}", schema.tasks()[task].name());
            let heads: Vec<(String, &Linear)> = part
                .tasks
                .iter()
                .map(|task| name(*task))
                .zip(&part.network.heads)
                .collect();
            let weights = place.join("model.safetensors");
            hf::write(&mut part.network.encoder, &heads, &weights)?;
            let made;
            let packed = if part.packed.arithmetic() == Arithmetic::Int8 {
                &part.packed
            } else {
                made = Packed::new(&part.network.encoder, Arithmetic::Int8)?;
                &made
            };
            put_packed(packed, &weights)?;
        }
    }
    finish(half, manifest)
}

/// Writes the pieces of a folder's `tokenizer.json`, if it has any that can be mapped, beside it.
pub(crate) fn put_pieces(root: &Path) -> Result<(), SaveError> {
    let tokenizer = root.join("tokenizer.json");
    if tokenizer.exists() {
        let source = digest(&tokenizer).map_err(|error| failed(&tokenizer, &error))?;
        pieces::write(&tokenizer, &source, &root.join(pieces::FILE))?;
    }
    Ok(())
}

/// Writes an encoder packed in int8 beside the weights it was made from.
pub(crate) fn put_packed(packed: &Packed, weights: &Path) -> Result<(), SaveError> {
    let source = digest(weights).map_err(|error| failed(weights, &error))?;
    Ok(packed.write(&weights.with_file_name(packed::FILE), &source)?)
}

/// Begins a bundle's directory, which must not exist.
pub(crate) fn begin(folder: &Path) -> Result<Half, SaveError> {
    if folder.exists() {
        return Err(SaveError::Exists {
            path: folder.to_path_buf(),
        });
    }
    Half::begin(folder).map_err(|(path, error)| failed(&path, &error))
}

/// Writes the manifest with the digests of all other files, and renames the whole into place.
pub(crate) fn finish(half: Half, mut manifest: Manifest) -> Result<Manifest, SaveError> {
    let root = half.root();
    manifest.files = files(root, root).map_err(|error| failed(root, &error))?;
    let path = root.join("bundle.toml");
    let text = toml::to_string(&manifest).map_err(|error| failed(&path, &error))?;
    put(&path, text.as_bytes())?;
    half.finish().map_err(|(path, error)| failed(&path, &error))?;
    Ok(manifest)
}

fn failed(path: &Path, reason: &dyn std::fmt::Display) -> SaveError {
    SaveError::Write {
        path: path.to_path_buf(),
        reason: reason.to_string(),
    }
}

pub(crate) fn put(path: &Path, bytes: &[u8]) -> Result<(), SaveError> {
    std::fs::write(path, bytes).map_err(|error| failed(path, &error))
}

/// Every file below `folder` with its digest, by its path from `root`.
fn files(root: &Path, folder: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(files(root, &path)?);
        } else if let Ok(name) = path.strip_prefix(root) {
            all.insert(name.to_string_lossy().into_owned(), digest(&path)?);
        }
    }
    Ok(all)
}

pub(super) fn digest(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut file = std::fs::File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match io::Read::read(&mut file, &mut buffer)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
