//! `poststelle clean`, run as a person runs it.

use serde_json::Value;
use std::io::Write;
use std::process::{Command, Output, Stdio};

fn clean(arguments: &[&str], input: &str) -> Output {
    clean_with(&[], arguments, input)
}

/// Runs `clean` with these variables and no other that speaks of colour.
fn clean_with(variables: &[(&str, &str)], arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_poststelle"))
        .arg("clean")
        .args(arguments)
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let written = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    match written {
        // A command that refuses its options ends without reading.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        written => written.expect("the binary reads"),
    }
    child.wait_with_output().expect("the binary ends")
}

fn rows(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect()
}

#[test]
fn cleans_json_lines_and_tells_bad_ones() {
    let input = concat!(
        r#"{"id":"a","subject":"AW: Karte","body":"Bitte sperren.\n\nViele Grüße\nMax","other":1}"#,
        "\n{\n",
        r#"{"id":7,"raw":"PHA+QmVzdGVuIERhbms8L3A+","raw_encoding":"base64","content_type":"text/html"}"#,
        "\n",
        r#"{"id":"c"}"#,
        "\n",
    );
    let output = clean(&["--from", "jsonl"], input);
    assert_eq!(output.status.code(), Some(2));
    let rows = rows(&output);
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (&rows[0]["id"], &rows[0]["text"], &rows[0]["subject"]),
        (&"a".into(), &"Bitte sperren.".into(), &"Karte".into())
    );
    assert_eq!(rows[0]["removed"][0]["kind"], "signature");
    assert_eq!(
        (&rows[1]["id"], &rows[1]["text"]),
        (&7.into(), &"Besten Dank".into())
    );
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(
        talk.contains("standard input:2:") && talk.contains("standard input:4:"),
        "{talk}"
    );
    assert!(!talk.contains("sperren"), "{talk}");
}

#[test]
fn reads_a_mailbox_by_its_extension() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("export.mbox");
    let mailbox = "From a@example.com Mon\nMessage-ID: <1@example.com>\nSubject: Eins\n\nHallo\n>From hier\n\n\
        From b@example.com Tue\nMessage-ID: <2@example.com>\nSubject: Zwei\n\nNeu\n\n> alt\n> alt\n";
    std::fs::write(&path, mailbox).expect("a file");
    let output = clean(&[path.to_str().expect("a path")], "");
    assert_eq!(output.status.code(), Some(0));
    let texts: Vec<(Value, Value)> = rows(&output)
        .iter()
        .map(|row| (row["id"].clone(), row["text"].clone()))
        .collect();
    assert_eq!(
        texts,
        [
            ("1@example.com".into(), "Hallo\nFrom hier".into()),
            ("2@example.com".into(), "Neu".into())
        ]
    );
}

#[test]
fn profiles_keep_more_or_less() {
    let mail = "Subject: WG: Konto\n\nZur Info.\n\n-----Weitergeleitete Nachricht-----\nVon: Eva <eva@example.com>\n\
        Gesendet: Montag\nAn: Max\nBetreff: Konto\n\nMein Konto ist gesperrt.\n";
    let text = |profile: &str| {
        let output = clean(&["--from", "eml", "--to", "text", "--profile", profile], mail);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(text("request"), "Zur Info.\n\nMein Konto ist gesperrt.");
    assert_eq!(text("author"), "Zur Info.");
    assert!(text("decode").contains("Betreff: Konto"));
}

#[test]
fn masks_personal_details_when_asked() {
    let input = r#"{"id":"a","subject":"Depot von max@example.com","body":"Hallo Eva,\nbitte auf DE89 3704 0044 0532 0130 00 überweisen."}"#;
    let plain = rows(&clean(&["--from", "jsonl"], input));
    assert!(plain[0].get("masked").is_none());
    let masked = rows(&clean(&["--from", "jsonl", "--redact"], input));
    assert_eq!(masked[0]["subject"], "Depot von [EMAIL]");
    assert_eq!(masked[0]["text"], "Hallo [NAME],\nbitte auf [IBAN] überweisen.");
    assert_eq!(
        masked[0]["masked"],
        serde_json::json!({"iban": 1, "email": 1, "name": 1})
    );
    let text = clean(&["--from", "text", "--redact"], "Tel. 040 123456");
    assert_eq!(String::from_utf8_lossy(&text.stdout), "Tel. [PHONE]\n");
}

#[test]
fn a_missing_file_is_misuse() {
    let output = clean(&["no-such-file.eml"], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-such-file.eml"));
}

const TWO_MAILS: &str = concat!(
    r#"{"id":"a","subject":"AW: Karte","body":"Bitte sperren.\n\nViele Grüße\nMax"}"#,
    "\n",
    r#"{"id":7,"subject":"\u001b[2J","body":"<script>alert(1)</script>\u001b[31m\n\n> alt\n> alt"}"#,
    "\n",
);

#[test]
fn explains_on_the_terminal_without_colour_where_none_is_wanted() {
    for arguments in [
        &["--from", "jsonl", "--explain"][..],
        &["--from", "jsonl", "--explain=terminal", "--profile", "author"],
    ] {
        let output = clean(arguments, TWO_MAILS);
        assert_eq!(output.status.code(), Some(0));
        let shown = String::from_utf8_lossy(&output.stdout);
        for part in [
            "mail      a\nsubject   Karte\n",
            "  Bitte sperren.\n\n[signature: closing]\n- Viele Grüße\n- Max\n",
            "mail      7\nsubject   <U+001B>[2J\n",
            "  <script>alert(1)</script><U+001B>[31m\n\n[quoted: marked]\n- > alt\n- > alt\n",
        ] {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
        assert!(!shown.contains('\u{1b}'), "a pipe is sent no escape sequence");
    }
}

#[test]
fn the_environment_decides_on_colour() {
    let coloured = |variables: &[(&str, &str)]| {
        let output = clean_with(variables, &["--explain"], "Bitte sperren.\n-- \nMax\n");
        String::from_utf8_lossy(&output.stdout).contains("\u{1b}[32mMax\u{1b}[0m")
    };
    assert!(!coloured(&[]));
    assert!(coloured(&[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
}

#[test]
fn explains_mails_of_any_input_as_one_page() {
    let output = clean(&["--from", "jsonl", "--explain=html"], TWO_MAILS);
    assert_eq!(output.status.code(), Some(0));
    let page = String::from_utf8_lossy(&output.stdout);
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert!(page.contains("standard input, profile request"));
    assert!(page.contains("<del class=\"signature\">") && page.contains("<del class=\"quoted\">"));
    assert!(!page.contains("<script") && !page.contains('\u{1b}'));

    let directory = tempfile::tempdir().expect("a directory");
    let (first, second) = (directory.path().join("a.eml"), directory.path().join("b.mbox"));
    std::fs::write(&first, "Subject: Eins\n\nHallo\n").expect("a file");
    std::fs::write(
        &second,
        "From a@example.com Mon\nSubject: Zwei\n\nHallo\n\nFrom a@example.com Tue\nSubject: Drei\n\nNeu\n",
    )
    .expect("a file");
    let files = [&first, &second].map(|path| path.to_str().expect("a path"));
    let output = clean(&["--explain=html", files[0], files[1]], "");
    let page = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        (
            page.matches("<!doctype").count(),
            page.matches("<article").count()
        ),
        (1, 3)
    );
    assert!(page.contains("2 files, profile request"));
}

#[test]
fn explaining_and_writing_are_two_things() {
    let output = clean(&["--explain", "--to", "jsonl"], "Hallo");
    assert_eq!(output.status.code(), Some(2));
    // Without `=` the word is a file.
    let output = clean(&["--explain", "html"], "");
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot read `html`"));
}
