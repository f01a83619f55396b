//! The private endpoint over real connections, with a model of ten lines behind it.

#![allow(clippy::unwrap_used, reason = "a test's own sockets and answers")]

use poststelle_labels::{Label, Schema, Task, TaskName};
use poststelle_mail::{Cleaner, Profile};
use poststelle_measure::Bands;
use poststelle_nn::Logits;
use poststelle_nn::bundle::Encoded;
use poststelle_predict::{Classify, Limits, ModelError, Policy, Predictor, TaskPolicy};
use poststelle_server::{Live, Settings, serve};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Scores a label 4 for each time a text names it. Some words make it slow, or break.
struct Naming(Schema);

impl Naming {
    fn new() -> Self {
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

    fn encode(&self, texts: Vec<String>) -> Result<Vec<Encoded>, ModelError> {
        Ok(texts.into_iter().map(|text| Encoded::new(text, None)).collect())
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

/// A running server; dropping it stops it.
struct Server {
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
}

impl Server {
    fn start(settings: Settings) -> Self {
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
        let predictor = Arc::new(Predictor::new(naming, Cleaner::new(Profile::Request), policy));
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
        let served = runtime.spawn(async move {
            let live = Live::fixed(predictor, settings.queue);
            serve(listener, live, settings, async { drop(stopped.await) })
                .await
                .unwrap();
        });
        Self {
            address,
            runtime: Some(runtime),
            stop: Some(stop),
            served: Some(served),
        }
    }

    fn plain() -> Self {
        Self::start(Settings::default())
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", body.len());
        let mut stream = self.connect();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        Answer::read(stream)
    }

    fn post(&self, content: &str, body: impl AsRef<[u8]>) -> Answer {
        self.send(
            "POST",
            "/invocations",
            &[("Content-Type", content)],
            body.as_ref(),
        )
    }

    /// What every test ends with: it still answers.
    fn is_alive(&self) {
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

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// Reads one answer up to the end of the connection.
    fn read(mut stream: TcpStream) -> Self {
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

    fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        assert!(
            self.head.contains("content-type: application/json"),
            "{}",
            self.head
        );
        serde_json::from_str(&self.body).unwrap()
    }

    /// The problem it tells of, after checking status and code.
    #[track_caller]
    fn problem(&self, status: u16, code: &str) -> Value {
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

const JSON: &str = "application/json";

#[test]
fn answers_ping_and_execution_parameters() {
    let queue = Limits {
        workers: 2,
        ..Limits::default()
    };
    let server = Server::start(Settings {
        queue,
        ..Settings::default()
    });
    let ping = server.send("GET", "/ping", &[], b"");
    assert_eq!((ping.status, ping.body.as_str()), (200, ""));
    let parameters = server.send("GET", "/execution-parameters", &[], b"").json();
    assert_eq!(
        parameters,
        json!({"MaxConcurrentTransforms": 2, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 64})
    );
    server.send("GET", "/", &[], b"").problem(404, "not_found");
    server
        .send("GET", "/invocations", &[], b"")
        .problem(405, "method_not_allowed");
    server.is_alive();
}

#[test]
fn both_shapes_of_json_get_the_same_answer() {
    let server = Server::plain();
    let records = server.post(
        "application/json; charset=utf-8",
        r#"[{"id":"b","subject":"tax","body":"n03","broker":"x","language":"de"},{"id":17,"body":"trade n04"}]"#,
    );
    let lists = server.post(
        JSON,
        r#"{"id":["b",17],"subject":["tax",null],"body":["n03","trade n04"],"broker":["x",null]}"#,
    );
    let answer = records.json();
    assert_eq!(answer, lists.json());
    assert_eq!(answer.as_array().unwrap().len(), 2);
    let keys: Vec<&String> = answer[0].as_object().unwrap().keys().collect();
    let expected = [
        "id",
        "queue",
        "queue_confidence",
        "queue_decision",
        "number",
        "number_confidence",
        "number_decision",
    ];
    assert_eq!(keys, expected);
    assert_eq!(
        (&answer[0]["id"], &answer[0]["queue"], &answer[0]["number"]),
        (&json!("b"), &json!("tax"), &json!("n03"))
    );
    assert_eq!(
        (&answer[1]["id"], &answer[1]["queue"], &answer[1]["number"]),
        (&json!(17), &json!("trade"), &json!("n04"))
    );
    assert_eq!(answer[0]["queue_decision"], "auto");
    assert!((answer[0]["queue_confidence"].as_f64().unwrap() - 0.982).abs() < 1e-3);
    assert_eq!(answer[0]["number_decision"], "ask");
    let single = server.post(JSON, r#"{"subject":"tax","body":"n03"}"#).json();
    assert_eq!(
        (&single[0]["id"], &single[0]["number"]),
        (&Value::Null, &json!("n03"))
    );
    server.is_alive();
}

#[test]
fn reads_and_writes_lines_and_tables() {
    let server = Server::plain();
    let lines = server.send(
        "POST",
        "/invocations",
        &[
            ("Content-Type", "application/jsonlines"),
            ("Accept", "application/jsonlines"),
        ],
        b"{\"id\":1,\"body\":\"tax n01\"}\n{\"id\":2,\"body\":\"trade n02\"}\n",
    );
    assert!(lines.head.contains("content-type: application/jsonlines"));
    let rows: Vec<Value> = lines
        .body
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((rows.len(), &rows[1]["queue"]), (2, &json!("trade")));
    let table = server.send(
        "POST",
        "/invocations",
        &[("Content-Type", "text/csv;charset=utf-8"), ("Accept", "text/csv")],
        "\u{feff}id,subject,body\n7,,\"Grüße, tax\nn01\"\n".as_bytes(),
    );
    assert!(table.head.contains("content-type: text/csv"));
    let mut lines = table.body.lines();
    assert_eq!(
        lines.next(),
        Some("id,queue,queue_confidence,queue_decision,number,number_confidence,number_decision")
    );
    assert!(lines.next().unwrap().starts_with("7,tax,0.98"), "{}", table.body);
    server.is_alive();
}

#[test]
fn raw_mail_is_parsed() {
    let server = Server::plain();
    // "Subject: trade\r\n\r\nn42\r\n"
    let answer = server
        .post(JSON, r#"[{"id":1,"raw":"Subject: tax\r\n\r\nn41\r\n"},{"id":2,"raw":"U3ViamVjdDogdHJhZGUNCg0KbjQyDQo=","raw_encoding":"base64"}]"#)
        .json();
    assert_eq!(
        (&answer[0]["queue"], &answer[0]["number"]),
        (&json!("tax"), &json!("n41"))
    );
    assert_eq!(
        (&answer[1]["queue"], &answer[1]["number"]),
        (&json!("trade"), &json!("n42"))
    );
    server.is_alive();
}

#[test]
fn nothing_and_empty_mails_are_answered() {
    let server = Server::plain();
    for empty in ["[]", r#"{"id":[],"subject":[],"body":[]}"#] {
        assert_eq!(server.post(JSON, empty).json(), json!([]));
    }
    assert_eq!(server.post("application/jsonlines", "").json(), json!([]));
    assert_eq!(server.post("text/csv", "").json(), json!([]));
    let answer = server
        .post(
            JSON,
            r#"[{"id":"e","subject":"","body":""},{"id":"n","body":null}]"#,
        )
        .json();
    for row in answer.as_array().unwrap() {
        assert_eq!(
            (&row["queue_decision"], &row["number_decision"]),
            (&json!("ask"), &json!("ask"))
        );
        assert_eq!(row["queue_confidence"], 0.5);
    }
    server.is_alive();
}

#[test]
fn a_mail_of_a_megabyte_and_ten_thousand_mails_are_answered() {
    let server = Server::plain();
    let big = format!(
        "n05 tax {}",
        "Guten Tag, ich frage nach der Abrechnung.\n".repeat(25_000)
    );
    assert!(big.len() > 1_000_000);
    assert_eq!(
        server
            .post(JSON, json!([{"id": 1, "body": big}]).to_string())
            .json()[0]["number"],
        "n05"
    );
    let mails: Vec<Value> = (0..10_000)
        .map(|id| json!({"id": id, "body": format!("the number n{:02}", id % 100)}))
        .collect();
    let answer = server.post(JSON, Value::from(mails).to_string()).json();
    let rows = answer.as_array().unwrap();
    assert_eq!(rows.len(), 10_000);
    for (id, row) in rows.iter().enumerate() {
        assert_eq!(
            (&row["id"], &row["number"]),
            (&json!(id), &json!(format!("n{:02}", id % 100)))
        );
    }
    server.is_alive();
}

#[test]
fn wrong_media_types_are_refused_both_ways() {
    let server = Server::plain();
    server
        .post("text/plain", "secret")
        .problem(415, "unsupported_media_type");
    server
        .post("application/json; charset=iso-8859-1", "[]")
        .problem(415, "unsupported_media_type");
    server
        .send("POST", "/invocations", &[], b"[]")
        .problem(415, "unsupported_media_type");
    let headers = [("Content-Type", JSON), ("Accept", "text/html")];
    server
        .send("POST", "/invocations", &headers, b"[]")
        .problem(406, "not_acceptable");
    server.is_alive();
}

#[test]
fn broken_bodies_are_told_where_and_never_quoted() {
    let server = Server::plain();
    let problem = server
        .post(JSON, "[{\"id\":1,\n \"body\": secret}]")
        .problem(400, "malformed");
    assert_eq!(
        (&problem["line"], problem["column"].is_number()),
        (&json!(2), true)
    );
    server.post(JSON, "").problem(400, "malformed");
    server.post(JSON, "[".repeat(200_000)).problem(400, "malformed");
    server
        .post(JSON, b"[{\"body\":\"secret \xff\xfe\"}]")
        .problem(400, "not_utf8");
    server
        .post("text/csv", b"body\nGr\xfc\xdfe secret\n")
        .problem(400, "not_utf8");
    server
        .post("text/csv", "id,body\n1,secret\n2\n")
        .problem(400, "unequal_lengths");
    let lines = server
        .post("application/x-ndjson", "{\"body\":\"\"}\n{\"body\":\"secret\n")
        .problem(400, "malformed");
    assert_eq!(lines["line"], 2);
    server.post(JSON, "\"secret\"").problem(400, "unknown_shape");
    let lists = server
        .post(JSON, r#"{"id":[1,2],"body":["secret"]}"#)
        .problem(400, "unequal_lengths");
    assert_eq!(lists["field"], "body");
    let field = server
        .post(JSON, r#"[{"body":"x"},{"body":{"secret":1}}]"#)
        .problem(400, "invalid_field");
    assert_eq!((&field["record"], &field["field"]), (&json!(1), &json!("body")));
    let missing = server
        .post(JSON, r#"[{"id":"secret","text":"secret"}]"#)
        .problem(400, "missing_text");
    assert_eq!(missing["record"], 0);
    server.is_alive();
}

#[test]
fn too_large_bodies_are_refused_announced_or_not() {
    let server = Server::start(Settings {
        body_bytes: 10_000,
        ..Settings::default()
    });
    server.post(JSON, "x".repeat(15_000)).problem(413, "too_large");
    // Announced as far too large: refused before it is sent.
    let mut stream = server.connect();
    let head = "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9999999999\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    Answer::read(stream).problem(413, "too_large");
    // Not announced at all.
    let mut stream = server.connect();
    let head = "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    for _ in 0..12 {
        stream
            .write_all(format!("3e8\r\n{}\r\n", "x".repeat(1000)).as_bytes())
            .unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    Answer::read(stream).problem(413, "too_large");
    server.is_alive();
}

#[test]
fn slow_and_broken_senders_do_not_hold_the_server() {
    let server = Server::start(Settings {
        read_within: Duration::from_millis(200),
        ..Settings::default()
    });
    let head = "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n[";
    let mut stream = server.connect();
    stream.write_all(head.as_bytes()).unwrap();
    Answer::read(stream).problem(408, "read_timeout");
    let mut gone = server.connect();
    gone.write_all(head.as_bytes()).unwrap();
    gone.shutdown(Shutdown::Both).unwrap();
    server.is_alive();
}

#[test]
fn a_failing_model_fails_one_request() {
    let server = Server::plain();
    server
        .post(JSON, r#"[{"body":"explode secret"}]"#)
        .problem(500, "internal");
    server.is_alive();
}

#[test]
fn answers_that_come_too_late_or_do_not_fit_say_so() {
    let queue = Limits {
        waiting_bytes: 1000,
        workers: 1,
        ..Limits::default()
    };
    let server = Server::start(Settings {
        answer_within: Duration::from_millis(20),
        queue,
        ..Settings::default()
    });
    server.post(JSON, r#"[{"body":"slowly"}]"#).problem(504, "late");
    let full = server.post(JSON, json!([{"body": "x".repeat(2000)}]).to_string());
    full.problem(503, "busy");
    assert!(full.head.contains("retry-after: 1"));
}

#[test]
fn concurrent_callers_get_their_own_answers() {
    let server = Server::plain();
    std::thread::scope(|scope| {
        for caller in 0..12 {
            let server = &server;
            scope.spawn(move || {
                for round in 0..10 {
                    // Alone, a few, and more than a batch holds.
                    let count = [1, 8, 64][round % 3];
                    let number = |n: usize| format!("n{:02}", (caller * 10 + round + n) % 100);
                    let mails: Vec<Value> = (0..count)
                        .map(|n| json!({"id": caller * 100 + n, "body": format!("the number is {}", number(n))}))
                        .collect();
                    let answer = server.post(JSON, Value::from(mails).to_string()).json();
                    let rows = answer.as_array().unwrap();
                    assert_eq!(rows.len(), count);
                    for (n, row) in rows.iter().enumerate() {
                        assert_eq!(
                            (&row["id"], &row["number"]),
                            (&json!(caller * 100 + n), &json!(number(n)))
                        );
                    }
                }
            });
        }
    });
}

#[test]
fn stopping_lets_open_requests_finish_and_gives_up_on_endless_ones() {
    let mut server = Server::plain();
    let open = server.connect();
    let body = r#"[{"body":"slowly n09"}]"#;
    write!(&open, "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    // Until it is taken up, it would be a new request to a server that takes none.
    std::thread::sleep(Duration::from_millis(100));
    drop(server.stop.take());
    let answer = Answer::read(open);
    assert_eq!(answer.json()[0]["number"], "n09");
    let address = server.address;
    drop(server);
    assert!(TcpStream::connect(address).is_err());

    let endless = Server::start(Settings {
        drain_within: Duration::from_millis(50),
        ..Settings::default()
    });
    let open = endless.connect();
    let body = r#"[{"body":"for ages"}]"#;
    write!(&open, "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    drop(endless);
}
