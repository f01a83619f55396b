//! Which languages a model has learned: those its training mails are written in.

use poststelle_corpus::Example;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// A language counts from this share of the mails whose language can be told,
const SHARE: f64 = 0.01;
/// and from so many mails.
const MAILS: usize = 5;
/// Mails that are asked, at most.
const ASKED: usize = 10_000;

/// ISO 639-1 codes by falling share; none where no language has enough mails, which says that nothing is known.
pub(crate) fn of(examples: &[Example]) -> Vec<String> {
    let every = examples.len().div_ceil(ASKED).max(1);
    let asked = examples.par_iter().step_by(every);
    let told: Vec<&str> = asked.filter_map(Example::written_in).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for language in told {
        *counts.entry(language).or_default() += 1;
    }
    let all: usize = counts.values().sum();
    let mut counts: Vec<(&str, usize)> = counts
        .into_iter()
        .filter(|&(_, count)| count >= MAILS && count as f64 >= SHARE * all as f64)
        .collect();
    counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    counts
        .into_iter()
        .map(|(language, _)| language.to_owned())
        .collect()
}
