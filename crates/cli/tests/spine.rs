//! The spine from the command line: made-up mail → train → evaluate → predict, and what goes wrong on the way.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

use std::path::Path;
use std::process::{Command, Output};

fn poststelle(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_poststelle"))
        .args(args)
        .output()
        .unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn mail_exports_become_a_bundle_that_answers() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let made = poststelle(&[
        "sample",
        "--count",
        "600",
        "--seed",
        "3",
        "--out",
        text(folder.path()),
    ]);
    assert!(made.status.success(), "{}", said(&made));
    std::fs::write(
        at("recipe.toml"),
        "schema = 'labels.toml'\n[data]\ntrain = ['mails.mbox']\nlabels = 'labels.csv'\nsplit = {}\n\
         [model]\nkind = 'linear'\n[gate.macro_f1]\nbusiness_unit = 0.5\n",
    )
    .unwrap();
    let (recipe, bundle) = (at("recipe.toml"), at("bundle"));
    let train = [
        "train",
        "--recipe",
        text(&recipe),
        "--out",
        text(&bundle),
        "--accept-findings",
        "--json",
    ];
    let trained = poststelle(&train);
    assert!(trained.status.success(), "{}", said(&trained));
    let report: serde_json::Value = serde_json::from_slice(&trained.stdout).unwrap();
    let unit = report["test"]["tasks"]["business_unit"]["macro_f1"]
        .as_f64()
        .unwrap();
    assert!(unit > 0.5, "{unit}");
    for file in ["bundle.toml", "labels.toml", "words.safetensors", "history.jsonl"] {
        assert!(bundle.join(file).exists(), "{file}");
    }

    let page = at("report.html");
    let (mails, labels) = (at("mails.mbox"), at("labels.csv"));
    let evaluated = poststelle(&[
        "evaluate",
        text(&bundle),
        "--data",
        text(&mails),
        "--labels",
        text(&labels),
        "--json",
        "--html",
        text(&page),
    ]);
    assert!(evaluated.status.success(), "{}", said(&evaluated));
    let figures: serde_json::Value = serde_json::from_slice(&evaluated.stdout).unwrap();
    assert_eq!(figures["examples"], 600);
    assert!(std::fs::read_to_string(&page).unwrap().contains("</svg>"));

    let asked = at("ask.jsonl");
    std::fs::write(
        &asked,
        "{\"id\":\"a\",\"subject\":\"Steuerbescheinigung\",\"body\":\"Bitte zusenden.\"}\n",
    )
    .unwrap();
    let answered = poststelle(&["predict", text(&bundle), text(&asked)]);
    assert!(answered.status.success(), "{}", said(&answered));
    let answer: serde_json::Value = serde_json::from_slice(&answered.stdout).unwrap();
    assert_eq!(answer["id"], "a");
    assert!(answer["topic"]["confidence"].as_f64().unwrap() <= 1.0);

    // A bundle is never overwritten, and a gate that is missed refuses.
    assert_eq!(poststelle(&train).status.code(), Some(2));
    let strict = at("strict");
    let refused = poststelle(&[
        "train",
        "--recipe",
        text(&recipe),
        "--out",
        text(&strict),
        "--accept-findings",
        "--set",
        "gate.macro_f1.topic=1.0",
    ]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("topic"));
}

/// A hybrid is its two models: alone, its linear side answers exactly as the linear model trained by itself.
#[test]
fn a_hybrid_tells_what_each_of_its_models_reaches_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let made = poststelle(&[
        "sample",
        "--count",
        "400",
        "--seed",
        "5",
        "--out",
        text(folder.path()),
    ]);
    assert!(made.status.success(), "{}", said(&made));
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-model/bert");
    std::fs::write(
        at("recipe.toml"),
        format!(
            "schema = 'labels.toml'\n[data]\ntrain = ['mails.mbox']\nlabels = 'labels.csv'\nsplit = {{}}\n\
             [model]\nbase = '{}'\n[train]\nepochs = 1\n",
            text(&base)
        ),
    )
    .unwrap();
    let recipe = at("recipe.toml");
    let train = |kind: &str| -> serde_json::Value {
        let kind_key = format!("model.kind={kind}");
        let bundle = at(kind);
        let trained = poststelle(&[
            "train",
            "--recipe",
            text(&recipe),
            "--out",
            text(&bundle),
            "--set",
            &kind_key,
            "--accept-findings",
            "--json",
        ]);
        assert!(trained.status.success(), "{}", said(&trained));
        serde_json::from_slice(&trained.stdout).unwrap()
    };
    let [hybrid, linear, encoder] = ["hybrid", "linear", "encoder"].map(train);
    assert!(linear["alone"].is_null());
    for (side, single) in [("linear", &linear), ("encoder", &encoder)] {
        for part in ["validation", "test"] {
            for task in ["business_unit", "queue", "topic"] {
                let score =
                    |report: &serde_json::Value| report[part]["tasks"][task]["macro_f1"].as_f64().unwrap();
                let (alone, single) = (score(&hybrid["alone"][side]), score(single));
                assert!(
                    (alone - single).abs() < 1e-9,
                    "{side} {part} {task}: {alone}, {single}"
                );
            }
        }
    }

    let (mails, labels) = (at("mails.mbox"), at("labels.csv"));
    let evaluate = |kind: &str| {
        let bundle = at(kind);
        let files = ["--data", text(&mails), "--labels", text(&labels)];
        let output = poststelle(&[&["evaluate", text(&bundle), "--alone", "linear"][..], &files].concat());
        (output.status.code(), said(&output))
    };
    assert_eq!(evaluate("hybrid").0, Some(0));
    let (code, message) = evaluate("linear");
    assert_eq!(code, Some(2));
    assert!(message.contains("hybrid"), "{message}");
}

#[test]
fn wrong_recipes_are_misuse_and_name_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = folder.path().join("recipe.toml");
    std::fs::write(&recipe, "[data]\ntrain = ['nothing.csv']\n[tasks.queue]\n").unwrap();
    let bundle = folder.path().join("bundle");
    let run = |set: &[&str]| {
        let mut args = vec!["train", "--recipe", text(&recipe), "--out", text(&bundle)];
        args.extend(set);
        poststelle(&args)
    };
    for (set, word) in [
        (&["--set", "train.epoch=3"][..], "`epochs`"),
        (&["--set", "epochs"], "expected"),
        (&[], "nothing.csv"),
    ] {
        let output = run(set);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(word), "{}", said(&output));
        assert!(!bundle.exists());
    }
}

/// What frozen layers say of each mail is computed once; it stays only where the caller says so, and is used again.
#[test]
fn outputs_of_frozen_layers_stay_only_where_they_are_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let made = poststelle(&[
        "sample",
        "--count",
        "300",
        "--seed",
        "5",
        "--out",
        text(folder.path()),
    ]);
    assert!(made.status.success(), "{}", said(&made));
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-model/bert");
    std::fs::write(
        at("recipe.toml"),
        format!(
            "schema = 'labels.toml'\n[data]\ntrain = ['mails.mbox']\nlabels = 'labels.csv'\nsplit = {{}}\n\
             [model]\nkind = 'encoder'\nsharing = 'single-task'\nbase = '{}'\n\
             [train]\nepochs = 1\nfreeze_layers = 1\nrecompute = true\n",
            text(&base)
        ),
    )
    .unwrap();
    let (recipe, kept) = (at("recipe.toml"), at("kept"));
    let train = |bundle: &str, more: &[&str]| -> (String, Vec<Vec<u8>>) {
        let bundle = at("out").join(bundle);
        let mut args = vec!["train", "--recipe", text(&recipe), "--out", text(&bundle)];
        args.push("--accept-findings");
        args.extend(more);
        let trained = poststelle(&args);
        assert!(trained.status.success(), "{}", said(&trained));
        let weights = (0..3).map(|n| {
            let file = format!("tasks/{n}/model.safetensors");
            std::fs::read(bundle.join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"))
        });
        (said(&trained), weights.collect())
    };
    let (told, passing) = train("passing", &[]);
    assert!(
        told.contains("while this run lives") && told.contains("memory: activations"),
        "{told}"
    );
    // One base reads the same mails for all tasks: its frozen layers are run once.
    assert_eq!(
        told.matches("running the 1 frozen layers once").count(),
        1,
        "{told}"
    );
    assert_eq!(
        std::fs::read_dir(at("out")).unwrap().count(),
        1,
        "only the bundle stays"
    );
    let keep = ["--keep-frozen", text(&kept)];
    let (told, first) = train("first", &keep);
    assert!(told.contains("are kept in"), "{told}");
    let (told, second) = train("second", &keep);
    assert!(
        told.contains("an earlier run kept") && !told.contains("running the"),
        "{told}"
    );
    assert!(passing == first && first == second, "the file changes no weight");
}

#[test]
fn a_server_without_workers_or_tokens_is_refused() {
    for (flag, value) in [
        ("--workers", "0"),
        ("--workers", "many"),
        ("--batch-tokens", "1"),
        ("--batch-tokens", "70000"),
    ] {
        let output = poststelle(&["serve", "nowhere", flag, value]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        let said = said(&output);
        assert!(said.contains(flag) && said.contains(value), "{said}");
    }
}
