//! A bundle as other programs open it: an encoder with its heads for `transformers`, or for anything that runs ONNX.
//!
//! Whoever trained a model here can take it elsewhere. An export holds the encoder's f32 weights as the bundle stores
//! them, its tokenizer, and in `poststelle.json` what neither format has a place for: the prefix, the temperatures, the
//! bands and the labels' hierarchy. `README.md` says how to use it.
//!
//! Beside what answers all tasks there is a folder per task in the shape that pipelines expect. Its logits are divided
//! by the task's temperature, so that the softmax a pipeline ends with gives the confidence a bundle gives.
//!
//! **Not here.** The linear model of a bundle: neither format has its TF-IDF over mails. Of a hybrid only the encoder is
//! exported, with the temperature it has alone; a linear bundle is refused.

mod about;
mod huggingface;
mod onnx;

use crate::bundle::{self, OpenError, Stored};
use crate::encode::{Encoder as TextEncoder, TokenizerError};
use crate::encoder::Config;
use crate::folder::Half;
use crate::hf::CheckpointError;
use crate::network::Network;
use serde_json::{Map, Value, json};
use std::io;
use std::path::{Path, PathBuf};

pub use onnx::proto;

/// What a bundle is exported to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Graphs of ONNX opset 17.
    Onnx,
    /// The layout of `transformers`.
    HuggingFace,
}

/// Why a bundle cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The directory is there already.
    #[error("`{}` exists already; an export overwrites nothing", .path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// The bundle cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Nothing would be left.
    #[error("`{}` holds a linear model and no encoder; only encoders can be exported", .bundle.display())]
    Linear {
        /// The bundle.
        bundle: PathBuf,
    },
    /// A file of the bundle is not the JSON expected.
    #[error("cannot read `{}` as a JSON object: {reason}", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The weights cannot be written.
    #[error(transparent)]
    Weights(#[from] CheckpointError),
    /// The tokenizer cannot be written.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Every file, by its path from the export's folder, in order.
    pub files: Vec<PathBuf>,
    /// What the bundle does and the export does not, one sentence each.
    pub left_out: Vec<String>,
}

/// Exports the bundle at `path`, a directory or a `model.tar.gz`, to the new directory `folder`.
///
/// # Errors
/// [`ExportError`]; nothing is left behind then.
pub fn export(path: &Path, target: Target, folder: &Path) -> Result<Written, ExportError> {
    if folder.exists() {
        let path = folder.to_path_buf();
        return Err(ExportError::Exists { path });
    }
    let stored = Stored::open(path)?;
    let Some(note) = &stored.manifest.encoder else {
        let bundle = path.to_path_buf();
        return Err(ExportError::Linear { bundle });
    };
    let (text, networks) = bundle::read_encoder(&stored.folder, note, &stored.schema)?;
    let path = stored.folder.join("config.json");
    let config = Config::read(&path).map_err(CheckpointError::from)?;
    let half = Half::begin(folder).map_err(write_error)?;
    let room = Room {
        root: half.root(),
        stored: &stored,
        longest: note.max_tokens.min(config.longest()),
        text: &text,
        config: object(&path)?,
        tasks: about::tasks(&stored),
        parts: networks.len(),
    };
    let mut whole = onnx::Whole::default();
    for (n, network) in networks.enumerate() {
        let (tasks, network) = network?;
        match target {
            Target::Onnx => whole.add(&room, n, &tasks, &network)?,
            Target::HuggingFace => huggingface::write(&room, &tasks, network)?,
        }
    }
    if target == Target::Onnx {
        whole.write(&room)?;
    }
    let left_out = about::left_out(&stored.manifest);
    about::write(&room, target, note, &left_out)?;
    let mut files = Vec::new();
    list(half.root(), Path::new(""), &mut files)
        .map_err(|error| write_error((folder.to_path_buf(), error)))?;
    half.finish().map_err(write_error)?;
    files.sort();
    Ok(Written { files, left_out })
}

fn write_error((path, source): (PathBuf, io::Error)) -> ExportError {
    ExportError::Write { path, source }
}

fn list(root: &Path, below: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            list(root, &path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// What every part of an export is written with.
struct Room<'a> {
    root: &'a Path,
    stored: &'a Stored,
    /// Tokens a text is cut to.
    longest: usize,
    text: &'a TextEncoder,
    /// The bundle's `config.json`.
    config: Map<String, Value>,
    /// Every task, in schema order.
    tasks: Vec<about::Task>,
    /// Networks of the bundle: 1, or one per task.
    parts: usize,
}

impl Room<'_> {
    /// The folder of one task, made.
    fn task_folder(&self, task: usize) -> Result<PathBuf, ExportError> {
        let folder = self.root.join(&self.tasks[task].folder);
        std::fs::create_dir_all(&folder).map_err(|error| write_error((folder.clone(), error)))?;
        Ok(folder)
    }

    /// The configuration of a model for one task, under the name of `class`.
    fn task_config(&self, task: usize, class: &str) -> Map<String, Value> {
        let names = self.stored.schema.tasks()[task].labels().iter();
        let names: Vec<&str> = names.map(|label| label.name.as_str()).collect();
        let mut config = self.plain_config(class);
        let by_id = names
            .iter()
            .enumerate()
            .map(|(n, name)| (n.to_string(), json!(name)));
        config.insert("id2label".to_owned(), Value::Object(by_id.collect()));
        let by_name = names
            .iter()
            .enumerate()
            .map(|(n, name)| ((*name).to_owned(), json!(n)));
        config.insert("label2id".to_owned(), Value::Object(by_name.collect()));
        config.insert("problem_type".to_owned(), json!("single_label_classification"));
        config
    }

    /// The bundle's `config.json` for weights in f32, under the name of `class`.
    fn plain_config(&self, class: &str) -> Map<String, Value> {
        let mut config = self.config.clone();
        config.insert("architectures".to_owned(), json!([class]));
        // Whatever the base model was stored in: half precision would give other hidden states.
        config.insert("dtype".to_owned(), json!("float32"));
        config.remove("torch_dtype");
        config
    }

    /// Writes `tokenizer.json` and `tokenizer_config.json`.
    fn put_tokenizer(&self, folder: &Path) -> Result<(), ExportError> {
        let from = self.stored.folder.join("tokenizer.json");
        let to = folder.join("tokenizer.json");
        if from.exists() {
            std::fs::copy(&from, &to).map_err(|error| write_error((to, error)))?;
        } else {
            put(&to, self.text.to_json()?.as_bytes())?;
        }
        let from = self.stored.folder.join("tokenizer_config.json");
        let mut settings = if from.exists() { object(&from)? } else { Map::new() };
        for (role, names) in [
            ("pad_token", ["[PAD]", "<pad>"]),
            ("unk_token", ["[UNK]", "<unk>"]),
            ("cls_token", ["[CLS]", "<s>"]),
            ("sep_token", ["[SEP]", "</s>"]),
        ] {
            let known = names.into_iter().find(|name| self.text.id(name).is_some());
            if let (Some(name), None | Some(Value::Null)) = (known, settings.get(role)) {
                settings.insert(role.to_owned(), json!(name));
            }
        }
        for (key, value) in [
            // The one that does what `tokenizer.json` says and adds nothing.
            ("tokenizer_class", json!("PreTrainedTokenizerFast")),
            ("model_max_length", json!(self.longest)),
            ("model_input_names", json!(["input_ids", "attention_mask"])),
            ("padding_side", json!("right")),
            ("truncation_side", json!("right")),
            // A mail that spells out `</s>` means the characters.
            ("split_special_tokens", json!(true)),
        ] {
            settings.insert(key.to_owned(), value);
        }
        put_json(&folder.join("tokenizer_config.json"), &settings)
    }
}

/// Makes `to` the same file as `from`, or a copy where the file system has no links.
fn share(from: &Path, to: &Path) -> Result<(), ExportError> {
    std::fs::hard_link(from, to)
        .or_else(|_| std::fs::copy(from, to).map(|_| ()))
        .map_err(|error| write_error((to.to_path_buf(), error)))
}

fn object(path: &Path) -> Result<Map<String, Value>, ExportError> {
    let wrong = |reason: String| ExportError::Json {
        path: path.to_path_buf(),
        reason,
    };
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))
}

fn put_json(path: &Path, value: &impl serde::Serialize) -> Result<(), ExportError> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| write_error((path.to_path_buf(), io::Error::other(error))))?;
    text.push('\n');
    put(path, text.as_bytes())
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    std::fs::write(path, bytes).map_err(|error| write_error((path.to_path_buf(), error)))
}

/// How a network of `model_type` is called in `transformers`, without what it does: `Bert` of `BertModel`.
fn family(config: &Map<String, Value>) -> &'static str {
    match config.get("model_type").and_then(Value::as_str) {
        Some("distilbert") => "DistilBert",
        Some("roberta") => "Roberta",
        Some("xlm-roberta") => "XLMRoberta",
        Some("camembert") => "Camembert",
        _ => "Bert",
    }
}

/// The temperature one task's logits are divided by.
fn temperature(room: &Room<'_>, task: usize) -> f32 {
    room.tasks[task].temperature
}

/// Whether a network's classifiers read the mean of the tokens.
fn reads_mean(network: &Network) -> bool {
    network.pooling == crate::network::Pooling::Mean
}
