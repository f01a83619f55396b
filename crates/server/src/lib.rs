//! The HTTP door.
//!
//! An endpoint serves one bundle for good, or follows what its environment's store wants it to serve ([`Follow`]).
//!
//! The private endpoint speaks SageMaker's hosting and batch-transform contract ([`router`]): `/ping`, `/invocations` and
//! `/execution-parameters`. A request is read, parsed, classified and written off the threads that
//! serve connections, and everything a client can get wrong has an answer of its own
//! (`application/problem+json` with a stable `code`), so the server lives on whatever it is sent.
//!
//! **Invariant.** Neither a log line nor an error holds mail text: they name positions, fields and sizes.

mod body;
mod follow;
mod live;
mod log;
mod media;
mod problem;
mod read;
mod sagemaker;
mod serve;
mod settings;
mod write;

pub use follow::{Follow, FollowError, Opens};
pub use live::Live;
pub use problem::Problem;
pub use serve::{ServeError, router, run, serve};
pub use settings::Settings;
