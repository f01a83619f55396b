//! The label of the most similar known text: what memory alone would score.
//!
//! No model, so it measures the split: where looking up the nearest training text already answers well, and
//! much better on a random split than on one that keeps families together, the random split leaks.

use crate::Families;
use crate::near::{combine, hash, normal_words};
use rayon::prelude::*;
use std::collections::HashMap;

/// Texts as TF-IDF vectors over words and word pairs, unit length.
pub(crate) struct Vectors(Vec<Vec<(u32, f32)>>);

impl Vectors {
    /// Vectors of these texts. Terms in more than a tenth of them are left out: they cost most and tell least.
    pub(crate) fn of<T: AsRef<str> + Sync>(texts: &[T]) -> Self {
        let terms: Vec<HashMap<u64, f32>> = texts.par_iter().map(|text| terms(text.as_ref())).collect();
        let mut rows_with: HashMap<u64, usize> = HashMap::new();
        for term in terms.iter().flat_map(HashMap::keys) {
            *rows_with.entry(*term).or_default() += 1;
        }
        // A term in one row only connects it with nothing.
        let most = (texts.len() / 10).max(20);
        let mut kept: Vec<(u64, usize)> = rows_with
            .into_iter()
            .filter(|(_, n)| (2..=most).contains(n))
            .collect();
        kept.sort_unstable();
        let weight = |rows: usize| (texts.len() as f32 / rows as f32).ln() + 1.0;
        let number: HashMap<u64, (u32, f32)> = kept
            .iter()
            .enumerate()
            .map(|(at, (term, rows))| (*term, (at as u32, weight(*rows))))
            .collect();
        let vector = |terms: HashMap<u64, f32>| {
            let mut vector: Vec<(u32, f32)> = terms
                .into_iter()
                .filter_map(|(term, count)| {
                    number
                        .get(&term)
                        .map(|(at, weight)| (*at, (1.0 + count.ln()) * weight))
                })
                .collect();
            vector.sort_unstable_by_key(|(at, _)| *at);
            let length = vector.iter().map(|(_, x)| x * x).sum::<f32>().sqrt();
            vector.iter_mut().for_each(|(_, x)| *x /= length);
            vector
        };
        Self(terms.into_par_iter().map(vector).collect())
    }

    /// For each row of `queries` the most similar of `known` by cosine, the first of equals; `None` where
    /// no term is shared.
    pub(crate) fn nearest(&self, known: &[usize], queries: &[usize]) -> Vec<Option<usize>> {
        let postings = self.postings(known);
        let nearest = |row: &usize| {
            let mut best = (0.0, None);
            for (position, cosine) in self.cosines(*row, &postings, known.len()).into_iter().enumerate() {
                if cosine > best.0 {
                    best = (cosine, Some(known[position]));
                }
            }
            best.1
        };
        queries.par_iter().map(nearest).collect()
    }

    /// Joins rows whose cosine is at least `least`, directly or through others.
    pub(crate) fn join_similar(&self, families: &mut Families, least: f32) {
        let all: Vec<usize> = (0..self.0.len()).collect();
        let postings = self.postings(&all);
        let similar = |row: &usize| {
            let cosines = self.cosines(*row, &postings, *row);
            cosines
                .into_iter()
                .enumerate()
                .filter(|(_, x)| *x >= least)
                .map(|(at, _)| at)
                .collect::<Vec<_>>()
        };
        let pairs: Vec<Vec<usize>> = all.par_iter().map(similar).collect();
        for (row, others) in pairs.into_iter().enumerate() {
            others.into_iter().for_each(|other| families.join(row, other));
        }
    }

    /// Per term, the positions in `rows` that have it, with their weights.
    fn postings(&self, rows: &[usize]) -> HashMap<u32, Vec<(usize, f32)>> {
        let mut postings: HashMap<u32, Vec<(usize, f32)>> = HashMap::new();
        for (position, row) in rows.iter().enumerate() {
            for (term, x) in &self.0[*row] {
                postings.entry(*term).or_default().push((position, *x));
            }
        }
        postings
    }

    /// The cosines of a row with the first `positions` of the postings.
    fn cosines(&self, row: usize, postings: &HashMap<u32, Vec<(usize, f32)>>, positions: usize) -> Vec<f32> {
        let mut cosines = vec![0.0_f32; positions];
        for (term, x) in &self.0[row] {
            for (position, y) in postings.get(term).map_or(&[][..], Vec::as_slice) {
                if *position >= positions {
                    break;
                }
                cosines[*position] += x * y;
            }
        }
        cosines
    }
}

fn terms(text: &str) -> HashMap<u64, f32> {
    let words: Vec<u64> = normal_words(text)
        .iter()
        .map(|word| hash(word.as_bytes()))
        .collect();
    let mut terms = HashMap::new();
    for term in words.iter().copied().chain(words.windows(2).map(combine)) {
        *terms.entry(term).or_insert(0.0) += 1.0;
    }
    terms
}

#[cfg(test)]
mod tests {
    use super::Vectors;

    #[test]
    fn finds_the_text_with_the_rarest_words_in_common() {
        let texts = [
            "karte gesperrt bitte",
            "depot steuer bitte",
            "die steuer im depot",
            "ganz anders",
            "karte bitte",
        ];
        let vectors = Vectors::of(&texts);
        assert_eq!(vectors.nearest(&[0, 1], &[2, 3, 4]), [Some(1), None, Some(0)]);
    }
}
