//! Traces, as a collector gets them.

use super::server::*;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Keeps what is sent to it, as an OpenTelemetry collector would.
struct Collector {
    address: String,
    got: Arc<Mutex<Vec<Sent>>>,
}

/// Head and body.
type Sent = (String, Vec<u8>);

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let got = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&got);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || while keep(&stream, &kept).is_some() {});
            }
            fn keep(stream: &std::io::Result<TcpStream>, kept: &Mutex<Vec<Sent>>) -> Option<()> {
                let mut stream = stream.as_ref().unwrap();
                let mut reader = BufReader::new(stream);
                let (mut head, mut length) = (String::new(), 0);
                loop {
                    let from = head.len();
                    if reader.read_line(&mut head).ok()? == 0 {
                        return None;
                    }
                    let line = head[from..].trim_end().to_ascii_lowercase();
                    if let Some(text) = line.strip_prefix("content-length: ") {
                        length = text.parse().unwrap();
                    }
                    if line.is_empty() {
                        break;
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).ok()?;
                kept.lock().unwrap().push((head, body));
                let answer =
                    "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(answer.as_bytes()).ok()
            }
        });
        Self { address, got }
    }

    /// The spans it got, with the services they are of.
    fn spans(&self) -> Vec<(String, Span)> {
        let mut spans = Vec::new();
        for (head, body) in self.got.lock().unwrap().iter() {
            assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
            let head = head.to_ascii_lowercase();
            assert!(
                head.contains("content-type: application/x-protobuf\r\n"),
                "{head}"
            );
            let sent = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
            for of_resource in sent.resource_spans {
                let about = of_resource.resource.unwrap().attributes;
                let Some(Attribute::StringValue(service)) = attribute(&about, "service.name") else {
                    panic!("{about:?}");
                };
                let found = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
                spans.extend(found.map(|span| (service.clone(), span)));
            }
        }
        spans
    }
}

fn attribute<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a Attribute> {
    let found = attributes.iter().find(|one| one.key == name)?;
    found.value.as_ref()?.value.as_ref()
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn traces_go_to_the_collector_and_on_from_the_callers() {
    let folder = folder("");
    let collector = Collector::start();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address.as_str())];
    let mut server = Server::start(folder.path(), &["--port", "0"], &variables);
    let address = server.address("answers on");
    assert!(
        server
            .threads()
            .iter()
            .any(|name| name.starts_with("OpenTelemetry"))
    );
    let traced = format!("00-{TRACE}-{PARENT}-01");
    let words = json!([{"id": "a", "subject": WORD, "body": format!("{WORD} zusenden.")}, {"body": WORD}]);
    let ask = |headers: &[(&str, &str)], body: &Value| ask(&address, &invocation(headers, body));
    let (status, text) = ask(&[("traceparent", &traced), ("X-Request-Id", "req-1")], &words);
    assert_eq!(status, 200, "{text}");
    // A caller's trace that is not kept is not kept here either; what is no trace begins one.
    let unsampled = format!("00-{}-{PARENT}-00", TRACE.replace('0', "1"));
    assert_eq!(ask(&[("traceparent", &unsampled)], &words).0, 200);
    let broken = json!({"body": {WORD: 1}});
    assert_eq!(ask(&[("traceparent", WORD)], &broken).0, 400);
    server.stop();

    let spans = collector.spans();
    let said = format!("{spans:#?}");
    assert!(spans.iter().all(|(service, _)| service == "poststelle"), "{said}");
    let ours: Vec<&Span> = spans
        .iter()
        .map(|(_, span)| span)
        .filter(|span| hex(&span.trace_id) == TRACE)
        .collect();
    let named = |name: &str| {
        let [one] = ours.iter().filter(|span| span.name == name).collect::<Vec<_>>()[..] else {
            panic!("{name}: {said}");
        };
        *one
    };
    let request = named("POST /invocations");
    assert_eq!(hex(&request.parent_span_id), PARENT);
    assert_eq!(request.kind(), SpanKind::Server);
    let text = |text: &str| Attribute::StringValue(text.to_owned());
    for (name, value) in [
        ("http.request.method", text("POST")),
        ("http.route", text("/invocations")),
        ("http.response.status_code", Attribute::IntValue(200)),
        ("request.id", text("req-1")),
    ] {
        assert_eq!(attribute(&request.attributes, name), Some(&value), "{said}");
    }
    let label = named("label");
    assert_eq!(label.parent_span_id, request.span_id);
    assert_eq!(
        attribute(&label.attributes, "mails"),
        Some(&Attribute::IntValue(2))
    );
    assert!(
        request.start_time_unix_nano <= label.start_time_unix_nano
            && label.end_time_unix_nano <= request.end_time_unix_nano
    );
    assert_eq!(ours.len(), 2, "{said}");
    let skipped = TRACE.replace('0', "1");
    assert!(
        spans.iter().all(|(_, span)| hex(&span.trace_id) != skipped),
        "{said}"
    );
    let others: Vec<&Span> = spans
        .iter()
        .map(|(_, span)| span)
        .filter(|span| hex(&span.trace_id) != TRACE && span.kind() == SpanKind::Server)
        .collect();
    assert_eq!(others.len(), 1, "{said}");
    assert_eq!(
        (others[0].name.as_str(), others[0].parent_span_id.len()),
        ("POST /invocations", 0)
    );
    let status = attribute(&others[0].attributes, "http.response.status_code");
    assert_eq!(status, Some(&Attribute::IntValue(400)));
    for (_, body) in collector.got.lock().unwrap().iter() {
        assert!(!holds_word(body), "{said}");
    }
}

#[test]
fn without_a_collector_nothing_is_sent() {
    let folder = folder("");
    for variables in [&[][..], &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]] {
        let mut server = Server::start(folder.path(), &["--port", "0"], variables);
        let address = server.address("answers on");
        assert_eq!(ask(&address, &invocation(&[], &mail())).0, 200);
        let threads = server.threads();
        assert!(
            !threads.iter().any(|name| name.starts_with("OpenTelemetry")),
            "{threads:?}"
        );
        server.stop();
    }
    // A collector that is away is told of at the end, and holds up nobody.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = format!("http://{closed}");
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", away.as_str())];
    let mut server = Server::start(folder.path(), &["--port", "0"], &variables);
    let address = server.address("answers on");
    assert_eq!(ask(&address, &invocation(&[], &mail())).0, 200);
    let begun = Instant::now();
    server.stop();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}
