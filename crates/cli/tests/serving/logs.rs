//! What is logged, and what never is.

use super::server::*;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// Everything a client can get wrong with a mail in its hands.
fn stumble(private: &str, public: &str, key: &str) {
    let whole = json!([{"id": WORD, "subject": WORD, "body": format!("Bitte {WORD} zusenden.\n> {WORD}")}]);
    let invoke =
        |headers: &[(&str, &str)], body: &[u8]| ask(private, &request("POST", "/invocations", headers, body));
    let text = whole.to_string();
    let word = WORD.as_bytes();
    let include = (
        "X-Amzn-SageMaker-Custom-Attributes",
        "include=top+text+cuts+evidence",
    );
    let (status, told) = invoke(&[JSON, include, ("X-Request-Id", "req-1")], text.as_bytes());
    assert!(
        status == 200 && holds_word(told.as_bytes()),
        "the word is there to be told: {told}"
    );
    assert_eq!(invoke(&[JSON], &text.as_bytes()[..text.len() - 5]).0, 400);
    for (headers, body) in [
        (
            vec![JSON],
            json!([{"body": {WORD: WORD}}]).to_string().into_bytes(),
        ),
        (
            vec![JSON],
            json!([{"raw": WORD, "raw_encoding": WORD}])
                .to_string()
                .into_bytes(),
        ),
        (vec![JSON], [word, b"\xff\xfe"].concat()),
        (vec![JSON], [br#"[{"body": ""#, word, b"\xff\"}]"].concat()),
        (
            vec![("Content-Type", "text/csv")],
            [b"id,body\n\"", word, b"\n"].concat(),
        ),
        (
            vec![("Content-Type", "text/csv")],
            [word, b",\"", word, b"\"x\n"].concat(),
        ),
        (
            vec![("Content-Type", "application/jsonlines")],
            [b"{\"body\": ", word].concat(),
        ),
        (vec![("Content-Type", WORD)], word.to_vec()),
        (vec![JSON, ("Content-Encoding", WORD)], word.to_vec()),
        (vec![JSON, ("Accept", WORD)], text.clone().into_bytes()),
        (
            vec![JSON, ("X-Amzn-SageMaker-Custom-Attributes", WORD)],
            text.clone().into_bytes(),
        ),
        (
            vec![JSON, ("X-Request-Id", "Quittenbrotzeit und mehr")],
            text.clone().into_bytes(),
        ),
        (
            vec![JSON, ("Prefer", WORD), ("traceparent", WORD)],
            text.clone().into_bytes(),
        ),
        (vec![JSON, ("Expect", WORD)], text.clone().into_bytes()),
    ] {
        invoke(&headers, &body);
    }
    for path in [
        format!("/{WORD}"),
        format!("/ping?{WORD}"),
        format!("/models/{WORD}"),
        format!("/v2/models/{WORD}/infer"),
    ] {
        ask(private, &request("POST", &path, &[JSON], &text));
        ask(public, &request("GET", &path, &[], ""));
    }
    ask(
        private,
        &request("POST", "/predict", &[JSON], json!({"inputs": WORD}).to_string()),
    );
    ask(
        private,
        &request(
            "POST",
            "/predict",
            &[JSON],
            json!({"inputs": {WORD: 1}}).to_string(),
        ),
    );
    // No HTTP at all, and a client that leaves in the middle.
    for bytes in [
        format!("{WORD}\r\n\r\n"),
        format!("GET /{WORD} {WORD}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{WORD}\r\n\r\n"),
        format!("POST /invocations HTTP/1.1\r\nContent-Length: {WORD}\r\n\r\n"),
        format!(
            "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n[\"{WORD}"
        ),
        format!("POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{WORD}"),
    ] {
        for address in [private, public] {
            let mut stream = connect(address);
            stream.write_all(bytes.as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
    let predict = |headers: &[(&str, &str)], body: &Value| {
        ask(
            public,
            &request(
                "POST",
                "/v1/predictions",
                &[&[JSON], headers].concat(),
                body.to_string(),
            ),
        )
        .0
    };
    let ours = ("X-Api-Key", key);
    let all = json!({"mails": [{"external_id": WORD, "subject": WORD, "body": WORD}], "include": ["text", "cuts", "evidence"]});
    assert_eq!(predict(&[ours, ("Idempotency-Key", WORD)], &all), 200);
    assert_eq!(predict(&[ours, ("Idempotency-Key", WORD)], &all), 200);
    assert_eq!(
        predict(&[ours], &json!({"mails": [{WORD: WORD}], WORD: WORD})),
        400
    );
    assert_eq!(predict(&[("X-Api-Key", WORD)], &all), 401);
    assert_eq!(predict(&[("Authorization", WORD)], &all), 401);
    let feedback = json!({"external_id": WORD, "labels": {WORD: WORD}}).to_string();
    let answer = ask(public, &request("POST", "/v1/feedback", &[JSON, ours], feedback));
    assert_eq!(answer.0, 422, "{}", answer.1);
    for method in ["GET", "DELETE"] {
        let path = format!("/v1/predictions?external_id={WORD}");
        assert_eq!(ask(public, &request(method, &path, &[ours], "")).0, 200);
    }
}

#[test]
fn logs_tell_of_requests_and_never_of_mail() {
    let keeping = format!("{GATEWAY}keep = 'text'\n");
    let folder = folder(&keeping);
    let key = done(
        folder.path(),
        &[
            "api-key",
            "create",
            "crm",
            "--allow",
            "predict,read,feedback,erase",
            "--reason",
            "a test",
            "--by",
            "the test",
        ],
    );
    for (log, level) in [("json", "trace"), ("json", "info"), ("text", "trace")] {
        let arguments = ["--port", "0", "--gateway", "--log", log];
        let mut server = Server::start(folder.path(), &arguments, &[("POSTSTELLE_LOG", level)]);
        let (private, public) = if log == "text" {
            (
                server.address("bundle answers on"),
                server.address("gateway answers on"),
            )
        } else {
            let ready: Value = serde_json::from_str(&server.line(r#""message":"ready""#)).unwrap();
            let at = |door: &str| host(ready["fields"][door].as_str().unwrap());
            (at("address"), at("gateway"))
        };
        stumble(&private, &public, key.trim());
        let lines = server.stop();
        for line in &lines {
            assert!(!holds_word(line.as_bytes()), "mail text in a log: {line}");
            assert!(!line.contains(key.trim()), "a key in a log: {line}");
            assert!(!line.contains('\x1b'), "colours without a terminal: {line}");
        }
        if log == "text" {
            let told = |line: &String| {
                [
                    r#"http.path="/invocations""#,
                    "http.status=200",
                    r#"request.id="req-1""#,
                ]
                .iter()
                .all(|part| line.contains(part))
            };
            assert!(lines.iter().any(told), "{lines:#?}");
            continue;
        }
        let objects: Vec<Value> = lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect();
        let requests: Vec<&Value> = objects
            .iter()
            .map(|object| &object["fields"])
            .filter(|fields| !fields["http.path"].is_null())
            .collect();
        assert!(requests.len() > 30, "{}", requests.len());
        let first = requests
            .iter()
            .find(|fields| fields["request.id"] == "req-1")
            .unwrap();
        assert_eq!(
            (&first["message"], &first["http.method"], &first["http.path"]),
            (&json!("request answered"), &json!("POST"), &json!("/invocations"))
        );
        assert_eq!((&first["http.status"], &first["mails"]), (&json!(200), &json!(1)));
        for fields in &requests {
            let check = fields["message"] == "health checked";
            assert!(
                fields["http.status"].is_u64() && fields["took_ms"].is_f64(),
                "{fields}"
            );
            assert!(
                check || fields["request.id"].as_str().is_some_and(|id| !id.is_empty()),
                "{fields}"
            );
        }
        assert!(
            objects.iter().all(|object| object["level"] != "ERROR"),
            "{objects:#?}"
        );
    }
    let audit = fs::read(folder.path().join("audit.jsonl")).unwrap();
    assert!(
        !audit.is_empty() && !holds_word(&audit),
        "mail text in the audit log"
    );
}

#[test]
fn a_terminal_has_colours_unless_it_wants_none() {
    let folder = folder("");
    for (variables, coloured) in [
        (&[("TERM", "xterm")][..], true),
        (&[("TERM", "xterm"), ("NO_COLOR", "1")], false),
        (&[("TERM", "dumb")], false),
    ] {
        let mut script = Command::new("script");
        // It runs in a session of its own, so that only its own number ends it.
        let serve = format!("echo process $$; exec {POSTSTELLE} serve bundle --port 0");
        script.args(["-qfec", &serve, "/dev/null"]).stdout(Stdio::piped());
        plain(&mut script)
            .current_dir(folder.path())
            .env_remove("CI")
            .envs(variables.iter().copied());
        let mut child = script.spawn().unwrap();
        let talk = child.stdout.take().unwrap();
        let mut server = Server::hear(child, talk);
        let process = server.line("process ").trim().replace("process ", "");
        let address = server.address("answers on");
        assert_eq!(ask(&address, &invocation(&[], &mail())).0, 200);
        let line = server.line("request answered");
        assert!(Command::new("kill").arg(&process).status().unwrap().success());
        assert_eq!(server.ended().0, Some(0));
        assert_eq!(line.contains('\x1b'), coloured, "{variables:?}: {line:?}");
    }
}
