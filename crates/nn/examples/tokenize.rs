//! Reads texts with a bundle's mapped pieces and with the `tokenizers` crate, in turn, and compares every id.
//!
//! ```text
//! tokenize BUNDLE TEXTS      a text a line
//! ```
//!
//! Prints a JSON object: milliseconds to open, texts and megabytes a second on this process's cores (RAYON_NUM_THREADS), medians
//! of five, and how many texts differ.

use poststelle_kernels::lanes::Arithmetic;
use poststelle_nn::bundle::Bundle;
use poststelle_nn::encode::Encoder;
use std::path::Path;
use std::time::Instant;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bundle, texts] = &arguments[..] else {
        panic!("usage: tokenize BUNDLE TEXTS");
    };
    let folder = Path::new(bundle);
    let texts = std::fs::read_to_string(texts).unwrap_or_else(|error| panic!("`{texts}`: {error}"));
    let texts: Vec<&str> = texts.lines().collect();
    let bytes: usize = texts.iter().map(|text| text.len()).sum();
    let start = Instant::now();
    let opened = Bundle::open(folder, Arithmetic::Int8).unwrap_or_else(|error| panic!("{error}"));
    let bundle_ms = 1e3 * start.elapsed().as_secs_f64();
    let Some(note) = &opened.manifest().encoder else {
        panic!("the bundle has no encoder");
    };
    let start = Instant::now();
    let read = Encoder::open(folder, note.max_tokens, &note.prefix).unwrap_or_else(|error| panic!("{error}"));
    let read_ms = 1e3 * start.elapsed().as_secs_f64();
    let Some(model) = &opened.models().encoder else {
        panic!("the bundle has no encoder");
    };
    let mut seconds = [Vec::new(), Vec::new()];
    let mut differing = 0;
    for _ in 0..5 {
        let mut ids = Vec::new();
        for (encoder, seconds) in [&model.text, &read].into_iter().zip(&mut seconds) {
            let start = Instant::now();
            ids.push(encoder.encode(&texts).unwrap_or_else(|error| panic!("{error}")));
            seconds.push(start.elapsed().as_secs_f64());
        }
        differing = ids[0]
            .iter()
            .zip(&ids[1])
            .filter(|(mapped, read)| mapped != read)
            .count();
    }
    let [mapped, crate_s] = seconds.map(|mut all| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    });
    let rate = |seconds: f64| texts.len() as f64 / seconds;
    let megabytes = |seconds: f64| bytes as f64 / seconds / 1e6;
    println!(
        "{{\"whole_bundle_ms\": {bundle_ms:.1}, \"crate_open_ms\": {read_ms:.1}, \"mapped_texts_per_s\": {:.0}, \
         \"crate_texts_per_s\": {:.0}, \"mapped_mb_per_s\": {:.1}, \"crate_mb_per_s\": {:.1}, \"texts\": {}, \"differing\": {differing}}}",
        rate(mapped),
        rate(crate_s),
        megabytes(mapped),
        megabytes(crate_s),
        texts.len()
    );
}
