//! Which word pieces stay, and a `tokenizer.json` with only those.

use super::ShrinkError;
use crate::encode::{Encoder as TextEncoder, TokenizerError};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap, HashSet};

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
