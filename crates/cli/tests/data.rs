//! `poststelle data` as a person runs it.
#![allow(clippy::unwrap_used, reason = "a test stops where its own files fail")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Sixty mails of two tasks, each worded differently, every third one sent twice.
fn csv() -> String {
    let wishes = [
        "eine neue Karte",
        "meinen Steuerbescheid",
        "die Umbuchung",
        "eine Vollmacht",
        "den Kontoauszug",
    ];
    let places = [
        "Hamburg", "München", "Köln", "Leipzig", "Bremen", "Ulm", "Kiel", "Trier", "Jena", "Bonn", "Fulda",
        "Celle",
    ];
    let mut text = String::from("id,body,thread,unit,queue\n");
    for (p, place) in places.iter().enumerate() {
        for (w, wish) in wishes.iter().enumerate() {
            let (unit, queue) = if w < 3 {
                ("bank", "card")
            } else {
                ("brokerage", "tax")
            };
            let n = p * wishes.len() + w;
            let body = format!("{place} {wish} {place}er {wish} {place}isch");
            text += &format!("m{n},{body},t{},{unit},{queue}\n", n / 2);
            if n.is_multiple_of(3) {
                text += &format!("n{n},{body}!,,{unit},{queue}\n");
            }
        }
    }
    text
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_poststelle"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn splits_into_files_that_inspect_finds_no_leak_between() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mail.csv"), csv()).unwrap();
    let arguments = [
        "data", "split", "mail.csv", "--out", "parts", "--task", "unit", "--seed", "7",
    ];
    let split = run(folder.path(), &arguments);
    assert_eq!(split.status.code(), Some(0), "{}", text(&split.stderr));
    assert!(text(&split.stdout).contains("what memory alone would reach on test"));
    assert!(text(&split.stderr).contains("wrote parts/test.csv"));
    let part = |name: &str| fs::read_to_string(folder.path().join("parts").join(name)).unwrap();
    let parts = [part("train.csv"), part("validation.csv"), part("test.csv")];
    let mut lines: Vec<&str> = parts.iter().flat_map(|part| part.lines().skip(1)).collect();
    let whole = csv();
    let mut expected: Vec<&str> = whole.lines().skip(1).collect();
    lines.sort_unstable();
    expected.sort_unstable();
    assert_eq!(lines, expected);

    let again = run(folder.path(), &[&arguments[..], &["--json"]].concat());
    assert_eq!(
        parts,
        [part("train.csv"), part("validation.csv"), part("test.csv")]
    );
    let report: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(report["grouped"]["seen_in_train"], 0.0);
    assert!(report["random"]["seen_in_train"].as_f64().unwrap() > 0.3);

    let check = [
        "data",
        "inspect",
        "parts/test.csv",
        "--against",
        "parts/train.csv",
        "parts/validation.csv",
    ];
    let inspect = run(
        folder.path(),
        &[
            &check[..],
            &[
                "--task",
                "unit",
                "--task",
                "queue",
                "--parent",
                "queue=unit",
                "--json",
            ],
        ]
        .concat(),
    );
    let report: serde_json::Value = serde_json::from_slice(&inspect.stdout).unwrap();
    let checks: Vec<_> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["check"].clone())
        .collect();
    assert!(
        !checks.iter().any(|check| check == "leak" || check == "near-leak"),
        "{checks:?}"
    );
    assert_eq!(report["tasks"][1]["task"], "queue");
    assert_eq!(inspect.status.code(), Some(0));
}

#[test]
fn inspect_ends_with_1_on_errors_and_shows_no_mail() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("labels.toml"),
        "version = 1\n[task.queue]\nlabels = ['card', 'tax']\n",
    )
    .unwrap();
    fs::write(
        folder.path().join("a.csv"),
        "id,body,queue\n1,Geheimes Anliegen,crad\n2,Anderes\n",
    )
    .unwrap();
    let inspect = run(
        folder.path(),
        &["data", "inspect", "a.csv", "--schema", "labels.toml"],
    );
    assert_eq!(inspect.status.code(), Some(1));
    let shown = text(&inspect.stdout);
    assert!(
        shown.contains("task `queue` has no label `crad` (1 rows); did you mean `card`?"),
        "{shown}"
    );
    assert!(
        shown.contains("`a.csv` row 2 (line 3): found 2 fields"),
        "{shown}"
    );
    assert!(!shown.contains("Anliegen"));
    assert!(
        text(&inspect.stderr).contains("error: the data has 2 errors"),
        "{}",
        text(&inspect.stderr)
    );
}

#[test]
fn wrong_use_ends_with_2_and_says_what_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), csv()).unwrap();
    fs::write(
        folder.path().join("labels.toml"),
        "version = 1\n[task.queue]\nlabel = ['card']\n",
    )
    .unwrap();
    let cases: [(&[&str], &str); 6] = [
        (
            &["data", "inspect", "a.csv", "--task", "queu"],
            "did you mean `queue`?",
        ),
        (&["data", "inspect", "b.csv"], "cannot open `b.csv`"),
        (
            &["data", "inspect", "a.csv", "--schema", "labels.toml"],
            "`labels.toml`: unknown key `label` in task `queue`; did you mean `labels`?",
        ),
        (
            &["data", "split", "a.csv", "--out", "o", "--test", "1.2"],
            "expected shares from 0, together below 1",
        ),
        (
            &["data", "split", "a.csv", "--out", "o", "--by-date"],
            "has a `received_at`",
        ),
        (
            &["data", "convert", "a.csv", "a.txt"],
            "expected a path ending in .csv",
        ),
    ];
    for (arguments, expected) in cases {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            text(&output.stderr).contains(expected),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn converts_there_and_back_and_from_mails() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), csv()).unwrap();
    for (from, to) in [
        ("a.csv", "b.jsonl.gz"),
        ("b.jsonl.gz", "c.parquet"),
        ("c.parquet", "d.csv"),
    ] {
        let output = run(folder.path(), &["data", "convert", from, to]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    assert_eq!(fs::read_to_string(folder.path().join("d.csv")).unwrap(), csv());

    let mail = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nMessage-ID: <x@example.org>\nContent-Type: text/plain; charset=iso-8859-1\n\nsch\xf6n\n";
    fs::write(folder.path().join("one.eml"), mail).unwrap();
    fs::write(
        folder.path().join("labels.csv"),
        "message_id,queue\nx@example.org,card\n",
    )
    .unwrap();
    let output = run(
        folder.path(),
        &[
            "data",
            "convert",
            "one.eml",
            "e.csv",
            "--labels",
            "labels.csv",
            "--decode",
        ],
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let written = fs::read_to_string(folder.path().join("e.csv")).unwrap();
    assert_eq!(
        written,
        "id,subject,body,received_at,thread,queue\nx@example.org,Grüße,schön\n,,x@example.org,card\n"
            .replace("schön\n", "\"schön\n\"")
    );
}
