//! The confusion matrix: what every score of a single-label task is computed from.

use crate::rows::RowsError;
use serde::ser::{Serialize, SerializeSeq, Serializer};

/// Counts of examples by gold class (row) and predicted class (column).
///
/// An example without an answer counts among its gold label's examples and is never right. Serialises as a list
/// of rows, in which the unanswered examples do not stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u64>,
    unanswered: Vec<u64>,
}

/// Why an example cannot be counted.
pub type ConfusionError = RowsError;

impl Confusion {
    /// An empty matrix over `classes` classes.
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            counts: vec![0; classes * classes],
            unanswered: vec![0; classes],
        }
    }

    /// Counts every example whose gold class is known; the others are skipped, whatever was predicted.
    ///
    /// # Errors
    /// [`RowsError::Length`] if the slices differ in length, [`RowsError::Class`] for an index that is not
    /// below `classes`, naming the row.
    pub fn count(
        classes: usize,
        gold: &[Option<usize>],
        predicted: &[usize],
    ) -> Result<Self, ConfusionError> {
        crate::rows::check_gold(gold, predicted.len(), classes)?;
        let mut matrix = Self::new(classes);
        for (row, (&gold, &predicted)) in gold.iter().zip(predicted).enumerate() {
            if predicted >= classes {
                return Err(RowsError::Class {
                    row,
                    found: predicted,
                    classes,
                });
            }
            if let Some(gold) = gold {
                matrix.add(gold, predicted, 1);
            }
        }
        Ok(matrix)
    }

    /// Adds `examples` of one cell.
    ///
    /// # Panics
    /// If an index is not below [`Confusion::classes`].
    pub fn add(&mut self, gold: usize, predicted: usize, examples: u64) {
        assert!(
            gold < self.classes && predicted < self.classes,
            "a class index is below the number of classes"
        );
        self.counts[gold * self.classes + predicted] += examples;
    }

    /// Adds `examples` of a gold class that got no answer.
    ///
    /// # Panics
    /// If the index is not below [`Confusion::classes`].
    pub fn add_unanswered(&mut self, gold: usize, examples: u64) {
        self.unanswered[gold] += examples;
    }

    /// Examples of class `gold` that got no answer.
    pub fn unanswered(&self, gold: usize) -> u64 {
        self.unanswered[gold]
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Examples of class `gold` that were predicted as `predicted`.
    pub fn get(&self, gold: usize, predicted: usize) -> u64 {
        self.counts[gold * self.classes + predicted]
    }

    /// Examples whose gold class is `gold`.
    pub fn gold(&self, gold: usize) -> u64 {
        self.counts[gold * self.classes..][..self.classes]
            .iter()
            .sum::<u64>()
            + self.unanswered[gold]
    }

    /// Examples predicted as `predicted`.
    pub fn predicted(&self, predicted: usize) -> u64 {
        (0..self.classes).map(|gold| self.get(gold, predicted)).sum()
    }

    /// Examples on the diagonal.
    pub fn right(&self) -> u64 {
        (0..self.classes).map(|class| self.get(class, class)).sum()
    }

    /// All examples.
    pub fn total(&self) -> u64 {
        self.counts.iter().chain(&self.unanswered).sum()
    }

    /// The most frequent mistakes, as (gold, predicted, examples), at most `limit`; ties in index order.
    pub fn worst(&self, limit: usize) -> Vec<(usize, usize, u64)> {
        let mut wrong: Vec<_> = (0..self.classes)
            .flat_map(|gold| (0..self.classes).map(move |predicted| (gold, predicted)))
            .filter(|(gold, predicted)| gold != predicted)
            .map(|(gold, predicted)| (gold, predicted, self.get(gold, predicted)))
            .filter(|&(_, _, examples)| examples > 0)
            .collect();
        wrong.sort_by_key(|&(_, _, examples)| std::cmp::Reverse(examples));
        wrong.truncate(limit);
        wrong
    }
}

impl Serialize for Confusion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.classes))?;
        for gold in 0..self.classes {
            rows.serialize_element(&self.counts[gold * self.classes..][..self.classes])?;
        }
        rows.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_masked_gold_and_sums_both_ways() {
        let matrix = Confusion::count(3, &[Some(0), None, Some(0), Some(2)], &[0, 1, 2, 2]).unwrap();
        assert_eq!((matrix.total(), matrix.right()), (3, 2));
        assert_eq!((matrix.gold(0), matrix.gold(1), matrix.predicted(2)), (2, 0, 2));
        assert_eq!(matrix.worst(5), vec![(0, 2, 1)]);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        assert!(Confusion::count(2, &[Some(0)], &[0, 1]).is_err());
        assert!(Confusion::count(2, &[Some(2)], &[0]).is_err());
        assert_eq!(
            Confusion::count(2, &[None, None], &[0, 2]).unwrap_err(),
            RowsError::Class {
                row: 1,
                found: 2,
                classes: 2
            }
        );
    }
}
