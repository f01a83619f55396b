//! The arrows of ARCHITECTURE.md: which crate may depend on which.

use std::collections::BTreeSet;
use std::path::Path;

const ARROWS: [(&str, &[&str]); 14] = [
    ("labels", &[]),
    ("mail", &[]),
    ("measure", &[]),
    ("kernels", &[]),
    ("base", &[]),
    ("lifecycle", &["labels", "measure"]),
    ("store", &["lifecycle"]),
    ("sample", &["labels"]),
    ("corpus", &["labels", "mail"]),
    ("nn", &["labels", "kernels"]),
    ("predict", &["mail", "nn", "measure", "labels"]),
    (
        "train",
        &[
            "corpus",
            "nn",
            "kernels",
            "lifecycle",
            "measure",
            "predict",
            "labels",
        ],
    ),
    (
        "server",
        &["predict", "nn", "store", "lifecycle", "measure", "mail", "labels"],
    ),
    (
        "cli",
        &[
            "labels",
            "mail",
            "corpus",
            "kernels",
            "nn",
            "base",
            "train",
            "measure",
            "predict",
            "server",
            "sample",
            "store",
            "lifecycle",
        ],
    ),
];

/// Words that only one crate may name among its dependencies.
const OWN: [(&str, &[&str]); 4] = [
    ("clap", &["cli"]),
    ("axum", &["server"]),
    ("gemm", &["kernels"]),
    ("sqlx", &["store"]),
];

#[test]
fn arrows_point_one_way() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir(crates).unwrap() {
        let folder = entry.unwrap();
        let name = folder.file_name().into_string().unwrap();
        let manifest = std::fs::read_to_string(folder.path().join("Cargo.toml")).unwrap();
        let (_, legal) = ARROWS
            .iter()
            .find(|(from, _)| *from == name)
            .unwrap_or_else(|| panic!("no arrows for `{name}`"));
        let mut development = false;
        for line in manifest.lines() {
            if line.starts_with('[') {
                development = line.contains("dev-dependencies");
            }
            let Some((dependency, _)) = line.split_once(".workspace") else {
                continue;
            };
            if let (Some(ours), false) = (dependency.strip_prefix("poststelle-"), development) {
                assert!(legal.contains(&ours), "`{name}` must not depend on `{ours}`");
            }
            if let Some((_, owners)) = OWN.iter().find(|(word, _)| *word == dependency) {
                assert!(
                    owners.contains(&name.as_str()),
                    "`{name}` must not name `{dependency}`"
                );
            }
        }
        seen.insert(name);
    }
    assert_eq!(seen, ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect());
}
