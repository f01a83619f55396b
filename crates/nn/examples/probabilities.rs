//! What a bundle's encoder says in f32, for comparing exports with it: `probabilities BUNDLE < texts.jsonl`.
//!
//! Each line in is a JSON string; each line out an object with the text's token `ids` and per task its `logits` and, after the
//! temperature, its `probabilities`. `bench/export/check.py` reads them.

use poststelle_kernels::lanes::Arithmetic;
use poststelle_nn::bundle::Bundle;
use poststelle_nn::hybrid::Side;
use std::io::BufRead;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path: PathBuf = std::env::args_os().nth(1).ok_or("expected a bundle")?.into();
    let mut bundle = Bundle::open(&path, Arithmetic::F32)?;
    if bundle.manifest().hybrid.is_some() {
        bundle = bundle.alone(Side::Encoder).ok_or("a hybrid has two sides")?;
    }
    let encoder = bundle
        .models()
        .encoder
        .as_ref()
        .ok_or("the bundle has no encoder")?;
    for line in std::io::stdin().lock().lines() {
        let text: String = serde_json::from_str(&line?)?;
        let ids = &encoder.text.encode(&[&text])?[0].ids;
        let mut tasks = serde_json::Map::new();
        for (task, logits) in bundle.schema().tasks().iter().zip(encoder.logits(&[&text])?) {
            let calibration = bundle.manifest().calibration.get(task.name());
            let temperature = calibration.map_or(1.0, |calibration| calibration.temperature);
            let about = serde_json::json!({
                "logits": logits.row(0), "probabilities": logits.softmax(temperature).row(0),
            });
            tasks.insert(task.name().to_string(), about);
        }
        println!("{}", serde_json::json!({ "ids": ids, "tasks": tasks }));
    }
    Ok(())
}
