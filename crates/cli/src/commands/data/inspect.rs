//! `data inspect`: what is in a dataset, and what is wrong with it.

use super::{Tasks, percent, table, texts, thousands};
use crate::failure::Failure;
use crate::output::Output;
use poststelle_corpus::Record;
use poststelle_corpus::inspect::{Expected, Finding, Part, Report, Severity, TaskReport, inspect};
use poststelle_corpus::read::{self, Lenient, Options};
use std::path::PathBuf;

/// Labels a table shows before it sums up the rest.
const SHOWN: usize = 20;

/// Look a dataset over before training on it
///
/// Counts labels and text lengths and finds unknown, rare and contradicting labels, empty texts, duplicates
/// and near-duplicates, and, with --against, rows that another split has too. Ends with 1 when it finds errors;
/// warnings do not count. Rows are named by id, mail text is never shown.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files of one dataset: CSV, JSON Lines, Parquet, mbox, .eml, or a directory of .eml files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    tasks: Tasks,
    /// Files of the other splits, searched for leaks (can be repeated)
    #[arg(long, value_name = "FILE", num_args = 1..)]
    against: Vec<PathBuf>,
    /// Table of labels by Message-ID for mail exports
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Rows below which a label is rare
    #[arg(long, value_name = "ROWS", default_value_t = 5)]
    rare_below: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs `data inspect`.
pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    let Args {
        files,
        tasks,
        against,
        labels,
        rare_below,
        json,
    } = args;
    let options = Options { labels };
    let data = read_all(&files, &options)?;
    let others = read_all(&against, &options)?;
    let records: Vec<&Record> = data.records.iter().chain(&others.records).collect();
    let resolved = tasks.resolve(&records, &data.columns, out)?;
    let (data_texts, other_texts) = (texts(&data.records), texts(&others.records));
    let expected = resolved.as_ref().map(|(schema, columns)| Expected {
        schema,
        columns,
        rare_below,
    });
    let against = if against.is_empty() {
        vec![]
    } else {
        vec![as_part(&others, &other_texts)]
    };
    let report = inspect(as_part(&data, &data_texts), &against, expected);
    if json {
        out.json(&report)?;
    } else {
        out.text(&shown(&report))?;
        if resolved.is_none() {
            let known = |name: &&String| !read::KNOWN.contains(&name.as_str());
            let names: Vec<&str> = data.columns.iter().filter(known).map(String::as_str).collect();
            if !names.is_empty() {
                out.note(format!(
                    "labels were not checked; columns for --task: {}",
                    names.join(", ")
                ));
            }
        }
    }
    if report.has_errors() {
        let errors = report
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .count();
        return Err(Failure::refused(format!("the data has {errors} errors")));
    }
    Ok(())
}

fn as_part<'a>(read: &'a Lenient, texts: &'a [String]) -> Part<'a> {
    Part {
        records: &read.records,
        texts,
        unreadable: &read.errors,
    }
}

/// Several files as one dataset.
fn read_all(files: &[PathBuf], options: &Options) -> Result<Lenient, Failure> {
    let mut all = Lenient {
        records: Vec::new(),
        columns: Vec::new(),
        errors: Vec::new(),
    };
    for file in files {
        let Lenient {
            records,
            columns,
            errors,
        } = read::lenient(file, options).map_err(Failure::misused)?;
        all.records.extend(records);
        all.errors.extend(errors);
        for column in columns {
            if !all.columns.contains(&column) {
                all.columns.push(column);
            }
        }
    }
    Ok(all)
}

fn shown(report: &Report) -> String {
    let Report {
        rows,
        lengths,
        tasks,
        findings,
    } = report;
    let mut text = format!(
        "{} mails; characters after cleaning: mean {:.0}, median {}, 95 % up to {}, longest {}\n",
        thousands(*rows),
        lengths.mean,
        thousands(lengths.median),
        thousands(lengths.p95),
        thousands(lengths.longest)
    );
    for task in tasks {
        text += &task_shown(task, *rows);
    }
    for (severity, title) in [(Severity::Error, "errors"), (Severity::Warning, "warnings")] {
        let mut of = findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .peekable();
        if of.peek().is_some() {
            text += &format!("\n{title}\n");
        }
        for finding in of {
            text += &finding_shown(finding);
        }
    }
    if findings.is_empty() {
        text += "\nnothing wrong found\n";
    }
    text
}

fn task_shown(task: &TaskReport, rows: usize) -> String {
    let TaskReport {
        task,
        column,
        unlabelled,
        labels,
    } = task;
    let from = if task.as_str() == column {
        String::new()
    } else {
        format!(" (column {column})")
    };
    let mut text = format!(
        "\n{task}{from}: {} labels, {} rows unlabelled\n",
        labels.len(),
        thousands(*unlabelled)
    );
    let line = |count: &poststelle_corpus::inspect::LabelCount| {
        vec![
            count.label.clone(),
            thousands(count.rows),
            percent(count.rows as f64 / rows.max(1) as f64),
        ]
    };
    // One more line is no longer than the line that would stand for it.
    let shown = if labels.len() <= SHOWN + 1 {
        labels.len()
    } else {
        SHOWN
    };
    text += &table(&labels.iter().take(shown).map(line).collect::<Vec<_>>());
    if let Some(most) = labels.get(shown) {
        let rest = labels.len() - shown;
        text += &format!("  … {rest} more, up to {} rows each\n", thousands(most.rows));
    }
    text
}

fn finding_shown(finding: &Finding) -> String {
    let mut text = format!("  {finding}\n");
    if !finding.ids.is_empty() {
        let more = if finding.rows > finding.ids.len() {
            ", …"
        } else {
            ""
        };
        text += &format!("    ids: {}{more}\n", finding.ids.join(", "));
    }
    text
}
