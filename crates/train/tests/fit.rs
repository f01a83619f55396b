//! The training loop on the tiny BERT of `fixtures/tiny-model`: it learns, repeats and goes on.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

use poststelle_labels::ClassIndex;
use poststelle_nn::encode::Encoding;
use poststelle_nn::{Network, Pooling, hf};
use poststelle_train::frozen::Told;
use poststelle_train::recipe::{PrecisionChoice, Train, Weighting};
use poststelle_train::report::{EvaluationReport, Event};
use poststelle_train::{Cache, Examples, Fit, FitError, FrozenError, Goal};
use std::path::{Path, PathBuf};

fn network() -> Network {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-model/bert");
    Network {
        encoder: hf::read(&folder).unwrap(),
        pooling: Pooling::Mean,
        heads: Vec::new(),
    }
}

/// Texts of two made-up tasks: which of three tokens stands in a text, and whether it is long. Some labels are missing.
fn examples(count: u32, offset: u32) -> (Vec<Encoding>, Vec<Vec<Option<ClassIndex>>>) {
    let mut encodings = Vec::new();
    let mut gold = vec![Vec::new(), Vec::new()];
    for i in offset..offset + count {
        let (class, long) = (i * 7 % 3, (i / 3) % 2);
        let mut ids = vec![2, 10 + class, 20 + i % 40];
        ids.extend((0..long * 5).map(|j| 30 + (i + j) % 50));
        ids.push(3);
        encodings.push(Encoding {
            ids,
            truncated: false,
        });
        gold[0].push((i % 5 != 0).then_some(ClassIndex(class)));
        gold[1].push((i % 4 != 0).then_some(ClassIndex(long)));
    }
    (encodings, gold)
}

fn settings() -> Train {
    Train {
        epochs: 4,
        batch: 8,
        learning_rate: 2e-3,
        head_learning_rate: 1e-2,
        dropout: Some(0.1),
        precision: PrecisionChoice::F32,
        ..Train::default()
    }
}

fn goals() -> Vec<Goal> {
    vec![
        Goal {
            classes: 3,
            weight: 1.0,
        },
        Goal {
            classes: 2,
            weight: 0.5,
        },
    ]
}

#[derive(Debug, PartialEq)]
struct Outcome {
    losses: Vec<f64>,
    evaluations: Vec<EvaluationReport>,
    weights: Vec<Vec<f32>>,
}

/// Runs to the end, or saves after `stop_at` updates, throws everything away and goes on from the file.
fn run(train: &Train, stop_at: Option<usize>) -> Outcome {
    run_with(train, stop_at, None, &mut Vec::new())
}

/// The same with the outputs of the frozen layers in a file; `told` hears of it.
fn run_with(
    train: &Train,
    stop_at: Option<usize>,
    cache: Option<Cache<'_>>,
    told: &mut Vec<Told>,
) -> Outcome {
    let ((learn, learn_gold), (valid, valid_gold)) = (examples(90, 0), examples(40, 200));
    let learning = Examples {
        encodings: &learn,
        gold: &learn_gold,
    };
    let validation = Examples {
        encodings: &valid,
        gold: &valid_gold,
    };
    let mut start = || {
        let mut fit = Fit::new(network(), train, goals(), learning, Some(validation)).unwrap();
        if let Some(cache) = cache {
            let outputs = fit.frozen_outputs(cache, &mut |event| told.push(event)).unwrap();
            outputs.into_iter().for_each(|outputs| fit.use_frozen(outputs));
        }
        fit
    };
    let mut fit = start();
    let planned = fit.memory();
    let (mut losses, mut evaluations) = (Vec::new(), Vec::new());
    let folder = tempfile::tempdir().unwrap();
    let mut resumed = false;
    while let Some(event) = fit.next() {
        assert_eq!(fit.memory(), planned, "memory is planned before the first update");
        match event.unwrap() {
            Event::Step(report) => {
                losses.push(report.loss);
                if Some(report.step) == stop_at && !resumed {
                    resumed = true;
                    let path = folder.path().join("checkpoint.safetensors");
                    fit.save(&path).unwrap();
                    fit = start();
                    fit.resume(&path).unwrap();
                }
            }
            Event::Evaluated(report) => evaluations.push(report),
        }
    }
    assert_eq!(resumed, stop_at.is_some());
    let mut network = fit.finish();
    let weights = network
        .parameters()
        .into_iter()
        .map(|p| p.values.to_vec())
        .collect();
    Outcome {
        losses,
        evaluations,
        weights,
    }
}

#[test]
fn learns_what_the_labels_say() {
    let outcome = run(
        &Train {
            epochs: 8,
            ..settings()
        },
        None,
    );
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    assert!(mean(&outcome.losses[outcome.losses.len() - 5..]) < 0.5 * mean(&outcome.losses[..3]));
    let best = outcome
        .evaluations
        .iter()
        .filter(|report| report.best)
        .map(|report| report.macro_f1)
        .next_back();
    assert!(best.unwrap() > 0.9, "{best:?}");
}

#[test]
fn a_run_repeats_bit_for_bit_and_another_seed_differs() {
    let (one, two) = (run(&settings(), None), run(&settings(), None));
    assert_eq!(one.losses, two.losses);
    assert_eq!(one.weights, two.weights);
    let other = run(
        &Train {
            seed: 14,
            ..settings()
        },
        None,
    );
    assert_ne!(one.losses, other.losses);
}

/// In the middle of an epoch, at its end, with frozen layers, and with a learning word-piece table.
#[test]
fn a_resumed_run_ends_as_if_it_had_not_stopped() {
    let variants = [
        settings(),
        Train {
            freeze_layers: 1,
            ..settings()
        },
        Train {
            freeze_words: false,
            accumulation: 2,
            ..settings()
        },
    ];
    for train in &variants {
        let whole = run(train, None);
        for stop_at in [3, whole.losses.len() / 4, whole.losses.len() / 2 + 1] {
            let parts = run(train, Some(stop_at));
            assert_eq!(whole.losses, parts.losses, "stopped after {stop_at}");
            assert_eq!(whole.evaluations, parts.evaluations);
            assert_eq!(whole.weights, parts.weights);
        }
    }
}

/// Without dropout, how a step's texts are divided into parts does not matter beyond rounding.
#[test]
fn gradients_add_up_over_the_parts_of_a_step() {
    let base = Train {
        dropout: Some(0.0),
        head_dropout: 0.0,
        epochs: 1,
        batch: 32,
        ..settings()
    };
    let whole = run(&base, None);
    for train in [
        Train {
            batch: 8,
            accumulation: 4,
            ..base.clone()
        },
        Train {
            micro_batch_tokens: 30,
            ..base.clone()
        },
    ] {
        let parts = run(&train, None);
        assert_eq!(whole.losses.len(), parts.losses.len());
        for (a, b) in whole.losses.iter().zip(&parts.losses) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }
}

#[test]
fn frozen_layers_keep_their_weights() {
    let before = network()
        .parameters()
        .into_iter()
        .map(|p| (p.depth, p.values.to_vec()))
        .collect::<Vec<_>>();
    let after = run(
        &Train {
            freeze_layers: 1,
            ..settings()
        },
        None,
    )
    .weights;
    for ((depth, old), new) in before.iter().zip(&after) {
        assert_eq!(old == new, *depth <= 1, "depth {depth}");
    }
}

#[test]
fn stops_when_validation_gets_no_better() {
    let train = Train {
        epochs: 40,
        patience: 2,
        learning_rate: 1e-6,
        head_learning_rate: 1e-6,
        ..settings()
    };
    let outcome = run(&train, None);
    assert!(outcome.evaluations.len() < 40);
    assert!(outcome.evaluations.last().unwrap().stopped);
}

#[test]
fn every_weighting_and_schedule_runs_to_a_finite_end() {
    use poststelle_train::recipe::Decay;
    for (class_weights, decay) in [
        (Weighting::Balanced, Decay::Cosine),
        (Weighting::SqrtBalanced, Decay::Constant),
    ] {
        let train = Train {
            class_weights,
            decay,
            label_smoothing: 0.1,
            layer_decay: 0.8,
            precision: PrecisionChoice::Auto,
            epochs: 2,
            ..settings()
        };
        assert!(run(&train, None).weights.iter().flatten().all(|x| x.is_finite()));
    }
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let (encodings, gold) = examples(10, 0);
    let none = vec![vec![None; 10], vec![None; 10]];
    let refused = |train: &Train, gold: &[Vec<Option<ClassIndex>>]| {
        Fit::new(
            network(),
            train,
            goals(),
            Examples {
                encodings: &encodings,
                gold,
            },
            None,
        )
        .err()
        .unwrap()
    };
    assert!(matches!(
        refused(&settings(), &none),
        FitError::NoLabels { examples: 10 }
    ));
    let frozen = Train {
        freeze_layers: 3,
        ..settings()
    };
    assert!(matches!(
        refused(&frozen, &gold),
        FitError::Frozen { found: 3, layers: 2 }
    ));
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let (encodings, gold) = examples(30, 0);
    let learning = Examples {
        encodings: &encodings,
        gold: &gold,
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let train = settings();
    Fit::new(network(), &train, goals(), learning, None)
        .unwrap()
        .save(&path)
        .unwrap();
    let other = Train {
        batch: 4,
        ..settings()
    };
    let error = Fit::new(network(), &other, goals(), learning, None)
        .unwrap()
        .resume(&path)
        .unwrap_err();
    assert!(error.to_string().contains("another run"), "{error}");
    std::fs::write(&path, b"not a checkpoint").unwrap();
    assert!(
        Fit::new(network(), &train, goals(), learning, None)
            .unwrap()
            .resume(&path)
            .is_err()
    );
}

/// With dropout, frozen layers, a learning table, parts of a step; and a run may go on the other way.
#[test]
fn computing_activations_again_changes_no_bit_and_takes_less_memory() {
    let variants = [
        settings(),
        Train {
            freeze_layers: 1,
            ..settings()
        },
        Train {
            freeze_words: false,
            micro_batch_tokens: 30,
            precision: PrecisionChoice::Auto,
            ..settings()
        },
    ];
    for train in &variants {
        let again = Train {
            recompute: true,
            ..train.clone()
        };
        assert_eq!(run(train, None), run(&again, None));
        let activations = |train: &Train| memory(train).activations;
        assert!(activations(&again) <= activations(train));
    }
    let again = Train {
        recompute: true,
        ..settings()
    };
    assert!(memory(&again).activations < memory(&settings()).activations);

    let (encodings, gold) = examples(90, 0);
    let learning = Examples {
        encodings: &encodings,
        gold: &gold,
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let fit = |train| Fit::new(network(), train, goals(), learning, None).unwrap();
    let kept = settings();
    fit(&kept).save(&path).unwrap();
    fit(&again).resume(&path).unwrap();
}

fn memory(train: &Train) -> poststelle_train::Memory {
    let (encodings, gold) = examples(90, 0);
    let learning = Examples {
        encodings: &encodings,
        gold: &gold,
    };
    Fit::new(network(), train, goals(), learning, None)
        .unwrap()
        .memory()
}

fn frozen() -> Train {
    Train {
        freeze_layers: 1,
        ..settings()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Computed each time, read from a file without a name, from a kept one, and from the one an earlier run kept.
#[test]
fn outputs_of_frozen_layers_in_a_file_change_no_bit() {
    for precision in [PrecisionChoice::F32, PrecisionChoice::Auto] {
        let train = Train {
            precision,
            ..frozen()
        };
        let expected = run(&train, None);
        let folder = tempfile::tempdir().unwrap();
        let caches = [
            Cache::Passing(folder.path()),
            Cache::Kept(folder.path()),
            Cache::Kept(folder.path()),
        ];
        for (cache, reused) in caches.into_iter().zip([false, false, true]) {
            for stop_at in [None, Some(13)] {
                let mut told = Vec::new();
                assert_eq!(run_with(&train, stop_at, Some(cache), &mut told), expected);
                let made = |told: &Told| matches!(told, Told::Ready { reused: false, .. });
                assert_eq!(
                    told.iter().any(made),
                    !reused && (stop_at.is_none() || cache == caches[0])
                );
            }
            let count = usize::from(cache != caches[0]);
            assert_eq!(files(folder.path()).len(), count, "{cache:?}");
        }
        // Other frozen weights, other texts or another arithmetic have another file.
        let deeper = Train {
            freeze_layers: 2,
            ..train
        };
        run_with(&deeper, None, Some(caches[1]), &mut Vec::new());
        assert_eq!(files(folder.path()).len(), 2);
    }
}

#[test]
fn a_kept_file_that_is_not_what_it_should_be_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Some(Cache::Kept(folder.path()));
    let expected = run_with(&frozen(), None, cache, &mut Vec::new());
    let path = files(folder.path()).remove(0);
    let whole = std::fs::read(&path).unwrap();
    let with = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cases = [
        (with(whole.len() / 2), "contents"),
        (with(3), "header"),
        (with(30), "header"),
        (whole[..whole.len() - 4].to_vec(), "bytes long"),
        (Vec::new(), "bytes long"),
    ];
    for (bytes, expected_reason) in cases {
        std::fs::write(&path, bytes).unwrap();
        let mut told = Vec::new();
        assert_eq!(run_with(&frozen(), None, cache, &mut told), expected);
        let Some(Told::Unfit { path: named, reason }) = told.first() else {
            panic!("{told:?}");
        };
        assert!(named == &path && reason.contains(expected_reason), "{reason}");
        assert!(std::fs::read(&path).unwrap() == whole, "the file is made anew");
    }
    // To read is enough where nothing is to be written.
    let mut permissions = std::fs::metadata(folder.path()).unwrap().permissions();
    let before = permissions.clone();
    permissions.set_readonly(true);
    std::fs::set_permissions(folder.path(), permissions).unwrap();
    let mut told = Vec::new();
    assert_eq!(run_with(&frozen(), None, cache, &mut told), expected);
    assert!(matches!(told[..], [Told::Ready { reused: true, .. }]), "{told:?}");
    std::fs::set_permissions(folder.path(), before).unwrap();
}

#[test]
fn a_place_where_no_file_can_be_made_is_named_with_the_bytes_it_takes() {
    let (encodings, gold) = examples(30, 0);
    let learning = Examples {
        encodings: &encodings,
        gold: &gold,
    };
    let tokens: usize = encodings.iter().map(|text| text.ids.len()).sum();
    let train = frozen();
    let mut fit = Fit::new(network(), &train, goals(), learning, None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    std::fs::write(&taken, b"a file, not a directory").unwrap();
    for cache in [Cache::Passing(&taken), Cache::Kept(&taken)] {
        let error = fit.frozen_outputs(cache, &mut |_| ()).unwrap_err();
        let FrozenError::Make { folder, bytes, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(folder, &taken);
        let width = network().encoder.config.hidden;
        assert!(*bytes > (tokens * width * 4) as u64 && *bytes < (tokens * width * 4 + 100) as u64);
    }
    assert!(fit.all(|event| event.is_ok()), "without the file the run goes on");
}
