//! Smaller bundles from the command line: a student of a teacher, fewer word pieces, and what is refused.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn poststelle(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_poststelle"))
        .args(args)
        .output()
        .unwrap()
}

fn done(args: &[&str]) -> Output {
    let output = poststelle(args);
    assert!(output.status.success(), "{}", said(&output));
    output
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Made-up mails and a recipe for the tiny XLM-RoBERTa.
fn prepared(folder: &Path) -> PathBuf {
    done(&["sample", "--count", "300", "--seed", "3", "--out", text(folder)]);
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-model/xlm-roberta");
    let recipe = folder.join("recipe.toml");
    std::fs::write(
        &recipe,
        format!(
            "schema = 'labels.toml'\n[data]\ntrain = ['mails.mbox']\nlabels = 'labels.csv'\nsplit = {{}}\n\
             [model]\nkind = 'encoder'\nbase = '{}'\n[train]\nepochs = 1\n",
            text(&base)
        ),
    )
    .unwrap();
    recipe
}

#[test]
fn a_teacher_makes_a_smaller_student_and_both_shrink() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let recipe = prepared(folder.path());
    let (big, student, small) = (at("big"), at("student"), at("small"));
    let train = ["train", "--recipe", text(&recipe), "--accept-findings", "--out"];
    done(&[&train[..], &[text(&big)]].concat());

    // The training mails themselves as mails without labels: those held back are left out.
    let teaching = [
        text(&student),
        "--teacher",
        text(&big),
        "--set",
        "distil.unlabelled=['mails.mbox']",
    ];
    let taught = done(&[&train[..], &teaching].concat());
    let words = said(&taught);
    for expected in [
        "unlabelled mails stand in validation or test",
        "of them unlabelled",
        "begins with layers 1 of 2",
    ] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    let manifest = std::fs::read_to_string(student.join("bundle.toml")).unwrap();
    assert!(manifest.contains("[distilled]\nteacher = \"big\""), "{manifest}");
    let config = std::fs::read(student.join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["num_hidden_layers"], 1);

    let (mails, labels) = (at("mails.mbox"), at("labels.csv"));
    let asked = at("asked.jsonl");
    std::fs::write(
        &asked,
        "{\"id\":\"a\",\"subject\":\"nicht\",\"body\":\"die und\"}\n",
    )
    .unwrap();
    let shrink = [
        "bundle",
        "shrink",
        text(&student),
        "--data",
        text(&asked),
        "--out",
        text(&small),
    ];
    let measured = ["--evaluate", text(&mails), "--labels", text(&labels), "--json"];
    let figures = json(&done(&[&shrink[..], &measured].concat()));
    assert_eq!(figures["macro_f1_on"], "evaluate");
    assert!(
        figures["pieces"].as_u64() < figures["pieces_before"].as_u64(),
        "{figures}"
    );
    assert!(figures["bytes"].as_u64() < figures["bytes_before"].as_u64());
    assert!(figures["read"]["changed"].as_u64().unwrap() > 0, "{figures}");
    for task in ["business_unit", "queue", "topic"] {
        let score = |when: &str| figures["tasks"][task][when].as_f64().unwrap();
        let points = 100.0 * (score("after") - score("before"));
        assert!((points - score("points")).abs() < 1e-9, "{figures}");
    }
    done(&["predict", text(&small), text(&asked)]);

    // A shrunk bundle teaches as well.
    let of_small = at("of-small");
    done(
        &[
            &train[..],
            &[
                text(&of_small),
                "--teacher",
                text(&small),
                "--set",
                "distil.layers=[0]",
            ],
        ]
        .concat(),
    );
}

#[test]
fn shrinking_says_what_it_measured_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let recipe = prepared(folder.path());
    let (big, mails, labels) = (at("big"), at("mails.mbox"), at("labels.csv"));
    let train = [
        "train",
        "--recipe",
        text(&recipe),
        "--accept-findings",
        "--out",
        text(&big),
    ];
    done(&train);
    let shrink = |out: &str, more: &[&str]| {
        let out = at(out);
        let args = [
            "bundle",
            "shrink",
            text(&big),
            "--data",
            text(&mails),
            "--out",
            text(&out),
        ];
        poststelle(&[&args[..], more].concat())
    };
    let unlabelled = shrink("unlabelled", &[]);
    let words = String::from_utf8_lossy(&unlabelled.stdout).into_owned();
    assert!(
        said(&unlabelled).contains("no mail given is labelled"),
        "{}",
        said(&unlabelled)
    );
    assert!(words.contains("word pieces: 72 before"), "{words}");
    assert!(words.contains("0 of 300 mails are read otherwise"), "{words}");
    assert!(!words.contains("macro-F1"));

    let labelled = shrink("labelled", &["--labels", text(&labels)]);
    assert!(said(&labelled).contains("which flatters"), "{}", said(&labelled));
    let words = String::from_utf8_lossy(&labelled.stdout).into_owned();
    // The same pieces give the same answers.
    assert_eq!(words.matches("+0.00 points").count(), 3, "{words}");

    let taken = shrink("labelled", &[]);
    assert_eq!(taken.status.code(), Some(2));
    assert!(said(&taken).contains("exists already"), "{}", said(&taken));
    let missing = shrink("nothing", &["--evaluate", "nowhere.csv"]);
    assert_eq!(missing.status.code(), Some(2), "{}", said(&missing));
    assert!(!at("nothing").exists());
}

#[test]
fn teachers_that_do_not_fit_are_misuse() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let recipe = prepared(folder.path());
    let (linear, out) = (at("linear"), at("out"));
    let train = ["train", "--recipe", text(&recipe), "--accept-findings", "--out"];
    done(&[&train[..], &[text(&linear), "--set", "model.kind=linear"]].concat());
    for (more, words) in [
        (
            &["--teacher", text(&linear)][..],
            &["has no encoder", "distil.start=base"][..],
        ),
        (
            &["--teacher", text(&linear), "--set", "model.kind=linear"],
            &["model.kind is `linear`"],
        ),
        (
            &["--teacher", text(&linear), "--set", "clean.profile=decode"],
            &["clean.profile is `decode`", "`linear` learned with `request`"],
        ),
        (&["--teacher", "nowhere"], &["there is no bundle at"]),
        (&["--set", "distil.share=0.5"], &["distil.teacher"]),
    ] {
        let output = poststelle(&[&train[..], &[text(&out)], more].concat());
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        for word in words {
            assert!(said(&output).contains(word), "{word}: {}", said(&output));
        }
        assert!(!out.exists());
    }
    let shrink = [
        "bundle",
        "shrink",
        text(&linear),
        "--data",
        text(&at("mails.mbox")),
        "--out",
        text(&out),
    ]
    .map(String::from);
    let shrink: Vec<&str> = shrink.iter().map(String::as_str).collect();
    let refused = poststelle(&shrink);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("has no encoder"), "{}", said(&refused));
}
