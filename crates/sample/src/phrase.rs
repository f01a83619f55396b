//! Turns a phrase of the data files into a sentence of one particular writer.
//!
//! Phrases carry four marks, which nest:
//!
//! ```text
//! [a|b|]   one of these, possibly nothing
//! <a~b>    a when the writer says Sie, b when the writer says du or ihr
//! <a^b>    a when writing about oneself, b when a broker writes about a client
//! {slot}   a fact of this mail, or a pronoun that follows the perspective
//! ```

use crate::chance::Chance;
use crate::facts::Facts;

/// The language a mail is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Language {
    German,
    English,
}

/// How a writer speaks, kept through a whole mail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Voice {
    pub language: Language,
    /// Says du or ihr instead of Sie.
    pub familiar: bool,
    /// A broker writing about a client.
    pub proxy: bool,
    /// The client, where pronouns need to know.
    pub client_is_woman: bool,
}

/// Writes `template` out, its first letter capital.
pub(crate) fn expand(template: &str, voice: Voice, facts: &Facts, chance: &mut Chance) -> String {
    let mut out = String::with_capacity(template.len() + 32);
    write(template, voice, facts, chance, &mut out);
    capitalised(&tidy(&out))
}

fn write(template: &str, voice: Voice, facts: &Facts, chance: &mut Chance, out: &mut String) {
    let mut rest = template;
    while let Some(at) = rest.find(['[', '<', '{']) {
        out.push_str(&rest[..at]);
        let open = rest.as_bytes()[at];
        let close = match open {
            b'[' => b']',
            b'<' => b'>',
            _ => b'}',
        };
        let end = at + closing(&rest[at..], open, close);
        let inside = &rest[at + 1..end];
        match open {
            b'{' => out.push_str(&slot(inside, voice, facts, chance)),
            b'[' => {
                let branches = branches(inside, b'|');
                write(branches[chance.below(branches.len())], voice, facts, chance, out);
            }
            _ => {
                let by_form = branches(inside, b'~');
                let (pair, second) = if by_form.len() == 2 {
                    (by_form, voice.familiar)
                } else {
                    (branches(inside, b'^'), voice.proxy)
                };
                let chosen = pair[usize::from(second && pair.len() == 2)];
                write(chosen, voice, facts, chance, out);
            }
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
}

/// Offset of the bracket that closes the one `text` starts with.
///
/// # Panics
/// If it is never closed; the data files are part of the program and a test expands them all.
fn closing(text: &str, open: u8, close: u8) -> usize {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte == open {
            depth += 1;
        } else if byte == close {
            depth -= 1;
            if depth == 0 {
                return at;
            }
        }
    }
    panic!("bracket never closed in `{text}`");
}

/// Splits at `mark` outside nested brackets.
fn branches(inside: &str, mark: u8) -> Vec<&str> {
    let (mut depth, mut from, mut found) = (0, 0, Vec::new());
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            b'[' | b'<' | b'{' => depth += 1,
            b']' | b'>' | b'}' => depth -= 1,
            _ if byte == mark && depth == 0 => {
                found.push(&inside[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(&inside[from..]);
    found
}

/// A pronoun or a fact. A capital first letter asks for a capital answer.
fn slot(name: &str, voice: Voice, facts: &Facts, chance: &mut Chance) -> String {
    let key = lowered(name);
    let value = match pronoun(&key, voice) {
        Some(word) => word.to_owned(),
        None => facts
            .slot(&key, chance)
            .unwrap_or_else(|| panic!("no slot `{name}`")),
    };
    if key == name { value } else { capitalised(&value) }
}

/// First person for oneself, third person for a client. `i` stays small until a sentence needs it.
fn pronoun(key: &str, voice: Voice) -> Option<&'static str> {
    let forms: [&'static str; 3] = match key {
        "ich" => ["ich", "er", "sie"],
        "mir" => ["mir", "ihm", "ihr"],
        "mich" => ["mich", "ihn", "sie"],
        "mein" => ["mein", "sein", "ihr"],
        "meine" => ["meine", "seine", "ihre"],
        "meinen" => ["meinen", "seinen", "ihren"],
        "meinem" => ["meinem", "seinem", "ihrem"],
        "meiner" => ["meiner", "seiner", "ihrer"],
        "meines" => ["meines", "seines", "ihres"],
        "habe" => ["habe", "hat", "hat"],
        "bin" => ["bin", "ist", "ist"],
        "i" => ["I", "he", "she"],
        "my" => ["my", "his", "her"],
        "me" => ["me", "him", "her"],
        "have" => ["have", "has", "has"],
        "am" => ["am", "is", "is"],
        _ => return None,
    };
    Some(
        forms[if voice.proxy {
            1 + usize::from(voice.client_is_woman)
        } else {
            0
        }],
    )
}

/// The text with its first letter capital.
pub(crate) fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// The text with its first letter small.
pub(crate) fn lowered(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// Mends what empty branches leave: double blanks, blanks before marks.
fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim().chars() {
        let after_date = out
            .strip_suffix('.')
            .is_some_and(|before| before.ends_with(|c: char| c.is_ascii_digit()));
        if (c == ' ' && out.ends_with(' ')) || (c == '.' && after_date) {
            continue;
        }
        if matches!(c, ',' | '.' | '?' | '!' | ';') && out.ends_with(' ') {
            out.pop();
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(template: &str, familiar: bool, proxy: bool) -> String {
        let voice = Voice {
            language: Language::German,
            familiar,
            proxy,
            client_is_woman: true,
        };
        expand(template, voice, &Facts::for_tests(), &mut Chance::new(1))
    }

    #[test]
    fn speaks_in_the_voice_of_its_writer() {
        let template = "{ich} <bin^ist> umgezogen, <ändern Sie~ändert> bitte {meine} Adresse";
        assert_eq!(
            said(template, false, false),
            "Ich bin umgezogen, ändern Sie bitte meine Adresse"
        );
        assert_eq!(
            said(template, true, true),
            "Sie ist umgezogen, ändert bitte ihre Adresse"
        );
    }

    #[test]
    fn chooses_among_nested_branches_and_mends_the_gaps() {
        assert_eq!(said("bitte [] [[sofort]] .", false, false), "Bitte sofort.");
    }
}
