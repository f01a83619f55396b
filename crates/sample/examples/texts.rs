//! Prints a set's authors' own words as JSON Lines, to measure how hard the labels are.
//!
//! `cargo run --release -p poststelle-sample --example texts -- 3000 7`

use serde_json::{Map, Value, json};

fn main() {
    let mut args = std::env::args().skip(1);
    let mut number = |default: u64| args.next().and_then(|arg| arg.parse().ok()).unwrap_or(default);
    let (count, seed) = (number(3000), number(7));
    for mail in poststelle_sample::generate(count as usize, seed) {
        let labels: Map<String, Value> = mail
            .labels
            .iter()
            .map(|(task, label)| (task.to_string(), json!(label)))
            .collect();
        println!(
            "{}",
            json!({
                "subject": mail.subject, "request": mail.request, "thread": mail.thread,
                "broker": mail.broker, "received_at": mail.received_at, "labels": labels,
                "raw": String::from_utf8_lossy(&mail.raw),
            })
        );
    }
}
