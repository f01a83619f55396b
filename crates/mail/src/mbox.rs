//! Streams the raw messages of an mbox file.
//!
//! A mailbox export is often larger than memory, so messages come one at a time. A message
//! starts at a line `From …` at the file's start or after a blank line. mboxrd writes every
//! body line that begins with `>`s and `From ` with one more `>`; mboxo does so only for
//! `From ` itself. Taking one `>` away undoes both.

use std::io::{self, BufRead};

/// The raw messages of an mbox stream, in order, without their `From ` lines.
#[derive(Debug)]
pub struct Messages<R> {
    reader: R,
    line: Vec<u8>,
    /// True when `line` holds a `From ` line whose message has not been handed out.
    started: bool,
    finished: bool,
}

/// Reads messages from `reader`. Lines before the first `From ` line are passed over.
pub fn messages<R: BufRead>(reader: R) -> Messages<R> {
    Messages {
        reader,
        line: Vec::new(),
        started: false,
        finished: false,
    }
}

impl<R: BufRead> Messages<R> {
    fn read(&mut self) -> io::Result<bool> {
        self.line.clear();
        Ok(self.reader.read_until(b'\n', &mut self.line)? > 0)
    }
}

impl<R: BufRead> Iterator for Messages<R> {
    /// A message's bytes, or why reading stopped; nothing follows an error.
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let mut message = Vec::new();
        let mut blank = true;
        loop {
            match self.read() {
                Ok(true) => {}
                Ok(false) => {
                    self.finished = true;
                    return self.started.then_some(Ok(message));
                }
                Err(error) => {
                    self.finished = true;
                    return Some(Err(error));
                }
            }
            if blank && self.line.starts_with(b"From ") {
                if self.started {
                    // The blank line before `From ` belongs to the format, not to the message.
                    trim_line_end(&mut message);
                    return Some(Ok(message));
                }
                self.started = true;
                blank = false;
                continue;
            }
            blank = matches!(self.line.as_slice(), b"\n" | b"\r\n");
            if self.started {
                let marks = self.line.iter().take_while(|&&byte| byte == b'>').count();
                let escaped = marks > 0 && self.line[marks..].starts_with(b"From ");
                message.extend_from_slice(&self.line[usize::from(escaped)..]);
            }
        }
    }
}

fn trim_line_end(message: &mut Vec<u8>) {
    if message.last() == Some(&b'\n') {
        message.pop();
        if message.last() == Some(&b'\r') {
            message.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::messages;

    fn read(text: &str) -> Vec<String> {
        messages(text.as_bytes())
            .map(|raw| String::from_utf8(raw.unwrap()).unwrap())
            .collect()
    }

    #[test]
    fn splits_at_from_lines_after_a_blank_line_only() {
        let text = "From a@b Mon\nSubject: 1\n\nHallo\nFrom hier an\n\nFrom c@d Tue\nSubject: 2\n\nZwei\n";
        assert_eq!(
            read(text),
            ["Subject: 1\n\nHallo\nFrom hier an\n", "Subject: 2\n\nZwei\n"]
        );
    }

    #[test]
    fn takes_one_mark_from_escaped_from_lines() {
        assert_eq!(
            read("From x\n\n>From Montag an\n>>From\n>>From da\n"),
            ["\nFrom Montag an\n>>From\n>From da\n"]
        );
    }

    #[test]
    fn finds_nothing_in_an_empty_file() {
        assert!(read("").is_empty());
        assert!(read("kein Postfach\n").is_empty());
    }
}
