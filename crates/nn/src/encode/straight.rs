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
mod tests;
