//! Students of a tiny teacher: they end near it, learn from mail without labels, repeat, and become bundles.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

use poststelle_corpus::{Content, Dataset, Example, Origin, Record};
use poststelle_kernels::lanes::Arithmetic;
use poststelle_labels::{ClassIndex, Label, Schema, Task, TaskName};
use poststelle_mail::Cleaner;
use poststelle_nn::bundle::{self, Bundle};
use poststelle_nn::model::Sharing;
use poststelle_nn::shrink::shrink;
use poststelle_train::recipe::{Distil, Kind, Layers, PrecisionChoice, Recipe, Start};
use poststelle_train::{Base, Cache, DistilError, Inputs, Observed, Outcome, RunError, Teacher, run};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const NOW: &str = "2026-11-26T12:00:00Z";

/// Words of the tiny tokenizer; which of the first three stands in a text is its `queue`, `bitte` its `tone`.
const WORDS: [&str; 9] = [
    "password", "Adresse", "Mail", "die", "und", "ist", "nicht", "Sie", "Ende",
];

fn schema() -> Schema {
    let task = |name: &str, labels: &[&str]| {
        let labels = labels.iter().map(|label| Label::named(*label)).collect();
        Task::new(TaskName::new(name), None, labels).unwrap()
    };
    let tasks = vec![
        task("queue", &["access", "address", "mail"]),
        task("tone", &["curt", "polite"]),
    ];
    Schema::new(1, tasks).unwrap()
}

/// Mails `from..to` of an endless row of them; with labels where `labelled` says so.
fn mails(from: usize, to: usize, labelled: impl Fn(usize) -> bool) -> Dataset {
    let mail = |i: usize| {
        let (queue, tone) = (i * 7 % 3, i / 3 % 2);
        let fill = |k: usize| WORDS[3 + (i * 5 + k * 3 + i / 7) % 6];
        let polite = if tone == 1 { "bitte " } else { "" };
        let body = format!("{} {polite}{} {} {}", fill(0), WORDS[queue], fill(1), fill(2));
        let record = Record {
            id: i.to_string(),
            content: Content::Body {
                subject: String::new(),
                body,
            },
            broker: None,
            received_at: None,
            thread: None,
            language: None,
            group: None,
            labels: BTreeMap::new(),
            origin: Origin {
                file: Arc::from(Path::new("made-up")),
                row: i as u64,
            },
        };
        let gold = |class: usize| labelled(i).then_some(ClassIndex::from(class));
        let text = Cleaner::default().clean(&record.message());
        Example::new(&record, &text, vec![gold(queue), gold(tone)])
    };
    Dataset::new(schema(), (from..to).map(mail).collect())
}

fn recipe(kind: Kind, distil: Option<Distil>) -> Recipe {
    let text = "[data]\ntrain = ['made-up.csv']\n[tasks.queue]\n[tasks.tone]\nweight = 0.5\n";
    let mut recipe = Recipe::from_toml(text, &[]).unwrap();
    recipe.model.kind = kind;
    recipe.model.prefix = Some("Sie ".to_owned());
    recipe.distil = distil;
    let train = &mut recipe.train;
    (train.epochs, train.batch, train.patience) = (12, 8, 0);
    (train.learning_rate, train.head_learning_rate) = (3e-3, 1e-2);
    train.precision = PrecisionChoice::F32;
    recipe
}

fn base(model: &str) -> Base {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-model");
    Base {
        folder: fixtures.join(model),
        id: model.to_owned(),
        digest: "0".repeat(64),
    }
}

fn trained(recipe: &Recipe, learning: &Dataset, teacher: Option<&Teacher>) -> Result<Outcome, RunError> {
    let (base, validation) = (base("bert"), mails(600, 660, |_| true));
    let inputs = Inputs {
        recipe,
        learning,
        validation: &validation,
        base: Some(&base),
        teacher,
        checkpoints: None,
        frozen: None,
    };
    run::run(&inputs, NOW, "test", &mut |_| ())
}

/// Writes what a run ended in and opens it again.
fn written(outcome: Outcome, folder: &Path) -> Bundle {
    let Outcome {
        mut models,
        manifest,
        reads_from,
        ..
    } = outcome;
    bundle::save(
        folder,
        manifest,
        &schema(),
        &mut models,
        reads_from.as_deref(),
        &[],
    )
    .unwrap();
    Bundle::verify(folder).unwrap();
    Bundle::open(folder, Arithmetic::F32).unwrap()
}

/// A teacher in `folder`, and a bundle of its own to compare with.
fn teacher(folder: &Path, kind: Kind, sharing: Sharing) -> (PathBuf, Bundle) {
    let mut recipe = recipe(kind, None);
    recipe.model.sharing = sharing;
    let path = folder.join("teacher");
    let bundle = written(trained(&recipe, &mails(0, 240, |_| true), None).unwrap(), &path);
    (path, bundle)
}

fn teaching(path: &Path, unlabelled: Option<Dataset>) -> Teacher {
    let bundle = Bundle::open(path, Teacher::arithmetic()).unwrap();
    Teacher::new(bundle, "teacher".to_owned(), unlabelled)
}

fn texts(dataset: &Dataset) -> Vec<&str> {
    run::texts(dataset)
}

/// Mean distance in nats of one bundle's answers from another's on texts neither learned from.
fn apart(student: &Bundle, teacher: &Bundle) -> f64 {
    let mails = mails(700, 800, |_| false);
    let answers = |bundle: &Bundle| {
        let mix = bundle.manifest().hybrid.as_ref();
        bundle.models().logits(mix, &texts(&mails)).unwrap()
    };
    let (mut sum, mut rows) = (0.0, 0);
    for (student, teacher) in answers(student).iter().zip(answers(teacher)) {
        let target = teacher.softmax(1.0);
        sum += poststelle_nn::loss::distillation(student, &target, 1.0, 1, 1.0).0;
        rows += target.rows();
    }
    sum / rows as f64
}

fn layers(bundle: &Bundle) -> Vec<usize> {
    bundle.manifest().distilled.as_ref().unwrap().layers.clone()
}

#[test]
fn a_student_with_half_the_layers_ends_near_its_teacher_and_says_who_that_was() {
    for (kind, sharing) in [
        (Kind::Encoder, Sharing::MultiTask),
        (Kind::Hybrid, Sharing::MultiTask),
        (Kind::Encoder, Sharing::SingleTask),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (path, big) = teacher(folder.path(), kind, sharing);
        let teacher = teaching(&path, None);
        // The recipe's own pooling, prefix and base model give way to the teacher's.
        let mut recipe = recipe(Kind::Encoder, Some(Distil::default()));
        (recipe.model.prefix, recipe.model.sharing) = (None, Sharing::MultiTask);
        let learning = mails(0, 240, |_| true);
        assert!(teacher.knows(&learning) && !teacher.knows(&mails(0, 239, |_| true)));
        let outcome = trained(&recipe, &learning, Some(&teacher)).unwrap();
        let scores = outcome
            .evaluation
            .tasks
            .iter()
            .map(|(_, task)| task.scores.macro_f1);
        assert!(
            scores.clone().all(|f1| f1 > 0.9),
            "{:?}",
            scores.collect::<Vec<_>>()
        );
        let student = written(outcome, &folder.path().join("student"));
        let distance = apart(&student, &big);
        assert!(distance < 0.1, "{kind:?} {sharing:?}: {distance}");

        let (own, theirs) = (student.manifest(), big.manifest());
        let note = own.distilled.as_ref().unwrap();
        assert_eq!(
            (note.teacher.as_str(), note.layers.as_slice()),
            ("teacher", &[1][..])
        );
        assert_eq!(note.teacher_digest, big.digest());
        assert_eq!((&note.unlabelled_digest, note.unlabelled_examples), (&None, 0));
        assert_eq!(own.encoder, theirs.encoder);
        assert_eq!(own.recipe["model"]["prefix"].as_str(), Some("Sie "));
        for (_, network) in student.networks().unwrap() {
            assert_eq!(network.encoder.config.layers, 1);
        }
    }
}

/// Few labels, and many mails without: what the teacher says of those is what the student learns.
#[test]
fn mail_without_labels_brings_a_student_nearer() {
    let folder = tempfile::tempdir().unwrap();
    let (path, big) = teacher(folder.path(), Kind::Encoder, Sharing::MultiTask);
    let student = |name: &str, learning: &Dataset, unlabelled: Option<Dataset>| {
        let mut recipe = recipe(Kind::Encoder, Some(Distil::default()));
        recipe.train.epochs = 4;
        let outcome = trained(&recipe, learning, Some(&teaching(&path, unlabelled))).unwrap();
        written(outcome, &folder.path().join(name))
    };
    let few = mails(0, 24, |_| true);
    let alone = student("alone", &few, None);
    let fed = student("fed", &few, Some(mails(24, 300, |_| false)));
    let note = fed.manifest().distilled.as_ref().unwrap();
    assert_eq!(note.unlabelled_examples, 276);
    assert!(note.unlabelled_digest.is_some());
    let (alone, fed) = (apart(&alone, &big), apart(&fed, &big));
    assert!(fed < 0.5 * alone, "{fed} with more mail, {alone} without");
    // Rows of the training file itself that carry no label count just so.
    let mixed = student("mixed", &mails(0, 300, |i| i < 24), None);
    let mixed = apart(&mixed, &big);
    assert!(mixed < 0.5 * alone, "{mixed} with more mail, {alone} without");
}

#[test]
fn a_student_may_begin_with_a_base_model_and_learn_from_a_linear_teacher() {
    let folder = tempfile::tempdir().unwrap();
    let (path, big) = teacher(folder.path(), Kind::Linear, Sharing::MultiTask);
    let teacher = teaching(&path, None);
    let distil = Distil {
        start: Start::Base,
        share: 1.0,
        ..Distil::default()
    };
    let recipe = recipe(Kind::Encoder, Some(distil));
    let outcome = trained(&recipe, &mails(0, 240, |_| true), Some(&teacher)).unwrap();
    let student = written(outcome, &folder.path().join("student"));
    assert!(layers(&student).is_empty());
    assert_eq!(student.networks().unwrap()[0].1.encoder.config.layers, 2);
    let distance = apart(&student, &big);
    assert!(distance < 0.1, "{distance}");
}

/// A teacher with no share in the loss changes nothing, bit for bit.
#[test]
fn a_teacher_without_a_share_is_no_teacher() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = teacher(folder.path(), Kind::Linear, Sharing::MultiTask);
    let learning = mails(0, 120, |_| true);
    let weights = |distil: Option<Distil>| -> Vec<Vec<f32>> {
        let teacher = distil.is_some().then(|| teaching(&path, None));
        let outcome = trained(&recipe(Kind::Encoder, distil), &learning, teacher.as_ref());
        let mut parts = outcome.unwrap().models.encoder.unwrap().parts;
        let parameters = parts[0].network.parameters();
        parameters.into_iter().map(|p| p.values.to_vec()).collect()
    };
    let silent = Distil {
        start: Start::Base,
        share: 0.0,
        ..Distil::default()
    };
    assert_eq!(weights(Some(silent)), weights(None));
}

#[test]
fn a_shrunk_teacher_gives_its_vocabulary() {
    let folder = tempfile::tempdir().unwrap();
    let (_, big) = teacher(folder.path(), Kind::Encoder, Sharing::MultiTask);
    let learning = mails(0, 240, |_| true);
    let path = folder.path().join("shrunk");
    let pieces = shrink(&big, &texts(&learning), &path, NOW, "test")
        .unwrap()
        .vocabulary
        .old
        .len();
    let recipe = recipe(Kind::Encoder, Some(Distil::default()));
    let outcome = trained(&recipe, &learning, Some(&teaching(&path, None))).unwrap();
    let student = written(outcome, &folder.path().join("student"));
    assert_eq!(student.networks().unwrap()[0].1.encoder.config.vocabulary, pieces);
    let note = student.manifest().encoder.as_ref().unwrap().shrunk.clone();
    assert_eq!(note.unwrap().pieces, pieces);
    let distance = apart(&student, &big);
    assert!(distance < 0.1, "{distance}");
}

/// The networks of a single-task teacher differ from the first layer on, so none may read what another's frozen layers said.
#[test]
fn frozen_layers_of_single_task_students_are_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = teacher(folder.path(), Kind::Encoder, Sharing::SingleTask);
    let teacher = teaching(&path, None);
    let (learning, validation) = (mails(0, 60, |_| true), mails(600, 640, |_| true));
    let weights = |frozen: Option<Cache<'_>>| -> Vec<Vec<f32>> {
        let layers = Some(Layers::Count(2));
        let mut recipe = recipe(
            Kind::Encoder,
            Some(Distil {
                layers,
                ..Distil::default()
            }),
        );
        (recipe.train.epochs, recipe.train.freeze_layers) = (2, 1);
        let inputs = Inputs {
            recipe: &recipe,
            learning: &learning,
            validation: &validation,
            base: None,
            teacher: Some(&teacher),
            checkpoints: None,
            frozen,
        };
        let outcome = run::run(&inputs, NOW, "test", &mut |_| ()).unwrap();
        let mut parts = outcome.models.encoder.unwrap().parts;
        let parameters = parts.iter_mut().flat_map(|part| part.network.parameters());
        parameters.map(|p| p.values.to_vec()).collect()
    };
    assert_eq!(weights(Some(Cache::Passing(folder.path()))), weights(None));
}

/// Stopped after its first epochs and taken up again, a student is the one it would have been; with another share or
/// other layers it is another run.
#[test]
fn a_resumed_student_is_the_same_and_another_distillation_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = teacher(folder.path(), Kind::Encoder, Sharing::MultiTask);
    let teacher = teaching(&path, Some(mails(240, 300, |_| false)));
    let (learning, validation) = (mails(0, 120, |i| i % 3 > 0), mails(600, 640, |_| true));
    let checkpoints = folder.path().join("checkpoints");
    std::fs::create_dir(&checkpoints).unwrap();
    let run = |distil: Distil, kept: Option<&Path>, stop: Option<usize>| {
        let mut recipe = recipe(Kind::Encoder, Some(distil));
        recipe.train.epochs = 4;
        let inputs = Inputs {
            recipe: &recipe,
            learning: &learning,
            validation: &validation,
            base: None,
            teacher: Some(&teacher),
            checkpoints: kept,
            frozen: None,
        };
        let (mut epochs, mut resumed) = (0, false);
        let outcome = run::run(&inputs, NOW, "test", &mut |event| match event {
            Observed::Resumed(_) => resumed = true,
            Observed::Fit(poststelle_train::Event::Evaluated(_)) => {
                epochs += 1;
                // The checkpoint of the epoch before is there; this one is not written any more.
                if Some(epochs) == stop {
                    std::panic::resume_unwind(Box::new(()));
                }
            }
            _ => (),
        });
        (outcome, resumed)
    };
    let weights = |outcome: Result<Outcome, RunError>| -> Vec<Vec<f32>> {
        let mut parts = outcome.unwrap().models.encoder.unwrap().parts;
        let parameters = parts[0].network.parameters();
        parameters.into_iter().map(|p| p.values.to_vec()).collect()
    };
    let (whole, _) = run(Distil::default(), None, None);
    let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        run(Distil::default(), Some(&checkpoints), Some(3))
    }));
    assert!(stopped.is_err());
    let others = [
        Distil {
            share: 0.5,
            ..Distil::default()
        },
        Distil {
            temperature: 3.0,
            ..Distil::default()
        },
        Distil {
            layers: Some(Layers::List(vec![0])),
            ..Distil::default()
        },
    ];
    for other in others {
        let error = run(other, Some(&checkpoints), None).0.err().unwrap().to_string();
        assert!(error.contains("belongs to another run"), "{error}");
    }
    let (taken_up, resumed) = run(Distil::default(), Some(&checkpoints), None);
    assert!(resumed);
    assert_eq!(weights(whole), weights(taken_up));
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (path, big) = teacher(folder.path(), Kind::Encoder, Sharing::MultiTask);
    let learning = mails(0, 30, |_| true);
    let refused = |recipe: &Recipe, learning: &Dataset, path: &Path| {
        let teacher = teaching(path, None);
        let error = trained(recipe, learning, Some(&teacher)).err().unwrap();
        let RunError::Distil(error) = error else {
            panic!("{error}")
        };
        (error.to_string(), error)
    };
    let student = |distil: Distil| recipe(Kind::Encoder, Some(distil));

    let (text, error) = refused(&recipe(Kind::Linear, Some(Distil::default())), &learning, &path);
    assert!(matches!(error, DistilError::Linear), "{text}");

    let tasks = vec![schema().tasks()[1].clone()];
    let other = Dataset::new(Schema::new(1, tasks).unwrap(), Vec::new());
    let (text, _) = refused(&student(Distil::default()), &other, &path);
    assert!(
        text.contains(&big.schema().digest()) && text.contains(&other.schema().digest()),
        "{text}"
    );

    let mut cleaned = student(Distil::default());
    cleaned.clean.profile = "decode".to_owned();
    let (text, _) = refused(&cleaned, &learning, &path);
    assert!(
        text.contains("clean.profile is `decode`") && text.contains("`request`"),
        "{text}"
    );

    for (layers, words) in [
        (Layers::Count(3), "distil.layers is 3, expected 2 layers at most"),
        (Layers::List(vec![1, 0]), "distil.layers is [1, 0]"),
    ] {
        let distil = Distil {
            layers: Some(layers),
            ..Distil::default()
        };
        let (text, _) = refused(&student(distil), &learning, &path);
        assert!(text.contains(words), "{text}");
    }

    let linear = tempfile::tempdir().unwrap();
    let (words, _) = teacher(linear.path(), Kind::Linear, Sharing::MultiTask);
    let (text, error) = refused(&student(Distil::default()), &learning, &words);
    assert!(
        matches!(error, DistilError::NoEncoder { .. }) && text.contains("teacher"),
        "{text}"
    );

    let alone = trained(&student(Distil::default()), &learning, None)
        .err()
        .unwrap();
    assert!(
        matches!(alone, RunError::Distil(DistilError::NoTeacher)),
        "{alone}"
    );
}
