//! `poststelle.toml`: the environments, each a world of its own.
//!
//! ```toml
//! [env.development]
//! store = "sqlite:poststelle/development.db"       # or postgres://user@host/database
//! artifacts = "poststelle/development"             # or s3://bucket/prefix
//!
//! [env.production]
//! store = "postgres://app@db/poststelle"
//! store_password = "env:POSTSTELLE_DB_PASSWORD"
//! artifacts = "s3://models/production"
//! s3 = { endpoint_url = "https://s3.example.org", region = "eu", access_key_id = "env:KEY", secret_access_key = "env:SECRET" }
//! approval = { approvers = 2, own = false }
//! trusted = ["…public key…"]
//! promote_from = "development"
//! ```
//!
//! Paths begin at the file's folder. What is secret is named, not written: `env:NAME` or `file:PATH`.

use crate::failure::{Failure, Kind};
use poststelle_lifecycle::{EndpointName, EnvironmentName, ModelName, Rules, Strategy};
use poststelle_server::{Keep, Policy};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// The file that is read where none is named.
pub const FILE: &str = "poststelle.toml";

/// All environments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    env: BTreeMap<EnvironmentName, Environment>,
    /// Where paths begin.
    #[serde(skip)]
    root: PathBuf,
}

/// One environment.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Where its records are: `sqlite:FILE` or `postgres://USER@HOST/DATABASE`.
    pub store: String,
    /// Password of a PostgreSQL store.
    #[serde(default)]
    pub store_password: Option<Secret>,
    /// Where its artifacts are: a directory or `s3://BUCKET/PREFIX`.
    pub artifacts: String,
    /// How that bucket is reached: `endpoint_url`, `region`, `access_key_id`, `secret_access_key`, `session_token`; what is not
    /// given is taken from the AWS tools' variables.
    #[serde(default)]
    pub s3: BTreeMap<String, Secret>,
    /// The model its pipeline makes versions of. Default `mails`.
    #[serde(default = "mails")]
    pub model: ModelName,
    /// What approvals need.
    #[serde(default)]
    pub approval: Rules,
    /// Public keys; only artifacts signed by one of them are registered and served. Default: anybody's.
    #[serde(default)]
    pub trusted: Vec<String>,
    /// The secret key new artifacts are signed with.
    #[serde(default)]
    pub sign_with: Option<Secret>,
    /// The environment versions may be promoted from.
    #[serde(default)]
    pub promote_from: Option<EnvironmentName>,
    /// Who is told of events.
    #[serde(default)]
    pub webhook: Vec<Webhook>,
    /// How its endpoints behave.
    #[serde(default)]
    pub endpoint: BTreeMap<EndpointName, Endpoint>,
    /// How its pipeline runs.
    #[serde(default)]
    pub pipeline: Option<Pipeline>,
    /// The public door before its endpoints.
    #[serde(default)]
    pub gateway: Option<Gateway>,
}

/// The public door.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gateway {
    /// Where it listens. Default `127.0.0.1:8443`.
    pub listen: SocketAddr,
    /// Its certificate, read again when it is renewed.
    pub tls: Option<Tls>,
    /// It may listen beyond this machine without TLS, for something before it speaks TLS.
    pub plain: bool,
    /// What is kept of mails that were answered: `nothing`, `labels` (default), `redacted` or `text`.
    pub keep: Keep,
    /// Days it is kept. Default 90.
    pub keep_days: u32,
    /// Mails of a request, at most. Default 100.
    pub mails: usize,
    /// Size of a request, at most, in KiB. Default 4096.
    pub body_kib: usize,
    /// Requests a minute of one key, where the key does not say. Default 600.
    pub requests_per_minute: NonZeroU32,
    /// The audit log: a JSON object per request. Default: none is written.
    pub audit: Option<PathBuf>,
    /// An identity provider whose tokens are good, too.
    pub oidc: Option<Oidc>,
}

impl Default for Gateway {
    fn default() -> Self {
        let Policy {
            keep,
            keep_days,
            mails,
            body_bytes,
            requests_per_minute,
        } = Policy::default();
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8443)),
            tls: None,
            plain: false,
            keep,
            keep_days,
            mails,
            body_kib: body_bytes >> 10,
            requests_per_minute,
            audit: None,
            oidc: None,
        }
    }
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate and those it rests on.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// An identity provider (OpenID Connect).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oidc {
    /// Its name, as tokens have it.
    pub issuer: String,
    /// What tokens must be for.
    pub audience: String,
    /// Where its keys are. Default: found by discovery.
    #[serde(default)]
    pub jwks_url: Option<String>,
}

/// Somebody who is told of events.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Its name; its place in the events is kept under it.
    pub name: String,
    /// Where events are posted.
    pub url: String,
    /// What they are signed with.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// How they look.
    #[serde(default)]
    pub format: Format,
    /// The changes it is told of, by name; all where it is empty.
    #[serde(default)]
    pub only: Vec<String>,
}

/// How an event looks on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// CloudEvents 1.0, all in the body.
    #[default]
    Structured,
    /// CloudEvents 1.0, attributes in headers.
    Binary,
    /// Amazon EventBridge's envelope, `SageMaker Model Package State Change`.
    EventBridge,
}

/// How an endpoint behaves.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Endpoint {
    /// How an approved version is deployed by itself; it is not where this is absent.
    pub on_approval: Option<Strategy>,
    /// Where bundles are unpacked. Default: `cache` beside the artifacts, or below the temporary directory.
    pub cache: Option<PathBuf>,
}

/// How a pipeline runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// The recipe.
    pub recipe: PathBuf,
    /// Its keys that differ here.
    #[serde(default)]
    pub set: Vec<String>,
    /// Where its steps' files are kept. Default `poststelle/pipeline-ENVIRONMENT`.
    #[serde(default)]
    pub work: Option<PathBuf>,
    /// The endpoint its versions are deployed to: for a test endpoint, where its gates are approval enough. A person approves
    /// where this is absent.
    #[serde(default)]
    pub endpoint: Option<EndpointName>,
    /// A command that fetches the data before anything else, run by `sh -c` in the file's folder.
    #[serde(default)]
    pub fetch: Option<String>,
}

/// A value that is named and never shown: `env:NAME`, `file:PATH`, or the value itself where it is no secret.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn mails() -> ModelName {
    "mails".parse().expect("a name of our own")
}

fn misused(message: String) -> Failure {
    Failure {
        kind: Kind::Misused,
        message,
        hint: None,
    }
}

impl Config {
    /// Reads the file; without one at the usual place there is one environment, `development`, in `poststelle/`.
    pub fn read(path: Option<&Path>) -> Result<Self, Failure> {
        let file = path.unwrap_or(Path::new(FILE));
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                "[env.development]\nstore = \"sqlite:poststelle/development.db\"\nartifacts = \"poststelle/development\"\n"
                    .to_owned()
            }
            Err(error) => return Err(misused(format!("`{}`: {error}", file.display()))),
        };
        let mut config: Self = toml::from_str(&text).map_err(|error| {
            misused(format!("`{}`: {error}", file.display()))
                .hint("docs/production.md and docs/gateway.md have every setting")
        })?;
        config.root = file.parent().unwrap_or(Path::new("")).to_path_buf();
        Ok(config)
    }

    /// One environment.
    pub fn environment(&self, name: &EnvironmentName) -> Result<&Environment, Failure> {
        self.env.get(name).ok_or_else(|| {
            let known: Vec<String> = self.env.keys().map(|name| format!("`{name}`")).collect();
            misused(format!(
                "there is no environment `{name}`, expected {}",
                known.join(" or ")
            ))
        })
    }

    /// A path of the file as it is seen from here.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }

    /// The value of a secret.
    pub fn secret(&self, secret: &Secret) -> Result<String, Failure> {
        if let Some(name) = secret.0.strip_prefix("env:") {
            return std::env::var_os(name)
                .and_then(|value| value.into_string().ok())
                .ok_or_else(|| {
                    misused(format!(
                        "the variable `{name}` is not set, the configuration names it"
                    ))
                });
        }
        if let Some(path) = secret.0.strip_prefix("file:") {
            let path = self.path(Path::new(path));
            return std::fs::read_to_string(&path)
                .map(|text| text.trim().to_owned())
                .map_err(|error| misused(format!("`{}`: {error}", path.display())));
        }
        Ok(secret.0.clone())
    }

    /// Address of an environment's store, with its password.
    pub fn store(&self, environment: &Environment) -> Result<String, Failure> {
        if let Some(file) = environment.store.strip_prefix("sqlite:") {
            let file = self.path(Path::new(file));
            if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                std::fs::create_dir_all(folder)?;
            }
            return Ok(format!("sqlite:{}", file.display()));
        }
        let (Some(password), Some((user, host))) =
            (&environment.store_password, environment.store.split_once('@'))
        else {
            return Ok(environment.store.clone());
        };
        // Any byte may stand in a password, few in an address (RFC 3986, 2.1).
        let escaped: String = self
            .secret(password)?
            .bytes()
            .map(|byte| format!("%{byte:02X}"))
            .collect();
        Ok(format!("{user}:{escaped}@{host}"))
    }

    /// Address of an environment's artifacts, and how S3 is reached.
    pub fn artifacts(&self, environment: &Environment) -> Result<(String, Vec<(String, String)>), Failure> {
        if !environment.artifacts.starts_with("s3://") {
            let folder = self.path(Path::new(&environment.artifacts));
            return Ok((folder.display().to_string(), Vec::new()));
        }
        let aws = std::env::vars_os().filter_map(|(name, value)| {
            let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
            name.starts_with("AWS_").then_some((name, value))
        });
        let mut options: Vec<(String, String)> = aws.collect();
        for (name, value) in &environment.s3 {
            options.push((format!("aws_{name}"), self.secret(value)?));
        }
        Ok((environment.artifacts.clone(), options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown_and_unknown_keys_are_named() {
        let text = "[env.production]\nstore = \"postgres://app@db/x\"\nstore_password = \"p@ss\"\nartifacts = \"a\"\n";
        let config: Config = toml::from_str(text).unwrap();
        assert!(!format!("{config:?}").contains("p@ss"));
        let environment = config.environment(&"production".parse().unwrap()).unwrap();
        assert_eq!(
            config.store(environment).unwrap(),
            "postgres://app:%70%40%73%73@db/x"
        );
        let error = toml::from_str::<Config>(&format!("{text}storage = 1\n"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("unknown field `storage`"), "{error}");
        let missing = config.environment(&"test".parse().unwrap()).unwrap_err().message;
        assert_eq!(missing, "there is no environment `test`, expected `production`");
    }
}
