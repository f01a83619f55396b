//! What commands of the model flow work with: an environment, opened.

use crate::clock;
use crate::config::{Config, Environment};
use crate::failure::{Failure, Kind};
use poststelle_lifecycle::{Act, Clock, EnvironmentName, Person, Reason, Timestamp};
use poststelle_store::{Blobs, ChangeError, KeyError, PublicKey, Scene, SecretKey, Store, StoreError};
use std::future::Future;
use std::path::PathBuf;

/// Which environment, and who acts.
#[derive(Debug, Clone, clap::Args)]
pub struct Where {
    /// The environments [default: poststelle.toml]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The environment
    #[arg(long, value_name = "NAME", default_value = "development", global = true)]
    env: EnvironmentName,
    /// Who acts [default: POSTSTELLE_USER, else the user's name]
    #[arg(long, value_name = "NAME", global = true)]
    by: Option<Person>,
}

/// The clock on the wall.
pub struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        clock::timestamp()
    }
}

/// An environment, opened.
pub struct Context {
    pub config: Config,
    pub name: EnvironmentName,
    pub environment: Environment,
    pub by: Person,
    pub store: Store,
    pub blobs: Blobs,
    pub trusted: Vec<PublicKey>,
    runtime: tokio::runtime::Runtime,
}

impl Where {
    /// The environment `development` of a configuration.
    pub fn development(config: PathBuf, by: Person) -> Self {
        Self {
            config: Some(config),
            env: "development".parse().expect("a name of our own"),
            by: Some(by),
        }
    }

    /// The same for a program that acts by itself where nobody is named.
    pub fn unattended(self) -> Self {
        let program = || "poststelle".parse().expect("a name of our own");
        Self {
            by: Some(self.by.unwrap_or_else(program)),
            ..self
        }
    }

    /// Opens the environment.
    pub fn open(self) -> Result<Context, Failure> {
        let Self { config, env, by } = self;
        let config = Config::read(config.as_deref())?;
        let environment = config.environment(&env)?.clone();
        let by = match by {
            Some(by) => by,
            None => whoami()?,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (store, blobs) = runtime.block_on(open(&config, &environment))?;
        let trusted = keys(&environment)?;
        Ok(Context {
            config,
            name: env,
            environment,
            by,
            store,
            blobs,
            trusted,
            runtime,
        })
    }

    /// The name of the environment.
    pub fn name(&self) -> &EnvironmentName {
        &self.env
    }
}

/// Opens an environment's store and artifacts.
pub async fn open(config: &Config, environment: &Environment) -> Result<(Store, Blobs), Failure> {
    let store = Store::open(&config.store(environment)?)
        .await
        .map_err(store_failure)?;
    let (address, options) = config.artifacts(environment)?;
    let blobs = Blobs::open(&address, options).map_err(Failure::misused)?;
    Ok((store, blobs))
}

/// The keys an environment trusts.
pub fn keys(environment: &Environment) -> Result<Vec<PublicKey>, Failure> {
    let keys = environment.trusted.iter().map(|key| key.parse());
    keys.collect::<Result<_, KeyError>>().map_err(|error| {
        Failure::misused(error).hint("`trusted` lists public keys, as `poststelle key create` prints them")
    })
}

fn whoami() -> Result<Person, Failure> {
    let names = ["POSTSTELLE_USER", "USER", "LOGNAME"]
        .into_iter()
        .filter_map(std::env::var_os);
    names
        .filter_map(|name| name.into_string().ok()?.parse().ok())
        .next()
        .ok_or_else(|| Failure {
            kind: Kind::Misused,
            message: "nobody is named who acts".into(),
            hint: Some("name somebody with --by or POSTSTELLE_USER".into()),
        })
}

impl Context {
    /// Waits for something of the store.
    pub fn block<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The present, here, by whoever acts.
    pub fn scene(&self) -> Scene {
        Scene {
            environment: self.name.clone(),
            at: clock::timestamp(),
            by: self.by.clone(),
        }
    }

    /// Something done now, for this reason.
    pub fn act(&self, reason: Reason) -> Act {
        Act {
            by: self.by.clone(),
            at: clock::timestamp(),
            reason,
        }
    }

    /// The key new artifacts are signed with.
    pub fn signing_key(&self) -> Result<Option<SecretKey>, Failure> {
        let Some(secret) = &self.environment.sign_with else {
            return Ok(None);
        };
        let key = self.config.secret(secret)?.parse();
        key.map(Some).map_err(|error: KeyError| {
            Failure::misused(error).hint("`sign_with` names a secret key of `poststelle key create`")
        })
    }
}

/// A failed store as a person sees it.
pub fn store_failure(error: StoreError) -> Failure {
    match &error {
        StoreError::NotFound { .. } | StoreError::Address { .. } => Failure::misused(error),
        StoreError::Connect { .. } => Failure::broken(error)
            .hint("is it running, and are address and password in poststelle.toml right?"),
        StoreError::Migrate { .. } | StoreError::Query(_) | StoreError::Damaged { .. } => {
            Failure::broken(error)
        }
    }
}

/// A change that was not made as a person sees it.
pub fn change_failure<E: std::error::Error>(error: ChangeError<E>) -> Failure {
    match error {
        ChangeError::Refused(error) => Failure::refused(error),
        ChangeError::Store(error) => store_failure(error),
    }
}
