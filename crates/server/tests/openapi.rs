//! `docs/openapi.json` is what the gateway answers `GET /v1/openapi.json` with, wherever it stands.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

use serde_json::Value;

#[test]
fn the_document_in_docs_is_the_gateways() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let document = poststelle_server::openapi();
    if std::env::var_os("UPDATE").is_some() {
        let text = serde_json::to_string_pretty(&document).unwrap();
        std::fs::write(file, text + "\n").unwrap();
    }
    let kept: Value =
        serde_json::from_str(&std::fs::read_to_string(file).unwrap_or_default()).unwrap_or_default();
    assert!(
        kept == document,
        "docs/openapi.json is out of date: `UPDATE=1 cargo test --release -p poststelle-server --test openapi`, then clients/generate.sh"
    );
}
