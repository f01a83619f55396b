//! SQLite shows the behaviour of a store.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

mod suite;

use poststelle_store::Store;
use std::sync::atomic::{AtomicU32, Ordering};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_is_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicU32::new(0);
    let fresh = async || {
        let n = count.fetch_add(1, Ordering::Relaxed);
        format!("sqlite:{}", folder.path().join(format!("{n}.db")).display())
    };
    suite::show(fresh).await;
}

#[tokio::test]
async fn what_is_no_sqlite_file_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mails.csv");
    std::fs::write(&file, "id,subject\n".repeat(1000)).unwrap();
    let text = suite::refused(&format!("sqlite:{}", file.display())).await;
    assert!(text.contains("mails.csv"), "{text}");
    assert_eq!(std::fs::read(&file).unwrap().len(), 11_000);
    let text = suite::refused("mysql://ada:secret@host/db").await;
    assert!(
        text.contains("mysql://ada:***@host/db") && text.contains("expected `sqlite:FILE`"),
        "{text}"
    );
    let text = suite::refused(&format!(
        "sqlite:{}",
        folder.path().join("no/such/folder.db").display()
    ))
    .await;
    assert!(text.contains("no/such/folder.db"), "{text}");
}

/// What an earlier process had not committed when it was killed is gone, what it had is there.
#[tokio::test]
async fn a_killed_writer_leaves_whole_transactions() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let address = format!("sqlite:{}", file.display());
    let me = std::env::current_exe().unwrap();
    let mut child = tokio::process::Command::new(me)
        .args(["--exact", "writes_until_it_is_killed", "--ignored"])
        .env("POSTSTELLE_TEST_STORE", &address)
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let store = Store::open(&address).await.unwrap();
    while store.events(0, 1000).await.unwrap().len() < 20 {
        assert!(child.try_wait().unwrap().is_none(), "the writer ended by itself");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    child.kill().await.unwrap();
    let events = store.events(0, 10_000).await.unwrap();
    poststelle_lifecycle::verify(None, &events).unwrap();
    assert_eq!(store.versions(None).await.unwrap().len(), events.len());
    assert!(
        store
            .register(&suite::now(), suite::new("after"))
            .await
            .unwrap()
            .1
    );
}

#[tokio::test]
#[ignore = "the other half of a_killed_writer_leaves_whole_transactions"]
async fn writes_until_it_is_killed() {
    let Some(address) = std::env::var_os("POSTSTELLE_TEST_STORE") else {
        return;
    };
    let store = Store::open(address.to_str().unwrap()).await.unwrap();
    for n in 0.. {
        store
            .register(&suite::now(), suite::new(&n.to_string()))
            .await
            .unwrap();
    }
}
