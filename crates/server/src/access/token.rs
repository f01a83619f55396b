//! Bearer tokens of an identity provider: JSON Web Tokens, verified with the keys it publishes.
//!
//! Its keys are fetched when they are first needed, again when a token names one that is not known, and every hour. What it says a caller
//! may do is in the claim `scope` (or `scp`), as in `poststelle:predict poststelle:feedback`.
//!
//! Source: RFC 7519, RFC 7517, RFC 9068; OpenID Connect Discovery 1.0.

use super::Caller;
use crate::Problem;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use poststelle_lifecycle::{ClientName, Permission, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How far clocks may be apart.
const LEEWAY_S: f64 = 30.0;
/// Time after which keys are fetched again.
const FRESH: Duration = Duration::from_secs(3600);
/// Time for which keys are good that cannot be fetched again: the provider may have withdrawn them.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// Time between two fetches, at least: a token with an unknown key must not make us ask all the time.
const PAUSE: Duration = Duration::from_secs(10);
/// What the provider has for its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of what it publishes, at most.
const DOCUMENT_BYTES: usize = 1 << 20;
/// What our permissions begin with in a scope.
const SCOPE_PREFIX: &str = "poststelle:";
/// Signatures by a key that only the provider has; never a shared secret, never none.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Whose tokens are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// The provider, as tokens name it.
    pub issuer: String,
    /// What they must be for.
    pub audience: String,
    /// Where its keys are; found by discovery where it is not said.
    pub jwks_url: Option<String>,
}

/// Why tokens cannot be checked at all.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// Keys that anybody on the way could replace.
    #[error("`{found}` is not fetched safely, expected `https://` (or `http://` on this machine)")]
    Insecure {
        /// The address.
        found: String,
    },
    /// No client could be made.
    #[error("cannot make an HTTPS client")]
    Client(#[source] reqwest::Error),
}

/// Checks tokens of one provider.
pub struct Tokens {
    settings: TokenSettings,
    client: reqwest::Client,
    pause: Duration,
    keys: RwLock<Keys>,
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Keys {
    set: Arc<Vec<Jwk>>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Claims {
    /// Times may have a fraction (RFC 7519, 2).
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    azp: Option<String>,
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    scope: Option<Value>,
    #[serde(default)]
    scp: Option<Value>,
}

impl Tokens {
    /// Checks nothing yet.
    ///
    /// # Errors
    /// [`TokensError`].
    pub fn new(settings: TokenSettings) -> Result<Self, TokensError> {
        for address in [Some(&settings.issuer), settings.jwks_url.as_ref()]
            .into_iter()
            .flatten()
        {
            safe(address)?;
        }
        // Another part of the process may have chosen one; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(TokensError::Client)?;
        Ok(Self {
            settings,
            client,
            pause: PAUSE,
            keys: RwLock::default(),
            fetching: tokio::sync::Mutex::default(),
        })
    }

    /// Lets this much time pass between two fetches of keys, at least, instead of 10 s.
    pub fn pausing(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// [`Problem::Unauthorized`]; [`Problem::StoreAway`] where the provider's keys cannot be had.
    pub(super) async fn authenticate(&self, token: &str, now: Timestamp) -> Result<Caller, Problem> {
        let refuse = |reason| Problem::Unauthorized { reason };
        let header = decode_header(token).map_err(|_| refuse("it is no key of this gateway and no token"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(refuse("the token's algorithm is not accepted"));
        }
        let jwk = self
            .key(header.kid.as_deref())
            .await?
            .ok_or(refuse("the token's key is not the provider's"))?;
        let key = DecodingKey::from_jwk(&jwk).map_err(|_| refuse("the token's key cannot be used"))?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        // The present comes from our clock.
        validation.validate_exp = false;
        let claims =
            decode::<Claims>(token, &key, &validation).map_err(|_| refuse("the token is not valid here"))?;
        let Claims {
            exp,
            nbf,
            sub,
            azp,
            client_id,
            scope,
            scp,
        } = claims.claims;
        let now = now.as_second() as f64;
        if exp + LEEWAY_S <= now {
            return Err(refuse("the token has expired"));
        }
        if nbf.is_some_and(|begin| begin - LEEWAY_S > now) {
            return Err(refuse("the token is not valid yet"));
        }
        let name = azp
            .or(client_id)
            .or(sub)
            .ok_or(refuse("the token names no client"))?;
        // No key is issued to a name with a colon, so nobody is taken for a key's client.
        let client =
            ClientName::try_from(format!("oidc:{name}")).map_err(|_| refuse("the token names no client"))?;
        let claims = [scope, scp];
        let permissions = claims.iter().flatten().flat_map(words).filter_map(|word| {
            let word = word.strip_prefix(SCOPE_PREFIX)?.to_owned();
            word.parse::<Permission>().ok()
        });
        Ok(Caller {
            client,
            key: "token".to_owned(),
            permissions: permissions.collect::<BTreeSet<_>>(),
            requests_per_minute: None,
        })
    }

    /// The provider's key of a name; without a name its only one.
    async fn key(&self, name: Option<&str>) -> Result<Option<Jwk>, Problem> {
        let pick = |set: &[Jwk]| match name {
            Some(name) => set
                .iter()
                .find(|jwk| jwk.common.key_id.as_deref() == Some(name))
                .cloned(),
            None => <&[Jwk; 1]>::try_from(set).ok().map(|[only]| only.clone()),
        };
        let look = || {
            let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
            let fresh = keys.fetched.is_some_and(|at| at.elapsed() < FRESH);
            let tried = keys.tried.is_some_and(|at| at.elapsed() < self.pause);
            let good = keys.fetched.is_some_and(|at| at.elapsed() < STALE);
            let found = pick(&keys.set).filter(|_| good);
            (found, fresh, tried, keys.fetched.is_some())
        };
        let (found, fresh, _, _) = look();
        if found.is_some() && fresh {
            return Ok(found);
        }
        // One asks; who has a key that is known goes on with it meanwhile.
        let _one = match self.fetching.try_lock() {
            Ok(one) => one,
            Err(_) if found.is_some() => return Ok(found),
            Err(_) => self.fetching.lock().await,
        };
        let (found, fresh, tried, ever) = look();
        if found.is_some() && fresh || tried && ever {
            return Ok(found);
        }
        if tried {
            return Err(Problem::StoreAway);
        }
        let fetched = self.fetch().await;
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.tried = Some(Instant::now());
        match fetched {
            Ok(set) => {
                keys.set = Arc::new(set);
                keys.fetched = keys.tried;
            }
            Err(error) => {
                tracing::warn!(
                    issuer = self.settings.issuer,
                    error,
                    "cannot fetch the identity provider's keys"
                );
                if keys.fetched.is_none() {
                    return Err(Problem::StoreAway);
                }
            }
        }
        let good = keys.fetched.is_some_and(|at| at.elapsed() < STALE);
        Ok(pick(&keys.set).filter(|_| good))
    }

    async fn fetch(&self) -> Result<Vec<Jwk>, String> {
        let address = match &self.settings.jwks_url {
            Some(address) => address.clone(),
            None => {
                let issuer = self.settings.issuer.trim_end_matches('/');
                let found: Discovery = self
                    .get(&format!("{issuer}/.well-known/openid-configuration"))
                    .await?;
                if found.issuer != self.settings.issuer {
                    return Err("the discovery document is another issuer's".to_owned());
                }
                safe(&found.jwks_uri).map_err(|error| error.to_string())?;
                found.jwks_uri
            }
        };
        // A provider may publish keys of kinds we do not know beside the others, and keys that sign nothing.
        let set: Value = self.get(&address).await?;
        let keys = set["keys"].as_array().cloned().unwrap_or_default();
        let keys = keys
            .into_iter()
            .filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let signs = |key: &Jwk| matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
        Ok(keys.filter(signs).collect())
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, address: &str) -> Result<T, String> {
        let said = |error: reqwest::Error| error.without_url().to_string();
        let mut answer = self.client.get(address).send().await.map_err(said)?;
        if !answer.status().is_success() {
            return Err(format!("the answer is {}", answer.status()));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(said)? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > DOCUMENT_BYTES {
                return Err("the answer is too long".to_owned());
            }
        }
        serde_json::from_slice(&bytes).map_err(|error| error.to_string())
    }
}

/// The words of a scope: of one text, or a list of them.
fn words(claim: &Value) -> Vec<String> {
    let split = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    match claim {
        Value::String(text) => split(text),
        Value::Array(items) => items.iter().filter_map(Value::as_str).flat_map(split).collect(),
        _ => Vec::new(),
    }
}

fn safe(address: &str) -> Result<(), TokensError> {
    let here = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
    let local = here.iter().any(|host| {
        address
            .strip_prefix(host)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    });
    if address.starts_with("https://") || local {
        return Ok(());
    }
    Err(TokensError::Insecure {
        found: address.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        for good in [
            "https://login.example.org",
            "http://127.0.0.1:8080/realm",
            "http://localhost",
        ] {
            assert!(safe(good).is_ok(), "{good}");
        }
        for bad in [
            "http://login.example.org",
            "http://localhost.example.org",
            "ftp://x",
            "",
        ] {
            assert!(safe(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_scope_is_words_or_a_list() {
        assert_eq!(words(&"a  b".into()), ["a", "b"]);
        assert_eq!(words(&serde_json::json!(["a b", "c", 5])), ["a", "b", "c"]);
        assert!(words(&Value::Null).is_empty());
    }
}
