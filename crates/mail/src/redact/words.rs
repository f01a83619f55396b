//! The words that stand around personal details, of all languages, compiled once.

use crate::markers::{Pattern, pattern, personal, spaced};
use serde::Deserialize;
use std::collections::HashSet;
use std::sync::LazyLock;

/// The `[personal]` section of a language's file; a list may be left out.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Personal {
    /// What a greeting begins with.
    pub(crate) greeting: Vec<String>,
    /// Words before a name that stay: Herr, Frau.
    salutation: Vec<String>,
    /// Titles and degrees, without their dot; they stay.
    title: Vec<String>,
    /// Small words within a name: von, de.
    particle: Vec<String>,
    /// Whole words in a greeting that are nobody's name.
    nobody: Vec<String>,
    /// "My name is".
    intro: Vec<String>,
    /// The label of a form's field that holds a name.
    name: Vec<String>,
    /// What stands before a name below a closing formula: i. A.
    on_behalf: Vec<String>,
    /// What may stand before it there and often does elsewhere: Ihr.
    yours: Vec<String>,
    iban: Vec<String>,
    bic: Vec<String>,
    card: Vec<String>,
    phone: Vec<String>,
    /// What a customer's or account's number is called.
    account: Vec<String>,
    /// The account itself, which only a long number directly behind it names.
    holding: Vec<String>,
    tax: Vec<String>,
    identity: Vec<String>,
    birth: Vec<String>,
    pub(crate) month: Vec<String>,
    /// Numbers that are no person's: orders, invoices, securities.
    other: Vec<String>,
    /// "Number", "no.", which may end any of these words.
    number: Vec<String>,
    /// Words that may stand between such a word and its number.
    fill: Vec<String>,
}

/// What a word says of the number behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Near {
    Iban,
    Bic,
    Card,
    Phone,
    Account,
    Holding,
    Tax,
    Identity,
    Birth,
    Other,
}

/// The lists of all languages, over folded text.
pub(super) struct Words {
    pub(super) greeting: Pattern,
    pub(super) nobody: Pattern,
    pub(super) intro: Pattern,
    pub(super) name: Pattern,
    pub(super) on_behalf: Pattern,
    pub(super) yours: Pattern,
    pub(super) near: [(Near, Pattern); 10],
    /// From the end of such a word to the number.
    pub(super) fill: Pattern,
    salutation: HashSet<String>,
    title: HashSet<String>,
    particle: HashSet<String>,
    month: HashSet<String>,
}

/// The compiled words.
pub(super) fn words() -> &'static Words {
    static WORDS: LazyLock<Words> = LazyLock::new(Words::compile);
    &WORDS
}

impl Words {
    fn compile() -> Self {
        let languages = personal();
        let any = |list: fn(&Personal) -> &Vec<String>| {
            languages
                .iter()
                .flat_map(list)
                .map(|word| spaced(word))
                .collect::<Vec<_>>()
                .join("|")
        };
        let set = |list: fn(&Personal) -> &Vec<String>| {
            languages.iter().flat_map(list).cloned().collect::<HashSet<_>>()
        };
        let number = any(|l| &l.number);
        let fill = any(|l| &l.fill);
        let near = |near: Near, list: fn(&Personal) -> &Vec<String>| {
            // The longest first: "geb.-datum" before "geb".
            let mut words: Vec<String> = languages.iter().flat_map(list).map(|word| spaced(word)).collect();
            words.sort_by_key(|word| std::cmp::Reverse(word.len()));
            let words = words.join("|");
            (
                near,
                pattern(&format!(
                    r"(?:{words})(?:[ ./-]{{0,3}}(?:{number})){{0,2}}(?:\b|$)"
                )),
            )
        };
        Self {
            greeting: pattern(&format!(r"^(?:{})(?:\b|$)", any(|l| &l.greeting))),
            nobody: pattern(&format!("^(?:{})$", any(|l| &l.nobody))),
            intro: pattern(&format!(r"\b(?:{})(?:\b|$)", any(|l| &l.intro))),
            name: pattern(&format!(r"^(?:{}) {{0,2}}:", any(|l| &l.name))),
            on_behalf: pattern(&format!(r"^(?:{})(?: +|$)", any(|l| &l.on_behalf))),
            yours: pattern(&format!(r"^(?:{}) +", any(|l| &l.yours))),
            near: [
                near(Near::Iban, |l| &l.iban),
                near(Near::Bic, |l| &l.bic),
                near(Near::Card, |l| &l.card),
                near(Near::Phone, |l| &l.phone),
                near(Near::Account, |l| &l.account),
                near(Near::Holding, |l| &l.holding),
                near(Near::Tax, |l| &l.tax),
                near(Near::Identity, |l| &l.identity),
                near(Near::Birth, |l| &l.birth),
                near(Near::Other, |l| &l.other),
            ],
            fill: pattern(&format!(
                r#"^(?:[ :.=#|"'*_/()–-]|(?:{fill}|{number})\b){{0,16}}"#
            )),
            salutation: set(|l| &l.salutation),
            title: set(|l| &l.title),
            particle: set(|l| &l.particle),
            month: set(|l| &l.month),
        }
    }

    pub(super) fn is_salutation(&self, folded: &str) -> bool {
        self.salutation.contains(folded)
    }

    pub(super) fn is_title(&self, folded: &str) -> bool {
        self.title.contains(folded)
    }

    pub(super) fn is_particle(&self, folded: &str) -> bool {
        self.particle.contains(folded)
    }

    pub(super) fn is_month(&self, folded: &str) -> bool {
        self.month.contains(folded)
    }

    pub(super) fn is_nobody(&self, folded: &str) -> bool {
        self.nobody.places(folded).next().is_some()
    }
}
