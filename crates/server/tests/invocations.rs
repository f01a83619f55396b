//! The private endpoint over real connections.

#![allow(clippy::unwrap_used, reason = "a test's own sockets and answers")]

mod world;

use poststelle_predict::Limits;
use poststelle_server::Settings;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;
use world::{Answer, JSON, Server};

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
        json!({"MaxConcurrentTransforms": 2, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 50})
    );
    server.send("GET", "/nothing", &[], b"").problem(404, "not_found");
    server
        .send("GET", "/invocations", &[], b"")
        .problem(405, "method_not_allowed");
    server.is_alive();
}

#[test]
fn each_protocol_tells_problems_in_its_own_shape() {
    let server = Server::plain();
    let told = |method, path, body| -> Value {
        let answer = server.send(method, path, &[("Content-Type", JSON)], body);
        serde_json::from_str(&answer.body).unwrap()
    };
    for (method, path) in [
        ("GET", "/v2/nothing"),
        ("GET", "/v2/models/a/infer"),
        ("GET", "/v2/models/a"),
    ] {
        let told = told(method, path, b"");
        assert!(told["error"].is_string() && told["status"].is_null(), "{told}");
    }
    let invoked = told("POST", "/invocations", b"7");
    assert!(invoked["message"].is_string() && invoked["message"] == invoked["detail"]);
    let predicted = told("POST", "/predict", b"7");
    assert_eq!(predicted["error_type"], "Validation");
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
        "scope",
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
        Some("id,queue,queue_confidence,queue_decision,number,number_confidence,number_decision,scope,error")
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
        .post("text/csv", "id,body\n2\n")
        .problem(400, "unequal_lengths");
    let lines = server
        .post("application/x-ndjson", "\n{\"body\":\"secret\n")
        .problem(400, "malformed");
    assert_eq!(lines["line"], 2);
    server.post(JSON, "\"secret\"").problem(400, "unknown_shape");
    let lists = server
        .post(JSON, r#"{"id":[1,2],"body":["secret"]}"#)
        .problem(400, "unequal_lengths");
    assert_eq!(lists["field"], "body");
    let field = server
        .post(JSON, r#"[{"body":{"secret":1}}]"#)
        .problem(400, "invalid_field");
    assert_eq!((&field["record"], &field["field"]), (&json!(0), &json!("body")));
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
    // Far more than sockets hold, by a client that reads nothing until it has sent everything.
    let long = "x".repeat(64 << 20);
    server.post(JSON, &long).problem(413, "too_large");
    let lost = server.send("POST", "/nothing", &[("Content-Type", JSON)], long.as_bytes());
    lost.problem(404, "not_found");
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

#[test]
fn what_is_wrong_with_one_record_fails_no_other() {
    let server = Server::plain();
    let answer = server
        .post(JSON, r#"[{"id":1,"body":"tax n01"},{"id":2,"body":{"secret":1}},{"id":3,"x":"secret"},{"id":4,"body":"trade"}]"#)
        .json();
    assert_eq!(
        (&answer[0]["number"], &answer[3]["queue"]),
        (&json!("n01"), &json!("trade"))
    );
    assert_eq!(
        (&answer[1]["id"], &answer[1]["error"]["code"]),
        (&json!(2), &json!("invalid_field"))
    );
    assert_eq!(answer[2]["error"]["code"], "missing_text");
    assert!(!answer.to_string().contains("secret"));
    let lines = server.send(
        "POST",
        "/invocations",
        &[("Content-Type", "application/jsonlines"), ("Accept", "text/csv")],
        b"{\"id\":1,\"body\":\"tax\"}\n{\"id\":2,\n{\"id\":3,\"body\":\"trade\"}\n",
    );
    let rows: Vec<&str> = lines.body.lines().collect();
    assert_eq!(rows.len(), 4, "{}", lines.body);
    assert!(
        rows[2].ends_with(",malformed") && rows[3].starts_with("3,trade,"),
        "{}",
        lines.body
    );
}

#[test]
fn answers_come_as_columns_too() {
    let server = Server::plain();
    let headers = [
        ("Content-Type", JSON),
        ("Accept", "application/json; shape=columns"),
    ];
    let body = r#"[{"id":"a","body":"tax"},{"id":"b","x":1},{"id":"c","body":"trade"}]"#;
    let answer = server
        .send("POST", "/invocations", &headers, body.as_bytes())
        .json();
    assert_eq!(answer["id"], json!(["a", "b", "c"]));
    assert_eq!(answer["queue"], json!(["tax", null, "trade"]));
    assert_eq!(
        (&answer["error"][0], &answer["error"][1]["code"]),
        (&Value::Null, &json!("missing_text"))
    );
    let lists = answer.as_object().unwrap().values();
    assert!(
        lists.into_iter().all(|list| list.as_array().unwrap().len() == 3),
        "{answer}"
    );
}

#[test]
fn a_table_without_header_is_answered_by_one() {
    let server = Server::plain();
    let headers = [
        ("Content-Type", "text/csv; header=absent"),
        ("Accept", "text/csv"),
    ];
    let answer = server.send("POST", "/invocations", &headers, b"1,tax,n01\n2,trade,n02\n");
    assert_eq!(
        answer.header("content-type"),
        Some("text/csv; charset=utf-8; header=absent")
    );
    let rows: Vec<&str> = answer.body.lines().collect();
    assert!(
        rows.len() == 2 && rows[0].starts_with("1,tax,"),
        "{}",
        answer.body
    );
}

#[test]
fn batch_transform_answers_each_line_by_a_line() {
    let server = Server::start(Settings {
        batch_transform: true,
        ..Settings::default()
    });
    let ask = |content: &str, accept: &str, body: &str| {
        server.send(
            "POST",
            "/invocations",
            &[("Content-Type", content), ("Accept", accept)],
            body.as_bytes(),
        )
    };
    let single = ask("application/jsonlines", "application/jsonlines", "{\"id\":1}");
    assert_eq!(single.status, 200, "a wrong record fails no job");
    assert!(
        single.body.contains("missing_text") && !single.body.contains('\n'),
        "{}",
        single.body
    );
    let table = ask("text/csv", "text/csv", "1,tax,n01\n2,trade\n");
    assert_eq!(table.body.lines().count(), 2, "{}", table.body);
    let with_header = ask("text/csv", "text/csv", "id,body\n1,tax\n");
    assert!(with_header.body.starts_with("id,queue,") && with_header.body.lines().count() == 2);
}

#[test]
fn custom_attributes_come_back_and_ask_for_more() {
    let server = Server::plain();
    let ask = |attributes: &str| {
        let headers = [
            ("Content-Type", JSON),
            ("X-Amzn-SageMaker-Custom-Attributes", attributes),
        ];
        let mail = json!([{"id": 1, "subject": "tax", "body": "number n01.\n\nMany thanks.\n\n-- \nAnna"}]);
        server.send("POST", "/invocations", &headers, mail.to_string().as_bytes())
    };
    let plain = ask("trace=7");
    let attributes = plain.header("x-amzn-sagemaker-custom-attributes");
    assert_eq!(attributes, Some("trace=7,schema_version=1"));
    assert!(plain.json()[0].get("text").is_none());
    let told = ask("trace=7; include=top+text+cuts+evidence").json();
    assert_eq!(told[0]["queue_top"][0]["label"], "tax");
    assert_eq!(told[0]["text"], "tax\nnumber n01.\n\nMany thanks.");
    assert_eq!(told[0]["cuts"][0]["kind"], "signature");
    let evidence = told[0]["evidence"].as_array().unwrap();
    let heaviest = |task: &str| {
        let weight = |part: &&Value| part["weights"][task].as_f64().unwrap();
        evidence
            .iter()
            .max_by(|a, b| weight(a).total_cmp(&weight(b)))
            .unwrap()["text"]
            .clone()
    };
    assert_eq!(
        (heaviest("queue"), heaviest("number")),
        (json!("tax"), json!("number n01."))
    );
    ask("include=secret").problem(400, "invalid_attributes");
    ask(&"x".repeat(1025)).problem(400, "invalid_attributes");
}

#[test]
fn a_client_may_ask_for_less_patience() {
    let server = Server::plain();
    let headers = [("Content-Type", JSON), ("Prefer", "respond-async, wait=0")];
    server
        .send("POST", "/invocations", &headers, br#"[{"body":"slowly"}]"#)
        .problem(504, "late");
    let headers = [("Content-Type", JSON), ("Prefer", "wait=soon")];
    let answer = server.send("POST", "/invocations", &headers, b"[]");
    assert_eq!(answer.status, 200, "what cannot be read is passed over");
}

#[test]
fn bodies_take_no_more_memory_than_planned() {
    let server = Server::start(Settings {
        bodies_bytes: 100_000,
        ..Settings::default()
    });
    // Announced and never sent: its share is taken.
    let mut held = server.connect();
    let head = "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 90000\r\n\r\n[";
    held.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let refused = server.post(JSON, json!([{"body": "x".repeat(20_000)}]).to_string());
    refused.problem(503, "busy");
    assert_eq!(refused.header("retry-after"), Some("1"));
    drop(held);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(
        server
            .post(JSON, json!([{"body": "x".repeat(20_000)}]).to_string())
            .status,
        200
    );
}

#[test]
fn header_bombs_and_slow_heads_end_their_connection_alone() {
    let server = Server::start(Settings {
        head_within: Duration::from_millis(300),
        ..Settings::default()
    });
    let many = (0..200).map(|n| format!("X-{n}: y\r\n")).collect::<String>();
    let long = format!("X-Long: {}\r\n", "y".repeat(400_000));
    for bomb in [many, long] {
        let mut stream = server.connect();
        let _ = stream.write_all(format!("GET /ping HTTP/1.1\r\nHost: x\r\n{bomb}\r\n").as_bytes());
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
            "{answer}"
        );
    }
    let mut slow = server.connect();
    slow.write_all(b"GET /ping HTTP/1.1\r\nHost").unwrap();
    let mut answer = Vec::new();
    let _ = slow.read_to_end(&mut answer);
    assert!(answer.is_empty(), "the connection ended without an answer");
    server.is_alive();
}

#[test]
fn connections_beyond_the_limit_wait() {
    let server = Server::start(Settings {
        connections: 2,
        ..Settings::default()
    });
    let (first, second) = (server.connect(), server.connect());
    std::thread::sleep(Duration::from_millis(50));
    let waiting = std::thread::scope(|scope| {
        let asked = scope.spawn(|| server.send("GET", "/ping", &[], b"").status);
        std::thread::sleep(Duration::from_millis(200));
        assert!(!asked.is_finished(), "there is no place for a third");
        drop((first, second));
        asked.join().unwrap()
    });
    assert_eq!(waiting, 200);
}

#[test]
fn a_reader_who_takes_nothing_loses_the_connection() {
    let server = Server::start(Settings {
        write_within: Duration::from_millis(300),
        ..Settings::default()
    });
    let mails: Vec<Value> = (0..30_000).map(|id| json!({"id": id, "body": "tax"})).collect();
    let body = Value::from(mails).to_string();
    let mut stream = server.connect();
    write!(stream, "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    // Far more than the buffers between take; nothing is read until the server has given up.
    let open = || metric(&server, "poststelle_connections{door=\"private\"}");
    let begun = std::time::Instant::now();
    while open() > 1.0 {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "the connection is still open"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    server.is_alive();
}

/// A metric's value, the connection that asks included.
fn metric(server: &Server, name: &str) -> f64 {
    let text = server.send("GET", "/metrics", &[], b"").body;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not among the metrics"))
        .parse()
        .unwrap()
}

#[test]
fn metrics_tell_of_requests_mails_and_decisions() {
    let server = Server::plain();
    server
        .post(JSON, r#"[{"body":"tax"},{"body":""},{"x":1}]"#)
        .json();
    server
        .post("text/plain", "x")
        .problem(415, "unsupported_media_type");
    let metric = |name: &str| metric(&server, name);
    assert_eq!(metric("poststelle_request_total{route=\"/invocations\"}"), 2.0);
    assert_eq!(
        metric("poststelle_request_failure_total{route=\"/invocations\",status=\"415\"}"),
        1.0
    );
    assert_eq!(metric("poststelle_mail_total{scope=\"empty\",version=\"\"}"), 1.0);
    assert_eq!(
        metric("poststelle_answer_total{decision=\"auto\",task=\"queue\",version=\"\"}"),
        1.0
    );
    assert_eq!(metric("poststelle_record_error_total"), 1.0);
    assert_eq!(metric("poststelle_ready"), 1.0);
    assert!(metric("poststelle_request_inference_duration_seconds_count") >= 1.0);
}

#[test]
fn health_readiness_and_liveness_are_apart() {
    let server = Server::of(poststelle_server::App::new(Settings::default()), |_| Vec::new());
    for (path, status) in [
        ("/health/live", 200),
        ("/health/ready", 503),
        ("/health", 503),
        ("/ping", 503),
        ("/v2/health/live", 200),
        ("/v2/health/ready", 503),
    ] {
        assert_eq!(server.send("GET", path, &[], b"").status, status, "{path}");
    }
    server.post(JSON, "[{\"body\":\"tax\"}]").problem(503, "no_model");
    server.app.live.serve(None, world::predictor());
    assert_eq!(server.send("GET", "/health/ready", &[], b"").status, 200);
    server.is_alive();
}

#[test]
fn a_request_keeps_its_name_and_a_strange_one_gets_another() {
    let server = Server::plain();
    let id = |sent: &str| {
        let answer = server.send("GET", "/ping", &[("X-Request-Id", sent)], b"");
        answer.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(id("crm-4711.a:b_c"), "crm-4711.a:b_c");
    for strange in ["a b", "<script>", &"x".repeat(129), ""] {
        assert_ne!(id(strange), strange);
    }
}
