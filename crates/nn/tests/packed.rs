//! Layers and word pieces in int8 as a bundle keeps them: mapped or packed anew, the answers are the same.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

mod tiny;

use poststelle_kernels::lanes::Arithmetic;
use poststelle_nn::bundle::{Bundle, OpenError};
use poststelle_nn::model::Sharing;
use poststelle_nn::{Logits, Pooling};
use std::path::{Path, PathBuf};
use tiny::{MODELS, TEXTS, write_bundle};

const FILE: &str = "packed.safetensors";

fn int8(folder: &Path) -> Result<Vec<Logits>, OpenError> {
    let bundle = Bundle::open(folder, Arithmetic::Int8)?;
    Ok(bundle.models().logits(None, &TEXTS).unwrap())
}

/// A bundle of each model and sharing, with the directories of its weights.
fn cases(mut check: impl FnMut(&Path, &[PathBuf])) {
    for model in MODELS {
        for sharing in [Sharing::MultiTask, Sharing::SingleTask] {
            let folder = tempfile::tempdir().unwrap();
            let bundle = folder.path().join("bundle");
            write_bundle(&bundle, model, Pooling::Mean, sharing);
            let places = match sharing {
                Sharing::MultiTask => vec![bundle.clone()],
                Sharing::SingleTask => vec![bundle.join("tasks/0"), bundle.join("tasks/1")],
            };
            check(&bundle, &places);
        }
    }
}

#[test]
fn what_was_written_answers_as_what_is_packed_anew() {
    cases(|bundle, places| {
        Bundle::verify(bundle).unwrap();
        let mapped = int8(bundle).unwrap();
        // A bundle of a release that wrote no such file.
        for place in places {
            std::fs::remove_file(place.join(FILE)).unwrap();
        }
        assert_eq!(int8(bundle).unwrap(), mapped);
    });
}

#[test]
fn one_bundle_is_written_the_same_twice_and_begins_on_a_cache_line() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| {
        let bundle = folder.path().join(name);
        write_bundle(&bundle, "xlm-roberta", Pooling::Cls, Sharing::MultiTask);
        std::fs::read(bundle.join(FILE)).unwrap()
    };
    let first = read("first");
    assert_eq!(first, read("second"));
    let header = u64::from_le_bytes(first[..8].try_into().unwrap()) + 8;
    assert_eq!(header % 64, 0);
}

#[test]
fn a_damaged_file_is_an_error_that_names_it() {
    cases(|bundle, places| {
        let path = places[0].join(FILE);
        let whole = std::fs::read(&path).unwrap();
        let text = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let error = int8(bundle).err().map(|error| error.to_string());
            error.unwrap_or_else(|| panic!("{} bytes were taken", bytes.len()))
        };
        for bytes in [0, 7, 100, whole.len() - 1] {
            assert!(text(&whole[..bytes]).contains(FILE), "{bytes} bytes");
        }
        // The digest of other weights, and a form of a later release.
        let at = |what: &[u8]| whole.windows(what.len()).position(|part| part == what).unwrap();
        let mut other = whole.clone();
        other[at(b"int8, of ") + 9] ^= 1;
        assert!(
            text(&other).contains("expected `form 1, int8, of "),
            "{}",
            text(&other)
        );
        let mut later = whole.clone();
        later[at(b"form 1") + 5] = b'9';
        assert!(text(&later).contains("it holds `form 9"), "{}", text(&later));
        // A layer's words under another name.
        let mut renamed = whole.clone();
        renamed[at(b"layers.0.up.words") + 7] = b'7';
        assert!(text(&renamed).contains(FILE), "{}", text(&renamed));
    });
}
