//! A Unix socket for the private door.

use super::server::*;
use serde_json::json;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

fn ask_unix(path: &Path, request: &[u8]) -> (u16, String) {
    let mut stream = UnixStream::connect(path).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(CALL_S)))
        .unwrap();
    stream.write_all(request).unwrap();
    answer(stream)
}

#[test]
fn a_socket_file_answers_and_the_gateway_beside_it() {
    let folder = folder(GATEWAY);
    let path = folder.path().join("poststelle.sock");
    let arguments = ["--socket", "poststelle.sock", "--gateway"];
    let mut server = Server::start(folder.path(), &arguments, &[]);
    server.line("answers on unix:poststelle.sock");
    let public = server.address("gateway answers on");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o660, "for its user and group");
    let answers = || {
        let (status, text) = ask_unix(&path, &invocation(&[], &mail()));
        assert!(status == 200 && text.contains(r#""id":"a""#), "{text}");
    };
    answers();
    assert_eq!(ask_unix(&path, &request("GET", "/ping", &[], "")).0, 200);
    // Each door has its own routes.
    assert_eq!(ask_unix(&path, &request("GET", "/v1/health", &[], "")).0, 404);
    assert_eq!(ask(&public, &request("GET", "/ping", &[], "")).0, 404);
    assert_eq!(ask(&public, &request("GET", "/v1/health", &[], "")).0, 200);
    let key = done(
        folder.path(),
        &[
            "api-key", "create", "crm", "--allow", "predict", "--reason", "a test", "--by", "the test",
        ],
    );
    let mails = json!({"mails": [{"body": "Bitte zusenden."}]}).to_string();
    let predict = |key: &str| {
        let headers = [JSON, ("X-Api-Key", key)];
        ask(&public, &request("POST", "/v1/predictions", &headers, &mails)).0
    };
    assert_eq!((predict(key.trim()), predict("pst_guessed")), (200, 401));

    let second = command(folder.path(), &["serve", "bundle", "--socket", "poststelle.sock"]);
    refused("a socket in use", second, &["poststelle.sock", "--socket"]);
    answers();

    server.signal("KILL");
    assert_eq!(server.ended().0, None);
    assert!(
        path.exists() && UnixStream::connect(&path).is_err(),
        "left behind"
    );
    let mut server = Server::start(folder.path(), &arguments, &[]);
    server.line("gateway answers on");
    answers();
    server.stop();
    let mut server = Server::start(folder.path(), &arguments, &[]);
    server.line("gateway answers on");
    answers();
    drop(server);

    // What is no socket is somebody's.
    fs::write(folder.path().join("letter.txt"), "Dear Sir").unwrap();
    let over = command(folder.path(), &["serve", "bundle", "--socket", "letter.txt"]);
    refused("a file in the way", over, &["letter.txt"]);
    assert_eq!(
        fs::read_to_string(folder.path().join("letter.txt")).unwrap(),
        "Dear Sir"
    );
    let nowhere = command(folder.path(), &["serve", "bundle", "--socket", "no/folder.sock"]);
    refused("no folder", nowhere, &["no/folder.sock"]);
}
