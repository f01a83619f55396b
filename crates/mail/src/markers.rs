//! The marker words of all languages, compiled once.
//!
//! A mail is in several languages at once: a German client answers an English newsletter from
//! a phone set to French. So the words of all languages are looked for in every mail, and one
//! language is one data file in `lang/`.

use crate::nature::{Automatic, Words};
use crate::redact::Personal;
use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The data files by name, with their text.
macro_rules! languages {
    ($($code:literal)*) => { &[$(($code, include_str!(concat!("../lang/", $code, ".toml")))),*] };
}

/// A new language is a file in `lang/` and its name here.
const LANGUAGES: &[(&str, &str)] = languages! { "de" "en" "fr" "it" "es" "pt" "nl" "pl" "da" "sv" "other" };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Language {
    subject: Subject,
    header: Header,
    attribution: Attribution,
    separator: Separator,
    closing: Closing,
    device: Device,
    disclaimer: Disclaimer,
    #[serde(default)]
    person: Person,
    #[serde(default)]
    personal: Personal,
    #[serde(default)]
    automatic: Automatic,
}

impl Language {
    /// Reads one data file.
    ///
    /// # Errors
    /// One text naming the file, the line and what was expected there: a section or list that is
    /// unknown, missing or of another type.
    fn read(name: &str, text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| format!("lang/{name}.toml: {error}"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    reply: Vec<String>,
    forward: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    from: Vec<String>,
    sent: Vec<String>,
    to: Vec<String>,
    cc: Vec<String>,
    subject: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attribution {
    verb: Vec<String>,
    line: Vec<String>,
    prose: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Separator {
    reply: Vec<String>,
    forward: Vec<String>,
    above: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Closing {
    formal: Vec<String>,
    thanks: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Device {
    line: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Disclaimer {
    confidential: Vec<String>,
    notice: Vec<String>,
    company: Vec<String>,
    banner: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    own: Vec<String>,
}

/// Which header a label names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    From,
    Sent,
    To,
    Other,
    Subject,
}

/// Patterns over single lines (or lines joined by a space), all languages in each.
pub(crate) struct Markers {
    pub(crate) subject_reply: Pattern,
    pub(crate) subject_forward: Pattern,
    pub(crate) subject_tag: Pattern,
    pub(crate) subject_tag_end: Pattern,
    /// A header label at a line's start; the group that took part tells which.
    header: Pattern,
    /// What the labels name that are plain words: looking them up is faster than asking for the group.
    labels: HashMap<String, Label>,
    /// A header label anywhere in a line that runs several together.
    pub(crate) header_inside: Pattern,
    pub(crate) attribution_verb: Pattern,
    pub(crate) attribution: Pattern,
    pub(crate) attribution_prose: Pattern,
    pub(crate) separator_reply: Pattern,
    pub(crate) separator_forward: Pattern,
    pub(crate) separator_above: Pattern,
    pub(crate) closing: Pattern,
    pub(crate) closing_thanks: Pattern,
    pub(crate) device: Pattern,
    pub(crate) confidential: Vec<Pattern>,
    pub(crate) notice: Pattern,
    pub(crate) company: Vec<Pattern>,
    pub(crate) banner: Pattern,
    /// A writer speaking of themselves.
    pub(crate) person: Pattern,
    /// Mail that no person wrote to be answered.
    pub(crate) automatic: Words,
}

/// The groups of the header pattern.
const LABELS: [(&str, Label); 5] = [
    ("from", Label::From),
    ("sent", Label::Sent),
    ("to", Label::To),
    ("other", Label::Other),
    ("subject", Label::Subject),
];

/// The compiled markers.
pub(crate) fn markers() -> &'static Markers {
    static MARKERS: LazyLock<Markers> = LazyLock::new(Markers::compile);
    &MARKERS
}

/// The `[personal]` section of each data file that has one.
pub(crate) fn personal() -> Vec<Personal> {
    read().into_iter().map(|language| language.personal).collect()
}

/// The data files are part of the program, so a broken one is a programming error; the tests below
/// name it.
#[allow(clippy::expect_used)]
fn read() -> Vec<Language> {
    LANGUAGES
        .iter()
        .map(|(name, text)| Language::read(name, text).expect("a language file is valid"))
        .collect()
}

impl Markers {
    fn compile() -> Self {
        let languages = read();
        let any = |words: fn(&Language) -> &Vec<String>| {
            let all: Vec<String> = languages
                .iter()
                .flat_map(words)
                .map(|word| spaced(word))
                .collect();
            // An empty alternation would match everything.
            if all.is_empty() {
                r"\z.".to_owned()
            } else {
                all.join("|")
            }
        };
        let mark = r"[*_]{0,2}";
        let headers: [fn(&Language) -> &Vec<String>; LABELS.len()] = [
            |l| &l.header.from,
            |l| &l.header.sent,
            |l| &l.header.to,
            |l| &l.header.cc,
            |l| &l.header.subject,
        ];
        let words = headers.map(any);
        let header: Vec<String> = LABELS
            .iter()
            .zip(&words)
            .map(|((name, _), words)| format!("(?<{name}>{words})"))
            .collect();
        let header = header.join("|");
        let inside = words.join("|");
        let mut labels = HashMap::new();
        for ((_, label), words) in LABELS.into_iter().zip(headers) {
            for word in languages.iter().flat_map(words) {
                // Of a word in two lists the pattern takes the first, too.
                labels.entry(fold(word).into_owned()).or_insert(label);
            }
        }
        let groups = |lists: fn(&Language) -> &Vec<String>| {
            let longest = languages.iter().map(|l| lists(l).len()).max().unwrap_or(0);
            (0..longest)
                .map(|group| {
                    let words: Vec<String> = languages
                        .iter()
                        .filter_map(|l| lists(l).get(group))
                        .map(|word| spaced(word))
                        .collect();
                    pattern(&words.join("|"))
                })
                .collect()
        };
        let rule = r"[-_=*–—\s>#]*";
        Self {
            subject_reply: pattern(&format!(
                r"^(?:{})(?:\s?[\[(]\d+[\])]|\d{{1,2}})?\s?[:：]",
                any(|l| &l.subject.reply)
            )),
            subject_forward: pattern(&format!(
                r"^(?:{})(?:\s?[\[(]\d+[\])]|\d{{1,2}})?\s?[:：]",
                any(|l| &l.subject.forward)
            )),
            subject_tag: pattern(SUBJECT_TAG_START),
            subject_tag_end: pattern(SUBJECT_TAG_END),
            labels,
            header: pattern(&format!(
                r"^[*_|•]{{0,3}}\s{{0,3}}(?:{header})\s?{mark}\s?[:：]{mark}"
            )),
            header_inside: pattern(&format!(r"(?:{inside})\s?{mark}\s?[:：]")),
            attribution_verb: pattern(&format!(r"\b(?:{})\b", any(|l| &l.attribution.verb))),
            attribution: pattern(&format!(
                r"^[-–—*|\s]{{0,6}}(?:{})\s?(?:[:：*]{{1,3}}[-–—*\s]{{0,4}}|-{{3,}})$",
                any(|l| &l.attribution.line)
            )),
            attribution_prose: pattern(&any(|l| &l.attribution.prose)),
            separator_reply: pattern(&format!(
                r"^[-_=*–—>#\s]{{2,}}\s?(?:{})\s?:?{rule}$",
                any(|l| &l.separator.reply)
            )),
            separator_forward: pattern(&format!(
                r"^(?:[-_=*–—>#\s]{{2,}}\s?(?:{0})\s?:?(?:{rule}$|\s?-{{3,}}\s.*)|(?:{0})\s?:)$",
                any(|l| &l.separator.forward)
            )),
            separator_above: pattern(&format!(
                r"^[-_=*–—>#\s\[(]*(?:{})[-_=*–—>#\s\])]*$",
                any(|l| &l.separator.above)
            )),
            closing: pattern(&format!(r"^(?:{})\b", any(|l| &l.closing.formal))),
            closing_thanks: pattern(&format!(r"^(?:{})\s?[,.!;:)\-–]*$", any(|l| &l.closing.thanks))),
            device: pattern(&format!(
                r"^[-–—*_\s\[(]*(?:{})[\])*_\s.!]*$",
                any(|l| &l.device.line)
            )),
            confidential: groups(|l| &l.disclaimer.confidential),
            notice: pattern(&any(|l| &l.disclaimer.notice)),
            company: groups(|l| &l.disclaimer.company),
            banner: pattern(&format!(
                r"^[-–—*_\s\[(|!⚠]*(?:extern(?:al|e e-?mail|e mail)?\s?[\])]?[-:*\s|]{{1,4}})?(?:{})$",
                any(|l| &l.disclaimer.banner)
            )),
            person: pattern(&format!(
                r"(?:^|[\s,.;:(])(?:{})(?:[\s,.;:!?)]|$)",
                any(|l| &l.person.own)
            )),
            automatic: Words::compile(
                &languages
                    .iter()
                    .map(|language| (&language.automatic, &language.personal))
                    .collect::<Vec<_>>(),
            ),
        }
    }

    /// The header a line begins with, and where its value begins.
    pub(crate) fn label(&self, line: &str) -> Option<(Label, usize)> {
        // Every label is short; a long line need not be searched.
        if !line
            .as_bytes()
            .iter()
            .take(64)
            .any(|byte| matches!(byte, b':' | 0xef))
        {
            return None;
        }
        let line = fold(line);
        let found = self.header.regex.find(&line)?;
        let word = found.as_str().trim_matches(|c: char| !c.is_alphanumeric());
        let label = self.labels.get(word).copied().or_else(|| {
            let groups = self.header.regex.captures(found.as_str())?;
            LABELS
                .into_iter()
                .find(|(name, _)| groups.name(name).is_some())
                .map(|(_, label)| label)
        });
        Some((label?, found.end()))
    }
}

/// Helpdesk tags and gateway banners at a subject's start.
const SUBJECT_TAG_START: &str = r"^(?:\[[^\[\]]{0,20}(?:ticket|request|case|vorgang|anfrage|fall|ref|id|extern(?:al|e mail)?|spam|suspected|#)[^\[\]]{0,40}\]|\[\d{3,}\]|(?:ticket|case|vorgang|anfrage)\s?(?:nr\.?|#|id)\s?:?\s?[a-z0-9_-]*\d[a-z0-9_-]*\s?[:\-–]?|#\d{3,}\s?[:\-–]?|\*{2,5}spam\*{2,5})";

/// The same at its end.
const SUBJECT_TAG_END: &str = r"(?:\[[^\[\]]{0,20}(?:ticket|request|case|vorgang|anfrage|fall|ref|id|#)[^\[\]]{0,40}\]|\[\d{3,}\]|\((?:ticket|case|vorgang|ref)[^()]{0,40}\))$";

/// A pattern without regard to case.
///
/// Text and pattern are both folded instead of asking the engine to: a regular expression that
/// knows one case only is half the work to compile, which is most of the time the first mail takes.
pub(crate) struct Pattern {
    /// Compiled when a mail first needs it: many never meet most mails.
    regex: LazyLock<Regex, Box<dyn FnOnce() -> Regex + Send>>,
}

/// Where a pattern was found, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    start: usize,
    end: usize,
}

impl Place {
    pub(crate) fn start(self) -> usize {
        self.start
    }

    pub(crate) fn end(self) -> usize {
        self.end
    }
}

impl Pattern {
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(&fold(text))
    }

    /// Every place in a text that is folded.
    pub(crate) fn places<'t>(&'t self, folded: &'t str) -> impl Iterator<Item = Place> + 't {
        self.regex.find_iter(folded).map(|found| Place {
            start: found.start(),
            end: found.end(),
        })
    }

    /// How often `text` holds it, counted up to `most`.
    pub(crate) fn count(&self, text: &str, most: usize) -> usize {
        self.regex.find_iter(&fold(text)).take(most).count()
    }

    /// The first place, which holds for `text` too: folding moves no byte.
    pub(crate) fn find(&self, text: &str) -> Option<Place> {
        let text = fold(text);
        let found = self.regex.find(&text)?;
        Some(Place {
            start: found.start(),
            end: found.end(),
        })
    }
}

/// A text in lower case with plain spaces for all white space, byte for byte as long.
pub(crate) fn fold(text: &str) -> Cow<'_, str> {
    let folds = |byte: u8| byte.is_ascii_uppercase() || byte >= 0x80 || matches!(byte, b'\t'..=b'\r');
    // Without a way out in the middle, the loops read many bytes at a time.
    if !text.bytes().fold(false, |any, byte| any | folds(byte)) {
        return Cow::Borrowed(text);
    }
    let mut folded: Vec<u8> = text.bytes().map(fold_byte).collect();
    if !text.is_ascii() {
        for (at, c) in text.char_indices().filter(|(_, c)| !c.is_ascii()) {
            let room = &mut folded[at..at + c.len_utf8()];
            if c.is_whitespace() {
                room.fill(b' ');
            } else {
                lower(c).encode_utf8(room);
            }
        }
    }
    // Letters took the place of letters as long, so this loses nothing.
    Cow::Owned(String::from_utf8(folded).unwrap_or_else(|_| text.to_owned()))
}

fn fold_byte(byte: u8) -> u8 {
    match byte {
        b'\t'..=b'\r' => b' ',
        _ => byte.to_ascii_lowercase(),
    }
}

/// The lower case of a letter; of one that would grow or shrink by it, the letter.
fn lower(letter: char) -> char {
    match letter {
        '\0'..'\u{80}' => return letter.to_ascii_lowercase(),
        // What most mail holds besides needs no table.
        'ß'..='ÿ' => return letter,
        _ => {}
    }
    let mut lower = letter.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) if one.len_utf8() == letter.len_utf8() => one,
        _ => letter,
    }
}

/// A pattern of the data files as the engine reads it: a space stands for any white space and ` ?`
/// for an optional one, an apostrophe is either kind.
pub(crate) fn spaced(word: &str) -> String {
    ascii_classes(word)
        .replace(" ?", "\u{1}")
        .replace(' ', " +")
        .replace('\u{1}', " *")
        .replace('\'', "['’]")
}

/// A pattern with the digits, white space and word edges of ASCII, which compile in a third of the
/// time: before a letter, a group or a class `\b`
/// becomes the edge of a word's start, elsewhere that of its end. The edges of Unicode send every
/// text with an umlaut down the slow path of the engine; a half edge looks at one side only, so a
/// word may itself begin or end with an accent.
fn ascii_classes(pattern: &str) -> String {
    let pattern = pattern
        .replace(r"\d", "[0-9]")
        .replace(r"\s", " ")
        .replace(r"\S", "[^ ]")
        .replace(r"\W", "[^a-z0-9_]");
    let mut parts = pattern.split(r"\b");
    let mut found = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        found.push_str(match part.chars().next() {
            Some('{') => r"\b",
            Some(next) if next.is_alphanumeric() || matches!(next, '(' | '[') => r"(?-u:\b{start-half})",
            _ => r"(?-u:\b{end-half})",
        });
        found.push_str(part);
    }
    found
}

/// A pattern to compile later.
pub(crate) fn pattern(text: &str) -> Pattern {
    let mut folded = String::with_capacity(text.len());
    let mut escaped = false;
    for c in text.chars() {
        // What follows a backslash is a class and not a letter.
        if escaped {
            folded.push(c);
        } else {
            folded.push(lower(c));
        }
        escaped = c == '\\' && !escaped;
    }
    let folded = ascii_classes(&folded);
    Pattern {
        regex: LazyLock::new(Box::new(move || compiled(&folded))),
    }
}

#[allow(clippy::expect_used)]
fn compiled(text: &str) -> Regex {
    RegexBuilder::new(text)
        .size_limit(64 << 20)
        // A full cache of states sends the engine down its slow path.
        .dfa_size_limit(32 << 20)
        .build()
        .expect("a marker pattern is valid")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Every entry with where it stands: file, section, list.
    fn entries() -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (file, text) in LANGUAGES {
            let sections: toml::Table = toml::from_str(text).expect("a data file is TOML");
            for (section, lists) in &sections {
                for (list, entries) in lists.as_table().expect("a section") {
                    for entry in entries.as_array().expect("a list") {
                        let place = format!("lang/{file}.toml, {section}.{list}");
                        found.push((place, entry.as_str().expect("a pattern").to_owned()));
                    }
                }
            }
        }
        assert!(found.len() > 500, "{} entries", found.len());
        found
    }

    #[test]
    fn every_entry_is_a_pattern_of_its_own() {
        for (place, entry) in entries() {
            let whole = format!("^(?:{})$", ascii_classes(&spaced(&entry)));
            let regex = Regex::new(&whole).unwrap_or_else(|error| panic!("{place}: {entry:?}: {error}"));
            assert!(!regex.is_match(""), "{place}: {entry:?} matches the empty text");
            assert_eq!(entry.trim(), entry, "{place}: blanks at an end");
            // Patterns meet folded text, so a class or a code of capital letters would never match.
            let unfolded = [r"\p", r"\P", r"\x", r"\u", "(?i"];
            assert!(
                !unfolded.iter().any(|part| entry.contains(part)),
                "{place}: {entry:?} tells case"
            );
        }
    }

    #[test]
    fn no_entry_stands_twice_in_a_list() {
        let mut seen = HashSet::new();
        for (place, entry) in entries() {
            let folded = fold(&entry).into_owned();
            assert!(seen.insert((place.clone(), folded)), "{place}: {entry:?} again");
        }
    }

    #[test]
    fn groups_stand_in_one_order_in_all_files() {
        let count = |text: &str| {
            let language = Language::read("x", text).expect("valid");
            [
                language.disclaimer.confidential.len(),
                language.disclaimer.company.len(),
            ]
        };
        let [(_, german), ..] = LANGUAGES else {
            unreachable!()
        };
        for (file, text) in LANGUAGES {
            let (found, expected) = (count(text), count(german));
            assert!(
                found == expected || *file == "other" && found == [0, 0],
                "{file}: {found:?}"
            );
        }
    }

    #[test]
    fn the_folder_and_the_list_hold_the_same_languages() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/lang")).expect("the folder");
        let files: HashSet<String> = folder
            .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(
            files,
            LANGUAGES.iter().map(|(file, _)| format!("{file}.toml")).collect()
        );
        assert_eq!(files.len(), LANGUAGES.len());
    }

    #[test]
    fn an_unknown_key_is_refused_by_file_and_name() {
        let (_, german) = LANGUAGES[0];
        for (from, to, key) in [
            ("[subject]", "[subject]\nrelpy = []", "relpy"),
            ("[device]", "[devise]", "devise"),
        ] {
            let error = Language::read("de", &german.replace(from, to))
                .err()
                .expect("refused");
            assert!(error.contains("lang/de.toml") && error.contains(key), "{error}");
        }
    }
}
