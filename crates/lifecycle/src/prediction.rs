//! What was answered, and what it really was.

use crate::{ClientName, FeedbackId, PredictionId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An answer to one mail, as it is kept so that feedback can name it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predicted {
    /// Its name.
    pub id: PredictionId,
    /// Whose it is.
    pub client: ClientName,
    /// What the client calls the mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// When.
    pub at: Timestamp,
    /// The version that answered; none for a bundle that is no version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_version: Option<String>,
    /// Version of the schema its labels are of.
    pub schema_version: u32,
    /// Whether the mail was one for the model, and if not, what it was.
    pub scope: String,
    /// The model read the beginning alone.
    pub truncated: bool,
    /// By task; none where the label chosen for its parent has no labels below it.
    pub tasks: BTreeMap<String, Option<Labelled>>,
    /// What is kept of the mail itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// One task's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labelled {
    /// The label.
    pub label: String,
    /// Its calibrated probability.
    pub confidence: f32,
    /// `auto`, `suggest` or `ask`.
    pub decision: String,
}

/// What a mail really was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feedback {
    /// Its name.
    pub id: FeedbackId,
    /// Who says so.
    pub client: ClientName,
    /// The prediction it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<PredictionId>,
    /// What the client calls the mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// When it came.
    pub at: Timestamp,
    /// The final label by task.
    pub labels: BTreeMap<String, String>,
}
