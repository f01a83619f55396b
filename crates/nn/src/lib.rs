//! The tensor world: texts to tokens, tokens to logits, and back again for training.
//!
//! Two families of models live here. [`network`] is a pretrained [`encoder`] with one head per task, computed by
//! our own engine over packed batches; [`words`] is a linear model over TF-IDF. A [`hybrid`] combines the logits of
//! both, and a [`bundle`] is the directory a trained model of any kind is kept in; an [`export`] is what other programs
//! open of it.

pub mod bundle;
pub mod encode;
pub mod encoder;
pub mod export;
mod folder;
pub mod hf;
pub mod hybrid;
pub mod logits;
pub mod loss;
pub mod model;
pub mod network;
pub mod shrink;
pub mod threads;
pub mod words;

pub use logits::{Logits, Probabilities};
pub use network::{Network, Pooling};
