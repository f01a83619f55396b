//! Finds text that no person wrote for this mail: confidentiality notices, company
//! particulars, newsletter and virus-scanner lines, gateway banners.
//!
//! Such text is long, the same in thousands of mails, and full of words like "löschen" or
//! "vertraulich" that a client might mean. So one word is no evidence: a notice needs words of
//! several groups in one paragraph, particulars need several marks and no sentence about "ich".

use super::signature::{is_prose, is_request};
use super::{CutKind, Rule, Sheet};
use crate::markers::{Pattern, markers, pattern};
use std::ops::Range;
use std::sync::LazyLock;

/// Bytes of a paragraph that are read; a notice shows itself early.
const READ: usize = 4000;

/// Bytes of the shortest confidentiality notice.
const NOTICE: usize = 40;

/// Cuts notices from the lines of `own`, one stretch of the sender's own text.
pub(super) fn cut(sheet: &mut Sheet<'_>, own: Range<usize>) {
    banner(sheet, own.clone());
    // What stands below a paragraph tells a footer, so the last is read first.
    let mut footer = true;
    for paragraph in paragraphs(sheet, own.clone()).into_iter().rev() {
        let text = joined(sheet, paragraph.clone());
        let confidential = if text.len() < NOTICE {
            0
        } else {
            groups(&markers().confidential, &text, 2)
        };
        let personal = (footer || confidential > 0) && personal(&text);
        let asks = asks(&text);
        if confidential >= 3 && !(personal && asks) || confidential == 2 && !personal && !asks {
            // A name or a closing above the notice belongs to the signature rule.
            let start = paragraph
                .clone()
                .find(|&at| sheet.lines[at].words.len() > 40)
                .unwrap_or(paragraph.start);
            sheet.cut(start..paragraph.end, CutKind::Disclaimer, Rule::Confidential);
            continue;
        }
        if footer && !asks && !announced(sheet, own.start..paragraph.start) {
            company(sheet, paragraph.clone(), groups(&markers().company, &text, 1));
        }
        for at in paragraph.clone() {
            let words = sheet.lines[at].words;
            if words.len() <= 400 && markers().notice.is_match(words) && !self::personal(words) {
                sheet.cut(at..at + 1, CutKind::Disclaimer, Rule::Notice);
            }
        }
        footer &= !(personal
            && paragraph
                .into_iter()
                .any(|at| sheet.is_kept(at) && is_prose(sheet.lines[at].words)));
    }
}

/// How many of `patterns` the text holds; none when they cannot be `least`.
fn groups(patterns: &[Pattern], text: &str, least: usize) -> usize {
    let mut found = 0;
    for (index, pattern) in patterns.iter().enumerate() {
        if found + patterns.len() - index < least {
            return 0;
        }
        found += usize::from(pattern.is_match(text));
    }
    if found < least { 0 } else { found }
}

/// A gateway's warning on top.
fn banner(sheet: &mut Sheet<'_>, own: Range<usize>) {
    let first: Vec<usize> = own.filter(|&at| !sheet.lines[at].is_blank()).take(3).collect();
    for at in first {
        let words = sheet.lines[at].words;
        if words.len() <= 600 && markers().banner.is_match(words) {
            sheet.cut(at..at + 1, CutKind::Disclaimer, Rule::Banner);
        }
    }
}

/// Company particulars: from the first line that holds some to the last.
fn company(sheet: &mut Sheet<'_>, paragraph: Range<usize>, groups: usize) {
    if groups == 0 {
        return;
    }
    let holds = |at: usize| {
        let words = sheet.lines[at].words;
        words.len() <= 500
            && markers().company.iter().any(|pattern| pattern.is_match(words))
            && !personal(words)
            && !is_request(words)
    };
    let lines: Vec<usize> = paragraph.clone().filter(|&at| holds(at)).collect();
    let (Some(&first), Some(&last)) = (lines.first(), lines.last()) else {
        return;
    };
    if paragraph.start < first && announces(sheet.lines[first - 1].words) {
        return;
    }
    // One mark alone is enough where the line is nothing but "Geschäftsführer: …".
    if groups >= 2 || lines.iter().all(|&at| LABELLED.is_match(sheet.lines[at].words)) {
        sheet.cut(first..last + 1, CutKind::Disclaimer, Rule::Company);
    }
}

/// True when the line above says what follows: "Unsere neuen Daten lauten:".
fn announced(sheet: &Sheet<'_>, above: Range<usize>) -> bool {
    let line = above.rev().take(3).find(|&at| !sheet.lines[at].is_blank());
    line.is_some_and(|at| announces(sheet.lines[at].words))
}

fn announces(words: &str) -> bool {
    words.ends_with(':') && words.split_whitespace().count() >= 3
}

/// Runs of lines that are kept and not blank.
fn paragraphs(sheet: &Sheet<'_>, own: Range<usize>) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for at in own {
        if sheet.lines[at].is_blank() || !sheet.is_kept(at) {
            continue;
        }
        match found.last_mut() {
            Some(last) if last.end == at => last.end = at + 1,
            _ => found.push(at..at + 1),
        }
    }
    found
}

fn joined(sheet: &Sheet<'_>, lines: Range<usize>) -> String {
    let mut text = String::new();
    for line in &sheet.lines[lines] {
        if text.len() > READ {
            break;
        }
        let end = line
            .words
            .char_indices()
            .map(|(at, _)| at)
            .find(|&at| at > READ)
            .unwrap_or(line.words.len());
        text.push_str(&line.words[..end]);
        text.push(' ');
    }
    text
}

/// Somebody speaks of themselves, as a client does and a notice does not.
fn personal(text: &str) -> bool {
    PERSONAL.is_match(text) || markers().person.is_match(text)
}

/// Somebody asks, as a notice hardly does; a question mark inside an address is none.
fn asks(text: &str) -> bool {
    text.ends_with('?') || text.contains("? ")
}

static PERSONAL: LazyLock<Pattern> =
    LazyLock::new(|| pattern(r"\b(?:ich|mir|mich|mein|meine|meinen|meiner|meinem|i|my|i'm|i've|mine)\b"));

static LABELLED: LazyLock<Pattern> = LazyLock::new(|| pattern(r"^\W{0,4}[^:]{3,60}:\s?\S"));

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
    fn cuts_notices_and_particulars() {
        for body in [
            "Bitte sperren.\n\nDiese E-Mail enthält vertrauliche Informationen. Wenn Sie nicht der richtige Adressat sind,\n\
             informieren Sie bitte sofort den Absender und vernichten Sie diese Mail.",
            "Bitte sperren.\n\nGeschäftsführer: Max Muster\nAmtsgericht Kiel, HRB 1234\nUSt-IdNr.: DE123456789",
            "Bitte sperren.\n\nThis email is confidential. If you are not the intended recipient, please delete it.",
            "[EXTERN] Diese E-Mail stammt von außerhalb der Organisation. Bitte keine Links öffnen.\n\nBitte sperren.",
            "ACHTUNG: Diese E-Mail stammt von außerhalb. Bitte keine Links öffnen.\n\nBitte sperren.",
            "Bitte sperren.\n\nDiese E-Mail wurde von Avast auf Viren geprüft.\nwww.example.com",
        ] {
            assert!(
                clean(body).starts_with("Bitte sperren.") && clean(body).len() < 32,
                "{}",
                clean(body)
            );
        }
    }

    #[test]
    fn keeps_what_a_client_says_about_such_things() {
        for body in [
            "Bitte behandeln Sie meine Anfrage vertraulich und löschen Sie diese Daten unverzüglich.",
            "Ich bin Geschäftsführer: bitte ändern Sie meine Steuer-Nr. 12/345/678 beim Amtsgericht.",
            "Ich möchte mich vom Newsletter abmelden.",
        ] {
            assert_eq!(clean(body), body);
        }
    }
}
