//! Exports of tiny bundles: the layout reads back bit for bit, and the graphs compute what the encoder computes.
//!
//! `bench/export/check.py` asks onnxruntime and transformers the same; they are too large for these tests.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

mod graph;
mod tiny;

use graph::Run;
use poststelle_kernels::lanes::Arithmetic;
use poststelle_nn::Pooling;
use poststelle_nn::bundle::{Bundle, EncoderNote};
use poststelle_nn::encoder::{Config, WordTable};
use poststelle_nn::export::{ExportError, Target, export};
use poststelle_nn::hf::{self, Checkpoint};
use poststelle_nn::model::Sharing;
use std::path::Path;
use tiny::{MODELS, TASKS, TEXTS, fixture, write_bundle, write_linear};

const FOLDERS: [&str; 2] = ["tasks/queue", "tasks/Wie_eilig_"];
/// Every model, pooling and sharing, as a bundle and its export.
fn cases(target: Target, mut check: impl FnMut(&Bundle, &Path, &Path)) {
    for model in MODELS {
        for pooling in [Pooling::Mean, Pooling::Cls] {
            for sharing in [Sharing::MultiTask, Sharing::SingleTask] {
                let folder = tempfile::tempdir().unwrap();
                let (from, to) = (folder.path().join("bundle"), folder.path().join("export"));
                write_bundle(&from, model, pooling, sharing);
                let written = export(&from, target, &to).unwrap();
                for file in &written.files {
                    assert!(to.join(file).is_file(), "{}", file.display());
                }
                let bundle = Bundle::open(&from, Arithmetic::F32).unwrap();
                check(&bundle, &from, &to);
            }
        }
    }
}

fn encoder_note(bundle: &Bundle) -> &EncoderNote {
    bundle.manifest().encoder.as_ref().unwrap()
}

fn far(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected);
    pairs.fold(0.0, |far, (a, b)| far.max((a - b).abs()))
}

#[test]
fn the_layout_reads_back_bit_for_bit() {
    cases(Target::HuggingFace, |bundle, from, to| {
        let mut places = FOLDERS.map(|folder| to.join(folder)).to_vec();
        let shared = encoder_note(bundle).sharing == Sharing::MultiTask;
        assert_eq!(to.join("model.safetensors").exists(), shared);
        if shared {
            places.push(to.to_path_buf());
            hf::read(to).unwrap();
        }
        let config = Config::read(&from.join("config.json")).unwrap();
        let mut expected = hf::read(&fixture(&encoder_note(bundle).base)).unwrap();
        for place in places {
            let mut found = Checkpoint::open(&place).unwrap().encoder(config.clone()).unwrap();
            let all = hf::gradients(&config, &mut expected.body).into_iter();
            let mut checked = 0;
            for ((name, found), (_, expected)) in hf::gradients(&config, &mut found.body).into_iter().zip(all)
            {
                assert_eq!(found, expected, "{name}");
                checked += 1;
            }
            assert!(checked > 20);
            assert!(matches!(found.words, WordTable::Mapped { .. }));
            let (mut a, mut b) = (vec![0.0; config.hidden], vec![0.0; config.hidden]);
            for id in 0..config.vocabulary as u32 {
                found.words.row(id, &mut a);
                expected.words.row(id, &mut b);
                assert_eq!(a, b);
            }
        }
    });
}

/// The family's own classifier as transformers computes it, or ours on the mean.
#[test]
fn classifiers_of_the_layout_give_logits_over_the_temperature() {
    cases(Target::HuggingFace, |bundle, from, to| {
        let encoder = bundle.models().encoder.as_ref().unwrap();
        let pooling = encoder_note(bundle).pooling;
        let config = Config::read(&from.join("config.json")).unwrap();
        let hidden = config.hidden;
        let texts = encoder.logits(&TEXTS).unwrap();
        let pooled = encoder.embeddings(&TEXTS).unwrap();
        for (((_, classes, temperature), folder), logits) in TASKS.into_iter().zip(FOLDERS).zip(texts) {
            let place = to.join(folder);
            let checkpoint = Checkpoint::open(&place).unwrap();
            let linear = |name: &str, outputs: usize, x: &[f32]| -> Vec<f32> {
                let map = hf::read_linear(&checkpoint, name, outputs, hidden).unwrap();
                let row = |n: usize| &map.weight[n * hidden..][..hidden];
                let dot = |n: usize| row(n).iter().zip(x).map(|(w, x)| w * x).sum::<f32>();
                (0..outputs).map(|n| map.bias[n] + dot(n)).collect()
            };
            let tanh = |x: Vec<f32>| x.into_iter().map(f32::tanh).collect::<Vec<_>>();
            for (row, x) in pooled.chunks(hidden).enumerate() {
                let found = match (pooling, encoder_note(bundle).base.as_str()) {
                    (Pooling::Mean, _) => linear("classifier", classes, x),
                    (_, "bert") => linear(
                        "classifier",
                        classes,
                        &tanh(linear("bert.pooler.dense", hidden, x)),
                    ),
                    (_, "distilbert") => {
                        let lifted = linear("pre_classifier", hidden, x);
                        assert!(lifted.iter().all(|x| *x > 0.0));
                        linear("classifier", classes, &lifted)
                    }
                    _ => {
                        let dense = tanh(linear("classifier.dense", hidden, x));
                        linear("classifier.out_proj", classes, &dense)
                    }
                };
                let expected: Vec<f32> = logits.row(row).iter().map(|z| z / temperature).collect();
                let far = far(&found, &expected);
                assert!(far < 2e-5, "{folder}: {far}");
            }
            let config = std::fs::read(place.join("config.json")).unwrap();
            let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
            assert_eq!(config["id2label"].as_object().unwrap().len(), classes);
            let mean = pooling == Pooling::Mean;
            // Under the family's name, the family's classifier would open with random weights.
            assert_eq!(config["model_type"] == "poststelle", mean);
            assert_eq!(place.join("modeling_poststelle.py").exists(), mean);
        }
    });
}

#[test]
fn graphs_compute_the_logits_of_padded_batches() {
    cases(Target::Onnx, |bundle, _, to| {
        let encoder = bundle.models().encoder.as_ref().unwrap();
        let encodings = encoder.text.encode(&TEXTS).unwrap();
        let longest = encodings.iter().map(|encoding| encoding.ids.len()).max().unwrap();
        let (mut ids, mut mask) = (Vec::new(), Vec::new());
        for encoding in &encodings {
            let padding = longest - encoding.ids.len();
            ids.extend(encoding.ids.iter().map(|id| f64::from(*id)));
            ids.extend(vec![0.0; padding]);
            mask.extend(vec![1.0; encoding.ids.len()]);
            mask.extend(vec![0.0; padding]);
        }
        let expected = encoder.logits(&TEXTS).unwrap();
        let whole = Run::open(to).outputs(&ids, &mask, TEXTS.len());
        assert_eq!(
            whole.keys().collect::<Vec<_>>(),
            ["logits_Wie_eilig_", "logits_queue"]
        );
        let about = std::fs::read(to.join("poststelle.json")).unwrap();
        let about: serde_json::Value = serde_json::from_slice(&about).unwrap();
        for (n, (name, _, temperature)) in TASKS.into_iter().enumerate() {
            let task = &about["tasks"][n];
            assert_eq!(task["name"], name);
            assert_eq!(task["temperature"].as_f64().unwrap() as f32, temperature);
            let found = &whole[task["output"].as_str().unwrap()];
            let apart = far(found, expected[n].values());
            assert!(apart < 1e-5, "{name}: {apart}");
            let alone =
                Run::open(&to.join(task["folder"].as_str().unwrap())).outputs(&ids, &mask, TEXTS.len());
            let scaled: Vec<f32> = expected[n].values().iter().map(|z| z / temperature).collect();
            let apart = far(&alone["logits"], &scaled);
            assert!(apart < 1e-5, "{name} alone: {apart}");
        }
    });
}

/// A word-piece table in half precision goes out as it is.
#[test]
fn narrow_tables_stay_narrow_and_give_the_same() {
    for model in ["variants/bert-f16", "variants/bert-bf16"] {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("bundle"), folder.path().join("export"));
        write_bundle(&from, model, Pooling::Mean, Sharing::MultiTask);
        export(&from, Target::Onnx, &to).unwrap();
        let bundle = Bundle::open(&from, Arithmetic::F32).unwrap();
        let encoder = bundle.models().encoder.as_ref().unwrap();
        let ids: Vec<f64> = encoder.text.encode(&TEXTS[..1]).unwrap()[0]
            .ids
            .iter()
            .map(|id| f64::from(*id))
            .collect();
        let found = Run::open(&to).outputs(&ids, &vec![1.0; ids.len()], 1);
        let expected = encoder.logits(&TEXTS[..1]).unwrap();
        assert!(
            far(&found["logits_queue"], expected[0].values()) < 1e-5,
            "{model}"
        );
    }
}

#[test]
fn refusals_say_what_is_in_the_way_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write_bundle(&at("bundle"), "bert", Pooling::Mean, Sharing::MultiTask);
    std::fs::create_dir(at("taken")).unwrap();
    let error = export(&at("bundle"), Target::Onnx, &at("taken")).unwrap_err();
    assert!(matches!(error, ExportError::Exists { .. }));
    assert!(error.to_string().contains("taken"), "{error}");

    std::fs::write(at("bundle").join("model.safetensors"), b"nothing").unwrap();
    let error = export(&at("bundle"), Target::Onnx, &at("export")).unwrap_err();
    assert!(error.to_string().contains("model.safetensors"), "{error}");

    write_linear(&at("linear"));
    for target in [Target::Onnx, Target::HuggingFace] {
        let error = export(&at("linear"), target, &at("export")).unwrap_err();
        assert!(matches!(error, ExportError::Linear { .. }), "{error}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 3, "{left:?}");
}
