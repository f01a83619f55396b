//! Our engine against Hugging Face transformers, on the tiny models of `fixtures/tiny-model`.
//!
//! `record.py` there says how the numbers were made and with which versions.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

use poststelle_kernels::Precision;
use poststelle_kernels::lanes::Arithmetic;
use poststelle_labels::ClassIndex;
use poststelle_nn::encode::{Batch, Encoder as TextEncoder};
use poststelle_nn::encoder::{Mode, Noise, Packed};
use poststelle_nn::loss::{Objective, cross_entropy};
use poststelle_nn::network::{Gradients, Workspace};
use poststelle_nn::{Network, Pooling, hf};
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::path::PathBuf;

const TASKS: [(&str, usize); 2] = [("queue", 5), ("priority", 3)];

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/tiny-model")
        .join(name)
}

/// The recorded tensors of one model.
struct Recorded(BTreeMap<String, Vec<f32>>, BTreeMap<String, Vec<i64>>);

impl Recorded {
    fn open(model: &str) -> Self {
        let bytes = std::fs::read(fixture(model).join("recorded.safetensors")).unwrap();
        let (mut floats, mut ints) = (BTreeMap::new(), BTreeMap::new());
        for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
            match view.dtype() {
                safetensors::Dtype::F32 => {
                    let values = view
                        .data()
                        .as_chunks::<4>()
                        .0
                        .iter()
                        .map(|x| f32::from_le_bytes(*x))
                        .collect();
                    floats.insert(name, values);
                }
                safetensors::Dtype::I64 => {
                    let values = view
                        .data()
                        .as_chunks::<8>()
                        .0
                        .iter()
                        .map(|x| i64::from_le_bytes(*x))
                        .collect();
                    ints.insert(name, values);
                }
                other => panic!("{name} is {other:?}"),
            }
        }
        Self(floats, ints)
    }

    fn floats(&self, name: &str) -> &[f32] {
        self.0.get(name).unwrap_or_else(|| panic!("no `{name}`"))
    }

    fn batch(&self) -> Batch {
        let ids: Vec<u32> = self.1["ids"]
            .iter()
            .map(|id| u32::try_from(*id).unwrap())
            .collect();
        let mut rest = &ids[..];
        let mut sequences = Vec::new();
        for length in &self.1["lengths"] {
            let (sequence, after) = rest.split_at(usize::try_from(*length).unwrap());
            sequences.push(sequence);
            rest = after;
        }
        assert!(rest.is_empty());
        Batch::pack(sequences)
    }

    fn gold(&self, task: &str) -> Vec<Option<ClassIndex>> {
        self.1[&format!("gold.{task}")]
            .iter()
            .map(|class| u32::try_from(*class).ok().map(ClassIndex))
            .collect()
    }

    /// The model of this folder with the recorded heads on it.
    fn network(&self, model: &str, pooling: Pooling) -> Network {
        let encoder = hf::read(&fixture(model)).unwrap();
        let heads = TASKS.map(|(task, classes)| {
            let mut head = poststelle_nn::encoder::Linear::zeros(classes, encoder.config.hidden);
            head.weight
                .copy_from_slice(self.floats(&format!("heads.{task}.weight")));
            head.bias
                .copy_from_slice(self.floats(&format!("heads.{task}.bias")));
            head
        });
        Network {
            encoder,
            pooling,
            heads: heads.into(),
        }
    }
}

/// The largest difference, relative to the largest expected value.
fn distance(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let most = expected.iter().fold(1e-3f32, |most, x| most.max(x.abs()));
    found
        .iter()
        .zip(expected)
        .fold(0.0f32, |far, (a, b)| far.max((a - b).abs()))
        / most
}

const MODELS: [&str; 3] = ["distilbert", "bert", "xlm-roberta"];
const POOLINGS: [(Pooling, &str); 2] = [(Pooling::Mean, "mean"), (Pooling::Cls, "cls")];

#[test]
fn logits_equal_those_of_transformers() {
    for model in MODELS {
        let recorded = Recorded::open(model);
        for (pooling, name) in POOLINGS {
            let network = recorded.network(model, pooling);
            let batch = recorded.batch();
            let packed = Packed::new(&network.encoder, Arithmetic::F32).unwrap();
            let hidden = network
                .encoder
                .hidden(Precision::F32, &batch, network.encoder.config.layers);
            assert!(
                distance(&hidden, recorded.floats("hidden")) < 1e-5,
                "{model} hidden"
            );
            for (logits, (task, _)) in network.logits(&packed, &batch).iter().zip(TASKS) {
                let expected = recorded.floats(&format!("logits.{name}.{task}"));
                let far = logits
                    .values()
                    .iter()
                    .zip(expected)
                    .fold(0.0f32, |far, (a, b)| far.max((a - b).abs()));
                assert!(far < 1e-5, "{model} {name} {task}: {far}");
            }
        }
    }
}

#[test]
fn gradients_of_every_parameter_equal_those_of_transformers() {
    for model in MODELS {
        let recorded = Recorded::open(model);
        for (pooling, name, smoothing) in [(Pooling::Mean, "mean", 0.1), (Pooling::Cls, "cls", 0.0f32)] {
            let mut network = recorded.network(model, pooling);
            network
                .encoder
                .words
                .own(network.encoder.config.vocabulary * network.encoder.config.hidden);
            let (loss, mut grads) = step(&recorded, &network, smoothing, Noise::NONE);
            let case = format!("{name}.{smoothing:.1}");
            let expected = f64::from(recorded.floats(&format!("loss.{case}"))[0]);
            assert!(
                (loss - expected).abs() < 1e-5,
                "{model} {case} loss {loss} {expected}"
            );

            let mut checked = 0;
            let config = network.encoder.config.clone();
            for (parameter, found) in hf::gradients(&config, &mut grads.body) {
                let expected = recorded.floats(&format!("grad.{case}.{parameter}"));
                let far = distance(found, expected);
                assert!(far < 1e-4, "{model} {case} {parameter}: {far}");
                checked += 1;
            }
            let table = recorded.floats(&format!("grad.{case}.embeddings.word_embeddings.weight"));
            let mut dense = vec![0.0; table.len()];
            for (row, values) in grads
                .words
                .ids()
                .iter()
                .zip(grads.words.values().chunks(config.hidden))
            {
                dense[*row as usize * config.hidden..][..config.hidden].copy_from_slice(values);
            }
            assert!(distance(&dense, table) < 1e-4, "{model} {case} word pieces");
            for (head, (task, _)) in grads.heads.iter().zip(TASKS) {
                for (found, part) in [(&head.weight, "weight"), (&head.bias, "bias")] {
                    let expected = recorded.floats(&format!("grad.{case}.heads.{task}.{part}"));
                    assert!(
                        distance(found, expected) < 1e-4,
                        "{model} {case} head {task} {part}"
                    );
                    checked += 1;
                }
            }
            assert_eq!(
                checked + 1,
                recorded
                    .0
                    .keys()
                    .filter(|key| key.starts_with(&format!("grad.{case}.")))
                    .count()
            );
        }
    }
}

/// One forward and backward pass over the recorded batch.
fn step(recorded: &Recorded, network: &Network, smoothing: f32, noise: Noise) -> (f64, Gradients) {
    let mode = Mode {
        precision: Precision::F32,
        noise,
        frozen: 0,
        learn_words: true,
        recompute: false,
    };
    let (mut workspace, mut grads) = (Workspace::default(), Gradients::zeros(network));
    let batch = recorded.batch();
    let all = network.forward(mode, &batch, None, &mut workspace);
    let mut total = 0.0;
    let mut logit_grads = Vec::new();
    for (logits, (task, _)) in all.iter().zip(TASKS) {
        let class_weights = recorded.floats(&format!("class_weights.{task}")).to_vec();
        let objective = Objective {
            class_weights,
            smoothing,
        };
        let gold = recorded.gold(task);
        let (loss, grad) = cross_entropy(logits, &gold, &objective, objective.weight_of(&gold), 1.0);
        total += loss;
        logit_grads.push(grad);
    }
    network.backward(mode, &batch, &logit_grads, &mut workspace, &mut grads);
    (total, grads)
}

/// With dropout on, the gradient is still the slope of the very loss that was computed: the masks of the backward
/// pass are those of the forward pass. Checked through every layer by finite differences.
#[test]
fn gradients_are_slopes_with_dropout_too() {
    let recorded = Recorded::open("bert");
    let noise = Noise::new(11, 0.2, 0.2, 0.2);
    let mut network = recorded.network("bert", Pooling::Mean);
    let (_, mut grads) = step(&recorded, &network, 0.1, noise);
    let slopes: Vec<(String, Vec<f32>)> = grads
        .parameters()
        .into_iter()
        .map(|p| (p.name, p.values.to_vec()))
        .collect();
    let mut checked = 0;
    for (n, (name, slope)) in slopes.iter().enumerate() {
        // The steepest element of each tensor: differences of an f32 loss drown the flat ones.
        let Some(i) = (0..slope.len()).max_by(|a, b| slope[*a].abs().total_cmp(&slope[*b].abs())) else {
            continue;
        };
        if slope[i].abs() < 1e-3 {
            continue;
        }
        let h = 2e-3;
        let mut moved = |by: f32| {
            network.parameters()[n].values[i] += by;
            let loss = step(&recorded, &network, 0.1, noise).0;
            network.parameters()[n].values[i] -= by;
            loss
        };
        let found = (moved(h) - moved(-h)) / f64::from(2.0 * h);
        let expected = f64::from(slope[i]);
        assert!(
            (found - expected).abs() < 0.02 * expected.abs() + 1e-3,
            "{name}: {found} {expected}"
        );
        checked += 1;
    }
    assert!(checked > 20, "only {checked} tensors have a slope to check");
}

/// Computing activations again gives the very same gradients, with dropout, from a fresh workspace and from a used one.
#[test]
fn recomputed_activations_give_the_same_gradients_bit_for_bit() {
    for family in ["bert", "distilbert", "xlm-roberta"] {
        let recorded = Recorded::open(family);
        let network = recorded.network(family, Pooling::Mean);
        let batch = recorded.batch();
        let short = Batch::pack([&[2, 11, 3][..]]);
        for precision in [Precision::F32, Precision::fastest()] {
            let mode = |recompute| Mode {
                precision,
                noise: Noise::new(11, 0.2, 0.2, 0.2),
                frozen: 0,
                learn_words: true,
                recompute,
            };
            let run = |mode: Mode, batches: &[&Batch]| {
                let (mut workspace, mut grads) = (Workspace::default(), Gradients::zeros(&network));
                for batch in batches {
                    let logits = network.forward(mode, batch, None, &mut workspace);
                    let logit_grads: Vec<_> = logits.iter().map(|logits| logits.values().to_vec()).collect();
                    network.backward(mode, batch, &logit_grads, &mut workspace, &mut grads);
                }
                let dense: Vec<_> = grads.parameters().iter().map(|p| p.values.to_vec()).collect();
                (
                    dense,
                    grads.words.ids().to_vec(),
                    grads.words.values().to_vec(),
                    workspace.bytes(),
                )
            };
            let batches = [&batch, &short, &batch];
            let (kept, again) = (run(mode(false), &batches), run(mode(true), &batches));
            assert!(
                kept.0 == again.0,
                "{family} {precision:?}: dense gradients differ"
            );
            assert!(
                (kept.1, kept.2) == (again.1, again.2),
                "{family} {precision:?}: rows differ"
            );
            assert!(again.3 < kept.3, "{family}: {} bytes, kept {}", again.3, kept.3);
        }
    }
}

/// The plan is what a batch of that size takes, and a smaller one takes no more.
#[test]
fn a_planned_workspace_does_not_grow() {
    let recorded = Recorded::open("bert");
    let network = recorded.network("bert", Pooling::Mean);
    let batch = recorded.batch();
    for (frozen, recompute) in [(0, false), (0, true), (1, false), (1, true), (2, false)] {
        let mode = Mode {
            precision: Precision::F32,
            noise: Noise::NONE,
            frozen,
            learn_words: false,
            recompute,
        };
        let (mut workspace, mut grads) = (Workspace::default(), Gradients::zeros(&network));
        workspace.plan(&network, mode, batch.len(), batch.texts());
        let planned = workspace.bytes();
        for batch in [&Batch::pack([&[2, 11, 3][..]]), &batch] {
            let logits = network.forward(mode, batch, None, &mut workspace);
            let logit_grads: Vec<_> = logits.iter().map(|logits| logits.values().to_vec()).collect();
            network.backward(mode, batch, &logit_grads, &mut workspace, &mut grads);
            assert_eq!(
                workspace.bytes(),
                planned,
                "{frozen} frozen, recompute {recompute}"
            );
        }
    }
}

#[test]
fn frozen_layers_give_the_same_gradients_above_them() {
    let recorded = Recorded::open("bert");
    let network = recorded.network("bert", Pooling::Mean);
    let batch = recorded.batch();
    let (_, mut all) = step(&recorded, &network, 0.0, Noise::NONE);
    let mode = Mode {
        precision: Precision::F32,
        noise: Noise::NONE,
        frozen: 1,
        learn_words: false,
        recompute: false,
    };
    let lower = network.encoder.hidden(Precision::F32, &batch, 1);
    for lower in [None, Some(&lower[..])] {
        let (mut workspace, mut grads) = (Workspace::default(), Gradients::zeros(&network));
        let logits = network.forward(mode, &batch, lower, &mut workspace);
        let logit_grads: Vec<_> = logits
            .iter()
            .zip(TASKS)
            .map(|(logits, (task, _))| {
                let class_weights = recorded.floats(&format!("class_weights.{task}")).to_vec();
                let objective = Objective {
                    class_weights,
                    smoothing: 0.0,
                };
                let gold = recorded.gold(task);
                cross_entropy(logits, &gold, &objective, objective.weight_of(&gold), 1.0).1
            })
            .collect();
        network.backward(mode, &batch, &logit_grads, &mut workspace, &mut grads);
        for (found, expected) in grads.parameters().iter().zip(all.parameters()) {
            if found.depth >= 2 {
                assert!(distance(found.values, expected.values) < 1e-5, "{}", found.name);
            } else {
                assert!(found.values.iter().all(|g| *g == 0.0), "{} is frozen", found.name);
            }
        }
    }
}

#[test]
fn reads_shards_prefixes_and_narrow_types() {
    let whole = hf::read(&fixture("bert")).unwrap();
    let batch = Recorded::open("bert").batch();
    let expected = whole.hidden(Precision::F32, &batch, 2);
    for (variant, tolerance) in [
        ("bert-sharded", 0.0),
        ("bert-pretraining", 0.0),
        ("bert-f16", 5e-3),
        ("bert-bf16", 5e-2),
    ] {
        let found = hf::read(&fixture("variants").join(variant))
            .unwrap()
            .hidden(Precision::F32, &batch, 2);
        assert!(
            distance(&found, &expected) <= tolerance,
            "{variant}: {}",
            distance(&found, &expected)
        );
    }
}

#[test]
fn what_is_written_reads_back_the_same() {
    for model in MODELS {
        let recorded = Recorded::open(model);
        let mut network = recorded.network(model, Pooling::Mean);
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(
            fixture(model).join("config.json"),
            folder.path().join("config.json"),
        )
        .unwrap();
        let heads: Vec<_> = network
            .heads
            .iter()
            .zip(TASKS)
            .map(|(h, (t, _))| (format!("heads.{t}"), h))
            .collect();
        hf::write(
            &mut network.encoder,
            &heads,
            &folder.path().join("model.safetensors"),
        )
        .unwrap();
        let again = hf::read(folder.path()).unwrap();
        let (batch, layers) = (recorded.batch(), again.config.layers);
        let hidden = again.hidden(Precision::F32, &batch, layers);
        assert_eq!(hidden, network.encoder.hidden(Precision::F32, &batch, layers));
        let checkpoint = hf::Checkpoint::open(folder.path()).unwrap();
        let head = hf::read_linear(&checkpoint, "heads.queue", 5, again.config.hidden).unwrap();
        assert_eq!(head.weight, network.heads[0].weight);
    }
}

#[test]
fn bf16_and_int8_stay_close_to_f32() {
    let recorded = Recorded::open("xlm-roberta");
    let network = recorded.network("xlm-roberta", Pooling::Mean);
    let batch = recorded.batch();
    let logits = |arithmetic| network.logits(&Packed::new(&network.encoder, arithmetic).unwrap(), &batch);
    let plain = logits(Arithmetic::F32);
    for arithmetic in [Arithmetic::Bf16, Arithmetic::Int8] {
        if arithmetic.supported().is_err() {
            continue;
        }
        for (plain, near) in plain.iter().zip(&logits(arithmetic)) {
            let far = distance(near.values(), plain.values());
            assert!(far < 0.05, "{arithmetic:?}: {far}");
        }
    }
}

/// Many texts, where threads take strips of their own, and few, where they share one: its blocks or its steps, by how many there are.
#[test]
fn a_text_has_the_same_answer_in_any_batch() {
    let recorded = Recorded::open("bert");
    let network = recorded.network("bert", Pooling::Mean);
    let vocabulary = network.encoder.config.vocabulary as u32;
    let longest = network.encoder.config.longest();
    let texts: Vec<Vec<u32>> = (0..400u32)
        .map(|n| {
            (0..1 + n * 7 % longest as u32)
                .map(|i| (n * 31 + i * 17) % vocabulary)
                .collect()
        })
        .collect();
    for arithmetic in [Arithmetic::F32, Arithmetic::Int8] {
        let packed = Packed::new(&network.encoder, arithmetic).unwrap();
        let logits =
            |texts: &[Vec<u32>]| network.logits(&packed, &Batch::pack(texts.iter().map(|text| &text[..])));
        let all = logits(&texts);
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            for (n, count) in [
                (0, 1),
                (1, 1),
                (9, 1),
                (13, 1),
                (20, 2),
                (60, 3),
                (100, 4),
                (200, 7),
                (399, 1),
            ] {
                let some = &texts[n..n + count];
                let few = pool.install(|| logits(some));
                let alone = pool.install(|| poststelle_nn::threads::alone(|| logits(some)));
                for (all, (few, alone)) in all.iter().zip(few.iter().zip(&alone)) {
                    for row in 0..count {
                        // Where a text begins in a block decides which sums are made in which order, no more.
                        let far = distance(all.row(n + row), alone.row(row));
                        assert!(far < 1e-5, "{arithmetic:?}, text {}: {far}", n + row);
                        let far = distance(few.row(row), alone.row(row));
                        assert!(
                            far < 1e-5,
                            "{arithmetic:?}, text {}, {threads} threads: {far}",
                            n + row
                        );
                    }
                }
            }
        }
    }
}

/// Tokenizers that have only `vocab.txt` cut texts as transformers' own do.
#[test]
fn word_pieces_equal_those_of_transformers() {
    #[derive(serde::Deserialize)]
    struct Case {
        text: String,
        ids: Vec<u32>,
    }
    let mut checked = 0;
    for variant in ["cased", "uncased"] {
        let folder = fixture("tokens").join(variant);
        let recorded: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("recorded.json")).unwrap()).unwrap();
        let list = recorded.get("cases").unwrap_or(&recorded).clone();
        let cases: Vec<Case> = serde_json::from_value(list).unwrap();
        let encoder = TextEncoder::open(&folder, 512, "").unwrap();
        for case in cases {
            let found = encoder.encode(&[&case.text]).unwrap();
            assert_eq!(found[0].ids, case.ids, "{variant}: {}", case.text);
            checked += 1;
        }
    }
    assert!(checked >= 12);
}

#[test]
fn a_long_text_is_cut_and_says_so() {
    let encoder = TextEncoder::open(&fixture("tokens").join("cased"), 8, "").unwrap();
    let found = encoder
        .encode(&["eins zwei drei vier fünf sechs sieben acht", "a"])
        .unwrap();
    assert!(found[0].truncated && found[0].ids.len() == 8);
    assert!(!found[1].truncated);
}

#[test]
fn special_tokens_spelled_out_in_a_mail_are_plain_text() {
    let encoder = TextEncoder::open(&fixture("tokens").join("cased"), 64, "").unwrap();
    let ids = &encoder.encode(&["eins [SEP] zwei"]).unwrap()[0].ids;
    let end = ids[ids.len() - 1];
    assert_eq!(ids.iter().filter(|id| **id == end).count(), 1, "{ids:?}");
}
