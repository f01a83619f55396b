//! Labelled examples: read, check, split.
//!
//! ```text
//! file ─read→ Record ─Dataset::build (clean, look labels up)→ Example, Dataset
//!                 └─inspect→ Report   └─split→ Split   └─write→ file
//! ```
//!
//! A [`Record`] is a row as it stands in a file. An [`Example`] is what a model may see: it is made from
//! cleaned text only, so training on raw mail does not compile.

mod clean;
mod dataset;
mod example;
mod families;
mod infer;
pub mod inspect;
mod lookup;
pub mod near;
pub mod read;
mod record;
pub mod split;
pub mod write;

pub use clean::clean_texts;
pub use dataset::{BuildError, Dataset, Problem};
pub use example::Example;
pub use families::Families;
pub use infer::{InferError, infer_schema};
pub use read::ReadError;
pub use record::{Content, Format, Origin, Record};
