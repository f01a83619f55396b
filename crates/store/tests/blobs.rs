//! Artifacts in a directory.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

use poststelle_lifecycle::Digest;
use poststelle_store::{BlobError, Blobs};
use std::path::Path;

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push(path)
        }
    }
    found
}

#[tokio::test]
async fn what_is_put_is_found_by_its_digest_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("artifacts");
    let blobs = Blobs::open(place.to_str().unwrap(), []).unwrap();
    for size in [0, 1, 20 << 20] {
        let file = folder.path().join("file");
        let bytes: Vec<u8> = (0..size).map(|n: usize| (n * 31 % 251) as u8).collect();
        std::fs::write(&file, &bytes).unwrap();
        let (digest, found) = blobs.put(&file).await.unwrap();
        assert_eq!((digest.clone(), found), (Digest::of(&bytes), size as u64));
        assert_eq!(blobs.put(&file).await.unwrap().0, digest, "again");
        let back = folder.path().join("back");
        blobs.fetch(&digest, &back).await.unwrap();
        assert_eq!(std::fs::read(&back).unwrap(), bytes);
        std::fs::remove_file(&back).unwrap();
    }
    assert_eq!(files(&place).len(), 3);
    let missing = blobs
        .fetch(&Digest::of(b"never"), &folder.path().join("back"))
        .await
        .unwrap_err();
    assert!(matches!(missing, BlobError::NotFound { .. }), "{missing}");

    let digest = Digest::of(&[0]);
    let stored = files(&place)
        .into_iter()
        .find(|file| file.ends_with(&digest.hex()[2..]))
        .unwrap();
    std::fs::write(stored, [1]).unwrap();
    let damaged = blobs
        .fetch(&digest, &folder.path().join("back"))
        .await
        .unwrap_err();
    assert!(damaged.to_string().contains(digest.as_str()), "{damaged}");
    assert!(matches!(damaged, BlobError::Damaged { .. }) && !folder.path().join("back").exists());
    blobs.remove(&digest).await.unwrap();
    blobs.remove(&digest).await.unwrap();
    assert_eq!(blobs.size(&digest).await.unwrap(), None);
}

#[tokio::test]
async fn a_place_that_is_none_says_so() {
    let error = |address: &str| Blobs::open(address, []).err().unwrap().to_string();
    assert!(error("ftp://host/x").contains("expected a directory or `s3://BUCKET/PREFIX`"));
    assert!(error("/proc/nowhere").contains("/proc/nowhere"));
}
