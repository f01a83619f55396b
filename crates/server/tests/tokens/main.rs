//! The gateway before clients of an identity provider, which is a small one of our own.

#![allow(clippy::unwrap_used, reason = "a test's own sockets and answers")]

mod provider;
#[path = "../world/mod.rs"]
mod world;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use poststelle_lifecycle::{Act, ApiKey, KeyText, Permission};
use poststelle_server::{
    App, Audit, Door, Entrance, Gateway, Policy, Settings, TokenSettings, Tokens, TokensError, public,
};
use poststelle_store::{Scene, Store};
use provider::{AUDIENCE, Fixed, Key, NOW, Provider, Said, at, but, now, part, signed};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use world::{Answer, JSON, Server, send};

struct World {
    server: Server,
    address: SocketAddr,
    store: Store,
    folder: tempfile::TempDir,
}

impl World {
    fn new(tokens: Tokens) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let app = App::new(Settings::default());
        app.live.serve(Some("mails@3".into()), world::predictor());
        let address = format!("sqlite:{}", folder.path().join("store.db").display());
        let audit = Audit::open(folder.path().join("audit.jsonl")).unwrap();
        let mut made = None;
        let server = Server::of(app, |app| {
            let runtime = tokio::runtime::Handle::current();
            // The pool belongs to the threads that serve.
            let (store, listener) = std::thread::scope(|scope| {
                let open = async {
                    let store = Store::open(&address).await.unwrap();
                    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                    (store, listener)
                };
                scope.spawn(|| runtime.block_on(open)).join().unwrap()
            });
            let bound = listener.local_addr().unwrap();
            let app = Arc::clone(app);
            let policy = Policy {
                requests_per_minute: 60_000.try_into().unwrap(),
                ..Policy::default()
            };
            let gateway = Gateway::new(
                app,
                store.clone(),
                Arc::new(Fixed),
                policy,
                Some(tokens),
                Some(audit),
            );
            made = Some((bound, store));
            vec![Entrance {
                name: "public",
                door: Door::Tcp(listener),
                router: public(&gateway),
            }]
        });
        let (address, store) = made.unwrap();
        Self {
            server,
            address,
            store,
            folder,
        }
    }

    /// A gateway that believes a provider.
    fn of(provider: &Provider) -> Self {
        Self::new(Tokens::new(provider.settings()).unwrap())
    }

    fn key(&self, client: &str) -> String {
        let text = KeyText::of_chance(&[7; 40]);
        let act = Act {
            by: "ada".parse().unwrap(),
            at: at(NOW),
            reason: "for the test".parse().unwrap(),
        };
        let scene = Scene {
            environment: "test".parse().unwrap(),
            at: at(NOW),
            by: "ada".parse().unwrap(),
        };
        let key = ApiKey {
            id: text.id.clone(),
            client: client.parse().unwrap(),
            permissions: Permission::ALL.into(),
            requests_per_minute: None,
            secret: text.digest(),
            issued: act,
            expires: None,
            revoked: None,
            replaces: None,
        };
        let runtime = self.server.runtime.as_ref().unwrap();
        runtime.block_on(self.store.issue_key(&scene, &key)).unwrap();
        text.reveal()
    }

    fn send(&self, method: &str, path: &str, credential: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {credential}");
        let mut headers = vec![("Authorization", bearer.as_str())];
        let mut text = String::new();
        if !body.is_null() {
            headers.push(("Content-Type", JSON));
            text = body.to_string();
        }
        send(self.address, method, path, &headers, text.as_bytes())
    }

    fn predict(&self, credential: &str) -> Answer {
        let mails = json!({"mails": [{"external_id": "case-1", "body": "tax n05"}]});
        self.send("POST", "/v1/predictions", credential, &mails)
    }

    fn get(&self, path: &str, credential: &str) -> Answer {
        self.send("GET", path, credential, &Value::Null)
    }

    #[track_caller]
    fn accepts(&self, what: &str, token: &str) {
        let answer = self.predict(token);
        assert_eq!(answer.status, 200, "{what}: {}", answer.body);
    }

    #[track_caller]
    fn refuses(&self, what: &str, token: &str) {
        let answer = self.predict(token);
        assert_eq!(answer.status, 401, "{what}: {}", answer.body);
        answer.problem(401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), Some("bearer"), "{what}");
        let signature = token.rsplit('.').next().unwrap();
        assert!(
            signature.len() < 8 || !answer.body.contains(signature),
            "{what}: {}",
            answer.body
        );
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

#[test]
fn a_token_labels_mails_and_the_audit_log_knows_whose_it_is() {
    let key = Key::new("one");
    let provider = Provider::start(&[&key]);
    let world = World::of(&provider);
    let claims = provider.claims();
    let token = key.token(&claims);
    let answer = world.predict(&token).json();
    assert_eq!(answer["predictions"][0]["tasks"]["queue"]["label"], "tax");
    let id = answer["predictions"][0]["id"].as_str().unwrap();
    let kept = world.get(&format!("/v1/predictions/{id}"), &token).json();
    assert_eq!(kept["external_id"], "case-1");
    // The program that asks goes before the person it asks for.
    for changes in [
        json!({"client_id": "web"}),
        json!({"azp": null, "client_id": "crm-2"}),
        json!({"azp": null}),
    ] {
        world.accepts("a name", &key.token(&but(&claims, changes)));
    }
    world.refuses(
        "nobody's",
        &key.token(&but(&claims, json!({"azp": null, "sub": null}))),
    );
    let lines = world.audit();
    let clients: Vec<&Value> = lines.iter().map(|line| &line["client"]).collect();
    let names = ["oidc:crm", "oidc:crm", "oidc:crm", "oidc:crm-2", "oidc:somebody"].map(|name| json!(name));
    assert_eq!(clients, [names.each_ref().as_slice(), &[&Value::Null]].concat());
    assert_eq!(
        (&lines[0]["key"], &lines[0]["status"], &lines[5]["code"]),
        (&json!("token"), &json!(200), &json!("unauthorized"))
    );
    let text = format!("{lines:?}");
    assert!(
        !text.contains(&token) && !text.contains(token.rsplit('.').next().unwrap()),
        "{text}"
    );
    assert_eq!(
        provider.said.lock().unwrap().asked,
        ["/.well-known/openid-configuration", "/keys"],
        "its keys are fetched once"
    );
}

#[test]
fn a_scope_is_what_a_token_may_do() {
    let key = Key::new("one");
    let provider = Provider::start(&[&key]);
    let world = World::of(&provider);
    let with = |changes: Value| key.token(&but(&provider.claims(), changes));
    let feedback = json!({"external_id": "case-1", "labels": {"queue": "tax"}});
    // Predict, read, feedback, erase.
    let statuses = |token: &str| {
        [
            world.predict(token),
            world.get("/v1/predictions?external_id=case-1", token),
            world.send("POST", "/v1/feedback", token, &feedback),
            world.send(
                "DELETE",
                "/v1/predictions?external_id=case-1",
                token,
                &Value::Null,
            ),
        ]
        .map(|answer| {
            if answer.status == 403 {
                answer.problem(403, "forbidden");
            }
            answer.status
        })
    };
    for (changes, expected) in [
        (json!({}), [200, 200, 201, 200]),
        (json!({"scope": "poststelle:predict"}), [200, 403, 403, 403]),
        (
            json!({"scope": "poststelle:read poststelle:erase"}),
            [403, 200, 403, 200],
        ),
        (
            json!({"scope": null, "scp": ["poststelle:feedback", "mail"]}),
            [403, 403, 201, 403],
        ),
        (
            json!({"scope": "poststelle:read", "scp": "poststelle:predict"}),
            [200, 200, 403, 403],
        ),
        (json!({"scope": null}), [403; 4]),
        (json!({"scope": ""}), [403; 4]),
        (json!({"scope": "predict read feedback erase"}), [403; 4]),
        (
            json!({"scope": "poststelle:* poststelle: poststelle:Predict xpoststelle:predict"}),
            [403; 4],
        ),
        (json!({"scope": {"poststelle:predict": true}}), [403; 4]),
        (json!({"scope": 7}), [403; 4]),
    ] {
        assert_eq!(statuses(&with(changes.clone())), expected, "{changes}");
    }
}

#[test]
fn forged_and_foreign_tokens_are_refused() {
    let (key, other, unsafe_key) = (Key::new("one"), Key::new("one"), Key::new("secret"));
    let provider = Provider::start(&[&key]);
    let encrypting = Key::new("encrypting");
    let symmetric = URL_SAFE_NO_PAD.encode(b"a shared secret that was published by mistake");
    provider.change(|said| {
        said.keys
            .push(but(&encrypting.public(), json!({"use": "enc", "alg": null})));
        said.keys
            .push(json!({"kty": "oct", "kid": "symmetric", "k": symmetric}));
        // A kind nobody here knows spoils none of the others.
        said.keys.push(json!({"kty": "PQ", "kid": "new", "crv": "Kyber"}));
    });
    let world = World::of(&provider);
    let claims = provider.claims();
    let good = key.token(&claims);
    world.accepts("a good one", &good);

    let header = key.header();
    let claiming = |changes: Value| key.token(&but(&claims, changes));
    let headed = |changes: Value| key.sign(&but(&header, changes), &claims);
    let slash = format!("{}/", provider.issuer);
    for (what, token) in [
        ("expired", claiming(json!({"exp": now() - 31}))),
        ("expired long ago", claiming(json!({"exp": 0}))),
        ("expired before time began", claiming(json!({"exp": i64::MIN}))),
        ("no end", claiming(json!({"exp": null}))),
        ("an end in words", claiming(json!({"exp": "tomorrow"}))),
        ("not yet valid", claiming(json!({"nbf": now() + 31}))),
        (
            "another issuer",
            claiming(json!({"iss": "https://login.example.org"})),
        ),
        ("nearly the issuer", claiming(json!({"iss": slash}))),
        ("no issuer", claiming(json!({"iss": null}))),
        ("another audience", claiming(json!({"aud": "intranet"}))),
        (
            "other audiences",
            claiming(json!({"aud": ["intranet", "poststelle2"]})),
        ),
        ("no audience", claiming(json!({"aud": null}))),
        ("no audience in the list", claiming(json!({"aud": []}))),
        ("a name with a line break", claiming(json!({"azp": "crm\ncrm"}))),
        ("a name of nothing", claiming(json!({"azp": 7}))),
        ("an unknown key", headed(json!({"kid": "two"}))),
        (
            "no key's name, where there are several",
            headed(json!({"kid": null})),
        ),
        ("another curve", headed(json!({"alg": "ES384"}))),
        ("another family", headed(json!({"alg": "RS256"}))),
        ("Edwards", headed(json!({"alg": "EdDSA"}))),
        ("an unknown algorithm", headed(json!({"alg": "ES999"}))),
        ("no algorithm", headed(json!({"alg": null}))),
        ("somebody's key under the same name", other.token(&claims)),
        (
            "a key it brings along",
            other.sign(
                &but(
                    &header,
                    json!({"jwk": other.public(), "jku": "http://127.0.0.1:1/keys"}),
                ),
                &claims,
            ),
        ),
        ("a key that is not published", unsafe_key.token(&claims)),
        ("a key for encryption", encrypting.token(&claims)),
    ] {
        world.refuses(what, &token);
    }

    // A public key is no secret to sign with, in whatever form it is taken.
    let jwk = key.public();
    for secret in [
        key.pair.public_key_raw().to_vec(),
        key.pair.public_key_raw()[1..].to_vec(),
        key.pair.public_key_pem().into_bytes(),
        jwk.to_string().into_bytes(),
        jwk["x"].to_string().into_bytes(),
        Vec::new(),
    ] {
        let secret = EncodingKey::from_secret(&secret);
        for (name, algorithm) in [
            ("HS256", Algorithm::HS256),
            ("HS384", Algorithm::HS384),
            ("HS512", Algorithm::HS512),
        ] {
            let header = but(&header, json!({"alg": name}));
            world.refuses(name, &signed(&header, &claims, &secret, algorithm));
        }
        world.refuses(
            "ES256 in name",
            &signed(&header, &claims, &secret, Algorithm::HS256),
        );
    }
    let shared = EncodingKey::from_secret(b"a shared secret that was published by mistake");
    let shared_header = json!({"alg": "HS256", "kid": "symmetric"});
    world.refuses(
        "a shared secret",
        &signed(&shared_header, &claims, &shared, Algorithm::HS256),
    );
    let named = json!({"alg": "ES256", "kid": "symmetric"});
    world.refuses("a shared secret's name", &key.sign(&named, &claims));

    let [head, payload, signature] = *good.split('.').collect::<Vec<_>>() else {
        panic!("{good}");
    };
    for algorithm in ["none", "None", "NONE", "nOnE", ""] {
        let none = part(&json!({"alg": algorithm, "kid": "one"}));
        for end in ["", signature] {
            world.refuses(algorithm, &format!("{none}.{payload}.{end}"));
        }
        world.refuses(algorithm, &format!("{none}.{payload}"));
    }
    let stolen = part(&but(&claims, json!({"azp": "somebody-else"})));
    let zeros = URL_SAFE_NO_PAD.encode([0; 64]);
    for (what, token) in [
        ("another payload", format!("{head}.{stolen}.{signature}")),
        (
            "another header",
            format!(
                "{}.{payload}.{signature}",
                part(&json!({"kid": "one", "alg": "ES256"}))
            ),
        ),
        ("no signature", format!("{head}.{payload}.")),
        ("a signature of zeros", format!("{head}.{payload}.{zeros}")),
        (
            "half a signature",
            format!("{head}.{payload}.{}", &signature[..signature.len() / 2]),
        ),
        ("more after it", format!("{good}.{signature}")),
        ("a part too few", format!("{head}.{payload}")),
        ("dots", "..".to_owned()),
        ("padding", format!("{good}==")),
        (
            "no JSON",
            format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode("{")),
        ),
    ] {
        world.refuses(what, &token);
    }

    for (what, changes) in [
        ("clocks apart", json!({"exp": now() - 29, "nbf": now() + 29})),
        ("one of several audiences", json!({"aud": ["intranet", AUDIENCE]})),
        (
            "part of a second (RFC 7519 §2)",
            json!({"exp": now() as f64 + 60.5, "nbf": now() as f64 - 0.5}),
        ),
    ] {
        world.accepts(what, &claiming(changes));
    }
    assert_eq!(
        provider.asked(),
        2,
        "unknown keys do not make us ask all the time"
    );
}

#[test]
fn without_a_name_the_only_key_is_meant() {
    let key = Key::new("one");
    let provider = Provider::start(&[&key]);
    let world = World::of(&provider);
    let nameless = key.sign(&json!({"alg": "ES256"}), &provider.claims());
    world.accepts("no name", &nameless);
}

#[test]
fn keys_are_renewed_at_the_provider() {
    let (first, second) = (Key::new("one"), Key::new("two"));
    let provider = Provider::start(&[&first]);
    let world = World::new(Tokens::new(provider.settings()).unwrap().pausing(Duration::ZERO));
    let [old, new] = [&first, &second].map(|key| key.token(&provider.claims()));
    world.accepts("the first key", &old);
    world.refuses("a key to come", &new);
    provider.change(|said| said.keys.push(second.public()));
    world.accepts("the second key", &new);
    let asked = provider.asked();
    world.accepts("the first key, still", &old);
    assert_eq!(provider.asked(), asked, "known keys are not fetched again");
    provider.change(|said| drop(said.keys.remove(0)));
    world.refuses("any unknown key", &Key::new("three").token(&provider.claims()));
    world.refuses("the first key, withdrawn", &old);
    world.accepts("the second key, alone", &new);
    // The same name for another key is another key, as soon as the keys are fetched again.
    let swapped = Key::new("two");
    provider.change(|said| said.keys = vec![swapped.public()]);
    world.refuses("any unknown key", &Key::new("three").token(&provider.claims()));
    world.refuses("the key before", &new);
    world.accepts("the key now", &swapped.token(&provider.claims()));
}

#[test]
fn known_keys_go_on_while_the_provider_is_down() {
    let (known, unknown) = (Key::new("one"), Key::new("two"));
    let provider = Provider::start(&[&known]);
    provider.change(|said| said.up = false);
    let world = World::new(Tokens::new(provider.settings()).unwrap().pausing(Duration::ZERO));
    let [known_token, unknown_token] = [&known, &unknown].map(|key| key.token(&provider.claims()));
    let key = world.key("crm");
    // Whether it is good cannot be said: it may be tried again.
    let answer = world.predict(&known_token);
    answer.problem(503, "store_away");
    assert!(answer.header("retry-after").is_some());
    world.accepts("an API key", &key);
    provider.change(|said| said.up = true);
    world.accepts("a key at last", &known_token);
    provider.change(|said| said.up = false);
    for _ in 0..3 {
        world.refuses("an unknown key", &unknown_token);
        world.accepts("a known key", &known_token);
        // What needs no key to be refused is refused as ever.
        world.refuses("nonsense", "nonsense");
    }
    // What it says while it is half up takes nothing away.
    provider.change(|said| {
        said.up = true;
        said.jwks_uri = format!("{}/nowhere", said.issuer);
    });
    world.refuses("an unknown key", &unknown_token);
    world.accepts("a known key", &known_token);
}

#[test]
fn a_provider_is_asked_again_after_a_while_only() {
    let key = Key::new("one");
    let provider = Provider::start(&[&key]);
    provider.change(|said| said.up = false);
    let world = World::of(&provider);
    let token = key.token(&provider.claims());
    for _ in 0..5 {
        world.predict(&token).problem(503, "store_away");
    }
    assert_eq!(provider.asked(), 1);
}

#[test]
fn what_the_provider_says_of_itself_must_be_true_and_safe() {
    let key = Key::new("one");
    for (what, change) in [
        (
            "another issuer",
            (|said: &mut Said| said.issuer = "https://login.example.org".to_owned()) as fn(&mut Said),
        ),
        ("nearly the issuer", |said| said.issuer += "/"),
        ("keys on an open line", |said| {
            said.jwks_uri = "http://login.example.org/keys".to_owned()
        }),
        ("keys on disk", |said| {
            said.jwks_uri = "file:///etc/keys".to_owned()
        }),
        ("keys somewhere else", |said| {
            said.jwks_uri = format!("{}/moved", said.issuer)
        }),
        ("keys without end", |said| {
            said.jwks_uri = format!("{}/long", said.issuer)
        }),
        ("no keys", |said| {
            said.jwks_uri = format!("{}/nowhere", said.issuer)
        }),
    ] {
        let provider = Provider::start(&[&key]);
        provider.change(change);
        let world = World::of(&provider);
        let answer = world.predict(&key.token(&provider.claims()));
        assert_eq!(answer.status, 503, "{what}: {}", answer.body);
        answer.problem(503, "store_away");
    }
    // Where its keys are said to be, nothing else is asked.
    let provider = Provider::start(&[&key]);
    provider.change(|said| said.issuer = "https://login.example.org".to_owned());
    let world = World::new(
        Tokens::new(TokenSettings {
            jwks_url: Some(format!("{}/keys", provider.issuer)),
            ..provider.settings()
        })
        .unwrap(),
    );
    world.accepts("a good one", &key.token(&provider.claims()));
    assert_eq!(provider.said.lock().unwrap().asked, ["/keys"]);
}

#[test]
fn keys_are_never_fetched_over_an_open_line() {
    let refused = |issuer: &str, jwks_url: Option<&str>| {
        let settings = TokenSettings {
            issuer: issuer.to_owned(),
            audience: AUDIENCE.to_owned(),
            jwks_url: jwks_url.map(str::to_owned),
        };
        match Tokens::new(settings) {
            Ok(_) => None,
            Err(TokensError::Insecure { found }) => Some(found),
            Err(error) => panic!("{error}"),
        }
    };
    let open = "http://example.org";
    assert_eq!(refused(open, None).as_deref(), Some(open));
    assert_eq!(refused("https://example.org", Some(open)).as_deref(), Some(open));
    // The issuer is a name then, but it is what discovery would trust.
    assert_eq!(
        refused(open, Some("https://example.org/keys")).as_deref(),
        Some(open)
    );
    for bad in [
        "http://127.0.0.1.example.org",
        "http://localhost@example.org",
        "example.org",
        "file:///keys",
    ] {
        assert!(refused(bad, None).is_some(), "{bad}");
    }
    assert_eq!(
        refused("https://example.org", Some("https://example.org/keys")),
        None
    );
}

#[test]
fn keys_are_good_beside_tokens_and_neither_sees_the_others_predictions() {
    let signing = Key::new("one");
    let provider = Provider::start(&[&signing]);
    let world = World::of(&provider);
    let key = world.key("crm");
    // Of the same name, and all that is allowed.
    let token = signing.token(&provider.claims());
    let ids = [&key, &token].map(|credential| {
        let answer = world.predict(credential).json();
        answer["predictions"][0]["id"].as_str().unwrap().to_owned()
    });
    let listed = "/v1/predictions?external_id=case-1";
    for (credential, own, others) in [(&key, &ids[0], &ids[1]), (&token, &ids[1], &ids[0])] {
        let list = world.get(listed, credential).json();
        assert_eq!((list.as_array().unwrap().len(), &list[0]["id"]), (1, &json!(own)));
        let path = format!("/v1/predictions/{others}");
        world.get(&path, credential).problem(404, "unknown_prediction");
        let erase = world.send("DELETE", &path, credential, &Value::Null);
        erase.problem(404, "unknown_prediction");
        let feedback = json!({"prediction_id": others, "labels": {"queue": "trade"}});
        let answer = world.send("POST", "/v1/feedback", credential, &feedback);
        answer.problem(404, "unknown_prediction");
    }
    assert_eq!(
        world.send("DELETE", listed, &token, &Value::Null).json()["predictions"],
        1
    );
    assert_eq!(world.get(listed, &key).json().as_array().unwrap().len(), 1);
}
