//! `train`: one run from a recipe to a bundle, tracked.

pub mod data;
mod pace;
mod sagemaker;
mod teacher;
mod watch;

use crate::commands::figures;
use crate::commands::predict::Precision;
use crate::failure::{Failure, Kind as Ending};
use crate::output::Output;
use data::{Datasets, load};
use poststelle_base::BaseRef;
use poststelle_lifecycle::Gate;
use poststelle_measure::{Evaluation, Seed};
use poststelle_nn::bundle;
use poststelle_nn::hybrid::Side;
use poststelle_train::recipe::{Kind, Start};
use poststelle_train::{Base, Cache, DistilError, FitError, Inputs, Outcome, Recipe, RunError, Teacher, run};
pub use sagemaker::Container;
use std::path::{Path, PathBuf};
use watch::Watch;

/// Train a model and write it as a bundle
///
/// Reads the recipe, checks the data, trains the linear model, the encoder or both, fits temperatures and bands on
/// validation and writes the bundle with its history and figures; of a hybrid it also tells what each of its two models
/// reaches alone. With a teacher, the encoder begins with half of that bundle's layers and learns from its answers, too
/// (`[distil]` in the recipe says how). Stopped runs go on from --checkpoints. A run that misses its gate ends refused; its
/// bundle is kept.
/// With train.freeze_layers the frozen layers are run once and what they say of each mail is kept on the disk of --out
/// until the run ends; it derives from mail, so only --keep-frozen keeps it longer.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Every setting of the run; without it the files of a SageMaker training job are read, where there are some
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Override one key of the recipe (can be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Bundle that teaches a smaller encoder; in place of the recipe's `distil.teacher`
    #[arg(long, value_name = "BUNDLE")]
    teacher: Option<PathBuf>,
    /// Directory of the bundle, which must not exist
    #[arg(long, value_name = "BUNDLE")]
    out: Option<PathBuf>,
    /// Directory for checkpoints; a run that finds some goes on from them
    #[arg(long, value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// Directory where the frozen layers' outputs stay for later runs over the same mails
    #[arg(long, value_name = "DIR")]
    keep_frozen: Option<PathBuf>,
    /// Train although the data checks found errors
    #[arg(long)]
    accept_findings: bool,
    /// Print SageMaker's metric definitions for this run as JSON, and train nothing
    #[arg(long)]
    metric_definitions: bool,
    /// Print the figures on validation (and test) as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `train`.
pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    match (&args.recipe, &args.out, Container::here()) {
        (None, None, Some(container)) => container.train(out),
        _ => run_with(args, out),
    }
}

fn needs(argument: &str) -> Failure {
    Failure {
        kind: Ending::Misused,
        message: format!("`train` needs {argument}"),
        hint: Some("`poststelle train --recipe recipe.toml --out BUNDLE`".to_owned()),
    }
}

fn run_with(args: Args, out: &mut Output) -> Result<(), Failure> {
    let Args {
        recipe,
        mut set,
        teacher,
        out: folder,
        checkpoints,
        keep_frozen,
        accept_findings,
        metric_definitions,
        json,
    } = args;
    let path = recipe.ok_or_else(|| needs("--recipe"))?;
    if metric_definitions {
        let recipe = read_recipe(&path, &set)?;
        let root = path.parent().unwrap_or(Path::new(""));
        let tasks = data::Parts::read(&recipe, root)?.tasks();
        return out.json(&sagemaker::metric_definitions(&tasks));
    }
    let folder = folder.ok_or_else(|| needs("--out"))?;
    if folder.exists() {
        let taken = bundle::SaveError::Exists { path: folder };
        return Err(Failure::misused(taken).hint("name another directory with --out"));
    }
    if let Some(teacher) = teacher {
        // The recipe's paths begin at its folder, those of the command line at the current one.
        set.push(format!(
            "distil.teacher={}",
            std::path::absolute(teacher)?.display()
        ));
    }
    let recipe = read_recipe(&path, &set)?;
    let root = path.parent().unwrap_or(Path::new(""));
    let datasets = load(&recipe, root, accept_findings, out)?;
    let teacher = match &recipe.distil {
        None => None,
        Some(distil) => Some(teacher::open(&recipe, distil, root, &datasets, out)?),
    };
    let takes_layers = recipe
        .distil
        .as_ref()
        .is_some_and(|distil| distil.start == Start::Teacher);
    let base = match recipe.model.kind {
        Kind::Encoder | Kind::Hybrid if !takes_layers => Some(fetch(&recipe.model.base, out)?),
        _ => None,
    };
    let keep = Keep {
        checkpoints: checkpoints.as_deref(),
        frozen: keep_frozen.as_deref(),
    };
    let validation = fit(
        &recipe,
        &datasets,
        base.as_ref(),
        teacher.as_ref(),
        keep,
        &folder,
        out,
    )?;
    let mut report = serde_json::json!({ "bundle": folder, "validation": validation });
    if let Some(test) = &datasets.test {
        let predictor = super::predict::open_bundle(&folder, Precision::default())?.predictor;
        let evaluation = super::evaluate::evaluate(&predictor, test, Seed(recipe.train.seed), out)?;
        show("test", &evaluation, out);
        report["test"] = serde_json::to_value(&evaluation).map_err(Failure::broken)?;
    }
    for (name, side) in [("linear", Side::Linear), ("encoder", Side::Encoder)] {
        let Some(opened) = super::predict::open_alone(&folder, side, Precision::default())? else {
            break;
        };
        let parts = [
            ("validation", Some(&datasets.validation)),
            ("test", datasets.test.as_ref()),
        ];
        for (part, dataset) in parts
            .into_iter()
            .filter_map(|(part, dataset)| Some((part, dataset?)))
        {
            let evaluation =
                super::evaluate::evaluate(&opened.predictor, dataset, Seed(recipe.train.seed), out)?;
            show(&format!("{part}, {name} alone,"), &evaluation, out);
            report["alone"][name][part] = serde_json::to_value(&evaluation).map_err(Failure::broken)?;
        }
    }
    if json {
        out.json(&report)?;
    }
    pass(&recipe.gate, &validation)
}

/// Reads a recipe with its overrides.
fn read_recipe(path: &Path, set: &[String]) -> Result<Recipe, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::misused(super::data::Opening::of(path, error)))?;
    Recipe::from_toml(&text, set).map_err(Failure::misused)
}

/// Makes the base model available.
pub fn fetch(name: &str, out: &mut Output) -> Result<Base, Failure> {
    let reference = BaseRef::parse(name).map_err(Failure::misused)?;
    let pulled = crate::commands::base::fetch(&reference, &crate::commands::base::options()?, out)?;
    Ok(Base {
        folder: pulled.dir,
        id: pulled.id,
        digest: pulled.digest,
    })
}

/// What of a run stays beside its bundle.
#[derive(Clone, Copy, Default)]
pub struct Keep<'a> {
    /// Where its checkpoints stay.
    pub checkpoints: Option<&'a Path>,
    /// Where the outputs of its frozen layers stay.
    pub frozen: Option<&'a Path>,
}

/// Trains, tells how it goes, writes the bundle and returns the figures on validation.
pub fn fit(
    recipe: &Recipe,
    datasets: &Datasets,
    base: Option<&Base>,
    teacher: Option<&Teacher>,
    keep: Keep<'_>,
    folder: &Path,
    out: &mut Output,
) -> Result<Evaluation, Failure> {
    let Datasets {
        learning,
        validation,
        test: _,
    } = datasets;
    if let Some(folder) = keep.checkpoints {
        std::fs::create_dir_all(folder)?;
    }
    out.note(format!(
        "{} mails to learn from, {} to validate on",
        learning.examples().len(),
        validation.examples().len()
    ));
    let names = learning
        .schema()
        .tasks()
        .iter()
        .map(|task| task.name().to_string())
        .collect();
    let mut watch = Watch::new(out, names);
    let beside = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let inputs = Inputs {
        recipe,
        learning,
        validation,
        base,
        teacher,
        checkpoints: keep.checkpoints,
        frozen: Some(keep.frozen.map_or(Cache::Passing(beside), Cache::Kept)),
    };
    let now = crate::clock::now();
    let written_by = concat!("poststelle ", env!("CARGO_PKG_VERSION"));
    let outcome = run::run(&inputs, &now, written_by, &mut |event| watch.hear(&event)).map_err(failure)?;
    let (history, seconds) = watch.end();
    let Outcome {
        mut models,
        manifest,
        evaluation,
        reads_from,
    } = outcome;
    let beside = [("history.jsonl", history.as_bytes())];
    bundle::save(
        folder,
        manifest,
        learning.schema(),
        &mut models,
        reads_from.as_deref(),
        &beside,
    )
    .map_err(Failure::broken)?;
    show("validation", &evaluation, out);
    out.note(format!(
        "bundle written to {} after {seconds:.1} s of training",
        folder.display()
    ));
    Ok(evaluation)
}

/// One line per task.
fn show(part: &str, evaluation: &Evaluation, out: &mut Output) {
    for (name, task) in &evaluation.tasks {
        let scores = &task.scores;
        out.note(format!(
            "{part} {name}: macro-F1 {:.3}, accuracy {:.3}, weighted F1 {:.3}, calibration error {:.3}",
            scores.macro_f1, scores.accuracy, scores.weighted_f1, task.ece
        ));
    }
}

/// Refuses figures below the gates that validation can tell of.
fn pass(gate: &Gate, evaluation: &Evaluation) -> Result<(), Failure> {
    let here = Gate {
        latency_ms: None,
        size_mb: None,
        ..gate.clone()
    };
    let evaluation = figures::record(String::new(), evaluation, 0).judged(&here);
    let missed: Vec<String> = evaluation.failed().map(figures::told).collect();
    if missed.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "the gate is not passed: {}",
        missed.join("; ")
    )))
}

fn failure(error: RunError) -> Failure {
    match error {
        RunError::NoBase | RunError::Linear(_) => Failure::misused(error),
        RunError::Distil(error) => distil_failure(error),
        RunError::Fit(FitError::Diverged { .. }) => Failure::broken(error),
        RunError::Fit(FitError::Outputs(_)) => Failure::broken(error)
            .hint("make room on that disk, or name a directory on another with --keep-frozen"),
        RunError::Fit(_) => Failure::misused(error),
        RunError::Checkpoint(_) => {
            Failure::misused(error).hint("remove the checkpoints, or name another --checkpoints directory")
        }
        RunError::Base(_) | RunError::Tokenizer(_) | RunError::Pack(_) => {
            Failure::broken(error).hint("`poststelle base pull REF --verify` checks the base model's files")
        }
    }
}

fn distil_failure(error: DistilError) -> Failure {
    let hint = match &error {
        DistilError::Schema { .. } => "`schema` in the recipe may name the teacher's own `labels.toml`",
        DistilError::Clean { .. } => "clean as the teacher does; its `bundle.toml` says how",
        DistilError::NoEncoder { .. } => {
            "with `--set distil.start=base` the student begins with `model.base`"
        }
        DistilError::Linear => "set `model.kind` to `encoder` or `hybrid`, or leave the teacher out",
        DistilError::NoTeacher | DistilError::NoBase | DistilError::Layers { .. } => {
            return Failure::misused(error);
        }
        DistilError::Open(_) | DistilError::Config(_) | DistilError::Tokenizer(_) => {
            return Failure::broken(error);
        }
    };
    Failure::misused(error).hint(hint)
}
