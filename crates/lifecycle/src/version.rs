//! A version of a model, from registration to withdrawal.

use crate::{Act, Change, Digest, Evaluation, Gate, GateName, Person, VersionId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// A registered model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Its name.
    pub id: VersionId,
    /// Digest of the artifact, a `model.tar.gz`.
    pub artifact: Digest,
    /// Bytes of the artifact.
    pub size_bytes: u64,
    /// What it was made from.
    pub lineage: Lineage,
    /// Who vouches for the artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// Who registered it, when and why.
    pub registered: Act,
    /// Where it came from, if it was promoted: the environment and its name there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_from: Option<String>,
    /// Where it stands.
    pub standing: Standing,
}

/// What a version was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lineage {
    /// The run that made it.
    pub run: String,
    /// Digest of the resolved recipe.
    pub recipe: Digest,
    /// Digest of the training mails.
    pub train: String,
    /// Digest of the validation mails.
    pub validation: String,
    /// Version of the schema.
    pub schema_version: u32,
    /// Digest of the schema.
    pub schema: String,
    /// The base model and its digest, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The program and version that trained it.
    pub written_by: String,
    /// When the run ended, RFC 3339.
    pub created: String,
    /// The gates of its recipe.
    pub gate: Gate,
}

/// An ed25519 signature of an artifact's digest (RFC 8032).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The public key, 64 hexadecimal digits.
    pub key: String,
    /// Of the digest as text, 128 hexadecimal digits.
    pub signature: String,
}

/// One person's approval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Who, when and why.
    pub act: Act,
    /// Gates they waive, by name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub waived: BTreeSet<GateName>,
}

/// Where a version stands. Each arrow is one method and one [`Change`]; each state holds what it took to get there, so
/// nothing unevaluated can be approved.
///
/// ```text
/// Registered ─evaluate→ Evaluated ─request→ Pending ─approve→ Approved ─withdraw→ Withdrawn
///     └──────────────── evaluate again ┘         └──reject→ Rejected
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum Standing {
    /// Its artifact is stored.
    Registered,
    /// Its figures are known.
    Evaluated {
        /// The figures.
        evaluation: Evaluation,
    },
    /// A person is asked.
    Pending {
        /// The figures.
        evaluation: Evaluation,
        /// Who asked.
        requested: Act,
        /// Approvals so far, fewer than it needs.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        approvals: Vec<Approval>,
    },
    /// It may be deployed.
    Approved {
        /// The figures.
        evaluation: Evaluation,
        /// Who said so.
        approvals: Vec<Approval>,
    },
    /// It never will be.
    Rejected {
        /// The figures.
        evaluation: Evaluation,
        /// Who said so.
        rejection: Act,
    },
    /// It was approved and must not serve any more.
    Withdrawn {
        /// The figures.
        evaluation: Evaluation,
        /// Who had approved it.
        approvals: Vec<Approval>,
        /// Who took it back.
        withdrawal: Act,
    },
}

/// A [`Standing`] without what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StandingName {
    /// See [`Standing::Registered`].
    Registered,
    /// See [`Standing::Evaluated`].
    Evaluated,
    /// See [`Standing::Pending`].
    Pending,
    /// See [`Standing::Approved`].
    Approved,
    /// See [`Standing::Rejected`].
    Rejected,
    /// See [`Standing::Withdrawn`].
    Withdrawn,
}

impl fmt::Display for StandingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Registered => "registered",
            Self::Evaluated => "evaluated",
            Self::Pending => "pending approval",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
        })
    }
}

/// What SageMaker's model registry calls a standing (`ModelApprovalStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SageMakerStatus {
    /// Nobody decided yet.
    PendingManualApproval,
    /// It may be deployed.
    Approved,
    /// It must not be.
    Rejected,
}

impl Standing {
    /// Its name alone.
    pub fn name(&self) -> StandingName {
        match self {
            Self::Registered => StandingName::Registered,
            Self::Evaluated { .. } => StandingName::Evaluated,
            Self::Pending { .. } => StandingName::Pending,
            Self::Approved { .. } => StandingName::Approved,
            Self::Rejected { .. } => StandingName::Rejected,
            Self::Withdrawn { .. } => StandingName::Withdrawn,
        }
    }

    /// The figures, once there are some.
    pub fn evaluation(&self) -> Option<&Evaluation> {
        match self {
            Self::Registered => None,
            Self::Evaluated { evaluation }
            | Self::Pending { evaluation, .. }
            | Self::Approved { evaluation, .. }
            | Self::Rejected { evaluation, .. }
            | Self::Withdrawn { evaluation, .. } => Some(evaluation),
        }
    }
}

impl StandingName {
    /// As SageMaker's registry has it.
    pub fn sagemaker(self) -> SageMakerStatus {
        match self {
            Self::Registered | Self::Evaluated | Self::Pending => SageMakerStatus::PendingManualApproval,
            Self::Approved => SageMakerStatus::Approved,
            Self::Rejected | Self::Withdrawn => SageMakerStatus::Rejected,
        }
    }
}

/// What an environment asks of approvals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// People who must approve. Default 1; 2 for four eyes.
    pub approvers: u32,
    /// Whether who registered a version may approve it. Default true.
    pub own: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            approvers: 1,
            own: true,
        }
    }
}

/// A move that is not legal from where a version stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{version} is {found}, expected {expected}")]
pub struct MoveError {
    /// The version.
    pub version: VersionId,
    /// Where it stands.
    pub found: StandingName,
    /// Where it would have to stand.
    pub expected: &'static str,
}

/// Why a version is not approved.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ApproveError {
    /// It is not put before anybody.
    #[error(transparent)]
    Move(#[from] MoveError),
    /// Gates are neither met nor waived.
    #[error("{version} fails {}", list(.gates))]
    GateFailed {
        /// The version.
        version: VersionId,
        /// Every gate still open.
        gates: Vec<GateName>,
    },
    /// A gate is waived that there is not, or that is met.
    #[error("{version} has no failed gate `{gate}`")]
    NothingToWaive {
        /// The version.
        version: VersionId,
        /// The gate named.
        gate: GateName,
    },
    /// Another pair of eyes is needed.
    #[error("{by} {reason} {version}")]
    SamePerson {
        /// The version.
        version: VersionId,
        /// Who tried.
        by: Person,
        /// What they did before.
        reason: &'static str,
    },
}

fn list(gates: &[GateName]) -> String {
    let names: Vec<String> = gates.iter().map(|gate| format!("`{gate}`")).collect();
    names.join(", ")
}

impl Version {
    fn refuse(&self, expected: &'static str) -> MoveError {
        MoveError {
            version: self.id.clone(),
            found: self.standing.name(),
            expected,
        }
    }

    /// Takes figures over, with the verdicts of its recipe's gates.
    ///
    /// # Errors
    /// [`MoveError`] once a person was asked: who decides must see the figures that stay.
    pub fn evaluate(self, evaluation: Evaluation) -> Result<(Self, Change), MoveError> {
        let (Standing::Registered | Standing::Evaluated { .. }) = self.standing else {
            return Err(self.refuse("registered or evaluated"));
        };
        let evaluation = evaluation.judged(&self.lineage.gate);
        let change = Change::Evaluated {
            evaluation: evaluation.clone(),
        };
        let standing = Standing::Evaluated { evaluation };
        Ok((Self { standing, ..self }, change))
    }

    /// Puts it before the people who approve.
    ///
    /// # Errors
    /// [`MoveError`] unless it is evaluated.
    pub fn request(self, act: Act) -> Result<(Self, Change), MoveError> {
        let Standing::Evaluated { evaluation } = self.standing else {
            return Err(self.refuse("evaluated"));
        };
        let standing = Standing::Pending {
            evaluation,
            requested: act.clone(),
            approvals: Vec::new(),
        };
        Ok((Self { standing, ..self }, Change::ApprovalRequested { act }))
    }

    /// Approves it, or adds one approval to those it needs.
    ///
    /// # Errors
    /// [`ApproveError`]; then nothing has changed.
    pub fn approve(self, approval: Approval, rules: Rules) -> Result<(Self, Change), ApproveError> {
        let Standing::Pending {
            evaluation,
            requested,
            mut approvals,
        } = self.standing
        else {
            return Err(self.refuse("pending approval").into());
        };
        let (version, by) = (self.id.clone(), approval.act.by.clone());
        if !rules.own && self.registered.by == by {
            let reason = "registered";
            return Err(ApproveError::SamePerson { version, by, reason });
        }
        if approvals.iter().any(|earlier| earlier.act.by == by) {
            let reason = "has already approved";
            return Err(ApproveError::SamePerson { version, by, reason });
        }
        let failed: BTreeSet<&GateName> = evaluation.failed().map(|verdict| &verdict.gate).collect();
        if let Some(gate) = approval.waived.iter().find(|gate| !failed.contains(gate)) {
            let gate = gate.clone();
            return Err(ApproveError::NothingToWaive { version, gate });
        }
        // Each approver stands for all that is waived, so each must have named it.
        let open = failed.into_iter().filter(|gate| !approval.waived.contains(gate));
        let gates: Vec<GateName> = open.cloned().collect();
        if !gates.is_empty() {
            return Err(ApproveError::GateFailed { version, gates });
        }
        approvals.push(approval.clone());
        let missing = rules.approvers.saturating_sub(approvals.len() as u32);
        let standing = if missing == 0 {
            Standing::Approved {
                evaluation,
                approvals,
            }
        } else {
            Standing::Pending {
                evaluation,
                requested,
                approvals,
            }
        };
        let change = if missing == 0 {
            Change::Approved { approval }
        } else {
            Change::ApprovalGiven { approval, missing }
        };
        Ok((Self { standing, ..self }, change))
    }

    /// Refuses it for good.
    ///
    /// # Errors
    /// [`MoveError`] unless it is evaluated or pending approval.
    pub fn reject(self, act: Act) -> Result<(Self, Change), MoveError> {
        let (Standing::Evaluated { evaluation } | Standing::Pending { evaluation, .. }) = self.standing
        else {
            return Err(self.refuse("evaluated or pending approval"));
        };
        let standing = Standing::Rejected {
            evaluation,
            rejection: act.clone(),
        };
        Ok((Self { standing, ..self }, Change::Rejected { act }))
    }

    /// Takes an approval back: it must never serve again.
    ///
    /// # Errors
    /// [`MoveError`] unless it is approved.
    pub fn withdraw(self, act: Act) -> Result<(Self, Change), MoveError> {
        let Standing::Approved {
            evaluation,
            approvals,
        } = self.standing
        else {
            return Err(self.refuse("approved"));
        };
        let standing = Standing::Withdrawn {
            evaluation,
            approvals,
            withdrawal: act.clone(),
        };
        Ok((Self { standing, ..self }, Change::Withdrawn { act }))
    }
}
