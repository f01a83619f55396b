//! What a predictor answers.

use crate::Decision;
use poststelle_labels::{ClassIndex, Schema, Task};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// The answers to one mail, one per task in schema order.
///
/// A task has no answer when the label chosen for its parent task has no labels below it.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The answers.
    pub answers: Vec<Option<Answer>>,
    /// Per task the calibrated probability of each label, as its own head gives it.
    pub probabilities: Vec<Vec<f32>>,
    /// Whether the mail is one for the model.
    pub scope: Scope,
    /// The model read the beginning alone, for the mail is longer than it can read.
    pub truncated: bool,
}

/// Whether a mail is one the model was made for. Everything but [`In`](Self::In) is left to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// It is.
    #[default]
    #[serde(rename = "in_scope")]
    In,
    /// Cleaning leaves nothing of it.
    Empty,
    /// Its sender is away.
    OutOfOffice,
    /// A machine answered.
    AutoReply,
    /// It could not be delivered.
    Bounce,
    /// The mail system in front calls it spam.
    Spam,
    /// It is in a language none of the model's training mails were in.
    ForeignLanguage,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 7] = [
        Self::In,
        Self::Empty,
        Self::OutOfOffice,
        Self::AutoReply,
        Self::Bounce,
        Self::Spam,
        Self::ForeignLanguage,
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "in_scope",
            Self::Empty => "empty",
            Self::OutOfOffice => "out_of_office",
            Self::AutoReply => "auto_reply",
            Self::Bounce => "bounce",
            Self::Spam => "spam",
            Self::ForeignLanguage => "foreign_language",
        }
    }
}

/// One task's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The chosen label.
    pub class: ClassIndex,
    /// The calibrated probability the task's own head gives that label, out of all its labels. Where the hierarchy
    /// overruled the head's favourite, this is the lower probability of the label that was chosen.
    pub confidence: f32,
    /// Whether a machine may act on it.
    pub decision: Decision,
    /// The chosen label, then the other most probable ones by falling probability; of a task below another, those alone that stand
    /// below the label chosen there.
    pub top: Vec<(ClassIndex, f32)>,
}

/// A prediction with its names, ready to be written: `{"<task>": {"label", "confidence", "decision", "top"}}`, a task
/// without answer as `null`.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    schema: &'a Schema,
    prediction: &'a Prediction,
}

impl Prediction {
    /// Joins the prediction with the names of its schema.
    pub fn named<'a>(&'a self, schema: &'a Schema) -> Named<'a> {
        Named {
            schema,
            prediction: self,
        }
    }
}

/// A label by its name, and its probability.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Ranked<'a> {
    /// The label.
    pub label: &'a str,
    /// Its calibrated probability.
    pub confidence: f32,
}

impl Answer {
    /// The most probable labels by name; `task` is the one that is answered.
    pub fn ranked<'a>(&self, task: &'a Task) -> Vec<Ranked<'a>> {
        let ranked = |&(class, confidence): &(ClassIndex, f32)| Ranked {
            label: task.label(class).name.as_str(),
            confidence,
        };
        self.top.iter().map(ranked).collect()
    }
}

#[derive(serde::Serialize)]
struct Written<'a> {
    label: &'a str,
    confidence: f32,
    decision: Decision,
    top: Vec<Ranked<'a>>,
}

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.prediction.answers.len()))?;
        for (task, answer) in self.schema.tasks().iter().zip(&self.prediction.answers) {
            let written = answer.as_ref().map(|answer| Written {
                label: task.label(answer.class).name.as_str(),
                confidence: answer.confidence,
                decision: answer.decision,
                top: answer.ranked(task),
            });
            map.serialize_entry(task.name().as_str(), &written)?;
        }
        map.end()
    }
}
