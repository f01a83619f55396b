//! Data to standard output, talk to standard error.

use crate::clock;
use crate::failure::Failure;
use anstream::{AutoStream, ColorChoice};
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

/// The two streams of a command.
pub struct Output {
    data: BufWriter<io::Stdout>,
    talk_is_terminal: bool,
    log: Option<File>,
}

impl Output {
    /// The process's own streams.
    pub fn stdio() -> Self {
        Self {
            data: BufWriter::new(io::stdout()),
            talk_is_terminal: io::stderr().is_terminal(),
            log: None,
        }
    }

    /// Writes one JSON value on a line of its own to standard output.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.data, value).map_err(Failure::broken)?;
        self.data.write_all(b"\n")?;
        Ok(())
    }

    /// Writes text to standard output, as it is.
    pub fn text(&mut self, text: &str) -> Result<(), Failure> {
        Ok(self.data.write_all(text.as_bytes())?)
    }

    /// Says something to the person, on standard error.
    pub fn note(&mut self, text: impl AsRef<str>) {
        let _ = self.data.flush();
        eprintln!("{}", text.as_ref());
        if let Some(log) = &mut self.log {
            // A full disk must not end what is only told.
            let _ = writeln!(log, "{} {}", clock::now(), text.as_ref());
        }
    }

    /// Keeps all that is said from now on in a file, too, each line with its time.
    pub fn log_to(&mut self, path: &Path) -> Result<(), Failure> {
        self.log = Some(File::options().create(true).append(true).open(path)?);
        Ok(())
    }

    /// True when a progress bar may be drawn.
    pub fn is_terminal(&self) -> bool {
        self.talk_is_terminal
    }

    /// True when standard output takes colour: a terminal, unless `NO_COLOR` or `TERM=dumb` say no, or
    /// anything at all where `CLICOLOR_FORCE` says so.
    pub fn takes_colour(&self) -> bool {
        AutoStream::choice(self.data.get_ref()) != ColorChoice::Never
    }

    /// Says why a command failed and what can be done.
    pub fn failure(&mut self, failure: &Failure) {
        self.note(format!("error: {failure}"));
        if let Some(hint) = &failure.hint {
            self.note(format!("hint: {hint}"));
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let _ = self.data.flush();
    }
}
