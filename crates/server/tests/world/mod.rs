//! A server over real connections, with a model of ten lines behind it.

#![allow(clippy::unwrap_used, reason = "a test's own sockets and answers")]
#![allow(dead_code, reason = "each test file uses its part")]

use poststelle_labels::{Label, Schema, Task, TaskName};
use poststelle_mail::{Cleaner, Profile};
use poststelle_measure::Bands;
use poststelle_nn::Logits;
use poststelle_nn::bundle::Encoded;
use poststelle_predict::{Classify, ModelError, Policy, Predictor, TaskPolicy};
use poststelle_server::{App, Door, Entrance, Settings, private, serve};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Scores a label 4 for each time a text names it. Some words make it slow, or break.
pub struct Naming(Schema);

impl Naming {
    pub fn new() -> Self {
        let task = |name: &str, labels: Vec<String>| {
            Task::new(
                TaskName::new(name),
                None,
                labels.into_iter().map(Label::named).collect(),
            )
            .unwrap()
        };
        let queue = task("queue", vec!["tax".into(), "trade".into()]);
        let number = task("number", (0..100).map(|number| format!("n{number:02}")).collect());
        Self(Schema::new(1, vec![queue, number]).unwrap())
    }
}

impl Classify for Naming {
    fn schema(&self) -> &Schema {
        &self.0
    }

    fn encode(&self, text: String) -> Result<Encoded, ModelError> {
        Ok(Encoded::new(text, None))
    }

    fn logits(&self, texts: &[&Encoded]) -> Result<Vec<Logits>, ModelError> {
        let texts: Vec<&str> = texts.iter().map(|one| one.text()).collect();
        assert!(!texts.iter().any(|text| text.contains("explode")), "told to");
        if texts.iter().any(|text| text.contains("slowly")) {
            std::thread::sleep(Duration::from_millis(300));
        }
        if texts.iter().any(|text| text.contains("for ages")) {
            std::thread::sleep(Duration::from_secs(3));
        }
        let score = |task: &Task| {
            let values = texts.iter().flat_map(|text| {
                task.labels()
                    .iter()
                    .map(|label| 4.0 * text.matches(&label.name).count() as f32)
            });
            Logits::new(texts.len(), task.len(), values.collect())
        };
        Ok(self.0.tasks().iter().map(score).collect())
    }
}

/// A predictor with that model.
pub fn predictor() -> Arc<Predictor> {
    let naming = Naming::new();
    let bands = Bands {
        auto: Some(0.9),
        suggest: Some(0.6),
    };
    let policy = Policy::new(naming.schema(), |_| {
        Some(TaskPolicy {
            temperature: 1.0,
            bands,
        })
    })
    .unwrap();
    Arc::new(Predictor::new(naming, Cleaner::new(Profile::Request), policy))
}

/// A running server; dropping it stops it.
pub struct Server {
    pub address: SocketAddr,
    pub app: Arc<App>,
    pub runtime: Option<tokio::runtime::Runtime>,
    pub stop: Option<tokio::sync::oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
}

impl Server {
    pub fn start(settings: Settings) -> Self {
        let app = App::new(settings);
        app.live.serve(None, predictor());
        Self::of(app, |_| Vec::new())
    }

    /// A server of an app, with other entrances beside the private one.
    pub fn of(app: Arc<App>, others: impl FnOnce(&Arc<App>) -> Vec<Entrance>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let mut entrances = vec![Entrance {
            name: "private",
            door: Door::Tcp(listener),
            router: private(&app),
        }];
        {
            let _inside = runtime.enter();
            entrances.extend(others(&app));
        }
        let served = runtime.spawn(serve(entrances, Arc::clone(&app), async { drop(stopped.await) }));
        Self {
            address,
            app,
            runtime: Some(runtime),
            stop: Some(stop),
            served: Some(served),
        }
    }

    pub fn plain() -> Self {
        Self::start(Settings::default())
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        send(self.address, method, path, headers, body)
    }

    pub fn post(&self, content: &str, body: impl AsRef<[u8]>) -> Answer {
        self.send(
            "POST",
            "/invocations",
            &[("Content-Type", content)],
            body.as_ref(),
        )
    }

    /// What every test ends with: it still answers.
    pub fn is_alive(&self) {
        assert_eq!(self.send("GET", "/ping", &[], b"").status, 200);
        let answer = self.post("application/json", r#"[{"id":"last","body":"trade n07"}]"#);
        assert_eq!(answer.json()[0]["number"], "n07");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let (Some(runtime), Some(served)) = (self.runtime.take(), self.served.take()) {
            let ended = runtime.block_on(served);
            runtime.shutdown_background();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// Reads one answer up to the end of the connection.
    pub fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            head: head.to_ascii_lowercase(),
            body: body.into(),
        }
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        assert!(
            self.head.contains("content-type: application/json"),
            "{}",
            self.head
        );
        serde_json::from_str(&self.body).unwrap()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The problem it tells of, after checking status and code.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert!(
            self.head.contains("content-type: application/problem+json"),
            "{}",
            self.head
        );
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(
            (&problem["code"], &problem["status"]),
            (&json!(code), &json!(status))
        );
        assert!(
            !self.body.contains("secret"),
            "mail text in an error: {}",
            self.body
        );
        problem
    }
}

/// Sends one request on a connection of its own.
pub fn send(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    // Who is refused before the end of a long body hears of it after sending all of it.
    stream.write_all(body).unwrap();
    Answer::read(stream)
}

pub const JSON: &str = "application/json";
