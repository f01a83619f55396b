//! Finds where the message ends and the letterhead begins.
//!
//! Colleagues share a signature, so a model that reads it learns who wrote and not what they
//! want. Cut are what follows `-- `, a closing formula with the name and contact block below
//! it, a contact block without a formula, and the line a mobile mail program adds.
//!
//! Text after a closing formula that reads like prose (a postscript) is kept, and so is contact
//! data the client announces ("Meine neue Adresse:").

use super::quoted::is_rule;
use super::{CutKind, Rule, Sheet, has_word};
use crate::markers::{Pattern, markers, pattern};
use regex::Regex;
use std::ops::Range;
use std::sync::LazyLock;

/// Lines below a closing formula that may all be signature.
const TAIL: usize = 30;

/// Cuts signatures from the lines of `own`, one stretch of the sender's own text.
pub(super) fn cut(sheet: &mut Sheet<'_>, own: Range<usize>) {
    armour(sheet, own.clone());
    markup(sheet, own.clone());
    device(sheet, own.clone());
    delimiter(sheet, own.clone());
    closing(sheet, own.clone());
    contact_block(sheet, own.clone());
    trailing_rules(sheet, own);
}

/// The kept lines of `range` that hold something.
fn kept(sheet: &Sheet<'_>, range: Range<usize>) -> Vec<usize> {
    range
        .filter(|&at| sheet.is_kept(at) && !sheet.lines[at].is_blank())
        .collect()
}

/// Armour of OpenPGP (RFC 9580, section 6.2): blocks go whole, of a signed text only the lines above it.
fn armour(sheet: &mut Sheet<'_>, own: Range<usize>) {
    let mut at = own.start;
    while at < own.end {
        let label = sheet.lines[at].words.strip_prefix("-----BEGIN PGP ");
        let Some(label) = label.and_then(|label| label.strip_suffix("-----")) else {
            at += 1;
            continue;
        };
        let last = if label == "SIGNED MESSAGE" {
            (at + 1..own.end.min(at + 4)).find(|&line| sheet.lines[line].is_blank())
        } else {
            let end = format!("-----END PGP {label}-----");
            (at..own.end).find(|&line| sheet.lines[line].words == end)
        };
        let end = last.unwrap_or(at) + 1;
        sheet.cut(at..end, CutKind::Signature, Rule::Armour);
        // A block without an end is not looked for again.
        at = if last.is_some() { end } else { own.end };
    }
}

fn markup(sheet: &mut Sheet<'_>, own: Range<usize>) {
    for at in own {
        if sheet.lines[at].signature {
            sheet.cut(at..at + 1, CutKind::Signature, Rule::Markup);
        }
    }
}

/// "Von meinem iPhone gesendet": the line goes, and what a mobile program left below it.
fn device(sheet: &mut Sheet<'_>, own: Range<usize>) {
    let lines = kept(sheet, own.clone());
    let last_closing = lines
        .iter()
        .rposition(|&at| is_closing(sheet.lines[at].words) || is_delimiter(sheet.lines[at].words));
    let mut wrote = false;
    for (index, &at) in lines.iter().enumerate() {
        let words = sheet.lines[at].words;
        if words.len() > 200 || !markers().device.is_match(words) {
            // A line broken in two still is one.
            let joined = lines
                .get(index + 1)
                .filter(|_| words.len() < 90)
                .map(|&next| (next, sheet.lines[next].words));
            if let Some((next, second)) = joined
                && second.len() < 60
                && (second.starts_with('<') || words.ends_with(['/', '-']) || second.starts_with("http"))
                && next == at + 1
                && markers().device.is_match(&format!("{words} {second}"))
            {
                sheet.cut(at..next + 1, CutKind::Signature, Rule::Device);
            }
            wrote |= has_word(words);
            continue;
        }
        // Quoted text without marks follows it; with nothing written before, it stands on top.
        let below = lines[index + 1..].first().is_some_and(|&next| next > at + 1);
        let end = if wrote && below && last_closing.is_none_or(|last| last <= index) {
            own.end
        } else {
            at + 1
        };
        sheet.cut(at..end, CutKind::Signature, Rule::Device);
    }
}

fn is_delimiter(words: &str) -> bool {
    matches!(words, "--" | "—" | "- -" | "-- –")
}

/// What follows `-- ` is a signature; what follows another ruled line is one if it looks so.
fn delimiter(sheet: &mut Sheet<'_>, own: Range<usize>) {
    let lines = kept(sheet, own.clone());
    for (index, &at) in lines.iter().enumerate() {
        let words = sheet.lines[at].words;
        let tail = &lines[index + 1..];
        let delimits = is_delimiter(words)
            && tail.len() <= 40
            && tail.iter().filter(|&&at| is_prose(sheet.lines[at].words)).count() <= 4;
        let ruled = !tail.is_empty()
            && is_rule(words)
            && tail.len() <= 16
            && tail.iter().all(|&at| !is_prose(sheet.lines[at].words))
            && (tail.iter().any(|&at| is_contact(sheet.lines[at].words))
                || index > 0 && tail.len() <= 2 && tail.iter().all(|&at| is_name(sheet.lines[at].words)));
        if delimits || ruled {
            sheet.cut(
                at..own.end,
                CutKind::Signature,
                if delimits { Rule::Delimiter } else { Rule::Ruled },
            );
            break;
        }
    }
    let lines = kept(sheet, own);
    // "- Max" or "/Max" on the last line, unless it is the last item of a list.
    if let [.., before, last] = *lines.as_slice()
        && let (before, name) = (sheet.lines[before].words, sheet.lines[last].words)
        && DASH_NAME.is_match(name)
        && !(before.starts_with(['-', '–', '*', '•']) && is_list_item(before) == is_list_item(name))
    {
        sheet.cut(last..last + 1, CutKind::Signature, Rule::Closing);
    }
}

fn is_closing(words: &str) -> bool {
    let Some(found) = markers().closing.find(words) else {
        return false;
    };
    let rest = words[found.end()..].trim_start_matches([',', '.', '!', ' ', ';', '-', '–', '*', '_']);
    // A name or a place may follow on the line, a sentence may not.
    words.len() <= 120
        && match rest.split_whitespace().count() {
            0..=5 => true,
            // Name and address on the line of the formula.
            6..=10 => is_contact(rest) && !PERSON.is_match(rest),
            _ => false,
        }
        && !rest.ends_with(['?', ':'])
        && found.end() > 1
        && (rest.is_empty() || !is_clause(rest) || is_company_of(rest))
        && !(found.end() <= SHORT && names_thing(rest))
}

/// Formulas up to this many bytes are words of other use too: "Ihre", "LG".
const SHORT: usize = 5;

/// "Rechnung 4711", "Schreiben vom März": what follows is no person.
fn names_thing(rest: &str) -> bool {
    let small = |word: &str| word.starts_with(char::is_lowercase) && !NAME_PARTICLES.contains(&word);
    rest.contains(|c: char| c.is_ascii_digit()) || rest.split_whitespace().any(small) && !is_company_of(rest)
}

const NAME_PARTICLES: &[&str] = &[
    "von", "van", "de", "der", "den", "zu", "zur", "und", "aus", "and", "of", "the",
];

/// "hat angerufen", "Müller hat angerufen.": no name behind a formula.
fn is_clause(rest: &str) -> bool {
    let small = |rest: &str| {
        rest.split_whitespace()
            .filter(|word| word.starts_with(char::is_lowercase))
            .count()
    };
    rest.starts_with(char::is_lowercase) || rest.ends_with('.') && small(rest) >= 2
}

/// "aus Hamburg", "from Berlin", "vom Bodensee", "und einen schönen Tag".
fn is_company_of(rest: &str) -> bool {
    let first = rest.split_whitespace().next().unwrap_or_default();
    matches!(
        first,
        "aus"
            | "from"
            | "vom"
            | "von"
            | "and"
            | "und"
            | "an"
            | "i."
            | "i.A."
            | "i.V."
            | "ppa."
            | "nach"
            | "ihr"
            | "ihre"
            | "euer"
            | "dein"
            | "your"
            | "to"
    )
}

/// A closing formula and what stands below it, up to a postscript.
fn closing(sheet: &mut Sheet<'_>, own: Range<usize>) {
    let lines = kept(sheet, own.clone());
    // A mail of closings asks for each line many times.
    let mut known: Vec<Option<bool>> = vec![None; lines.len()];
    let mut announced = None;
    let (mut next, mut end) = (0, lines.len());
    while next < end {
        let index = next;
        next += 1;
        let at = lines[index];
        let words = bare(sheet.lines[at].words);
        let tail = &lines[index + 1..end];
        let formal = is_closing(words);
        let thanks = words.len() <= 60 && markers().closing_thanks.is_match(words);
        if !formal && !thanks {
            continue;
        }
        // "Bitte nennen Sie mir:", then "Ihre Bankverbindung" and "Ihre Anschrift".
        let above = index.checked_sub(1).map(|above| lines[above]);
        let listed = above.is_some_and(|above| {
            sheet.lines[above].words.ends_with(':') || announced == Some(above) && at == above + 1
        });
        if listed
            && !thanks
            && markers()
                .closing
                .find(words)
                .is_some_and(|found| found.end() <= SHORT)
        {
            announced = Some(at);
            continue;
        }
        let names = tail
            .iter()
            .take(8)
            .take_while(|&&at| is_name(sheet.lines[at].words))
            .count();
        if !formal && (names == 0 || index == 0 && tail.len() > names + 8) {
            continue;
        }
        // What decides stands close by; looking further would cost quadratic time.
        let prose = tail
            .iter()
            .zip(&mut known[index + 1..end])
            .take(TAIL + 1)
            .position(|(&at, known)| {
                let words = sheet.lines[at].words;
                *known.get_or_insert_with(|| is_prose(words) || is_postscript(words))
            });
        // Behind a long underscore line stands an earlier mail.
        let prose = prose.filter(|&prose| {
            !tail[..prose]
                .iter()
                .any(|&at| is_long_rule(sheet.lines[at].words))
        });
        let Some(prose) = prose else {
            if tail.len() <= TAIL {
                let below = lines.get(end).map_or(own.end, |&below| below);
                sheet.cut(at..below, CutKind::Signature, Rule::Closing);
                // Formulas above were too far from the end until now.
                end = index;
                next = index.saturating_sub(TAIL + 1);
            }
            continue;
        };
        // Prose below: only the formula and a name go, and only when a gap follows them.
        let last = if prose == 0 { at } else { tail[prose - 1] };
        let below = tail[prose];
        let gap = (last + 1..below).any(|between| sheet.lines[between].is_blank() || !sheet.is_kept(between));
        let contacts = |below: &[usize]| {
            below
                .iter()
                .filter(|&&at| is_strong_contact(sheet.lines[at].words))
                .count()
        };
        if formal
            && (gap || contacts(&tail[..prose]) >= 2)
            && prose <= 14
            && words.len() <= 60
            && (index > 0 || prose > 0)
        {
            let last = tail[..prose]
                .iter()
                .rev()
                .find(|&&at| !is_rule(sheet.lines[at].words))
                .copied()
                .unwrap_or(at);
            sheet.cut(at..last + 1, CutKind::Signature, Rule::Closing);
        }
    }
}

fn is_long_rule(words: &str) -> bool {
    words.len() >= 30 && words.bytes().all(|byte| byte == b'_')
}

fn is_postscript(words: &str) -> bool {
    let head: String = words
        .chars()
        .filter(|c| !matches!(c, '.' | ' '))
        .take(3)
        .collect::<String>()
        .to_lowercase();
    head.starts_with("ps:")
        || head == "ps"
        || words.starts_with("PS ")
        || words.starts_with("P.S.")
        || head.starts_with("nb:")
}

/// A block of contact data at the end, without a formula above it.
fn contact_block(sheet: &mut Sheet<'_>, own: Range<usize>) {
    let lines = kept(sheet, own.clone());
    let mut first = lines.len();
    for index in (0..lines.len()).rev().take(24) {
        let words = sheet.lines[lines[index]].words;
        if !(is_contact(words) && !is_prose(words) || is_rule(words) || is_title(words)) {
            break;
        }
        first = index;
    }
    // Leave what the paragraph above announces, and a paragraph begun in the middle.
    while first < lines.len() && first > 0 && lines[first] == lines[first - 1] + 1 {
        first += 1;
    }
    // A link on a line of its own is what the client points at, unless a name stands above it.
    while first < lines.len() && is_link(sheet.lines[lines[first]].words) {
        first += 1;
    }
    if first == 0 || first >= lines.len() {
        return;
    }
    let strong = lines[first..]
        .iter()
        .filter(|&&at| is_strong_contact(sheet.lines[at].words))
        .count()
        // Company particulars are cut by now and speak for a block around them.
        + usize::from((lines[first]..own.end).any(|at| sheet.fate[at].is_some_and(|(_, rule)| rule == Rule::Company)));
    let above = sheet.lines[lines[first - 1]].words;
    let announced = above.ends_with(':') && above.contains(char::is_alphabetic) || ANNOUNCES.is_match(above);
    if strong >= 2 && !announced {
        sheet.cut(lines[first]..own.end, CutKind::Signature, Rule::Contact);
    }
}

/// Ruled lines left at the end, with nothing below them any more.
fn trailing_rules(sheet: &mut Sheet<'_>, own: Range<usize>) {
    for at in own.rev() {
        if !sheet.is_kept(at) || sheet.lines[at].is_blank() {
            continue;
        }
        let words = sheet.lines[at].words;
        if !is_rule(words) && !is_delimiter(words) || matches!(words, "..." | "....") {
            return;
        }
        sheet.cut(at..at + 1, CutKind::Signature, Rule::TrailingRule);
    }
}

/// A line without the emphasis marks of plain-text renderings.
fn bare(words: &str) -> &str {
    words.trim_matches(['*', '_', ' ', '\'', '"', '>'])
}

/// A sentence, or a piece of one, that somebody wrote for this mail.
pub(super) fn is_prose(words: &str) -> bool {
    let count = words.split_whitespace().count();
    // Telephone numbers in groups are no words.
    let lettered = || {
        let words = words.split_whitespace();
        words.filter(|word| word.contains(char::is_alphabetic)).count()
    };
    if count < 3 || is_strong_contact(words) && lettered() < 12 {
        return false;
    }
    let ends = words.ends_with(['.', '?', '!']) && !ABBREVIATED.is_match(words);
    let speaks = (ends || count >= 5) && PERSON.is_match(words);
    count >= 10 && !words.contains(['|', '•']) || ends && count >= 5 || speaks
}

/// A sentence in which somebody speaks of themselves or to somebody.
pub(super) fn is_request(words: &str) -> bool {
    is_prose(words) && PERSON.is_match(words)
}

/// One to four capitalized words, as a name with a degree is.
fn is_name(words: &str) -> bool {
    let words = bare(words);
    let count = words.split_whitespace().count();
    count <= 5
        && words.len() <= 60
        && !words.ends_with(['.', '?', '!', ':'])
        && !markers().closing.is_match(words)
        && words
            .split_whitespace()
            .filter(|word| word.starts_with(char::is_lowercase))
            .count()
            <= usize::from(count > 2).max(usize::from(count == 1))
        && words.chars().filter(|c| c.is_alphabetic()).count() >= 1
        && !words.contains(|c: char| c.is_ascii_digit())
}

/// A line of name, role or department in a contact block.
fn is_title(words: &str) -> bool {
    let count = words.split_whitespace().count();
    count <= 6
        && words.len() <= 60
        && !words.ends_with(['?', '!', ':', ','])
        && (!words.ends_with('.') || ABBREVIATED.is_match(words))
        && !is_list_item(words)
        && bare(words).starts_with(|c: char| c.is_uppercase() || !c.is_alphanumeric())
        && !PERSON.is_match(words)
}

/// An address of the web with a path, and nothing else.
fn is_link(words: &str) -> bool {
    let bare = words.trim_matches(['<', '>', '(', ')']);
    let path = bare
        .strip_prefix("https://")
        .or_else(|| bare.strip_prefix("http://"));
    path.and_then(|rest| rest.split_once('/'))
        .is_some_and(|(_, path)| !path.is_empty() && !path.contains(' '))
}

/// "- Auszug", "• Depot".
fn is_list_item(words: &str) -> bool {
    let mark = words.split_whitespace().next().unwrap_or_default();
    matches!(mark, "-" | "–" | "*" | "•" | "·" | "o") && mark.len() < words.len()
}

fn is_contact(words: &str) -> bool {
    words.len() <= 160 && (is_strong_contact(words) || CONTACT.is_match(words))
}

fn is_strong_contact(words: &str) -> bool {
    words.len() <= 240 && STRONG.is_match(words)
}

static STRONG: LazyLock<Pattern> = LazyLock::new(|| {
    let company = r"\b(?:gmbh|mbh|ohg|ltd|llc|inc|corp|e\.\s?v\.|e\.\s?k\.|s\.a\.|b\.v\.|gbr|plc|sarl|s\.?r\.?l|s\.p\.a|s\.l\.|lda|ltda|sp\.\s?z\s?o\.\s?o)(?:\W|$)|\b(?:ag|kg|se|ug|sas|aps|a/s)\W*$";
    let word =
        "tel|telefon|fon|phone|mobil|mobile|handy|fax|telefax|hotline|durchwahl|cell|direct|office|tel\\.";
    pattern(
        &[
            &format!(r"\b(?:{word})\b\s?[.:/|]*\s{{0,4}}[+(\d]"),
            r"^\W{0,3}(?:[tfmpdw]|mob|ph)\s?[.:|]\s{0,4}[+(]?\d",
            &format!(r"^\W{{0,3}}[+(]?\d[\d\s()/.\-–]{{6,}}\W*(?:(?:{word}|ph|mob|work|home|desk)\W*)?$"),
            r"\+\d{1,3}[\s(./-]*\d[\d\s()/.-]{5,}",
            r"^\W{0,3}(?:e-?mail|mail|web|internet|homepage|website|www)(?:\b\s?[.:|]|\s+\S+[.@]\S+(?:\s<\S+)?\W*$)",
            r"^\W{0,3}e\s?[.:|]\W{0,3}\S+@",
            r"\bwww\.[a-z0-9_-]+\.[a-z0-9_]",
            r"^\W{0,3}<?https?://\S+\W*$",
            company,
            r"[a-z0-9_.+-]+@[a-z0-9_-]+\.[a-z0-9_.-]+\W*$",
        ]
        .join("|"),
    )
});

/// A sentence that goes on in the contact data below it: "Sie erreichen mich unter".
static ANNOUNCES: LazyLock<Pattern> =
    LazyLock::new(|| pattern(r"\w \w.*\b(?:unter|lautet|lauten|ist|sind|an|at|is|are|under)$"));

static CONTACT: LazyLock<Pattern> = LazyLock::new(|| {
    pattern(
        &[
            r"(?:str\.|straße|strasse|weg|platz|allee|gasse|ring|ufer|damm|street|road|avenue|lane)\s?\d",
            r"^\W*(?:[dach]h?-)?\d{4,5}\s+\p{L}",
            r"\b\d+\s[a-z0-9_]+\s(?:street|st|road|rd|ave|avenue|lane|blvd)\b",
            r"\b[a-z]{2}\s\d{5}\b",
            r"postfach|p\.?o\.? box|abteilung|department|vertrieb|sales",
        ]
        .join("|"),
    )
});

static PERSON: LazyLock<Pattern> = LazyLock::new(|| {
    let german = "ich|wir|mir|mich|uns|bitte|sie|ihnen|mein|meine|meinen|unser|unsere|habe|haben";
    let english = "i'm|i'll|we|my|our|please|you|your|was|will";
    // "i. A." and "i. V." are no "I".
    pattern(&format!(r"\b(?:{german}|{english})\b|\bi(?:[ ,;]|$)"))
});

static ABBREVIATED: LazyLock<Pattern> = LazyLock::new(|| {
    pattern(
        r"\b(?:e\.\s?v|e\.\s?k|inc|ltd|co|corp|str|nr|a\.g|s\.a|b\.v|dept|abt|dir|mgr|asst|jr|sr|bros)\.$",
    )
});

/// "- Max Muster": the one pattern here to which capital letters matter.
static DASH_NAME: LazyLock<Regex> = LazyLock::new(|| {
    #[allow(clippy::expect_used)]
    Regex::new(r"^(?:[-–—~]{1,3}|/{1,2}) ?\p{Lu}[\p{L}.]+(?: \p{Lu}[\p{L}.]*)?$")
        .expect("the pattern is valid")
});

#[cfg(test)]
mod tests {
    use crate::{Cleaner, Message};

    fn clean(body: &str) -> String {
        Cleaner::default()
            .clean(&Message::plain("", body))
            .text()
            .to_owned()
    }

    #[test]
    fn cuts_closings_delimiters_contacts_and_device_lines() {
        for body in [
            "Bitte sperren.\n\nMit freundlichen Grüßen\n\nMax Muster\nMuster GmbH\nTel.: 040 1234567",
            "Bitte sperren.\n-- \nMax Muster\nwww.example.com",
            "Bitte sperren.\n\nMax Muster\nMuster GmbH\nTel. 040 1234567\nmax@example.com",
            "Bitte sperren.\n\nVon meinem iPhone gesendet",
            "Bitte sperren.\n\nGesendet von Outlook für Android<https://example.com>",
            "Bitte sperren.\n\nLG\nMax",
            "Bitte sperren.\n\n/Max",
            "Bitte sperren.\n\nMax Muster\nAccounts Dept.\nTel. 040 1234567\nhttps://example.com/max",
            "Bitte sperren.\n\nMax Muster\n040 1234567 Office\nE: max@example.com",
            "Bitte sperren.\n\n*Max Muster* | *Chef*\n*WEB example.com <https://example.com/>*\n*USt-IdNr.: DE123456789*",
            "Bitte sperren.\n\nVielen Dank und beste Grüße aus Kiel,\nMax",
            "Bitte sperren.\n\nBest regards,\nMax Muster\nHead of Sales",
            "Bitte sperren.\n\nI.A. Max\n\n".trim_end_matches("I.A. Max\n\n"),
        ] {
            assert_eq!(clean(body), "Bitte sperren.", "{body}");
        }
    }

    #[test]
    fn cuts_the_armour_of_openpgp() {
        let block = |label: &str| {
            format!("-----BEGIN PGP {label}-----\n\nabc def\n=xyz\n-----END PGP {label}-----\n")
        };
        let signed = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nBitte sperren.\n";
        assert_eq!(
            clean(&format!("{signed}{}", block("SIGNATURE"))),
            "Bitte sperren."
        );
        assert_eq!(
            clean(&format!("Bitte sperren.\n\n{}", block("PUBLIC KEY BLOCK"))),
            "Bitte sperren."
        );
        assert_eq!(
            clean(&format!("Anbei.\n{}Danke im Voraus für alles.", block("MESSAGE"))),
            "Anbei.\nDanke im Voraus für alles."
        );
        // Only cut off: nothing is known to end there.
        assert!(clean("-----BEGIN PGP MESSAGE-----\nBitte sperren.").ends_with("Bitte sperren."));
    }

    #[test]
    fn keeps_postscripts_and_announced_addresses() {
        assert_eq!(
            clean("Bitte sperren.\n\nViele Grüße\nMax\n\nPS: Auch die zweite Karte ist weg."),
            "Bitte sperren.\n\nPS: Auch die zweite Karte ist weg."
        );
        let body = "Meine neue Anschrift lautet:\n\nMax Muster\nMusterweg 3\n20095 Hamburg\nTel. 040 1234567\nmax@example.com";
        assert_eq!(clean(body), body);
    }

    #[test]
    fn keeps_lists_and_thanks_that_say_something() {
        for body in [
            "Bitte senden:\n- Auszug\n- Depot",
            "Bitte prüfen:\n\n- www.example.com\n- www.example.org",
            "Das hat geholfen\n\nhttps://example.com/a/b\n\nhttps://example.org/c",
            "Vielen Dank für Ihre Antwort.\nIch brauche noch den Auszug.",
            "Danke",
            "Grüßen Sie bitte Frau Meier von mir und schicken Sie das Formular.",
        ] {
            assert_eq!(clean(body), body);
        }
    }
}
