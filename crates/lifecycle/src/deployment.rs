//! What an endpoint serves, what it is moving to, and what it can go back to.

use crate::{Act, Change, EndpointName, ModelName, StandingName, VersionId};
use serde::{Deserialize, Serialize};

/// How an endpoint moves to a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "snake_case", deny_unknown_fields)]
pub enum Strategy {
    /// As soon as it is loaded.
    AtOnce,
    /// A share of the requests first.
    Canary {
        /// Of all requests, in percent, 1 to 99.
        percent: u8,
        /// When it must end early.
        #[serde(default)]
        limits: Limits,
    },
    /// It answers too, and its answers are compared but not given.
    Shadow {
        /// When it must end early.
        #[serde(default)]
        limits: Limits,
    },
}

/// When a rollout ends early, and when it has been watched enough.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests it must answer before it is judged. Default 100.
    pub requests: u64,
    /// Share of its requests that may fail. Default 0.01.
    pub errors: f64,
    /// How many times as long as the serving version's its mean answer may take. Default 2.
    pub latency: f64,
    /// Share of a shadow's mails that may get another label for some task. Default 0.2.
    pub disagreement: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: 100,
            errors: 0.01,
            latency: 2.0,
            disagreement: 0.2,
        }
    }
}

/// What was seen of a rollout so far.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Requests the new version was asked.
    pub requests: u64,
    /// Of those, failed.
    pub errors: u64,
    /// Mean time of its answers, in milliseconds.
    pub latency_ms: f64,
    /// The serving version's in the same time; 0 where it was not asked.
    pub serving_latency_ms: f64,
    /// Mails both versions answered.
    pub compared: u64,
    /// Of those, with another label for some task.
    pub different: u64,
}

/// The limit a rollout has broken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{what} {found:.3}, at most {limit:.3} after {requests} requests")]
#[serde(deny_unknown_fields)]
pub struct TooMuch {
    /// What is too high.
    pub what: String,
    /// As seen.
    pub found: f64,
    /// As allowed.
    pub limit: f64,
    /// Requests seen.
    pub requests: u64,
}

impl Limits {
    /// Whether a rollout may go on, and whether it has been watched enough.
    ///
    /// Errors end it as soon as so many failed that the whole watch cannot stay below the limit; the rest is judged once
    /// `requests` are seen.
    ///
    /// # Errors
    /// [`TooMuch`], the limit it has broken.
    pub fn judge(&self, health: &Health) -> Result<bool, TooMuch> {
        let Health {
            requests,
            errors,
            latency_ms,
            serving_latency_ms,
            compared,
            different,
        } = *health;
        let too_much = |what: &str, found: f64, limit: f64| {
            let what = what.to_owned();
            Err(TooMuch {
                what,
                found,
                limit,
                requests,
            })
        };
        let share = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f64 / of as f64 };
        if errors as f64 > self.errors * requests.max(self.requests) as f64 {
            return too_much("share of errors", share(errors, requests), self.errors);
        }
        if requests < self.requests {
            return Ok(false);
        }
        if serving_latency_ms > 0.0 && latency_ms > self.latency * serving_latency_ms {
            return too_much(
                "answers take times as long",
                latency_ms / serving_latency_ms,
                self.latency,
            );
        }
        if share(different, compared) > self.disagreement {
            return too_much(
                "share of other answers",
                share(different, compared),
                self.disagreement,
            );
        }
        Ok(true)
    }
}

/// A move to a version that is going on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// The version.
    pub version: VersionId,
    /// How.
    pub strategy: Strategy,
    /// Who started it.
    pub started: Act,
}

/// How a rollout ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case", deny_unknown_fields)]
pub enum RolloutEnd {
    /// The version serves now.
    Done,
    /// It broke a limit; what served before serves on.
    Unhealthy {
        /// The limit.
        limit: TooMuch,
    },
    /// It could not be loaded; what served before serves on.
    Failed {
        /// Why.
        why: String,
    },
    /// Somebody stopped it.
    Stopped,
    /// Its version was withdrawn.
    Withdrawn,
}

/// Versions an endpoint can go back to, at most.
const KEPT: usize = 20;

/// An endpoint as its environment wants it; the process that serves it follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The model it serves; set by its first rollout.
    pub model: ModelName,
    /// Grows by one with every change; who serves it sees by this that there is something to do.
    pub generation: u64,
    /// What answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<VersionId>,
    /// What answered before, last first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<VersionId>,
    /// What it is moving to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// How the last rollout ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<(VersionId, RolloutEnd)>,
}

/// Why an endpoint is not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeploymentError {
    /// Only what is approved serves.
    #[error("{version} is {found}, expected approved")]
    NotApproved {
        /// The version.
        version: VersionId,
        /// Where it stands.
        found: StandingName,
    },
    /// It serves another model.
    #[error("endpoint {endpoint} serves {found}, not {expected}")]
    Model {
        /// The endpoint.
        endpoint: EndpointName,
        /// The model it serves.
        found: ModelName,
        /// The model it was asked to serve.
        expected: ModelName,
    },
    /// It is already moving.
    #[error("endpoint {endpoint} is moving to {version}")]
    Moving {
        /// The endpoint.
        endpoint: EndpointName,
        /// The version.
        version: VersionId,
    },
    /// It is not moving to that version.
    #[error("endpoint {endpoint} is not moving to {version}")]
    NotMoving {
        /// The endpoint.
        endpoint: EndpointName,
        /// The version.
        version: VersionId,
    },
    /// It never served anything else that may still serve.
    #[error("endpoint {endpoint} has nothing to go back to")]
    NothingBefore {
        /// The endpoint.
        endpoint: EndpointName,
    },
    /// A share that is none.
    #[error("a canary of {found} percent, expected 1 to 99")]
    Percent {
        /// As asked.
        found: u8,
    },
}

/// A change of an endpoint, or none where it is as asked already.
pub type Switch = Option<(Deployment, Change)>;

impl Deployment {
    /// An endpoint nothing was deployed to yet.
    pub fn new(endpoint: EndpointName, model: ModelName) -> Self {
        Self {
            endpoint,
            model,
            generation: 0,
            serving: None,
            before: Vec::new(),
            rollout: None,
            last: None,
        }
    }

    fn next(mut self) -> Self {
        self.generation += 1;
        self
    }

    /// Starts to move to a version that stands at `found`. Asked again for what it serves or is moving to, it changes nothing.
    ///
    /// # Errors
    /// [`DeploymentError`]: not approved, another model's, or already moving to another.
    pub fn start(
        mut self,
        version: VersionId,
        found: StandingName,
        strategy: Strategy,
        act: Act,
    ) -> Result<Switch, DeploymentError> {
        if found != StandingName::Approved {
            return Err(DeploymentError::NotApproved { version, found });
        }
        if version.model != self.model {
            let (endpoint, found, expected) = (self.endpoint, self.model, version.model);
            return Err(DeploymentError::Model {
                endpoint,
                found,
                expected,
            });
        }
        if let Strategy::Canary { percent, .. } = strategy
            && !(1..=99).contains(&percent)
        {
            return Err(DeploymentError::Percent { found: percent });
        }
        if let Some(rollout) = self.rollout {
            if rollout.version == version {
                return Ok(None);
            }
            let (endpoint, version) = (self.endpoint, rollout.version);
            return Err(DeploymentError::Moving { endpoint, version });
        }
        if self.serving.as_ref() == Some(&version) {
            return Ok(None);
        }
        // With nothing to compare with there is nothing to try.
        let strategy = if self.serving.is_none() {
            Strategy::AtOnce
        } else {
            strategy
        };
        self.rollout = Some(Rollout {
            version: version.clone(),
            strategy: strategy.clone(),
            started: act.clone(),
        });
        let change = Change::RolloutStarted {
            version,
            strategy,
            act,
        };
        Ok(Some((self.next(), change)))
    }

    /// Ends the move to `version`.
    ///
    /// # Errors
    /// [`DeploymentError::NotMoving`], so that a rollout ends once, whoever sees its end.
    pub fn end(
        mut self,
        version: &VersionId,
        end: RolloutEnd,
        act: Act,
    ) -> Result<(Self, Change), DeploymentError> {
        if self
            .rollout
            .as_ref()
            .is_none_or(|rollout| rollout.version != *version)
        {
            let (endpoint, version) = (self.endpoint, version.clone());
            return Err(DeploymentError::NotMoving { endpoint, version });
        }
        self.rollout = None;
        if end == RolloutEnd::Done
            && let Some(before) = self.serving.replace(version.clone())
        {
            self.before.insert(0, before);
            self.before.truncate(KEPT);
        }
        self.last = Some((version.clone(), end.clone()));
        let change = Change::RolloutEnded {
            version: version.clone(),
            end,
            act,
        };
        Ok((self.next(), change))
    }

    /// Goes back to what it served before and may still serve, by `standing`; a rollout that is going on is stopped with it.
    ///
    /// # Errors
    /// [`DeploymentError::NothingBefore`].
    pub fn roll_back(
        mut self,
        standing: impl Fn(&VersionId) -> StandingName,
        act: Act,
    ) -> Result<(Self, Change), DeploymentError> {
        let serving = self.serving.clone();
        let may = |version: &VersionId| {
            standing(version) == StandingName::Approved && Some(version) != serving.as_ref()
        };
        let (Some(from), Some(at)) = (serving.clone(), self.before.iter().position(may)) else {
            let endpoint = self.endpoint;
            return Err(DeploymentError::NothingBefore { endpoint });
        };
        let to = self.before.drain(..=at).next_back();
        self.rollout = None;
        self.serving.clone_from(&to);
        let change = Change::RolledBack { from, to, act };
        Ok((self.next(), change))
    }

    /// Forgets a withdrawn version: ends its rollout, goes back where it serves, and never goes back to it.
    pub fn forget(
        mut self,
        version: &VersionId,
        standing: impl Fn(&VersionId) -> StandingName,
        act: Act,
    ) -> Switch {
        self.before.retain(|before| before != version);
        if self
            .rollout
            .as_ref()
            .is_some_and(|rollout| rollout.version == *version)
        {
            return self.end(version, RolloutEnd::Withdrawn, act).ok();
        }
        if self.serving.as_ref() != Some(version) {
            return None;
        }
        let empty = self.clone();
        Some(self.roll_back(standing, act.clone()).unwrap_or_else(|_| {
            let change = Change::RolledBack {
                from: version.clone(),
                to: None,
                act,
            };
            let nothing = Self {
                serving: None,
                before: Vec::new(),
                ..empty
            };
            (nothing.next(), change)
        }))
    }
}
