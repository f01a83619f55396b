//! Texts to sparse rows: TF-IDF over word and character n-grams.
//!
//! Word n-grams carry the subject, character n-grams carry it through German compounds, inflection and typing
//! errors. Each block is scaled to length 1 on its own before its weight applies, or the many character grams
//! would drown the words.

use super::grams::{character_grams, fold, hash, word_grams};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

/// What counts as a feature, and how much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Shortest and longest word n-gram; `[0, 0]` leaves the block out. Default `[1, 2]`.
    pub words: [usize; 2],
    /// Shortest and longest character n-gram within a word; `[0, 0]` leaves the block out. Default `[3, 5]`.
    pub characters: [usize; 2],
    /// Length the word block is scaled to. Default 1.
    pub word_weight: f32,
    /// Length the character block is scaled to. Default 2: German compounds and inflection live there.
    pub character_weight: f32,
    /// Texts a gram must occur in to be kept. Default 1: rare grams carry rare labels.
    pub min_documents: u32,
    /// Most features kept per block, those in the most texts first. Default 100,000.
    pub max_features: usize,
    /// Whether a count `n` weighs `1 + ln n` instead of `n`. Default true.
    pub sublinear: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            words: [1, 2],
            characters: [3, 5],
            word_weight: 1.0,
            character_weight: 2.0,
            min_documents: 1,
            max_features: 100_000,
            sublinear: true,
        }
    }
}

/// The two kinds of features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Block {
    /// Word n-grams.
    Words,
    /// Character n-grams within words.
    Characters,
}

/// One text's features: distinct indices in rising order, and their values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SparseRow {
    /// Feature indices, rising.
    pub indices: Vec<u32>,
    /// The value of each.
    pub values: Vec<f32>,
}

impl SparseRow {
    /// Pairs of index and value.
    pub fn iter(&self) -> impl Iterator<Item = (usize, f32)> + '_ {
        self.indices
            .iter()
            .map(|&i| i as usize)
            .zip(self.values.iter().copied())
    }

    /// The sum of the squared values.
    pub fn squared_length(&self) -> f32 {
        self.values.iter().map(|v| v * v).sum()
    }
}

/// A fitted vocabulary with its weights; features `0 .. words` are word n-grams, the rest characters.
#[derive(Debug, Clone)]
pub struct Vectorizer {
    settings: Settings,
    grams: Vec<String>,
    words: usize,
    idf: Vec<f32>,
    index: Index,
}

/// A finished hash needs no second one.
#[derive(Debug, Clone, Copy, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only u64 keys are hashed");
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

type Index = HashMap<u64, u32, BuildHasherDefault<Identity>>;
type Seen = HashMap<u64, (String, u32), BuildHasherDefault<Identity>>;

impl Vectorizer {
    /// Learns the vocabulary and the document frequencies of `texts`.
    ///
    /// `idf = ln((1 + n) / (1 + df)) + 1`, as scikit-learn's smoothed form. The result depends on the texts
    /// only as a set with counts, not on their order or on the number of threads.
    pub fn fit(texts: &[&str], settings: &Settings) -> Self {
        let (words, characters) = rayon::join(
            || {
                chosen(texts, settings, |folded, seen| {
                    word_grams(folded, settings, |key, gram| note(seen, key, || gram.join(" ")));
                })
            },
            || {
                chosen(texts, settings, |folded, seen| {
                    character_grams(folded, settings, |key, gram| note(seen, key, || gram.to_owned()));
                })
            },
        );
        let count = words.len();
        let total = 1.0 + texts.len() as f64;
        let (grams, idf) = words
            .into_iter()
            .chain(characters)
            .map(|(gram, documents)| (gram, ((total / (1.0 + f64::from(documents))).ln() + 1.0) as f32))
            .unzip();
        Self::from_parts(settings.clone(), grams, count, idf)
    }

    /// Puts a stored vocabulary together: word grams first, `words` of them.
    pub(super) fn from_parts(settings: Settings, grams: Vec<String>, words: usize, idf: Vec<f32>) -> Self {
        let mut index = Index::with_capacity_and_hasher(grams.len(), BuildHasherDefault::default());
        for (i, gram) in grams.iter().enumerate() {
            let block = if i < words {
                Block::Words
            } else {
                Block::Characters
            };
            index.insert(hash(block, gram), i as u32);
        }
        Self {
            settings,
            grams,
            words,
            idf,
            index,
        }
    }

    /// The settings it was fitted with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many features a row can have.
    pub fn features(&self) -> usize {
        self.grams.len()
    }

    /// How many of them, from the first, are word n-grams.
    pub fn word_features(&self) -> usize {
        self.words
    }

    /// The n-gram behind a feature; characters keep the spaces at a word's ends.
    pub fn gram(&self, feature: usize) -> (Block, &str) {
        let block = if feature < self.words {
            Block::Words
        } else {
            Block::Characters
        };
        (block, &self.grams[feature])
    }

    /// Inverse document frequencies, one per feature.
    pub fn idf(&self) -> &[f32] {
        &self.idf
    }

    /// Turns one text into its row; unknown grams are left out, an empty text is an empty row.
    pub fn transform(&self, text: &str) -> SparseRow {
        let folded = fold(text);
        let mut found = Vec::new();
        let mut look = |key: u64| found.extend(self.index.get(&key));
        word_grams(&folded, &self.settings, |key, _| look(key));
        character_grams(&folded, &self.settings, |key, _| look(key));
        found.sort_unstable();

        let mut row = SparseRow::default();
        for same in found.chunk_by(|a, b| a == b) {
            let count = same.len() as f32;
            let count = if self.settings.sublinear {
                1.0 + count.ln()
            } else {
                count
            };
            row.indices.push(same[0]);
            row.values.push(count * self.idf[same[0] as usize]);
        }
        let border = row.indices.partition_point(|&i| (i as usize) < self.words);
        let (words, characters) = row.values.split_at_mut(border);
        scale(words, self.settings.word_weight);
        scale(characters, self.settings.character_weight);
        row
    }

    /// Turns many texts into rows, in their order.
    pub fn transform_all(&self, texts: &[&str]) -> Vec<SparseRow> {
        texts.par_iter().map(|text| self.transform(text)).collect()
    }
}

/// Scales values to a length; nothing stays nothing.
fn scale(values: &mut [f32], length: f32) {
    let squared: f64 = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    if squared > 0.0 {
        let factor = (f64::from(length) / squared.sqrt()) as f32;
        values.iter_mut().for_each(|v| *v *= factor);
    }
}

/// Remembers a gram of one text.
fn note(seen: &mut Seen, key: u64, gram: impl FnOnce() -> String) {
    seen.entry(key).or_insert_with(|| (gram(), 0));
}

/// Counts in how many texts each gram stands and keeps the frequent ones, in alphabetical order.
fn chosen(texts: &[&str], settings: &Settings, grams: impl Fn(&str, &mut Seen) + Sync) -> Vec<(String, u32)> {
    // Texts are counted in pieces so that threads rarely meet; the sums do not depend on the cut.
    let seen = texts
        .par_chunks(256)
        .map(|piece| {
            let (mut all, mut one) = (Seen::default(), Seen::default());
            for text in piece {
                grams(&fold(text), &mut one);
                for (key, (gram, _)) in one.drain() {
                    all.entry(key).or_insert((gram, 0)).1 += 1;
                }
            }
            all
        })
        .reduce(Seen::default, |mut left, right| {
            for (key, (gram, documents)) in right {
                left.entry(key).or_insert((gram, 0)).1 += documents;
            }
            left
        });
    let mut kept: Vec<(String, u32)> = seen
        .into_values()
        .filter(|&(_, documents)| documents >= settings.min_documents)
        .collect();
    if kept.len() > settings.max_features {
        kept.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        kept.truncate(settings.max_features);
    }
    kept.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 4] = [
        "Konto gesperrt",
        "Konto eröffnen, Konto schließen",
        "Depot eröffnen",
        "Depot übertragen",
    ];

    fn fitted(settings: Settings) -> Vectorizer {
        Vectorizer::fit(&TEXTS, &settings)
    }

    #[test]
    fn keeps_what_stands_in_enough_texts() {
        let vectorizer = fitted(Settings {
            characters: [0, 0],
            min_documents: 2,
            ..Settings::default()
        });
        let grams: Vec<_> = (0..vectorizer.features()).map(|i| vectorizer.gram(i)).collect();
        assert_eq!(
            grams,
            ["depot", "eröffnen", "konto"].map(|gram| (Block::Words, gram))
        );
    }

    #[test]
    fn weighs_by_sublinear_count_and_smoothed_idf() {
        let vectorizer = fitted(Settings {
            characters: [0, 0],
            min_documents: 2,
            ..Settings::default()
        });
        let row = vectorizer.transform("konto konto depot");
        let idf = (5.0_f64 / 3.0).ln() + 1.0;
        let (depot, konto) = (idf, (1.0 + 2.0_f64.ln()) * idf);
        let length = depot.hypot(konto);
        assert_eq!(row.indices, [0, 2]);
        assert!((f64::from(row.values[0]) - depot / length).abs() < 1e-6);
        assert!((f64::from(row.values[1]) - konto / length).abs() < 1e-6);
    }

    #[test]
    fn each_block_has_its_weight_as_length() {
        let vectorizer = fitted(Settings {
            word_weight: 0.5,
            character_weight: 2.0,
            ..Settings::default()
        });
        let row = vectorizer.transform(TEXTS[1]);
        let border = row
            .indices
            .partition_point(|&i| (i as usize) < vectorizer.word_features());
        let length = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>().sqrt();
        assert!((length(&row.values[..border]) - 0.5).abs() < 1e-6);
        assert!((length(&row.values[border..]) - 2.0).abs() < 1e-6);
    }

    #[test]
    fn the_most_frequent_features_stay_when_room_is_short() {
        let vectorizer = fitted(Settings {
            characters: [0, 0],
            min_documents: 1,
            max_features: 3,
            ..Settings::default()
        });
        assert_eq!(vectorizer.features(), 3);
        assert_eq!(vectorizer.gram(2).1, "konto");
    }

    #[test]
    fn the_order_of_texts_does_not_matter() {
        let mut turned = TEXTS;
        turned.reverse();
        let (a, b) = (
            fitted(Settings::default()),
            Vectorizer::fit(&turned, &Settings::default()),
        );
        assert_eq!((a.grams, a.idf), (b.grams, b.idf));
    }

    #[test]
    fn empty_and_foreign_texts_are_empty_rows() {
        let vectorizer = fitted(Settings::default());
        for text in ["", " \n ", "§§§", "日本"] {
            assert_eq!(vectorizer.transform(text), SparseRow::default(), "{text:?}");
        }
        assert_eq!(Vectorizer::fit(&[], &Settings::default()).features(), 0);
    }
}
