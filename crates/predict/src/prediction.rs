//! What a predictor answers.

use crate::Decision;
use poststelle_labels::{ClassIndex, Schema};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// The answers to one mail, one per task in schema order.
///
/// A task has no answer when the label chosen for its parent task has no labels below it.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The answers.
    pub answers: Vec<Option<Answer>>,
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
    /// The chosen label, then the other most probable ones by falling probability.
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

#[derive(serde::Serialize)]
struct Ranked<'a> {
    label: &'a str,
    confidence: f32,
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
            let name = |class: ClassIndex| task.label(class).name.as_str();
            let written = answer.as_ref().map(
                |Answer {
                     class,
                     confidence,
                     decision,
                     top,
                 }| Written {
                    label: name(*class),
                    confidence: *confidence,
                    decision: *decision,
                    top: top
                        .iter()
                        .map(|&(class, confidence)| Ranked {
                            label: name(class),
                            confidence,
                        })
                        .collect(),
                },
            );
            map.serialize_entry(task.name().as_str(), &written)?;
        }
        map.end()
    }
}
