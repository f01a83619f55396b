//! A bundle says in which languages its training mails were written.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

use poststelle_corpus::{Content, Dataset, Example, Origin, Record};
use poststelle_labels::{ClassIndex, Label, Schema, Task, TaskName};
use poststelle_mail::Cleaner;
use poststelle_nn::bundle::{self, Bundle};
use poststelle_train::recipe::{Kind, Recipe};
use poststelle_train::{Inputs, run};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const GERMAN: &str = "Guten Tag, bitte senden Sie mir den Auszug meines Kontos für das letzte Jahr zu.";
const ENGLISH: &str = "Could you please send me the statement of my account for the last year?";
const FRENCH: &str = "Pourriez-vous m'envoyer le relevé de mon compte pour l'année dernière ?";
const SCRAP: &str = "4711";

fn schema() -> Schema {
    let labels = ["even", "odd"].map(Label::named).into();
    Schema::new(1, vec![Task::new(TaskName::new("queue"), None, labels).unwrap()]).unwrap()
}

/// So many mails of each text.
fn mails(counts: &[(&str, usize)]) -> Dataset {
    let bodies = counts
        .iter()
        .flat_map(|&(body, count)| std::iter::repeat_n(body, count));
    let mail = |(i, body): (usize, &str)| {
        let record = Record {
            id: i.to_string(),
            content: Content::Body {
                subject: String::new(),
                body: body.to_owned(),
            },
            broker: Some("The Northern Bank of the People".to_owned()),
            received_at: None,
            thread: None,
            // What a file claims need not be true, nor a code.
            language: Some("Latin".to_owned()),
            group: None,
            labels: BTreeMap::new(),
            origin: Origin {
                file: Arc::from(Path::new("made-up")),
                row: i as u64,
            },
        };
        let text = Cleaner::default().clean(&record.message());
        Example::new(&record, &text, vec![Some(ClassIndex::from(i % 2))])
    };
    Dataset::new(schema(), bodies.enumerate().map(mail).collect())
}

/// Trains on these mails, and opens the bundle again.
fn bundle(folder: &Path, learning: &Dataset) -> Bundle {
    let mut recipe = Recipe::from_toml("[data]\ntrain = ['made-up.csv']\n[tasks.queue]\n", &[]).unwrap();
    recipe.model.kind = Kind::Linear;
    let inputs = Inputs {
        recipe: &recipe,
        learning,
        validation: &mails(&[(ENGLISH, 4), (GERMAN, 4)]),
        base: None,
        teacher: None,
        checkpoints: None,
        frozen: None,
    };
    let mut outcome = run::run(&inputs, "2026-11-26T12:00:00Z", "test", &mut |_| ()).unwrap();
    bundle::save(
        folder,
        outcome.manifest,
        &schema(),
        &mut outcome.models,
        None,
        &[],
    )
    .unwrap();
    Bundle::open(folder, Default::default()).unwrap()
}

#[test]
fn names_them_by_falling_share_without_what_is_rare() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle");
    let found = bundle(
        &path,
        &mails(&[(ENGLISH, 30), (FRENCH, 4), (GERMAN, 60), (SCRAP, 80)]),
    );
    assert_eq!(found.manifest().languages, ["de", "en"]);
    Bundle::verify(&path).unwrap();

    // Five mails are many enough, unless they are less than one in a hundred.
    let found = bundle(&folder.path().join("five"), &mails(&[(GERMAN, 60), (ENGLISH, 5)]));
    assert_eq!(found.manifest().languages, ["de", "en"]);
    let found = bundle(
        &folder.path().join("hundreds"),
        &mails(&[(GERMAN, 600), (ENGLISH, 5)]),
    );
    assert_eq!(found.manifest().languages, ["de"]);
}

#[test]
fn a_bundle_that_does_not_say_opens_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle");
    let found = bundle(&path, &mails(&[(SCRAP, 40)]));
    assert!(found.manifest().languages.is_empty());
    let manifest = std::fs::read_to_string(path.join("bundle.toml")).unwrap();
    assert!(!manifest.contains("languages"), "{manifest}");

    let known = bundle(&folder.path().join("known"), &mails(&[(GERMAN, 40)]));
    let path = folder.path().join("known/bundle.toml");
    let told = std::fs::read_to_string(&path).unwrap();
    let line = "languages = [\"de\"]\n";
    assert!(told.contains(line), "{told}");
    std::fs::write(&path, told.replace(line, "")).unwrap();
    assert_eq!(known.manifest().languages, ["de"]);
    let old = Bundle::open(&folder.path().join("known"), Default::default()).unwrap();
    assert!(old.manifest().languages.is_empty());
}
