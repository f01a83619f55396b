//! What readers accept, what they refuse and how, and that every format gives back what it was given.
#![allow(clippy::unwrap_used, reason = "a test stops where its own files fail")]

use flate2::write::GzEncoder;
use poststelle_corpus::{Content, Origin, ReadError, Record, read, write};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// A file of this name and content in a directory of its own.
fn file(name: &str, content: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    (folder, path)
}

fn records(name: &str, content: &[u8]) -> Vec<Record> {
    let (_folder, path) = file(name, content);
    read::all(path).unwrap()
}

/// The error, with the directory cut away.
fn refused(name: &str, content: &[u8]) -> String {
    let (folder, path) = file(name, content);
    let error = read::all(path).expect_err("refused");
    error
        .to_string()
        .replace(&format!("{}/", folder.path().display()), "")
}

fn body(record: &Record) -> (&str, &str) {
    match &record.content {
        Content::Body { subject, body } => (subject, body),
        Content::Raw(_) => panic!("a body"),
    }
}

#[test]
fn csv_with_mark_line_ends_and_breaks_inside_fields() {
    let text = "\u{feff}id,subject,body,broker,received_at,thread,language,group,queue\r\n\
                m1,Depot,\"Zeile 1\r\nZeile \"\"2\"\"\",Nord,2026-11-23T09:30:00+01:00,t1,de,g1, tax \r\n\
                m2,,kurz,,,,,,\r\n";
    let read = records("mail.csv", text.as_bytes());
    assert_eq!(read.len(), 2);
    assert_eq!(body(&read[0]), ("Depot", "Zeile 1\r\nZeile \"2\""));
    assert_eq!(read[0].broker.as_deref(), Some("Nord"));
    assert_eq!(read[0].received_at.unwrap().to_string(), "2026-11-23T08:30:00Z");
    assert_eq!(
        (read[0].thread.as_deref(), read[0].group.as_deref()),
        (Some("t1"), Some("g1"))
    );
    assert_eq!(read[0].label("queue"), Some("tax"));
    assert_eq!(read[1].label("queue"), None);
    assert_eq!(
        (read[1].broker.as_deref(), read[1].received_at, read[1].origin.row),
        (None, None, 2)
    );
}

#[test]
fn csv_as_german_spreadsheets_write_it() {
    let read = records("mail.csv", "id;body;queue\n1;a, b;x\n".as_bytes());
    assert_eq!((body(&read[0]).1, read[0].label("queue")), ("a, b", Some("x")));
    let read = records("mail.tsv", "id\tbody\n1\ta, b; c\n".as_bytes());
    assert_eq!(body(&read[0]).1, "a, b; c");
}

#[test]
fn gzip_is_read_in_all_its_members() {
    let mut content = Vec::new();
    for part in [
        "{\"id\": 1, \"body\": \"a\"}\n",
        "{\"id\": 2, \"body\": \"b\", \"urgent\": true, \"queue\": null}\n",
    ] {
        let mut gzip = GzEncoder::new(&mut content, flate2::Compression::fast());
        gzip.write_all(part.as_bytes()).unwrap();
        gzip.finish().unwrap();
    }
    let read = records("mail.jsonl.gz", &content);
    assert_eq!(
        read.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(),
        ["1", "2"]
    );
    assert_eq!(
        (read[1].label("urgent"), read[1].label("queue")),
        (Some("true"), None)
    );

    let torn = &content[..content.len() - 12];
    let (_folder, path) = file("mail.jsonl.gz", torn);
    let results: Vec<_> = read::open(path).unwrap().collect();
    assert!(matches!(results.last(), Some(Err(error @ ReadError::Broken { .. })) if error.is_fatal()));
}

#[test]
fn refusals_name_file_row_field_found_and_expected() {
    let cases: [(&str, &[u8], &str); 17] = [
        (
            "a.csv",
            b"body\nx\n",
            "`a.csv` has the columns `body`, expected a column `id`",
        ),
        ("a.csv", b"", "`a.csv` has no header, expected a column `id`"),
        (
            "a.csv",
            b"id,queue\n1,x\n",
            "`a.csv` has the columns `id`, `queue`, expected a column `body`, `subject` or `raw`",
        ),
        (
            "a.csv",
            b"id,body,body\n",
            "`a.csv` has the column `body` twice, expected every column once",
        ),
        (
            "a.csv",
            b"id,body,queue\n1,\"x\ny\",a\n2,y\n",
            "`a.csv` row 2 (line 4): found 2 fields, the last in column `body`, expected 3, one per column; is a quote missing?",
        ),
        (
            "a.csv",
            b"id,body\n1,x,y\n",
            "`a.csv` row 1 (line 2): found 3 fields, expected 2, one per column; is a quote missing?",
        ),
        (
            "a.csv",
            b"id,body\n1,gr\xfc\xdfe\n",
            "`a.csv` row 1 (line 2), field `body`: found bytes that are not UTF-8, expected UTF-8 text",
        ),
        (
            "a.csv",
            b"id,b\xf6dy\n",
            "`a.csv` has a header with bytes that are not UTF-8, expected UTF-8; save it as UTF-8",
        ),
        (
            "a.csv",
            b"\xff\xfei\0d\0",
            "`a.csv` has UTF-16 text, expected UTF-8; save it as UTF-8",
        ),
        (
            "a.csv",
            b"id,body\n ,x\n",
            "`a.csv` row 1 (line 2), field `id`: found nothing, expected a name for the row",
        ),
        (
            "a.csv",
            b"id,body,received_at\n1,x,23.11.2026\n",
            "`a.csv` row 1 (line 2), field `received_at`: found `23.11.2026`, expected an RFC 3339 time such as 2026-11-23T09:30:00+01:00",
        ),
        (
            "a.csv",
            b"id,body,received_at\n1,x,geheim\n",
            "`a.csv` row 1 (line 2), field `received_at`: found a text of 6 characters, expected an RFC 3339 time such as 2026-11-23T09:30:00+01:00",
        ),
        (
            "a.jsonl",
            b"\n{\"id\": 1, \"body\": \"x\"}\n{\"id\": \n",
            "`a.jsonl` row 2 (line 3): found no JSON at column 0, expected a JSON object",
        ),
        (
            "a.jsonl",
            b"[1]",
            "`a.jsonl` row 1 (line 1): found a list, expected a JSON object",
        ),
        (
            "a.jsonl",
            b"{\"id\": 1}",
            "`a.jsonl` row 1 (line 1): found no text, expected a key `body`, `subject` or `raw`",
        ),
        (
            "a.jsonl",
            b"{\"id\": 1, \"body\": {}}",
            "`a.jsonl` row 1 (line 1), field `body`: found an object, expected a string, a number or null",
        ),
        (
            "a.jsonl",
            b"{\"id\": 1, \"raw\": \"!\", \"raw_encoding\": \"base64\"}",
            "`a.jsonl` row 1 (line 1), field `raw`: found text that is not base64, expected base64",
        ),
    ];
    for (name, content, expected) in cases {
        assert_eq!(refused(name, content), expected);
    }
    assert!(refused("a.xlsx", b"").contains("has an unknown ending, expected a path ending in .csv"));
    assert!(refused("a.parquet", b"no footer").starts_with("cannot read `a.parquet`"));
    assert!(
        read::all("missing.csv")
            .unwrap_err()
            .to_string()
            .starts_with("cannot open `missing.csv`")
    );
}

#[test]
fn reading_goes_on_after_a_bad_row_when_asked() {
    let (_folder, path) = file("a.csv", b"id,body\n1,x\n2\n3,\xff\n4,y\n");
    let read = read::lenient(&path, &read::Options::default()).unwrap();
    assert_eq!(
        read.records
            .iter()
            .map(|record| record.id.as_str())
            .collect::<Vec<_>>(),
        ["1", "4"]
    );
    assert_eq!(read.records[1].origin.row, 4);
    assert_eq!(read.errors.len(), 2);
    assert_eq!(read.columns, ["id", "body"]);
}

const FIRST: &str = "From: a@example.org\nSubject: Depot\nMessage-ID: <one@example.org>\nDate: Mon, 23 Nov 2026 09:30:00 +0100\n\nHallo\n";
const SECOND: &str = "From: b@example.org\nSubject: Re: Depot\nMessage-ID: <two@example.org>\nReferences: <one@example.org>\n\nDanke\n";

#[test]
fn mail_exports_take_their_labels_from_beside() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("mails/deep")).unwrap();
    fs::write(at("mails/b.eml"), SECOND).unwrap();
    fs::write(at("mails/deep/a.eml"), FIRST).unwrap();
    fs::write(at("mails/c.EML"), "kein Kopf").unwrap();
    fs::write(at("mails/note.txt"), "no mail").unwrap();
    fs::write(
        at("mails.mbox"),
        format!("From x\n{FIRST}\nFrom y\n{SECOND}\nFrom z\nSubject: leer\n\nx\n"),
    )
    .unwrap();
    fs::write(
        at("labels.csv"),
        "message_id,queue,broker\n<one@example.org>,tax,Nord\ntwo@example.org,card,\n",
    )
    .unwrap();
    let options = read::Options {
        labels: Some(at("labels.csv")),
    };
    for source in ["mails", "mails.mbox"] {
        let mut reader = read::open_with(at(source), &options).unwrap();
        let mut read: Vec<Record> = reader.by_ref().collect::<Result<_, _>>().unwrap();
        read.sort_by(|a, b| b.label("queue").cmp(&a.label("queue")));
        assert_eq!(read.len(), 3, "{source}");
        assert_eq!(
            (read[0].id.as_str(), read[0].label("queue")),
            ("one@example.org", Some("tax"))
        );
        assert_eq!(read[0].broker.as_deref(), Some("Nord"));
        assert_eq!(read[0].received_at.unwrap().to_string(), "2026-11-23T08:30:00Z");
        assert_eq!(read[0].content, Content::Raw(FIRST.as_bytes().to_vec()));
        assert_eq!(read[0].thread, read[1].thread);
        assert_eq!(read[1].label("queue"), Some("card"));
        assert_eq!(read[2].id, if source == "mails" { "c" } else { "mails-3" });
        assert!(
            reader.columns().contains(&"queue".to_owned()) && reader.columns().contains(&"broker".to_owned())
        );
        let copy = at("copy.jsonl");
        write::write(&copy, &reader.columns(), &read).unwrap();
        assert_eq!(strip(read::all(&copy).unwrap()), strip(read));
    }
    fs::create_dir(at("none")).unwrap();
    let error = read::open(at("none")).err().unwrap().to_string();
    assert!(
        error.ends_with("has no .eml file, expected at least one"),
        "{error}"
    );
    let error = read::open_with(at("labels.csv"), &options)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("expected an mbox or .eml files"), "{error}");
}

/// Records without where they were read.
fn strip(mut records: Vec<Record>) -> Vec<Record> {
    records.iter_mut().for_each(|record| {
        record.origin = Origin {
            file: Arc::from(Path::new("")),
            row: 0,
        }
    });
    records
}

#[test]
fn a_value_without_a_column_is_not_lost_quietly() {
    let read = records("a.csv", b"id,body,queue\n1,x,tax\n");
    let folder = tempfile::tempdir().unwrap();
    let error = write::write(&folder.path().join("b.csv"), &["id".into(), "body".into()], &read).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("the row `1` has a value for `queue`, which is not among the columns")
    );
    let error = write::write(&folder.path().join("b.mbox"), &[], &read).unwrap_err();
    assert!(error.to_string().contains("expected a path ending in .csv"));
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~\u{e4}\u{df}\n\r\t\"',;]{0,30}", "\\PC{0,10}"]
}

fn name() -> impl Strategy<Value = Option<String>> {
    prop::option::of("[a-z\"',;\u{e4}]{1,8}")
}

prop_compose! {
    fn record()(
        id in "[a-z0-9\"\u{fc}]{1,8}", subject in text(), body in text(), raw in prop::option::of(prop::collection::vec(any::<u8>(), 1..40)),
        names in [name(), name(), name(), name()], seconds in prop::option::of(0i64..4_000_000_000), queue in name(), unit in name(),
    ) -> Record {
        let [broker, thread, language, group] = names;
        let labels = [("queue", queue), ("unit", unit)].into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?)));
        Record {
            id, broker, thread, language, group,
            content: raw.map_or(Content::Body { subject, body }, Content::Raw),
            received_at: seconds.map(|s| jiff::Timestamp::from_second(s).unwrap()),
            labels: labels.collect::<BTreeMap<_, _>>(),
            origin: Origin { file: Arc::from(Path::new("")), row: 0 },
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is written is read again, in every format, to the byte.
    #[test]
    fn every_format_gives_back_what_it_was_given(records in prop::collection::vec(record(), 1..6)) {
        let folder = tempfile::tempdir().unwrap();
        let columns: Vec<String> = read::KNOWN.iter().copied().chain(["unit", "queue"]).map(String::from).collect();
        for name in ["a.csv", "a.csv.gz", "a.tsv", "a.jsonl", "a.jsonl.gz", "a.parquet"] {
            let path = folder.path().join(name);
            write::write(&path, &columns, &records).unwrap();
            let read = read::all(&path);
            prop_assert_eq!(read.map(strip).map_err(|error| error.to_string()), Ok(records.clone()), "{}", name);
        }
    }
}
