//! Artifacts in a real S3 server.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

#[path = "servers/garage.rs"]
mod server;

use poststelle_lifecycle::Digest;
use poststelle_store::{BlobError, Blobs};
use server::Garage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn artifacts_go_to_s3_and_come_back_checked() {
    let garage = Garage::start();
    let options = |secret: &str| {
        [
            ("AWS_ENDPOINT_URL", garage.url.as_str()),
            ("AWS_REGION", "garage"),
            ("AWS_ACCESS_KEY_ID", garage.key.as_str()),
            ("AWS_SECRET_ACCESS_KEY", secret),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let blobs = Blobs::open("s3://models/production", options(&garage.secret)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (file, back) = (folder.path().join("file"), folder.path().join("back"));
    // In one piece, and in several.
    for size in [1000, 20 << 20] {
        let bytes: Vec<u8> = (0..size).map(|n: usize| (n * 31 % 251) as u8).collect();
        std::fs::write(&file, &bytes).unwrap();
        let (digest, found) = blobs.put(&file).await.unwrap();
        assert_eq!((digest.clone(), found), (Digest::of(&bytes), size as u64));
        blobs.put(&file).await.unwrap();
        blobs.fetch(&digest, &back).await.unwrap();
        assert!(std::fs::read(&back).unwrap() == bytes);
        assert_eq!(blobs.size(&digest).await.unwrap(), Some(size as u64));
    }
    let missing = blobs.fetch(&Digest::of(b"never"), &back).await.unwrap_err();
    assert!(matches!(missing, BlobError::NotFound { .. }), "{missing}");

    let wrong = Blobs::open("s3://models/production", options("wrong")).unwrap();
    let refused = wrong.put(&file).await.unwrap_err();
    let chain = format!("{refused}: {:?}", std::error::Error::source(&refused));
    assert!(
        chain.contains("artifact sha256:") && !chain.contains("wrong\""),
        "{chain}"
    );
    let nowhere = Blobs::open("s3://none/x", options(&garage.secret)).unwrap();
    assert!(nowhere.put(&file).await.is_err());
}
