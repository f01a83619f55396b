//! Cleans mails handed over in frames and times it; `bench/cleaning/run.py` compares it with other programs.
//!
//! Arguments: `clean`, `time`, `once` or `cuts`, a profile, a file of frames, and for `time` how many seconds.
//! A frame is a kind (`p` plain text, `h` HTML, `m` raw mail; on the way out `x`, it panicked), a length of
//! four bytes, least first, and that many bytes.
//!
//! - `clean` writes a frame of kept text for each mail
//! - `time` goes over all mails at least once and for half the seconds to warm up, then at least once and for
//!   the seconds; it prints mails a second as JSON
//! - `once` cleans the first mail once and prints the milliseconds as JSON
//! - `cuts` writes three frames for each mail: what was cut and which defects, a line each; the body; the text
//!
//! The most memory held goes to standard error, where the system tells it.

use poststelle_mail::{CleanText, Cleaner, Message, Profile};
use std::io::{self, BufWriter, Write};
use std::panic;

/// A mail as it is handed over.
struct Frame {
    kind: u8,
    bytes: Vec<u8>,
}

impl Frame {
    fn message(&self) -> Message {
        match self.kind {
            b'm' => Message::parse(&self.bytes),
            b'h' => Message::html("", self.words()),
            _ => Message::plain("", self.words()),
        }
    }

    fn words(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap_or_else(|error| panic!("a text is not UTF-8: {error}"))
    }
}

/// Reads a file of frames.
fn read(path: &str) -> Vec<Frame> {
    let all = std::fs::read(path).unwrap_or_else(|error| panic!("`{path}`: {error}"));
    let mut frames = Vec::new();
    let mut rest = &all[..];
    while let [kind, a, b, c, d, after @ ..] = rest {
        let (content, next) = after.split_at(u32::from_le_bytes([*a, *b, *c, *d]) as usize);
        rest = next;
        frames.push(Frame {
            kind: *kind,
            bytes: content.to_vec(),
        });
    }
    frames
}

fn write(out: &mut impl Write, kind: u8, text: &str) -> io::Result<()> {
    out.write_all(&[kind])?;
    out.write_all(&(text.len() as u32).to_le_bytes())?;
    out.write_all(text.as_bytes())
}

/// The cuts and defects of a mail, a line each.
fn account(text: &CleanText) -> String {
    let cuts = text
        .cuts()
        .iter()
        .map(|cut| format!("cut {:?} {} {} {}\n", cut.kind, cut.rule, cut.start, cut.end));
    let defects = text.defects().iter().map(|defect| format!("defect {defect:?}\n"));
    cuts.chain(defects).collect()
}

/// Seconds of processor time so far, which other programs on the machine do not stretch.
fn busy() -> f64 {
    let told = std::fs::read_to_string("/proc/self/schedstat")
        .unwrap_or_else(|error| panic!("no schedstat: {error}"));
    let nanoseconds: f64 = told
        .split(' ')
        .next()
        .and_then(|first| first.parse().ok())
        .unwrap_or_else(|| panic!("`{told}`"));
    nanoseconds / 1e9
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (mode, profile, path, seconds) = match &arguments[..] {
        [mode, profile, path] => (mode, profile, path, 1.0),
        [mode, profile, path, seconds] => {
            let seconds = seconds
                .parse()
                .unwrap_or_else(|_| panic!("`{seconds}` is no number"));
            (mode, profile, path, seconds)
        }
        _ => panic!("usage: cleaning clean|time|once|cuts PROFILE FRAMES [SECONDS]"),
    };
    let profile: Profile = profile.parse().unwrap_or_else(|error| panic!("{error}"));
    let cleaner = Cleaner::new(profile);
    let frames = read(path);
    let mut out = BufWriter::new(io::stdout().lock());
    match mode.as_str() {
        "clean" | "cuts" => {
            for frame in &frames {
                match panic::catch_unwind(|| cleaner.clean(&frame.message())) {
                    Ok(text) => {
                        if mode == "cuts" {
                            write(&mut out, b'p', &account(&text))?;
                            write(&mut out, b'p', text.body())?;
                        }
                        write(&mut out, b'p', text.text())?;
                    }
                    Err(_) => {
                        (0..if mode == "cuts" { 3 } else { 1 }).try_for_each(|_| write(&mut out, b'x', ""))?
                    }
                }
            }
        }
        "time" => {
            let pass = || {
                frames
                    .iter()
                    .map(|frame| cleaner.clean(&frame.message()).text().len())
                    .sum::<usize>()
            };
            let mut start = busy();
            let kept = pass();
            while busy() - start < seconds / 2.0 {
                pass();
            }
            let mut mails = 0;
            start = busy();
            while mails == 0 || busy() - start < seconds {
                assert_eq!(pass(), kept);
                mails += frames.len();
            }
            writeln!(out, "{{\"per_s\": {}}}", mails as f64 / (busy() - start))?;
        }
        "once" => {
            let start = busy();
            let kept = frames
                .first()
                .map(|frame| cleaner.clean(&frame.message()).text().len());
            let ms = (busy() - start) * 1e3;
            writeln!(out, "{{\"ms\": {ms}, \"kept\": {}}}", kept.unwrap_or_default())?;
        }
        other => panic!("`{other}`: expected `clean`, `time`, `once` or `cuts`"),
    }
    out.flush()?;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(peak) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
        eprintln!("peak {}", peak.trim());
    }
    Ok(())
}
