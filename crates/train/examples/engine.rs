//! What `bench/engine/run.py` times of the encoder engine; each mode prints one JSON object.
//!
//! ```text
//! engine infer FOLDER int8|bf16|f32 LENGTHS      mails/s together and one by one, a lone text of 64 tokens
//! engine lone FOLDER int8|bf16|f32 SECONDS       a lone text of 64 tokens again and again
//! engine train FOLDER bf16|f32 LENGTHS BATCH [recompute]   samples/s over one epoch
//! engine grow FOLDER int8|bf16|f32               tokens/s against batch tokens and sequence length
//! ```
//!
//! `LENGTHS` is a file of token counts.

use poststelle_kernels::lanes::Arithmetic;
use poststelle_labels::ClassIndex;
use poststelle_nn::encode::{Batch, Encoding};
use poststelle_nn::encoder::Packed;
use poststelle_nn::{Network, Pooling, hf, model};
use poststelle_train::recipe::{PrecisionChoice, Train};
use poststelle_train::{Event, Examples, Fit, Goal};
use std::path::Path;
use std::time::{Duration, Instant};

/// Tokens of the text whose latency is measured.
const LONE: usize = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match &arguments[..] {
        ["infer", folder, precision, lengths] => {
            infer(&network(folder), arithmetic(precision), &texts(lengths))
        }
        ["lone", folder, precision, seconds] => {
            let seconds = seconds
                .parse()
                .unwrap_or_else(|_| panic!("`{seconds}` is no number of seconds"));
            let network = network(folder);
            let packed = pack(&network, arithmetic(precision));
            let [p50, p99] = lone(&network, &packed, Duration::from_secs_f64(seconds));
            println!("{{\"p50_ms\": {p50:.3}, \"p99_ms\": {p99:.3}}}");
        }
        ["train", folder, precision, lengths, batch, rest @ ..] => {
            let batch = batch
                .parse()
                .unwrap_or_else(|_| panic!("`{batch}` is no batch size"));
            let recompute = match rest {
                [] => false,
                ["recompute"] => true,
                _ => panic!("`{}` is not recompute", rest.join(" ")),
            };
            train(network(folder), precision, &texts(lengths), batch, recompute);
        }
        ["grow", folder, precision] => grow(&network(folder), arithmetic(precision)),
        _ => panic!("usage: engine infer|lone|train|grow FOLDER PRECISION …"),
    }
}

fn arithmetic(name: &str) -> Arithmetic {
    match name {
        "int8" => Arithmetic::Int8,
        "bf16" => Arithmetic::Bf16,
        "f32" => Arithmetic::F32,
        _ => panic!("`{name}` is not int8, bf16 or f32"),
    }
}

fn network(folder: &str) -> Network {
    Network {
        encoder: hf::read(Path::new(folder)).unwrap_or_else(|error| panic!("{error}")),
        pooling: Pooling::Mean,
        heads: Vec::new(),
    }
}

fn pack(network: &Network, arithmetic: Arithmetic) -> Packed {
    Packed::new(&network.encoder, arithmetic).unwrap_or_else(|error| panic!("{error}"))
}

/// Texts of `n` tokens, the ids those of the peers' script.
fn text(n: usize) -> Encoding {
    Encoding {
        ids: (0..n).map(|i| 1000 + (i * 7919 % 20_000) as u32).collect(),
        truncated: false,
    }
}

fn texts(lengths: &str) -> Vec<Encoding> {
    let lengths = std::fs::read_to_string(lengths).unwrap_or_else(|error| panic!("`{lengths}`: {error}"));
    let number = |n: &str| n.parse().unwrap_or_else(|_| panic!("`{n}` is no length"));
    lengths.split_whitespace().map(|n| text(number(n))).collect()
}

fn together(network: &Network, packed: &Packed, texts: &[Encoding]) -> f64 {
    let start = Instant::now();
    for batch in model::batches(texts) {
        network.embeddings(packed, &batch);
    }
    texts.len() as f64 / start.elapsed().as_secs_f64()
}

/// Milliseconds of a lone text: median and 99th percentile.
fn lone(network: &Network, packed: &Packed, time: Duration) -> [f64; 2] {
    let batch = Batch::pack([&text(LONE).ids[..]]);
    network.embeddings(packed, &batch);
    let (mut all, begun) = (Vec::new(), Instant::now());
    while begun.elapsed() < time {
        let start = Instant::now();
        network.embeddings(packed, &batch);
        all.push(1e3 * start.elapsed().as_secs_f64());
    }
    all.sort_by(f64::total_cmp);
    [all[all.len() / 2], all[all.len() * 99 / 100]]
}

fn infer(network: &Network, arithmetic: Arithmetic, texts: &[Encoding]) {
    let start = Instant::now();
    let packed = pack(network, arithmetic);
    let pack = 1e3 * start.elapsed().as_secs_f64();
    together(network, &packed, texts);
    let together = together(network, &packed, texts);
    let start = Instant::now();
    for text in texts {
        network.embeddings(&packed, &Batch::pack([&text.ids[..]]));
    }
    let single = texts.len() as f64 / start.elapsed().as_secs_f64();
    let [p50, p99] = lone(network, &packed, Duration::from_secs(2));
    println!(
        "{{\"pack_ms\": {pack:.1}, \"together\": {together:.2}, \"single\": {single:.2}, \"p50_ms\": {p50:.3}, \"p99_ms\": {p99:.3}}}"
    );
}

fn train(network: Network, precision: &str, texts: &[Encoding], batch: usize, recompute: bool) {
    let gold = vec![
        (0..texts.len())
            .map(|i| Some(ClassIndex((i % 10) as u32)))
            .collect::<Vec<_>>(),
    ];
    let settings = Train {
        epochs: 1,
        batch,
        precision: if precision == "f32" {
            PrecisionChoice::F32
        } else {
            PrecisionChoice::Bf16
        },
        dropout: Some(0.1),
        freeze_words: false,
        recompute,
        ..Train::default()
    };
    let goals = vec![Goal {
        classes: 10,
        weight: 1.0,
    }];
    let examples = Examples {
        encodings: texts,
        gold: &gold,
    };
    let mut fit =
        Fit::new(network, &settings, goals, examples, None).unwrap_or_else(|error| panic!("{error}"));
    let planned_mb = fit.memory().activations as f64 / 1e6;
    let (mut samples, mut begun) = (0, Instant::now());
    for (n, event) in fit.enumerate() {
        match event {
            // The first step also finds its memory.
            Ok(Event::Step(_)) if n == 0 => begun = Instant::now(),
            Ok(Event::Step(report)) => samples += report.samples,
            Ok(Event::Evaluated(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    println!(
        "{{\"samples_per_s\": {:.3}, \"peak_mb\": {:.1}, \"activations_mb\": {planned_mb:.1}}}",
        samples as f64 / begun.elapsed().as_secs_f64(),
        peak_mb()
    );
}

/// Largest resident memory of this process so far; Linux alone tells.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(f64::NAN) / 1024.0
}

fn grow(network: &Network, arithmetic: Arithmetic) {
    let packed = pack(network, arithmetic);
    let rate = |count: usize, length: usize| {
        let text = text(length).ids;
        let batch = Batch::pack((0..count).map(|_| &text[..]));
        network.embeddings(&packed, &batch);
        let (mut passes, begun) = (0, Instant::now());
        while passes < 3 || begun.elapsed() < Duration::from_millis(500) {
            network.embeddings(&packed, &batch);
            passes += 1;
        }
        (passes * count * length) as f64 / begun.elapsed().as_secs_f64()
    };
    let table = |cases: &[(usize, usize)], key: fn(&(usize, usize)) -> usize| -> String {
        let cells = cases
            .iter()
            .map(|case| format!("[{}, {:.0}]", key(case), rate(case.0, case.1)));
        cells.collect::<Vec<_>>().join(", ")
    };
    let by_tokens = [1, 2, 4, 8, 16, 32, 64, 128].map(|count| (count, 64));
    let by_length = [16, 32, 64, 128, 256, 512].map(|length| (8192 / length, length));
    println!(
        "{{\"by_batch_tokens\": [{}], \"by_length\": [{}]}}",
        table(&by_tokens, |(count, length)| count * length),
        table(&by_length, |(_, length)| *length)
    );
}
