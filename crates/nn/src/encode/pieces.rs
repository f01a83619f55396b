//! The pieces of a Unigram tokenizer as a bundle keeps them, mapped from a file.
//!
//! A multilingual tokenizer has a quarter of a million pieces; reading them from JSON into maps takes a second and
//! hundreds of megabytes. Here they lie in a [`trie`](super::trie) that is searched where it is. All around the pieces, the
//! normalizer, the words, added tokens, special tokens and the limit, stays the `tokenizers` crate's, but for settings that have
//! a [`straight`](super::straight) way.
//!
//! ```text
//! scores  F64 [pieces]   texts U8 [bytes]   starts U32 [pieces + 1]   trie U32 [cells, 2]
//! least   F64 [1]        the lowest score   unknown U32 [1]           rest U8: tokenizer.json without its model
//! ```
//!
//! **Not here.** Byte fallback, and other kinds of model: the crate reads them.
//!
//! Source: Kudo 2018, "Subword Regularization", arXiv:1804.10959; the search is that of SentencePiece, to the letter, ties
//! and unknown characters included.

use super::trie::{self, Trie};
use crate::hf::{self, CheckpointError};
use memmap2::Mmap;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::Value;
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use tokenizers::models::unigram::UnigramTrainer;
use tokenizers::{
    AddedToken, DecoderWrapper, Model, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Token,
    TokenizerImpl,
};

/// The file's name in a bundle.
pub const FILE: &str = "pieces.safetensors";
/// Where in the file it says what it was made from, and in which form.
const ABOUT: &str = "pieces";
/// What is said before the digest of `tokenizer.json`.
const FORM: &str = "form 1, of ";
/// How much less than the least probable piece an unknown character counts.
const UNKNOWN_PENALTY: f64 = 10.0;

/// A tokenizer whose pieces are mapped.
pub type Mapped =
    TokenizerImpl<Pieces, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

/// Why a text has no pieces.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Writes the pieces of a `tokenizer.json` to `path`; `source` is its digest. False where it is no Unigram model, or one with
/// byte fallback: then nothing is written.
///
/// # Errors
/// [`CheckpointError::Invalid`] where a Unigram model is not one, [`CheckpointError::Write`].
pub fn write(tokenizer: &Path, source: &str, path: &Path) -> Result<bool, CheckpointError> {
    let invalid = |reason: String| CheckpointError::Invalid {
        path: tokenizer.to_path_buf(),
        reason,
    };
    let failed = |reason: &dyn std::fmt::Display| CheckpointError::Write {
        path: path.to_path_buf(),
        reason: reason.to_string(),
    };
    let bytes = std::fs::read(tokenizer).map_err(|source| CheckpointError::Read {
        path: tokenizer.to_path_buf(),
        source,
    })?;
    let mut json: Value = serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
    let model = json["model"].take();
    if model["type"] != "Unigram" || model["byte_fallback"] == true {
        return Ok(false);
    }
    let listed = model["vocab"]
        .as_array()
        .ok_or_else(|| invalid("`model.vocab` is no list".into()))?;
    let mut pieces = Vec::with_capacity(listed.len());
    for (n, entry) in listed.iter().enumerate() {
        match (entry[0].as_str(), entry[1].as_f64()) {
            (Some(text), Some(score)) => pieces.push((text, score)),
            _ => {
                return Err(invalid(format!(
                    "`model.vocab` has {entry} at {n}, expected a piece and its score"
                )));
            }
        }
    }
    let unknown = model["unk_id"]
        .as_u64()
        .and_then(|id| u32::try_from(id).ok())
        .unwrap_or(u32::MAX);
    // Of a piece that stands twice the last counts.
    let ids: HashMap<&[u8], u32> = pieces
        .iter()
        .zip(0..)
        .map(|((text, _), id)| (text.as_bytes(), id))
        .collect();
    let mut sorted: Vec<(&[u8], u32)> = ids.into_iter().filter(|(text, _)| !text.is_empty()).collect();
    sorted.sort_unstable();
    let trie = trie::build(&sorted);
    let scores: Vec<u8> = pieces.iter().flat_map(|(_, score)| score.to_le_bytes()).collect();
    let texts: Vec<u8> = pieces.iter().flat_map(|(text, _)| text.bytes()).collect();
    let mut starts = 0u32.to_le_bytes().to_vec();
    let mut end = 0u32;
    for (text, _) in &pieces {
        end += text.len() as u32;
        starts.extend(end.to_le_bytes());
    }
    let least = pieces
        .iter()
        .fold(f64::INFINITY, |least, (_, score)| least.min(*score))
        .to_le_bytes();
    let rest = serde_json::to_vec(&json).map_err(|error| failed(&error))?;
    let unknown = unknown.to_le_bytes();
    let tensors: [(&str, Dtype, Vec<usize>, &[u8]); 7] = [
        ("scores", Dtype::F64, vec![pieces.len()], &scores),
        ("least", Dtype::F64, vec![1], &least),
        ("starts", Dtype::U32, vec![pieces.len() + 1], &starts),
        ("trie", Dtype::U32, vec![trie.len() / 8, 2], &trie),
        ("unknown", Dtype::U32, vec![1], &unknown),
        ("rest", Dtype::U8, vec![rest.len()], &rest),
        ("texts", Dtype::U8, vec![texts.len()], &texts),
    ];
    let mut views = Vec::new();
    for (name, dtype, shape, data) in tensors {
        views.push((
            name,
            TensorView::new(dtype, shape, data).map_err(|error| failed(&error))?,
        ));
    }
    let about = [(ABOUT.to_owned(), format!("{FORM}{source}"))]
        .into_iter()
        .collect();
    safetensors::serialize_to_file(views, Some(about), path).map_err(|error| failed(&error))?;
    Ok(true)
}

/// Maps what [`write`] wrote; `source` is the digest of the `tokenizer.json` beside it.
///
/// # Errors
/// [`CheckpointError::Read`], or [`CheckpointError::Invalid`] where the file is damaged, of another form, or of another
/// tokenizer.
pub fn open(path: &Path, source: &str) -> Result<Mapped, CheckpointError> {
    let map = hf::map(path)?;
    let invalid = |reason: String| CheckpointError::Invalid {
        path: path.to_path_buf(),
        reason,
    };
    let wrong = |error: safetensors::SafeTensorError| invalid(error.to_string());
    let (_, about) = SafeTensors::read_metadata(&map).map_err(wrong)?;
    let found = about.metadata().as_ref().and_then(|about| about.get(ABOUT));
    let (found, expected) = (found.map_or("", String::as_str), format!("{FORM}{source}"));
    if found != expected {
        return Err(invalid(format!("it holds `{found}`, expected `{expected}`")));
    }
    let tensors = SafeTensors::deserialize(&map).map_err(wrong)?;
    let range = |name: &str| -> Result<Range<usize>, CheckpointError> {
        let view = tensors.tensor(name).map_err(wrong)?;
        let start = view.data().as_ptr().addr() - map.as_ptr().addr();
        Ok(start..start + view.data().len())
    };
    let least = map[range("least")?]
        .first_chunk()
        .map(|bytes| f64::from_le_bytes(*bytes));
    let unknown = map[range("unknown")?]
        .first_chunk()
        .map(|bytes| u32::from_le_bytes(*bytes));
    let (Some(least), Some(unknown)) = (least, unknown) else {
        return Err(invalid("`least` or `unknown` is empty".into()));
    };
    let rest: Value =
        serde_json::from_slice(&map[range("rest")?]).map_err(|error| invalid(error.to_string()))?;
    let (scores, starts, texts, trie) = (
        range("scores")?,
        range("starts")?,
        range("texts")?,
        range("trie")?,
    );
    let count = scores.len() / size_of::<f64>();
    if unknown != u32::MAX && unknown as usize >= count {
        return Err(invalid(format!(
            "`unknown` is {unknown}, there are {count} pieces"
        )));
    }
    let pieces = Pieces {
        least,
        unknown: (unknown != u32::MAX).then_some(unknown),
        scores,
        starts,
        texts,
        trie,
        map,
    };
    around(pieces, rest).map_err(|error| invalid(error.to_string()))
}

/// What stands around the pieces, as the crate reads it from a `tokenizer.json`.
fn around(pieces: Pieces, mut rest: Value) -> Result<Mapped, Failure> {
    let mut tokenizer = Mapped::new(pieces);
    let mut part = |name: &str| rest[name].take();
    let normalizer: Option<NormalizerWrapper> = serde_json::from_value(part("normalizer"))?;
    let pre_tokenizer: Option<PreTokenizerWrapper> = serde_json::from_value(part("pre_tokenizer"))?;
    let post_processor: Option<PostProcessorWrapper> = serde_json::from_value(part("post_processor"))?;
    let decoder: Option<DecoderWrapper> = serde_json::from_value(part("decoder"))?;
    tokenizer.with_normalizer(normalizer);
    tokenizer.with_pre_tokenizer(pre_tokenizer);
    tokenizer.with_post_processor(post_processor);
    tokenizer.with_decoder(decoder);
    let added: Vec<AddedToken> =
        serde_json::from_value::<Option<_>>(part("added_tokens"))?.unwrap_or_default();
    tokenizer.add_tokens(&added);
    Ok(tokenizer)
}

/// A Unigram model in a mapped file.
pub struct Pieces {
    map: Mmap,
    scores: Range<usize>,
    starts: Range<usize>,
    texts: Range<usize>,
    trie: Range<usize>,
    least: f64,
    unknown: Option<u32>,
}

/// Buffers of a search, of use for one after another.
#[derive(Default)]
pub struct Room {
    best: Vec<Best>,
    path: Vec<(u32, usize)>,
}

impl Room {
    /// Gives back what goes beyond this many bytes of text.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.best.clear();
        self.best.shrink_to(bytes);
        self.path.clear();
        self.path.shrink_to(bytes);
    }
}

/// The best way to a position in a text.
#[derive(Clone, Copy)]
struct Best {
    score: f64,
    id: u32,
    /// Where its last piece begins; none while there is no way.
    start: Option<u32>,
}

impl Pieces {
    fn trie(&self) -> Trie<'_> {
        Trie::new(&self.map[self.trie.clone()])
    }

    /// None for an id that only a damaged trie gives.
    fn score(&self, id: u32) -> Option<f64> {
        let scores = self.map[self.scores.clone()].as_chunks().0;
        scores.get(id as usize).map(|score| f64::from_le_bytes(*score))
    }

    fn text(&self, id: u32) -> Option<&str> {
        let starts = self.map[self.starts.clone()].as_chunks().0;
        let at = |n: usize| Some(u32::from_le_bytes(*starts.get(n)?) as usize);
        let bytes = self.map[self.texts.clone()].get(at(id as usize)?..at(id as usize + 1)?)?;
        std::str::from_utf8(bytes).ok()
    }

    /// Calls `found` with the id and the place of each token of a word, first to last.
    ///
    /// # Errors
    /// Where a character has no piece and there is none for unknown ones, or the file is damaged.
    pub fn tokens(
        &self,
        word: &str,
        room: &mut Room,
        mut found: impl FnMut(u32, Range<usize>),
    ) -> Result<(), Failure> {
        self.path(word, room)?;
        let mut start = 0;
        let mut path = room.path.iter().rev().copied().peekable();
        while let Some((mut id, mut end)) = path.next() {
            if Some(id) == self.unknown {
                // Unknown characters side by side are one token, or the piece they happen to spell.
                while let Some((_, further)) = path.next_if(|(next, _)| *next == id) {
                    end = further;
                }
                id = self.token_to_id(&word[start..end]).unwrap_or(id);
            }
            found(id, start..end);
            start = end;
        }
        Ok(())
    }

    /// The most probable pieces of a text: their ids and where they end, last first.
    fn path(&self, text: &str, room: &mut Room) -> Result<(), Failure> {
        let (trie, bytes) = (self.trie(), text.as_bytes());
        let Room { best, path } = room;
        let none = Best {
            score: 0.0,
            id: 0,
            start: None,
        };
        best.clear();
        best.resize(bytes.len() + 1, none);
        for (start, character) in text.char_indices() {
            let here = best[start].score;
            let mut reach = |end: usize, id: u32, score: f64| {
                let target = &mut best[end];
                if target.start.is_none() || score > target.score {
                    *target = Best {
                        score,
                        id,
                        start: Some(start as u32),
                    };
                }
            };
            let mut alone = false;
            trie.prefixes(&bytes[start..], |length, id| {
                if let (Some(score), true) = (self.score(id), text.is_char_boundary(start + length)) {
                    alone |= length == character.len_utf8();
                    reach(start + length, id, score + here);
                }
            });
            if !alone {
                let id = self
                    .unknown
                    .ok_or("a character has no piece, and there is none for unknown ones")?;
                reach(
                    start + character.len_utf8(),
                    id,
                    self.least - UNKNOWN_PENALTY + here,
                );
            }
        }
        path.clear();
        let mut end = bytes.len();
        while end > 0 {
            let Best { id, start, .. } = best[end];
            path.push((id, end));
            end = start.ok_or("a damaged piece leads nowhere")? as usize;
        }
        Ok(())
    }
}

impl Model for Pieces {
    type Trainer = UnigramTrainer;

    fn tokenize(&self, text: &str) -> tokenizers::Result<Vec<Token>> {
        let mut tokens: Vec<Token> = Vec::new();
        self.tokens(text, &mut Room::default(), |id, place| {
            tokens.push(Token::new(
                id,
                text[place.clone()].to_owned(),
                (place.start, place.end),
            ));
        })?;
        Ok(tokens)
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        let id = self.trie().get(token.as_bytes())?;
        self.score(id).map(|_| id)
    }

    fn id_to_token(&self, id: u32) -> Option<String> {
        self.text(id).map(str::to_owned)
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        let pieces = (0..self.get_vocab_size() as u32).filter_map(|id| Some((self.text(id)?.to_owned(), id)));
        pieces.collect()
    }

    fn get_vocab_size(&self) -> usize {
        self.scores.len() / size_of::<f64>()
    }

    fn save(&self, _: &Path, _: Option<&str>) -> tokenizers::Result<Vec<PathBuf>> {
        Err("mapped pieces are read alone; `tokenizer.json` beside them holds the same".into())
    }

    fn get_trainer(&self) -> Self::Trainer {
        UnigramTrainer::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokenizers::Tokenizer;

    /// The tiny XLM-RoBERTa's tokenizer as the crate reads it, and mapped.
    fn both(folder: &Path) -> (Tokenizer, Mapped) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-model/xlm-roberta");
        let file = folder.join(FILE);
        let written = write(&from.join("tokenizer.json"), "abc", &file);
        assert!(written.unwrap_or_else(|error| panic!("{error}")));
        let read = crate::encode::whole(&from).unwrap_or_else(|error| panic!("{error}"));
        let mut mapped = open(&file, "abc").unwrap_or_else(|error| panic!("{error}"));
        mapped.set_encode_special_tokens(true);
        (read, mapped)
    }

    fn same(read: &Tokenizer, mapped: &Mapped, text: &str) {
        let [of_read, of_mapped] = [
            read.encode_fast(text, true)
                .map(|encoding| encoding.get_ids().to_vec()),
            mapped
                .encode_fast(text, true)
                .map(|encoding| encoding.get_ids().to_vec()),
        ]
        .map(|ids| ids.unwrap_or_else(|error| panic!("{error}")));
        assert_eq!(of_mapped, of_read, "{text:?}");
    }

    #[test]
    fn any_text_gets_the_ids_the_crate_gives() {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let (read, mapped) = both(folder.path());
        assert_eq!(mapped.get_vocab(true), read.get_vocab(true));
        for text in [
            "",
            " ",
            "Bitte die Rechnung senden",
            "ﬁnanz  ½ 𝒳\u{200b}x",
            "<s></s> <mask> <unk>",
            "\u{5bc6}\u{5bc6} a\u{5bc6}",
        ] {
            same(&read, &mapped, text);
        }
        let words = "[a-zäöüß]{1,8}( |, |\\. |\n|\u{00a0}|  )";
        proptest!(|(any in ".{0,40}", words in proptest::collection::vec(words, 0..20))| {
            same(&read, &mapped, &any);
            same(&read, &mapped, &words.concat());
        });
    }

    #[test]
    fn another_tokenizer_s_file_and_a_damaged_one_are_errors() {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let (_, mapped) = both(folder.path());
        assert!(mapped.get_vocab_size(true) > 0);
        drop(mapped);
        let file = folder.path().join(FILE);
        let text = |source: &str| {
            open(&file, source)
                .err()
                .map_or(String::new(), |error| error.to_string())
        };
        assert!(text("abd").contains("it holds `form 1, of abc`, expected `form 1, of abd`"));
        let whole = std::fs::read(&file).unwrap_or_else(|error| panic!("{error}"));
        for bytes in [0, 7, 60, whole.len() - 1] {
            std::fs::write(&file, &whole[..bytes]).unwrap_or_else(|error| panic!("{error}"));
            assert!(text("abc").contains(FILE), "{bytes} bytes");
        }
        // Bytes turned anywhere in the tensors may give other ids, and nothing worse.
        let header = 8 + u64::from_le_bytes(*whole.first_chunk().unwrap_or(&[0; 8])) as usize;
        for step in 0..200 {
            let mut bent = whole.clone();
            let at = header + step * 7919 % (whole.len() - header);
            bent[at] ^= 0xff;
            std::fs::write(&file, &bent).unwrap_or_else(|error| panic!("{error}"));
            if let Ok(mapped) = open(&file, "abc") {
                // What `Encoder::check_rows` holds against the table's rows.
                let added = mapped
                    .get_added_vocabulary()
                    .get_vocab()
                    .values()
                    .map(|id| id + 1);
                let known = added.chain([mapped.get_vocab_size(false) as u32]).max();
                if let Ok(encoding) = mapped.encode_fast("Bitte die Rechnung \u{5bc6} senden", true) {
                    assert!(encoding.get_ids().iter().all(|id| Some(*id) < known));
                }
            }
        }
    }
}
