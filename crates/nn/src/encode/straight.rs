//! One text to ids on the shortest way, for the settings of XLM-RoBERTa.
//!
//! The `tokenizers` crate carries for every character where it came from, makes a string of every token and keeps what a limit
//! cuts off. An answer needs none of that. Here a text goes once, a character at a time, through what its tokenizer asks for,
//! and every word is searched as soon as it is whole; where the limit is passed the rest is not read.
//!
//! ```text
//! text ─Nmt, NFKC→          ─Strip→ ─Replace " {2,}"→
//!      or ─a character map→ or ─WhitespaceSplit→       ─Metaspace→ words ─Pieces→ ids
//! ```
//!
//! **Invariant.** The ids and whether some are missing are the crate's for every text. A tokenizer with other settings has no
//! straight way; the crate reads its texts.
//!
//! Source: the crate's `normalizers`, `pre_tokenizers` and `processors::template`; Unicode Standard Annex #15, §9, on what may be
//! normalised apart, and #29, §3, on what is one grapheme.

use super::Encoding;
use super::pieces::{self, Failure, Mapped, Pieces};
use serde_json::Value;
use std::cell::Cell;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{NormalizerWrapper, Precompiled, Replace};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use unicode_normalization_alignments::char::canonical_combining_class;
use unicode_normalization_alignments::{IsNormalized, UnicodeNormalization, is_nfkc_quick};
use unicode_segmentation::UnicodeSegmentation;

/// Stands for a space in pieces.
const SPACE: char = '▁';
/// Bytes that a thread keeps of one buffer for the next text.
const KEPT: usize = 1 << 10;

/// Settings of a tokenizer whose texts are encoded here.
#[derive(Debug, PartialEq, Eq)]
pub struct Straight {
    characters: Characters,
    words: Words,
    /// Special tokens before and after each text.
    before: Vec<u32>,
    after: Vec<u32>,
    /// Tokens between them.
    limit: usize,
}

/// What happens to characters first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Characters {
    /// Nmt and NFKC.
    Composed,
    /// A character map of SentencePiece; the ASCII characters that it leaves as they are, a bit each.
    Charsmap { plain: u128 },
}

/// How normalised text falls into words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Words {
    /// White space at the beginning is dropped, and at the end.
    strip_left: bool,
    strip_right: bool,
    /// Spaces side by side are one.
    squeeze: bool,
    /// White space parts words and is part of none.
    split: bool,
}

impl Straight {
    /// The settings and the limit of a tokenizer; none where one of them is not known here.
    pub fn of(tokenizer: &Mapped) -> Option<Self> {
        let (characters, rest) = match steps(tokenizer) {
            [NormalizerWrapper::Nmt(_), NormalizerWrapper::NFKC(_), rest @ ..] => {
                (Characters::Composed, rest)
            }
            [NormalizerWrapper::Precompiled(map), rest @ ..] => {
                let kept = |byte: &u8| {
                    map.transform(char::from(*byte).encode_utf8(&mut [0; 4]))
                        .is_none()
                };
                let plain = (0..128).filter(kept).fold(0, |plain, byte| plain | 1 << byte);
                (Characters::Charsmap { plain }, rest)
            }
            _ => return None,
        };
        let mut words = Words::default();
        let rest = match rest {
            [NormalizerWrapper::StripNormalizer(strip), rest @ ..] => {
                (words.strip_left, words.strip_right) = (strip.strip_left, strip.strip_right);
                rest
            }
            _ => rest,
        };
        match rest {
            [] => {}
            // Either way Metaspace makes it the same.
            [NormalizerWrapper::Replace(replace)] => {
                let spaces = || ReplacePattern::Regex(" {2,}".into());
                let mut known = [" ", "▁"].into_iter().map(|one| Replace::new(spaces(), one));
                words.squeeze = known.any(|known| known.is_ok_and(|known| *replace == known));
                words.squeeze.then_some(())?;
            }
            _ => return None,
        }
        let parts = match tokenizer.get_pre_tokenizer()? {
            PreTokenizerWrapper::Sequence(parts) => parts.as_ref(),
            part => std::slice::from_ref(part),
        };
        let metaspace = match parts {
            [PreTokenizerWrapper::Metaspace(found)] => found,
            [
                PreTokenizerWrapper::WhitespaceSplit(_),
                PreTokenizerWrapper::Metaspace(found),
            ] if words == Words::default() => {
                words.split = true;
                found
            }
            _ => return None,
        };
        if *metaspace != Metaspace::new(SPACE, PrependScheme::Always, true) {
            return None;
        }

        // Special tokens are never found in a text; any other that is added might be.
        let added = tokenizer.get_added_vocabulary();
        let special = added
            .get_added_tokens_decoder()
            .values()
            .all(|token| token.special);
        if !special || !added.get_encode_special_tokens() || tokenizer.get_padding().is_some() {
            return None;
        }
        let template = serde_json::to_value(tokenizer.get_post_processor()?).ok()?;
        let ids = |token: &Value| -> Option<Vec<u32>> {
            let name = token["SpecialToken"]["id"].as_str()?;
            serde_json::from_value(template["special_tokens"][name]["ids"].clone()).ok()
        };
        let (before, after) = match template["single"].as_array()?.as_slice() {
            [before, text, after] if text["Sequence"]["id"] == "A" => (ids(before)?, ids(after)?),
            _ => return None,
        };
        let truncation = tokenizer.get_truncation()?;
        let limit = truncation.max_length.checked_sub(before.len() + after.len())?;
        let beginning = truncation.stride == 0 && truncation.direction.as_ref() == "right";
        (template["type"] == "TemplateProcessing" && beginning).then_some(Self {
            characters,
            words,
            before,
            after,
            limit,
        })
    }

    /// Encodes `prefix` and `text`, one after the other, as one text; `tokenizer` is the one of [`of`](Self::of).
    ///
    /// # Errors
    /// Where a piece is damaged, or a character has none and there is none for unknown ones.
    pub fn encode(&self, tokenizer: &Mapped, prefix: &str, text: &str) -> Result<Encoding, Failure> {
        let mut room = ROOM.take();
        room.ids.extend(&self.before);
        let mut reading = Reading {
            pieces: tokenizer.get_model(),
            words: self.words,
            full: self.before.len() + self.limit,
            room,
        };
        let end = match (self.characters, steps(tokenizer)) {
            (Characters::Charsmap { plain }, [NormalizerWrapper::Precompiled(map), ..]) => {
                reading.mapped(map, plain, prefix, text)
            }
            _ => reading.composed(prefix, text),
        };
        let end = end.and_then(|()| reading.search());
        let Reading { full, mut room, .. } = reading;
        room.ids.truncate(full);
        room.ids.extend(&self.after);
        let ids = room.ids.clone();
        ROOM.set(room.emptied());
        match end {
            Ok(()) => Ok(Encoding {
                ids,
                truncated: false,
            }),
            Err(Stop::Full) => Ok(Encoding { ids, truncated: true }),
            Err(Stop::Failed(failure)) => Err(failure),
        }
    }
}

/// A tokenizer's normalizers, one after another.
fn steps(tokenizer: &Mapped) -> &[NormalizerWrapper] {
    match tokenizer.get_normalizer() {
        Some(NormalizerWrapper::Sequence(steps)) => steps.as_ref(),
        Some(step) => std::slice::from_ref(step),
        None => &[],
    }
}

/// Why a text is not read to its end.
enum Stop {
    /// There are more tokens than the limit lets in.
    Full,
    Failed(Failure),
}

thread_local! {
    static ROOM: Cell<Room> = Cell::default();
}

/// Buffers a thread uses for one text after another.
#[derive(Default)]
struct Room {
    /// Ids so far, and one more where some are to be cut off.
    ids: Vec<u32>,
    /// Characters that are normalised together.
    together: String,
    /// White space that is dropped if nothing follows it.
    space: String,
    /// The word as far as it is read, [`SPACE`] first; empty before anything is.
    word: String,
    /// Whether the last character was a space.
    spaced: bool,
    search: pieces::Room,
}

impl Room {
    /// As new, with the buffers of an ordinary text.
    fn emptied(mut self) -> Self {
        for buffer in [&mut self.together, &mut self.space, &mut self.word] {
            buffer.clear();
            buffer.shrink_to(KEPT);
        }
        self.ids.clear();
        self.spaced = false;
        self.search.shrink_to(KEPT);
        self
    }
}

/// A text on its way; each step hands on to the next.
struct Reading<'a> {
    pieces: &'a Pieces,
    words: Words,
    /// How many ids there is room for, but for those after the text.
    full: usize,
    room: Room,
}

impl Reading<'_> {
    /// Nmt and NFKC, in parts that do not touch each other.
    fn composed(&mut self, prefix: &str, text: &str) -> Result<(), Stop> {
        // A character that stands alone waits for the next; others are gathered with the one before them.
        let mut last = None;
        let mut together = std::mem::take(&mut self.room.together);
        for character in prefix.chars().chain(text.chars()).filter_map(nmt) {
            if !stands_alone(character) {
                together.extend(last.take());
                together.push(character);
                continue;
            }
            if let Some(before) = last.replace(character) {
                self.strip(before)?;
            } else if !together.is_empty() {
                together.nfkc().try_for_each(|(one, _)| self.strip(one))?;
                together.clear();
            }
        }
        if let Some(before) = last {
            self.strip(before)?;
        }
        together.nfkc().try_for_each(|(one, _)| self.strip(one))?;
        self.room.together = together;
        Ok(())
    }

    /// What a character map makes of each grapheme if it is short, or else of its characters.
    fn mapped(&mut self, map: &Precompiled, plain: u128, prefix: &str, text: &str) -> Result<(), Stop> {
        let mut together = std::mem::take(&mut self.room.together);
        together.extend([prefix, text]);
        let bytes = together.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            // Beside ASCII an ASCII character is a grapheme of its own, but for `\r\n`.
            let (byte, alone) = (bytes[at], bytes.get(at + 1).is_none_or(u8::is_ascii));
            if byte.is_ascii() && byte != b'\r' && alone && plain >> byte & 1 == 1 {
                self.strip(char::from(byte))?;
                at += 1;
                continue;
            }
            let start = at;
            at += 1;
            while at < bytes.len()
                && !(bytes[at].is_ascii() && bytes[at - 1].is_ascii() && bytes[at - 1] != b'\r')
            {
                at += 1;
            }
            for grapheme in together[start..at].graphemes(true) {
                match map.transform(grapheme) {
                    Some(mapped) if grapheme.len() < 6 => self.strip_all(mapped)?,
                    _ => {
                        for character in grapheme.chars() {
                            match map.transform(character.encode_utf8(&mut [0; 4])) {
                                Some(mapped) => self.strip_all(mapped)?,
                                None => self.strip(character)?,
                            }
                        }
                    }
                }
            }
        }
        together.clear();
        self.room.together = together;
        Ok(())
    }

    fn strip_all(&mut self, characters: &str) -> Result<(), Stop> {
        characters.chars().try_for_each(|character| self.strip(character))
    }

    /// Drops white space at both ends.
    fn strip(&mut self, character: char) -> Result<(), Stop> {
        if self.words.strip_left && self.room.word.is_empty() && character.is_whitespace() {
            return Ok(());
        }
        if self.words.strip_right {
            if character.is_whitespace() {
                self.room.space.push(character);
                return Ok(());
            }
            if !self.room.space.is_empty() {
                let mut space = std::mem::take(&mut self.room.space);
                space.chars().try_for_each(|character| self.cut(character))?;
                space.clear();
                self.room.space = space;
            }
        }
        self.cut(character)
    }

    /// Ends a word before a space, and begins the next with it.
    fn cut(&mut self, character: char) -> Result<(), Stop> {
        if self.words.split && character.is_whitespace() {
            return self.search();
        }
        let again = std::mem::replace(&mut self.room.spaced, character == ' ');
        if character == ' ' || character == SPACE {
            if !(self.words.squeeze && again && character == ' ') {
                self.search()?;
                self.room.word.push(SPACE);
            }
            return Ok(());
        }
        if self.room.word.is_empty() {
            self.room.word.push(SPACE);
        }
        self.room.word.push(character);
        Ok(())
    }

    /// The ids of the word, which is over.
    fn search(&mut self) -> Result<(), Stop> {
        let Room {
            ids, word, search, ..
        } = &mut self.room;
        if word.is_empty() {
            return Ok(());
        }
        let found = self.pieces.tokens(word, search, |id, _| {
            if ids.len() <= self.full {
                ids.push(id);
            }
        });
        found.map_err(Stop::Failed)?;
        word.clear();
        if ids.len() > self.full {
            return Err(Stop::Full);
        }
        Ok(())
    }
}

/// What the crate's `Nmt` makes of a character: itself, a space, or nothing.
fn nmt(character: char) -> Option<char> {
    match character {
        ' '..='~' => Some(character),
        '\u{1}'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{8f}' | '\u{9f}' => None,
        '\t' | '\n' | '\u{c}' | '\r' | '\u{1680}' | '\u{200b}'..='\u{200f}' | '\u{2028}' | '\u{2029}' => {
            Some(' ')
        }
        '\u{2581}' | '\u{feff}' | '\u{fffd}' => Some(' '),
        _ => Some(character),
    }
}

/// Whether NFKC keeps a character and joins it with none before it, so that a text may be cut there.
fn stands_alone(character: char) -> bool {
    match character {
        // Letters of most mails, to spare them the tables.
        '\0'..='\u{9f}' | '\u{c0}'..='\u{131}' | '\u{400}'..='\u{482}' => true,
        _ => {
            canonical_combining_class(character) == 0
                && is_nfkc_quick(std::iter::once(character)) == IsNormalized::Yes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Encoder;
    use proptest::prelude::*;
    use serde_json::json;
    use std::path::{Path, PathBuf};

    /// The tiny XLM-RoBERTa's tokenizer with some of its settings changed, in a folder, its pieces beside it.
    fn changed(folder: &Path, changes: &[(&str, Value)]) -> PathBuf {
        let from = "../../fixtures/tiny-model/xlm-roberta/tokenizer.json";
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(from);
        let text = std::fs::read_to_string(from).unwrap_or_else(|error| panic!("{error}"));
        let mut json: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
        for (part, value) in changes {
            json[part] = value.clone();
        }
        let (tokenizer, file) = (folder.join("tokenizer.json"), folder.join(pieces::FILE));
        std::fs::write(&tokenizer, json.to_string()).unwrap_or_else(|error| panic!("{error}"));
        let written = pieces::write(&tokenizer, "abc", &file);
        assert!(written.unwrap_or_else(|error| panic!("{error}")));
        file
    }

    fn mapped(file: &Path, limit: usize, prefix: &str) -> Encoder {
        Encoder::map(file, "abc", limit, prefix).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Strips on the sides named, then makes spaces side by side one of `space`.
    fn squeezed(mut steps: Vec<Value>, (left, right): (bool, bool), space: &str) -> Value {
        steps.push(json!({ "type": "Strip", "strip_left": left, "strip_right": right }));
        steps.push(json!({ "type": "Replace", "pattern": { "Regex": " {2,}" }, "content": space }));
        json!({ "type": "Sequence", "normalizers": steps })
    }

    /// A small character map, in the form of SentencePiece: a double array where every node has 256 cells to itself.
    fn charsmap() -> Value {
        let entries = [
            ("\t", " "),
            ("\n", " "),
            ("\r\n", "#"),
            ("\u{1}", ""),
            ("A", "a"),
            ("e\u{301}", "é"),
            ("\u{301}", "b"),
            ("\u{a0}", " "),
            ("\u{3000}", "  "),
            ("\u{2581}", " "),
            ("ﬁ", "fi"),
            ("½", "1 2"),
            ("…", " ▁. "),
            ("\u{200d}", ""),
        ];
        let (mut cells, mut texts) = (vec![0u32; 256], Vec::new());
        for (key, value) in entries {
            let (mut at, mut block) = (0, 0);
            for byte in key.bytes() {
                at = block + usize::from(byte);
                if cells[at] == 0 {
                    block = cells.len();
                    cells.resize(block + 256, 0);
                    cells[at] = ((at ^ block) as u32) << 10 | u32::from(byte);
                }
                block = at ^ (cells[at] >> 10) as usize;
            }
            cells[at] |= 1 << 8;
            cells[block] = 1 << 31 | texts.len() as u32;
            texts.extend(value.bytes().chain([0]));
        }
        let mut bytes = (4 * cells.len() as u32).to_le_bytes().to_vec();
        bytes.extend(cells.into_iter().flat_map(u32::to_le_bytes));
        bytes.extend(texts);
        let map = Precompiled::from(&bytes).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(map.transform("½"), Some("1 2"));
        assert_eq!(map.transform("a"), None);
        serde_json::to_value(map).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What is known here, each with its tokenizer's name for the message.
    fn known() -> Vec<(&'static str, Vec<(&'static str, Value)>)> {
        let composed = || vec![json!({ "type": "Nmt" }), json!({ "type": "NFKC" })];
        let mapped = || vec![charsmap()];
        let split = json!({ "type": "Sequence", "pretokenizers": [
            { "type": "WhitespaceSplit" },
            { "type": "Metaspace", "replacement": "▁", "add_prefix_space": true },
        ] });
        let normalizer = "normalizer";
        vec![
            ("tiny", vec![]),
            (
                "stripped",
                vec![(normalizer, squeezed(composed(), (true, true), " "))],
            ),
            (
                "left",
                vec![(normalizer, squeezed(composed(), (true, false), " "))],
            ),
            ("map", vec![(normalizer, charsmap())]),
            (
                "map, right",
                vec![(normalizer, squeezed(mapped(), (false, true), "▁"))],
            ),
            (
                "map, stripped",
                vec![(normalizer, squeezed(mapped(), (true, true), " "))],
            ),
            (
                "map, split",
                vec![(normalizer, charsmap()), ("pre_tokenizer", split)],
            ),
        ]
    }

    /// Whatever gives one of the steps something to do, or the next of them.
    const PARTS: &[&str] = &[
        "a", "e", "Rechnung", "ung", "te", "A", "\u{5bc6}", "\u{5bc7}", " ", "  ", "\n", "\r", "\r\n", "\t",
        "\u{b}", "\u{85}", "\u{a0}", "\u{3000}", "\u{2028}", "\u{2581}", "\u{200b}", "\u{200d}", "\u{feff}",
        "\u{fffd}", "\0", "\u{1}", "\u{7f}", "\u{301}", "\u{308}", "\u{323}", "\u{345}", "\u{344}", "é", "ộ",
        "ﬁ", "½", "…", "¨", "ſ", "ẛ", "Ⅷ", "가", "\u{1100}", "\u{1161}", "\u{11a7}", "\u{11a8}", "क",
        "\u{93c}", "\u{9c7}", "\u{9be}", "\u{e33}", "😀", "\u{fe0f}", "🇩", "🇪", "<mask>", "</s>", "<unk>",
        "<",
    ];

    #[test]
    fn any_text_gets_the_ids_the_crate_gives() {
        for (name, changes) in known() {
            let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
            let file = changed(folder.path(), &changes);
            let both: Vec<_> = [(2, ""), (9, "query: "), (1000, "query: "), (1000, "")]
                .into_iter()
                .map(|(limit, prefix)| {
                    let read = Encoder::open(folder.path(), limit, prefix);
                    (
                        mapped(&file, limit, prefix),
                        read.unwrap_or_else(|error| panic!("{error}")),
                    )
                })
                .collect();
            let same = |text: &str| {
                for (mapped, read) in &both {
                    assert!(mapped.straight.is_some() && read.straight.is_none(), "{name}");
                    let [found, expected] = [mapped, read]
                        .map(|encoder| encoder.encode(&[text]).unwrap_or_else(|error| panic!("{error}")));
                    assert_eq!(found, expected, "{name}: {text:?}");
                }
            };
            for text in [
                "",
                " ",
                "\u{1}",
                "\u{85}",
                "Bitte die Rechnung senden",
                "a\u{5bc6}\u{5bc6} \u{5bc6}a",
            ] {
                same(text);
            }
            for one in PARTS {
                for other in PARTS {
                    same(&format!("{one}{other}"));
                    same(&format!("a{one}{other}e{one}"));
                }
            }
            let parts = proptest::collection::vec(proptest::sample::select(PARTS), 0..30);
            proptest!(|(any in "(?s).{0,40}", parts in parts)| {
                same(&any);
                same(&parts.concat());
            });
        }
    }

    #[test]
    fn other_settings_have_no_straight_way() {
        let token = |content: &str, special: bool| {
            json!({ "id": 72, "content": content, "special": special, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false })
        };
        let lower = json!({ "type": "Sequence", "normalizers": [{ "type": "Nmt" }, { "type": "NFKC" }, { "type": "Lowercase" }] });
        let first =
            json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true });
        let other = vec![
            ("normalizer", Value::Null),
            ("normalizer", json!({ "type": "NFKC" })),
            ("normalizer", lower),
            ("normalizer", squeezed(vec![], (true, true), " ")),
            ("normalizer", squeezed(vec![charsmap()], (true, true), "_")),
            ("pre_tokenizer", Value::Null),
            ("pre_tokenizer", first),
            ("post_processor", Value::Null),
            ("added_tokens", json!([token("[Name]", false)])),
        ];
        for (part, value) in other {
            let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
            let file = changed(folder.path(), &[(part, value.clone())]);
            assert!(mapped(&file, 9, "").straight.is_none(), "{part}: {value}");
        }
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let file = changed(folder.path(), &[("added_tokens", json!([token("[Name]", true)]))]);
        assert!(mapped(&file, 9, "").straight.is_some());
    }

    #[test]
    fn only_what_touches_no_character_before_it_stands_alone() {
        let composes = |one: char| is_nfkc_quick(std::iter::once(one)) == IsNormalized::Maybe;
        let mut count = 0;
        for character in ('\0'..=char::MAX).filter(|one| stands_alone(*one)) {
            count += 1;
            let text = character.to_string();
            assert!(text.nfkc().map(|(one, _)| one).eq([character]), "{character:?}");
            let first = text.nfkd().next().map(|(one, _)| one);
            assert!(
                first.is_some_and(|one| canonical_combining_class(one) == 0 && !composes(one)),
                "{character:?}"
            );
        }
        assert!(count > 1_000_000);
    }

    #[test]
    fn a_thread_keeps_little() {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let file = changed(folder.path(), &[]);
        let encoder = mapped(&file, 9, "");
        for text in ["a".repeat(1 << 20), "\u{301}".repeat(1 << 20)] {
            let encoding = encoder.encode(&[&text]).unwrap_or_else(|error| panic!("{error}"));
            assert!(encoding[0].ids.len() <= 9 && encoding[0].ids.capacity() <= 9);
            let room = ROOM.take();
            let bytes = room.together.capacity() + room.space.capacity() + room.word.capacity();
            assert!(bytes <= 3 * KEPT && room.ids.capacity() < 64);
        }
    }
}
