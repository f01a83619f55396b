//! One file over HTTP, continued where it broke off and compared with its checksum.
//!
//! The bytes go to `<name>.part` and are hashed on the way; only a complete, verified file gets its name. A `.part`
//! of an earlier process is hashed once and continued with a `Range` request, so a laptop lid costs nothing.

use crate::digest;
use crate::error::{PullError, chain};
use crate::event::Event;
use crate::manifest::File;
use crate::options::Options;
use sha2::{Digest, Sha256};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use ureq::http::{Response, StatusCode, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

/// Breaks without a new byte after which a transfer is given up.
const TRIES: u32 = 5;

/// What a complete file must be, as far as its host says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    /// Bytes.
    pub(crate) size: Option<u64>,
    /// 64 hex digits.
    pub(crate) sha256: Option<String>,
}

/// Speaks HTTP with the caller's time-outs and certificates.
pub(crate) struct Client {
    agent: Agent,
    retry_wait: Duration,
}

impl Client {
    /// Makes a client that trusts the roots of `options.certificates`, or else the system's.
    ///
    /// # Errors
    /// [`PullError::Certificates`] if that file has none.
    pub(crate) fn new(options: &Options) -> Result<Self, PullError> {
        let roots = match &options.certificates {
            Some(path) => named_roots(path)?,
            None => RootCerts::PlatformVerifier,
        };
        let agent = Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .timeout_resolve(Some(options.connect_timeout))
            .timeout_connect(Some(options.connect_timeout))
            .timeout_recv_response(Some(options.stall_timeout))
            .timeout_per_read(Some(options.stall_timeout))
            .http_status_as_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("poststelle/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self {
            agent,
            retry_wait: options.retry_wait,
        })
    }

    /// GETs or HEADs without following redirects where `follow` is false.
    ///
    /// # Errors
    /// [`PullError::Unreachable`] if no answer of the host itself arrives; gateways' 502 to 504 count as none.
    pub(crate) fn ask(
        &self,
        head: bool,
        url: &str,
        headers: &[(&str, String)],
        follow: bool,
    ) -> Result<Response<Body>, PullError> {
        let mut request = if head {
            self.agent.head(url)
        } else {
            self.agent.get(url)
        };
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let redirects = if follow { 10 } else { 0 };
        let request = request
            .config()
            .max_redirects(redirects)
            .max_redirects_will_error(follow)
            .build();
        let unreachable = |reason: String| PullError::Unreachable {
            host: host(url),
            reason,
        };
        let response = request.call().map_err(|error| unreachable(chain(&error)))?;
        match response.status() {
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                Err(unreachable(format!("status {}", response.status().as_u16())))
            }
            _ => Ok(response),
        }
    }

    /// Fetches `url` to `dir/name` and returns its size and sha256.
    ///
    /// A complete `dir/name` of an earlier pull is hashed and kept if it is right.
    ///
    /// # Errors
    /// [`PullError::Checksum`] if the whole file, fetched afresh, is not what was expected;
    /// [`PullError::Interrupted`] after five breaks without progress (the part is kept);
    /// [`PullError::Unreachable`] if the host never answered; [`PullError::Answer`] for another status.
    pub(crate) fn fetch(
        &self,
        url: &str,
        headers: &[(&str, String)],
        dir: &Path,
        name: &str,
        expected: &Expected,
        progress: &mut dyn FnMut(Event),
    ) -> Result<File, PullError> {
        let done = dir.join(name);
        if done.is_file() {
            let (size, sha256) = digest::file(&done).map_err(PullError::disk("read", &done))?;
            if check(name, expected, size, &sha256).is_ok() {
                progress(Event::Complete {
                    file: name.to_owned(),
                    bytes: size,
                });
                return Ok(File {
                    name: name.to_owned(),
                    size,
                    sha256,
                });
            }
            fs::remove_file(&done).map_err(PullError::disk("remove", &done))?;
        }
        let mut part = Part::open(dir.join(format!("{name}.part")))?;
        let inherited = part.size > 0;
        if let Err(error) = self.fill(&mut part, url, headers, name, expected, progress) {
            // Nothing of it here and nobody there: the next source may do better.
            let never = part.size == 0;
            return Err(match error {
                PullError::Interrupted { reason, .. } if never => PullError::Unreachable {
                    host: host(url),
                    reason,
                },
                other => other,
            });
        }
        let (mut size, mut sha256) = part.finish();
        if let Err(error) = check(name, expected, size, &sha256) {
            part.clear()?;
            if !inherited {
                return Err(error);
            }
            // What an earlier process left may have been another file's beginning.
            progress(Event::Resuming {
                file: name.to_owned(),
                at: 0,
            });
            self.fill(&mut part, url, headers, name, expected, progress)?;
            (size, sha256) = part.finish();
            if let Err(error) = check(name, expected, size, &sha256) {
                part.clear()?;
                return Err(error);
            }
        }
        fs::rename(&part.path, &done).map_err(PullError::disk("rename", &part.path))?;
        progress(Event::Complete {
            file: name.to_owned(),
            bytes: size,
        });
        Ok(File {
            name: name.to_owned(),
            size,
            sha256,
        })
    }

    /// Appends to `part` until it is as long as the host says.
    fn fill(
        &self,
        part: &mut Part,
        url: &str,
        headers: &[(&str, String)],
        name: &str,
        expected: &Expected,
        progress: &mut dyn FnMut(Event),
    ) -> Result<(), PullError> {
        // Progress is a byte no earlier try has reached: a host that breaks at the same place for ever makes none.
        let (mut idle, mut furthest) = (0, 0);
        loop {
            if expected.size.is_some_and(|size| part.size > size) {
                part.clear()?;
            }
            if expected.size == Some(part.size) {
                return Ok(());
            }
            if part.size > 0 {
                progress(Event::Resuming {
                    file: name.to_owned(),
                    at: part.size,
                });
            }
            let reason = match self.stretch(part, url, headers, name, expected, progress) {
                Ok(true) => return Ok(()),
                Ok(false) => "the transfer ended early".to_owned(),
                Err(Break::Fatal(error)) => return Err(error),
                Err(Break::Again(reason)) => reason,
            };
            idle = if part.size > furthest { 0 } else { idle + 1 };
            furthest = furthest.max(part.size);
            if idle >= TRIES {
                return Err(PullError::Interrupted {
                    file: name.to_owned(),
                    at: part.size,
                    reason,
                });
            }
            thread::sleep(self.retry_wait * 2u32.pow(idle));
        }
    }

    /// One request and its body; true once the file is complete.
    fn stretch(
        &self,
        part: &mut Part,
        url: &str,
        headers: &[(&str, String)],
        name: &str,
        expected: &Expected,
        progress: &mut dyn FnMut(Event),
    ) -> Result<bool, Break> {
        let mut headers = headers.to_vec();
        if part.size > 0 {
            headers.push(("range", format!("bytes={}-", part.size)));
        }
        let response = self
            .ask(false, url, &headers, true)
            .map_err(|error| match error {
                PullError::Unreachable { reason, .. } => Break::Again(reason),
                other => Break::Fatal(other),
            })?;
        let status = response.status();
        let total = match status {
            StatusCode::OK => {
                part.clear()?;
                length(&response)
            }
            StatusCode::PARTIAL_CONTENT => match range_start(&response) {
                Some((start, total)) if start == part.size => total,
                _ => {
                    part.clear()?;
                    return Err(Break::Again(
                        "the host sent another range than asked for".to_owned(),
                    ));
                }
            },
            // The part is longer than the file, or exactly as long and of unknown size: only a fresh start can tell.
            StatusCode::RANGE_NOT_SATISFIABLE if part.size > 0 => {
                part.clear()?;
                return Err(Break::Again("the host has no such range".to_owned()));
            }
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::INTERNAL_SERVER_ERROR => {
                return Err(Break::Again(format!("status {}", status.as_u16())));
            }
            _ => {
                let reason = format!("status {}", status.as_u16());
                return Err(Break::Fatal(PullError::Answer {
                    what: name.to_owned(),
                    reason,
                }));
            }
        };
        if let (Some(found), Some(size)) = (total, expected.size)
            && found != size
        {
            part.clear()?;
            let (file, found) = (name.to_owned(), format!("{found} bytes"));
            let expected = size.to_string();
            return Err(Break::Fatal(PullError::Checksum {
                file,
                found,
                expected,
            }));
        }
        let total = expected.size.or(total);
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 17];
        loop {
            let read = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Break::Again(chain(&error))),
            };
            if total.is_some_and(|total| part.size + read as u64 > total) {
                part.clear()?;
                return Err(Break::Again("more bytes than the host announced".to_owned()));
            }
            part.push(&buffer[..read])?;
            progress(Event::Transfer {
                file: name.to_owned(),
                done: part.size,
                total,
            });
        }
        Ok(total.is_none_or(|total| part.size == total))
    }
}

/// Why a request gave no complete file.
enum Break {
    Again(String),
    Fatal(PullError),
}

impl From<PullError> for Break {
    fn from(error: PullError) -> Self {
        Self::Fatal(error)
    }
}

/// A file on its way: its bytes on disk and the hash of them.
struct Part {
    path: PathBuf,
    file: fs::File,
    hash: Sha256,
    size: u64,
}

impl Part {
    fn open(path: PathBuf) -> Result<Self, PullError> {
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(PullError::disk("open", &path))?;
        let mut hash = Sha256::new();
        let reader = fs::File::open(&path).map_err(PullError::disk("open", &path))?;
        let size = digest::feed(&mut hash, reader).map_err(PullError::disk("read", &path))?;
        Ok(Self {
            path,
            file,
            hash,
            size,
        })
    }

    fn clear(&mut self) -> Result<(), PullError> {
        self.file
            .set_len(0)
            .map_err(PullError::disk("empty", &self.path))?;
        self.hash = Sha256::new();
        self.size = 0;
        Ok(())
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), PullError> {
        self.file
            .write_all(bytes)
            .map_err(PullError::disk("write", &self.path))?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn finish(&self) -> (u64, String) {
        (self.size, digest::hex(self.hash.clone()))
    }
}

/// Compares a complete file with what was announced.
pub(crate) fn check(file: &str, expected: &Expected, size: u64, sha256: &str) -> Result<(), PullError> {
    let wrong = |found: String, expected: String| PullError::Checksum {
        file: file.to_owned(),
        found,
        expected,
    };
    match (&expected.size, &expected.sha256) {
        (Some(bytes), _) if *bytes != size => Err(wrong(format!("{size} bytes"), bytes.to_string())),
        (_, Some(pinned)) if pinned != sha256 => Err(wrong(format!("sha256 {sha256}"), pinned.clone())),
        _ => Ok(()),
    }
}

fn length(response: &Response<Body>) -> Option<u64> {
    response
        .headers()
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// First byte and total of `Content-Range: bytes 5-9/10`.
fn range_start(response: &Response<Body>) -> Option<(u64, Option<u64>)> {
    let text = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

/// The host of a URL, without user, password and path: fit for an error.
pub(crate) fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    authority.rsplit('@').next().unwrap_or(authority).to_owned()
}

/// The roots of a PEM file. They replace the system's: a file somebody names is the whole truth, as for pip and curl.
fn named_roots(path: &Path) -> Result<RootCerts, PullError> {
    let bad = |reason: String| PullError::Certificates {
        path: path.to_owned(),
        reason,
    };
    let text = fs::read(path).map_err(|error| bad(error.to_string()))?;
    let mut roots: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(root) = item.map_err(|error| bad(error.to_string()))? {
            roots.push(root);
        }
    }
    if roots.is_empty() {
        return Err(bad("it holds no certificate".to_owned()));
    }
    Ok(RootCerts::new_with_certs(&roots))
}
