//! `poststelle-base.toml`: where a cached model came from, and the sha256 of each of its files.

use crate::digest;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The manifest's file name inside a model directory.
pub const MANIFEST: &str = "poststelle-base.toml";

/// The newest manifest format this build reads.
const FORMAT: u32 = 1;

/// A cached base model's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this file's shape.
    pub format: u32,
    /// The hub id the model is known by.
    pub id: String,
    /// The revision that was asked for.
    pub revision: String,
    /// sha256 over the sorted lines `<name> <sha256>` of the files: what a run records.
    pub digest: String,
    /// Where the files come from.
    pub source: Source,
    /// The files, sorted by name.
    pub files: Vec<File>,
}

/// Where a model's files came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Source {
    /// The hub, or its client's local cache.
    Hub {
        /// The hub's URL.
        endpoint: String,
        /// The commit the revision named when it was pulled.
        commit: String,
    },
    /// A Python package that carries the model in 4 bits.
    Package {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// The file inside it.
        file: String,
        /// That file's sha256.
        sha256: String,
    },
    /// A directory somebody named.
    Directory,
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its name inside the directory.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its sha256, 64 hex digits.
    pub sha256: String,
}

/// Why a model directory is not what its manifest says.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The manifest is no manifest.
    #[error("`{}` is no manifest of a base model", .path.display())]
    Syntax {
        /// The manifest.
        path: PathBuf,
        /// Why.
        source: Box<toml::de::Error>,
    },
    /// A newer release wrote it.
    #[error("`{}` has format {found}, this build reads up to {FORMAT}", .path.display())]
    Format {
        /// The manifest.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// A file changed.
    #[error("`{}` has {found}, its manifest says {expected}", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Its size or checksum.
        found: String,
        /// The recorded one.
        expected: String,
    },
}

impl Manifest {
    /// Makes the record of `files`; sorts them and computes the digest.
    pub(crate) fn new(id: &str, revision: &str, source: Source, mut files: Vec<File>) -> Self {
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let digest = digest_of(&files);
        Self {
            format: FORMAT,
            id: id.to_owned(),
            revision: revision.to_owned(),
            digest,
            source,
            files,
        }
    }

    /// Reads the manifest of a model directory.
    ///
    /// # Errors
    /// [`ManifestError::Read`], [`ManifestError::Syntax`] or [`ManifestError::Format`].
    pub fn read(dir: &Path) -> Result<Self, ManifestError> {
        let path = dir.join(MANIFEST);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(ManifestError::Read { path, source }),
        };
        let manifest: Self = match toml::from_str(&text) {
            Ok(manifest) => manifest,
            Err(error) => {
                let source = Box::new(error);
                return Err(ManifestError::Syntax { path, source });
            }
        };
        if manifest.format > FORMAT {
            return Err(ManifestError::Format {
                path,
                found: manifest.format,
            });
        }
        Ok(manifest)
    }

    /// Writes the manifest into a model directory.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        let text = toml::to_string_pretty(self).map_err(io::Error::other)?;
        fs::write(dir.join(MANIFEST), text)
    }

    /// Compares the files with the record: sizes, and with `hash` their sha256.
    ///
    /// # Errors
    /// [`ManifestError::Read`] or [`ManifestError::Changed`], for the first file that differs.
    pub fn verify(&self, dir: &Path, hash: bool) -> Result<(), ManifestError> {
        for file in &self.files {
            let path = dir.join(&file.name);
            let size = match fs::metadata(&path) {
                Ok(data) => data.len(),
                Err(source) => return Err(ManifestError::Read { path, source }),
            };
            if size != file.size {
                let (found, expected) = (format!("{size} bytes"), file.size.to_string());
                return Err(ManifestError::Changed {
                    path,
                    found,
                    expected,
                });
            }
            if hash {
                let sha256 = match digest::file(&path) {
                    Ok((_, sha256)) => sha256,
                    Err(source) => return Err(ManifestError::Read { path, source }),
                };
                if sha256 != file.sha256 {
                    let found = format!("sha256 {sha256}");
                    return Err(ManifestError::Changed {
                        path,
                        found,
                        expected: file.sha256.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Bytes of all files together.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// sha256 over the lines `<name> <sha256>`, in the order given.
pub(crate) fn digest_of(files: &[File]) -> String {
    let lines: String = files
        .iter()
        .map(|file| format!("{} {}\n", file.name, file.sha256))
        .collect();
    digest::bytes(lines.as_bytes())
}
