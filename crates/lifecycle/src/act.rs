//! Who did something, when, and why; and where the present comes from.

use crate::{Person, Reason};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The only source of the present.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Something somebody did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// Who.
    pub by: Person,
    /// When, as their clock said.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
}
