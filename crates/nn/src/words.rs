//! The words model: TF-IDF and one linear head per task.
//!
//! On a few thousand mails the words themselves decide most labels: this model trains in seconds, needs no
//! base model, answers in well under a millisecond and can say which words led it. It is the baseline every
//! run is held against and one half of the hybrid.
//!
//! [`Vectorizer`] turns a text into a sparse row, [`WordsModel`] multiplies that row with each task's
//! weights. Both are read from and written to one file, `words.safetensors`.

mod file;
mod grams;
mod model;
mod vectorizer;

pub use file::{FILE, OpenError, SaveError};
pub use model::{Contribution, Head, WordsModel};
pub use vectorizer::{Block, Settings, SparseRow, Vectorizer};
