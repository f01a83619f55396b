//! Who asked the gateway for what, when, and what came of it: a JSON object per line, without a word of any mail.
//!
//! The file is opened for each write, so it can be moved away (logrotate) at any time.

use poststelle_lifecycle::Timestamp;
use serde::Serialize;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Lines written at once, at most.
const LINES: usize = 1000;

/// One request.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    pub at: Timestamp,
    pub request_id: &'a str,
    pub client: Option<&'a str>,
    pub key: Option<&'a str>,
    pub peer: Option<IpAddr>,
    pub method: &'a str,
    pub route: &'a str,
    pub status: u16,
    pub code: Option<&'static str>,
    pub mails: Option<usize>,
    pub took_ms: f64,
}

/// An audit log.
pub struct Audit(Sender<String>);

impl Audit {
    /// Opens the file for appending, to tell now what would fail later.
    ///
    /// # Errors
    /// That of the file system.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        append(&path)?;
        let (send, lines) = channel();
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || run(&path, &lines))?;
        Ok(Self(send))
    }

    pub(crate) fn write(&self, line: &Line) {
        // Text, numbers and addresses always have a JSON form.
        let Ok(mut text) = serde_json::to_string(line) else {
            return;
        };
        text.push('\n');
        // The thread lives as long as this.
        let _ = self.0.send(text);
    }
}

fn append(path: &Path) -> io::Result<std::fs::File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    options.open(path)
}

fn run(path: &Path, lines: &Receiver<String>) {
    while let Ok(mut text) = lines.recv() {
        text.extend(lines.try_iter().take(LINES));
        if let Err(error) = append(path).and_then(|mut file| file.write_all(text.as_bytes())) {
            tracing::error!(path = %path.display(), %error, lines = text.lines().count(), "cannot write the audit log");
        }
    }
}
