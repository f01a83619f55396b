//! What a person should be left with, case by case, and the laws that hold for every mail.

use poststelle_mail::{Cleaner, Message, Profile, mbox};
use proptest::prelude::*;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Cases that must be found; a test that finds none would pass.
const LEAST: usize = 150;

/// One folder of `fixtures/mail`.
///
/// `raw.eml` is the mail, byte for byte. `request.txt` is the text the default profile leaves, and
/// `author.txt` the author profile's where that is another; both end with a line feed that the text
/// has not. `subject.txt`, where there is one, is the subject without prefixes and tags.
struct Case {
    name: String,
    raw: Vec<u8>,
    request: String,
    author: Option<String>,
    subject: Option<String>,
}

impl Case {
    fn all() -> Vec<Self> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/mail");
        let mut cases: Vec<Self> = fs::read_dir(folder)
            .expect("the fixtures")
            .map(|entry| Self::read(&entry.expect("a folder").path()))
            .collect();
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        assert!(cases.len() >= LEAST, "{} cases found", cases.len());
        cases
    }

    fn read(folder: &Path) -> Self {
        let text = |name| fs::read_to_string(folder.join(name));
        Self {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into(),
            raw: fs::read(folder.join("raw.eml")).expect("every case has a raw.eml"),
            request: text("request.txt").expect("every case has a request.txt"),
            author: text("author.txt").ok(),
            subject: text("subject.txt").ok(),
        }
    }

    /// What is wrong with what is left of `raw`, as text to read; empty when all is right.
    fn wrong(&self, raw: &[u8]) -> String {
        let message = Message::parse(raw);
        let request = Cleaner::default().clean(&message);
        let author = Cleaner::new(Profile::Author).clean(&message);
        let mut shown = String::new();
        let mut compare = |what: &str, expected: &str, found: &str| {
            if expected != format!("{found}\n") {
                shown.push_str(&format!(
                    "\n{} ({what})\n{}",
                    self.name,
                    difference(expected, found)
                ));
            }
        };
        compare("request", &self.request, request.text());
        compare(
            "author",
            self.author.as_ref().unwrap_or(&self.request),
            author.text(),
        );
        if let Some(subject) = &self.subject {
            compare("subject", subject, request.subject());
        }
        if !shown.is_empty() {
            for cut in request.cuts() {
                let words = request.body()[cut.start..cut.end].split_whitespace().next();
                let words = words.unwrap_or_default();
                writeln!(shown, "  cut: {:?} by {}, from {words:?}", cut.kind, cut.rule).expect("a string");
            }
        }
        shown
    }
}

/// The lines in which two texts differ, with a line before and after.
fn difference(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let same = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| pairs.take_while(|(a, b)| a == b).count();
    let top = same(&mut expected.iter().zip(&found));
    let bottom = same(&mut expected[top..].iter().rev().zip(found[top..].iter().rev()));
    let mut shown = String::new();
    let mut show = |mark: &str, lines: &[&str]| {
        for line in lines {
            writeln!(shown, "  {mark} {line}").expect("a string");
        }
    };
    show(" ", &expected[top.saturating_sub(1)..top]);
    show("missing:", &expected[top..expected.len() - bottom]);
    show("too much:", &found[top..found.len() - bottom]);
    show(
        " ",
        &expected[expected.len() - bottom..(expected.len() - bottom + 1).min(expected.len())],
    );
    shown
}

/// Each case in `fixtures/mail` is a raw mail and the text a person should be left with.
#[test]
fn leaves_the_text_each_case_promises() {
    let cases = Case::all();
    let wrong: Vec<String> = cases.iter().map(|case| case.wrong(&case.raw)).collect();
    report(&wrong);
}

/// The same mails with their line ends switched say the same.
#[test]
fn line_ends_change_nothing() {
    let cases = Case::all();
    let wrong: Vec<String> = cases
        .iter()
        .map(|case| case.wrong(&switched(&case.raw)))
        .collect();
    report(&wrong);
}

/// What a person should be left with is clean: no profile takes more from it.
#[test]
fn a_promised_text_is_clean() {
    let cases = Case::all();
    let wrong: Vec<String> = cases
        .iter()
        .map(|case| {
            let text = case.request.trim_end_matches('\n');
            let again = Cleaner::default().clean(&Message::plain("", text));
            if again.text() == text {
                return String::new();
            }
            format!("\n{}\n{}", case.name, difference(text, again.text()))
        })
        .collect();
    report(&wrong);
}

/// CR LF for LF, or LF for CR LF.
fn switched(raw: &[u8]) -> Vec<u8> {
    let end: &[u8] = if raw.windows(2).any(|pair| pair == b"\r\n") {
        b"\n"
    } else {
        b"\r\n"
    };
    let lines: Vec<&[u8]> = raw
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .collect();
    lines.join(end)
}

fn report(wrong: &[String]) {
    let count = wrong.iter().filter(|text| !text.is_empty()).count();
    assert!(count == 0, "{count} of {} cases\n{}", wrong.len(), wrong.concat());
}

/// Lines that mails are made of, so that random mails meet every rule.
const LINES: &[&str] = &[
    "Guten Tag,",
    "bitte sperren Sie meine Karte.",
    "",
    "",
    "> alt",
    "> > älter",
    ">",
    "-- ",
    "--",
    "________________________________",
    "Am 1.2.2026 um 10:00 schrieb Max <max@example.com>:",
    "On Mon, Mar 2, 2026 at 5:01 PM, Max <max@example.com>",
    "wrote:",
    "-----Ursprüngliche Nachricht-----",
    "---------- Forwarded message ---------",
    "Von: Max <max@example.com>",
    "Gesendet: Montag",
    "An: Eva",
    "Betreff: Karte",
    "Mit freundlichen Grüßen",
    "Max Muster",
    "Muster GmbH",
    "Tel.: 040 1234567",
    "Von meinem iPhone gesendet",
    "Diese E-Mail enthält vertrauliche Informationen, nicht der richtige Adressat, vernichten Sie diese",
    "Geschäftsführer: Max Muster, Amtsgericht Kiel, HRB 12",
    "PS: noch etwas",
    "\u{a0}\u{200b}",
    "🙂 ok",
];

fn arb_body() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(LINES), 0..24).prop_map(|lines| lines.join("\n"))
}

fn arb_html() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(
        &[
            "<p>",
            "</p>",
            "<div>",
            "</div>",
            "<br>",
            "<blockquote type=cite>",
            "</blockquote>",
            "<blockquote>",
            "<div class=gmail_attr>",
            "<div id=divRplyFwdMsg>",
            "<td>",
            "<style>x</style>",
            "<!--",
            "-->",
            "Hallo",
            "schrieb:",
            "&uuml;",
            "<div class=gmail_signature>",
            "<",
            "ä",
            "\n",
            "<p hidden>",
            "<pre>",
            "</pre>",
        ][..],
    );
    prop::collection::vec(pieces, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// Cleaning only removes: kept and cut spans tile the body, in order, once.
    #[test]
    fn every_byte_is_kept_or_cut_once(body in arb_body(), subject in prop::sample::select(&["", "AW: x", "WG: x"][..])) {
        let message = Message::plain(subject, &body);
        for profile in [Profile::Request, Profile::Author, Profile::Decode] {
            let text = Cleaner::new(profile).clean(&message);
            prop_assert_eq!(text.rebuild(), text.body());
            prop_assert_eq!(text.body(), body.as_str());
            prop_assert!(text.cuts().windows(2).all(|pair| pair[0].end <= pair[1].start));
        }
    }

    /// A cleaned text is clean: cleaning it again leaves it as it is.
    #[test]
    fn cleaning_is_idempotent(body in arb_body(), subject in prop::sample::select(&["", "AW: x", "WG: x"][..])) {
        for profile in [Profile::Request, Profile::Author] {
            let once = Cleaner::new(profile).clean(&Message::plain(subject, &body));
            let twice = Cleaner::new(profile).clean(&Message::plain("", once.text()));
            prop_assert_eq!(twice.text(), once.text());
        }
    }

    /// A mail with words never cleans to nothing.
    #[test]
    fn words_never_clean_to_nothing(body in arb_body()) {
        let text = Cleaner::default().clean(&Message::plain("", &body));
        prop_assert_eq!(text.text().contains(char::is_alphanumeric), body.contains(char::is_alphanumeric));
    }

    /// The same holds for HTML, whatever its tags.
    #[test]
    fn html_is_accounted_for_too(html in arb_html()) {
        let message = Message::html("", &html);
        for profile in [Profile::Request, Profile::Author] {
            let text = Cleaner::new(profile).clean(&message);
            prop_assert_eq!(text.rebuild(), text.body());
        }
    }

    /// Any bytes are a mail, if a poor one.
    #[test]
    fn any_bytes_are_read(head in "(Content-Type: (text/html|multipart/mixed; boundary=b|text/plain; charset=[a-z0-9-]{1,12})\r?\n)?(Content-Transfer-Encoding: (base64|quoted-printable)\n)?\n?", body in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut raw = head.into_bytes();
        raw.extend(body);
        let text = Cleaner::default().clean(&Message::parse(&raw));
        prop_assert_eq!(text.rebuild(), text.body());
        for message in mbox::messages(raw.as_slice()) {
            prop_assert!(message.is_ok());
        }
    }
}

/// Hostile mails of a megabyte are read to the end; a rule that looked back over all of it would not return.
#[test]
fn large_hostile_mails_are_read_to_the_end() {
    let bodies = [
        ">".repeat(1 << 20),
        "> \n".repeat(1 << 18),
        "Von: a@example.com\n".repeat(1 << 15),
        "Am 1.1.2026 schrieb\n".repeat(1 << 15),
        "schrieb:\n".repeat(1 << 16),
        "-----Ursprüngliche Nachricht-----\n".repeat(1 << 14),
        "Viele Grüße\n\nMax\n\nEin Satz, der danach noch kommt und bleiben soll.\n\n".repeat(1 << 13),
        "Viele Grüße\n".repeat(1 << 15),
        "An: \n".repeat(1 << 16),
        "x\nGesendet von meinem iPhone\n\n".repeat(1 << 14),
        "Gesendet von meinem iPhone\n\nx\n\n".repeat(1 << 14),
        "--\nTel. 040 123456\n".repeat(1 << 15),
        "a ".repeat(1 << 19),
    ];
    for body in bodies {
        let text = Cleaner::default().clean(&Message::plain("", &body));
        assert_eq!(text.rebuild(), text.body());
    }
    for html in [
        "<div>",
        "<blockquote>",
        "<p>x",
        "<table><tr><td>x",
        "<b><i>",
        "<!-",
        "&amp",
        "</p>",
    ] {
        let text = Cleaner::default().clean(&Message::html("", html.repeat(1 << 16)));
        assert_eq!(text.rebuild(), text.body());
    }
    for part in [
        "Content-Type: message/rfc822\n\n",
        "--b\nContent-Type: multipart/mixed; boundary=b\n\n",
        "--b\n",
        "=?utf-8?q?x?= ",
    ] {
        let raw = format!("Subject: x\n{}", part.repeat(1 << 16));
        let text = Cleaner::default().clean(&Message::parse(raw.as_bytes()));
        assert_eq!(text.rebuild(), text.body());
    }
}
