//! The rules that cut, each with its stable word and a sentence for a person.

use serde::{Serialize, Serializer};
use std::fmt;

/// Declares [`Rule`] from one table, so that no rule is without its word and its sentence.
macro_rules! rules {
    ($($rule:ident $name:literal $sentence:literal)*) => {
        /// The rule that made a [`Cut`](super::Cut). Displayed and serialised as its [`name`](Self::name).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $sentence] $rule,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &[Self] = &[$(Self::$rule),*];

            /// The rule's word in JSON and on pages; it does not change.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$rule => $name,)*
                }
            }

            /// What the rule cuts, in one sentence.
            pub fn description(self) -> &'static str {
                match self {
                    $(Self::$rule => $sentence,)*
                }
            }
        }
    };
}

rules! {
    Attribution "attribution" "A line that introduces an earlier mail, such as “Am 2.3.2026 schrieb Eva Muster:”, and that mail."
    Marked "marked" "Lines the mail program marked as quoted, with “>” or in its HTML."
    Answered "answered" "Quoted lines that the words below them answer, point by point or as a whole."
    QuoteMark "quote-mark" "Only the “>” marks before a line; its words are kept."
    Separator "separator" "A dividing line such as “-----Ursprüngliche Nachricht-----” and the mail below it, or only that mail's header."
    ReplyAbove "reply-above" "A ticket system's line “Bitte antworten Sie oberhalb dieser Zeile” and what stands below it."
    HeaderBlock "header-block" "The header of an earlier mail (Von, Gesendet, An, Betreff in any language), with that mail unless it is kept."
    HeaderLine "header-line" "The header of an earlier mail run together on one line, with that mail unless it is kept."
    HeaderNotes "header-notes" "The header of an earlier mail as Lotus Notes writes it, with that mail unless it is kept."
    Markup "markup" "What the mail program's HTML itself calls an earlier mail or an inserted signature."
    Closing "closing" "A closing formula such as “Mit freundlichen Grüßen”, and the name and contact data below it."
    Delimiter "delimiter" "The line “--” that mail programs put above a signature, and the signature."
    Ruled "ruled" "A drawn line with nothing but names and contact data below it."
    TrailingRule "rule" "A drawn line at the end with nothing left below it."
    Contact "contact" "A block of contact data at the end, without a closing formula above it."
    Device "device" "A line that a mobile mail program adds, such as “Von meinem iPhone gesendet”."
    Armour "armour" "Armour of OpenPGP: a digital signature, a key or an encrypted block, or the line above a signed text."
    Confidential "confidential" "A confidentiality notice, known by several of its set phrases in one paragraph."
    Company "company" "Company particulars: managing directors, register court, tax number."
    Notice "notice" "A line from a newsletter system or a virus scanner, or a plea not to print the mail."
    Banner "banner" "A warning that the receiving company's mail gateway put on top."
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Rule;
    use std::collections::BTreeSet;

    #[test]
    fn every_rule_has_a_word_of_its_own_and_one_sentence() {
        let names: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
        assert_eq!(names.len(), Rule::ALL.len());
        for rule in Rule::ALL {
            let word = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
            assert!(rule.name().bytes().all(word), "{rule}");
            let sentence = rule.description();
            assert!(
                sentence.ends_with('.') && sentence.matches(". ").count() == 0,
                "{sentence}"
            );
            assert!(sentence.chars().count() <= 110, "{sentence}");
        }
    }
}
