//! `serve` as its operator meets it: sockets, traces, logs, the end of it, and what it refuses to begin with.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

mod logs;
mod server;
mod sockets;
#[path = "../support/mod.rs"]
mod support;
mod traces;

use server::*;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

#[test]
fn what_was_begun_is_finished_when_the_server_is_told_to_stop() {
    let folder = folder(GATEWAY);
    for name in ["TERM", "INT"] {
        let mut server = Server::start(folder.path(), &["--port", "0", "--gateway"], &[]);
        let private = server.address("bundle answers on");
        let public = server.address("gateway answers on");
        let whole = invocation(&[], &mail());
        let (begin, end) = whole.split_at(whole.len() - 10);
        let mut open = connect(&private);
        open.write_all(begin).unwrap();
        let check = request("GET", "/health/ready", &[], "");
        assert_eq!(ask(&private, &check).0, 200);
        let (check_begin, check_end) = check.split_at(20);
        let mut checking = connect(&private);
        checking.write_all(check_begin).unwrap();
        // It waits for the next request.
        let mut idle = connect(&public);
        idle.write_all(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut first = [0; 12];
        idle.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        // What was sent has arrived.
        std::thread::sleep(Duration::from_millis(300));

        server.signal(name);
        server.line("stopping");
        let begun = Instant::now();
        let closed = |address: &String| {
            let refused = TcpStream::connect(address).err();
            refused.is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        };
        while !(closed(&private) && closed(&public)) {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "it still takes connections"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        idle.read_to_end(&mut Vec::new()).unwrap();
        checking.write_all(check_end).unwrap();
        assert_eq!(answer(checking).0, 503, "it is not ready any more");
        assert!(server.child.try_wait().unwrap().is_none(), "a request is open");
        open.write_all(end).unwrap();
        let (status, text) = answer(open);
        assert!(status == 200 && text.contains(r#""id":"a""#), "{text}");
        let (code, lines) = server.ended();
        assert_eq!(code, Some(0), "{lines:#?}");
        let last = lines.last().unwrap();
        assert!(last.ends_with("stopped"), "{last}");
        assert!(
            begun.elapsed() < Duration::from_secs(25),
            "nothing was waited for in vain"
        );
    }
}

#[test]
fn what_cannot_be_served_is_refused_at_once() {
    let folder = folder("");
    let at = folder.path();
    fs::write(at.join("wrong.pem"), "no certificate").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let gateway = |lines: &str| format!("[env.development.gateway]\nlisten = '127.0.0.1:0'\n{lines}");
    let busy = format!("[env.development.gateway]\nlisten = '127.0.0.1:{port}'\n");
    for (what, configuration, names) in [
        ("no gateway", String::new(), &["`development`", "gateway"][..]),
        (
            "an open line",
            "[env.development.gateway]\nlisten = '0.0.0.0:0'\n".to_owned(),
            &["0.0.0.0:0", "tls", "plain"],
        ),
        (
            "an open line, too",
            "[env.development.gateway]\nlisten = '[::]:0'\n".to_owned(),
            &["[::]:0", "tls"],
        ),
        (
            "a wrong certificate",
            gateway("tls = { certificate = 'wrong.pem', key = 'wrong.pem' }\n"),
            &["wrong.pem", "PEM"],
        ),
        (
            "no certificate",
            gateway("tls = { certificate = 'no.pem', key = 'wrong.pem' }\n"),
            &["no.pem"],
        ),
        ("a port in use", busy, &[&port, "listen"]),
        (
            "an unknown key",
            gateway("requests_per_minuet = 5\n"),
            &["requests_per_minuet", "requests_per_minute"],
        ),
        (
            "no requests at all",
            gateway("requests_per_minute = 0\n"),
            &["requests_per_minute"],
        ),
        ("an unknown word", gateway("keep = 'all'\n"), &["all", "redacted"]),
        (
            "keys over an open line",
            gateway("oidc = { issuer = 'http://example.org', audience = 'a' }\n"),
            &["http://example.org", "https"],
        ),
        (
            "no audit log",
            gateway("audit = 'bundle'\n"),
            &["bundle", "audit"],
        ),
    ] {
        configure(at, &configuration);
        refused(
            what,
            command(at, &["serve", "bundle", "--port", "0", "--gateway"]),
            names,
        );
    }
    configure(at, GATEWAY);
    let serve = |args: &[&str]| command(at, &[&["serve"], args].concat());
    refused(
        "a port in use",
        serve(&["bundle", "--port", &port]),
        &[&port, "--port"],
    );
    refused("no bundle", serve(&["--port", "0"]), &["bundle", "--endpoint"]);
    let mut collector = serve(&["bundle", "--port", "0"]);
    collector.env("OTEL_EXPORTER_OTLP_ENDPOINT", "no address");
    refused("a wrong collector", collector, &["OTEL_EXPORTER_OTLP_ENDPOINT"]);
    let mut filter = serve(&["bundle", "--port", "0"]);
    filter.env("POSTSTELLE_LOG", "poststelle=loud");
    refused("a wrong filter", filter, &["POSTSTELLE_LOG"]);
    // Behind what speaks TLS for it, it may be open.
    configure(
        at,
        "[env.development.gateway]\nlisten = '0.0.0.0:0'\nplain = true\n",
    );
    let mut server = Server::start(at, &["--port", "0", "--gateway"], &[]);
    let port = server
        .address("gateway answers on")
        .replace("0.0.0.0:", "127.0.0.1:");
    assert_eq!(ask(&port, &request("GET", "/v1/health", &[], "")).0, 200);
    server.stop();
}
