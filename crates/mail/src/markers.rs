//! The marker words of all languages, compiled once.
//!
//! A mail is in several languages at once: a German client answers an English newsletter from
//! a phone set to French. So the words of all languages are looked for in every mail, and one
//! language is one data file in `lang/`.

use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use std::sync::LazyLock;

const LANGUAGES: [&str; 3] = [
    include_str!("../lang/de.toml"),
    include_str!("../lang/en.toml"),
    include_str!("../lang/other.toml"),
];

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
    pub(crate) subject_reply: Regex,
    pub(crate) subject_forward: Regex,
    pub(crate) subject_tag: Regex,
    pub(crate) subject_tag_end: Regex,
    /// A header label at a line's start; the group that took part tells which.
    header: Regex,
    /// A header label anywhere in a line that runs several together.
    pub(crate) header_inside: Regex,
    pub(crate) attribution_verb: Regex,
    pub(crate) attribution: Regex,
    pub(crate) attribution_prose: Regex,
    pub(crate) separator_reply: Regex,
    pub(crate) separator_forward: Regex,
    pub(crate) separator_above: Regex,
    pub(crate) closing: Regex,
    pub(crate) closing_thanks: Regex,
    pub(crate) device: Regex,
    pub(crate) confidential: Vec<Regex>,
    pub(crate) notice: Regex,
    pub(crate) company: Vec<Regex>,
    pub(crate) banner: Regex,
}

/// The compiled markers.
pub(crate) fn markers() -> &'static Markers {
    static MARKERS: LazyLock<Markers> = LazyLock::new(Markers::compile);
    &MARKERS
}

impl Markers {
    /// The data files are part of the program, so a broken one is a programming error.
    #[allow(clippy::expect_used)]
    fn compile() -> Self {
        let languages: Vec<Language> = LANGUAGES
            .iter()
            .map(|text| toml::from_str(text).expect("a language file is valid"))
            .collect();
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
        let words = [
            ("from", any(|l| &l.header.from)),
            ("sent", any(|l| &l.header.sent)),
            ("to", any(|l| &l.header.to)),
            ("other", any(|l| &l.header.cc)),
            ("subject", any(|l| &l.header.subject)),
        ];
        let header = words
            .each_ref()
            .map(|(name, words)| format!("(?P<{name}>{words})"))
            .join("|");
        let inside = words.each_ref().map(|(_, words)| words.clone()).join("|");
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
        let found = self.header.captures(line)?;
        let label = [
            ("from", Label::From),
            ("sent", Label::Sent),
            ("to", Label::To),
            ("other", Label::Other),
            ("subject", Label::Subject),
        ];
        let label = label.into_iter().find(|(name, _)| found.name(name).is_some())?.1;
        Some((label, found.get(0)?.end()))
    }
}

/// Helpdesk tags and gateway banners at a subject's start.
const SUBJECT_TAG_START: &str = r"^(?:\[[^\[\]]{0,20}(?:ticket|request|case|vorgang|anfrage|fall|ref|id|extern(?:al|e mail)?|spam|suspected|#)[^\[\]]{0,40}\]|\[\d{3,}\]|(?:ticket|case|vorgang|anfrage)\s?(?:nr\.?|#|id)\s?:?\s?[\w-]*\d[\w-]*\s?[:\-–]?|#\d{3,}\s?[:\-–]?|\*{2,5}spam\*{2,5})";

/// The same at its end.
const SUBJECT_TAG_END: &str = r"(?:\[[^\[\]]{0,20}(?:ticket|request|case|vorgang|anfrage|fall|ref|id|#)[^\[\]]{0,40}\]|\[\d{3,}\]|\((?:ticket|case|vorgang|ref)[^()]{0,40}\))$";

/// A pattern with every space standing for any white space; ` ?` is an optional one.
fn spaced(word: &str) -> String {
    word.replace(" ?", r"\s*").replace(' ', r"\s+")
}

/// Compiles one pattern, without regard to case.
#[allow(clippy::expect_used)]
fn pattern(text: &str) -> Regex {
    RegexBuilder::new(text)
        .case_insensitive(true)
        .size_limit(64 << 20)
        .build()
        .expect("a marker pattern is valid")
}
