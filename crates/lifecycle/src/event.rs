//! What happened, appended and never edited.
//!
//! Each event holds the digest of the one before it, so that taking one out, or changing one, breaks every digest that
//! follows (Haber & Stornetta 1991, "How to Time-Stamp a Digital Document"). An event's own digest is its id: receivers
//! that get it twice know it.

use crate::{
    Act, ApiKeyId, Approval, ClientName, Digest, EndpointName, EnvironmentName, Evaluation, Lineage,
    Permission, Person, RolloutEnd, Signature, Strategy, VersionId,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// A version.
    Version(VersionId),
    /// An endpoint.
    Endpoint(EndpointName),
    /// A key of the gateway.
    ApiKey(ApiKeyId),
}

/// What changed.
#[allow(clippy::large_enum_variant, reason = "a few events at a time are in memory")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// A version's artifact is stored.
    Registered {
        /// Digest of the artifact.
        artifact: Digest,
        /// What it was made from.
        lineage: Lineage,
        /// Who vouches for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<Signature>,
        /// Who registered it.
        act: Act,
        /// The environment and name it was promoted from, with that environment's events of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        promoted: Option<Promoted>,
    },
    /// Its figures are known.
    Evaluated {
        /// The figures.
        evaluation: Evaluation,
    },
    /// People are asked to approve it.
    ApprovalRequested {
        /// Who asked.
        act: Act,
    },
    /// One of several approvals it needs.
    ApprovalGiven {
        /// The approval.
        approval: Approval,
        /// How many are missing.
        missing: u32,
    },
    /// It may be deployed.
    Approved {
        /// The last approval.
        approval: Approval,
    },
    /// It never will be.
    Rejected {
        /// Who said so.
        act: Act,
    },
    /// It must not serve any more.
    Withdrawn {
        /// Who said so.
        act: Act,
    },
    /// An endpoint starts to move to a version.
    RolloutStarted {
        /// The version.
        version: VersionId,
        /// How.
        strategy: Strategy,
        /// Who started it.
        act: Act,
    },
    /// A rollout is over.
    RolloutEnded {
        /// The version.
        version: VersionId,
        /// How it ended.
        end: RolloutEnd,
        /// Who ended it.
        act: Act,
    },
    /// An endpoint went back to what it had served before.
    RolledBack {
        /// What it served.
        from: VersionId,
        /// What it serves now; none where there was nothing before.
        to: Option<VersionId>,
        /// Who did it.
        act: Act,
    },
    /// A client got a key.
    KeyIssued {
        /// The client.
        client: ClientName,
        /// What it is for.
        permissions: BTreeSet<Permission>,
        /// When it ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires: Option<Timestamp>,
        /// The key it comes after.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<ApiKeyId>,
        /// Who issued it.
        act: Act,
    },
    /// A key got a successor and ends soon.
    KeyReplaced {
        /// Its successor.
        by: ApiKeyId,
        /// When it ends.
        expires: Timestamp,
        /// Who did it.
        act: Act,
    },
    /// A key ended.
    KeyRevoked {
        /// Who ended it.
        act: Act,
    },
}

/// Where a promoted version came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promoted {
    /// The environment.
    pub environment: EnvironmentName,
    /// Its name there.
    pub version: VersionId,
    /// Its history there.
    pub history: Vec<Event>,
}

impl Change {
    /// What kind of change it is, as events name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Registered { .. } => "registered",
            Self::Evaluated { .. } => "evaluated",
            Self::ApprovalRequested { .. } => "approval_requested",
            Self::ApprovalGiven { .. } => "approval_given",
            Self::Approved { .. } => "approved",
            Self::Rejected { .. } => "rejected",
            Self::Withdrawn { .. } => "withdrawn",
            Self::RolloutStarted { .. } => "rollout_started",
            Self::RolloutEnded { .. } => "rollout_ended",
            Self::RolledBack { .. } => "rolled_back",
            Self::KeyIssued { .. } => "key_issued",
            Self::KeyReplaced { .. } => "key_replaced",
            Self::KeyRevoked { .. } => "key_revoked",
        }
    }
}

/// Something that happened in an environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Its digest, over all that follows.
    pub id: Digest,
    /// Counted from 1 in its environment, without gaps.
    pub sequence: u64,
    /// Digest of the event before; of nothing for the first.
    pub previous: Digest,
    /// Where.
    pub environment: EnvironmentName,
    /// When it was written.
    pub at: Timestamp,
    /// Who did it.
    pub by: Person,
    /// To what.
    pub subject: Subject,
    /// What.
    pub change: Change,
}

/// The first event that does not fit the one before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {sequence}: {what} is {found}, expected {expected}")]
pub struct BrokenChain {
    /// The event.
    pub sequence: u64,
    /// What does not fit.
    pub what: &'static str,
    /// As it is.
    pub found: String,
    /// As it should be.
    pub expected: String,
}

impl Event {
    /// Appends to a chain; `last` is its last event.
    pub fn after(
        last: Option<&Self>,
        environment: EnvironmentName,
        at: Timestamp,
        by: Person,
        subject: Subject,
        change: Change,
    ) -> Self {
        let mut event = Self {
            id: Digest::of(b""),
            sequence: last.map_or(1, |last| last.sequence + 1),
            previous: last.map_or_else(|| Digest::of(b""), |last| last.id.clone()),
            environment,
            at,
            by,
            subject,
            change,
        };
        event.id = event.digest();
        event
    }

    /// What its id should be.
    fn digest(&self) -> Digest {
        let Self {
            id: _,
            sequence,
            previous,
            environment,
            at,
            by,
            subject,
            change,
        } = self;
        let parts = (sequence, previous, environment, at, by, subject, change);
        // Records of text, finite numbers and lists always have a JSON form.
        Digest::of(&serde_json::to_vec(&parts).expect("an event as JSON"))
    }
}

/// Checks a whole chain, or the rest of one after `last`.
///
/// # Errors
/// [`BrokenChain`], the first there is.
pub fn verify<'a>(
    mut last: Option<&'a Event>,
    events: impl IntoIterator<Item = &'a Event>,
) -> Result<(), BrokenChain> {
    for event in events {
        let broken = |what, found: String, expected: String| BrokenChain {
            sequence: event.sequence,
            what,
            found,
            expected,
        };
        let sequence = last.map_or(1, |last| last.sequence + 1);
        if event.sequence != sequence {
            return Err(broken(
                "its number",
                event.sequence.to_string(),
                sequence.to_string(),
            ));
        }
        let previous = last.map_or_else(|| Digest::of(b""), |last| last.id.clone());
        if event.previous != previous {
            return Err(broken(
                "the digest of the one before",
                event.previous.to_string(),
                previous.to_string(),
            ));
        }
        let digest = event.digest();
        if event.id != digest {
            return Err(broken("its digest", event.id.to_string(), digest.to_string()));
        }
        last = Some(event);
    }
    Ok(())
}
