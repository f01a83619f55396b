//! What can be predicted: tasks, their label sets and the hierarchy between them.
//!
//! A [`Schema`] is versioned data that client service and data science change together (`labels.toml`).
//! Everything downstream works with a [`ClassIndex`] inside a [`Task`]; the only way from a label's
//! name to an index and back is through the task.

mod change;
mod file;
mod label;
mod nearest;
mod schema;
mod task;

pub use change::{Change, Edit, Rule};
pub use label::{ClassIndex, Label};
pub use nearest::nearest;
pub use schema::{Schema, SchemaError};
pub use task::{Task, TaskName};
