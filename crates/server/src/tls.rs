//! The certificate of a TLS door, read again when it is renewed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Time between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file holds no PEM of its kind.
    #[error("cannot read {what} of `{}`, expected PEM", .path.display())]
    Read {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// The key is not the certificate's.
    #[error("certificate `{}` and key `{}` make no TLS server", .certificate.display(), .key.display())]
    Pair {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        source: tokio_rustls::rustls::Error,
    },
}

/// A certificate with its chain and its key, both in PEM.
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    stamp: Stamp,
    looked: Instant,
}

/// What tells that a file was renewed.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn open(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let stamp = stamp(&certificate, &key);
        let current = Current {
            config: read(&certificate, &key)?,
            stamp,
            looked: Instant::now(),
        };
        Ok(Self {
            certificate,
            key,
            current: Mutex::new(current),
        })
    }

    /// What shakes hands now. Files that were renewed are read; what is wrong with them is logged, and the old ones go on.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= LOOK_EVERY {
            current.looked = Instant::now();
            let found = stamp(&self.certificate, &self.key);
            if found != current.stamp {
                current.stamp = found;
                match read(&self.certificate, &self.key) {
                    Ok(config) => {
                        current.config = config;
                        tracing::info!("the certificate was renewed");
                    }
                    Err(error) => {
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::error!(%error, cause, "the renewed certificate cannot be used; the old one goes on");
                    }
                }
            }
        }
        TlsAcceptor::from(Arc::clone(&current.config))
    }
}

fn stamp(certificate: &Path, key: &Path) -> Stamp {
    [certificate, key].map(|path| {
        let about = fs::metadata(path).ok()?;
        Some((about.modified().ok()?, about.len()))
    })
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let wrong = |what, path: &Path| {
        let path = path.to_path_buf();
        move |source| TlsError::Read { what, path, source }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|chain| {
            if chain.is_empty() {
                Err(pem::Error::NoItemsFound)
            } else {
                Ok(chain)
            }
        })
        .map_err(wrong("the certificates", certificate))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(wrong("the private key", key))?;
    let pair = |source| TlsError::Pair {
        certificate: certificate.to_path_buf(),
        key: key.to_path_buf(),
        source,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
