//! A trained bundle teaches a smaller encoder.
//!
//! The student begins with some layers of the teacher's encoder and with its heads (or with a base model), and learns from
//! the labels and from what the teacher answers, on mails without a label, too. Half the layers are half the work, and a
//! teacher says more about a mail than its label does: which other labels it might have had.
//!
//! **What is taught** are the logits the bundle would serve, before its calibration. Of a hybrid these are the pool of both
//! its models, which knows more than its encoder does: what the words say on rare labels reaches the student. A hybrid's
//! student is then weighed against words of its own on validation, as any hybrid is. The calibration's temperature is left
//! out: it was fitted on mails the teacher had not learned from, and most of these it has; `distil.temperature` softens
//! both sides alike.
//!
//! The teacher answers once, before the first update, on all cores, in bf16 where the processor has it and else in f32: a
//! pass over the mails costs a fraction of an epoch and int8's noise would be learned.
//!
//! Source: Hinton et al. 2015, arXiv:1503.02531; Sanh et al. 2019 (DistilBERT), arXiv:1910.01108; Sun et al. 2019 (Patient
//! Knowledge Distillation), arXiv:1908.09355; Turc et al. 2019 ("Well-Read Students Learn Better"), arXiv:1908.08962, for
//! mails without labels.

use crate::recipe::{Distil, Kind, Layers, Recipe, Start};
use crate::run::Base;
use poststelle_corpus::Dataset;
use poststelle_kernels::lanes::Arithmetic;
use poststelle_labels::Schema;
use poststelle_nn::bundle::{Bundle, DistilNote, EncoderNote, OpenError, ShrinkNote};
use poststelle_nn::encode::TokenizerError;
use poststelle_nn::encoder::{Config, ConfigError};
use poststelle_nn::hf;
use poststelle_nn::loss::distillation;
use poststelle_nn::{Logits, Network, Pooling, Probabilities};
use std::path::{Path, PathBuf};

/// Texts a teacher answers between two words about it.
const CHUNK: usize = 512;

/// A bundle that teaches, and the mails that only it labels.
pub struct Teacher {
    bundle: Bundle,
    name: String,
    unlabelled: Option<Dataset>,
}

/// Why a bundle cannot teach what a recipe asks for.
#[derive(Debug, thiserror::Error)]
pub enum DistilError {
    /// The recipe has a teacher, the run was given none.
    #[error("the recipe names a teacher, none was given")]
    NoTeacher,
    /// A linear model learns from labels alone.
    #[error("model.kind is `linear`, and only an encoder or a hybrid learns from a teacher")]
    Linear,
    /// Both sides answer other labels.
    #[error("the teacher `{teacher}` answers labels with digest {found}, this run's have digest {expected}")]
    Schema {
        /// The teacher.
        teacher: String,
        /// Digest of its schema.
        found: String,
        /// Digest of the run's schema.
        expected: String,
    },
    /// Both sides would read other texts.
    #[error("the recipe's {key} is `{found}`, the teacher `{teacher}` learned with `{expected}`")]
    Clean {
        /// The recipe's key.
        key: &'static str,
        /// Its value.
        found: String,
        /// The teacher.
        teacher: String,
        /// The teacher's value.
        expected: String,
    },
    /// There are no layers to begin with.
    #[error("the teacher `{teacher}` has no encoder, so a student cannot begin with its layers")]
    NoEncoder {
        /// The teacher.
        teacher: String,
    },
    /// Layers that are not there.
    #[error("distil.layers is {found}, expected {of} layers at most, counted from 0 and ascending")]
    Layers {
        /// The recipe's value.
        found: Layers,
        /// Layers there are.
        of: usize,
    },
    /// The student would begin with a base model, and none was given.
    #[error("distil.start is `base`, no base model was given")]
    NoBase,
    /// The weights a student begins with cannot be read.
    #[error("the teacher's encoder")]
    Open(#[from] OpenError),
    /// Their configuration cannot be read.
    #[error("the encoder a student begins with")]
    Config(#[from] ConfigError),
    /// The teacher cannot read a text.
    #[error("the teacher cannot answer")]
    Tokenizer(#[from] TokenizerError),
}

impl Teacher {
    /// What a teacher computes in.
    pub fn arithmetic() -> Arithmetic {
        Arithmetic::Bf16.supported().unwrap_or(Arithmetic::F32)
    }

    /// A bundle opened in [`arithmetic`](Self::arithmetic) as teacher; `name` is what people call it.
    pub fn new(bundle: Bundle, name: String, unlabelled: Option<Dataset>) -> Self {
        Self {
            bundle,
            name,
            unlabelled,
        }
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The labels it answers.
    pub fn schema(&self) -> &Schema {
        self.bundle.schema()
    }

    /// True where the teacher learned from just these mails.
    pub fn knows(&self, learning: &Dataset) -> bool {
        self.bundle.manifest().dataset.train_digest == learning.digest()
    }

    /// Texts that only the teacher labels.
    pub(crate) fn unlabelled(&self) -> Vec<&str> {
        self.unlabelled.as_ref().map_or(Vec::new(), crate::run::texts)
    }

    /// The recipe that is in force for a student of this teacher: with the teacher's layers it has the teacher's base model,
    /// sharing, pooling and prefix.
    ///
    /// # Errors
    /// [`DistilError`] where teacher and recipe do not fit.
    pub fn adopt(&self, recipe: &Recipe, schema: &Schema) -> Result<Recipe, DistilError> {
        if recipe.model.kind == Kind::Linear {
            return Err(DistilError::Linear);
        }
        let teacher = || self.name.clone();
        let manifest = self.bundle.manifest();
        if manifest.schema_digest != schema.digest() {
            return Err(DistilError::Schema {
                teacher: teacher(),
                found: manifest.schema_digest.clone(),
                expected: schema.digest(),
            });
        }
        for (key, found, expected) in [
            ("clean.profile", &recipe.clean.profile, &manifest.clean_profile),
            ("clean.redact", &recipe.clean.redact, &manifest.clean_redact),
        ] {
            if found != expected {
                return Err(DistilError::Clean {
                    key,
                    found: found.clone(),
                    teacher: teacher(),
                    expected: expected.clone(),
                });
            }
        }
        let mut recipe = recipe.clone();
        let settings = recipe.distil.get_or_insert_default();
        if settings.start == Start::Teacher {
            let Some(note) = &manifest.encoder else {
                return Err(DistilError::NoEncoder { teacher: teacher() });
            };
            let model = &mut recipe.model;
            model.base.clone_from(&note.base);
            (model.sharing, model.pooling) = (note.sharing, note.pooling);
            model.prefix = Some(note.prefix.clone());
        }
        Ok(recipe)
    }

    /// The teacher's answers at `settings.temperature` per task, in schema order; `tell` hears how many are done.
    ///
    /// # Errors
    /// [`DistilError::Tokenizer`] for a text that cannot be read.
    pub(crate) fn answers(
        &self,
        settings: &Distil,
        texts: &[&str],
        tell: &mut dyn FnMut(usize),
    ) -> Result<Vec<Probabilities>, DistilError> {
        let mut values: Vec<Vec<f32>> = vec![Vec::new(); self.schema().tasks().len()];
        let mix = self.bundle.manifest().hybrid.as_ref();
        for (n, chunk) in texts.chunks(CHUNK).enumerate() {
            let logits = self.bundle.models().logits(mix, chunk)?;
            for (values, logits) in values.iter_mut().zip(logits) {
                values.extend_from_slice(logits.softmax(settings.temperature).values());
            }
            tell((n * CHUNK + chunk.len()).min(texts.len()));
        }
        let tasks = self.schema().tasks().iter().zip(values);
        Ok(tasks
            .map(|(task, values)| Probabilities::new(texts.len(), task.len(), values))
            .collect())
    }

    /// What the student's bundle says about its teacher.
    pub(crate) fn note(&self, layers: Vec<usize>) -> DistilNote {
        DistilNote {
            teacher: self.name.clone(),
            teacher_digest: self.bundle.digest().to_owned(),
            layers,
            unlabelled_digest: self.unlabelled.as_ref().map(|mails| mails.digest().to_owned()),
            unlabelled_examples: self.unlabelled().len(),
        }
    }
}

/// Where an encoder's first weights come from.
pub(crate) struct Beginning {
    /// The folder of its configuration and tokenizer.
    pub folder: PathBuf,
    /// The base model, and its digest.
    pub base: (String, String),
    /// How the vocabulary was cut down.
    pub shrunk: Option<ShrinkNote>,
    /// Layers that are kept, and of how many; all where there is no teacher.
    pub kept: Option<(Vec<usize>, usize)>,
    /// The teacher's networks with their tasks.
    networks: Option<Vec<(Vec<usize>, Network)>>,
}

impl Beginning {
    /// The whole of a base model.
    pub fn of_base(base: &Base) -> Self {
        Self {
            folder: base.folder.clone(),
            base: (base.id.clone(), base.digest.clone()),
            shrunk: None,
            kept: None,
            networks: None,
        }
    }

    /// What a student of `teacher` begins with.
    ///
    /// # Errors
    /// [`DistilError`] where layers are asked for that are not there, or weights cannot be read.
    pub fn of_student(
        teacher: &Teacher,
        settings: &Distil,
        base: Option<&Base>,
    ) -> Result<Self, DistilError> {
        let layers_of = |folder: &Path| Config::read(&folder.join("config.json")).map(|config| config.layers);
        let kept = |of: usize, default: usize| {
            let layers = settings.layers.clone().unwrap_or(Layers::Count(default.max(1)));
            match layers.kept(of) {
                Some(kept) => Ok((kept, of)),
                None => Err(DistilError::Layers { found: layers, of }),
            }
        };
        if settings.start == Start::Base {
            let beginning = Self::of_base(base.ok_or(DistilError::NoBase)?);
            let of = layers_of(&beginning.folder)?;
            return Ok(Self {
                kept: Some(kept(of, of)?),
                ..beginning
            });
        }
        let Some(EncoderNote {
            base,
            base_digest,
            shrunk,
            ..
        }) = teacher.bundle.manifest().encoder.clone()
        else {
            return Err(DistilError::NoEncoder {
                teacher: teacher.name.clone(),
            });
        };
        let folder = teacher.bundle.folder().to_path_buf();
        let of = layers_of(&folder)?;
        Ok(Self {
            folder,
            base: (base, base_digest),
            shrunk,
            kept: Some(kept(of, of / 2)?),
            networks: Some(teacher.bundle.networks()?),
        })
    }

    /// True where every task's network begins with the same weights.
    pub fn is_shared(&self) -> bool {
        self.networks.is_none()
    }

    /// The network that is to learn `tasks`, which are as the teacher's networks have them; without heads if there is none.
    ///
    /// # Errors
    /// [`hf::CheckpointError`] where a base model's weights cannot be read.
    pub fn network(&mut self, tasks: &[usize], pooling: Pooling) -> Result<Network, hf::CheckpointError> {
        let mut network = match &mut self.networks {
            None => Network {
                encoder: hf::read(&self.folder)?,
                pooling,
                heads: Vec::new(),
            },
            Some(networks) => {
                let place = networks.iter().position(|(theirs, _)| theirs == tasks);
                networks
                    .swap_remove(place.expect("a student shares as its teacher does"))
                    .1
            }
        };
        if let Some((kept, _)) = &self.kept {
            network.encoder.keep_layers(kept);
        }
        Ok(network)
    }
}

/// What a teacher says about the training examples of one fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Soft {
    targets: Vec<Probabilities>,
    temperature: f32,
    share: f32,
    origin: String,
}

impl Soft {
    /// `targets` hold the teacher's probabilities at the settings' temperature, `[examples, classes]` per goal; `origin`
    /// names the teacher and what the student began with, for checkpoints.
    pub fn new(targets: Vec<Probabilities>, settings: &Distil, origin: String) -> Self {
        Self {
            targets,
            temperature: settings.temperature,
            share: settings.share,
            origin,
        }
    }

    /// The distance's share of the loss.
    pub(crate) fn share(&self) -> f32 {
        self.share
    }

    /// Refuses other shapes than a fit has: they are ours, never outside data.
    pub(crate) fn check(&self, examples: usize, classes: impl ExactSizeIterator<Item = usize>) {
        assert_eq!(self.targets.len(), classes.len(), "a teacher answers every goal");
        for (target, classes) in self.targets.iter().zip(classes) {
            let shape = (target.rows(), target.classes());
            assert_eq!(shape, (examples, classes), "a teacher's answers");
        }
    }

    /// Adds the gradient of the distance on some examples to `grad`, and returns the distance; both times the share and the
    /// task's `weight`. `rows` is the number of examples in the whole step.
    pub(crate) fn add(
        &self,
        task: usize,
        examples: &[usize],
        logits: &Logits,
        rows: usize,
        weight: f32,
        grad: &mut [f32],
    ) -> f64 {
        let target = &self.targets[task];
        let some = examples.iter().flat_map(|example| target.row(*example));
        let some = Probabilities::new(examples.len(), target.classes(), some.copied().collect());
        let scale = weight * self.share;
        let (distance, pull) = distillation(logits, &some, self.temperature, rows, scale);
        for (grad, pull) in grad.iter_mut().zip(pull) {
            *grad += pull;
        }
        distance * f64::from(scale)
    }

    /// Names the teacher, the settings and every answer: a checkpoint fits only a run that learns from the same.
    pub(crate) fn fingerprint(&self) -> String {
        let Self {
            targets,
            temperature,
            share,
            origin,
        } = self;
        // FNV-1a: it tells an accident, not a forgery.
        let step =
            |hash: u64, value: &f32| (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0000_0100_0000_01b3);
        let values = targets.iter().flat_map(Probabilities::values);
        let hash = values.fold(0xcbf2_9ce4_8422_2325, step);
        format!("{origin}, temperature {temperature}, share {share}, answers {hash:016x}")
    }
}
