//! The bundle: the directory a trained model lives in.
//!
//! ```text
//! bundle.toml        what it is: format, schema, dataset, recipe, calibration, metrics, digests of the files below
//! labels.toml        the schema
//! words.safetensors  the linear model, if it has one
//! config.json, tokenizer.json, model.safetensors     the encoder with its heads, in the Hugging Face layout
//! pieces.safetensors the pieces of a Unigram tokenizer, as inference maps them
//! packed.safetensors its layers and word pieces in int8, as inference maps them
//! tasks/<n>/…        weights and packed weights once per task where tasks share nothing
//! ```
//!
//! A bundle is written to a new directory and renamed into place, so there is never half of one. It also opens as a
//! `model.tar.gz`.

mod archive;
mod encoded;
mod manifest;
mod save;

pub use archive::{pack, unpack};
pub use encoded::Encoded;
pub use manifest::{Calibration, DatasetNote, DistilNote, EncoderNote, FORMAT, Manifest, ShrinkNote};
pub use save::{SaveError, save};
pub(crate) use save::{begin, finish, put, put_packed, put_pieces};

use crate::encode::{Encoder as TextEncoder, Encoding, TokenizerError, pieces};
use crate::encoder::packed::{self, Packed};
use crate::encoder::{Config, PackError};
use crate::hf::{self, Checkpoint, CheckpointError};
use crate::hybrid::{self, Side};
use crate::logits::Logits;
use crate::model::{EncoderModel, Part, Sharing};
use crate::network::Network;
use crate::words::{self, WordsModel};
use poststelle_kernels::lanes::Arithmetic;
use poststelle_labels::{Schema, SchemaError, TaskName};
use rayon::prelude::*;
use save::digest;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

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

/// The models a bundle is made of; at least one.
#[derive(Default)]
pub struct Models {
    /// The linear model.
    pub words: Option<WordsModel>,
    /// The encoder.
    pub encoder: Option<EncoderModel>,
}

impl Models {
    /// Encodes a text for every model there is.
    pub fn encode(&self, text: String) -> Result<Encoded, TokenizerError> {
        let encoding = self
            .encoder
            .as_ref()
            .map(|encoder| encoder.text.encode_one(&text));
        Ok(Encoded::new(text, encoding.transpose()?))
    }

    /// Logits of each task in schema order; `mix` puts those of both models together.
    ///
    /// # Panics
    /// If a text was encoded without an encoder, and here is one.
    pub fn logits_of(&self, mix: Option<&hybrid::Mix>, encoded: &[&Encoded]) -> Vec<Logits> {
        let words = |model: &WordsModel| {
            let texts: Vec<&str> = encoded.iter().map(|one| one.text()).collect();
            model.logits(&texts)
        };
        let pieces = |model: &EncoderModel| {
            let encodings = encoded.iter().map(|one| one.encoding());
            let encodings: Option<Vec<&Encoding>> = encodings.collect();
            model.logits_of(&encodings.expect("texts encoded by these models"))
        };
        match (&self.words, &self.encoder, mix) {
            (Some(linear), Some(encoder), Some(mix)) => {
                hybrid::combine(mix, &words(linear), &pieces(encoder))
            }
            (_, Some(encoder), _) => pieces(encoder),
            (Some(linear), None, _) => words(linear),
            (None, None, _) => Vec::new(),
        }
    }

    /// Encodes texts and computes their logits, see [`logits_of`](Self::logits_of).
    pub fn logits(&self, mix: Option<&hybrid::Mix>, texts: &[&str]) -> Result<Vec<Logits>, TokenizerError> {
        let encoded = texts.par_iter().map(|&text| self.encode(text.to_owned()));
        let encoded: Vec<Encoded> = encoded.collect::<Result<_, _>>()?;
        Ok(self.logits_of(mix, &encoded.iter().collect::<Vec<_>>()))
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
        let unpacked = tempfile::tempdir().map_err(read)?;
        unpack(path, unpacked.path())?;
        Self::read(unpacked.path().to_path_buf(), Some(unpacked))
    }

    fn read(folder: PathBuf, unpacked: Option<tempfile::TempDir>) -> Result<Self, OpenError> {
        let manifest = Manifest::read(&folder.join("bundle.toml"))?;
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
    folder: PathBuf,
    digest: String,
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
            Some(note) => Some(open_encoder(&folder, note, &schema, &manifest.files, arithmetic)?),
        };
        if words.is_none() && encoder.is_none() {
            return Err(OpenError::Empty { folder });
        }
        let path = folder.join("bundle.toml");
        let digest = digest(&path).map_err(|source| OpenError::Read { path, source })?;
        Ok(Self {
            manifest,
            schema,
            models: Models { words, encoder },
            digest,
            folder,
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
        let manifest = Manifest::read(&folder.join("bundle.toml"))?;
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

    /// What a bundle's directory says about itself, without opening its models.
    pub fn manifest_of(folder: &Path) -> Result<Manifest, OpenError> {
        Manifest::read(&folder.join("bundle.toml"))
    }

    /// The directory it was opened from; that of an archive is gone with the bundle.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Names the bundle: sha256 of its manifest, which holds the digests of all other files.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The encoder's networks with all their weights, read anew to be trained on, and the tasks of each as positions in
    /// the schema. None without an encoder.
    ///
    /// # Errors
    /// [`OpenError`] when the weights cannot be read.
    pub fn networks(&self) -> Result<Vec<(Vec<usize>, Network)>, OpenError> {
        let Some(note) = &self.manifest.encoder else {
            return Ok(Vec::new());
        };
        let config = Config::read(&self.folder.join("config.json")).map_err(CheckpointError::from)?;
        read_networks(&self.folder, note, &self.schema, config).collect()
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

    /// Encodes a text for its models.
    pub fn encode(&self, text: String) -> Result<Encoded, TokenizerError> {
        self.models.encode(text)
    }

    /// Logits of each task in schema order, rows in the order of the texts this bundle encoded.
    pub fn logits_of(&self, encoded: &[&Encoded]) -> Vec<Logits> {
        self.models.logits_of(self.manifest.hybrid.as_ref(), encoded)
    }
}

fn read_text(path: &Path) -> Result<String, OpenError> {
    std::fs::read_to_string(path).map_err(|source| OpenError::Read {
        path: path.to_path_buf(),
        source,
    })
}

fn open_encoder(
    folder: &Path,
    note: &EncoderNote,
    schema: &Schema,
    files: &BTreeMap<String, String>,
    arithmetic: Arithmetic,
) -> Result<EncoderModel, OpenError> {
    let (config, text) = map_text_encoder(folder, note, files)?;
    let mut parts = Vec::new();
    for (tasks, place) in places(folder, note, schema) {
        let file = place.join(packed::FILE);
        // The words in it are little-endian; what was written before it was is packed now.
        let mapped = arithmetic == Arithmetic::Int8 && cfg!(target_endian = "little") && file.exists();
        let part = if mapped {
            let network = read_network(&place, &tasks, note, schema, config.clone(), hf::Part::AroundMaps)?;
            let name = place
                .strip_prefix(folder)
                .unwrap_or(&place)
                .join("model.safetensors");
            let source = files.get(&*name.to_string_lossy()).map_or("", String::as_str);
            let packed = Packed::open(&file, &config, source)?;
            Part {
                tasks,
                network,
                packed,
            }
        } else {
            let network = read_network(&place, &tasks, note, schema, config.clone(), hf::Part::Whole)?;
            let mut part = Part::new(tasks, network, arithmetic)?;
            part.network.encoder.forget_layers();
            part
        };
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
    let (config, text) = read_text_encoder(folder, note)?;
    Ok((text, read_networks(folder, note, schema, config)))
}

/// As [`read_text_encoder`], with the pieces mapped where the bundle keeps them so.
fn map_text_encoder(
    folder: &Path,
    note: &EncoderNote,
    files: &BTreeMap<String, String>,
) -> Result<(Config, TextEncoder), OpenError> {
    let file = folder.join(pieces::FILE);
    if !file.exists() {
        return read_text_encoder(folder, note);
    }
    let config = Config::read(&folder.join("config.json")).map_err(CheckpointError::from)?;
    let source = files.get("tokenizer.json").map_or("", String::as_str);
    let text = TextEncoder::map(&file, source, note.max_tokens.min(config.longest()), &note.prefix)?;
    text.check_rows(config.vocabulary)?;
    Ok((config, text))
}

fn read_text_encoder(folder: &Path, note: &EncoderNote) -> Result<(Config, TextEncoder), OpenError> {
    let config = Config::read(&folder.join("config.json")).map_err(CheckpointError::from)?;
    let text = TextEncoder::open(folder, note.max_tokens.min(config.longest()), &note.prefix)?;
    text.check_rows(config.vocabulary)?;
    Ok((config, text))
}

fn read_networks<'a>(
    folder: &'a Path,
    note: &'a EncoderNote,
    schema: &'a Schema,
    config: Config,
) -> impl ExactSizeIterator<Item = ReadNetwork> + 'a {
    places(folder, note, schema)
        .into_iter()
        .map(move |(tasks, place)| {
            let network = read_network(&place, &tasks, note, schema, config.clone(), hf::Part::Whole)?;
            Ok((tasks, network))
        })
}

/// The tasks of each network, as positions in the schema, and its directory.
fn places(folder: &Path, note: &EncoderNote, schema: &Schema) -> Vec<(Vec<usize>, PathBuf)> {
    let all: Vec<usize> = (0..schema.tasks().len()).collect();
    match note.sharing {
        Sharing::SingleTask if all.len() > 1 => {
            let place = |task: usize| folder.join("tasks").join(task.to_string());
            all.into_iter().map(|task| (vec![task], place(task))).collect()
        }
        _ => vec![(all, folder.to_path_buf())],
    }
}

fn read_network(
    place: &Path,
    tasks: &[usize],
    note: &EncoderNote,
    schema: &Schema,
    config: Config,
    part: hf::Part,
) -> Result<Network, OpenError> {
    let hidden = config.hidden;
    let checkpoint = Checkpoint::open(place)?;
    let encoder = checkpoint.part(config, part)?;
    let mut heads = Vec::new();
    for task in tasks {
        let task = &schema.tasks()[*task];
        let name = format!("heads.{}", task.name());
        heads.push(hf::read_linear(&checkpoint, &name, task.len(), hidden)?);
    }
    Ok(Network {
        encoder,
        pooling: note.pooling,
        heads,
    })
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
