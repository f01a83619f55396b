//! Times one training step and inference of the encoder engine; `bench/engine/run.py` compares it with PyTorch.
//!
//! Arguments: folder of a base model, `f32` or `bf16`. Prints one JSON object.

use poststelle_kernels::lanes::Arithmetic;
use poststelle_labels::ClassIndex;
use poststelle_nn::encode::{Batch, Encoding};
use poststelle_nn::encoder::Packed;
use poststelle_nn::{Network, Pooling, hf};
use poststelle_train::recipe::{PrecisionChoice, Train};
use poststelle_train::{Event, Examples, Fit, Goal};
use std::path::PathBuf;
use std::time::Instant;

const TEXTS: usize = 16;
const TOKENS: usize = 128;

/// The lengths of the inference set: the mail mix of the peer's script, read from its file.
fn lengths(path: &str) -> Vec<usize> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("`{path}`: {error}"));
    text.split_whitespace()
        .map(|n| n.parse().unwrap_or_else(|_| panic!("`{n}` is no length")))
        .collect()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, precision, mix] = &arguments[..] else {
        panic!("usage: engine FOLDER f32|bf16 LENGTHS")
    };
    let folder = PathBuf::from(folder);
    let (choice, arithmetic) = match precision.as_str() {
        "f32" => (PrecisionChoice::F32, Arithmetic::F32),
        "bf16" => (PrecisionChoice::Bf16, Arithmetic::Bf16),
        _ => (PrecisionChoice::Auto, Arithmetic::Int8),
    };
    let encoder = || hf::read(&folder).unwrap_or_else(|error| panic!("{error}"));
    let id = |i: usize| 1000 + (i * 7919 % 20_000) as u32;
    let encodings: Vec<Encoding> = (0..TEXTS)
        .map(|t| Encoding {
            ids: (0..TOKENS).map(|i| id(t * TOKENS + i)).collect(),
            truncated: false,
        })
        .collect();
    let gold = vec![
        (0..TEXTS)
            .map(|i| Some(ClassIndex((i % 10) as u32)))
            .collect::<Vec<_>>(),
    ];
    let train = Train {
        epochs: 8,
        batch: TEXTS,
        precision: choice,
        dropout: Some(0.1),
        ..Train::default()
    };
    let network = Network {
        encoder: encoder(),
        pooling: Pooling::Mean,
        heads: Vec::new(),
    };
    let goals = vec![Goal {
        classes: 10,
        weight: 1.0,
    }];
    let mut fit = Fit::new(
        network,
        &train,
        goals,
        Examples {
            encodings: &encodings,
            gold: &gold,
        },
        None,
    )
    .unwrap_or_else(|error| panic!("{error}"));
    let mut steps = Vec::new();
    loop {
        let start = Instant::now();
        match fit.next() {
            Some(Ok(Event::Step(_))) => steps.push(start.elapsed().as_secs_f64()),
            Some(Ok(Event::Evaluated(_))) => {}
            Some(Err(error)) => panic!("{error}"),
            None => break,
        }
    }
    steps.remove(0);
    steps.sort_by(f64::total_cmp);

    let network = Network {
        encoder: encoder(),
        pooling: Pooling::Mean,
        heads: Vec::new(),
    };
    let packed = Packed::new(&network.encoder, arithmetic).unwrap_or_else(|error| panic!("{error}"));
    let texts: Vec<Encoding> = lengths(mix)
        .into_iter()
        .map(|n| Encoding {
            ids: (0..n).map(id).collect(),
            truncated: false,
        })
        .collect();
    let one = Batch::pack([&encodings[0].ids[..64]]);
    network.embeddings(&packed, &one);
    let start = Instant::now();
    for batch in poststelle_nn::model::batches(&texts) {
        network.embeddings(&packed, &batch);
    }
    let mails = texts.len() as f64 / start.elapsed().as_secs_f64();
    let mut lone: Vec<f64> = (0..20)
        .map(|_| {
            let start = Instant::now();
            network.embeddings(&packed, &one);
            start.elapsed().as_secs_f64()
        })
        .collect();
    lone.sort_by(f64::total_cmp);
    println!(
        "{{\"train_samples_per_s\": {:.3}, \"mails_per_s\": {mails:.3}, \"p50_ms\": {:.3}}}",
        TEXTS as f64 / steps[steps.len() / 2],
        1e3 * lone[10]
    );
}
