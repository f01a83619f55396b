//! Tells a forwarded mail from an answered one.
//!
//! In a reply the earlier mail is history; in a forward it is the request. What decides is the
//! separator's word ("Weitergeleitete Nachricht"), or the subject's first prefix (`WG:`, `Fwd:`),
//! which the cleaner adds: an Outlook forward looks like an Outlook reply in all else.

use crate::lines::Line;
use crate::markers::markers;
use std::ops::Range;

/// True when a quoted block opens with a forward's separator.
pub(super) fn starts(lines: &[Line<'_>], block: &Range<usize>) -> bool {
    lines[block.clone()]
        .iter()
        .find(|line| !line.is_blank())
        .is_some_and(|line| line.words.len() < 200 && markers().separator_forward.is_match(line.words))
}

#[cfg(test)]
mod tests {
    use crate::{Cleaner, Message, Profile};

    const FORWARD: &str = "Bitte übernehmen.\n\n---------- Forwarded message ---------\nVon: Eva <eva@example.com>\n\
        Date: Mo., 3. Mai 2026\nSubject: Konto\nTo: <max@example.com>\n\nMein Konto ist gesperrt.\n\n\
        Am 1.5.2026 um 10:00 schrieb Max <max@example.com>:\n> alt\n";

    #[test]
    fn a_forward_is_the_request_and_not_the_author() {
        let message = Message::plain("Fwd: Konto", FORWARD);
        assert_eq!(
            Cleaner::default().clean(&message).text(),
            "Bitte übernehmen.\n\nMein Konto ist gesperrt."
        );
        assert_eq!(
            Cleaner::new(Profile::Author).clean(&message).text(),
            "Bitte übernehmen."
        );
    }

    #[test]
    fn a_bare_forward_keeps_its_text_for_both() {
        let bare = FORWARD.trim_start_matches("Bitte übernehmen.\n\n");
        let quoted: String = bare.lines().map(|line| format!("> {line}\n")).collect();
        for body in [bare, &quoted] {
            for profile in [Profile::Request, Profile::Author] {
                let text = Cleaner::new(profile).clean(&Message::plain("", body));
                assert_eq!(text.text(), "Mein Konto ist gesperrt.");
            }
        }
    }

    #[test]
    fn the_subject_tells_an_outlook_forward() {
        let body =
            "Zur Info.\n\nVon: Eva <eva@example.com>\nGesendet: Montag\nAn: Max\nBetreff: Konto\n\nGesperrt!";
        assert_eq!(
            Cleaner::default()
                .clean(&Message::plain("WG: Konto", body))
                .text(),
            "Zur Info.\n\nGesperrt!"
        );
        assert_eq!(
            Cleaner::default()
                .clean(&Message::plain("AW: Konto", body))
                .text(),
            "Zur Info."
        );
    }
}
