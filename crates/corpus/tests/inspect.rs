//! What an inspection finds, and what a dataset makes of the same rows.
#![allow(clippy::unwrap_used, reason = "a test stops where its own files fail")]

use poststelle_corpus::inspect::{Check, Expected, Part, Report, Severity, inspect};
use poststelle_corpus::{BuildError, Dataset, Problem, Record, clean_texts, infer_schema, read};
use poststelle_labels::{ClassIndex, Schema, TaskName};
use poststelle_mail::{Cleaner, Profile};

const SCHEMA: &str = "version = 1
[task.unit]
labels = ['bank', 'brokerage']
[task.queue]
parent = 'unit'
labels = [{ name = 'card', parent = 'bank' }, { name = 'tax', parent = 'brokerage' }, { name = 'estate', parent = 'bank' }]
";

const DATA: &str = "id,body,unit,queue
1,Meine Karte wurde gestern am Automaten in Hamburg eingezogen und ich brauche bitte Ersatz,bank,card
2,Bitte senden Sie mir die Steuerbescheinigung für mein Depot aus dem letzten Jahr zu,brokerage,tax
3,bitte senden sie mir die Steuerbescheinigung für mein  Depot aus dem letzten Jahr zu,bank,
4,Bitte senden Sie mir schnell die Steuerbescheinigung für mein Depot aus dem letzten Jahr zu,brokerage,tax
5,,bank,card
6,Ich möchte meinen Freistellungsauftrag von achthundert auf tausend Euro erhöhen lassen,brokerage,crad
7,Der Erbschein meiner verstorbenen Tante liegt diesem Schreiben als beglaubigte Kopie bei,bank,tax
7,Wie lautet die Adresse Ihrer Filiale in München und wann haben Sie geöffnet,,
";

const OTHER: &str = "id,body,unit,queue
o1,Meine Karte wurde gestern am Automaten in Hamburg eingezogen und ich brauche bitte Ersatz,bank,card
o2,Der Erbschein meiner verstorbenen Tante liegt diesem Schreiben als beglaubigte Kopie bei Gruß,bank,card
";

fn records(content: &str) -> Vec<Record> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, content).unwrap();
    read::all(path).unwrap()
}

fn columns() -> Vec<(TaskName, String)> {
    ["unit", "queue"]
        .map(|name| (TaskName::new(name), name.to_owned()))
        .to_vec()
}

fn texts(records: &[Record]) -> Vec<String> {
    clean_texts(records, &Cleaner::new(Profile::Request))
        .iter()
        .map(|text| text.model_text(None))
        .collect()
}

fn report() -> Report {
    let (data, other) = (records(DATA), records(OTHER));
    let (data_texts, other_texts) = (texts(&data), texts(&other));
    let schema = Schema::from_toml(SCHEMA).unwrap();
    let part = |records, texts| Part {
        records,
        texts,
        unreadable: &[],
    };
    let expected = Expected {
        schema: &schema,
        columns: &columns(),
        rare_below: 2,
    };
    inspect(
        part(&data, &data_texts),
        &[part(&other, &other_texts)],
        Some(expected),
    )
}

#[test]
fn finds_each_kind_of_fault_by_id() {
    let report = report();
    let found = |check: Check| {
        let of: Vec<_> = report
            .findings
            .iter()
            .filter(|finding| finding.check == check)
            .collect();
        of.iter()
            .flat_map(|finding| &finding.ids)
            .map(String::as_str)
            .collect::<Vec<_>>()
    };
    assert_eq!(found(Check::IdTwice), ["7"]);
    assert_eq!(found(Check::EmptyText), ["5"]);
    assert_eq!(found(Check::UnknownLabel), ["6"]);
    assert_eq!(found(Check::Contradiction), ["7"]);
    assert_eq!(found(Check::Leak), ["1"]);
    assert_eq!(found(Check::NearLeak), ["7"]);
    assert_eq!(found(Check::Duplicate), ["3"]);
    assert_eq!(found(Check::NearDuplicate), ["4"]);
    assert_eq!(found(Check::Conflict), ["2", "3"]);
    let about = |check: Check| {
        report
            .findings
            .iter()
            .find(|finding| finding.check == check)
            .unwrap()
    };
    assert_eq!(about(Check::UnseenLabel).labels, ["estate"]);
    assert!(
        about(Check::UnknownLabel)
            .message
            .ends_with("has no label `crad` (1 rows); did you mean `card`?")
    );
    assert!(report.has_errors());
    assert!(report.findings.is_sorted_by_key(|finding| finding.severity));
    assert_eq!(report.tasks[1].unlabelled, 2);
    assert_eq!(
        (
            report.tasks[1].labels[0].label.as_str(),
            report.tasks[1].labels[0].rows
        ),
        ("tax", 3)
    );
}

#[test]
fn a_report_holds_no_mail_text() {
    let json = serde_json::to_string(&report()).unwrap();
    for word in ["Karte", "Steuerbescheinigung", "Hamburg", "Tante"] {
        assert!(!json.contains(word), "{word}");
    }
}

#[test]
fn clean_data_has_no_errors() {
    let data = records("id,body,unit\n1,Karte weg,bank\n2,Depot eröffnen,brokerage\n");
    let texts = texts(&data);
    let report = inspect(
        Part {
            records: &data,
            texts: &texts,
            unreadable: &[],
        },
        &[],
        None,
    );
    assert!(report.findings.is_empty(), "{report:?}");
    assert_eq!((report.rows, report.lengths.longest), (2, 14));
    assert!(
        !report
            .findings
            .iter()
            .any(|finding| finding.severity == Severity::Error)
    );
}

#[test]
fn a_schema_is_read_off_the_data() {
    let schema = infer_schema(
        &records(DATA),
        &columns(),
        &[(TaskName::new("queue"), TaskName::new("unit"))],
    )
    .unwrap();
    let queue = schema.task(&TaskName::new("queue")).unwrap();
    let labels: Vec<_> = queue
        .labels()
        .iter()
        .map(|label| (label.name.as_str(), label.parent.as_deref().unwrap()))
        .collect();
    assert_eq!(
        labels,
        [("card", "bank"), ("crad", "brokerage"), ("tax", "brokerage")]
    );
    let error = infer_schema(
        &records(DATA),
        &columns(),
        &[(TaskName::new("topic"), TaskName::new("unit"))],
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "task `topic` with parent `unit`: no column is given for `topic`"
    );
}

#[test]
fn a_dataset_keeps_every_row_and_says_what_is_wrong() {
    let schema = Schema::from_toml(SCHEMA).unwrap();
    let cleaner = Cleaner::new(Profile::Request);
    let build = || Dataset::build(schema.clone(), &columns(), records(DATA), &cleaner);
    let (dataset, problems) = build().unwrap();
    assert_eq!(dataset.examples().len(), 8);
    assert_eq!(
        dataset.examples()[1].gold(),
        [Some(ClassIndex(1)), Some(ClassIndex(1))]
    );
    assert_eq!(dataset.examples()[5].gold(), [Some(ClassIndex(1)), None]);
    assert_eq!(dataset.labelled(), [7, 5]);
    let kinds: Vec<_> = problems
        .iter()
        .map(|problem| match problem {
            Problem::UnknownLabel { found, nearest, .. } => {
                format!("{found} {}", nearest.as_deref().unwrap_or(""))
            }
            Problem::EmptyText { origin } => format!("empty {}", origin.row),
            Problem::IdTwice { id, .. } => format!("twice {id}"),
        })
        .collect();
    assert_eq!(kinds, ["empty 5", "crad card", "twice 7"]);
    assert_eq!(dataset.digest(), build().unwrap().0.digest());
    let other = Dataset::build(schema.clone(), &columns(), records(OTHER), &cleaner)
        .unwrap()
        .0;
    assert_ne!(dataset.digest(), other.digest());
    let wrong = [(TaskName::new("queue"), "queues".to_owned())];
    let error = Dataset::build(schema.clone(), &wrong, records(DATA), &cleaner).unwrap_err();
    assert!(
        matches!(&error, BuildError::NoLabel { nearest: Some(name), .. } if name == "queue"),
        "{error}"
    );
    let wrong = [(TaskName::new("topic"), "queue".to_owned())];
    assert!(matches!(
        Dataset::build(schema, &wrong, records(DATA), &cleaner),
        Err(BuildError::UnknownTask { .. })
    ));
}
