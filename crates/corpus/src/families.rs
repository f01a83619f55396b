//! Rows that belong together: union-find over the rows of a dataset.

use std::collections::HashMap;

/// A partition of rows `0 .. rows` into families.
#[derive(Debug, Clone)]
pub struct Families {
    parent: Vec<usize>,
}

impl Families {
    /// Every row a family of its own.
    pub fn new(rows: usize) -> Self {
        Self {
            parent: (0..rows).collect(),
        }
    }

    /// Makes the families of two rows one.
    ///
    /// # Panics
    /// If a row is out of range.
    pub fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        // The smaller row leads, so a family's name does not depend on the order of joins.
        self.parent[a.max(b)] = a.min(b);
    }

    /// Joins the rows that share a key; rows without one stay as they are.
    pub fn join_equal<'a>(&mut self, keys: impl IntoIterator<Item = Option<&'a str>>) {
        let mut first = HashMap::new();
        for (row, key) in keys.into_iter().enumerate() {
            if let Some(key) = key {
                self.join(*first.entry(key).or_insert(row), row);
            }
        }
    }

    /// The family of a row, named by its first row.
    pub fn of(&self, row: usize) -> usize {
        let mut row = row;
        while self.parent[row] != row {
            row = self.parent[row];
        }
        row
    }

    /// The rows of every family, both in order.
    pub fn members(&self) -> Vec<Vec<usize>> {
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); self.parent.len()];
        for row in 0..self.parent.len() {
            members[self.of(row)].push(row);
        }
        members.retain(|rows| !rows.is_empty());
        members
    }

    /// Finds and shortens the way for later.
    fn find(&mut self, row: usize) -> usize {
        let root = self.of(row);
        let mut row = row;
        while self.parent[row] != root {
            row = std::mem::replace(&mut self.parent[row], root);
        }
        root
    }
}

#[cfg(test)]
mod tests {
    use super::Families;

    #[test]
    fn joins_through_others_and_names_by_the_first_row() {
        let mut families = Families::new(6);
        families.join(5, 3);
        families.join(3, 1);
        families.join_equal([Some("a"), None, Some("b"), None, Some("a"), None]);
        assert_eq!(families.members(), [vec![0, 4], vec![1, 3, 5], vec![2]]);
        assert_eq!(families.of(5), 1);
    }
}
