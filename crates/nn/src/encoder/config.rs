//! The shape of an encoder, read from a checkpoint's `config.json`.

use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The families of post-LayerNorm encoders that are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// BERT, and the multilingual E5 models that share its layout.
    Bert,
    /// DistilBERT: BERT without token types.
    DistilBert,
    /// RoBERTa and XLM-RoBERTa: BERT whose positions start after the padding id.
    Roberta,
}

/// Sizes and constants of an encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Whose weight names and position rule apply.
    pub architecture: Architecture,
    /// Width of a token's vector.
    pub hidden: usize,
    /// Number of layers.
    pub layers: usize,
    /// Attention heads a layer.
    pub heads: usize,
    /// Width of the feed-forward block.
    pub feed_forward: usize,
    /// Rows of the word-piece table.
    pub vocabulary: usize,
    /// Rows of the position table.
    pub positions: usize,
    /// Rows of the token-type table; 0 without one.
    pub token_types: usize,
    /// Added to the variance in LayerNorm.
    pub epsilon: f32,
    /// Position of a sequence's first token.
    pub first_position: usize,
    /// Dropout on hidden states the checkpoint was trained with.
    pub hidden_dropout: f32,
    /// Dropout on attention probabilities the checkpoint was trained with.
    pub attention_dropout: f32,
}

impl Config {
    /// Tokens of the longest sequence the position table allows.
    pub fn longest(&self) -> usize {
        self.positions - self.first_position
    }

    /// Width of one attention head.
    pub fn head_width(&self) -> usize {
        self.hidden / self.heads
    }

    /// Reads `config.json`.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let bytes = std::fs::read(path).map_err(|source| ConfigError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        let raw: Raw = serde_json::from_slice(&bytes).map_err(|source| ConfigError::Json {
            path: path.to_path_buf(),
            source,
        })?;
        raw.config().map_err(|(key, found, expected)| ConfigError::Value {
            path: path.to_path_buf(),
            key,
            found,
            expected,
        })
    }
}

/// `config.json` of an encoder with other `layers` and another `vocabulary`, the rest as in `bytes`.
///
/// `id` says what became of a word piece's id, where ids changed; the ids of special tokens follow it.
///
/// # Errors
/// Where `bytes` is no JSON object.
pub fn amend(
    bytes: &[u8],
    layers: usize,
    vocabulary: usize,
    id: &dyn Fn(u64) -> Option<u64>,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut keys: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(bytes)?;
    for (key, value) in &mut keys {
        match key.as_str() {
            "num_hidden_layers" | "n_layers" => *value = layers.into(),
            "vocab_size" => *value = vocabulary.into(),
            _ if key.ends_with("_token_id") => {
                if let Some(new) = value.as_u64().and_then(id) {
                    *value = new.into();
                }
            }
            _ => {}
        }
    }
    serde_json::to_vec_pretty(&keys)
}

/// Why a `config.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not the JSON expected.
    #[error("`{}` is not an encoder's configuration", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
    /// A value no encoder of ours can have.
    #[error("`{}`, key `{key}`: found {found}, expected {expected}", .path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key of the value.
        key: &'static str,
        /// What stands there.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
}

/// The keys of `config.json` under the names of all three families.
#[derive(Deserialize)]
struct Raw {
    model_type: String,
    #[serde(alias = "dim")]
    hidden_size: usize,
    #[serde(alias = "n_layers")]
    num_hidden_layers: usize,
    #[serde(alias = "n_heads")]
    num_attention_heads: usize,
    #[serde(alias = "hidden_dim")]
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: Option<usize>,
    layer_norm_eps: Option<f32>,
    #[serde(alias = "activation")]
    hidden_act: Option<String>,
    #[serde(alias = "dropout")]
    hidden_dropout_prob: Option<f32>,
    #[serde(alias = "attention_dropout")]
    attention_probs_dropout_prob: Option<f32>,
    pad_token_id: Option<usize>,
    position_embedding_type: Option<String>,
}

type Refusal = (&'static str, String, &'static str);

impl Raw {
    fn config(self) -> Result<Config, Refusal> {
        let architecture = match self.model_type.as_str() {
            "bert" => Architecture::Bert,
            "distilbert" => Architecture::DistilBert,
            "roberta" | "xlm-roberta" | "camembert" => Architecture::Roberta,
            other => {
                return Err((
                    "model_type",
                    format!("`{other}`"),
                    "bert, distilbert, roberta or xlm-roberta",
                ));
            }
        };
        if let Some(kind) = self.position_embedding_type.filter(|kind| kind != "absolute") {
            return Err(("position_embedding_type", format!("`{kind}`"), "absolute"));
        }
        if let Some(name) = self.hidden_act.filter(|name| name != "gelu") {
            return Err(("hidden_act", format!("`{name}`"), "gelu"));
        }
        let heads = self.num_attention_heads;
        if heads == 0 || self.hidden_size == 0 || !self.hidden_size.is_multiple_of(heads) {
            let found = format!("{heads} heads for a hidden size of {}", self.hidden_size);
            return Err(("num_attention_heads", found, "a divisor of the hidden size"));
        }
        let dropout = |key, value: Option<f32>| match value.unwrap_or(0.1) {
            rate if (0.0..1.0).contains(&rate) => Ok(rate),
            rate => Err((key, rate.to_string(), "a rate in [0, 1)")),
        };
        let first_position = match architecture {
            Architecture::Roberta => self.pad_token_id.unwrap_or(1).saturating_add(1),
            Architecture::Bert | Architecture::DistilBert => 0,
        };
        if self.max_position_embeddings <= first_position {
            let found = self.max_position_embeddings.to_string();
            return Err((
                "max_position_embeddings",
                found,
                "more positions than the padding takes",
            ));
        }
        Ok(Config {
            architecture,
            hidden: self.hidden_size,
            layers: self.num_hidden_layers,
            heads,
            feed_forward: self.intermediate_size,
            vocabulary: self.vocab_size,
            positions: self.max_position_embeddings,
            token_types: match architecture {
                Architecture::DistilBert => 0,
                Architecture::Bert | Architecture::Roberta => self.type_vocab_size.unwrap_or(2),
            },
            epsilon: self.layer_norm_eps.unwrap_or(1e-12),
            first_position,
            hidden_dropout: dropout("hidden_dropout_prob", self.hidden_dropout_prob)?,
            attention_dropout: dropout("attention_probs_dropout_prob", self.attention_probs_dropout_prob)?,
        })
    }
}
