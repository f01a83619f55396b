//! Near-duplicates: which texts are the same mail again, or almost.
//!
//! A template, a resent mail or a mail quoted whole would tell the test split's answer in training. Texts
//! are near when their sets of word 3-grams overlap by 70 % (Jaccard); short texts, where one word changes
//! most 3-grams, also when their character 4-grams overlap by 75 %. Letter case, punctuation and the values of
//! digits do not count.
//!
//! Candidates come from MinHash and locality-sensitive hashing (Broder 1997; Leskovec, Rajaraman, Ullman,
//! "Mining of Massive Datasets", ch. 3), then every pair is verified on the full sets. With 32 bands of 4
//! hashes a pair at 0.7 is missed once in 6,000 times. A pair that already lies in one family is not
//! compared again, and inside a crowded bucket a row meets a bounded number of others, so the work stays
//! linear in the rows even when half of them are one template. Hash constants are fixed: equal input, equal
//! families.

use crate::families::Families;
use rayon::prelude::*;
use std::collections::HashMap;

const BANDS: usize = 32;
const BAND: usize = 4;
const HASHES: usize = BANDS * BAND;
/// Texts up to this many words are also compared by characters.
const SHORT: usize = 16;
const WORDS_NEAR: f64 = 0.7;
const CHARACTERS_NEAR: f64 = 0.75;
/// Rows of other families that a row is compared with in one bucket.
const COMPARED: usize = 24;

/// What is compared of a text.
#[derive(Debug, Clone)]
pub struct Sketch {
    /// Hash of the words, letter case evened out; `None` for a text without a word.
    equal: Option<u64>,
    /// Hashes of word 3-grams, sorted and distinct.
    words: Vec<u64>,
    /// Hashes of character 4-grams of a short text, sorted and distinct.
    characters: Vec<u64>,
}

impl Sketch {
    /// The sketch of a text.
    pub fn of(text: &str) -> Self {
        let words = normal_words(text);
        let hashes: Vec<u64> = words.iter().map(|word| hash(word.as_bytes())).collect();
        let grams = match hashes.len() {
            0 => Vec::new(),
            1..=3 => vec![combine(&hashes)],
            _ => hashes.windows(3).map(combine).collect(),
        };
        let characters = if words.len() > SHORT {
            Vec::new()
        } else {
            character_grams(&words)
        };
        Self {
            equal: equality(text),
            words: distinct(grams),
            characters: distinct(characters),
        }
    }

    /// True when the texts are equal but for letter case, punctuation and spacing, and hold at least one word.
    pub fn equals(&self, other: &Self) -> bool {
        self.equal.is_some() && self.equal == other.equal
    }

    /// True when the texts are near-duplicates; equal texts are.
    pub fn is_near(&self, other: &Self) -> bool {
        self.equals(other)
            || similarity(&self.words, &other.words) >= WORDS_NEAR
            || similarity(&self.characters, &other.characters) >= CHARACTERS_NEAR
    }

    /// What equal texts have in common.
    pub(crate) fn equality(&self) -> Option<u64> {
        self.equal
    }
}

/// Jaccard similarity of two sorted sets, `0 ..= 1`; 0 when either is empty.
fn similarity(a: &[u64], b: &[u64]) -> f64 {
    let (mut i, mut j, mut common) = (0, 0, 0usize);
    while i < a.len() && j < b.len() {
        common += usize::from(a[i] == b[j]);
        let (x, y) = (a[i], b[j]);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    if common == 0 {
        0.0
    } else {
        common as f64 / (a.len() + b.len() - common) as f64
    }
}

/// The sketches of many texts, on all cores, in order.
pub fn sketches<T: AsRef<str> + Sync>(texts: &[T]) -> Vec<Sketch> {
    texts.par_iter().map(|text| Sketch::of(text.as_ref())).collect()
}

/// Joins rows whose texts are near-duplicates, directly or through others.
pub fn join_near(families: &mut Families, sketches: &[Sketch]) {
    let mut first = HashMap::new();
    for (row, sketch) in sketches.iter().enumerate() {
        if let Some(equal) = sketch.equal {
            families.join(*first.entry(equal).or_insert(row), row);
        }
    }
    // Equal texts are one family by now, so one row stands for all of them.
    let of_first: Vec<usize> = (0..sketches.len())
        .filter(|row| sketches[*row].equal.is_some_and(|equal| first[&equal] == *row))
        .collect();
    for set in [(|sketch| &sketch.words) as fn(&Sketch) -> &Vec<u64>, |sketch| {
        &sketch.characters
    }] {
        let signed: Vec<(usize, Vec<u32>)> = of_first
            .par_iter()
            .filter(|row| !set(&sketches[**row]).is_empty())
            .map(|row| (*row, signature(set(&sketches[*row]))))
            .collect();
        for band in 0..BANDS {
            join_band(families, sketches, &signed, band);
        }
    }
}

/// Compares rows whose signatures agree on one band.
fn join_band(families: &mut Families, sketches: &[Sketch], signed: &[(usize, Vec<u32>)], band: usize) {
    let mut keyed: Vec<(&[u32], usize)> = signed
        .iter()
        .map(|(row, signature)| (&signature[band * BAND..(band + 1) * BAND], *row))
        .collect();
    keyed.sort_unstable();
    for bucket in keyed
        .chunk_by(|a, b| a.0 == b.0)
        .filter(|bucket| bucket.len() > 1)
    {
        for (position, (_, row)) in bucket.iter().enumerate() {
            let mut compared = 0;
            for (_, other) in bucket[..position].iter().rev() {
                if compared == COMPARED {
                    break;
                }
                if families.of(*row) != families.of(*other) {
                    compared += 1;
                    if sketches[*row].is_near(&sketches[*other]) {
                        families.join(*row, *other);
                    }
                }
            }
        }
    }
}

/// MinHash: per hash function the smallest value over the set.
fn signature(set: &[u64]) -> Vec<u32> {
    let mut least = vec![u32::MAX; HASHES];
    for item in set {
        let mut factor = 0x9e37_79b9_7f4a_7c15_u64;
        for least in &mut least {
            // Multiply-shift over a mixed item: odd factors from a fixed walk.
            *least = (*least).min((item.wrapping_mul(factor | 1) >> 32) as u32);
            factor = factor
                .wrapping_mul(0xd134_2543_de82_ef95)
                .wrapping_add(0x2545_f491_4f6c_dd1d);
        }
    }
    least
}

/// Lower-case words, digits as `0`, punctuation as space.
pub(crate) fn normal_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        if c.is_numeric() {
            word.push('0');
        } else if c.is_alphabetic() {
            word.extend(c.to_lowercase());
        } else if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn character_grams(words: &[String]) -> Vec<u64> {
    if words.is_empty() {
        return Vec::new();
    }
    let mut characters = vec![' '];
    for word in words {
        characters.extend(word.chars());
        characters.push(' ');
    }
    let bytes = |gram: &[char]| hash(gram.iter().collect::<String>().as_bytes());
    if characters.len() <= 4 {
        vec![bytes(&characters)]
    } else {
        characters.windows(4).map(bytes).collect()
    }
}

fn equality(text: &str) -> Option<u64> {
    let words = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    let words: Vec<u64> = words.map(|word| hash(word.to_lowercase().as_bytes())).collect();
    (!words.is_empty()).then(|| combine(&words))
}

fn distinct(mut set: Vec<u64>) -> Vec<u64> {
    set.sort_unstable();
    set.dedup();
    set
}

/// FNV-1a, finished with a mix so that all bits depend on all bytes.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

pub(crate) fn combine(hashes: &[u64]) -> u64 {
    hashes.iter().fold(0, |sum, hash| mix(sum.rotate_left(23) ^ hash))
}

/// The finisher of SplitMix64.
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: &str, b: &str) -> bool {
        Sketch::of(a).is_near(&Sketch::of(b))
    }

    #[test]
    fn letter_case_punctuation_and_the_values_of_digits_do_not_count() {
        assert!(near(
            "Bitte senden Sie mir Rechnung 4711!",
            "bitte senden sie mir  Rechnung 0815"
        ));
        assert!(!Sketch::of("Rechnung 4711").equals(&Sketch::of("Rechnung 0815")));
        assert!(Sketch::of("Hallo,  Welt!\n").equals(&Sketch::of("hallo welt")));
    }

    #[test]
    fn short_texts_are_near_when_one_letter_differs_not_when_the_wish_does() {
        assert!(near(
            "wecke mich morgen um acht uhr auf bitte",
            "weck mich morgen um acht uhr auf bitte"
        ));
        assert!(!near("mach das licht an", "mach das radio leise"));
        assert!(!near("", ""));
        assert!(!near("...", "!!!"));
    }

    #[test]
    fn similarity_is_jaccard() {
        assert_eq!(similarity(&[1, 2, 3], &[2, 3, 4]), 0.5);
        assert_eq!(similarity(&[1], &[1]), 1.0);
        assert_eq!(similarity(&[], &[]), 0.0);
    }

    /// LSH finds what comparing every pair finds.
    #[test]
    fn finds_every_pair_that_comparing_all_finds() {
        let words = [
            "konto", "depot", "steuer", "karte", "adresse", "vertrag", "auszug", "brief", "gebühr",
        ];
        let mut state = 7;
        let mut texts = Vec::new();
        for _ in 0..60 {
            let mut text: Vec<&str> = (0..40)
                .map(|_| {
                    state = mix(state + 1);
                    words[state as usize % 9]
                })
                .collect();
            texts.push(text.join(" "));
            state = mix(state + 1);
            text[state as usize % 40] = "anders";
            texts.push(text.join(" "));
        }
        let sketches = sketches(&texts);
        let (mut fast, mut slow) = (Families::new(texts.len()), Families::new(texts.len()));
        join_near(&mut fast, &sketches);
        for a in 0..texts.len() {
            for b in 0..a {
                if sketches[a].is_near(&sketches[b]) {
                    slow.join(a, b);
                }
            }
        }
        let list = |families: &Families| (0..texts.len()).map(|row| families.of(row)).collect::<Vec<_>>();
        assert_eq!(list(&fast), list(&slow));
        assert_eq!(fast.members().len(), 60);
    }
}
