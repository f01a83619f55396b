//! The gateway over real connections, with a store behind it.

#![allow(clippy::unwrap_used, reason = "a test's own sockets and answers")]

mod world;

use poststelle_lifecycle::{Act, ApiKey, Clock, KeyText, Permission, Timestamp};
use poststelle_server::{App, Audit, Certificate, Door, Entrance, Gateway, Keep, Policy, Settings, public};
use poststelle_store::{NextKey, Scene, Store};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use world::{Answer, JSON, Server, send};

/// A clock that is set by hand.
struct Hand(Mutex<Timestamp>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

struct World {
    server: Server,
    address: SocketAddr,
    store: Store,
    clock: Arc<Hand>,
    gateway: Arc<Gateway>,
    folder: tempfile::TempDir,
    keys: std::cell::Cell<u8>,
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const NOW: &str = "2026-11-26T10:00:00Z";
const ALL: [Permission; 4] = Permission::ALL;

impl World {
    fn new(policy: Policy) -> Self {
        Self::with(policy, Settings::default(), |listener, _| Door::Tcp(listener))
    }

    fn with(
        policy: Policy,
        settings: Settings,
        door: impl FnOnce(tokio::net::TcpListener, &Path) -> Door,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand(Mutex::new(at(NOW))));
        let app = App::new(settings);
        app.live.serve(Some("mails@3".into()), world::predictor());
        let address = format!("sqlite:{}", folder.path().join("store.db").display());
        let audit = Audit::open(folder.path().join("audit.jsonl")).unwrap();
        let mut made = None;
        let path = folder.path().to_path_buf();
        let server = Server::of(app, |app| {
            let runtime = tokio::runtime::Handle::current();
            // The pool belongs to the threads that serve.
            let opened = std::thread::scope(|scope| {
                let open = scope.spawn(|| {
                    runtime.block_on(async {
                        let store = Store::open(&address).await.unwrap();
                        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                        (store, listener)
                    })
                });
                open.join().unwrap()
            });
            let (store, listener) = opened;
            let bound = listener.local_addr().unwrap();
            let gateway = Gateway::new(
                Arc::clone(app),
                store.clone(),
                Arc::clone(&clock) as _,
                policy,
                None,
                Some(audit),
            );
            let router = public(&gateway);
            made = Some((bound, store, gateway));
            vec![Entrance {
                name: "public",
                door: door(listener, &path),
                router,
            }]
        });
        let (address, store, gateway) = made.unwrap();
        Self {
            server,
            address,
            store,
            clock,
            gateway,
            folder,
            keys: std::cell::Cell::new(1),
        }
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.server.runtime.as_ref().unwrap().block_on(future)
    }

    fn scene() -> Scene {
        Scene {
            environment: "test".parse().unwrap(),
            at: at(NOW),
            by: "ada".parse().unwrap(),
        }
    }

    fn act() -> Act {
        Act {
            by: "ada".parse().unwrap(),
            at: at(NOW),
            reason: "for the test".parse().unwrap(),
        }
    }

    fn text(&self) -> KeyText {
        let next = self.keys.get();
        self.keys.set(next + 1);
        KeyText::of_chance(&[next; 40])
    }

    /// Issues a key; gives its id and the whole of it.
    fn key(
        &self,
        client: &str,
        permissions: &[Permission],
        change: impl FnOnce(ApiKey) -> ApiKey,
    ) -> KeyText {
        let text = self.text();
        let key = ApiKey {
            id: text.id.clone(),
            client: client.parse().unwrap(),
            permissions: permissions.iter().copied().collect(),
            requests_per_minute: Some(60_000),
            secret: text.digest(),
            issued: Self::act(),
            expires: None,
            revoked: None,
            replaces: None,
        };
        self.wait(self.store.issue_key(&Self::scene(), &change(key)))
            .unwrap();
        text
    }

    fn plain_key(&self) -> String {
        self.key("crm", &ALL, |key| key).reveal()
    }

    fn send(&self, method: &str, path: &str, key: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let bearer = format!("Bearer {key}");
        let mut all = vec![("Authorization", bearer.as_str())];
        if !body.is_null() {
            all.push(("Content-Type", JSON));
        }
        all.extend(headers);
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        send(self.address, method, path, &all, body.as_bytes())
    }

    fn post(&self, key: &str, body: &Value) -> Answer {
        self.send("POST", "/v1/predictions", key, &[], body)
    }

    fn audit(&self) -> Vec<Value> {
        // It is written by a thread of its own.
        std::thread::sleep(Duration::from_millis(200));
        let text = std::fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn mail(body: &str) -> Value {
    json!({"mails": [{"external_id": "case-1", "body": body}]})
}

#[test]
fn a_prediction_carries_all_that_feedback_needs() {
    let world = World::new(Policy::default());
    let key = world.plain_key();
    let body = json!({"mails": [
        {"external_id": "case-1", "subject": "tax", "body": "number n03\n\n-- \nAnna"},
        {"raw": "!!", "raw_encoding": "base64"},
        {"body": ""},
    ], "include": ["text", "cuts", "evidence"]});
    let answer = world.post(&key, &body);
    assert_eq!(
        (
            answer.header("cache-control"),
            answer.header("access-control-allow-origin")
        ),
        (Some("no-store"), None)
    );
    let answer = answer.json();
    assert_eq!(
        (&answer["model_version"], &answer["schema_version"]),
        (&json!("mails@3"), &json!(1))
    );
    let first = &answer["predictions"][0];
    assert_eq!(
        (&first["external_id"], &first["scope"]),
        (&json!("case-1"), &json!("in_scope"))
    );
    assert_eq!(
        (
            &first["tasks"]["queue"]["label"],
            &first["tasks"]["queue"]["decision"]
        ),
        (&json!("tax"), &json!("auto"))
    );
    assert_eq!(first["tasks"]["number"]["top"][0]["label"], "n03");
    assert_eq!(
        (&first["text"], &first["cuts"][0]["rule"]),
        (&json!("tax\nnumber n03"), &first["cuts"][0]["rule"])
    );
    assert_eq!(first["evidence"].as_array().unwrap().len(), 2);
    let second = &answer["predictions"][1];
    assert_eq!(
        (&second["error"]["code"], &second["id"]),
        (&json!("invalid_field"), &Value::Null)
    );
    assert_eq!(answer["predictions"][2]["scope"], "empty");

    let id = first["id"].as_str().unwrap();
    let kept = world
        .send("GET", &format!("/v1/predictions/{id}"), &key, &[], &Value::Null)
        .json();
    assert_eq!(
        (&kept["external_id"], &kept["at"]),
        (&json!("case-1"), &json!(NOW))
    );
    assert_eq!(
        (&kept["tasks"]["queue"]["label"], &kept["text"]),
        (&json!("tax"), &Value::Null)
    );
    let listed = world
        .send(
            "GET",
            "/v1/predictions?external_id=case-1",
            &key,
            &[],
            &Value::Null,
        )
        .json();
    assert_eq!(listed.as_array().unwrap().len(), 1);

    let feedback = json!({"prediction_id": id, "labels": {"queue": "trade", "number": "n100"}});
    let taken = world.send("POST", "/v1/feedback", &key, &[], &feedback);
    assert_eq!(taken.status, 201, "{}", taken.body);
    let taken: Value = serde_json::from_str(&taken.body).unwrap();
    assert_eq!(
        (&taken["external_id"], &taken["unknown_labels"]),
        (&json!("case-1"), &json!(["number/n100"]))
    );
    let kept = world
        .wait(world.store.feedback_since(Timestamp::MIN, 10))
        .unwrap();
    assert_eq!((kept.len(), kept[0].labels["queue"].as_str()), (1, "trade"));

    let schema = world.send("GET", "/v1/schema", &key, &[], &Value::Null).json();
    assert_eq!(
        (
            &schema["tasks"][0]["name"],
            &schema["tasks"][0]["labels"][1]["name"]
        ),
        (&json!("queue"), &json!("trade"))
    );

    let erased = world
        .send(
            "DELETE",
            "/v1/predictions?external_id=case-1",
            &key,
            &[],
            &Value::Null,
        )
        .json();
    assert_eq!(erased, json!({"predictions": 1, "feedback": 1}));
    world
        .send("GET", &format!("/v1/predictions/{id}"), &key, &[], &Value::Null)
        .problem(404, "unknown_prediction");
}

#[test]
fn feedback_by_the_clients_own_name_needs_no_prediction() {
    let world = World::new(Policy {
        keep: Keep::Nothing,
        ..Policy::default()
    });
    let key = world.plain_key();
    assert_eq!(
        world.post(&key, &mail("tax")).json()["predictions"][0]["id"],
        Value::Null
    );
    let taken = world.send(
        "POST",
        "/v1/feedback",
        &key,
        &[],
        &json!({"external_id": "case-1", "labels": {"queue": "tax"}}),
    );
    assert_eq!(taken.status, 201, "{}", taken.body);
    let feedback = |body: Value| world.send("POST", "/v1/feedback", &key, &[], &body);
    feedback(json!({"labels": {"queue": "tax"}})).problem(400, "invalid_parameter");
    feedback(json!({"external_id": "a", "labels": {}})).problem(400, "invalid_parameter");
    feedback(json!({"external_id": "a", "labels": {"colour": "red"}})).problem(422, "unknown_task");
    feedback(json!({"prediction_id": format!("pred_{}", "0".repeat(32)), "labels": {"queue": "tax"}}))
        .problem(404, "unknown_prediction");
    feedback(json!({"external_id": "a\nb", "labels": {"queue": "tax"}})).problem(400, "invalid_parameter");
    let wrong =
        feedback(json!({"external_id": "a", "labels": {"queue": 5}})).problem(400, "invalid_document");
    assert_eq!(wrong["field"], "labels.queue");
}

#[test]
fn what_is_kept_of_a_mail_is_the_policys_to_say() {
    for (keep, kept) in [
        (Keep::Labels, Value::Null),
        (Keep::Redacted, json!("IBAN [IBAN] tax")),
        (Keep::Text, json!("IBAN DE89370400440532013000 tax")),
    ] {
        let world = World::new(Policy {
            keep,
            ..Policy::default()
        });
        let key = world.plain_key();
        world.post(&key, &mail("IBAN DE89370400440532013000 tax")).json();
        let listed = world
            .send(
                "GET",
                "/v1/predictions?external_id=case-1",
                &key,
                &[],
                &Value::Null,
            )
            .json();
        assert_eq!(listed[0]["text"], kept, "{keep:?}");
    }
}

#[test]
fn what_was_kept_long_enough_is_deleted() {
    let world = World::new(Policy {
        keep_days: 30,
        ..Policy::default()
    });
    let key = world.plain_key();
    world.post(&key, &mail("tax")).json();
    let count = || {
        let listed = world
            .send(
                "GET",
                "/v1/predictions?external_id=case-1",
                &key,
                &[],
                &Value::Null,
            )
            .json();
        listed.as_array().unwrap().len()
    };
    let purge = || {
        let gateway = Arc::clone(&world.gateway);
        let _ = world.wait(async { tokio::time::timeout(Duration::from_millis(500), gateway.purge()).await });
    };
    *world.clock.0.lock().unwrap() = at("2026-12-26T09:59:59Z");
    purge();
    assert_eq!(count(), 1);
    *world.clock.0.lock().unwrap() = at("2026-12-26T10:00:01Z");
    purge();
    assert_eq!(count(), 0);
}

#[test]
fn nobody_gets_in_without_a_good_key() {
    let world = World::new(Policy::default());
    let good = world.key("crm", &ALL, |key| key);
    let late = world.key("crm", &ALL, |key| ApiKey {
        expires: Some(at("2026-11-26T09:59:59Z")),
        ..key
    });
    let gone = world.key("crm", &ALL, |key| key);
    world
        .wait(world.store.revoke_key(&World::scene(), &gone.id, World::act()))
        .unwrap();
    let stranger = world.text();
    let refused = |key: &str| {
        let answer = world.post(key, &mail("tax"));
        answer.problem(401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), Some("bearer"));
        serde_json::from_str::<Value>(&answer.body).unwrap()["detail"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    // A known id with a wrong secret is told the same as an unknown id.
    let wrong_secret = format!("{}{}", &good.reveal()[..good.reveal().len() - 4], "0000");
    assert_eq!(refused(&wrong_secret), refused(&stranger.reveal()));
    assert!(refused(&late.reveal()).contains("expired") && refused(&gone.reveal()).contains("revoked"));
    for odd in [
        "",
        "pst_",
        "x",
        &good.reveal()[1..],
        "eyJhbGciOiJub25lIn0.e30.",
        &"a".repeat(60_000),
    ] {
        let answer = world.post(odd, &mail("tax"));
        assert!(answer.status == 401 || answer.status == 431, "{}", answer.status);
    }
    let ask = |headers: &[(&str, &str)]| send(world.address, "GET", "/v1/schema", headers, b"");
    ask(&[]).problem(401, "unauthorized");
    let basic = [("Authorization", "Basic YTpi")];
    ask(&basic).problem(401, "unauthorized");
    let bearer = format!("bearer {}", good.reveal());
    let key = good.reveal();
    ask(&[("Authorization", &bearer), ("X-Api-Key", &key)]).problem(401, "unauthorized");
    assert_eq!(ask(&[("Authorization", &bearer)]).status, 200);
    assert_eq!(ask(&[("X-Api-Key", &key)]).status, 200);
    // Open to all: whether it answers, and what it is.
    assert_eq!(send(world.address, "GET", "/v1/health", &[], b"").status, 200);
    assert_eq!(
        send(world.address, "GET", "/v1/openapi.json", &[], b"").json()["openapi"],
        "3.1.0"
    );
    // What is private is not here.
    for path in [
        "/invocations",
        "/metrics",
        "/ping",
        "/v2",
        "/models",
        "/v1/../invocations",
        "/v1/%2e%2e/metrics",
        "//metrics",
    ] {
        let answer = send(world.address, "GET", path, &[("X-Api-Key", &key)], b"");
        assert_eq!(answer.status, 404, "{path}");
    }
    let preflight = [
        ("Origin", "https://example.org"),
        ("Access-Control-Request-Method", "POST"),
    ];
    let answer = send(world.address, "OPTIONS", "/v1/predictions", &preflight, b"");
    assert!(answer.status >= 400 && answer.header("access-control-allow-origin").is_none());
}

#[test]
fn a_key_is_for_what_it_says_and_for_its_own_client() {
    let world = World::new(Policy::default());
    let crm = world.plain_key();
    let reader = world.key("crm", &[Permission::Read], |key| key).reveal();
    let other = world.key("web", &ALL, |key| key).reveal();
    let id = world.post(&crm, &mail("tax")).json()["predictions"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/v1/predictions/{id}");
    assert_eq!(world.send("GET", &path, &reader, &[], &Value::Null).status, 200);
    world.post(&reader, &mail("tax")).problem(403, "forbidden");
    world
        .send("DELETE", &path, &reader, &[], &Value::Null)
        .problem(403, "forbidden");
    world
        .send(
            "POST",
            "/v1/feedback",
            &reader,
            &[],
            &json!({"external_id": "a", "labels": {"queue": "tax"}}),
        )
        .problem(403, "forbidden");
    world
        .send("GET", &path, &other, &[], &Value::Null)
        .problem(404, "unknown_prediction");
    world
        .send("DELETE", &path, &other, &[], &Value::Null)
        .problem(404, "unknown_prediction");
    let feedback = json!({"prediction_id": id, "labels": {"queue": "tax"}});
    world
        .send("POST", "/v1/feedback", &other, &[], &feedback)
        .problem(404, "unknown_prediction");
    let listed = world
        .send(
            "GET",
            "/v1/predictions?external_id=case-1",
            &other,
            &[],
            &Value::Null,
        )
        .json();
    assert_eq!(listed, json!([]));
    assert_eq!(world.send("DELETE", &path, &crm, &[], &Value::Null).status, 204);
}

#[test]
fn a_rotated_key_and_its_successor_are_good_together_for_a_while() {
    let world = World::new(Policy::default());
    let old = world.key("crm", &ALL, |key| key);
    let new = world.text();
    let next = NextKey {
        id: new.id.clone(),
        secret: new.digest(),
        expires: None,
        overlap_until: at("2026-11-26T12:00:00Z"),
    };
    world
        .wait(
            world
                .store
                .rotate_key(&World::scene(), &old.id, next, World::act()),
        )
        .unwrap();
    for key in [&old, &new] {
        assert_eq!(world.post(&key.reveal(), &mail("tax")).status, 200);
    }
    *world.clock.0.lock().unwrap() = at("2026-11-26T12:00:00Z");
    world
        .post(&old.reveal(), &mail("tax"))
        .problem(401, "unauthorized");
    assert_eq!(world.post(&new.reveal(), &mail("tax")).status, 200);
}

#[test]
fn a_revoked_key_is_refused_moments_later() {
    let world = World::new(Policy::default());
    let key = world.key("crm", &ALL, |key| key);
    assert_eq!(world.post(&key.reveal(), &mail("tax")).status, 200);
    world
        .wait(world.store.revoke_key(&World::scene(), &key.id, World::act()))
        .unwrap();
    let begun = std::time::Instant::now();
    while world.post(&key.reveal(), &mail("tax")).status == 200 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is still good");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn requests_have_limits_of_rate_number_and_size() {
    let world = World::new(Policy {
        mails: 3,
        body_bytes: 2000,
        ..Policy::default()
    });
    let key = world.plain_key();
    let many = json!({"mails": vec![json!({"body": "tax"}); 4]});
    world.post(&key, &many).problem(413, "too_many_mails");
    world
        .post(&key, &mail(&"x".repeat(3000)))
        .problem(413, "too_large");
    let slow = world.key("slow", &ALL, |key| ApiKey {
        requests_per_minute: Some(60),
        ..key
    });
    let statuses: Vec<u16> = (0..15)
        .map(|_| world.post(&slow.reveal(), &mail("tax")).status)
        .collect();
    assert!(statuses[..10].iter().all(|status| *status == 200), "{statuses:?}");
    let limited = world.post(&slow.reveal(), &mail("tax"));
    limited.problem(429, "rate_limited");
    assert!(limited.header("retry-after").unwrap().parse::<u64>().unwrap() <= 2);
    assert_eq!(
        world.post(&key, &mail("tax")).status,
        200,
        "another client is not held up"
    );
}

#[test]
fn wrong_documents_are_told_where_and_never_quoted() {
    let world = World::new(Policy::default());
    let key = world.plain_key();
    let wrong = |body: Value| world.post(&key, &body).problem(400, "invalid_document")["field"].clone();
    assert_eq!(
        wrong(json!({"mails": [{"body": "a"}, {"subject": {"secret": 1}}]})),
        "mails[1].subject"
    );
    assert_eq!(
        wrong(json!({"mails": [{"secret words": "secret"}]})),
        "mails[0].?"
    );
    assert_eq!(wrong(json!({"mails": [], "include": ["secret"]})), "include[0]");
    assert_eq!(wrong(json!(["secret"])), ".");
    world
        .post(&key, &json!({"mails": [{"external_id": "", "body": "a"}]}))
        .problem(400, "invalid_parameter");
    let raw = |body: &[u8]| {
        let bearer = format!("Bearer {key}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", JSON)];
        send(world.address, "POST", "/v1/predictions", &headers, body)
    };
    raw(b"{\"mails\": secret").problem(400, "malformed");
    raw(b"{\"mails\": []} secret").problem(400, "malformed");
    raw("[".repeat(300_000).as_bytes()).problem(400, "invalid_document");
    raw(format!("{{\"mails\": {}", "[".repeat(300_000)).as_bytes()).problem(400, "invalid_document");
    raw(b"{\"mails\": [{\"body\": \"\xff\"}]}").problem(400, "not_utf8");
    let csv = world.send(
        "POST",
        "/v1/predictions",
        &key,
        &[("Content-Type", "text/csv")],
        &Value::Null,
    );
    csv.problem(415, "unsupported_media_type");
    world
        .send("GET", "/v1/predictions", &key, &[], &Value::Null)
        .problem(400, "invalid_parameter");
    world
        .send(
            "GET",
            "/v1/predictions?external_id=a&x=1",
            &key,
            &[],
            &Value::Null,
        )
        .problem(400, "invalid_parameter");
    world
        .send("PUT", "/v1/predictions", &key, &[], &Value::Null)
        .problem(405, "method_not_allowed");
    world
        .send("GET", "/v1/nothing", &key, &[], &Value::Null)
        .problem(404, "not_found");
}

#[test]
fn a_repeated_request_is_done_once() {
    let world = World::new(Policy::default());
    let key = world.plain_key();
    let ask = |name: &str, body: &Value| {
        world.send(
            "POST",
            "/v1/predictions",
            &key,
            &[("Idempotency-Key", name)],
            body,
        )
    };
    let body = json!({"mails": [{"external_id": "case-1", "body": "tax n05"}], "include": ["text"]});
    let (first, again) = (ask("a", &body), ask("a", &body));
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(first.json(), again.json());
    ask("a", &mail("trade")).problem(422, "idempotency_key_reused");
    assert_eq!(ask("b", &body).header("idempotent-replayed"), None);
    ask("a b", &body).problem(400, "invalid_parameter");
    // Another client's key of the same name is another key.
    let other = world.key("web", &ALL, |key| key).reveal();
    let answer = world.send(
        "POST",
        "/v1/predictions",
        &other,
        &[("Idempotency-Key", "a")],
        &body,
    );
    assert_eq!(answer.header("idempotent-replayed"), None);
    // What failed can be sent again.
    let failing = mail("explode");
    ask("c", &failing).problem(500, "internal");
    ask("c", &failing).problem(500, "internal");
    // Sent twice at once, one waits for the other's answer.
    let slow = mail("slowly tax");
    let statuses = std::thread::scope(|scope| {
        let ask = |_| {
            let (address, key, body) = (world.address, key.clone(), slow.to_string());
            scope.spawn(move || {
                let bearer = format!("Bearer {key}");
                let headers = [
                    ("Authorization", bearer.as_str()),
                    ("Content-Type", JSON),
                    ("Idempotency-Key", "d"),
                ];
                send(address, "POST", "/v1/predictions", &headers, body.as_bytes()).status
            })
        };
        let both: Vec<_> = (0..2).map(ask).collect();
        let mut statuses: Vec<u16> = both.into_iter().map(|one| one.join().unwrap()).collect();
        statuses.sort_unstable();
        statuses
    });
    assert_eq!(statuses, [200, 409]);
    let feedback = json!({"external_id": "case-1", "labels": {"queue": "tax"}});
    let once = || {
        world
            .send(
                "POST",
                "/v1/feedback",
                &key,
                &[("Idempotency-Key", "a")],
                &feedback,
            )
            .body
    };
    assert_eq!(once(), once());
    assert_eq!(
        world
            .wait(world.store.feedback_since(Timestamp::MIN, 10))
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn mails_are_labelled_while_the_store_is_away() {
    let world = World::new(Policy::default());
    let key = world.plain_key();
    assert!(world.post(&key, &mail("tax")).json()["predictions"][0]["id"].is_string());
    world.wait(world.store.close());
    let answer = world.post(&key, &mail("trade")).json();
    let prediction = &answer["predictions"][0];
    assert_eq!(
        (&prediction["tasks"]["queue"]["label"], &prediction["id"]),
        (&json!("trade"), &Value::Null)
    );
    let feedback = json!({"external_id": "case-1", "labels": {"queue": "tax"}});
    let refused = world.send("POST", "/v1/feedback", &key, &[], &feedback);
    refused.problem(503, "store_away");
    assert_eq!(refused.header("retry-after"), Some("1"));
    world
        .post(&world.text().reveal(), &mail("tax"))
        .problem(503, "store_away");
}

#[test]
fn the_audit_log_says_who_did_what_without_a_word_of_it() {
    let world = World::new(Policy::default());
    let key = world.key("crm", &ALL, |key| key);
    world
        .send(
            "POST",
            "/v1/predictions",
            &key.reveal(),
            &[("X-Request-Id", "req-1")],
            &mail("secret tax"),
        )
        .json();
    world.post("pst_nothing", &mail("secret"));
    let lines = world.audit();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["client"], &lines[0]["key"]),
        (&json!("crm"), &json!(key.id))
    );
    assert_eq!(
        (&lines[0]["request_id"], &lines[0]["route"]),
        (&json!("req-1"), &json!("/v1/predictions"))
    );
    assert_eq!(
        (&lines[0]["status"], &lines[0]["mails"], &lines[0]["peer"]),
        (&json!(200), &json!(1), &json!("127.0.0.1"))
    );
    assert_eq!(
        (&lines[1]["status"], &lines[1]["code"]),
        (&json!(401), &json!("unauthorized"))
    );
    let text = format!("{lines:?}");
    assert!(
        !text.contains("secret") && !text.contains(&key.reveal()),
        "{text}"
    );
}

/// Writes a certificate of this machine for `name`, with its key.
fn certify(folder: &Path, name: &str) -> String {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), name.to_owned()]).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let pem = made.cert.pem();
    std::fs::write(folder.join("cert.pem"), &pem).unwrap();
    pem
}

#[test]
fn tls_renews_its_certificate_and_a_broken_one_changes_nothing() {
    let mut first = String::new();
    let world = World::with(Policy::default(), Settings::default(), |listener, folder| {
        first = certify(folder, "first.test");
        Door::Tls(
            listener,
            Certificate::open(folder.join("cert.pem"), folder.join("key.pem")).unwrap(),
        )
    });
    let key = world.plain_key();
    let port = world.address.port();
    let status = |certificate: &str, tls: &str| {
        let file = world.folder.path().join("trust.pem");
        std::fs::write(&file, certificate).unwrap();
        let output = std::process::Command::new("curl")
            .args([
                "-sS",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "--max-time",
                "20",
                tls,
                "--cacert",
            ])
            .arg(&file)
            .args([
                "-H",
                &format!("X-Api-Key: {key}"),
                &format!("https://localhost:{port}/v1/schema"),
            ])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(status(&first, "--tlsv1.3"), "200");
    assert_eq!(status(&first, "--tlsv1.2"), "200");
    // Who speaks no TLS gets nothing, and whoever waits with the handshake holds up nobody.
    let mut plain = TcpStream::connect(world.address).unwrap();
    plain
        .write_all(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"));
    let _silent = TcpStream::connect(world.address).unwrap();
    let second = certify(world.folder.path(), "second.test");
    let begun = std::time::Instant::now();
    while status(&second, "--tlsv1.3") != "200" {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "the renewed certificate is not used"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(status(&first, "--tlsv1.3"), "000");
    std::fs::write(world.folder.path().join("cert.pem"), "broken").unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(status(&second, "--tlsv1.3"), "200");
    let error = Certificate::open(
        world.folder.path().join("cert.pem"),
        world.folder.path().join("key.pem"),
    );
    let said = error.err().unwrap().to_string();
    assert!(
        said.contains("cert.pem") && said.contains("certificates"),
        "{said}"
    );
}
