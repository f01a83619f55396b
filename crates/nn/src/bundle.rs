//! The bundle: the directory a trained model lives in.
//!
//! ```text
//! bundle.toml        what it is: format, schema, dataset, recipe, calibration, metrics, digests of the files below
//! labels.toml        the schema
//! words.safetensors  the linear model, if it has one
//! config.json, tokenizer.json, model.safetensors     the encoder with its heads, in the Hugging Face layout;
//! tasks/<n>/…        the same once per task where tasks share nothing
//! ```
//!
//! A bundle is written to a new directory and renamed into place, so there is never half of one. It also opens as a
//! `model.tar.gz`.

use crate::encode::{self, Encoder as TextEncoder, TokenizerError};
use crate::encoder::{Config, Linear, PackError};
use crate::folder::Half;
use crate::hf::{self, Checkpoint, CheckpointError};
use crate::hybrid::{self, Side};
use crate::logits::Logits;
use crate::model::{EncoderModel, Part, Sharing};
use crate::network::{Network, Pooling};
use crate::words::{self, WordsModel};
use poststelle_kernels::lanes::Arithmetic;
use poststelle_labels::{Schema, SchemaError, TaskName};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

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
    /// The data it was made from.
    pub dataset: DatasetNote,
    /// The encoder, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<EncoderNote>,
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

/// Why a bundle cannot be used. Each message stands alone in a log line.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The manifest is no manifest.
    #[error("`{}` is not a bundle's manifest: {reason}", .path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Written by a newer release.
    #[error("bundle format {found}, this build reads up to {newest}")]
    Format {
        /// Of the bundle.
        found: u32,
        /// Of this build.
        newest: u32,
    },
    /// The schema cannot be used.
    #[error("`{}`", .path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<SchemaError>,
    },
    /// The schema is another than the one the model was trained for.
    #[error("`labels.toml` has digest {found}, the model was trained for {expected}")]
    SchemaDigest {
        /// Of the file.
        found: String,
        /// Of the manifest.
        expected: String,
    },
    /// The bundle holds neither a linear model nor an encoder.
    #[error("`{}` holds no model", .folder.display())]
    Empty {
        /// The bundle.
        folder: PathBuf,
    },
    /// A head does not fit its task.
    #[error("head `{task}` has {found} outputs, its label set has {expected}")]
    HeadWidth {
        /// The task.
        task: TaskName,
        /// Outputs.
        found: usize,
        /// Labels.
        expected: usize,
    },
    /// A file is not what the manifest says.
    #[error("`{}` has digest {found}, the manifest says {expected}", .path.display())]
    Digest {
        /// The file.
        path: PathBuf,
        /// As it is.
        found: String,
        /// As it should be.
        expected: String,
    },
    /// The encoder's weights cannot be used.
    #[error(transparent)]
    Weights(#[from] CheckpointError),
    /// The tokenizer cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The linear model cannot be used.
    #[error(transparent)]
    Words(#[from] words::OpenError),
    /// The encoder cannot be packed for inference.
    #[error(transparent)]
    Pack(#[from] PackError),
}

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
    /// The linear model cannot be written.
    #[error(transparent)]
    Words(#[from] words::SaveError),
}

/// The models a bundle is made of; at least one.
#[derive(Default)]
pub struct Models {
    /// The linear model.
    pub words: Option<WordsModel>,
    /// The encoder.
    pub encoder: Option<EncoderModel>,
}

impl Models {
    /// Logits of each task in schema order; `mix` puts those of both models together.
    pub fn logits(&self, mix: Option<&hybrid::Mix>, texts: &[&str]) -> Result<Vec<Logits>, TokenizerError> {
        match (&self.words, &self.encoder, mix) {
            (Some(words), Some(encoder), Some(mix)) => Ok(hybrid::combine(
                mix,
                &words.logits(texts),
                &encoder.logits(texts)?,
            )),
            (_, Some(encoder), _) => encoder.logits(texts),
            (Some(words), None, _) => Ok(words.logits(texts)),
            (None, None, _) => Ok(Vec::new()),
        }
    }
}

/// A bundle's directory with what it says about itself, before any model is read.
pub(crate) struct Stored {
    pub folder: PathBuf,
    pub manifest: Manifest,
    pub schema: Schema,
    /// Where a `model.tar.gz` was unpacked; dropping it removes the folder.
    pub unpacked: Option<tempfile::TempDir>,
}

impl Stored {
    /// Finds a directory or unpacks a `model.tar.gz`.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        if path.is_dir() {
            return Self::read(path.to_path_buf(), None);
        }
        let read = |source| OpenError::Read {
            path: path.to_path_buf(),
            source,
        };
        let file = std::fs::File::open(path).map_err(read)?;
        let unpacked = tempfile::tempdir().map_err(read)?;
        // `unpack` refuses entries that lead out of the directory.
        tar::Archive::new(flate2::read::GzDecoder::new(file))
            .unpack(unpacked.path())
            .map_err(read)?;
        Self::read(unpacked.path().to_path_buf(), Some(unpacked))
    }

    fn read(folder: PathBuf, unpacked: Option<tempfile::TempDir>) -> Result<Self, OpenError> {
        let manifest = read_manifest(&folder.join("bundle.toml"))?;
        let path = folder.join("labels.toml");
        let text = read_text(&path)?;
        let schema = Schema::from_toml(&text).map_err(|source| OpenError::Schema {
            path,
            source: Box::new(source),
        })?;
        if schema.digest() != manifest.schema_digest {
            let (found, expected) = (schema.digest(), manifest.schema_digest.clone());
            return Err(OpenError::SchemaDigest { found, expected });
        }
        Ok(Self {
            folder,
            manifest,
            schema,
            unpacked,
        })
    }
}

/// A trained model, ready to answer.
pub struct Bundle {
    manifest: Manifest,
    schema: Schema,
    models: Models,
    /// Where a `model.tar.gz` was unpacked; its weights are mapped from there.
    _unpacked: Option<tempfile::TempDir>,
}

impl Bundle {
    /// Opens a directory or a `model.tar.gz` to answer with; its encoder computes in `arithmetic`.
    pub fn open(path: &Path, arithmetic: Arithmetic) -> Result<Self, OpenError> {
        let Stored {
            folder,
            manifest,
            schema,
            unpacked,
        } = Stored::open(path)?;
        let words = if folder.join(words::FILE).exists() {
            Some(WordsModel::open(&folder)?)
        } else {
            None
        };
        if let Some(words) = &words {
            check_widths(&schema, words.heads().iter().map(words::Head::classes))?;
        }
        let encoder = match &manifest.encoder {
            None => None,
            Some(note) => Some(open_encoder(&folder, note, &schema, arithmetic)?),
        };
        if words.is_none() && encoder.is_none() {
            return Err(OpenError::Empty { folder });
        }
        Ok(Self {
            manifest,
            schema,
            models: Models { words, encoder },
            _unpacked: unpacked,
        })
    }

    /// Keeps one model of a hybrid, to see what it brings by itself; none if this is no hybrid.
    ///
    /// Its confidence keeps the temperature it had in the hybrid, fitted on validation for it alone. Bands were
    /// chosen for both together and do not hold for one, so every answer is left to a person.
    pub fn alone(mut self, side: Side) -> Option<Self> {
        let mix = self.manifest.hybrid.take()?;
        for (task, mix) in self.schema.tasks().iter().zip(&mix.tasks) {
            let temperature = match side {
                Side::Linear => mix.words_temperature,
                Side::Encoder => mix.encoder_temperature,
            };
            if let Some(calibration) = self.manifest.calibration.get_mut(task.name()) {
                calibration.temperature = temperature;
                (calibration.auto, calibration.suggest) = (None, None);
            }
        }
        match side {
            Side::Linear => (self.models.encoder, self.manifest.encoder) = (None, None),
            Side::Encoder => self.models.words = None,
        }
        Some(self)
    }

    /// Compares every file of a bundle's directory with its digest.
    pub fn verify(folder: &Path) -> Result<(), OpenError> {
        let manifest = read_manifest(&folder.join("bundle.toml"))?;
        for (name, expected) in &manifest.files {
            let path = folder.join(name);
            let found = digest(&path).map_err(|source| OpenError::Read {
                path: path.clone(),
                source,
            })?;
            if found != *expected {
                return Err(OpenError::Digest {
                    path,
                    found,
                    expected: expected.clone(),
                });
            }
        }
        Ok(())
    }

    /// What the bundle says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The tasks it answers.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The models inside.
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// Logits of each task in schema order, rows in the order of `texts`.
    pub fn logits(&self, texts: &[&str]) -> Result<Vec<Logits>, TokenizerError> {
        self.models.logits(self.manifest.hybrid.as_ref(), texts)
    }
}

/// Writes a bundle to `folder`, which must not exist; `manifest.files` is filled in.
///
/// `base` is the folder whose `config.json` and tokenizer the encoder has; `beside` are files kept with the models, such as the
/// run's history, by name.
pub fn save(
    folder: &Path,
    mut manifest: Manifest,
    schema: &Schema,
    models: &mut Models,
    base: Option<&Path>,
    beside: &[(&str, &[u8])],
) -> Result<Manifest, SaveError> {
    if folder.exists() {
        return Err(SaveError::Exists {
            path: folder.to_path_buf(),
        });
    }
    let write = |path: &Path, reason: &dyn std::fmt::Display| SaveError::Write {
        path: path.to_path_buf(),
        reason: reason.to_string(),
    };
    let half = Half::begin(folder).map_err(|(path, error)| write(&path, &error))?;
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
            std::fs::copy(&from, &to).map_err(|error| write(&to, &error))?;
        }
        let single = encoder.parts.len() > 1;
        for (n, part) in encoder.parts.iter_mut().enumerate() {
            let place = if single {
                root.join("tasks").join(n.to_string())
            } else {
                root.to_path_buf()
            };
            std::fs::create_dir_all(&place).map_err(|error| write(&place, &error))?;
            let name = |task: usize| format!("heads.{}", schema.tasks()[task].name());
            let heads: Vec<(String, &Linear)> = part
                .tasks
                .iter()
                .map(|task| name(*task))
                .zip(&part.network.heads)
                .collect();
            hf::write(
                &mut part.network.encoder,
                &heads,
                &place.join("model.safetensors"),
            )?;
        }
    }
    manifest.files = files(root, root).map_err(|error| write(root, &error))?;
    let path = root.join("bundle.toml");
    let text = toml::to_string(&manifest).map_err(|error| write(&path, &error))?;
    put(&path, text.as_bytes())?;
    half.finish().map_err(|(path, error)| write(&path, &error))?;
    Ok(manifest)
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), SaveError> {
    std::fs::write(path, bytes).map_err(|error| SaveError::Write {
        path: path.to_path_buf(),
        reason: error.to_string(),
    })
}

fn read_text(path: &Path) -> Result<String, OpenError> {
    std::fs::read_to_string(path).map_err(|source| OpenError::Read {
        path: path.to_path_buf(),
        source,
    })
}

fn read_manifest(path: &Path) -> Result<Manifest, OpenError> {
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

fn open_encoder(
    folder: &Path,
    note: &EncoderNote,
    schema: &Schema,
    arithmetic: Arithmetic,
) -> Result<EncoderModel, OpenError> {
    let (text, networks) = read_encoder(folder, note, schema)?;
    let mut parts = Vec::new();
    for network in networks {
        let (tasks, network) = network?;
        let mut part = Part::new(tasks, network, arithmetic)?;
        part.network.encoder.forget_layers();
        parts.push(part);
    }
    Ok(EncoderModel { text, parts })
}

/// One network of a bundle in f32, with the tasks it answers as positions in the schema.
pub(crate) type ReadNetwork = Result<(Vec<usize>, Network), OpenError>;

/// Reads a bundle's tokenizer, and its networks one after another.
pub(crate) fn read_encoder<'a>(
    folder: &'a Path,
    note: &'a EncoderNote,
    schema: &'a Schema,
) -> Result<(TextEncoder, impl ExactSizeIterator<Item = ReadNetwork> + 'a), OpenError> {
    let config = Config::read(&folder.join("config.json")).map_err(CheckpointError::from)?;
    let text = TextEncoder::open(folder, note.max_tokens.min(config.longest()), &note.prefix)?;
    text.check_rows(config.vocabulary)?;
    let all: Vec<usize> = (0..schema.tasks().len()).collect();
    let groups = match note.sharing {
        Sharing::SingleTask if all.len() > 1 => all.chunks(1).map(<[usize]>::to_vec).collect(),
        _ => vec![all],
    };
    let single = groups.len() > 1;
    let networks = groups.into_iter().enumerate().map(move |(n, tasks)| {
        let place = if single {
            folder.join("tasks").join(n.to_string())
        } else {
            folder.to_path_buf()
        };
        let checkpoint = Checkpoint::open(&place)?;
        let encoder = checkpoint.encoder(config.clone())?;
        let mut heads = Vec::new();
        for task in &tasks {
            let task = &schema.tasks()[*task];
            let name = format!("heads.{}", task.name());
            heads.push(hf::read_linear(&checkpoint, &name, task.len(), config.hidden)?);
        }
        let network = Network {
            encoder,
            pooling: note.pooling,
            heads,
        };
        Ok((tasks, network))
    });
    Ok((text, networks))
}

fn check_widths(schema: &Schema, found: impl Iterator<Item = usize>) -> Result<(), OpenError> {
    for (task, found) in schema.tasks().iter().zip(found) {
        if found != task.len() {
            return Err(OpenError::HeadWidth {
                task: task.name().clone(),
                found,
                expected: task.len(),
            });
        }
    }
    Ok(())
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

fn digest(path: &Path) -> io::Result<String> {
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
