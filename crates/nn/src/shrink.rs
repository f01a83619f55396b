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

use crate::bundle::{Bundle, Manifest, SaveError, ShrinkNote, begin, finish, put};
use crate::encode::{self, Encoder as TextEncoder, TokenizerError};
use crate::encoder::{Config, ConfigError, amend};
use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::tensor::{SafeTensors, TensorView};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// The name of the word-piece table in the layout bundles are written in.
const WORDS: &str = "embeddings.word_embeddings.weight";

/// A tokenizer with fewer pieces, and where its pieces were before.
#[derive(Debug, Clone, PartialEq)]
pub struct Vocabulary {
    /// The new `tokenizer.json`.
    pub tokenizer: Value,
    /// The old id of each new one, ascending.
    pub old: Vec<u32>,
    /// The new id of the unknown token, if there is one.
    pub unknown: Option<u32>,
}

impl Vocabulary {
    /// The new id of an old one, if it was kept.
    pub fn new_id(&self, old: u32) -> Option<u32> {
        self.old.binary_search(&old).ok().map(|id| id as u32)
    }
}

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

/// How otherwise texts are read with fewer pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Difference {
    /// Texts compared.
    pub texts: usize,
    /// Texts with other tokens than before, within the bundle's limit of tokens.
    pub changed: usize,
    /// Tokens before.
    pub tokens_before: usize,
    /// Tokens after.
    pub tokens: usize,
    /// Unknown tokens before.
    pub unknown_before: usize,
    /// Unknown tokens after.
    pub unknown: usize,
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
    let id = |old: u64| vocabulary.new_id(u32::try_from(old).ok()?).map(u64::from);
    let keys = std::fs::read(&config_path).map_err(|error| read(&config_path, &error))?;
    let keys = amend(&keys, config.layers, rows, &id).map_err(|error| read(&config_path, &error))?;
    put(&root.join("config.json"), &keys)?;
    note.shrunk = Some(ShrinkNote {
        from: bundle.digest().to_owned(),
        pieces_before: config.vocabulary,
        pieces: rows,
    });
    for place in places(folder) {
        let (from, to) = (folder.join(&place), root.join(&place));
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent).map_err(|error| read(parent, &error))?;
        }
        weights(&from, &to, &config, &vocabulary.old)?;
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

/// Drops pieces of a `tokenizer.json`: kept are those in `seen`, ids below `fixed`, special and added tokens, pieces of a
/// single character or byte, and pieces with a character that has no piece of its own.
///
/// # Errors
/// [`ShrinkError::Tokenizer`] where the model is neither Unigram nor WordPiece.
pub fn select(mut tokenizer: Value, seen: &BTreeSet<u32>, fixed: u32) -> Result<Vocabulary, ShrinkError> {
    let model = &tokenizer["model"];
    let kind = model["type"].as_str().unwrap_or("").to_owned();
    let wrong = |at, found: &Value, expected| ShrinkError::Tokenizer {
        at,
        found: found.to_string().chars().take(40).collect(),
        expected,
    };
    let listed = "a list of word pieces";
    let (pieces, unknown): (Vec<(u32, String)>, Option<u32>) = match kind.as_str() {
        "Unigram" => {
            let list = model["vocab"]
                .as_array()
                .ok_or_else(|| wrong("model.vocab", &model["vocab"], listed))?;
            let piece = |(id, entry): (usize, &Value)| match entry[0].as_str() {
                Some(piece) => Ok((id as u32, piece.to_owned())),
                None => Err(wrong("model.vocab", entry, listed)),
            };
            let unknown = model["unk_id"].as_u64().and_then(|id| u32::try_from(id).ok());
            (
                list.iter().enumerate().map(piece).collect::<Result<_, _>>()?,
                unknown,
            )
        }
        "WordPiece" => {
            let map = model["vocab"]
                .as_object()
                .ok_or_else(|| wrong("model.vocab", &model["vocab"], listed))?;
            let piece =
                |(piece, id): (&String, &Value)| match id.as_u64().and_then(|id| u32::try_from(id).ok()) {
                    Some(id) => Ok((id, piece.clone())),
                    None => Err(wrong("model.vocab", id, "ids")),
                };
            let mut pieces = map.iter().map(piece).collect::<Result<Vec<_>, _>>()?;
            pieces.sort_unstable();
            let name = model["unk_token"].as_str();
            let unknown = pieces.iter().find(|(_, piece)| Some(piece.as_str()) == name);
            let unknown = unknown.map(|(id, _)| *id);
            (pieces, unknown)
        }
        _ => return Err(wrong("model.type", &model["type"], "Unigram or WordPiece")),
    };
    let added: Vec<u32> = tokenizer["added_tokens"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|token| u32::try_from(token["id"].as_u64()?).ok())
        .collect();
    let mut kept: BTreeSet<u32> = added.into_iter().chain(unknown).chain(0..fixed).collect();
    let prefix = match kind.as_str() {
        "WordPiece" => model["continuing_subword_prefix"]
            .as_str()
            .unwrap_or("##")
            .to_owned(),
        _ => String::new(),
    };
    kept.extend(seen);
    kept.extend(needed(&pieces, &prefix));
    if kind == "Unigram" {
        kept.extend(least(&model["vocab"]));
    }
    let old: Vec<u32> = kept.into_iter().collect();
    renumber(&mut tokenizer, &old)?;
    let unknown = unknown
        .and_then(|id| old.binary_search(&id).ok())
        .map(|id| id as u32);
    Ok(Vocabulary {
        tokenizer,
        old,
        unknown,
    })
}

/// Compares how two readers of the same texts cut them; `vocabulary` leads from the second's ids to the first's.
///
/// # Errors
/// [`TokenizerError`] where a text cannot be cut.
pub fn compare(
    before: &TextEncoder,
    after: &TextEncoder,
    vocabulary: &Vocabulary,
    texts: &[&str],
) -> Result<Difference, TokenizerError> {
    let mut difference = Difference {
        texts: texts.len(),
        ..Difference::default()
    };
    let unknown = vocabulary.unknown.map(|id| vocabulary.old[id as usize]);
    for (old, new) in before.encode(texts)?.iter().zip(after.encode(texts)?) {
        let back: Vec<u32> = new.ids.iter().map(|id| vocabulary.old[*id as usize]).collect();
        let count = |ids: &[u32]| ids.iter().filter(|id| Some(**id) == unknown).count();
        difference.changed += usize::from(back != old.ids);
        difference.tokens_before += old.ids.len();
        difference.tokens += back.len();
        difference.unknown_before += count(&old.ids);
        difference.unknown += count(&back);
    }
    Ok(difference)
}

/// Pieces of one character or byte, and those with a character that has none.
fn needed(pieces: &[(u32, String)], prefix: &str) -> Vec<u32> {
    /// The characters of a piece: whether it begins a word, and what it spells.
    fn spelled<'a>(piece: &'a str, prefix: &str) -> (bool, &'a str) {
        match piece.strip_prefix(prefix) {
            Some(rest) if !prefix.is_empty() && !rest.is_empty() => (false, rest),
            _ => (true, piece),
        }
    }
    let single = |text: &str| {
        let mut chars = text.chars();
        chars.next().filter(|_| chars.next().is_none())
    };
    // A WordPiece model has two forms of a character: at the start of a word, and after.
    let alone: HashSet<(bool, char)> = pieces
        .iter()
        .filter_map(|(_, piece)| {
            let (first, text) = spelled(piece, prefix);
            Some((first, single(text)?))
        })
        .collect();
    let is_byte = |piece: &str| piece.len() == 6 && piece.starts_with("<0x") && piece.ends_with('>');
    let keep = |piece: &str| {
        let (first, text) = spelled(piece, prefix);
        let has_own = |(n, c): (usize, char)| alone.contains(&(prefix.is_empty() || (first && n == 0), c));
        is_byte(piece) || single(text).is_some() || !text.chars().enumerate().all(has_own)
    };
    pieces
        .iter()
        .filter(|(_, piece)| keep(piece))
        .map(|(id, _)| *id)
        .collect()
}

/// The least probable piece: what an unknown character costs is measured from its score, so it has to stay.
fn least(vocabulary: &Value) -> Option<u32> {
    let score = |entry: &Value| entry[1].as_f64().unwrap_or(0.0);
    let list = vocabulary.as_array()?.iter().enumerate();
    list.min_by(|(_, a), (_, b)| score(a).total_cmp(&score(b)))
        .map(|(id, _)| id as u32)
}

/// Writes the new ids everywhere a `tokenizer.json` has ids; `old` holds the old id of each new one.
fn renumber(tokenizer: &mut Value, old: &[u32]) -> Result<(), ShrinkError> {
    let new: HashMap<u64, usize> = old
        .iter()
        .enumerate()
        .map(|(new, old)| (u64::from(*old), new))
        .collect();
    let set = |id: &mut Value| {
        if let Some(new) = id.as_u64().and_then(|old| new.get(&old)) {
            *id = (*new).into();
        }
    };
    let model = &mut tokenizer["model"];
    match &mut model["vocab"] {
        Value::Array(list) => {
            let mut at = 0;
            list.retain(|_| {
                at += 1;
                new.contains_key(&(at - 1))
            });
        }
        Value::Object(map) => {
            map.retain(|_, id| id.as_u64().is_some_and(|id| new.contains_key(&id)));
            map.values_mut().for_each(set);
        }
        _ => {}
    }
    if model.get("unk_id").is_some() {
        set(&mut model["unk_id"]);
    }
    for token in tokenizer["added_tokens"].as_array_mut().into_iter().flatten() {
        set(&mut token["id"]);
    }
    if tokenizer["padding"].is_object() {
        set(&mut tokenizer["padding"]["pad_id"]);
    }
    processor(&mut tokenizer["post_processor"], &set)
}

/// The ids in a post-processor.
fn processor(value: &mut Value, set: &dyn Fn(&mut Value)) -> Result<(), ShrinkError> {
    let kind = value["type"].as_str().unwrap_or("").to_owned();
    match kind.as_str() {
        "TemplateProcessing" => {
            for token in value["special_tokens"]
                .as_object_mut()
                .into_iter()
                .flat_map(|map| map.values_mut())
            {
                token["ids"].as_array_mut().into_iter().flatten().for_each(set);
            }
        }
        "BertProcessing" | "RobertaProcessing" => {
            for name in ["sep", "cls"] {
                set(&mut value[name][1]);
            }
        }
        "Sequence" => {
            for inner in value["processors"].as_array_mut().into_iter().flatten() {
                processor(inner, set)?;
            }
        }
        "" | "ByteLevel" => {}
        _ => {
            return Err(ShrinkError::Tokenizer {
                at: "post_processor.type",
                found: format!("`{kind}`"),
                expected: "TemplateProcessing, BertProcessing or RobertaProcessing",
            });
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(vocabulary: &Vocabulary) -> Vec<String> {
        match &vocabulary.tokenizer["model"]["vocab"] {
            Value::Array(list) => list
                .iter()
                .map(|entry| entry[0].as_str().unwrap_or("").to_owned())
                .collect(),
            Value::Object(map) => map.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn a_unigram_model_keeps_what_is_seen_single_special_or_irreplaceable() {
        let tokenizer = json!({
            "added_tokens": [{"id": 0, "content": "<s>"}, {"id": 8, "content": "<mask>"}],
            "post_processor": {"type": "TemplateProcessing", "special_tokens": {"<s>": {"ids": [0]}, "<m>": {"ids": [8]}}},
            "model": {"type": "Unigram", "unk_id": 1, "vocab": [["<s>", 0.0], ["<unk>", 0.0], ["a", -2.0], ["b", -3.0],
                ["ab", -1.0], ["ba", -1.5], ["bbb", -9.0], ["aß", -4.0], ["<mask>", 0.0]]},
        });
        let kept = select(tokenizer, &BTreeSet::from([4]), 0).unwrap_or_else(|error| panic!("{error}"));
        // `ba` was not seen; `bbb` is the least probable, `aß` the only way to write ß.
        assert_eq!(
            names(&kept),
            ["<s>", "<unk>", "a", "b", "ab", "bbb", "aß", "<mask>"]
        );
        assert_eq!(
            (kept.new_id(8), kept.new_id(5), kept.unknown),
            (Some(7), None, Some(1))
        );
        assert_eq!(kept.tokenizer["added_tokens"][1]["id"], 7);
        assert_eq!(
            kept.tokenizer["post_processor"]["special_tokens"]["<m>"]["ids"],
            json!([7])
        );
    }

    #[test]
    fn a_word_piece_model_has_two_forms_of_a_character() {
        let vocabulary =
            json!({"[UNK]": 0, "[CLS]": 1, "x": 2, "a": 3, "##a": 4, "b": 5, "aa": 6, "##ba": 7, "##aa": 9});
        let tokenizer = json!({
            "added_tokens": [{"id": 1, "content": "[CLS]"}],
            "post_processor": {"type": "BertProcessing", "cls": ["[CLS]", 1], "sep": ["[CLS]", 1]},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "vocab": vocabulary},
        });
        let kept = select(tokenizer, &BTreeSet::from([9]), 0).unwrap_or_else(|error| panic!("{error}"));
        // There is no `##b`, so `##ba` stays; `aa` can be written `a` `##a`.
        assert_eq!(
            names(&kept),
            ["[UNK]", "[CLS]", "x", "a", "##a", "b", "##ba", "##aa"]
        );
        assert_eq!(kept.tokenizer["model"]["vocab"]["##aa"], 7);
    }

    #[test]
    fn merges_are_refused() {
        let error = select(
            json!({"model": {"type": "BPE", "vocab": {}}}),
            &BTreeSet::new(),
            0,
        );
        let error = error.map(|_| ()).map_err(|error| error.to_string());
        assert!(error.is_err_and(|error| error.contains("BPE") && error.contains("Unigram or WordPiece")));
    }
}
