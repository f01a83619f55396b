//! The model hub: which commit a revision names, which files it has, and their checksums.
//!
//! An own client of some 200 lines instead of `hf-hub`: its light line neither continues a broken file of an
//! earlier process nor compares checksums, and its newest brings an async runtime and about 290 crates.
//!
//! Every download is pinned: the revision is turned into a commit first, and files are asked for by commit. Large files
//! carry their sha256 as `X-Linked-ETag`; small ones are compared by size, and their sha256 is recorded.

use crate::cache::Slot;
use crate::download::{Client, Expected, host};
use crate::error::PullError;
use crate::event::Event;
use crate::layout;
use crate::manifest::{File, Manifest, Source};
use crate::options::Options;
use crate::{digest, directory};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use ureq::http::{HeaderMap, header};

/// A revision as the hub describes it.
#[derive(Deserialize)]
struct Revision {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

struct Hub<'a> {
    client: &'a Client,
    options: &'a Options,
    id: &'a str,
}

/// Pulls a model from the hub into the cache.
pub(crate) fn pull(
    client: &Client,
    options: &Options,
    slot: &Slot,
    id: &str,
    revision: &str,
    progress: &mut dyn FnMut(Event),
) -> Result<(PathBuf, Manifest), PullError> {
    let hub = Hub { client, options, id };
    progress(Event::Asking {
        source: format!("{} for {id}@{revision}", host(&options.endpoint)),
    });
    let found = hub.revision(revision)?;
    if let Some((dir, manifest)) = slot.snapshot(&found.sha) {
        slot.point(revision, &found.sha)?;
        progress(Event::Cached { dir: dir.clone() });
        return Ok((dir, manifest));
    }
    let names: BTreeSet<String> = found.siblings.into_iter().map(|file| file.rfilename).collect();
    let mut wanted = layout::select(id, &names)?;
    let partial = slot.partial(&found.sha)?;
    let mut files = Vec::new();
    while !wanted.is_empty() {
        let name = wanted.remove(0);
        files.push(hub.file(&found.sha, &name, &partial, progress)?);
        if name == layout::CONFIG || name == layout::INDEX {
            let path = partial.join(&name);
            let text = fs::read(&path).map_err(PullError::disk("read", &path))?;
            match name.as_str() {
                layout::CONFIG => layout::check_config(id, &text)?,
                _ => wanted.extend(layout::shards(id, &text)?),
            }
        }
    }
    let source = Source::Hub {
        endpoint: options.endpoint.clone(),
        commit: found.sha.clone(),
    };
    let manifest = Manifest::new(id, revision, source, files);
    let dir = slot.publish(&partial, &found.sha, &manifest)?;
    Ok((dir, manifest))
}

/// Takes a model from the hub client's local cache, if it holds this revision complete.
pub(crate) fn from_local_cache(
    options: &Options,
    slot: &Slot,
    id: &str,
    revision: &str,
    progress: &mut dyn FnMut(Event),
) -> Result<Option<(PathBuf, Manifest)>, PullError> {
    let Some(cache) = &options.hub_cache else {
        return Ok(None);
    };
    let root = cache.join(format!("models--{}", id.replace('/', "--")));
    let commit = match fs::read_to_string(root.join("refs").join(revision)) {
        Ok(text) => text.trim().to_owned(),
        Err(_) => revision.to_owned(),
    };
    let snapshot = root.join("snapshots").join(&commit);
    if !is_commit(&commit) || !snapshot.is_dir() {
        return Ok(None);
    }
    progress(Event::Asking {
        source: format!("the hub's local cache, {}", snapshot.display()),
    });
    let source = Source::Hub {
        endpoint: options.endpoint.clone(),
        commit: commit.clone(),
    };
    directory::import(slot, &snapshot, id, revision, source, Some(&commit), progress).map(Some)
}

impl Hub<'_> {
    /// Turns a branch, tag or commit into a commit and its files.
    fn revision(&self, revision: &str) -> Result<Revision, PullError> {
        let url = format!(
            "{}/api/models/{}/revision/{}",
            self.options.endpoint,
            self.id,
            revision.replace('/', "%2F")
        );
        let what = format!("{}@{revision}", self.id);
        let mut response = self.client.ask(false, &url, &self.headers(), true)?;
        self.accept(&what, response.status().as_u16())?;
        let answer = |reason: String| PullError::Answer {
            what: what.clone(),
            reason,
        };
        let text = response
            .body_mut()
            .read_to_string()
            .map_err(|error| answer(error.to_string()))?;
        let found: Revision = serde_json::from_str(&text).map_err(|error| answer(error.to_string()))?;
        if !is_commit(&found.sha) {
            return Err(answer("the hub's commit is not 40 hex digits".to_owned()));
        }
        Ok(found)
    }

    /// Fetches one file of a commit into the partial folder.
    fn file(
        &self,
        commit: &str,
        name: &str,
        partial: &Path,
        progress: &mut dyn FnMut(Event),
    ) -> Result<File, PullError> {
        let url = format!("{}/{}/resolve/{commit}/{name}", self.options.endpoint, self.id);
        let expected = self.expected(&url, name)?;
        self.client
            .fetch(&url, &self.headers(), partial, name, &expected, progress)
    }

    /// Size and sha256 of a file, from the head of its first answer: the host it redirects to knows neither.
    fn expected(&self, url: &str, name: &str) -> Result<Expected, PullError> {
        let mut url = url.to_owned();
        for _ in 0..5 {
            let response = self.client.ask(true, &url, &self.headers(), false)?;
            let headers = response.headers();
            let linked = headers.contains_key("x-linked-etag") || headers.contains_key("x-linked-size");
            let to = text(headers, header::LOCATION.as_str());
            // A renamed repository redirects within the hub, a large file to the store behind it.
            match to.filter(|to| {
                response.status().is_redirection() && to.starts_with('/') && !to.starts_with("//")
            }) {
                Some(to) if !linked => url = format!("{}{to}", origin(&self.options.endpoint)),
                _ => {
                    if !response.status().is_redirection() {
                        self.accept(&format!("{}: {name}", self.id), response.status().as_u16())?;
                    }
                    return Ok(described(headers, response.status().is_redirection()));
                }
            }
        }
        Err(PullError::Answer {
            what: name.to_owned(),
            reason: "five redirects within the hub".to_owned(),
        })
    }

    fn accept(&self, what: &str, status: u16) -> Result<(), PullError> {
        let what = what.to_owned();
        match status {
            200..=299 => Ok(()),
            401 | 403 => Err(PullError::Denied {
                what,
                status,
                token: self.options.token.is_some(),
            }),
            404 => Err(PullError::NotFound { what }),
            _ => Err(PullError::Answer {
                what,
                reason: format!("status {status}"),
            }),
        }
    }

    /// The client drops this header when a redirect leaves the hub's host.
    fn headers(&self) -> Vec<(&'static str, String)> {
        self.options
            .token
            .iter()
            .map(|token| ("authorization", format!("Bearer {}", token.0)))
            .collect()
    }
}

/// What the hub says about a file. The length of a redirect's own body says nothing about the file.
fn described(headers: &HeaderMap, redirect: bool) -> Expected {
    let number = |name| text(headers, name).and_then(|text| text.parse().ok());
    let length = if redirect { None } else { number("content-length") };
    let tag = text(headers, "x-linked-etag").or_else(|| text(headers, "etag"));
    let tag = tag.map(|tag| tag.trim_start_matches("W/").trim_matches('"').to_owned());
    Expected {
        size: number("x-linked-size").or(length),
        sha256: tag.filter(|tag| digest::is_sha256(tag)),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    url[start..].find('/').map_or(url, |end| &url[..start + end])
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
