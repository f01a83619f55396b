//! `predict`: labels mails from a file or standard input.

use crate::failure::{Failure, Kind};
use crate::output::Output;
use clap::ValueEnum;
use poststelle_corpus::{Content, Format, ReadError, Record, read};
use poststelle_kernels::lanes::Arithmetic;
use poststelle_labels::Schema;
use poststelle_nn::bundle::Bundle;
use poststelle_nn::hybrid::Side;
use poststelle_predict::{Content as MailContent, Mail, Named, Prediction, Predictor};
use serde::Serialize;
use std::io::{BufReader, stdin};
use std::path::{Path, PathBuf};

/// Mails labelled and written at once.
const CHUNK: usize = 256;

/// Label mails
///
/// Writes a JSON object per mail: `id`, and per task `label`, `confidence`, `decision` (`auto`, `suggest` or
/// `ask`) and the most probable labels as `top`. A row that cannot be read is reported and passed over; the
/// exit code is then 2.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle: a directory or a model.tar.gz
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Mails: CSV, JSON Lines, Parquet, mbox or .eml files; none or `-` is standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// What standard input holds
    #[arg(long, value_enum, default_value_t = From::Jsonl)]
    from: From,
    /// What the encoder computes in
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
}

/// What an encoder computes in when it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Precision {
    /// 8-bit integers: the fastest
    #[default]
    Int8,
    /// bfloat16, on processors that have it
    Bf16,
    /// 32-bit floating point: the slowest
    F32,
}

impl std::convert::From<Precision> for Arithmetic {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Int8 => Self::Int8,
            Precision::Bf16 => Self::Bf16,
            Precision::F32 => Self::F32,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    /// A mail on each line, as JSON
    Jsonl,
    /// A table with a header
    Csv,
}

pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    let Args {
        bundle,
        file,
        from,
        precision,
    } = args;
    let predictor = open_bundle(&bundle, precision)?.predictor;
    let mut reader = match file.filter(|file| file.as_os_str() != "-") {
        Some(file) => read::open(file),
        None => {
            let format = match from {
                From::Jsonl => Format::JsonLines,
                From::Csv => Format::Csv,
            };
            read::from_stream(
                Path::new("standard input"),
                format,
                Box::new(BufReader::new(stdin())),
            )
        }
    }
    .map_err(Failure::misused)?;
    let mut bad = 0;
    loop {
        let mut ids = Vec::new();
        let mut mails = Vec::new();
        for row in reader.by_ref() {
            match row {
                Ok(record) => {
                    let (id, mail) = mail_of(record);
                    ids.push(id);
                    mails.push(mail);
                }
                Err(error) => report(error, &mut bad, out)?,
            }
            if mails.len() == CHUNK {
                break;
            }
        }
        if mails.is_empty() {
            break;
        }
        let predictions = predictor.predict(&mails).map_err(Failure::broken)?;
        for (id, prediction) in ids.iter().zip(&predictions) {
            out.json(&Line::new(id, prediction, predictor.schema()))?;
        }
    }
    if bad > 0 {
        let message = format!("{bad} rows could not be read");
        return Err(Failure {
            kind: Kind::Misused,
            message,
            hint: None,
        });
    }
    Ok(())
}

/// Tells of a row that is passed over; what breaks the file ends the command.
fn report(error: ReadError, bad: &mut usize, out: &mut Output) -> Result<(), Failure> {
    if error.is_fatal() {
        return Err(Failure::broken(error));
    }
    out.note(format!("warning: {error}"));
    *bad += 1;
    Ok(())
}

/// A row as a mail to label, with its id.
fn mail_of(record: Record) -> (String, Mail) {
    let content = match record.content {
        Content::Body { subject, body } => MailContent::Parts { subject, body },
        Content::Raw(bytes) => MailContent::Raw(bytes),
    };
    (
        record.id,
        Mail {
            content,
            broker: record.broker,
        },
    )
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    #[serde(flatten)]
    tasks: Named<'a>,
}

impl<'a> Line<'a> {
    fn new(id: &'a str, prediction: &'a Prediction, schema: &'a Schema) -> Self {
        Self {
            id,
            tasks: prediction.named(schema),
        }
    }
}

/// A bundle ready to answer, and the recipe it was made by.
pub(super) struct Opened {
    pub predictor: Predictor,
    pub recipe: toml::Table,
}

/// Opens a bundle for answering.
pub(super) fn open_bundle(path: &Path, precision: Precision) -> Result<Opened, Failure> {
    opened(open(path, precision)?)
}

/// Opens one model of a hybrid's bundle; none if it is no hybrid.
pub(super) fn open_alone(path: &Path, side: Side, precision: Precision) -> Result<Option<Opened>, Failure> {
    open(path, precision)?.alone(side).map(opened).transpose()
}

fn open(path: &Path, precision: Precision) -> Result<Bundle, Failure> {
    check_there(path)?;
    Bundle::open(path, precision.into()).map_err(Failure::misused)
}

/// Says how to come by a bundle where none is.
pub(super) fn check_there(path: &Path) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    let message = format!("there is no bundle at `{}`", path.display());
    let hint = "make one with `poststelle train --recipe recipe.toml --out BUNDLE`".to_owned();
    Err(Failure {
        kind: Kind::Misused,
        message,
        hint: Some(hint),
    })
}

fn opened(bundle: Bundle) -> Result<Opened, Failure> {
    let recipe = bundle.manifest().recipe.clone();
    let predictor = Predictor::try_from(bundle).map_err(Failure::misused)?;
    Ok(Opened { predictor, recipe })
}
