//! What a split is like, and what a random split of the same rows would have flattered.

use super::{Order, Part, Row, Settings, deal::Chance};
use crate::Families;
use crate::lookup::Vectors;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;

/// Random splits that are averaged.
const RANDOM: u64 = 3;

/// What a split is like. Counts are rows unless their name says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How families were dealt out.
    pub order: Order,
    /// The seed.
    pub seed: u64,
    /// All rows.
    pub rows: usize,
    /// Families.
    pub families: usize,
    /// Rows beyond the first of their family.
    pub beyond_first: usize,
    /// Rows of the largest family.
    pub largest_family: usize,
    /// The parts: train, validation, test.
    pub parts: Vec<PartReport>,
    /// Looking the answer up, on this split.
    pub grouped: Flattered,
    /// The same on random splits by row, the mean of three.
    pub random: Flattered,
}

/// One part of a split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartReport {
    /// Which part.
    pub part: Part,
    /// Rows.
    pub rows: usize,
    /// Share of all rows, `0 ..= 1`.
    pub share: f64,
    /// Families.
    pub families: usize,
    /// Distinct labels.
    pub labels: usize,
    /// Labels of the data that no row here has, by name.
    pub missing_labels: Vec<String>,
    /// Rows without a date.
    pub undated: usize,
    /// The oldest mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// The newest mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
}

/// How far memory alone gets on a split's test part.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Flattered {
    /// Share of test rows with a family member in train, `0 ..= 1`; `None` without test rows.
    pub seen_in_train: Option<f64>,
    /// Share of labelled test rows whose most similar labelled training text (TF-IDF cosine) has their label;
    /// `None` without labelled test rows.
    pub lookup_accuracy: Option<f64>,
}

impl Report {
    pub(super) fn of(rows: &[Row<'_>], families: &Families, parts: &[Part], settings: &Settings) -> Self {
        let members = families.members();
        let texts: Vec<&str> = rows.iter().map(|row| row.text).collect();
        let vectors = Vectors::of(&texts);
        let grouped = Flattered::of(rows, families, parts, &vectors);
        let random: Vec<Flattered> = (0..RANDOM)
            .map(|round| {
                let mut shuffled = parts.to_vec();
                Chance::new(settings.seed.wrapping_add(round)).shuffle(&mut shuffled);
                Flattered::of(rows, families, &shuffled, &vectors)
            })
            .collect();
        Self {
            order: settings.order,
            seed: settings.seed,
            rows: rows.len(),
            families: members.len(),
            beyond_first: rows.len() - members.len(),
            largest_family: members.iter().map(Vec::len).max().unwrap_or(0),
            parts: Part::ALL
                .iter()
                .map(|part| PartReport::of(rows, families, parts, *part))
                .collect(),
            grouped,
            random: Flattered {
                seen_in_train: mean(random.iter().map(|one| one.seen_in_train)),
                lookup_accuracy: mean(random.iter().map(|one| one.lookup_accuracy)),
            },
        }
    }

    /// By how much a random split flatters memory alone: lookup accuracy there minus here.
    pub fn flattered(&self) -> Option<f64> {
        Some(self.random.lookup_accuracy? - self.grouped.lookup_accuracy?)
    }
}

impl PartReport {
    fn of(rows: &[Row<'_>], families: &Families, parts: &[Part], part: Part) -> Self {
        let inside = || (0..rows.len()).filter(|row| parts[*row] == part);
        let labels: BTreeSet<&str> = inside().filter_map(|row| rows[row].label).collect();
        let all: BTreeSet<&str> = rows.iter().filter_map(|row| row.label).collect();
        let dates = || inside().filter_map(|row| rows[row].received_at);
        Self {
            part,
            rows: inside().count(),
            share: inside().count() as f64 / rows.len().max(1) as f64,
            families: inside()
                .map(|row| families.of(row))
                .collect::<BTreeSet<_>>()
                .len(),
            labels: labels.len(),
            missing_labels: all.difference(&labels).map(|label| (*label).to_owned()).collect(),
            undated: inside().count() - dates().count(),
            from: dates().min(),
            to: dates().max(),
        }
    }
}

impl Flattered {
    fn of(rows: &[Row<'_>], families: &Families, parts: &[Part], vectors: &Vectors) -> Self {
        let inside = |part: Part| (0..rows.len()).filter(move |row| parts[*row] == part);
        let trained: BTreeSet<usize> = inside(Part::Train).map(|row| families.of(row)).collect();
        let test = inside(Part::Test).count();
        let seen = inside(Part::Test)
            .filter(|row| trained.contains(&families.of(*row)))
            .count();
        let labelled = |part| {
            inside(part)
                .filter(|row| rows[*row].label.is_some())
                .collect::<Vec<_>>()
        };
        let queries = labelled(Part::Test);
        let nearest = vectors.nearest(&labelled(Part::Train), &queries);
        let right = queries
            .iter()
            .zip(nearest)
            .filter(|(row, nearest)| nearest.is_some_and(|nearest| rows[nearest].label == rows[**row].label))
            .count();
        let share = |count: usize, of: usize| (of > 0).then(|| count as f64 / of as f64);
        Self {
            seen_in_train: share(seen, test),
            lookup_accuracy: share(right, queries.len()),
        }
    }
}

fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.flatten().collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
