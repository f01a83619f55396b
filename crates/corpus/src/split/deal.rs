//! Deals families out to the parts of a split.

use super::{Part, Row, Settings, SplitError};
use crate::near::mix;
use std::collections::BTreeMap;

/// Chance from a seed: SplitMix64 (Steele, Lea, Flood 2014).
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Fisher and Yates; the bias of the remainder is below 2^-40 for any list that fits in memory.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, (self.next() % (last as u64 + 1)) as usize);
        }
    }
}

/// A part for each row, labels as even as families allow.
pub(super) fn stratified(rows: &[Row<'_>], members: &[Vec<usize>], settings: &Settings) -> Vec<Part> {
    let mut dealer = Dealer::new(rows, members, settings);
    let mut order: Vec<usize> = (0..members.len()).collect();
    Chance::new(settings.seed).shuffle(&mut order);
    // Large families first: the small ones can still even out what these upset.
    order.sort_by_key(|family| std::cmp::Reverse(members[*family].len()));
    while let Some(label) = dealer.rarest() {
        let of_label = |family: &&usize| dealer.labels[**family].contains_key(&label);
        let undealt = |family: &&usize| dealer.part_of[**family].is_none();
        let families: Vec<usize> = order.iter().filter(of_label).filter(undealt).copied().collect();
        for (dealt, family) in families.iter().enumerate() {
            let part = dealer.missed_most(label, families.len() - dealt);
            dealer.give(*family, part);
        }
        dealer.done.push(label);
    }
    dealer.parts(rows.len(), members)
}

/// Counts while dealing; labels are numbers, the last stands for unlabelled rows.
struct Dealer {
    /// Rows per label of each family.
    labels: Vec<BTreeMap<usize, usize>>,
    part_of: Vec<Option<Part>>,
    /// Rows of each label still wanted by each part; below 0 when it has too many.
    wanted: Vec<[f64; 3]>,
    wanted_rows: [f64; 3],
    sizes: Vec<usize>,
    /// Families of each label that each part has.
    held: Vec<[usize; 3]>,
    open: [bool; 3],
    done: Vec<usize>,
}

impl Dealer {
    fn new(rows: &[Row<'_>], members: &[Vec<usize>], settings: &Settings) -> Self {
        let mut names: Vec<&str> = rows.iter().filter_map(|row| row.label).collect();
        names.sort_unstable();
        names.dedup();
        let number = |row: &usize| match rows[*row].label {
            Some(label) => names.binary_search(&label).unwrap_or(names.len()),
            None => names.len(),
        };
        let mut counts = vec![0usize; names.len() + 1];
        let mut labels = vec![BTreeMap::new(); members.len()];
        for (family, members) in members.iter().enumerate() {
            for label in members.iter().map(number) {
                counts[label] += 1;
                *labels[family].entry(label).or_insert(0) += 1;
            }
        }
        let shares = settings.shares();
        let of = |count: usize| shares.map(|share| share * count as f64);
        Self {
            labels,
            part_of: vec![None; members.len()],
            wanted: counts.iter().map(|count| of(*count)).collect(),
            wanted_rows: of(rows.len()),
            sizes: members.iter().map(Vec::len).collect(),
            held: vec![[0; 3]; counts.len()],
            open: shares.map(|share| share > 0.0),
            done: Vec::new(),
        }
    }

    /// The label with the fewest rows in families not yet dealt out, among those not done.
    fn rarest(&self) -> Option<usize> {
        let mut left = vec![0usize; self.wanted.len()];
        for (family, labels) in self.labels.iter().enumerate() {
            if self.part_of[family].is_none() {
                labels.iter().for_each(|(label, rows)| left[*label] += rows);
            }
        }
        (0..left.len())
            .filter(|label| left[*label] > 0 && !self.done.contains(label))
            .min_by_key(|label| left[*label])
    }

    /// The part the next of `left` families of this label goes to: the one that wants most rows of the
    /// label, then most rows at all; but when only as many families are left as parts have none, those parts.
    fn missed_most(&self, label: usize, left: usize) -> Part {
        let open = || Part::ALL.into_iter().filter(|part| self.open[*part as usize]);
        let mut without = open().filter(|part| self.held[label][*part as usize] == 0);
        if without.clone().count() >= left
            && let Some(part) = without.next()
        {
            return part;
        }
        let key = |part: &Part| {
            (
                self.wanted[label][*part as usize],
                self.wanted_rows[*part as usize],
            )
        };
        let more = |a: &Part, b: &Part| {
            let ((a_label, a_rows), (b_label, b_rows)) = (key(a), key(b));
            // The first of equals: `max_by` keeps the last, so equals count as less.
            a_label
                .total_cmp(&b_label)
                .then(a_rows.total_cmp(&b_rows))
                .then(std::cmp::Ordering::Greater)
        };
        open().max_by(more).unwrap_or(Part::Train)
    }

    fn give(&mut self, family: usize, part: Part) {
        self.part_of[family] = Some(part);
        self.wanted_rows[part as usize] -= self.sizes[family] as f64;
        for (label, rows) in &self.labels[family] {
            self.wanted[*label][part as usize] -= *rows as f64;
            self.held[*label][part as usize] += 1;
        }
    }

    fn parts(&self, rows: usize, members: &[Vec<usize>]) -> Vec<Part> {
        let mut parts = vec![Part::Train; rows];
        for (family, members) in members.iter().enumerate() {
            for row in members {
                parts[*row] = self.part_of[family].unwrap_or(Part::Train);
            }
        }
        parts
    }
}

/// A part for each row: families by the newest mail in them, the newest to test; families
/// without a date to train.
pub(super) fn by_date(
    rows: &[Row<'_>],
    members: &[Vec<usize>],
    settings: &Settings,
) -> Result<Vec<Part>, SplitError> {
    let newest = |family: &Vec<usize>| family.iter().filter_map(|row| rows[*row].received_at).max();
    let mut dated: Vec<_> = members
        .iter()
        .filter_map(|family| Some((newest(family)?, family)))
        .collect();
    if dated.is_empty() {
        return Err(SplitError::NoDate { rows: rows.len() });
    }
    dated.sort();
    let mut parts = vec![Part::Train; rows.len()];
    let mut budget = settings
        .shares()
        .map(|share| (share * rows.len() as f64).round() as usize);
    let mut families = dated.iter().rev().map(|(_, family)| *family).peekable();
    for part in [Part::Test, Part::Validation] {
        let budget = &mut budget[part as usize];
        // A family that would overfill the part by more than half of itself opens the next one.
        while let Some(family) = families.next_if(|family| *budget > 0 && family.len() / 2 <= *budget) {
            *budget = budget.saturating_sub(family.len());
            family.iter().for_each(|row| parts[*row] = part);
        }
    }
    Ok(parts)
}
