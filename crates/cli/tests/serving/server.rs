//! A running server, and how it is asked over bare sockets.

pub use super::support::POSTSTELLE;
use super::support::bundle;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Seconds a command may take, on a machine that is busy with other things.
pub const CALL_S: u64 = 120;

/// A command in a folder that is ended where it takes too long, with none of this machine's settings.
pub fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", &CALL_S.to_string(), POSTSTELLE])
        .args(args);
    plain(&mut command).current_dir(folder);
    command
}

pub fn plain(command: &mut Command) -> &mut Command {
    let ours = ["OTEL_", "POSTSTELLE_", "SAGEMAKER_", "CLICOLOR", "NO_COLOR"];
    for (name, _) in std::env::vars_os() {
        if ours.iter().any(|start| name.to_string_lossy().starts_with(start)) {
            command.env_remove(name);
        }
    }
    command.env("NO_PROXY", "*").stdin(Stdio::null())
}

pub fn done(folder: &Path, args: &[&str]) -> String {
    let output = command(folder, args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {}\n{said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with a bundle learned from made-up mail, and a configuration.
pub fn folder(gateway: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    bundle(&at.join("bundle"));
    configure(at, gateway);
    folder
}

pub fn configure(folder: &Path, gateway: &str) {
    let environment = "[env.development]\nstore = 'sqlite:records.db'\nartifacts = 'artifacts'\n";
    fs::write(folder.join("poststelle.toml"), format!("{environment}{gateway}")).unwrap();
}

pub const GATEWAY: &str = "[env.development.gateway]\nlisten = '127.0.0.1:0'\naudit = 'audit.jsonl'\n";

/// A running server. What it says is kept.
pub struct Server {
    pub child: Child,
    said: mpsc::Receiver<String>,
    lines: Vec<String>,
}

impl Server {
    pub fn start(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(POSTSTELLE);
        command
            .args(["serve", "bundle"])
            .args(args)
            .stderr(Stdio::piped());
        plain(&mut command)
            .current_dir(folder)
            .envs(variables.iter().copied());
        let mut child = command.spawn().unwrap();
        let talk = child.stderr.take().unwrap();
        Self::hear(child, talk)
    }

    pub fn hear(child: Child, talk: impl Read + Send + 'static) -> Self {
        let (say, said) = mpsc::channel();
        std::thread::spawn(move || {
            // Reads on when nobody listens any more, or the server would block.
            for line in BufReader::new(talk).lines().map_while(Result::ok) {
                let _ = say.send(line);
            }
        });
        Self {
            child,
            said,
            lines: Vec::new(),
        }
    }

    /// The next line that holds a text.
    pub fn line(&mut self, text: &str) -> String {
        loop {
            let next = self.said.recv_timeout(Duration::from_secs(CALL_S));
            let line = next.unwrap_or_else(|_| panic!("no line with `{text}`: {:#?}", self.lines));
            self.lines.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Where the next door that is told of answers.
    pub fn address(&mut self, text: &str) -> String {
        host(&self.line(text))
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end: its exit code and all it said.
    pub fn ended(&mut self) -> (Option<i32>, Vec<String>) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < Duration::from_secs(CALL_S), "it goes on");
            std::thread::sleep(Duration::from_millis(20));
        };
        self.lines.extend(self.said.iter());
        (status.code(), std::mem::take(&mut self.lines))
    }

    pub fn stop(mut self) -> Vec<String> {
        self.signal("TERM");
        let (code, lines) = self.ended();
        assert_eq!(code, Some(0), "{lines:#?}");
        lines
    }

    /// Its threads' names.
    pub fn threads(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        tasks
            .filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok())
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Host and port of the URL in a line.
pub fn host(line: &str) -> String {
    let rest = line.split("://").nth(1).unwrap();
    rest.split('/').next().unwrap().to_owned()
}

/// Requests are bytes, whole or not.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.as_ref().len());
    [head.as_bytes(), body.as_ref()].concat()
}

/// Status and all of an answer, up to the end of the connection.
pub fn answer(mut stream: impl Read) -> (u16, String) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let status = text
        .split(' ')
        .nth(1)
        .unwrap_or_else(|| panic!("no answer: {text:?}"));
    (status.parse().unwrap(), text)
}

pub fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(CALL_S)))
        .unwrap();
    stream
}

pub fn ask(address: &str, request: &[u8]) -> (u16, String) {
    let mut stream = connect(address);
    stream.write_all(request).unwrap();
    answer(stream)
}

pub const JSON: (&str, &str) = ("Content-Type", "application/json");

pub fn invocation(headers: &[(&str, &str)], body: &Value) -> Vec<u8> {
    request(
        "POST",
        "/invocations",
        &[&[JSON], headers].concat(),
        body.to_string(),
    )
}

pub fn mail() -> Value {
    json!([{"id": "a", "subject": "Steuerbescheinigung", "body": "Bitte zusenden."}])
}

/// A command that ends at once with exit code 2, saying why and what to do.
#[track_caller]
pub fn refused(what: &str, mut command: Command, names: &[&str]) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{what}: {said}");
    let begins = |start: &str| said.lines().any(|line| line.starts_with(start));
    // What was expected says it as well as a hint does.
    assert!(
        begins("error: ") && (begins("hint: ") || said.contains("expected")),
        "{what}: {said}"
    );
    for name in names {
        assert!(said.contains(name), "{what}, expected `{name}`: {said}");
    }
    assert!(
        stdout.is_empty() && !said.contains("answers on") && !said.contains("panicked"),
        "{what}: {said}"
    );
}

/// A word no mail of ours has.
pub const WORD: &str = "Quittenbrotzeit";

pub fn holds_word(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    text.contains(&WORD.to_lowercase()) || text.contains(&WORD[..10].to_lowercase())
}
