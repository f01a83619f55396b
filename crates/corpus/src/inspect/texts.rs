//! Checks of rows and texts: unreadable, twice, empty, alike.

use super::{Check, Finding, Part};
use crate::near::{Sketch, join_near, sketches};
use crate::{Families, ReadError, Record};
use poststelle_labels::TaskName;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One finding per unreadable row, the first hundred of them.
pub(super) fn unreadable(errors: &[ReadError]) -> Vec<Finding> {
    const NAMED: usize = 100;
    let mut findings: Vec<Finding> = errors
        .iter()
        .take(NAMED)
        .map(|error| Finding::new(Check::Unreadable, 1, told(error)))
        .collect();
    if errors.len() > NAMED {
        let more = errors.len() - NAMED;
        findings.push(Finding::new(
            Check::Unreadable,
            more,
            format!("{more} more rows cannot be read"),
        ));
    }
    findings
}

fn told(error: &ReadError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Ids that stand on several rows.
pub(super) fn ids(records: &[Record]) -> Option<Finding> {
    let mut rows = BTreeMap::new();
    for record in records {
        *rows.entry(record.id.as_str()).or_insert(0usize) += 1;
    }
    rows.retain(|_, rows| *rows > 1);
    let beyond: usize = rows.values().map(|rows| rows - 1).sum();
    let message = format!("{beyond} rows have the id of an earlier row");
    (beyond > 0).then(|| Finding::new(Check::IdTwice, beyond, message).with_ids(rows.into_keys()))
}

/// Rows without a word after cleaning.
pub(super) fn empty(data: Part<'_>) -> Option<Finding> {
    let empty = || {
        data.texts
            .iter()
            .zip(data.records)
            .filter(|(text, _)| text.trim().is_empty())
    };
    let rows = empty().count();
    let message = format!("{rows} rows have no text left after cleaning");
    let ids = empty().map(|(_, record)| record.id.as_str());
    (rows > 0).then(|| Finding::new(Check::EmptyText, rows, message).with_ids(ids))
}

/// Duplicates, near-duplicates, leaks, and equal texts that are labelled differently.
pub(super) fn alike(data: Part<'_>, against: &[Part<'_>], columns: &[(TaskName, String)]) -> Vec<Finding> {
    let own = data.records.len();
    let texts: Vec<&String> = data
        .texts
        .iter()
        .chain(against.iter().flat_map(|part| part.texts))
        .collect();
    let sketches = sketches(&texts);
    let mut near = Families::new(texts.len());
    join_near(&mut near, &sketches);
    let mut findings = within(data.records, &sketches[..own], &near);
    if !against.is_empty() {
        findings.extend(across(data.records, &sketches, &near));
    }
    for (task, column) in columns {
        findings.extend(conflicts(data.records, &sketches[..own], task, column));
    }
    findings
}

/// Rows that repeat an earlier row of the same data.
fn within(records: &[Record], sketches: &[Sketch], near: &Families) -> Vec<Finding> {
    let mut equal = HashMap::new();
    let mut family = HashMap::new();
    let (mut duplicates, mut near_duplicates) = (Vec::new(), Vec::new());
    for (row, sketch) in sketches.iter().enumerate() {
        let id = records[row].id.as_str();
        let again = sketch
            .equality()
            .is_some_and(|equality| equal.insert(equality, row).is_some());
        let sibling = family.insert(near.of(row), row).is_some();
        match (again, sibling) {
            (true, _) => duplicates.push(id),
            (false, true) => near_duplicates.push(id),
            (false, false) => {}
        }
    }
    let finding = |check, ids: Vec<&str>, words: &str| {
        (!ids.is_empty())
            .then(|| Finding::new(check, ids.len(), format!("{} {words}", ids.len())).with_ids(ids))
    };
    let duplicates = finding(
        Check::Duplicate,
        duplicates,
        "rows have the text of an earlier row",
    );
    let near = finding(
        Check::NearDuplicate,
        near_duplicates,
        "rows have nearly the text of an earlier row",
    );
    duplicates.into_iter().chain(near).collect()
}

/// Rows of the data that another split has too. Rows of the other splits follow the data's own.
fn across(records: &[Record], sketches: &[Sketch], near: &Families) -> Vec<Finding> {
    let others = records.len()..sketches.len();
    let equal: BTreeSet<u64> = others
        .clone()
        .filter_map(|row| sketches[row].equality())
        .collect();
    let families: BTreeSet<usize> = others.map(|row| near.of(row)).collect();
    let is_equal = |row: usize| {
        sketches[row]
            .equality()
            .is_some_and(|equality| equal.contains(&equality))
    };
    let (leaks, rest): (Vec<usize>, Vec<usize>) = (0..records.len()).partition(|row| is_equal(*row));
    let near_leaks: Vec<usize> = rest
        .into_iter()
        .filter(|row| families.contains(&near.of(*row)))
        .collect();
    let finding = |check, rows: Vec<usize>, words: &str| {
        let ids = rows.iter().map(|row| records[*row].id.as_str());
        let message = format!("{} of {} rows {words}", rows.len(), records.len());
        (!rows.is_empty()).then(|| Finding::new(check, rows.len(), message).with_ids(ids))
    };
    let leak = finding(Check::Leak, leaks, "have a text that stands in another split too");
    let near = finding(
        Check::NearLeak,
        near_leaks,
        "have a near-duplicate in another split",
    );
    leak.into_iter().chain(near).collect()
}

/// Equal texts whose labels differ for a task, one finding for all of them.
fn conflicts(records: &[Record], sketches: &[Sketch], task: &TaskName, column: &str) -> Option<Finding> {
    let mut labels: BTreeMap<u64, (BTreeSet<&str>, Vec<usize>)> = BTreeMap::new();
    for (row, sketch) in sketches.iter().enumerate() {
        if let (Some(equality), Some(label)) = (sketch.equality(), records[row].label(column)) {
            let (labels, rows) = labels.entry(equality).or_default();
            labels.insert(label);
            rows.push(row);
        }
    }
    let conflicts: Vec<_> = labels
        .into_values()
        .filter(|(labels, _)| labels.len() > 1)
        .collect();
    let mut rows: Vec<usize> = conflicts.iter().flat_map(|(_, rows)| rows).copied().collect();
    rows.sort_unstable();
    let names: BTreeSet<&str> = conflicts.iter().flat_map(|(labels, _)| labels).copied().collect();
    let message = format!(
        "task `{task}`: {} rows share {} texts, which have different labels",
        rows.len(),
        conflicts.len()
    );
    (!rows.is_empty()).then(|| {
        Finding::new(Check::Conflict, rows.len(), message)
            .about(task, names)
            .with_ids(rows.iter().map(|row| records[*row].id.as_str()))
    })
}
