//! One run: a recipe and its datasets become the models of a bundle, calibrated and measured on validation.

use crate::calibrate::{self, Calibrated};
use crate::distil::{Beginning, DistilError, Soft, Teacher};
use crate::fit::{Examples, Fit, FitError, Goal, Memory};
use crate::frozen::{Cache, Told};
use crate::recipe::{Kind, Recipe, Start};
use crate::report::Event;
use crate::{CheckpointError, hybrid, languages, linear};
use poststelle_corpus::Dataset;
use poststelle_kernels::Precision;
use poststelle_kernels::lanes::Arithmetic;
use poststelle_labels::{ClassIndex, Schema};
use poststelle_measure::Evaluation;
use poststelle_nn::Logits;
use poststelle_nn::bundle::{self, DatasetNote, DistilNote, EncoderNote, Manifest, Models};
use poststelle_nn::encode::{Encoder as TextEncoder, TokenizerError};
use poststelle_nn::encoder::{Config, PackError};
use poststelle_nn::hf;
use poststelle_nn::model::{EncoderModel, Part, Sharing};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The base model an encoder starts from.
#[derive(Debug, Clone)]
pub struct Base {
    /// Its folder, in the Hugging Face layout.
    pub folder: PathBuf,
    /// What it is called.
    pub id: String,
    /// What it is, exactly.
    pub digest: String,
}

/// Everything a run starts from.
pub struct Inputs<'a> {
    /// The settings.
    pub recipe: &'a Recipe,
    /// What is learned from.
    pub learning: &'a Dataset,
    /// What early stopping, calibration and thresholds use.
    pub validation: &'a Dataset,
    /// The base model; only kinds with an encoder need one, and a student that begins with its teacher's layers needs none.
    pub base: Option<&'a Base>,
    /// What teaches the encoder beside the labels.
    pub teacher: Option<&'a Teacher>,
    /// Where checkpoints are kept; none are without it.
    pub checkpoints: Option<&'a Path>,
    /// Where the outputs of frozen layers are kept; without it they are computed again in every epoch.
    pub frozen: Option<Cache<'a>>,
}

/// What a run tells while it goes on; the caller times it.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    /// The linear model starts to learn; it takes seconds.
    Linear {
        /// From this many texts.
        texts: usize,
    },
    /// A teacher answers the training mails.
    Teaching {
        /// Texts answered so far.
        done: usize,
        /// Texts to answer.
        of: usize,
        /// How many of them the files of unlabelled mails hold.
        unlabelled: usize,
    },
    /// A student begins with these layers.
    Student {
        /// Counted from 0.
        layers: Vec<usize>,
        /// Layers there are.
        of: usize,
    },
    /// An encoder starts to learn these tasks.
    Encoder {
        /// The tasks' names.
        tasks: Vec<String>,
        /// Updates if it is not stopped early.
        steps: usize,
        /// The arithmetic.
        precision: Precision,
        /// Passes over the data if it is not stopped early.
        epochs: usize,
        /// Tokens of the validation texts, which are classified after every pass.
        validation_tokens: usize,
        /// What it holds in memory.
        memory: Memory,
    },
    /// The frozen layers are run over all texts, once.
    Frozen(Told),
    /// Texts longer than the limit lose their end.
    Truncated {
        /// How many.
        texts: usize,
        /// Of how many.
        of: usize,
        /// The limit.
        max_tokens: usize,
    },
    /// The run goes on from this checkpoint.
    Resumed(PathBuf),
    /// A checkpoint was written.
    Saved,
    /// An encoder got on.
    Fit(Event),
}

/// Why a run cannot end in a model.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A kind with an encoder was given no base model.
    #[error("model.kind needs a base model, none was given")]
    NoBase,
    /// The base model cannot be read.
    #[error("base model")]
    Base(#[from] hf::CheckpointError),
    /// Its tokenizer cannot be used.
    #[error("tokenizer of the base model")]
    Tokenizer(#[from] TokenizerError),
    /// The teacher cannot teach this.
    #[error(transparent)]
    Distil(#[from] DistilError),
    /// The linear model cannot be trained.
    #[error(transparent)]
    Linear(#[from] linear::FitError),
    /// The encoder cannot be trained.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// A checkpoint cannot be written or used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The trained encoder cannot be packed for inference.
    #[error(transparent)]
    Pack(#[from] PackError),
}

/// What a run ends in.
pub struct Outcome {
    /// The trained models.
    pub models: Models,
    /// All that the bundle will say about itself but its files' digests.
    pub manifest: Manifest,
    /// The figures on validation.
    pub evaluation: Evaluation,
    /// The folder whose configuration and tokenizer the encoder has.
    pub reads_from: Option<PathBuf>,
}

/// Trains what the recipe asks for; `created` is the present as RFC 3339, `written_by` names the program.
pub fn run(
    inputs: &Inputs<'_>,
    created: &str,
    written_by: &str,
    observe: &mut dyn FnMut(Observed),
) -> Result<Outcome, RunError> {
    let Inputs {
        recipe,
        learning,
        validation,
        ..
    } = *inputs;
    let schema = learning.schema();
    let adopted = match inputs.teacher {
        Some(teacher) => Some(teacher.adopt(recipe, schema)?),
        None if recipe.distil.is_some() => return Err(DistilError::NoTeacher.into()),
        None => None,
    };
    let recipe = adopted.as_ref().unwrap_or(recipe);
    let (texts, gold) = (texts(learning), gold(learning));
    let mut models = Models::default();
    if recipe.model.kind != Kind::Encoder {
        let classes: Vec<usize> = schema.tasks().iter().map(|task| task.len()).collect();
        observe(Observed::Linear { texts: texts.len() });
        models.words = Some(linear::fit(
            &texts,
            &gold,
            &classes,
            &recipe.linear,
            recipe.train.seed,
            |_| (),
        )?);
    }
    let (mut note, mut distilled, mut reads_from) = (None, None, None);
    if recipe.model.kind != Kind::Linear {
        let fitted = fit_encoder(recipe, inputs, observe)?;
        models.encoder = Some(fitted.model);
        note = Some(fitted.note);
        distilled = fitted.distilled;
        reads_from = Some(fitted.folder);
    }

    let validation_texts = crate::run::texts(validation);
    let validation_gold = crate::run::gold(validation);
    let mut mix = None;
    let logits: Vec<Logits> = match (&models.words, &models.encoder) {
        (Some(words), Some(encoder)) => {
            let both = (
                words.logits(&validation_texts),
                encoder.logits(&validation_texts)?,
            );
            let fitted = hybrid::fit(&both.0, &both.1, &validation_gold);
            let logits = poststelle_nn::hybrid::combine(&fitted, &both.0, &both.1);
            mix = Some(fitted);
            logits
        }
        _ => models.logits(None, &validation_texts)?,
    };
    let Calibrated {
        calibration,
        evaluation,
    } = calibrate::calibrate(
        schema,
        &logits,
        &validation_gold,
        recipe.confidence,
        recipe.train.seed,
    );
    let manifest = Manifest {
        format: bundle::FORMAT,
        created: created.to_owned(),
        written_by: written_by.to_owned(),
        schema_version: schema.version(),
        schema_digest: schema.digest(),
        clean_profile: recipe.clean.profile.clone(),
        clean_redact: recipe.clean.redact.clone(),
        languages: languages::of(learning.examples()),
        dataset: DatasetNote {
            train_digest: learning.digest().to_owned(),
            train_examples: learning.examples().len(),
            validation_digest: validation.digest().to_owned(),
            validation_examples: validation.examples().len(),
        },
        encoder: note,
        distilled,
        hybrid: mix,
        calibration,
        metrics: metrics(schema, &evaluation),
        recipe: toml::Table::try_from(recipe).expect("a recipe is a table of plain values"),
        files: BTreeMap::new(),
    };
    Ok(Outcome {
        models,
        manifest,
        evaluation,
        reads_from,
    })
}

/// The texts of a dataset as the model reads them.
pub fn texts(dataset: &Dataset) -> Vec<&str> {
    dataset.examples().iter().map(|example| example.text()).collect()
}

/// Gold labels per task, per example.
pub fn gold(dataset: &Dataset) -> Vec<Vec<Option<ClassIndex>>> {
    (0..dataset.schema().tasks().len())
        .map(|task| {
            dataset
                .examples()
                .iter()
                .map(|example| example.gold()[task])
                .collect()
        })
        .collect()
}

fn metrics(
    schema: &Schema,
    evaluation: &Evaluation,
) -> BTreeMap<poststelle_labels::TaskName, BTreeMap<String, f64>> {
    let mut all = BTreeMap::new();
    for task in schema.tasks() {
        let found = evaluation
            .tasks
            .iter()
            .find(|(name, _)| name == task.name().as_str());
        if let Some((_, measured)) = found {
            let scores = &measured.scores;
            let figures = [
                ("accuracy", scores.accuracy),
                ("macro_precision", scores.macro_precision),
                ("macro_recall", scores.macro_recall),
                ("macro_f1", scores.macro_f1),
                ("weighted_f1", scores.weighted_f1),
                ("ece", measured.ece),
            ];
            all.insert(
                task.name().clone(),
                figures.map(|(name, value)| (name.to_owned(), value)).into(),
            );
        }
    }
    all
}

/// A trained encoder and what its bundle says about it.
struct Fitted {
    model: EncoderModel,
    note: EncoderNote,
    distilled: Option<DistilNote>,
    folder: PathBuf,
}

fn fit_encoder(
    recipe: &Recipe,
    inputs: &Inputs<'_>,
    observe: &mut dyn FnMut(Observed),
) -> Result<Fitted, RunError> {
    let schema = inputs.learning.schema();
    let taught = inputs.teacher.zip(recipe.distil.as_ref());
    let mut beginning = match taught {
        Some((teacher, settings)) => Beginning::of_student(teacher, settings, inputs.base)?,
        None => Beginning::of_base(inputs.base.ok_or(RunError::NoBase)?),
    };
    let config = Config::read(&beginning.folder.join("config.json")).map_err(hf::CheckpointError::from)?;
    let max_tokens = recipe.model.max_tokens.min(config.longest());
    let text = TextEncoder::open(&beginning.folder, max_tokens, recipe.model.prefix())?;
    text.check_rows(config.vocabulary)?;
    let unlabelled = inputs.teacher.map_or(Vec::new(), Teacher::unlabelled);
    let learning_texts = [texts(inputs.learning), unlabelled.clone()].concat();
    let learning = text.encode(&learning_texts)?;
    let validation = text.encode(&texts(inputs.validation))?;
    let cut = learning
        .iter()
        .chain(&validation)
        .filter(|encoding| encoding.truncated)
        .count();
    if cut > 0 {
        observe(Observed::Truncated {
            texts: cut,
            of: learning.len() + validation.len(),
            max_tokens,
        });
    }
    let answers = match taught {
        None => None,
        Some((teacher, settings)) => Some(teacher.answers(settings, &learning_texts, &mut |done| {
            observe(Observed::Teaching {
                done,
                of: learning_texts.len(),
                unlabelled: unlabelled.len(),
            });
        })?),
    };
    if let Some((layers, of)) = beginning.kept.clone() {
        observe(Observed::Student { layers, of });
    }
    let distilled = taught.map(|(teacher, settings)| match (&beginning.kept, settings.start) {
        (Some((layers, _)), Start::Teacher) => teacher.note(layers.clone()),
        _ => teacher.note(Vec::new()),
    });
    let (mut learning_gold, validation_gold) = (gold(inputs.learning), gold(inputs.validation));
    for task in &mut learning_gold {
        task.resize(learning.len(), None);
    }
    let groups: Vec<Vec<usize>> = match recipe.model.sharing {
        Sharing::MultiTask => vec![(0..schema.tasks().len()).collect()],
        Sharing::SingleTask => (0..schema.tasks().len()).map(|task| vec![task]).collect(),
    };
    let mut parts = Vec::new();
    let mut frozen = None;
    for (n, tasks) in groups.into_iter().enumerate() {
        let goal = |task: &usize| {
            let task = &schema.tasks()[*task];
            let weight = recipe
                .tasks
                .0
                .iter()
                .find(|(name, _)| name == task.name())
                .and_then(|(_, t)| t.weight);
            Goal {
                classes: task.len(),
                weight: weight.unwrap_or(1.0),
            }
        };
        let some = |gold: &[Vec<_>]| tasks.iter().map(|task| gold[*task].clone()).collect::<Vec<_>>();
        let (learning_gold, validation_gold) = (some(&learning_gold), some(&validation_gold));
        let network = beginning.network(&tasks, recipe.model.pooling)?;
        let learning = Examples {
            encodings: &learning,
            gold: &learning_gold,
        };
        let validation = Examples {
            encodings: &validation,
            gold: &validation_gold,
        };
        let validation = Some(validation).filter(|examples| !examples.encodings.is_empty());
        let goals = tasks.iter().map(goal).collect();
        let mut fit = Fit::new(network, &recipe.train, goals, learning, validation)?;
        if let (Some((_, settings)), Some(answers), Some(note)) = (taught, &answers, &distilled) {
            let targets = tasks.iter().map(|task| answers[*task].clone()).collect();
            let layers = beginning.kept.as_ref().map(|(layers, _)| layers);
            let origin = format!(
                "teacher {}, begins with {:?} layers {:?}",
                note.teacher_digest,
                settings.start,
                layers.unwrap_or(&Vec::new())
            );
            fit = fit.taught_by(Soft::new(targets, settings, origin));
        }
        // Only models of one base have the same frozen layers; each network of a single-task teacher has its own.
        if !beginning.is_shared() {
            frozen = None;
        }
        if let (None, Some(cache)) = (&frozen, inputs.frozen) {
            frozen = fit
                .frozen_outputs(cache, &mut |told| observe(Observed::Frozen(told)))
                .map_err(FitError::from)?;
        }
        if let Some(outputs) = &frozen {
            fit.use_frozen(Arc::clone(outputs));
        }
        observe(Observed::Encoder {
            tasks: tasks
                .iter()
                .map(|task| schema.tasks()[*task].name().to_string())
                .collect(),
            steps: fit.steps(),
            precision: fit.precision(),
            epochs: recipe.train.epochs,
            validation_tokens: validation
                .map_or(0, |set| set.encodings.iter().map(|text| text.ids.len()).sum()),
            memory: fit.memory(),
        });
        let checkpoint = inputs
            .checkpoints
            .map(|folder| folder.join(format!("encoder-{n}.safetensors")));
        if let Some(path) = checkpoint.as_ref().filter(|path| path.exists()) {
            fit.resume(path)?;
            observe(Observed::Resumed(path.clone()));
        }
        while let Some(event) = fit.next() {
            let event = event?;
            let epoch_over = matches!(event, Event::Evaluated(_));
            observe(Observed::Fit(event));
            if let Some(path) = checkpoint.as_ref().filter(|_| epoch_over) {
                fit.save(path)?;
                observe(Observed::Saved);
            }
        }
        parts.push(Part::new(tasks, fit.finish(), Arithmetic::default())?);
    }
    let Beginning {
        folder,
        base: (base, base_digest),
        shrunk,
        ..
    } = beginning;
    let note = EncoderNote {
        base,
        base_digest,
        sharing: recipe.model.sharing,
        pooling: recipe.model.pooling,
        max_tokens,
        prefix: recipe.model.prefix().to_owned(),
        shrunk,
    };
    let model = EncoderModel { text, parts };
    Ok(Fitted {
        model,
        note,
        distilled,
        folder,
    })
}
