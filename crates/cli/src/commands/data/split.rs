//! `data split`: train, validation and test without leaks.

use super::{NoColumn, TaskColumn, percent, table, texts, thousands};
use crate::failure::Failure;
use crate::output::Output;
use poststelle_corpus::split::{Order, Part, Report, Row, Settings, split};
use poststelle_corpus::{Format, Record, read, write};
use std::path::{Path, PathBuf};

/// Split a dataset into train, validation and test without leaks
///
/// Mails of one thread, one `group` or nearly one text stay on one side. Labels are spread as evenly as that
/// allows; with --by-date the newest mails go to test instead. Writes train, validation and test in the input's
/// format (JSON Lines for mail exports) and says what a random split would have flattered. The same input and
/// seed give the same files.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// CSV, JSON Lines, Parquet, mbox, .eml, or a directory of .eml files
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Directory for the parts, made when missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Share of rows for test
    #[arg(long, value_name = "SHARE", default_value_t = 0.15)]
    test: f64,
    /// Share of rows for validation
    #[arg(long, value_name = "SHARE", default_value_t = 0.13)]
    validation: f64,
    /// Seed
    #[arg(long, default_value_t = 13)]
    seed: u64,
    /// Put the newest mails into test, the next newest into validation, undated ones into train
    #[arg(long)]
    by_date: bool,
    /// Also keep mails together whose words are this similar (TF-IDF cosine, 0.35 for loose paraphrases)
    #[arg(long, value_name = "COSINE")]
    similar: Option<f64>,
    /// Task whose labels are spread evenly, and its column when that has another name
    #[arg(long = "task", value_name = "NAME[=COLUMN]")]
    task: Option<TaskColumn>,
    /// Table of labels by Message-ID for mail exports
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `data split`.
pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    let Args {
        file,
        out: folder,
        test,
        validation,
        seed,
        by_date,
        similar,
        task,
        labels,
        json,
    } = args;
    let mut reader = read::open_with(&file, &read::Options { labels }).map_err(Failure::misused)?;
    let read: Result<Vec<Record>, _> = reader.by_ref().collect();
    let records = read.map_err(|error| {
        Failure::misused(error).hint("`poststelle data inspect` lists every row that cannot be read")
    })?;
    let columns = reader.columns();
    let column = match &task {
        Some(TaskColumn { task, column }) if !columns.contains(column) => {
            return Err(Failure::misused(NoColumn {
                task: task.clone(),
                column: column.clone(),
                found: columns
                    .iter()
                    .map(|name| format!("`{name}`"))
                    .collect::<Vec<_>>()
                    .join(", "),
                nearest: poststelle_labels::nearest(column, columns.iter().map(String::as_str))
                    .map(String::from),
            }));
        }
        task => task.as_ref().map(|task| task.column.as_str()),
    };
    let texts = texts(&records);
    let rows: Vec<Row<'_>> = records
        .iter()
        .zip(&texts)
        .map(|(record, text)| row(record, text, column))
        .collect();
    let order = if by_date { Order::ByDate } else { Order::Stratified };
    let split = split(
        &rows,
        &Settings {
            test,
            validation,
            seed,
            order,
            similar,
        },
    )
    .map_err(Failure::misused)?;
    std::fs::create_dir_all(&folder)?;
    let ending = ending(&file);
    for part in Part::ALL
        .into_iter()
        .filter(|part| split.rows(*part).next().is_some())
    {
        let path = folder.join(format!("{}.{ending}", part.name()));
        write::write(&path, &columns, split.rows(part).map(|row| &records[row])).map_err(Failure::broken)?;
        out.note(format!("wrote {}", path.display()));
    }
    if json {
        out.json(&split.report)
    } else {
        out.text(&shown(&split.report, column.is_some()))
    }
}

fn row<'a>(record: &'a Record, text: &'a str, column: Option<&str>) -> Row<'a> {
    Row {
        text,
        label: column.and_then(|column| record.label(column)),
        thread: record.thread.as_deref(),
        group: record.group.as_deref(),
        received_at: record.received_at,
    }
}

/// The ending of the parts: the input's, or JSON Lines for a mail export.
fn ending(file: &Path) -> String {
    let table = matches!(
        Format::of(file),
        Some((Format::Csv | Format::JsonLines | Format::Parquet, _))
    );
    let name = file
        .file_name()
        .map(|name| name.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    match stem.rsplit_once('.') {
        Some((before, _)) if table => name[before.len() + 1..].to_owned(),
        _ => "jsonl".to_owned(),
    }
}

fn shown(report: &Report, labelled: bool) -> String {
    let share = |share: Option<f64>| share.map_or("–".to_owned(), percent);
    let mut rows = vec![
        ["part", "mails", "share", "families", "labels"]
            .map(String::from)
            .to_vec(),
    ];
    for part in &report.parts {
        let labels = if labelled {
            thousands(part.labels)
        } else {
            "–".to_owned()
        };
        let cells = [
            part.part.name().to_owned(),
            thousands(part.rows),
            percent(part.share),
            thousands(part.families),
        ];
        rows.push(cells.into_iter().chain([labels]).collect());
    }
    let mut text = format!(
        "{} mails in {} families; {} beyond the first of their family, the largest has {}\n",
        thousands(report.rows),
        thousands(report.families),
        thousands(report.beyond_first),
        thousands(report.largest_family)
    );
    text += &table(&rows);
    for part in report
        .parts
        .iter()
        .filter(|part| labelled && part.rows > 0 && !part.missing_labels.is_empty())
    {
        text += &format!(
            "  {} has no mail labelled: {}\n",
            part.part.name(),
            part.missing_labels.join(", ")
        );
    }
    for part in &report.parts {
        if let (Some(from), Some(to)) = (part.from, part.to) {
            let undated = if part.undated > 0 {
                format!(", {} without a date", thousands(part.undated))
            } else {
                String::new()
            };
            text += &format!("  {} from {from} to {to}{undated}\n", part.part.name());
        }
    }
    text += "\nwhat memory alone would reach on test\n";
    let line = |name: &str, this: Option<f64>, random: Option<f64>| {
        vec![name.to_owned(), share(this), share(random)]
    };
    let (this, random) = (&report.grouped, &report.random);
    let mut rows = vec![["", "this split", "random split"].map(String::from).to_vec()];
    rows.push(line(
        "mails with a family member in train",
        this.seen_in_train,
        random.seen_in_train,
    ));
    if labelled {
        rows.push(line(
            "label of the most similar mail is right",
            this.lookup_accuracy,
            random.lookup_accuracy,
        ));
    }
    text + &table(&rows)
}
