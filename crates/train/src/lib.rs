//! A recipe and a dataset make a bundle.
//!
//! [`recipe`] is every setting of a run. [`fit`] is the encoder's training loop, an iterator of events that the caller
//! logs and times; [`linear`] trains the model on words. [`distil`] lets a trained bundle teach a smaller encoder. The caller
//! writes checkpoints when it likes.

mod calibrate;
mod chance;
mod checkpoint;
pub mod distil;
pub mod fit;
pub mod frozen;
pub mod hybrid;
mod languages;
pub mod linear;
mod optim;
mod parts;
pub mod recipe;
pub mod report;
pub mod run;
mod schedule;
mod stop;
mod weighting;

pub use checkpoint::CheckpointError;
pub use distil::{DistilError, Teacher};
pub use fit::{Examples, Fit, FitError, Goal, Memory};
pub use frozen::{Cache, FrozenError};
pub use recipe::{Recipe, RecipeError};
pub use report::Event;
pub use run::{Base, Inputs, Observed, Outcome, RunError};
