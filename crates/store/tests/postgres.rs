//! PostgreSQL shows the behaviour of a store.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

#[path = "servers/postgres.rs"]
mod server;
mod suite;

use server::Cluster;
use std::sync::atomic::{AtomicU32, Ordering};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_a_store() {
    let cluster = Cluster::start();
    let count = AtomicU32::new(0);
    suite::show(async || cluster.make(&format!("store{}", count.fetch_add(1, Ordering::Relaxed)))).await;
    let wrong = cluster.address("store0").replace("secret", "guessed");
    let text = suite::refused(&wrong).await;
    assert!(text.contains("app:***@") && !text.contains("guessed"), "{text}");
    suite::refused(&cluster.address("nowhere")).await;
}
