//! Walks a text's n-grams without building their strings.
//!
//! A mail has thousands of character n-grams and most are looked up once, so each gram is a 64-bit hash that
//! grows by one character at a time; its text is a range of the folded input, read only where a vocabulary is
//! built. Among a million grams two share a hash with a probability of about 3·10⁻⁸.

use super::vectorizer::{Block, Settings};

/// The start of every hash in a block, so that the word `ab` and the characters `ab` differ.
const fn seed(block: Block) -> u64 {
    match block {
        Block::Words => 0xcbf2_9ce4_8422_2325,
        Block::Characters => 0x84222325_cbf29ce4,
    }
}

/// Adds bytes to a running hash (FNV-1a).
fn extend(mut hash: u64, bytes: &[u8]) -> u64 {
    for &byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash
}

/// Spreads a running hash over all 64 bits (the finaliser of MurmurHash3).
fn finish(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The hash under which a gram of the vocabulary is found again.
pub(super) fn hash(block: Block, gram: &str) -> u64 {
    finish(extend(seed(block), gram.as_bytes()))
}

/// A text ready for counting: lower case, every run of white space one space, a space at both ends.
pub(super) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len() + 2);
    folded.push(' ');
    for word in text.split_whitespace() {
        // `char::to_lowercase` instead of `str::to_lowercase`: a final sigma must not depend on its neighbours.
        folded.extend(word.chars().flat_map(char::to_lowercase));
        folded.push(' ');
    }
    folded
}

/// A word is two or more letters, digits, marks or underscores, as in `\w\w+`.
fn words(folded: &str) -> Vec<&str> {
    let inside = |c: char| c.is_alphanumeric() || c == '_' || is_mark(c);
    folded
        .split(|c| !inside(c))
        .filter(|word| word.chars().nth(1).is_some())
        .collect()
}

/// Combining diacritics, which decomposed text carries beside its letters.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

/// Calls `each` with the hash and the text of every word n-gram, words joined by one space.
pub(super) fn word_grams(folded: &str, settings: &Settings, mut each: impl FnMut(u64, &[&str])) {
    let words = words(folded);
    let [from, to] = settings.words;
    for start in 0..words.len() {
        let mut running = seed(Block::Words);
        for length in 1..=to.min(words.len() - start) {
            if length > 1 {
                running = extend(running, b" ");
            }
            running = extend(running, words[start + length - 1].as_bytes());
            if length >= from {
                each(finish(running), &words[start..start + length]);
            }
        }
    }
}

/// Calls `each` with the hash and the text of every character n-gram within a word and its two spaces.
///
/// A word shorter than the smallest n counts once, whole, as in scikit-learn's `char_wb`.
pub(super) fn character_grams(folded: &str, settings: &Settings, mut each: impl FnMut(u64, &str)) {
    let [from, to] = settings.characters;
    if to == 0 {
        return;
    }
    let spaces: Vec<usize> = folded.match_indices(' ').map(|(at, _)| at).collect();
    let mut ends = Vec::new();
    for pair in spaces.windows(2) {
        let padded = &folded[pair[0]..=pair[1]];
        ends.clear();
        ends.extend(padded.char_indices().map(|(at, c)| at + c.len_utf8()));
        if ends.len() < from {
            each(hash(Block::Characters, padded), padded);
            continue;
        }
        for first in 0..=ends.len() - from {
            let start = if first == 0 { 0 } else { ends[first - 1] };
            let mut running = seed(Block::Characters);
            let mut done = start;
            for (length, &end) in (1..=to).zip(&ends[first..]) {
                running = extend(running, &padded.as_bytes()[done..end]);
                done = end;
                if length >= from {
                    each(finish(running), &padded[start..end]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn characters(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        character_grams(&fold(text), &Settings::default(), |key, gram| {
            assert_eq!(key, hash(Block::Characters, gram));
            found.push(gram.to_owned());
        });
        found.sort();
        found
    }

    #[test]
    fn characters_stay_within_padded_words() {
        let mut want = vec![
            " öl", "öl ", " öl ", " a ", " ab", "ab,", "b, ", " ab,", "ab, ", " ab, ",
        ];
        want.sort();
        assert_eq!(characters("Öl\n a  AB,"), want);
    }

    #[test]
    fn words_are_unicode_and_at_least_two_long() {
        let mut found = Vec::new();
        word_grams(
            &fold("Größe: 5 I/O-Fehler №12"),
            &Settings::default(),
            |key, gram| {
                let gram = gram.join(" ");
                assert_eq!(key, hash(Block::Words, &gram));
                found.push(gram);
            },
        );
        assert_eq!(found, ["größe", "größe fehler", "fehler", "fehler 12", "12"]);
    }

    #[test]
    fn an_empty_text_has_no_grams() {
        for text in ["", " \n\t", "\u{a0}"] {
            assert!(characters(text).is_empty());
            word_grams(&fold(text), &Settings::default(), |_, _| {
                panic!("a word in nothing")
            });
        }
    }

    #[test]
    fn a_gram_differs_between_blocks() {
        assert_ne!(hash(Block::Words, "ab"), hash(Block::Characters, "ab"));
    }
}
