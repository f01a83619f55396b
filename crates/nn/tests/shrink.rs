//! Bundles on the tiny models with word pieces dropped: the same answers where the pieces stayed, readable elsewhere.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

mod tiny;

use poststelle_kernels::Precision;
use poststelle_kernels::lanes::Arithmetic;
use poststelle_nn::bundle::{Bundle, SaveError, ShrinkNote};
use poststelle_nn::encode::{Batch, Encoder as TextEncoder};
use poststelle_nn::encoder::{Config, Mode};
use poststelle_nn::model::Sharing;
use poststelle_nn::network::{Gradients, Workspace};
use poststelle_nn::shrink::{Difference, ShrinkError, Shrunk, compare, shrink};
use poststelle_nn::{Logits, Pooling};
use std::path::Path;
use tiny::{MODELS, TEXTS, write_bundle, write_linear};

/// Shrinks one bundle to another.
fn shrunk(from: &Path, texts: &[&str], to: &Path) -> Result<Shrunk, ShrinkError> {
    let bundle = Bundle::open(from, Arithmetic::F32).unwrap();
    shrink(&bundle, texts, to, "2026-11-25T12:00:00Z", "test")
}

fn reader(folder: &Path) -> TextEncoder {
    TextEncoder::open(folder, 64, "").unwrap()
}

fn logits(bundle: &Bundle, texts: &[&str]) -> Vec<Logits> {
    bundle.models().logits(None, texts).unwrap()
}

/// Every model and sharing, as a bundle and what is left of it for `TEXTS`.
fn cases(mut check: impl FnMut(&Path, &Path, &Shrunk)) {
    for model in MODELS {
        for sharing in [Sharing::MultiTask, Sharing::SingleTask] {
            let folder = tempfile::tempdir().unwrap();
            let (from, to) = (folder.path().join("bundle"), folder.path().join("small"));
            write_bundle(&from, model, Pooling::Mean, sharing);
            let shrunk = shrunk(&from, &TEXTS, &to).unwrap();
            check(&from, &to, &shrunk);
        }
    }
}

#[test]
fn texts_whose_pieces_were_kept_get_the_same_answer_bit_for_bit() {
    // The words of `TEXTS` in another order are made of the same pieces.
    let shuffled = "oder fünf, Rechnung senden noch und drei";
    let texts = [TEXTS[0], TEXTS[1], TEXTS[2], shuffled];
    cases(|from, to, shrunk| {
        let pieces = shrunk.vocabulary.old.len();
        assert!(pieces < shrunk.pieces_before, "{pieces}");
        assert!(shrunk.bytes < shrunk.bytes_before);
        let config = Config::read(&to.join("config.json")).unwrap();
        assert_eq!(config.vocabulary, pieces);
        let difference = compare(&reader(from), &reader(to), &shrunk.vocabulary, &texts).unwrap();
        assert_eq!((difference.texts, difference.changed), (4, 0));
        assert_eq!(difference.tokens, difference.tokens_before);
        for arithmetic in [Arithmetic::F32, Arithmetic::Int8] {
            let of = |folder: &Path| logits(&Bundle::open(folder, arithmetic).unwrap(), &texts);
            assert_eq!(of(from), of(to));
        }
    });
}

/// A word that nobody wrote falls into shorter pieces; what no piece ever spelled stays unknown.
#[test]
fn what_could_be_read_before_can_be_read_after() {
    let texts = ["please password bitte nicht Sie", "\u{5bc6} nicht", "bitte"];
    cases(|from, to, shrunk| {
        let difference = compare(&reader(from), &reader(to), &shrunk.vocabulary, &texts).unwrap();
        let Difference {
            changed,
            tokens_before,
            tokens,
            unknown_before,
            unknown,
            ..
        } = difference;
        assert!(changed >= 2 && tokens > tokens_before, "{difference:?}");
        assert_eq!((unknown_before, unknown), (1, 1), "{difference:?}");
    });
}

#[test]
fn the_result_says_what_it_is_and_can_be_shrunk_and_trained_on() {
    cases(|from, to, first| {
        Bundle::verify(to).unwrap();
        let (before, small) = (
            Bundle::open(from, Arithmetic::F32),
            Bundle::open(to, Arithmetic::F32),
        );
        let (before, small) = (before.unwrap(), small.unwrap());
        assert_eq!(small.manifest(), &first.manifest);
        let note = |bundle: &Bundle| bundle.manifest().encoder.clone().unwrap().shrunk;
        let pieces = first.vocabulary.old.len();
        let expected = ShrinkNote {
            from: before.digest().to_owned(),
            pieces_before: first.pieces_before,
            pieces,
        };
        assert_eq!((note(&before), note(&small)), (None, Some(expected)));

        // Again, for fewer mails: the pieces of the others go too, and the text left reads as it did.
        let again = to.with_file_name("smaller");
        let second = shrunk(to, &TEXTS[..1], &again).unwrap();
        let smaller = Bundle::open(&again, Arithmetic::F32).unwrap();
        assert_eq!(second.pieces_before, pieces);
        assert!(second.vocabulary.old.len() <= pieces);
        assert_eq!(note(&smaller).unwrap().from, small.digest());
        assert_eq!(logits(&smaller, &TEXTS[..1]), logits(&before, &TEXTS[..1]));

        for (tasks, mut network) in smaller.networks().unwrap() {
            let (width, rows) = (network.encoder.config.hidden, network.encoder.config.vocabulary);
            network.encoder.words.own(rows * width);
            let ids = reader(&again).encode(&TEXTS[..1]).unwrap().remove(0).ids;
            let batch = Batch::pack([&ids[..]]);
            let mode = Mode {
                learn_words: true,
                ..Mode::inference(Precision::F32)
            };
            let (mut workspace, mut grads) = (Workspace::default(), Gradients::zeros(&network));
            let logits = network.forward(mode, &batch, None, &mut workspace);
            let push: Vec<Vec<f32>> = logits.iter().map(|l| vec![1.0; l.values().len()]).collect();
            network.backward(mode, &batch, &push, &mut workspace, &mut grads);
            assert_eq!(logits.len(), tasks.len());
            assert!(grads.body.layers[0].qkv.weight.iter().any(|x| *x != 0.0));
        }
    });
}

/// Positions of XLM-RoBERTa are counted from the padding id, so the ids up to it stay.
#[test]
fn the_first_ids_of_xlm_roberta_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("bundle"), folder.path().join("small"));
    write_bundle(&from, "xlm-roberta", Pooling::Cls, Sharing::MultiTask);
    let shrunk = shrunk(&from, &["a"], &to).unwrap();
    assert_eq!(shrunk.vocabulary.old[..4], [0, 1, 2, 3]);
    let (before, after) = (from.join("config.json"), to.join("config.json"));
    let (before, after) = (Config::read(&before).unwrap(), Config::read(&after).unwrap());
    assert_eq!(
        (before.first_position, before.longest()),
        (after.first_position, after.longest())
    );
}

#[test]
fn refusals_say_what_is_in_the_way_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write_linear(&at("linear"));
    let error = shrunk(&at("linear"), &TEXTS, &at("small")).unwrap_err();
    assert!(matches!(error, ShrinkError::NoEncoder { .. }));
    assert!(error.to_string().contains("linear"), "{error}");

    write_bundle(&at("bundle"), "bert", Pooling::Mean, Sharing::MultiTask);
    let error = shrunk(&at("bundle"), &[], &at("small")).unwrap_err();
    assert!(matches!(error, ShrinkError::NoTexts), "{error}");
    let error = shrunk(&at("bundle"), &TEXTS, &at("linear")).unwrap_err();
    assert!(
        matches!(error, ShrinkError::Save(SaveError::Exists { .. })),
        "{error}"
    );

    // Pieces that are merged of each other cannot be dropped one by one.
    let path = at("bundle").join("tokenizer.json");
    let merges = r###"{"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}}"###;
    let bundle = Bundle::open(&at("bundle"), Arithmetic::F32).unwrap();
    std::fs::write(&path, merges).unwrap();
    let error = shrink(&bundle, &TEXTS, &at("small"), "", "").unwrap_err();
    assert!(error.to_string().contains("BPE"), "{error}");
    assert!(!at("small").exists());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}
