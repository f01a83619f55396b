//! The subject without what mail programs and helpdesks added to it.

use crate::markers::markers;

/// A subject's own words, and whether its outermost prefix marks a forward.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Subject<'a> {
    pub(crate) words: &'a str,
    pub(crate) forwarded: bool,
}

/// Strips reply and forward prefixes and ticket tags from both ends.
pub(crate) fn strip(subject: &str) -> Subject<'_> {
    let markers = markers();
    let mut words = subject.trim();
    let mut forwarded = None;
    // Each round takes something away; eight rounds are a long thread.
    for _ in 0..32 {
        let before = words;
        if let Some(prefix) = markers.subject_reply.find(words) {
            forwarded.get_or_insert(false);
            words = words[prefix.end()..].trim_start();
        } else if let Some(prefix) = markers.subject_forward.find(words) {
            forwarded.get_or_insert(true);
            words = words[prefix.end()..].trim_start();
        } else if let Some(tag) = markers.subject_tag.find(words) {
            words = words[tag.end()..].trim_start();
        }
        if words.is_empty() {
            words = before;
            break;
        }
        if words.len() == before.len() {
            break;
        }
    }
    if let Some(tag) = markers.subject_tag_end.find(words)
        && tag.start() > 0
    {
        words = words[..tag.start()].trim_end();
    }
    // A subject that is a prefix and nothing else has no words of its own.
    if markers
        .subject_reply
        .find(words)
        .or(markers.subject_forward.find(words))
        .is_some_and(|m| m.end() == words.len())
    {
        words = "";
    }
    Subject {
        words,
        forwarded: forwarded.unwrap_or(false),
    }
}

/// A subject without the tags before its prefixes and words.
pub(crate) fn untagged(subject: &str) -> &str {
    let mut words = subject.trim();
    // Gateway and helpdesk may each have put one there.
    for _ in 0..4 {
        match markers().subject_tag.find(words) {
            Some(tag) if tag.end() > 0 => words = words[tag.end()..].trim_start(),
            _ => break,
        }
    }
    words
}

/// True when a subject begins as a reply.
pub(crate) fn is_reply(subject: &str) -> bool {
    markers().subject_reply.find(untagged(subject)).is_some()
}

#[cfg(test)]
mod tests {
    use super::strip;

    #[test]
    fn strips_prefixes_and_ticket_tags() {
        for (subject, words, forwarded) in [
            ("AW: Re: WG: Depot gesperrt", "Depot gesperrt", false),
            ("WG: AW: Depot gesperrt", "Depot gesperrt", true),
            ("Fwd: [Ticket#2026112300012] Rechnung", "Rechnung", true),
            ("Re[2]: Rechnung [#12345]", "Rechnung", false),
            ("Fw: Statement", "Statement", true),
            ("Antwort: Ihr Schreiben", "Ihr Schreiben", false),
            ("Referenz 12: bitte prüfen", "Referenz 12: bitte prüfen", false),
            ("AW:", "", false),
            ("[EXTERN] Vollmacht", "Vollmacht", false),
            ("Auto: Schaden vom 3. Mai", "Auto: Schaden vom 3. Mai", false),
            ("TR : RE : Relevé", "Relevé", true),
            ("RE: TR: Relevé", "Relevé", false),
            ("I: R: Bonifico", "Bonifico", true),
            ("RV: RE: Tarjeta", "Tarjeta", true),
            ("ENC: RES: Boleto", "Boleto", true),
            ("Doorst: Antw: Polis", "Polis", true),
            ("PD: Odp: Umowa", "Umowa", true),
            ("VS: SV: Kort", "Kort", true),
            ("VB: SV: Kort", "Kort", true),
            ("SV: VB: Kort", "Kort", false),
            ("VL: VS: Kortti", "Kortti", true),
        ] {
            let got = strip(subject);
            assert_eq!((got.words, got.forwarded), (words, forwarded), "{subject}");
        }
    }
}
