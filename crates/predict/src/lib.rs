//! Text in, decisions out.
//!
//! A [`Predictor`] is a trained model and a [`Policy`], ready to answer: it cleans each mail the way its training mails
//! were cleaned, scores it for every task, chooses labels that agree with the hierarchy between tasks
//! ([`decode`]), and says per task whether the answer may be acted on, shown, or left to a person. A [`Queue`]
//! groups what many callers ask at once.

pub mod decode;

mod bundle;
mod classify;
mod mail;
mod policy;
mod prediction;
mod predictor;
mod queue;

pub use bundle::{BundleError, cleaner};
pub use classify::{Classify, ModelError};
pub use mail::{Content, Mail};
pub use policy::{Policy, PolicyError, TaskPolicy};
pub use poststelle_measure::Band as Decision;
pub use prediction::{Answer, Named, Prediction, Ranked, Scope};
pub use predictor::Predictor;
pub use queue::{Computed, Limits, Observe, Pending, Queue, QueueError, Waiting};
