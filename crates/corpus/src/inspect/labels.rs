//! Checks of labels: unknown, rare, unseen, contradicting their parent.

use super::{Check, Expected, Finding, LabelCount, TaskReport};
use crate::Record;
use poststelle_labels::{Task, nearest};
use std::collections::BTreeMap;

/// How often each known label of a task stands in the data.
pub(super) fn count(records: &[Record], task: &Task, column: &str) -> TaskReport {
    let mut rows = vec![0; task.len()];
    let mut unlabelled = 0;
    for record in records {
        match record.label(column) {
            None => unlabelled += 1,
            Some(label) => {
                if let Some(class) = task.index_of(label) {
                    rows[class.position()] += 1;
                }
            }
        }
    }
    let mut labels: Vec<LabelCount> = task
        .labels()
        .iter()
        .zip(rows)
        .map(|(label, rows)| LabelCount {
            label: label.name.clone(),
            rows,
        })
        .collect();
    labels.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| a.label.cmp(&b.label)));
    TaskReport {
        task: task.name().clone(),
        column: column.to_owned(),
        unlabelled,
        labels,
    }
}

/// What is wrong with the labels of one task.
pub(super) fn check(records: &[Record], expected: &Expected<'_>, task: &Task, column: &str) -> Vec<Finding> {
    let mut findings = unknown(records, task, column);
    findings.extend(contradictions(records, expected, task, column));
    findings.extend(rare(records, expected.rare_below, task, column));
    findings
}

/// One finding per unknown label.
fn unknown(records: &[Record], task: &Task, column: &str) -> Vec<Finding> {
    let mut rows: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for record in records {
        if let Some(label) = record
            .label(column)
            .filter(|label| task.index_of(label).is_none())
        {
            rows.entry(label).or_default().push(&record.id);
        }
    }
    let finding = |(label, ids): (&str, Vec<&str>)| {
        let known = task.labels().iter().map(|label| label.name.as_str());
        let meant = nearest(label, known)
            .map(|name| format!("; did you mean `{name}`?"))
            .unwrap_or_default();
        let message = format!(
            "task `{}` has no label `{label}` ({} rows){meant}",
            task.name(),
            ids.len()
        );
        Finding::new(Check::UnknownLabel, ids.len(), message)
            .about(task.name(), [label])
            .with_ids(ids)
    };
    rows.into_iter().map(finding).collect()
}

/// One finding per child label that stands beside another parent than the schema's.
fn contradictions(records: &[Record], expected: &Expected<'_>, task: &Task, column: &str) -> Vec<Finding> {
    let column_of = |name| {
        expected
            .columns
            .iter()
            .find(|(task, _)| task == name)
            .map(|(_, column)| column)
    };
    let Some((parent, parent_column)) = task.parent().and_then(|name| Some((name, column_of(name)?))) else {
        return Vec::new();
    };
    let mut rows: BTreeMap<(&str, &str, &str), Vec<&str>> = BTreeMap::new();
    for record in records {
        let (Some(label), Some(found)) = (record.label(column), record.label(parent_column)) else {
            continue;
        };
        let belongs = task
            .index_of(label)
            .and_then(|class| task.label(class).parent.as_deref());
        if let Some(belongs) = belongs.filter(|belongs| *belongs != found) {
            rows.entry((label, belongs, found)).or_default().push(&record.id);
        }
    }
    let finding = |((label, belongs, found), ids): ((&str, &str, &str), Vec<&str>)| {
        let message = format!(
            "task `{}`: `{label}` belongs to the {parent} `{belongs}`, but {} rows have `{found}`",
            task.name(),
            ids.len()
        );
        let finding = Finding::new(Check::Contradiction, ids.len(), message);
        finding.about(task.name(), [label, belongs, found]).with_ids(ids)
    };
    rows.into_iter().map(finding).collect()
}

/// One finding for rare labels, one for those without a row.
fn rare(records: &[Record], rare_below: usize, task: &Task, column: &str) -> Vec<Finding> {
    let counts = count(records, task, column).labels;
    let (unseen, seen): (Vec<_>, Vec<_>) = counts.into_iter().partition(|count| count.rows == 0);
    let rare: Vec<_> = seen.into_iter().filter(|count| count.rows < rare_below).collect();
    let mut findings = Vec::new();
    if !rare.is_empty() {
        let named: Vec<_> = rare
            .iter()
            .map(|count| format!("`{}` {}", count.label, count.rows))
            .collect();
        let message = format!(
            "task `{}`: {} labels have fewer than {rare_below} rows: {}",
            task.name(),
            rare.len(),
            named.join(", ")
        );
        let rows = rare.iter().map(|count| count.rows).sum();
        let labels = rare.into_iter().map(|count| count.label);
        findings.push(Finding::new(Check::RareLabel, rows, message).about(task.name(), labels));
    }
    if !unseen.is_empty() {
        let named: Vec<_> = unseen.iter().map(|count| format!("`{}`", count.label)).collect();
        let message = format!(
            "task `{}`: {} labels have no row: {}",
            task.name(),
            unseen.len(),
            named.join(", ")
        );
        let labels = unseen.into_iter().map(|count| count.label);
        findings.push(Finding::new(Check::UnseenLabel, 0, message).about(task.name(), labels));
    }
    findings
}
