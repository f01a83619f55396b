//! Bytes named by what they are, in a directory or an S3 bucket.

use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};
use poststelle_lifecycle::{Digest, NameError};
// The client of `object_store`; it is a dependency of ours for the feature of TLS alone.
use reqwest as _;
use sha2::Digest as _;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes read or sent at a time.
const PART: usize = 8 << 20;

/// Why bytes cannot be kept or fetched.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The address names no object store.
    #[error("`{found}` is no place for artifacts, expected a directory or `s3://BUCKET/PREFIX`")]
    Address {
        /// The address.
        found: String,
    },
    /// The place cannot be used.
    #[error("cannot use `{address}` for artifacts")]
    Open {
        /// The address.
        address: String,
        /// Why.
        source: object_store::Error,
    },
    /// The place did not do what was asked.
    #[error("cannot {what} artifact {digest}")]
    Place {
        /// What was asked.
        what: &'static str,
        /// Of which blob.
        digest: Digest,
        /// Why.
        source: object_store::Error,
    },
    /// There is no such blob.
    #[error("there is no artifact {digest}")]
    NotFound {
        /// The blob.
        digest: Digest,
    },
    /// What is stored is not what its name says.
    #[error("artifact {expected} is damaged: its bytes are {found}")]
    Damaged {
        /// Its name.
        expected: Digest,
        /// What its bytes are.
        found: Digest,
    },
    /// A file here cannot be read or written.
    #[error("`{}`", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl From<NameError> for BlobError {
    fn from(error: NameError) -> Self {
        Self::Address { found: error.found }
    }
}

/// A place for artifacts.
#[derive(Clone)]
pub struct Blobs {
    place: Arc<dyn ObjectStore>,
    prefix: Key,
}

impl Blobs {
    /// Opens a directory (made where it is not there) or `s3://BUCKET/PREFIX`. `options` are those of S3 as the AWS tools name
    /// them in the environment, lower or upper case: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`,
    /// `AWS_REGION`, `AWS_ENDPOINT_URL`.
    ///
    /// # Errors
    /// [`BlobError::Address`], [`BlobError::Open`], [`BlobError::File`].
    pub fn open(
        address: &str,
        options: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, BlobError> {
        let open = |source| BlobError::Open {
            address: address.to_owned(),
            source,
        };
        if let Some(bucket) = address.strip_prefix("s3://") {
            // Whoever uses TLS first decides; it may be decided already.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let (bucket, prefix) = bucket.split_once('/').unwrap_or((bucket, ""));
            let mut builder = AmazonS3Builder::new().with_bucket_name(bucket);
            for (name, value) in options {
                if let Ok(key) = name.to_ascii_lowercase().parse() {
                    builder = builder.with_config(key, value);
                }
            }
            // An endpoint of one's own is addressed by path, and may be without TLS.
            let place = builder
                .with_allow_http(true)
                .with_virtual_hosted_style_request(false)
                .build()
                .map_err(open)?;
            return Ok(Self {
                place: Arc::new(place),
                prefix: Key::from(prefix),
            });
        }
        if address.contains("://") || address.is_empty() {
            let found = address.to_owned();
            return Err(BlobError::Address { found });
        }
        let folder = PathBuf::from(address);
        std::fs::create_dir_all(&folder).map_err(|source| BlobError::File {
            path: folder.clone(),
            source,
        })?;
        let place = LocalFileSystem::new_with_prefix(&folder)
            .map_err(open)?
            .with_fsync(true);
        Ok(Self {
            place: Arc::new(place),
            prefix: Key::default(),
        })
    }

    fn key(&self, digest: &Digest) -> Key {
        let (first, rest) = digest.hex().split_at(2);
        let parts = [self.prefix.as_ref(), "sha256", first, rest];
        Key::from_iter(
            parts
                .into_iter()
                .flat_map(|part| part.split('/'))
                .filter(|part| !part.is_empty()),
        )
    }

    /// Bytes of a blob; none where it is not there.
    ///
    /// # Errors
    /// [`BlobError::Place`].
    pub async fn size(&self, digest: &Digest) -> Result<Option<u64>, BlobError> {
        match self.place.head(&self.key(digest)).await {
            Ok(about) => Ok(Some(about.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(BlobError::Place {
                what: "look for",
                digest: digest.clone(),
                source,
            }),
        }
    }

    /// Keeps a file's bytes and says what they are and how many. What is there already, in full, is not sent again.
    ///
    /// # Errors
    /// [`BlobError::File`], [`BlobError::Place`]; then what was sent is nobody's.
    pub async fn put(&self, path: &Path) -> Result<(Digest, u64), BlobError> {
        let file = |source| BlobError::File {
            path: path.to_path_buf(),
            source,
        };
        let (digest, size) = digest_of(path).map_err(file)?;
        if self.size(&digest).await? == Some(size) {
            return Ok((digest, size));
        }
        let place = |source| BlobError::Place {
            what: "store",
            digest: digest.clone(),
            source,
        };
        let key = self.key(&digest);
        let mut source = std::fs::File::open(path).map_err(file)?;
        let mut part = vec![0; PART];
        if size <= PART as u64 {
            let mut bytes = Vec::with_capacity(size as usize);
            source.read_to_end(&mut bytes).map_err(file)?;
            self.place.put(&key, bytes.into()).await.map_err(place)?;
            return Ok((digest, size));
        }
        let upload = self.place.put_multipart(&key).await.map_err(place)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        loop {
            let read = source.read(&mut part).map_err(file)?;
            if read == 0 {
                break;
            }
            upload.wait_for_capacity(2).await.map_err(place)?;
            upload.write(&part[..read]);
        }
        upload.finish().await.map_err(place)?;
        Ok((digest, size))
    }

    /// Fetches a blob to a file, which appears whole and checked or not at all.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], [`BlobError::Damaged`], [`BlobError::Place`], [`BlobError::File`].
    pub async fn fetch(&self, digest: &Digest, path: &Path) -> Result<(), BlobError> {
        let place = |source| match source {
            object_store::Error::NotFound { .. } => BlobError::NotFound {
                digest: digest.clone(),
            },
            source => BlobError::Place {
                what: "fetch",
                digest: digest.clone(),
                source,
            },
        };
        let file = |source| BlobError::File {
            path: path.to_path_buf(),
            source,
        };
        let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let mut coming = tempfile::NamedTempFile::new_in(beside.unwrap_or(Path::new("."))).map_err(file)?;
        let key = self.key(digest);
        let size = self.place.head(&key).await.map_err(place)?.size;
        let mut hash = sha2::Sha256::new();
        let mut start = 0;
        while start < size {
            let end = (start + PART as u64).min(size);
            let bytes = self.place.get_range(&key, start..end).await.map_err(place)?;
            hash.update(&bytes);
            coming.write_all(&bytes).map_err(file)?;
            start = end;
        }
        let found = Digest::of_hash(hash.finalize().as_slice());
        if found != *digest {
            return Err(BlobError::Damaged {
                expected: digest.clone(),
                found,
            });
        }
        coming.as_file().sync_all().map_err(file)?;
        coming.persist(path).map_err(|error| file(error.error))?;
        Ok(())
    }

    /// Removes a blob, if it is there.
    ///
    /// # Errors
    /// [`BlobError::Place`].
    pub async fn remove(&self, digest: &Digest) -> Result<(), BlobError> {
        match self.place.delete(&self.key(digest)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(BlobError::Place {
                what: "remove",
                digest: digest.clone(),
                source,
            }),
        }
    }
}

/// What a file's bytes are, and how many.
fn digest_of(path: &Path) -> io::Result<(Digest, u64)> {
    let mut file = std::fs::File::open(path)?;
    let mut hash = sha2::Sha256::new();
    let (mut part, mut size) = (vec![0; PART], 0);
    loop {
        let read = file.read(&mut part)?;
        if read == 0 {
            return Ok((Digest::of_hash(hash.finalize().as_slice()), size));
        }
        hash.update(&part[..read]);
        size += read as u64;
    }
}
