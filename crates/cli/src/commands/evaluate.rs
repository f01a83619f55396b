//! `evaluate`: how right a bundle is on labelled mails, and how much it may decide alone.

use crate::commands::predict::{Opened, Precision, open_alone, open_bundle};
use crate::failure::{Failure, Kind};
use crate::output::Output;
use poststelle_corpus::{Dataset, Problem, Record, read};
use poststelle_labels::{ClassIndex, Schema, TaskName};
use poststelle_measure::{Evaluation, Seed, TaskEvaluation, report};
use poststelle_nn::hybrid::Side;
use poststelle_predict::Predictor;
use std::path::{Path, PathBuf};

/// Mails labelled between two progress lines.
const CHUNK: usize = 512;

/// Problems told one by one; the rest is counted.
const TOLD: usize = 5;

/// Measure a bundle on labelled mails
///
/// Answers every mail as the endpoint would, hierarchy included, and compares with the labels of the file. A task whose
/// column has no label is left out. The bands are those the bundle chose on validation.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle: a directory or a model.tar.gz
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Labelled mails: CSV, JSON Lines, Parquet, mbox or .eml files
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// For mail exports: a table with `message_id` and a column per task
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Answer with one model of a hybrid, to see what it brings by itself
    #[arg(long, value_name = "MODEL")]
    alone: Option<Alone>,
    /// Print the evaluation as JSON
    #[arg(long)]
    json: bool,
    /// Write the evaluation as one self-contained page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Seed of the bootstrap intervals
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// What the encoder computes in
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
}

/// The models of a hybrid as a person names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Alone {
    Linear,
    Encoder,
}

impl From<Alone> for Side {
    fn from(alone: Alone) -> Self {
        match alone {
            Alone::Linear => Self::Linear,
            Alone::Encoder => Self::Encoder,
        }
    }
}

pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    let Args {
        bundle,
        data,
        labels,
        alone,
        json,
        html,
        seed,
        precision,
    } = args;
    let opened = match alone {
        None => open_bundle(&bundle, precision)?,
        Some(side) => open_alone(&bundle, side.into(), precision)?.ok_or_else(|| Failure {
            kind: Kind::Misused,
            message: format!("`--alone` needs a hybrid, `{}` holds one model", bundle.display()),
            hint: None,
        })?,
    };
    let dataset = dataset(&opened, &data, labels, out)?;
    let evaluation = evaluate(&opened.predictor, &dataset, Seed(seed), out)?;
    if let Some(path) = html {
        let page = report::html(&name(&bundle), &format!("on {}", name(&data)), &evaluation);
        std::fs::write(&path, page)
            .map_err(|error| Failure::from(error).hint(format!("writing {}", path.display())))?;
        out.note(format!("wrote {}", path.display()));
    }
    if json {
        out.json(&evaluation)
    } else {
        out.text(&report::terminal(&evaluation))
    }
}

/// Answers the dataset's examples and measures the answers.
pub(super) fn evaluate(
    predictor: &Predictor,
    dataset: &Dataset,
    seed: Seed,
    out: &mut Output,
) -> Result<Evaluation, Failure> {
    let answers = answers(predictor, dataset, out)?;
    measure(predictor, dataset, &answers, seed, out)
}

/// Per task and example the class that is answered and its confidence.
pub(super) type Answers = Vec<Vec<Option<(usize, f32)>>>;

/// Answers the dataset's examples.
pub(super) fn answers(
    predictor: &Predictor,
    dataset: &Dataset,
    out: &mut Output,
) -> Result<Answers, Failure> {
    let examples = dataset.examples();
    let mut answers = vec![Vec::with_capacity(examples.len()); predictor.schema().tasks().len()];
    for chunk in examples.chunks(CHUNK) {
        let texts: Vec<&str> = chunk.iter().map(|example| example.text()).collect();
        for prediction in predictor.predict_texts(&texts).map_err(Failure::broken)? {
            for (answers, answer) in answers.iter_mut().zip(prediction.answers) {
                answers.push(answer.map(|answer| (answer.class.position(), answer.confidence)));
            }
        }
        if examples.len() > CHUNK {
            out.note(format!("answered {} of {}", answers[0].len(), examples.len()));
        }
    }
    Ok(answers)
}

/// Measures the answers to a dataset of the predictor's schema.
pub(super) fn measure(
    predictor: &Predictor,
    dataset: &Dataset,
    answers: &Answers,
    seed: Seed,
    out: &mut Output,
) -> Result<Evaluation, Failure> {
    let (examples, schema): (_, &Schema) = (dataset.examples(), predictor.schema());
    let mut tasks = Vec::new();
    for (n, (task, answers)) in schema.tasks().iter().zip(answers).enumerate() {
        let names: Vec<String> = task.labels().iter().map(|label| label.name.clone()).collect();
        let gold: Vec<Option<usize>> = examples
            .iter()
            .map(|example| example.gold()[n].map(ClassIndex::position))
            .collect();
        let bands = predictor.policy().tasks()[n].bands;
        match TaskEvaluation::of(&names, &gold, answers, bands, seed).map_err(Failure::broken)? {
            Some(measured) => tasks.push((task.name().to_string(), measured)),
            None => out.note(format!(
                "task `{}` is left out: no mail has a label of it",
                task.name()
            )),
        }
    }
    Ok(Evaluation {
        examples: examples.len() as u64,
        tasks,
    })
}

/// The labelled mails of a file as a predictor's dataset.
pub(super) fn dataset(
    opened: &Opened,
    data: &Path,
    labels: Option<PathBuf>,
    out: &mut Output,
) -> Result<Dataset, Failure> {
    let options = read::Options { labels };
    let records: Vec<Record> = read::open_with(data, &options)
        .and_then(|reader| reader.collect())
        .map_err(Failure::misused)?;
    let (columns, missing) = columns(opened.predictor.schema(), &opened.recipe, &records);
    for column in missing {
        out.note(format!("no mail has a label in column `{column}`"));
    }
    let schema = opened.predictor.schema().clone();
    let (dataset, problems) =
        Dataset::build(schema, &columns, records, opened.predictor.cleaner()).map_err(Failure::misused)?;
    tell(&problems, out);
    Ok(dataset)
}

/// The column of each task that has labels in the records, as the recipe of the bundle named it, else the task's name; and
/// the columns of the tasks that have none.
pub(super) fn columns(
    schema: &Schema,
    recipe: &toml::Table,
    records: &[Record],
) -> (Vec<(TaskName, String)>, Vec<String>) {
    let (mut columns, mut missing) = (Vec::new(), Vec::new());
    for task in schema.tasks() {
        let name = task.name().as_str();
        let named = recipe
            .get("tasks")
            .and_then(|tasks| tasks.get(name)?.get("column")?.as_str());
        let candidates = named.into_iter().chain([name]);
        let labelled = |column: &&str| records.iter().any(|record| record.label(column).is_some());
        match candidates.into_iter().find(labelled) {
            Some(column) => columns.push((task.name().clone(), column.to_owned())),
            None => missing.push(named.unwrap_or(name).to_owned()),
        }
    }
    (columns, missing)
}

pub(super) fn tell(problems: &[Problem], out: &mut Output) {
    for problem in problems.iter().take(TOLD) {
        out.note(format!("warning: {problem}"));
    }
    if problems.len() > TOLD {
        out.note(format!("warning: {} more like these", problems.len() - TOLD));
    }
}

/// The last part of a path.
fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}
