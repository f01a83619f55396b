//! A small identity provider with its keys, and tokens of every kind.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use poststelle_lifecycle::{Clock, Timestamp};
use poststelle_server::TokenSettings;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

pub const NOW: &str = "2026-11-26T10:00:00Z";
pub const AUDIENCE: &str = "poststelle";
pub const EVERYTHING: &str = "openid poststelle:predict poststelle:read poststelle:feedback poststelle:erase";

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn now() -> i64 {
    at(NOW).as_second()
}

/// A clock that stands still.
pub struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        at(NOW)
    }
}

/// What the provider says.
pub struct Said {
    pub issuer: String,
    pub jwks_uri: String,
    pub keys: Vec<Value>,
    /// Whether it answers at all.
    pub up: bool,
    /// Paths that were asked for.
    pub asked: Vec<String>,
}

pub struct Provider {
    pub issuer: String,
    pub said: Arc<Mutex<Said>>,
}

impl Provider {
    pub fn start(keys: &[&Key]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let said = Arc::new(Mutex::new(Said {
            issuer: issuer.clone(),
            jwks_uri: format!("{issuer}/keys"),
            keys: keys.iter().map(|key| key.public()).collect(),
            up: true,
            asked: Vec::new(),
        }));
        let told = Arc::clone(&said);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let head: Vec<String> = lines
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty())
                    .collect();
                let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else {
                    continue;
                };
                let mut said = told.lock().unwrap();
                said.asked.push(path.to_owned());
                let (status, body) = match path {
                    _ if !said.up => ("503 Service Unavailable", json!({})),
                    "/.well-known/openid-configuration" => (
                        "200 OK",
                        json!({"issuer": said.issuer, "jwks_uri": said.jwks_uri, "id_token_signing_alg_values_supported": ["ES256"]}),
                    ),
                    "/keys" => ("200 OK", json!({"keys": said.keys})),
                    "/moved" => ("302 Found\r\nLocation: /keys", json!({})),
                    "/long" => ("200 OK", json!({"keys": said.keys, "more": "x".repeat(2 << 20)})),
                    _ => ("404 Not Found", json!({})),
                };
                drop(said);
                let body = body.to_string();
                // Who has read enough of a long answer hangs up.
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        Self { issuer, said }
    }

    pub fn change(&self, change: impl FnOnce(&mut Said)) {
        change(&mut self.said.lock().unwrap());
    }

    pub fn asked(&self) -> usize {
        self.said.lock().unwrap().asked.len()
    }

    pub fn settings(&self) -> TokenSettings {
        TokenSettings {
            issuer: self.issuer.clone(),
            audience: AUDIENCE.to_owned(),
            jwks_url: None,
        }
    }

    /// A token's claims when nothing is wrong with it.
    pub fn claims(&self) -> Value {
        json!({"iss": self.issuer, "aud": AUDIENCE, "exp": now() + 300, "iat": now(), "sub": "somebody", "azp": "crm",
            "scope": EVERYTHING})
    }
}

/// A signing key of P-256, as the provider calls it.
pub struct Key {
    pub name: &'static str,
    pub pair: rcgen::KeyPair,
}

impl Key {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            pair: rcgen::KeyPair::generate().unwrap(),
        }
    }

    /// It as the provider publishes it (RFC 7517, RFC 7518 §6.2).
    pub fn public(&self) -> Value {
        let point = self.pair.public_key_raw();
        let (x, y) = point[1..].split_at(32);
        let [x, y] = [x, y].map(|number| URL_SAFE_NO_PAD.encode(number));
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.name, "x": x, "y": y})
    }

    pub fn header(&self) -> Value {
        json!({"typ": "at+jwt", "alg": "ES256", "kid": self.name})
    }

    /// A token with any header and claims, signed with this key all the same.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let key = EncodingKey::from_ec_der(self.pair.serialized_der());
        signed(header, claims, &key, Algorithm::ES256)
    }

    pub fn token(&self, claims: &Value) -> String {
        self.sign(&self.header(), claims)
    }
}

pub fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

pub fn signed(header: &Value, claims: &Value, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// An object with other entries; null takes one away.
pub fn but(object: &Value, changes: Value) -> Value {
    let mut object = object.clone();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(object.as_object_mut().unwrap().remove(name)),
            value => object[name] = value.clone(),
        }
    }
    object
}
