//! What is answered: labels of mails, and what was asked to be told of them.

use crate::answer::{Answers, Cut, Told};
use crate::evidence::Evidence;
use poststelle_labels::{Schema, Task};
use poststelle_predict::{Answer, Decision, Prediction, Scope};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Labels of mails
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(in crate::api) struct Predictions {
    /// The version that answered; null for a bundle that is no version.
    #[schema(required)]
    pub(super) model_version: Option<String>,
    /// Version of the schema its labels are of.
    pub(super) schema_version: u32,
    /// One per mail, in order.
    pub(super) predictions: Vec<Predicting>,
}

/// A mail's labels, or why it has none
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Prediction)]
pub(super) struct Predicting {
    /// Its name for feedback; null where it is not kept.
    #[schema(required)]
    pub(super) id: Option<String>,
    /// What the client calls the mail.
    #[schema(required)]
    pub(super) external_id: Option<String>,
    /// Whether the mail is one the model was made for. All others are left to a person. Null where there is an error.
    #[schema(required)]
    scope: Option<ScopeName>,
    /// The model read the beginning alone, for the mail is longer than it can read.
    pub(super) truncated: bool,
    /// By task.
    tasks: BTreeMap<String, TaskAnswer>,
    /// What the model read of the mail, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    text: Option<String>,
    /// What cleaning cut, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "untold")]
    #[schema(nullable = false)]
    cuts: Option<Vec<Cut>>,
    /// What speaks for the labels, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "untold")]
    #[schema(nullable = false)]
    evidence: Option<Vec<Evidence>>,
    /// What is wrong with this mail alone.
    #[schema(required)]
    error: Option<MailError>,
}

/// What is told of a mail is never kept with the answer.
fn untold<'de, T, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| None)
}

/// Whether a mail is one the model was made for
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Scope)]
enum ScopeName {
    InScope,
    Empty,
    OutOfOffice,
    AutoReply,
    Bounce,
    Spam,
    ForeignLanguage,
}

impl From<Scope> for ScopeName {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::In => Self::InScope,
            Scope::Empty => Self::Empty,
            Scope::OutOfOffice => Self::OutOfOffice,
            Scope::AutoReply => Self::AutoReply,
            Scope::Bounce => Self::Bounce,
            Scope::Spam => Self::Spam,
            Scope::ForeignLanguage => Self::ForeignLanguage,
        }
    }
}

/// One task's answer
#[derive(Clone, Serialize, Deserialize, ToSchema)]
struct TaskAnswer {
    /// The label; null where the label chosen for the task above has none below it.
    #[schema(required)]
    label: Option<String>,
    /// Its calibrated probability.
    #[schema(required)]
    confidence: Option<f32>,
    /// `auto`: act on it. `suggest`: show it to a person. `ask`: a person decides.
    decision: Band,
    /// The label, then the other most probable ones below the same label of the task above.
    top: Vec<Ranked>,
}

/// What may be done with an answer
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Decision)]
enum Band {
    Auto,
    Suggest,
    Ask,
}

impl From<Decision> for Band {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Auto => Self::Auto,
            Decision::Suggest => Self::Suggest,
            Decision::Ask => Self::Ask,
        }
    }
}

/// A label and its probability
#[derive(Clone, Serialize, Deserialize, ToSchema)]
struct Ranked {
    /// The label.
    label: String,
    /// Its calibrated probability.
    confidence: f32,
}

/// Why a mail has no labels
#[derive(Clone, Serialize, Deserialize, ToSchema)]
struct MailError {
    /// The problem, for programs.
    code: String,
    /// The problem, for people.
    detail: String,
}

impl Predictions {
    /// The same without a word of any mail, as it may be kept with an idempotency key.
    pub(super) fn without_words(mut self) -> Self {
        for prediction in &mut self.predictions {
            prediction.text = None;
            prediction.cuts = None;
            prediction.evidence = None;
        }
        self
    }
}

impl Predicting {
    pub(super) fn tell(&mut self, told: Told) {
        let Told { text, cuts, evidence } = told;
        self.text = text;
        self.cuts = cuts;
        self.evidence = evidence;
    }
}

/// The answers in this resource's shape, not yet kept.
pub(super) fn describe(answers: &Answers, names: Vec<Option<String>>) -> Predictions {
    let schema = answers.served.predictor.schema();
    let mut told = answers.told.iter().cloned();
    let rows = names.into_iter().zip(&answers.rows).map(|(external_id, row)| {
        let mut prediction = Predicting {
            id: None,
            external_id,
            scope: None,
            truncated: false,
            tasks: BTreeMap::new(),
            text: None,
            cuts: None,
            evidence: None,
            error: None,
        };
        match row {
            Ok(found) => {
                prediction.scope = Some(found.scope.into());
                prediction.truncated = found.truncated;
                prediction.tasks = tasks(schema, found);
            }
            Err(problem) => {
                prediction.error = Some(MailError {
                    code: problem.kind().1.to_owned(),
                    detail: problem.to_string(),
                });
            }
        }
        prediction.tell(told.next().unwrap_or_default());
        prediction
    });
    Predictions {
        model_version: answers.served.name.clone(),
        schema_version: schema.version(),
        predictions: rows.collect(),
    }
}

fn tasks(schema: &Schema, prediction: &Prediction) -> BTreeMap<String, TaskAnswer> {
    let tasks = schema.tasks().iter().zip(&prediction.answers);
    let answer = |(task, answer): (&Task, &Option<Answer>)| {
        let answer = answer.as_ref();
        let ranked = |ranked: poststelle_predict::Ranked<'_>| Ranked {
            label: ranked.label.to_owned(),
            confidence: ranked.confidence,
        };
        let answered = TaskAnswer {
            label: answer.map(|answer| task.label(answer.class).name.clone()),
            confidence: answer.map(|answer| answer.confidence),
            decision: answer.map_or(Decision::Ask, |answer| answer.decision).into(),
            top: answer
                .map(|answer| answer.ranked(task).into_iter().map(ranked).collect())
                .unwrap_or_default(),
        };
        (task.name().to_string(), answered)
    };
    tasks.map(answer).collect()
}
