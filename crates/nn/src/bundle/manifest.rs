//! What a bundle says about itself: `bundle.toml`.

use super::{OpenError, read_text};
use crate::hybrid;
use crate::model::Sharing;
use crate::network::Pooling;
use poststelle_labels::TaskName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The format this build writes, and the newest it reads.
pub const FORMAT: u32 = 1;

/// Everything a bundle says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format of the directory.
    pub format: u32,
    /// When the run ended, RFC 3339.
    pub created: String,
    /// The program and version that wrote it.
    pub written_by: String,
    /// Version of the schema.
    pub schema_version: u32,
    /// Digest of the schema.
    pub schema_digest: String,
    /// How mails are cleaned before they are read: `request`, `author` or `decode`.
    pub clean_profile: String,
    /// How far personal details are masked before that: `off`, `storage` or `everything`.
    #[serde(default = "off", skip_serializing_if = "is_off")]
    pub clean_redact: String,
    /// The languages its training mails are written in (ISO 639-1), by falling share; empty where that is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    /// The data it was made from.
    pub dataset: DatasetNote,
    /// The encoder, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<EncoderNote>,
    /// The teacher its encoder learned from, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distilled: Option<DistilNote>,
    /// How both models' logits are put together, in a hybrid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hybrid: Option<hybrid::Mix>,
    /// Per task: from logits to decisions.
    pub calibration: BTreeMap<TaskName, Calibration>,
    /// Per task: figures on validation, by name.
    pub metrics: BTreeMap<TaskName, BTreeMap<String, f64>>,
    /// The resolved recipe.
    pub recipe: toml::Table,
    /// sha256 of each file.
    pub files: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads a `bundle.toml`.
    pub(super) fn read(path: &Path) -> Result<Self, OpenError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let text = read_text(path)?;
        let wrong = |error: toml::de::Error| OpenError::Manifest {
            path: path.to_path_buf(),
            reason: error.message().to_owned(),
        };
        let Head { format } = toml::from_str(&text).map_err(wrong)?;
        if format > FORMAT {
            return Err(OpenError::Format {
                found: format,
                newest: FORMAT,
            });
        }
        toml::from_str(&text).map_err(wrong)
    }
}

/// What bundles say that were written before masking was.
fn off() -> String {
    "off".to_owned()
}

fn is_off(level: &String) -> bool {
    level == "off"
}

/// The data a bundle was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetNote {
    /// Digest of the training examples.
    pub train_digest: String,
    /// How many there were.
    pub train_examples: usize,
    /// Digest of the validation examples.
    pub validation_digest: String,
    /// How many there were.
    pub validation_examples: usize,
}

/// How a bundle's encoder reads texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderNote {
    /// The base model it was fine-tuned from.
    pub base: String,
    /// Digest of that base model.
    pub base_digest: String,
    /// Whether tasks share an encoder.
    pub sharing: Sharing,
    /// How token vectors become one.
    pub pooling: Pooling,
    /// Tokens a text is cut to.
    pub max_tokens: usize,
    /// Put before every text.
    pub prefix: String,
    /// Set where word pieces were dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shrunk: Option<ShrinkNote>,
}

/// How a bundle's vocabulary was cut down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShrinkNote {
    /// Digest of the bundle it was made from.
    pub from: String,
    /// Rows of that bundle's word-piece table.
    pub pieces_before: usize,
    /// Rows left.
    pub pieces: usize,
}

/// What a bundle's encoder was distilled from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistilNote {
    /// Name of the teacher's directory.
    pub teacher: String,
    /// Digest of the teacher: of its manifest, which holds those of its files.
    pub teacher_digest: String,
    /// The teacher's layers the student began with, from 0; none where it began with a base model.
    pub layers: Vec<usize>,
    /// Digest of the mails of files without labels, which only the teacher labelled; absent without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlabelled_digest: Option<String>,
    /// How many those were.
    #[serde(default)]
    pub unlabelled_examples: usize,
}

/// From one task's logits to decisions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// What logits are divided by before the softmax.
    pub temperature: f32,
    /// Lowest confidence decided automatically; none is when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto: Option<f32>,
    /// Lowest confidence suggested; none is when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggest: Option<f32>,
    /// Expected calibration error on validation.
    pub ece: f32,
}
