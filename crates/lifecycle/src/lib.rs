//! The model flow as records and legal changes; no storage, no clock, no network.
//!
//! A [`Version`] is registered, evaluated against its [`Gate`]s, put before a person, approved or rejected, and may be
//! withdrawn. A [`Deployment`] is what an endpoint serves, what it is moving to, and what it can go back to. Each legal
//! change is a method that takes the record and gives it back changed, together with the [`Change`] that says so; the log
//! of [`Event`]s is the truth, a record its projection. An [`ApiKey`] says who may ask; [`Predicted`] and [`Feedback`] are what was
//! answered and what was right.
//!
//! **Not here.** Keeping records and events (`store`), and the present: whoever acts brings the time ([`Act`]).

mod act;
mod api_key;
mod deployment;
mod event;
mod gate;
mod name;
mod prediction;
mod version;

pub use act::{Act, Clock};
pub use api_key::{ApiKey, KeyEnded, KeyStanding, KeyText, Permission, UnknownPermission};
pub use deployment::{
    Deployment, DeploymentError, Health, Limits, Rollout, RolloutEnd, Strategy, Switch, TooMuch,
};
pub use event::{BrokenChain, Change, Event, Promoted, Subject, verify};
pub use gate::{Comparison, Evaluation, Gate, LabelFigures, TaskFigures, Verdict};
pub use jiff::Timestamp;
pub use name::{
    ApiKeyId, ClientName, Digest, EndpointName, EnvironmentName, FeedbackId, GateName, ModelName, NameError,
    Person, PredictionId, Reason, VersionId,
};
pub use prediction::{Feedback, Labelled, Predicted};
pub use version::{
    Approval, ApproveError, Lineage, MoveError, Rules, SageMakerStatus, Signature, Standing, StandingName,
    Version,
};
