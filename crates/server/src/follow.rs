//! Serves what the store wants served: follows approvals and deployments of one endpoint.
//!
//! Each round reads the endpoint's record. What it should serve is fetched by digest, checked (digest, signature, standing) and loaded
//! while the old model answers; only then is the store told and the switch made. In this order a process that is killed
//! between two steps finds, when it starts again, a record that says what to do. A version that cannot be loaded ends its
//! rollout with the reason; what served before serves on.
//!
//! Approvals reach an endpoint like any receiver reaches its events: at least once, in order. A second approval of the same version
//! changes nothing.

use crate::live::{How, Live};
use poststelle_lifecycle::{
    Act, Change, Clock, Deployment, DeploymentError, Digest, EndpointName, EnvironmentName, ModelName,
    Person, Rollout, RolloutEnd, StandingName, Strategy, Subject, VersionId,
};
use poststelle_nn::bundle::{Bundle, unpack};
use poststelle_predict::Predictor;
use poststelle_store::{Blobs, ChangeError, PublicKey, Scene, Store, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Opens a bundle's directory to answer with, or says why it cannot.
pub type Opens = Arc<dyn Fn(&Path) -> Result<Predictor, String> + Send + Sync>;

/// An endpoint that follows its environment.
pub struct Follow {
    /// The records.
    pub store: Store,
    /// The artifacts.
    pub blobs: Blobs,
    /// Whose artifacts are served; anybody's where it is empty.
    pub trusted: Vec<PublicKey>,
    /// The environment.
    pub environment: EnvironmentName,
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The model whose approvals deploy by themselves, and how; else only who asks for it deploys.
    pub approvals: Option<(ModelName, Strategy)>,
    /// Where bundles are unpacked.
    pub cache: PathBuf,
    /// The present.
    pub clock: Arc<dyn Clock>,
    /// What opens them.
    pub opens: Opens,
    /// Time between two looks.
    pub every: Duration,
}

/// Time until the next look after one that failed, besides the usual.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// How long an approval is left alone that could not start a rollout, because another one is going on.
const LATER: Duration = Duration::from_secs(1);

impl Follow {
    /// Looks and acts for ever. What fails is logged once and tried again.
    pub async fn run(self, live: Arc<Live>) {
        let mut told = String::new();
        loop {
            match self.look(&live).await {
                Ok(()) => told.clear(),
                Err(error) => {
                    let why = chain(&error);
                    if why != told {
                        tracing::warn!(endpoint = %self.endpoint, error = %why, "cannot follow the store; serving on");
                        told = why;
                    }
                    // What fails is dear: a store that is away, an artifact read and checked whole.
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
            tokio::time::sleep(self.every).await;
        }
    }

    /// One look.
    ///
    /// # Errors
    /// [`StoreError`], or that a version which should serve cannot be loaded.
    pub async fn look(&self, live: &Live) -> Result<(), FollowError> {
        self.hear_approvals().await?;
        let Some(wanted) = self.store.deployment(&self.endpoint).await? else {
            return Ok(());
        };
        let name = wanted.serving.as_ref().map(ToString::to_string);
        if name != live.serving() {
            match &wanted.serving {
                None => live.nothing(),
                Some(version) => {
                    let predictor = self.load(version).await.map_err(|why| FollowError::Load {
                        version: version.clone(),
                        why,
                    })?;
                    live.serve(name.clone(), Arc::new(predictor));
                    tracing::info!(endpoint = %self.endpoint, %version, "serving");
                }
            }
        }
        match &wanted.rollout {
            None => live.end_trial(),
            Some(rollout) => self.roll_out(rollout, live).await?,
        }
        self.tidy(&wanted);
        Ok(())
    }

    /// Starts a rollout for each approval there is news of.
    async fn hear_approvals(&self) -> Result<(), FollowError> {
        let Some((model, strategy)) = &self.approvals else {
            return Ok(());
        };
        let receiver = format!("endpoint/{}", self.endpoint);
        while let Some(delivery) = self.store.next_delivery(&receiver, self.clock.now()).await? {
            let event = &delivery.event;
            if let (Subject::Version(version), Change::Approved { .. }) = (&event.subject, &event.change)
                && version.model == *model
            {
                let started = self
                    .store
                    .start(
                        &self.scene(),
                        &self.endpoint,
                        version,
                        strategy.clone(),
                        self.act("approved"),
                    )
                    .await;
                match started {
                    Ok(_) => {}
                    // Withdrawn since, or this endpoint serves something else: there is nothing to deploy.
                    Err(ChangeError::Refused(
                        DeploymentError::NotApproved { .. } | DeploymentError::Model { .. },
                    )) => {}
                    Err(ChangeError::Refused(error)) => {
                        let due = self.clock.now().saturating_add(LATER).unwrap_or(self.clock.now());
                        self.store.failed(&delivery, due, &error.to_string()).await?;
                        return Ok(());
                    }
                    Err(ChangeError::Store(error)) => return Err(error.into()),
                }
            }
            self.store.delivered(&delivery).await?;
        }
        Ok(())
    }

    async fn roll_out(&self, rollout: &Rollout, live: &Live) -> Result<(), FollowError> {
        let version = &rollout.version;
        let name = version.to_string();
        let trial = live
            .trial()
            .filter(|trial| trial.served.name.as_ref() == Some(&name));
        let Some(trial) = trial else {
            let predictor = match self.load(version).await {
                Ok(predictor) => Arc::new(predictor),
                Err(why) => {
                    tracing::warn!(endpoint = %self.endpoint, %version, why, "cannot load this version; serving on");
                    return self.end(version, RolloutEnd::Failed { why }).await.map(drop);
                }
            };
            match rollout.strategy {
                Strategy::AtOnce => {
                    if self.end(version, RolloutEnd::Done).await? {
                        live.serve(Some(name), predictor);
                        tracing::info!(endpoint = %self.endpoint, %version, "serving");
                    }
                }
                Strategy::Canary { percent, .. } => live.try_out(name, predictor, How::Canary(percent)),
                Strategy::Shadow { .. } => live.try_out(name, predictor, How::Shadow),
            }
            return Ok(());
        };
        let (Strategy::Canary { limits, .. } | Strategy::Shadow { limits }) = rollout.strategy else {
            return Ok(());
        };
        match limits.judge(&trial.health()) {
            Ok(false) => {}
            Ok(true) => {
                if self.end(version, RolloutEnd::Done).await? {
                    live.promote();
                    tracing::info!(endpoint = %self.endpoint, %version, "serving");
                }
            }
            Err(limit) => {
                tracing::warn!(endpoint = %self.endpoint, %version, %limit, "rolled back; what served before serves on");
                live.end_trial();
                self.end(version, RolloutEnd::Unhealthy { limit }).await?;
            }
        }
        Ok(())
    }

    /// Ends a rollout; false where it had ended already: withdrawn meanwhile, stopped, or ended by another process of this
    /// endpoint.
    async fn end(&self, version: &VersionId, end: RolloutEnd) -> Result<bool, FollowError> {
        let act = self.act("seen by the endpoint");
        match self
            .store
            .end_rollout(&self.scene(), &self.endpoint, version, end, act)
            .await
        {
            Ok(_) => Ok(true),
            Err(ChangeError::Refused(_)) => Ok(false),
            Err(ChangeError::Store(error)) => Err(error.into()),
        }
    }

    /// Loads an approved version.
    async fn load(&self, id: &VersionId) -> Result<Predictor, String> {
        let version = self.store.version(id).await.map_err(|error| chain(&error))?;
        if version.standing.name() != StandingName::Approved {
            return Err(format!("{id} is {}, expected approved", version.standing.name()));
        }
        PublicKey::check(&self.trusted, &version.artifact, version.signature.as_ref())
            .map_err(|error| error.to_string())?;
        let folder = self.unpacked(&version.artifact).await?;
        let opens = Arc::clone(&self.opens);
        tokio::task::spawn_blocking(move || opens(&folder))
            .await
            .map_err(|_| "opening the bundle panicked".to_owned())?
    }

    /// The directory of an artifact, fetched, checked and unpacked where it is not here yet.
    async fn unpacked(&self, artifact: &Digest) -> Result<PathBuf, String> {
        let folder = self.cache.join(artifact.hex());
        let said = |error: &dyn std::error::Error| chain(error);
        if !folder.is_dir() {
            std::fs::create_dir_all(&self.cache).map_err(|error| said(&error))?;
            let coming = tempfile::tempdir_in(&self.cache).map_err(|error| said(&error))?;
            let archive = coming.path().join("model.tar.gz");
            self.blobs
                .fetch(artifact, &archive)
                .await
                .map_err(|error| said(&error))?;
            let bundle = coming.path().join("bundle");
            std::fs::create_dir(&bundle).map_err(|error| said(&error))?;
            let to = bundle.clone();
            tokio::task::spawn_blocking(move || unpack(&archive, &to))
                .await
                .map_err(|_| "unpacking the bundle panicked".to_owned())?
                .map_err(|error| said(&error))?;
            match std::fs::rename(&bundle, &folder) {
                Ok(()) => {}
                // Another process of this endpoint was faster.
                Err(_) if folder.is_dir() => {}
                Err(error) => return Err(said(&error)),
            }
        }
        let checked = folder.clone();
        tokio::task::spawn_blocking(move || Bundle::verify(&checked))
            .await
            .map_err(|_| "checking the bundle panicked".to_owned())?
            .map_err(|error| {
                // What is damaged here may be whole where it came from.
                let _ = std::fs::remove_dir_all(&folder);
                chain(&error)
            })?;
        Ok(self.cache.join(artifact.hex()))
    }

    /// Removes unpacked bundles that are neither wanted nor soon gone back to; what a model has mapped stays until it is dropped.
    fn tidy(&self, wanted: &Deployment) {
        if wanted.rollout.is_some() {
            return;
        }
        let Ok(entries) = std::fs::read_dir(&self.cache) else {
            return;
        };
        let folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        if folders.len() <= KEPT {
            return;
        }
        let modified = |path: &PathBuf| path.metadata().and_then(|about| about.modified()).ok();
        let mut folders = folders;
        folders.sort_by_key(|path| std::cmp::Reverse(modified(path)));
        for folder in folders.into_iter().skip(KEPT) {
            let _ = std::fs::remove_dir_all(folder);
        }
    }

    fn scene(&self) -> Scene {
        let Act { by, at, .. } = self.act("seen by the endpoint");
        Scene {
            environment: self.environment.clone(),
            at,
            by,
        }
    }

    fn act(&self, reason: &str) -> Act {
        let by: Result<Person, _> = format!("endpoint {}", self.endpoint).parse();
        Act {
            by: by.expect("an endpoint's name is one line"),
            at: self.clock.now(),
            reason: reason.parse().expect("a reason of our own"),
        }
    }
}

/// Unpacked bundles that stay.
const KEPT: usize = 4;

/// Why a look did not end in what the store wants.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What should serve cannot be loaded.
    #[error("cannot load {version}: {why}")]
    Load {
        /// The version.
        version: VersionId,
        /// Why.
        why: String,
    },
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
