//! Keeping the model flow's records ([`Store`]) and its bytes ([`Blobs`]).
//!
//! A store is one SQLite file, or a PostgreSQL database for teams; both run the same statements and pass the same
//! suite (`tests/suite`). A record is a row with its JSON; every change of a record and the [`Event`] that tells of it are written in
//! one transaction, one writer at a time, so the events are a chain without gaps and no change is without its event. The
//! events are the outbox, too: each receiver has a place in them ([`Store::next_delivery`]).
//!
//! Blobs are named by what they are, their SHA-256, in a directory or an S3 bucket, and checked whenever they are read.
//! Nothing rests on the object store but that what was put is found: what is current is the database's to say.
//!
//! **Invariant.** Only this crate contains SQL.
//!
//! [`Event`]: poststelle_lifecycle::Event

mod api_key;
mod blobs;
mod database;
mod deployment;
mod event;
mod idempotency;
mod key;
mod prediction;
mod receiver;
mod step;
mod version;

pub use api_key::NextKey;
pub use blobs::{BlobError, Blobs};
pub use database::{ChangeError, Store, StoreError};
pub use event::Scene;
pub use idempotency::Repeated;
pub use key::{KeyError, PublicKey, SecretKey};
pub use prediction::Purged;
pub use receiver::{Dead, Delivery, Receiver};
pub use step::{Step, StepState};
pub use version::NewVersion;
