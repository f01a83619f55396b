//! Bundles on the tiny models of `fixtures/tiny-model`, with heads of made-up weights.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report
#![allow(dead_code)] // each test takes what it needs

use poststelle_kernels::lanes::Arithmetic;
use poststelle_labels::{Label, Schema, Task, TaskName};
use poststelle_nn::bundle::{self, Calibration, DatasetNote, EncoderNote, FORMAT, Manifest, Models};
use poststelle_nn::encode::Encoder as TextEncoder;
use poststelle_nn::encoder::Linear;
use poststelle_nn::hf;
use poststelle_nn::model::{EncoderModel, Part, Sharing};
use poststelle_nn::words::{Head, Settings, Vectorizer, WordsModel};
use poststelle_nn::{Network, Pooling};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub const TASKS: [(&str, usize, f32); 2] = [("queue", 5, 1.7), ("Wie eilig?", 3, 0.6)];
pub const MODELS: [&str; 3] = ["distilbert", "bert", "xlm-roberta"];
pub const TEXTS: [&str; 3] = [
    "Bitte die Rechnung senden",
    "a",
    "eins zwei drei, und noch vier oder fünf",
];

pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/tiny-model")
        .join(name)
}

pub fn schema() -> Schema {
    let task = |(name, labels, _): (&str, usize, f32)| {
        let labels = (0..labels).map(|n| Label::named(format!("{name} {n}")));
        Task::new(TaskName::new(name), None, labels.collect()).unwrap()
    };
    Schema::new(1, TASKS.map(task).into()).unwrap()
}

pub fn head(classes: usize, hidden: usize) -> Linear {
    let mut head = Linear::zeros(classes, hidden);
    let value = |n: usize| ((n * 7919 + classes) % 613) as f32 / 613.0 - 0.5;
    head.weight
        .iter_mut()
        .enumerate()
        .for_each(|(n, x)| *x = value(n));
    head.bias
        .iter_mut()
        .enumerate()
        .for_each(|(n, x)| *x = value(n + 99));
    head
}

pub fn manifest(encoder: Option<EncoderNote>) -> Manifest {
    let calibration = TASKS.map(|(name, _, temperature)| {
        let calibration = Calibration {
            temperature,
            auto: Some(0.9),
            suggest: None,
            ece: 0.0,
        };
        (TaskName::new(name), calibration)
    });
    Manifest {
        format: FORMAT,
        created: "2026-11-24T12:00:00Z".to_owned(),
        written_by: "test".to_owned(),
        schema_version: 1,
        schema_digest: schema().digest(),
        clean_profile: "request".to_owned(),
        clean_redact: "off".to_owned(),
        languages: Vec::new(),
        dataset: DatasetNote {
            train_digest: String::new(),
            train_examples: 0,
            validation_digest: String::new(),
            validation_examples: 0,
        },
        encoder,
        distilled: None,
        hybrid: None,
        calibration: calibration.into(),
        metrics: BTreeMap::new(),
        recipe: toml::Table::new(),
        files: BTreeMap::new(),
    }
}

pub fn words() -> WordsModel {
    let vectorizer = Vectorizer::fit(&TEXTS, &Settings::default());
    let features = vectorizer.features();
    let heads = TASKS.map(|(_, classes, _)| Head::new(vec![0.0; features * classes], vec![0.0; classes]));
    WordsModel::new(vectorizer, heads.into())
}

/// Writes a bundle on one of the tiny models.
pub fn write_bundle(folder: &Path, model: &str, pooling: Pooling, sharing: Sharing) {
    let base = fixture(model);
    let part = |tasks: Vec<usize>| {
        let encoder = hf::read(&base).unwrap();
        let heads = tasks
            .iter()
            .map(|task| head(TASKS[*task].1, encoder.config.hidden));
        let heads = heads.collect();
        let network = Network {
            encoder,
            pooling,
            heads,
        };
        Part::new(tasks, network, Arithmetic::F32).unwrap()
    };
    let parts = match sharing {
        Sharing::MultiTask => vec![part(vec![0, 1])],
        Sharing::SingleTask => vec![part(vec![0]), part(vec![1])],
    };
    let text = TextEncoder::open(&base, 64, "").unwrap();
    let mut models = Models {
        words: None,
        encoder: Some(EncoderModel { text, parts }),
    };
    let note = EncoderNote {
        base: model.to_owned(),
        base_digest: String::new(),
        sharing,
        pooling,
        max_tokens: 64,
        prefix: String::new(),
        shrunk: None,
    };
    bundle::save(
        folder,
        manifest(Some(note)),
        &schema(),
        &mut models,
        Some(&base),
        &[],
    )
    .unwrap();
}

/// Writes a bundle of a linear model alone.
pub fn write_linear(folder: &Path) {
    let mut models = Models {
        words: Some(words()),
        encoder: None,
    };
    bundle::save(folder, manifest(None), &schema(), &mut models, None, &[]).unwrap();
}
