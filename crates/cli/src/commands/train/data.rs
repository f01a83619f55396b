//! The datasets of a run: files to records, records to checked examples.

use crate::failure::Failure;
use crate::output::Output;
use poststelle_corpus::inspect::{Expected, Part as Inspected, Severity, inspect};
use poststelle_corpus::split::{Order, Part, Row, Settings, split};
use poststelle_corpus::{Dataset, Record, clean_texts, infer_schema, read};
use poststelle_labels::{Schema, TaskName};
use poststelle_mail::{Cleaner, Profile, Redact};
use poststelle_train::Recipe;
use poststelle_train::recipe::Split;
use std::path::{Path, PathBuf};

/// What a run learns from, chooses by, and is measured on at the end.
pub struct Datasets {
    pub learning: Dataset,
    pub validation: Dataset,
    pub test: Option<Dataset>,
}

/// Labels with fewer examples are named as rare.
const RARE_BELOW: usize = 10;

/// Reads, splits, checks and cleans what the recipe names; `root` is the recipe's folder.
///
/// Findings of the checks are told; errors among them refuse the run unless `accept` is set.
pub fn load(recipe: &Recipe, root: &Path, accept: bool, out: &mut Output) -> Result<Datasets, Failure> {
    let parts = Parts::read(recipe, root)?;
    parts.check(accept, out)?;
    parts.clean()
}

/// The records of a run, split, before they are cleaned.
pub struct Parts {
    /// To learn from, to validate and to test on.
    records: [Vec<Record>; 3],
    schema: Schema,
    columns: Vec<(TaskName, String)>,
    cleaner: Cleaner,
}

impl Parts {
    /// Reads what the recipe names and sets aside what it has no files for.
    pub fn read(recipe: &Recipe, root: &Path) -> Result<Self, Failure> {
        let cleaner = cleaner(recipe)?;
        let options = read::Options {
            labels: recipe.data.labels.as_ref().map(|path| root.join(path)),
        };
        let files = |paths: &[PathBuf]| records(&options, root, paths);
        let mut records = [
            files(&recipe.data.train)?,
            files(&recipe.data.validation)?,
            files(&recipe.data.test)?,
        ];
        let columns: Vec<(TaskName, String)> = match &recipe.schema {
            Some(_) if recipe.tasks.is_empty() => Vec::new(),
            _ => recipe
                .tasks
                .0
                .iter()
                .map(|(name, task)| {
                    (
                        name.clone(),
                        task.column.clone().unwrap_or_else(|| name.as_str().to_owned()),
                    )
                })
                .collect(),
        };
        let schema = schema(recipe, root, &records, &columns)?;
        let columns = if columns.is_empty() {
            schema
                .tasks()
                .iter()
                .map(|task| (task.name().clone(), task.name().as_str().to_owned()))
                .collect()
        } else {
            columns
        };
        set_aside(recipe, &cleaner, &columns, &mut records)?;
        Ok(Self {
            records,
            schema,
            columns,
            cleaner,
        })
    }

    /// Records to learn from, to validate and to test on.
    pub fn counts(&self) -> [usize; 3] {
        [0, 1, 2].map(|n| self.records[n].len())
    }

    /// Names of the tasks.
    pub fn tasks(&self) -> Vec<String> {
        self.schema
            .tasks()
            .iter()
            .map(|task| task.name().to_string())
            .collect()
    }

    /// Tells what the checks find; refuses on errors unless they are accepted.
    pub fn check(&self, accept: bool, out: &mut Output) -> Result<(), Failure> {
        check(
            &self.schema,
            &self.columns,
            &self.cleaner,
            &self.records,
            accept,
            out,
        )
    }

    /// Cleans the records.
    pub fn clean(self) -> Result<Datasets, Failure> {
        let Self {
            records: [learning, validation, test],
            schema,
            columns,
            cleaner,
        } = self;
        let build = |records: Vec<Record>| {
            // What is wrong with single rows is told by the check.
            Dataset::build(schema.clone(), &columns, records, &cleaner)
                .map(|(dataset, _)| dataset)
                .map_err(Failure::misused)
        };
        let test = if test.is_empty() { None } else { Some(build(test)?) };
        Ok(Datasets {
            learning: build(learning)?,
            validation: build(validation)?,
            test,
        })
    }
}

/// Mails of `files`, cleaned, without any label; `root` is the recipe's folder.
pub fn unlabelled(
    recipe: &Recipe,
    root: &Path,
    files: &[PathBuf],
    schema: &Schema,
) -> Result<Dataset, Failure> {
    let records = records(&read::Options::default(), root, files)?;
    Dataset::build(schema.clone(), &[], records, &cleaner(recipe)?)
        .map(|(dataset, _)| dataset)
        .map_err(Failure::misused)
}

fn cleaner(recipe: &Recipe) -> Result<Cleaner, Failure> {
    let profile: Profile = recipe.clean.profile.parse().map_err(Failure::misused)?;
    let redact: Redact = recipe.clean.redact.parse().map_err(Failure::misused)?;
    Ok(Cleaner::new(profile).redacting(redact))
}

fn records(options: &read::Options, root: &Path, paths: &[PathBuf]) -> Result<Vec<Record>, Failure> {
    let mut all = Vec::new();
    for path in paths {
        let reader = read::open_with(root.join(path), options).map_err(Failure::misused)?;
        for record in reader {
            all.push(record.map_err(|error| {
                Failure::misused(error).hint("`poststelle data inspect` lists every row that cannot be read")
            })?);
        }
    }
    Ok(all)
}

fn schema(
    recipe: &Recipe,
    root: &Path,
    parts: &[Vec<Record>; 3],
    columns: &[(TaskName, String)],
) -> Result<Schema, Failure> {
    if let Some(path) = &recipe.schema {
        return crate::commands::data::read_schema(&root.join(path));
    }
    if columns.is_empty() {
        let none = poststelle_train::RecipeError::Value {
            key: "tasks",
            found: "no task".to_owned(),
            expected: "a table `[tasks.NAME]`, or `schema`",
        };
        return Err(Failure::misused(none));
    }
    let parents: Vec<(TaskName, TaskName)> = recipe
        .tasks
        .0
        .iter()
        .filter_map(|(name, task)| task.parent.as_ref().map(|parent| (name.clone(), parent.clone())))
        .collect();
    infer_schema(parts.iter().flatten(), columns, &parents).map_err(Failure::misused)
}

/// Moves some of the training records to validation (and test) where the recipe names no files for them.
fn set_aside(
    recipe: &Recipe,
    cleaner: &Cleaner,
    columns: &[(TaskName, String)],
    parts: &mut [Vec<Record>; 3],
) -> Result<(), Failure> {
    let Split {
        validation,
        test,
        by_date,
    } = match (&recipe.data.split, parts[1].is_empty()) {
        (Some(split), _) => split.clone(),
        (None, true) => Split {
            test: 0.0,
            ..Split::default()
        },
        (None, false) => return Ok(()),
    };
    let [learning, validation_part, test_part] = parts;
    let share = |share: f64, given: &[Record]| if given.is_empty() { share } else { 0.0 };
    let settings = Settings {
        validation: share(validation, validation_part),
        test: share(test, test_part),
        seed: recipe.train.seed,
        order: if by_date { Order::ByDate } else { Order::Stratified },
        similar: None,
    };
    let texts: Vec<String> = clean_texts(learning, cleaner)
        .iter()
        .map(|text| text.model_text(None))
        .collect();
    // The last task is the finest where tasks have a hierarchy.
    let column = columns.last().map(|(_, column)| column.as_str());
    let rows: Vec<Row<'_>> = learning
        .iter()
        .zip(&texts)
        .map(|(record, text)| Row {
            text,
            label: column.and_then(|column| record.label(column)),
            thread: record.thread.as_deref(),
            group: record.group.as_deref(),
            received_at: record.received_at,
        })
        .collect();
    let split = split(&rows, &settings).map_err(Failure::misused)?;
    for (record, part) in std::mem::take(learning).into_iter().zip(&split.parts) {
        match part {
            Part::Train => learning.push(record),
            Part::Validation => validation_part.push(record),
            Part::Test => test_part.push(record),
        }
    }
    Ok(())
}

/// Tells what the checks find; refuses on errors unless they are accepted.
fn check(
    schema: &Schema,
    columns: &[(TaskName, String)],
    cleaner: &Cleaner,
    parts: &[Vec<Record>; 3],
    accept: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let texts: Vec<Vec<String>> = parts
        .iter()
        .map(|records| {
            clean_texts(records, cleaner)
                .iter()
                .map(|text| text.model_text(None))
                .collect()
        })
        .collect();
    let part = |n: usize| Inspected {
        records: &parts[n],
        texts: &texts[n],
        unreadable: &[],
    };
    let others: Vec<Inspected<'_>> = (1..3).filter(|n| !parts[*n].is_empty()).map(part).collect();
    let report = inspect(
        part(0),
        &others,
        Some(Expected {
            schema,
            columns,
            rare_below: RARE_BELOW,
        }),
    );
    let mut errors = 0;
    for finding in &report.findings {
        let word = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        errors += usize::from(finding.severity == Severity::Error);
        out.note(format!("data {word}: {}", finding.message));
    }
    if errors > 0 && !accept {
        let refused = format!("{errors} of the data checks found errors");
        return Err(
            Failure::refused(refused).hint("mend the data, or train all the same with --accept-findings")
        );
    }
    Ok(())
}
