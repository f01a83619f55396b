//! Texts to token ids, and token ids to packed batches.

pub(crate) mod pieces;
mod straight;
mod trie;

use crate::hf::CheckpointError;
use rayon::prelude::*;
use std::ops::Range;
use std::path::{Path, PathBuf};
use straight::Straight;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{Tokenizer, TruncationParams};

/// Sequences of token ids laid one after another, without padding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    ids: Vec<u32>,
    starts: Vec<usize>,
}

impl Batch {
    /// Packs sequences in their order; none may be empty.
    pub fn pack<'a>(sequences: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut batch = Self {
            ids: Vec::new(),
            starts: vec![0],
        };
        for sequence in sequences {
            assert!(!sequence.is_empty(), "a text has at least its special tokens");
            batch.ids.extend_from_slice(sequence);
            batch.starts.push(batch.ids.len());
        }
        batch
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True without any token.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Number of texts.
    pub fn texts(&self) -> usize {
        self.starts.len() - 1
    }

    /// First token of each text, and the number of tokens: `texts + 1` entries.
    pub fn starts(&self) -> &[usize] {
        &self.starts
    }

    /// The tokens of one text.
    pub fn range(&self, text: usize) -> Range<usize> {
        self.starts[text]..self.starts[text + 1]
    }

    /// The id of the token in this row.
    pub fn id(&self, row: usize) -> u32 {
        self.ids[row]
    }

    /// Each token's row in the batch, position in its text, and id.
    pub fn tokens(&self) -> impl Iterator<Item = (usize, usize, u32)> + '_ {
        (0..self.texts()).flat_map(move |text| {
            let range = self.range(text);
            range
                .clone()
                .map(move |row| (row, row - range.start, self.ids[row]))
        })
    }
}

/// One text as token ids, special tokens included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoding {
    /// The ids.
    pub ids: Vec<u32>,
    /// True when the text was longer than the limit and its end is missing.
    pub truncated: bool,
}

/// Why a tokenizer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// Neither of the two files a tokenizer is read from is there.
    #[error("`{}` has neither `tokenizer.json` nor `vocab.txt`", .folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// A file is there but is no tokenizer.
    #[error("`{}` is not a tokenizer: {reason}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What the `tokenizers` crate says.
        reason: String,
    },
    /// A tokenizer knows more word pieces than its encoder.
    #[error("the tokenizer has ids up to {largest}, the encoder's table {rows} rows")]
    Vocabulary {
        /// The largest id.
        largest: u32,
        /// Rows of the word-piece table.
        rows: usize,
    },
    /// The mapped pieces cannot be used.
    #[error(transparent)]
    Pieces(#[from] CheckpointError),
    /// A text could not be encoded.
    #[error("a text of {bytes} bytes cannot be tokenized: {reason}")]
    Text {
        /// Its length.
        bytes: usize,
        /// What the `tokenizers` crate says.
        reason: String,
    },
}

/// What a tokenizer is read from: `tokenizer.json`, or else the other two.
pub const FILES: [&str; 3] = ["tokenizer.json", "vocab.txt", "tokenizer_config.json"];

/// A checkpoint's tokenizer with a limit and a prefix.
pub struct Encoder {
    form: Form,
    prefix: String,
    /// The way of most texts where the pieces are mapped; none where the `tokenizers` crate reads them all.
    straight: Option<Straight>,
}

/// Who knows the pieces.
enum Form {
    /// The `tokenizers` crate, read from a checkpoint's files.
    Read(Box<Tokenizer>),
    /// A mapped file.
    Mapped(Box<pieces::Mapped>),
}

/// Does the same with either form.
macro_rules! either {
    ($form:expr, |$tokenizer:ident| $do:expr) => {
        match $form {
            Form::Read($tokenizer) => $do,
            Form::Mapped($tokenizer) => $do,
        }
    };
}

impl Encoder {
    /// Reads `tokenizer.json`, or `vocab.txt` of a WordPiece model, from a checkpoint's folder.
    ///
    /// Texts are cut to `max_tokens`, special tokens included; `prefix` is put before each.
    pub fn open(folder: &Path, max_tokens: usize, prefix: &str) -> Result<Self, TokenizerError> {
        Self::cut(Form::Read(Box::new(whole(folder)?)), folder, max_tokens, prefix)
    }

    /// As [`open`](Self::open), with the pieces mapped from `file`, which `source` says it was made from.
    ///
    /// # Errors
    /// [`TokenizerError::Pieces`] where the file is not what it should be.
    pub(crate) fn map(
        file: &Path,
        source: &str,
        max_tokens: usize,
        prefix: &str,
    ) -> Result<Self, TokenizerError> {
        let mut tokenizer = pieces::open(file, source)?;
        tokenizer.set_encode_special_tokens(true);
        Self::cut(Form::Mapped(Box::new(tokenizer)), file, max_tokens, prefix)
    }

    fn cut(mut form: Form, path: &Path, max_tokens: usize, prefix: &str) -> Result<Self, TokenizerError> {
        let truncation = TruncationParams {
            max_length: max_tokens,
            ..TruncationParams::default()
        };
        let cut = either!(&mut form, |tokenizer| tokenizer
            .with_truncation(Some(truncation))
            .map(|_| ()));
        cut.map_err(|error| TokenizerError::Invalid {
            path: path.to_path_buf(),
            reason: error.to_string(),
        })?;
        let straight = match &form {
            Form::Read(_) => None,
            Form::Mapped(tokenizer) => Straight::of(tokenizer),
        };
        Ok(Self {
            form,
            prefix: prefix.to_owned(),
            straight,
        })
    }

    /// Refuses a tokenizer whose ids do not fit a table of `rows` rows.
    pub fn check_rows(&self, rows: usize) -> Result<(), TokenizerError> {
        let largest = match &self.form {
            Form::Read(tokenizer) => tokenizer.get_vocab(true).into_values().max(),
            // All pieces have neighbouring ids; only added tokens may lie beyond.
            Form::Mapped(tokenizer) => {
                let added = tokenizer.get_added_vocabulary().get_vocab().values().copied();
                added
                    .chain((tokenizer.get_vocab_size(false) as u32).checked_sub(1))
                    .max()
            }
        };
        let largest = largest.unwrap_or(0);
        if largest as usize >= rows {
            return Err(TokenizerError::Vocabulary { largest, rows });
        }
        Ok(())
    }

    /// The tokenizer as a `tokenizer.json`, with the limit but without the prefix.
    pub(crate) fn to_json(&self) -> Result<String, TokenizerError> {
        let json = match &self.form {
            Form::Read(tokenizer) => tokenizer.to_string(true),
            Form::Mapped(_) => Err("its pieces are mapped for answering".into()),
        };
        json.map_err(|error| TokenizerError::Text {
            bytes: 0,
            reason: error.to_string(),
        })
    }

    /// The id of a token by its exact name.
    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        either!(&self.form, |tokenizer| tokenizer.token_to_id(token))
    }

    /// Encodes each text; over all cores, a lone one on the caller's.
    pub fn encode(&self, texts: &[&str]) -> Result<Vec<Encoding>, TokenizerError> {
        match texts {
            [text] => Ok(vec![self.encode_one(text)?]),
            _ => texts.par_iter().map(|text| self.encode_one(text)).collect(),
        }
    }

    /// Encodes a text.
    pub fn encode_one(&self, text: &str) -> Result<Encoding, TokenizerError> {
        let encoding = match (&self.form, &self.straight) {
            (Form::Mapped(tokenizer), Some(straight)) => straight.encode(tokenizer, &self.prefix, text),
            _ => self.encode_by_crate(text),
        };
        encoding.map_err(|error| TokenizerError::Text {
            bytes: text.len(),
            reason: error.to_string(),
        })
    }

    fn encode_by_crate(&self, text: &str) -> Result<Encoding, pieces::Failure> {
        let whole = format!("{}{text}", self.prefix);
        let encoding = either!(&self.form, |tokenizer| tokenizer.encode_fast(whole, true))?;
        Ok(Encoding {
            ids: encoding.get_ids().to_vec(),
            truncated: !encoding.get_overflowing().is_empty(),
        })
    }
}

/// The tokenizer of a checkpoint's folder, without a limit and without padding.
pub(crate) fn whole(folder: &Path) -> Result<Tokenizer, TokenizerError> {
    let json = folder.join("tokenizer.json");
    let vocabulary = folder.join("vocab.txt");
    let invalid = |path: &Path, reason: &dyn std::fmt::Display| TokenizerError::Invalid {
        path: path.to_path_buf(),
        reason: reason.to_string(),
    };
    let mut tokenizer = if json.exists() {
        Tokenizer::from_file(&json).map_err(|error| invalid(&json, &error))?
    } else if vocabulary.exists() {
        word_piece(folder, &vocabulary).map_err(|error| invalid(&vocabulary, &error))?
    } else {
        return Err(TokenizerError::Missing {
            folder: folder.to_path_buf(),
        });
    };
    let _ = tokenizer.with_truncation(None);
    tokenizer.with_padding(None);
    // A mail that spells out `</s>` means the characters, not the end of the text.
    tokenizer.set_encode_special_tokens(true);
    Ok(tokenizer)
}

/// The tokenizer of a checkpoint that has only `vocab.txt`, as transformers builds it.
fn word_piece(
    folder: &Path,
    vocabulary: &Path,
) -> Result<Tokenizer, Box<dyn std::error::Error + Send + Sync>> {
    #[derive(serde::Deserialize)]
    struct Settings {
        #[serde(default = "yes")]
        do_lower_case: bool,
        strip_accents: Option<bool>,
        #[serde(default = "yes")]
        tokenize_chinese_chars: bool,
    }
    fn yes() -> bool {
        true
    }
    let settings = match std::fs::read(folder.join("tokenizer_config.json")) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(_) => Settings {
            do_lower_case: true,
            strip_accents: None,
            tokenize_chinese_chars: true,
        },
    };
    let model = WordPiece::from_file(&vocabulary.to_string_lossy())
        .unk_token("[UNK]".into())
        .build()?;
    let mut tokenizer = Tokenizer::new(model);
    let id = |token: &str| {
        tokenizer
            .token_to_id(token)
            .ok_or_else(|| format!("no `{token}` in the vocabulary"))
    };
    let (cls, sep) = (id("[CLS]")?, id("[SEP]")?);
    let special: Vec<_> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        .into_iter()
        .filter(|token| tokenizer.token_to_id(token).is_some())
        .map(|token| tokenizers::AddedToken::from(token, true))
        .collect();
    tokenizer.add_special_tokens(&special);
    tokenizer
        .with_normalizer(Some(BertNormalizer::new(
            true,
            settings.tokenize_chinese_chars,
            settings.strip_accents,
            settings.do_lower_case,
        )))
        .with_pre_tokenizer(Some(BertPreTokenizer))
        .with_post_processor(Some(BertProcessing::new(
            ("[SEP]".into(), sep),
            ("[CLS]".into(), cls),
        )));
    Ok(tokenizer)
}
