//! Everything measured about a model on one set of examples, in the shape `evaluate --json` prints.

use crate::rows::RowsError;
use crate::{
    BandShares, Bands, Bin, Confusion, Interval, Judged, LabelScores, Scores, Seed, bootstrap,
    expected_calibration_error, reliability, share_bands,
};
use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

/// Resamples and level of the intervals in an evaluation.
const RESAMPLES: usize = 1000;
const LEVEL: f64 = 0.95;

/// The evaluation of all tasks, in schema order. Serialises as `{"examples": n, "tasks": {name: …}}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Examples read, labelled or not.
    pub examples: u64,
    /// Task names and their evaluations; a task without a labelled example is absent.
    pub tasks: Vec<(String, TaskEvaluation)>,
}

/// The evaluation of one task over the examples labelled for it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskEvaluation {
    /// Accuracy, macro and weighted means and each label's numbers.
    pub scores: Scores,
    /// Label names by class.
    pub names: Vec<String>,
    /// 95 % bootstrap interval of macro-F1.
    pub macro_f1_interval: Option<Interval>,
    /// 95 % bootstrap interval of accuracy.
    pub accuracy_interval: Option<Interval>,
    /// Expected calibration error.
    pub ece: f64,
    /// The bars behind it.
    pub reliability: Vec<Bin>,
    /// Which answers would be decided automatically, suggested or asked.
    pub bands: BandShares,
    /// Gold by predicted.
    pub confusion: Confusion,
}

/// One line of the per-label table on the wire.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct LabelRow<'a> {
    /// The label's name.
    pub label: &'a str,
    /// Right / predicted.
    pub precision: f64,
    /// Right / gold.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// Gold examples.
    pub support: u64,
}

impl TaskEvaluation {
    /// Measures a task.
    ///
    /// # Shapes
    /// - `names`: one per class
    /// - `gold`: one per example, `None` where it is not labelled
    /// - `answers`: per example the predicted class and the probability it was given; `None` where the hierarchy
    ///   left the task unanswered, which counts as wrong with confidence 0
    ///
    /// `None` when no example is labelled.
    ///
    /// # Errors
    /// [`RowsError`] when the slices differ in length or a class is not below `names.len()`.
    pub fn of(
        names: &[String],
        gold: &[Option<usize>],
        answers: &[Option<(usize, f32)>],
        bands: Bands,
        seed: Seed,
    ) -> Result<Option<Self>, RowsError> {
        crate::rows::check_gold(gold, answers.len(), names.len())?;
        let mut confusion = Confusion::new(names.len());
        let mut judged = Vec::new();
        for (row, (gold, answer)) in gold.iter().zip(answers).enumerate() {
            if let Some((found, _)) = answer.filter(|(class, _)| *class >= names.len()) {
                return Err(RowsError::Class {
                    row,
                    found,
                    classes: names.len(),
                });
            }
            match (*gold, *answer) {
                (None, _) => {}
                (Some(gold), None) => {
                    confusion.add_unanswered(gold, 1);
                    judged.push(Judged {
                        confidence: 0.0,
                        right: false,
                    });
                }
                (Some(gold), Some((class, confidence))) => {
                    confusion.add(gold, class, 1);
                    judged.push(Judged {
                        confidence,
                        right: gold == class,
                    });
                }
            }
        }
        let (Some(scores), Some(ece)) = (Scores::of(&confusion), expected_calibration_error(&judged)) else {
            return Ok(None);
        };
        Ok(Some(Self {
            scores,
            names: names.to_vec(),
            macro_f1_interval: bootstrap(&confusion, |scores| scores.macro_f1, RESAMPLES, LEVEL, seed),
            accuracy_interval: bootstrap(&confusion, |scores| scores.accuracy, RESAMPLES, LEVEL, seed),
            ece,
            reliability: reliability(&judged),
            bands: share_bands(&judged, bands),
            confusion,
        }))
    }

    /// The per-label table, by class.
    pub fn label_rows(&self) -> impl Iterator<Item = LabelRow<'_>> {
        self.names.iter().zip(&self.scores.labels).map(|(label, scores)| {
            let &LabelScores {
                precision,
                recall,
                f1,
                support,
                predicted: _,
            } = scores;
            LabelRow {
                label,
                precision,
                recall,
                f1,
                support,
            }
        })
    }
}

impl Serialize for Evaluation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Tasks<'a>(&'a [(String, TaskEvaluation)]);
        impl Serialize for Tasks<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(self.0.len()))?;
                for (name, task) in self.0 {
                    map.serialize_entry(name, task)?;
                }
                map.end()
            }
        }
        let mut fields = serializer.serialize_struct("Evaluation", 2)?;
        fields.serialize_field("examples", &self.examples)?;
        fields.serialize_field("tasks", &Tasks(&self.tasks))?;
        fields.end()
    }
}

impl Serialize for TaskEvaluation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("TaskEvaluation", 15)?;
        fields.serialize_field("examples", &self.scores.examples)?;
        fields.serialize_field("accuracy", &self.scores.accuracy)?;
        fields.serialize_field("macro_precision", &self.scores.macro_precision)?;
        fields.serialize_field("macro_recall", &self.scores.macro_recall)?;
        fields.serialize_field("macro_f1", &self.scores.macro_f1)?;
        fields.serialize_field("weighted_precision", &self.scores.weighted_precision)?;
        fields.serialize_field("weighted_recall", &self.scores.weighted_recall)?;
        fields.serialize_field("weighted_f1", &self.scores.weighted_f1)?;
        fields.serialize_field("accuracy_interval", &self.accuracy_interval)?;
        fields.serialize_field("macro_f1_interval", &self.macro_f1_interval)?;
        fields.serialize_field("ece", &self.ece)?;
        fields.serialize_field("bands", &self.bands)?;
        fields.serialize_field("reliability", &self.reliability)?;
        fields.serialize_field("labels", &self.label_rows().collect::<Vec<_>>())?;
        fields.serialize_field("confusion", &self.confusion)?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["tax".into(), "trade".into()]
    }

    #[test]
    fn a_task_without_labelled_examples_is_not_measured() {
        let none = TaskEvaluation::of(&names(), &[None], &[Some((0, 0.5))], Bands::default(), Seed(1));
        assert_eq!(none.unwrap(), None);
        assert!(TaskEvaluation::of(&names(), &[None], &[], Bands::default(), Seed(1)).is_err());
        assert!(TaskEvaluation::of(&names(), &[None], &[Some((2, 0.5))], Bands::default(), Seed(1)).is_err());
    }

    #[test]
    fn an_unanswered_example_is_wrong() {
        let answers = [Some((0, 0.9)), None];
        let task = TaskEvaluation::of(&names(), &[Some(0), Some(0)], &answers, Bands::default(), Seed(1));
        let task = task.unwrap().unwrap();
        assert_eq!((task.scores.accuracy, task.scores.labels[0].support), (0.5, 2));
        assert_eq!(task.confusion.worst(5), vec![]);
    }

    #[test]
    fn prints_the_published_shape() {
        let gold = [Some(0), Some(1), None];
        let bands = Bands {
            auto: Some(0.9),
            suggest: None,
        };
        let task = TaskEvaluation::of(
            &names(),
            &gold,
            &[Some((0, 0.95)), Some((0, 0.5)), None],
            bands,
            Seed(1),
        );
        let evaluation = Evaluation {
            examples: 3,
            tasks: vec![("queue".into(), task.unwrap().unwrap())],
        };
        let json = serde_json::to_value(&evaluation).unwrap();
        assert_eq!(json["examples"], 3);
        let queue = &json["tasks"]["queue"];
        assert_eq!((&queue["accuracy"], &queue["examples"]), (&0.5.into(), &2.into()));
        assert_eq!(queue["confusion"], serde_json::json!([[1, 0], [1, 0]]));
        assert_eq!(queue["labels"][1]["label"], "trade");
        assert_eq!(queue["bands"]["auto"]["count"], 1);
        assert!(queue["macro_f1_interval"]["low"].is_number());
    }
}
