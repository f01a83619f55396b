//! Drops word pieces that the mails in use never need.
//!
//! A multilingual encoder spends most of its bytes on word pieces of languages nobody writes to this office. What is
//! kept: every piece seen in the mails given, every special token, every piece of a single character or byte, and every
//! piece that has a character without a piece of its own. A text is then cut into the same pieces where all of them were
//! kept, and into shorter ones elsewhere; a character that could be read before can be read after.
//!
//! The order of the pieces stays, so ids only move closer together. The rows of the word-piece table are copied byte
//! for byte, and every other tensor, too.
//!
//! **Not here.** Byte-pair encodings: their merges depend on each other, and dropping one piece changes others.

mod vocabulary;

pub use vocabulary::{Difference, Vocabulary, compare, select};

use crate::bundle::{Bundle, Manifest, SaveError, ShrinkNote, begin, finish, put, put_packed, put_pieces};
use crate::encode::{self, TokenizerError};
use crate::encoder::packed::{self, Packed};
use crate::encoder::{Config, ConfigError, amend};
use crate::hf::Checkpoint;
use memmap2::Mmap;
use poststelle_kernels::lanes::Arithmetic;
use rayon::prelude::*;
use safetensors::tensor::{SafeTensors, TensorView};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The name of the word-piece table in the layout bundles are written in.
const WORDS: &str = "embeddings.word_embeddings.weight";

/// A bundle with fewer pieces.
#[derive(Debug, Clone, PartialEq)]
pub struct Shrunk {
    /// What the new bundle says about itself.
    pub manifest: Manifest,
    /// Its pieces.
    pub vocabulary: Vocabulary,
    /// Rows of the word-piece table before.
    pub pieces_before: usize,
    /// Bytes of the bundle's files before.
    pub bytes_before: u64,
    /// Bytes of the bundle's files after.
    pub bytes: u64,
}

/// Why a bundle cannot be shrunk.
#[derive(Debug, thiserror::Error)]
pub enum ShrinkError {
    /// It has no word pieces.
    #[error("the bundle `{}` has no encoder, so there are no word pieces to drop", .folder.display())]
    NoEncoder {
        /// The bundle.
        folder: PathBuf,
    },
    /// No mail says which pieces are needed.
    #[error("no mail was given to see which word pieces are needed")]
    NoTexts,
    /// A tokenizer whose pieces depend on each other, or that is no tokenizer.
    #[error("cannot drop word pieces: {at} of the tokenizer is {found}, expected {expected}")]
    Tokenizer {
        /// Where in `tokenizer.json`.
        at: &'static str,
        /// What stands there.
        found: String,
        /// What is understood.
        expected: &'static str,
    },
    /// The tokenizer cannot be used.
    #[error(transparent)]
    Open(#[from] TokenizerError),
    /// The encoder's configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file of the bundle cannot be read.
    #[error("cannot read `{}`: {reason}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The new bundle cannot be written.
    #[error(transparent)]
    Save(#[from] SaveError),
}

/// Writes `bundle` to `out`, which must not exist, without the word pieces that `texts` never need.
///
/// `texts` are clean, as the model reads them; the bundle's prefix is added here, and their ends beyond its limit of
/// tokens count, too. `created` is the present as RFC 3339, `written_by` names the program.
///
/// # Errors
/// [`ShrinkError`] without an encoder, without texts, or where files cannot be used.
pub fn shrink(
    bundle: &Bundle,
    texts: &[&str],
    out: &Path,
    created: &str,
    written_by: &str,
) -> Result<Shrunk, ShrinkError> {
    let folder = bundle.folder();
    let mut manifest = bundle.manifest().clone();
    let Some(note) = &mut manifest.encoder else {
        return Err(ShrinkError::NoEncoder {
            folder: folder.to_path_buf(),
        });
    };
    if texts.is_empty() {
        return Err(ShrinkError::NoTexts);
    }
    let half = begin(out)?;
    let root = half.root();
    let bytes_before = copy(folder, root, Path::new(""))?;
    let config_path = folder.join("config.json");
    let config = Config::read(&config_path)?;
    let seen = pieces(folder, &note.prefix, texts)?;
    // XLM-RoBERTa counts positions from the padding id on, so ids up to it have to stay where they are.
    let vocabulary = select(tokenizer_json(folder)?, &seen, config.first_position as u32)?;
    let rows = vocabulary.old.len();
    let json = serde_json::to_vec(&vocabulary.tokenizer).map_err(|error| read(folder, &error))?;
    put(&root.join("tokenizer.json"), &json)?;
    put_pieces(root)?;
    let id = |old: u64| vocabulary.new_id(u32::try_from(old).ok()?).map(u64::from);
    let keys = std::fs::read(&config_path).map_err(|error| read(&config_path, &error))?;
    let keys = amend(&keys, config.layers, rows, &id).map_err(|error| read(&config_path, &error))?;
    put(&root.join("config.json"), &keys)?;
    note.shrunk = Some(ShrinkNote {
        from: bundle.digest().to_owned(),
        pieces_before: config.vocabulary,
        pieces: rows,
    });
    let smaller = Config::read(&root.join("config.json"))?;
    for place in places(folder) {
        let (from, to) = (folder.join(&place), root.join(&place));
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent).map_err(|error| read(parent, &error))?;
        }
        weights(&from, &to, &config, &vocabulary.old)?;
        pack(&to, &smaller)?;
    }
    manifest.created = created.to_owned();
    manifest.written_by = written_by.to_owned();
    let manifest = finish(half, manifest)?;
    Ok(Shrunk {
        manifest,
        vocabulary,
        pieces_before: config.vocabulary,
        bytes_before,
        bytes: size(out)?,
    })
}

/// `tokenizer.json` of a folder, or what it would be where there is only `vocab.txt`.
fn tokenizer_json(folder: &Path) -> Result<Value, ShrinkError> {
    let path = folder.join("tokenizer.json");
    let bytes = if path.exists() {
        std::fs::read(&path).map_err(|error| read(&path, &error))?
    } else {
        let made = encode::whole(folder)?.to_string(false);
        made.map_err(|error| read(folder, &error))?.into_bytes()
    };
    serde_json::from_slice(&bytes).map_err(|error| read(&path, &error))
}

/// Every id the texts are cut into, over all cores.
fn pieces(folder: &Path, prefix: &str, texts: &[&str]) -> Result<BTreeSet<u32>, ShrinkError> {
    let tokenizer = encode::whole(folder)?;
    let ids = |text: &&str| {
        let encoding = tokenizer.encode_fast(format!("{prefix}{text}"), true);
        let encoding = encoding.map_err(|error| TokenizerError::Text {
            bytes: text.len(),
            reason: error.to_string(),
        })?;
        Ok(encoding.get_ids().iter().copied().collect::<BTreeSet<u32>>())
    };
    let join = |mut all: BTreeSet<u32>, more: BTreeSet<u32>| {
        all.extend(more);
        Ok::<_, ShrinkError>(all)
    };
    texts.par_iter().map(ids).try_reduce(BTreeSet::new, join)
}

/// The weight files of a bundle's encoder, from its directory.
fn places(folder: &Path) -> Vec<PathBuf> {
    let name = "model.safetensors";
    let single = (0..).map(|n: usize| Path::new("tasks").join(n.to_string()).join(name));
    let single: Vec<PathBuf> = single.take_while(|place| folder.join(place).exists()).collect();
    if single.is_empty() {
        vec![name.into()]
    } else {
        single
    }
}

/// Copies a weights file with the rows `old` of its word-piece table; every other tensor as it is.
fn weights(from: &Path, to: &Path, config: &Config, old: &[u32]) -> Result<(), ShrinkError> {
    let bytes = map(from)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| read(from, &error))?;
    let table = tensors.tensor(WORDS).map_err(|error| read(from, &error))?;
    let shape = [config.vocabulary, config.hidden];
    if table.shape() != shape {
        let found = table.shape();
        return Err(read(
            from,
            &format!("`{WORDS}` has shape {found:?}, expected {shape:?}"),
        ));
    }
    let width = table.data().len() / config.vocabulary.max(1);
    let mut rows = Vec::with_capacity(old.len() * width);
    for id in old {
        let row = table.data().get(*id as usize * width..(*id as usize + 1) * width);
        rows.extend_from_slice(row.ok_or_else(|| read(from, &format!("`{WORDS}` has no row {id}")))?);
    }
    let rows = TensorView::new(table.dtype(), vec![old.len(), config.hidden], &rows);
    let rows = rows.map_err(|error| read(from, &error))?;
    let mut views: Vec<(String, TensorView<'_>)> = tensors.tensors();
    for (name, view) in &mut views {
        if name == WORDS {
            *view = rows.clone();
        }
    }
    let about = [("format".to_owned(), "pt".to_owned())].into_iter().collect();
    safetensors::serialize_to_file(views, Some(about), to).map_err(|error| {
        SaveError::Write {
            path: to.to_path_buf(),
            reason: error.to_string(),
        }
        .into()
    })
}

/// Packs the encoder of a weights file beside it, as `save` does.
fn pack(weights: &Path, config: &Config) -> Result<(), SaveError> {
    let folder = weights.parent().unwrap_or(Path::new("."));
    let encoder = Checkpoint::open(folder)?.encoder(config.clone())?;
    put_packed(&Packed::new(&encoder, Arithmetic::Int8)?, weights)
}

/// Copies all files of a bundle but those that change; returns the bytes of all.
fn copy(from: &Path, to: &Path, place: &Path) -> Result<u64, ShrinkError> {
    let mut bytes = 0;
    let folder = from.join(place);
    for entry in std::fs::read_dir(&folder).map_err(|error| read(&folder, &error))? {
        let entry = entry.map_err(|error| read(&folder, &error))?;
        let path = entry.path();
        let inner = place.join(entry.file_name());
        if path.is_dir() {
            bytes += copy(from, to, &inner)?;
            continue;
        }
        bytes += entry.metadata().map_err(|error| read(&path, &error))?.len();
        let name = entry.file_name();
        // `vocab.txt` would have the old ids.
        let written = [
            "model.safetensors",
            "tokenizer.json",
            "vocab.txt",
            "config.json",
            "bundle.toml",
            packed::FILE,
            encode::pieces::FILE,
        ];
        if written.iter().any(|written| name == *written) {
            continue;
        }
        let target = to.join(&inner);
        let made = target.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| std::fs::copy(&path, &target).map(|_| ()))
            .map_err(|error| SaveError::Write {
                path: target.clone(),
                reason: error.to_string(),
            })?;
    }
    Ok(bytes)
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> Result<u64, ShrinkError> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).map_err(|error| read(folder, &error))? {
        let entry = entry.map_err(|error| read(folder, &error))?;
        let about = entry.metadata().map_err(|error| read(folder, &error))?;
        bytes += if about.is_dir() {
            size(&entry.path())?
        } else {
            about.len()
        };
    }
    Ok(bytes)
}

#[allow(unsafe_code)]
fn map(path: &Path) -> Result<Mmap, ShrinkError> {
    let file = std::fs::File::open(path).map_err(|error| read(path, &error))?;
    // SAFETY: as in `hf`: a bundle's weights are renamed into place and never changed.
    unsafe { Mmap::map(&file) }.map_err(|error| read(path, &error))
}

fn read(path: &Path, reason: &dyn std::fmt::Display) -> ShrinkError {
    ShrinkError::Read {
        path: path.to_path_buf(),
        reason: reason.to_string(),
    }
}
