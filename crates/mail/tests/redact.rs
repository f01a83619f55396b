//! Masking personal details, by the crate's public words.

use poststelle_mail::{Cleaner, MaskKind, Message, Profile, Redact, redact};
use proptest::prelude::*;

/// What texts with personal details are made of, and what only looks like them.
const PIECES: &[&str] = &[
    "Sehr geehrte Frau Dr. Muster,",
    "Hallo Eva und Max,",
    "Hallo Team",
    "hallo herr beispiel,",
    "Mit freundlichen Grüßen",
    "Viele Grüße, Max",
    "i. A. Eva Muster",
    "Max Muster",
    "Mein Name ist Eva Muster",
    "Name:",
    "IBAN",
    "DE89 3704 0044 0532 0130 00",
    "DE88 3704 0044",
    "BIC:",
    "COBADEFFXXX",
    "4111 1111 1111 1111",
    "4111",
    "Tel.:",
    "+49",
    "0170 1234567",
    "(040)",
    "040/123456-78",
    "0049",
    "max@example.com",
    "max(at)example.com",
    "@",
    "Steuer-ID",
    "86 095 742 719",
    "86095742719",
    "15 070649 C 103",
    "Personalausweisnummer",
    "L01X00T47",
    "Depotnummer",
    "Kto.",
    "BLZ 370 400 44",
    "532013000",
    "geboren am",
    "12.03.1980",
    "12. März 1980",
    "Geburtstag",
    "ISIN DE0007100000",
    "WKN 710000",
    "Auftrag Nr.",
    "12345678",
    "1.250,00 EUR",
    "und",
    "[IBAN]",
    "[NAME]",
    "[PHONE",
    "ACCOUNT]",
    "\u{a0}",
    "\u{202f}",
    "ẞ",
    "İ",
    "é",
    "0",
    "7",
    ":",
    ".",
    "-",
    "/",
    "<",
    "+",
    "(",
    ")",
    ",",
    "\n",
    "\n\n",
    " ",
    "  ",
];

fn arb_text() -> impl Strategy<Value = String> {
    let joint = prop::sample::select(&["", " ", " ", " ", "\n", ", ", "\u{a0}", "-", "/"][..]);
    prop::collection::vec((prop::sample::select(PIECES), joint), 0..16).prop_map(|pieces| {
        pieces
            .iter()
            .flat_map(|(piece, joint)| [*piece, *joint])
            .collect()
    })
}

/// The text without placeholders, cut where they stood.
fn between(text: &str) -> Vec<String> {
    let mut parts = vec![text.to_owned()];
    for kind in MaskKind::ALL {
        parts = parts
            .iter()
            .flat_map(|part| {
                part.split(kind.placeholder())
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    parts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Masking what is masked changes nothing.
    #[test]
    fn masking_twice_is_masking_once(text in arb_text()) {
        let once = redact(&text);
        let twice = redact(&once.text);
        prop_assert_eq!(&twice.text, &once.text);
        prop_assert_eq!(twice.masked.total(), 0);
    }

    /// What is not masked stays, in order.
    #[test]
    fn the_rest_of_the_text_stays(text in arb_text()) {
        let mut rest = text.as_str();
        for part in between(&redact(&text).text) {
            let at = rest.find(&part);
            prop_assert!(at.is_some(), "{:?} of {:?}", part, text);
            rest = &rest[at.unwrap_or(0) + part.len()..];
        }
    }

    /// Any text is read, and twice the same.
    #[test]
    fn any_text_is_read(text in any::<String>(), digits in "[0-9A-Za-z@+()./ \u{a0}\u{2009}ÄßİẞǅK\\n:-]{0,80}") {
        for text in [&text, &digits] {
            let once = redact(text);
            prop_assert_eq!(redact(&once.text).text, once.text);
        }
    }

    /// The cleaner masks what it keeps and still accounts for every byte of the mail.
    #[test]
    fn cleaning_accounts_for_every_byte_all_the_same(text in arb_text()) {
        let cleaner = Cleaner::new(Profile::Request).redacting(Redact::Everything);
        let message = Message::plain(&text, &text);
        let clean = cleaner.clean(&message);
        prop_assert_eq!(clean.rebuild(), clean.body());
        let plain = Cleaner::new(Profile::Request).clean(&message).redacted();
        prop_assert_eq!(plain.text(), clean.text());
    }
}

/// Ten megabytes of what each rule looks for; one that looked far back or ahead would not return.
#[test]
fn large_hostile_texts_are_read_to_the_end() {
    let size = 1 << 20;
    for piece in [
        "1",
        "1 ",
        "12 ",
        "0",
        "0 ",
        "00 ",
        "0-",
        "4111 ",
        "@",
        "a@",
        "a@b.",
        ".",
        "A",
        "DE89",
        "DE89 ",
        "de",
        "<",
        "<<<\n",
        "Konto ",
        "Konto: ",
        "Konto 1 ",
        "Kontonummer 123456 und ",
        "geb. ",
        "geboren in ",
        "Tel. ",
        "Tel. 1",
        "Hallo ",
        "Hallo Eva, ",
        "Hallo\n",
        "Viele Grüße\n",
        "Eva ",
        "mein Name ist ",
        "i. A. ",
        "Name:",
        "[",
        "(at)",
        "\u{a0}",
        "1\u{a0}",
        "BIC ",
        "+",
        "+4",
        "nr ",
    ] {
        let text = piece.repeat(size / piece.len());
        let once = redact(&text);
        assert!(!once.text.is_empty());
    }
}
