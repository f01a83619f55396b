//! What mails on any topic share: greetings, moods, excuses and the small print under them.

use crate::person::lines;
use crate::phrase::Language;
use serde::Deserialize;
use std::sync::LazyLock;

/// The shared phrases of one language.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manner {
    #[serde(deserialize_with = "lines")]
    pub salutations: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub greetings: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub openers: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub angry_openers: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub contexts: Vec<String>,
    /// Small talk of a broker's office.
    #[serde(deserialize_with = "lines")]
    pub office: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub closers: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub angry_closers: Vec<String>,
    /// Bodies that leave the matter to the subject.
    #[serde(deserialize_with = "lines")]
    pub vague: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub follow_ups: Vec<String>,
    /// How a thread turns to another matter.
    #[serde(deserialize_with = "lines")]
    pub turns: Vec<String>,
    /// Frames for a matter's name, `{noun}`.
    #[serde(deserialize_with = "lines")]
    pub about: Vec<String>,
    /// Frames for a second request, `{brief}`.
    #[serde(deserialize_with = "lines")]
    pub second: Vec<String>,
    /// Frames for the mention of another matter, `{aside}`.
    #[serde(deserialize_with = "lines")]
    pub aside: Vec<String>,
    /// How a broker names the client.
    #[serde(deserialize_with = "lines")]
    pub intro: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub proxy_closers: Vec<String>,
    /// What a broker writes above a forwarded mail.
    #[serde(deserialize_with = "lines")]
    pub notes: Vec<String>,
    /// Subjects that tell nothing.
    #[serde(deserialize_with = "lines")]
    pub subjects: Vec<String>,
    /// The company's own answers, seen only in quotes; `{noun}`.
    #[serde(deserialize_with = "lines")]
    pub replies: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub mobile: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub disclaimers: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub roles: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Both {
    de: Manner,
    en: Manner,
}

static BOTH: LazyLock<Both> = LazyLock::new(|| {
    toml::from_str(include_str!("../data/manner.toml")).expect("manner.toml is well formed")
});

/// The shared phrases of a language.
pub(crate) fn manner(language: Language) -> &'static Manner {
    if language == Language::German {
        &BOTH.de
    } else {
        &BOTH.en
    }
}
