//! `bundle shrink`: a bundle without the word pieces that no mail needs, and what that costs.

use crate::commands::evaluate::{columns, evaluate, tell};
use crate::commands::predict::{Precision, check_there, open_bundle};
use crate::failure::Failure;
use crate::output::Output;
use poststelle_corpus::{Dataset, Format, Record, read};
use poststelle_mail::Cleaner;
use poststelle_measure::{Evaluation, Seed};
use poststelle_nn::bundle::{Bundle, SaveError};
use poststelle_nn::encode::Encoder as TextEncoder;
use poststelle_nn::shrink::{Difference, ShrinkError, Shrunk, compare, shrink};
use poststelle_predict::Predictor;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Drop the word pieces that the mails in use never need
///
/// Keeps every piece seen in the mails of --data, cleaned as the bundle cleans, and all that spell single characters: other
/// words still can be read, in more pieces. Prints pieces and bytes before and after, how otherwise mails are read, and,
/// where they are labelled, macro-F1 before and after. The mails that chose the pieces lose none of theirs; give others to
/// --evaluate to see what is lost on mail to come.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle: a directory or a model.tar.gz
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Mails as they come in: CSV, JSON Lines, Parquet, mbox or .eml files
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    data: Vec<PathBuf>,
    /// Labelled mails to measure on. Default: those of --data
    #[arg(long, value_name = "FILE", num_args = 1..)]
    evaluate: Vec<PathBuf>,
    /// For mail exports: a table with `message_id` and a column per task
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Directory of the smaller bundle, which must not exist
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// What the encoder computes in while it is measured
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
}

/// Runs `bundle shrink`.
pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    let Args {
        bundle,
        data,
        evaluate: others,
        labels,
        out: folder,
        json,
        precision,
    } = args;
    check_there(&bundle)?;
    let bundle = Bundle::open(&bundle, precision.into()).map_err(Failure::misused)?;
    let cleaner = poststelle_predict::cleaner(bundle.manifest()).map_err(Failure::misused)?;
    let mut mails = |files: &[PathBuf]| read_mails(&bundle, &cleaner, files, labels.as_deref(), out);
    let needed = mails(&data)?;
    let held_back = if others.is_empty() {
        None
    } else {
        Some(mails(&others)?)
    };
    let now = crate::clock::now();
    let written_by = concat!("poststelle ", env!("CARGO_PKG_VERSION"));
    let shrunk = shrink(&bundle, &texts(&needed), &folder, &now, written_by).map_err(failure)?;

    let measured = held_back.as_ref().unwrap_or(&needed);
    let difference = difference(&bundle, &shrunk, &folder, &texts(measured))?;
    let labelled = measured.labelled().iter().any(|count| *count > 0);
    let mut scores = None;
    if labelled {
        let before = Predictor::try_from(bundle).map_err(Failure::misused)?;
        let after = open_bundle(&folder, precision)?.predictor;
        let measure = |predictor: &Predictor, out: &mut Output| evaluate(predictor, measured, Seed(1), out);
        scores = Some((measure(&before, out)?, measure(&after, out)?));
        if held_back.is_none() {
            out.note("measured on the mails that chose the pieces, which flatters; --evaluate names others");
        }
    } else {
        out.note(
            "no mail given is labelled, so what it costs in F1 is not measured; --evaluate names labelled mails",
        );
    }
    if json {
        let on = match (&scores, &held_back) {
            (None, _) => json!(null),
            (Some(_), None) => json!("data"),
            (Some(_), Some(_)) => json!("evaluate"),
        };
        let tasks: serde_json::Map<_, _> = scores.iter().flat_map(compared).map(Score::json).collect();
        return out.json(&json!({
            "bundle": folder, "pieces_before": shrunk.pieces_before, "pieces": shrunk.vocabulary.old.len(),
            "bytes_before": shrunk.bytes_before, "bytes": shrunk.bytes, "read": difference, "macro_f1_on": on, "tasks": tasks,
        }));
    }
    out.text(&sizes(&shrunk, &difference))?;
    for score in scores.iter().flat_map(compared) {
        out.text(&score.line())?;
    }
    Ok(())
}

/// Reads and cleans mails as the bundle does, with the labels they have.
fn read_mails(
    bundle: &Bundle,
    cleaner: &Cleaner,
    files: &[PathBuf],
    labels: Option<&Path>,
    out: &mut Output,
) -> Result<Dataset, Failure> {
    let mut records: Vec<Record> = Vec::new();
    for file in files {
        // A table has its labels in it.
        let is_export = matches!(
            Format::of(file),
            Some((Format::Mbox | Format::Eml | Format::Folder, _))
        );
        let options = read::Options {
            labels: labels.filter(|_| is_export).map(Path::to_path_buf),
        };
        let reader = read::open_with(file, &options).map_err(Failure::misused)?;
        for record in reader {
            records.push(record.map_err(Failure::misused)?);
        }
    }
    let (columns, _) = columns(bundle.schema(), &bundle.manifest().recipe, &records);
    let (dataset, problems) =
        Dataset::build(bundle.schema().clone(), &columns, records, cleaner).map_err(Failure::misused)?;
    tell(&problems, out);
    Ok(dataset)
}

fn texts(mails: &Dataset) -> Vec<&str> {
    mails.examples().iter().map(|example| example.text()).collect()
}

/// How otherwise mails are read, within the bundle's limit of tokens.
fn difference(
    bundle: &Bundle,
    shrunk: &Shrunk,
    folder: &Path,
    texts: &[&str],
) -> Result<Difference, Failure> {
    let Some(note) = &shrunk.manifest.encoder else {
        return Ok(Difference::default());
    };
    let reader = |folder: &Path| TextEncoder::open(folder, note.max_tokens, &note.prefix);
    reader(bundle.folder())
        .and_then(|before| compare(&before, &reader(folder)?, &shrunk.vocabulary, texts))
        .map_err(Failure::broken)
}

/// One task's macro-F1 with all pieces and with those left.
struct Score<'a> {
    task: &'a str,
    before: f64,
    after: f64,
}

/// The tasks both evaluations have.
fn compared((before, after): &(Evaluation, Evaluation)) -> impl Iterator<Item = Score<'_>> {
    let pairs = before.tasks.iter().zip(&after.tasks);
    pairs.map(|((task, before), (_, after))| Score {
        task,
        before: before.scores.macro_f1,
        after: after.scores.macro_f1,
    })
}

impl Score<'_> {
    fn points(&self) -> f64 {
        100.0 * (self.after - self.before)
    }

    fn line(&self) -> String {
        let Self { task, before, after } = self;
        let points = self.points();
        format!("{task}: macro-F1 {before:.4} before, {after:.4} after, {points:+.2} points\n")
    }

    fn json(self) -> (String, serde_json::Value) {
        let figures = json!({ "before": self.before, "after": self.after, "points": self.points() });
        (self.task.to_owned(), figures)
    }
}

fn sizes(shrunk: &Shrunk, difference: &Difference) -> String {
    let pieces = shrunk.vocabulary.old.len();
    let share = 100.0 * pieces as f64 / shrunk.pieces_before.max(1) as f64;
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let Difference {
        texts,
        changed,
        tokens_before,
        tokens,
        unknown_before,
        unknown,
    } = difference;
    format!(
        "word pieces: {} before, {pieces} after ({share:.1} %)\nbundle: {:.1} MB before, {:.1} MB after\n\
         {changed} of {texts} mails are read otherwise: {tokens_before} tokens before, {tokens} after, unknown \
         {unknown_before} before, {unknown} after\n",
        shrunk.pieces_before,
        megabytes(shrunk.bytes_before),
        megabytes(shrunk.bytes),
    )
}

fn failure(error: ShrinkError) -> Failure {
    match error {
        ShrinkError::Save(SaveError::Exists { .. }) => {
            Failure::misused(error).hint("name another directory with --out")
        }
        ShrinkError::NoEncoder { .. }
        | ShrinkError::NoTexts
        | ShrinkError::Tokenizer { .. }
        | ShrinkError::Open(_)
        | ShrinkError::Config(_)
        | ShrinkError::Read { .. } => Failure::misused(error),
        ShrinkError::Save(_) => Failure::broken(error),
    }
}
