//! `bundle export` from the command line: what it writes, what it says it leaves out, and what it refuses.
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
fn a_hybrid_leaves_its_linear_side_behind_and_a_linear_bundle_stays() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let made = poststelle(&["sample", "--count", "200", "--out", text(folder.path())]);
    assert!(made.status.success(), "{}", said(&made));
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-model/distilbert");
    let recipe = at("recipe.toml");
    std::fs::write(
        &recipe,
        format!(
            "schema = 'labels.toml'\n[data]\ntrain = ['mails.mbox']\nlabels = 'labels.csv'\nsplit = {{}}\n\
             [model]\nbase = '{}'\nprefix = 'query: '\n[train]\nepochs = 1\n",
            text(&base)
        ),
    )
    .unwrap();
    for kind in ["hybrid", "linear"] {
        let (key, bundle) = (format!("model.kind={kind}"), at(kind));
        let args = [
            "train",
            "--recipe",
            text(&recipe),
            "--accept-findings",
            "--set",
            &key,
            "--out",
        ];
        let trained = poststelle(&[&args[..], &[text(&bundle)]].concat());
        assert!(trained.status.success(), "{}", said(&trained));
    }
    let export = |bundle: &str, target: &str, out: &str| {
        let (bundle, out) = (at(bundle), at(out));
        poststelle(&[
            "bundle",
            "export",
            text(&bundle),
            "--to",
            target,
            "--out",
            text(&out),
        ])
    };
    for target in ["onnx", "huggingface"] {
        let output = export("hybrid", target, target);
        assert!(output.status.success(), "{}", said(&output));
        assert!(
            said(&output).contains("left out: the hybrid's linear model"),
            "{}",
            said(&output)
        );
        let files = String::from_utf8(output.stdout).unwrap();
        assert!(files.lines().count() > 10, "{files}");
        assert!(files.lines().all(|file| Path::new(file).is_file()), "{files}");
        let readme = std::fs::read_to_string(at(target).join("README.md")).unwrap();
        assert!(
            readme.contains("`query: `") && readme.contains("tasks/business_unit"),
            "{readme}"
        );

        let again = export("hybrid", target, target);
        assert_eq!(again.status.code(), Some(2));
        assert!(said(&again).contains("exists already"), "{}", said(&again));
        let refused = export("linear", target, "nothing");
        assert_eq!(refused.status.code(), Some(2));
        assert!(
            said(&refused).contains("holds a linear model and no encoder"),
            "{}",
            said(&refused)
        );
        assert!(!at("nothing").exists());
    }
    let unknown = export("hybrid", "tflite", "nothing");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(said(&unknown).contains("onnx, huggingface"), "{}", said(&unknown));
    let missing = export("nowhere", "onnx", "nothing");
    assert_eq!(missing.status.code(), Some(2));
    assert!(
        said(&missing).contains("there is no bundle at"),
        "{}",
        said(&missing)
    );
}
