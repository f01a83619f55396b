//! A borrowed table of per-class scores, one row per example.

/// Logits or probabilities of some examples, row-major; every row has the same number of classes.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    values: &'a [f32],
    classes: usize,
}

/// Why numbers do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowsError {
    /// The values do not fill whole rows.
    #[error("{values} values do not fill rows of {classes} classes")]
    Ragged {
        /// How many values there are.
        values: usize,
        /// How many a row should have.
        classes: usize,
    },
    /// Two inputs speak of different numbers of examples.
    #[error("{found} rows of {what}, expected {expected}")]
    Length {
        /// Which input.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length of the others.
        expected: usize,
    },
    /// A class index that does not exist.
    #[error("row {row}: class {found}, expected below {classes}")]
    Class {
        /// The row, from 0.
        row: usize,
        /// The index found.
        found: usize,
        /// How many classes there are.
        classes: usize,
    },
}

impl<'a> Rows<'a> {
    /// Views `values` as rows of `classes` numbers.
    ///
    /// # Errors
    /// [`RowsError::Ragged`] if `classes` is 0 or does not divide the number of values.
    pub fn new(values: &'a [f32], classes: usize) -> Result<Self, RowsError> {
        if classes == 0 || !values.len().is_multiple_of(classes) {
            return Err(RowsError::Ragged {
                values: values.len(),
                classes,
            });
        }
        Ok(Self { values, classes })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.classes
    }

    /// True when there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The rows in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'a, f32> {
        self.values.chunks_exact(self.classes)
    }
}

/// Refuses gold that does not fit `rows` rows of `classes` classes.
pub(crate) fn check_gold(gold: &[Option<usize>], rows: usize, classes: usize) -> Result<(), RowsError> {
    if gold.len() != rows {
        return Err(RowsError::Length {
            what: "gold",
            found: gold.len(),
            expected: rows,
        });
    }
    match gold
        .iter()
        .enumerate()
        .find_map(|(row, class)| class.filter(|&c| c >= classes).map(|c| (row, c)))
    {
        Some((row, found)) => Err(RowsError::Class { row, found, classes }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_ragged_rows_and_unknown_classes() {
        assert_eq!(
            Rows::new(&[1.0; 5], 2).unwrap_err(),
            RowsError::Ragged {
                values: 5,
                classes: 2
            }
        );
        assert!(Rows::new(&[], 0).is_err());
        assert!(Rows::new(&[], 3).unwrap().is_empty());
        assert_eq!(
            check_gold(&[Some(0), Some(2)], 2, 2).unwrap_err(),
            RowsError::Class {
                row: 1,
                found: 2,
                classes: 2
            }
        );
        assert!(check_gold(&[None], 2, 2).is_err());
    }
}
