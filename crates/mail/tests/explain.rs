//! What a person sees of a cleaned mail, and the laws that hold for every mail shown.

use poststelle_mail::explain::{Page, terminal};
use poststelle_mail::{CleanText, Cleaner, Message};
use proptest::prelude::*;
use std::fs;
use std::path::Path;

fn fixture(case: &str) -> CleanText {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../fixtures/mail/{case}/raw.eml"));
    Cleaner::default().clean(&Message::parse(&fs::read(path).expect("a fixture")))
}

fn clean(subject: &str, body: &str) -> CleanText {
    Cleaner::default().clean(&Message::plain(subject, body))
}

fn page(name: &str, text: &CleanText) -> String {
    let mut page = Page::new();
    page.add(name, text);
    page.finish("one mail")
}

/// What stands in the `<main>` of a page.
fn main_of(page: &str) -> String {
    let main = page.split_once("<main>").expect("a main").1;
    main.split_once("</main>").expect("its end").0.to_owned()
}

const CASES: [&str; 3] = ["de-outlook-forward", "de-reply-interleaved", "de-apple-forward"];

#[test]
fn the_terminal_shows_the_whole_mail() {
    for case in CASES {
        insta::assert_snapshot!(format!("terminal_{case}"), terminal(case, &fixture(case), false));
    }
}

#[test]
fn defects_are_told_in_words() {
    let shown = terminal("a", &fixture("de-utf8-mislabelled"), false);
    assert!(
        shown.contains("\ndefects   declared as “iso-8859-1” but is not, read as UTF-8\n"),
        "{shown}"
    );
}

#[test]
fn the_page_shows_the_whole_mail() {
    for case in CASES {
        insta::assert_snapshot!(format!("html_{case}"), main_of(&page(case, &fixture(case))));
    }
}

/// Colour is added to the plain rendering and says nothing that marks and names do not.
#[test]
fn colour_adds_nothing_but_colour() {
    for case in CASES {
        let text = fixture(case);
        let coloured = terminal(case, &text, true);
        assert!(
            coloured.contains("\u{1b}[36m") || coloured.contains("\u{1b}[32m"),
            "{case}"
        );
        assert_eq!(without_colour(&coloured), terminal(case, &text, false), "{case}");
    }
}

fn without_colour(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').expect("our own sequence").1;
    }
    plain + rest
}

const HOSTILE: &str = "Hallo \u{1b}[2J\u{1b}]0;weg\u{7}\u{9b}31m\r\nKonto \u{202e}123\u{202c} \u{2066}x\u{2069} <script>alert(1)</script>\n\
     a\u{200b}b\u{feff}c\u{2028}d\u{e0041}\t& \"'\n\nViele Gr\u{fc}\u{df}e\n\u{1b}[31mMax<img src=x onerror=alert(1)>";

/// A hostile mail moves no cursor, changes no colour and turns round no line.
#[test]
fn control_characters_are_shown_and_not_sent() {
    let text = clean("AW: \u{1b}[2J\u{202e}<b>", HOSTILE);
    for colour in [false, true] {
        let shown = terminal("a\u{1b}[2J\nb", &text, colour);
        let plain = without_colour(&shown);
        let bad = |c: char| {
            c.is_control() && c != '\n' && c != '\t'
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        };
        assert!(!plain.contains(bad), "{plain:?}");
        for escaped in [
            "mail      a<U+001B>[2J<U+000A>b\n",
            "<U+001B>[2J<U+202E><b>",
            "Hallo <U+001B>[2J<U+001B>]0;weg<U+0007><U+009B>31m",
            "<U+202E>123<U+202C> <U+2066>x<U+2069>",
            "a<U+200B>b<U+FEFF>c<U+2028>d<U+E0041>\t& \"'",
            "- <U+001B>[31mMax",
        ] {
            assert!(plain.contains(escaped), "{escaped} in\n{plain}");
        }
        // Every sequence sent is a colour of ours.
        for sequence in shown.split('\u{1b}').skip(1) {
            let (parameters, _) = sequence.split_once('m').expect("a colour");
            assert!(
                ["[0", "[1", "[7", "[27", "[1;32", "[32"].contains(&parameters),
                "{parameters}"
            );
        }
    }
}

#[test]
fn the_page_escapes_everything() {
    let text = clean("<script>alert(1)</script>\u{202e}", HOSTILE);
    let page = page("\"><script>alert(2)</script>", &text);
    for mail in ["<script", "<img", "\u{1b}", "\u{202e}", "\u{9b}", "\u{2028}"] {
        assert!(!page.contains(mail), "{mail:?}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(page.contains("<span class=\"control\">&lt;U+202E&gt;</span>123"));
}

#[test]
fn the_page_needs_nothing_from_outside() {
    let page = page("a", &fixture("en-gmail-html"));
    for outside in [
        "src=",
        "@import",
        "url(",
        "<link",
        "<script",
        "style=",
        "href=\"http",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("<html lang=\"en\">") && page.contains("<meta charset=\"utf-8\">"));
    assert!(page.contains("http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';"));
}

#[test]
fn a_page_of_several_mails_has_an_index() {
    let mut page = Page::new();
    for case in CASES {
        page.add(case, &fixture(case));
    }
    page.add("empty", &clean("", ""));
    let page = page.finish("four <mails>");
    assert!(page.contains("<h2 id=\"mails\">4 mails</h2>") && page.contains("four &lt;mails&gt;"));
    for number in 1..=4 {
        assert!(page.contains(&format!("href=\"#mail-{number}\"")));
        assert_eq!(page.matches(&format!("id=\"mail-{number}\"")).count(), 1);
    }
    assert!(page.contains("(no subject)") && page.contains("The mail holds no text."));
}

/// The mail's words as a terminal shows them, without marks, rules, head and legend.
fn words_on_terminal(shown: &str) -> String {
    let (_, rest) = shown.split_once("\n\n").expect("a head");
    let (body, _) = rest.rsplit_once("\nkind ").expect("a legend");
    let mut words = String::new();
    for line in body.lines().filter(|line| !line.starts_with(['[', '('])) {
        let line = match line.split_at_checked(2) {
            Some(("~ ", mixed)) => &mixed.replace("[-", "").replace("-]", ""),
            Some((mark, line)) => {
                assert!(["- ", "  "].contains(&mark), "{mark}{line}");
                line
            }
            None => line.trim_start_matches('-'),
        };
        words.push_str(line);
        words.push('\n');
    }
    words
}

/// The mail's words on a page: its text without elements and without the names of rules.
fn words_on_page(page: &str) -> String {
    let (_, rest) = page.split_once(" dir=\"auto\">").expect("a mail");
    let (mail, _) = rest.split_once("<div class=\"wide\"").expect("a table");
    let mut words = String::new();
    for (number, part) in mail.split('<').enumerate() {
        match part.split_once('>') {
            Some((tag, _)) if tag.starts_with("b ") || tag.starts_with("p ") => {}
            Some((_, text)) => words.push_str(text),
            None => assert_eq!(number, 0, "{part}"),
        }
    }
    let words = words.strip_suffix('\n').expect("the line break after the mail");
    words
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

/// Lines that mails are made of, so that random mails meet every rule.
const LINES: &[&str] = &[
    "bitte sperren Sie meine Karte.",
    "",
    "> alt & neu",
    "> > <b>älter</b>",
    ">",
    "--",
    "Am 1.2.2026 um 10:00 schrieb Max <max@example.com>:",
    "-----Weitergeleitete Nachricht-----",
    "Von: Max <max@example.com>",
    "Gesendet: Montag",
    "An: Eva",
    "Betreff: Karte",
    "Mit freundlichen Grüßen",
    "Max Muster",
    "Tel.: 040 1234567",
    "Von meinem iPhone gesendet",
    "Geschäftsführer: Max Muster, Amtsgericht Kiel, HRB 12",
    "  eingerückt 'so'  ",
    "&lt;\u{202e}\u{1b}[2J",
];

proptest! {
    /// Spans tile the body, and both renderings hold each byte of it once, in order.
    #[test]
    fn every_byte_is_shown_once(
        lines in prop::collection::vec(prop::sample::select(LINES), 0..24),
        subject in prop::sample::select(&["", "WG: x"][..]),
    ) {
        let text = clean(subject, &lines.join("\n"));
        let mut end = 0;
        for span in text.spans() {
            prop_assert_eq!(span.range().start, end);
            prop_assert_eq!(&text.body()[span.range()], span.text);
            end = span.range().end;
        }
        prop_assert_eq!(end, text.body().len());

        let shown = text.body().replace('\u{202e}', "<U+202E>").replace('\u{1b}', "<U+001B>");
        let mut body = words_on_terminal(&terminal("a", &text, false));
        // The last line of a body may lack its line break, the terminal's never does.
        if !shown.ends_with('\n') {
            body.pop();
        }
        prop_assert_eq!(body, shown.clone());
        prop_assert_eq!(words_on_page(&page("a", &text)), shown);
    }
}
