//! From probabilities to a decision: what each task's confidence must reach.

use poststelle_labels::{Schema, TaskName};
use poststelle_measure::Bands;

/// How one task's scores become decisions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TaskPolicy {
    /// What logits are divided by before the softmax.
    pub temperature: f32,
    /// Where the bands begin, in calibrated confidence.
    pub bands: Bands,
}

impl Default for TaskPolicy {
    /// Uncalibrated, and therefore always asking.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            bands: Bands::default(),
        }
    }
}

/// The policy of every task, in schema order.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    tasks: Vec<TaskPolicy>,
}

/// Why a policy cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// A temperature that divides nothing.
    #[error("task `{task}` has temperature {found}, expected a positive number")]
    Temperature {
        /// The task.
        task: TaskName,
        /// The temperature.
        found: f32,
    },
    /// A threshold no probability can be compared with.
    #[error("task `{task}` has the threshold {found} for `{band}`, expected a number in 0 ..= 1")]
    Threshold {
        /// The task.
        task: TaskName,
        /// Which band begins there.
        band: &'static str,
        /// The threshold.
        found: f32,
    },
}

impl Policy {
    /// Asks `of` for each task's policy; a task without one is uncalibrated and always asks.
    ///
    /// # Errors
    /// [`PolicyError`] for a temperature or threshold out of range, naming the task.
    pub fn new(schema: &Schema, of: impl Fn(&TaskName) -> Option<TaskPolicy>) -> Result<Self, PolicyError> {
        let tasks = schema.tasks().iter().map(|task| {
            let policy = of(task.name()).unwrap_or_default();
            let TaskPolicy { temperature, bands } = policy;
            if !(temperature.is_finite() && temperature > 0.0) {
                return Err(PolicyError::Temperature {
                    task: task.name().clone(),
                    found: temperature,
                });
            }
            for (band, threshold) in [("auto", bands.auto), ("suggest", bands.suggest)] {
                if let Some(found) = threshold.filter(|t| !(0.0..=1.0).contains(t)) {
                    return Err(PolicyError::Threshold {
                        task: task.name().clone(),
                        band,
                        found,
                    });
                }
            }
            Ok(policy)
        });
        Ok(Self {
            tasks: tasks.collect::<Result<_, _>>()?,
        })
    }

    /// The policies, in schema order.
    pub fn tasks(&self) -> &[TaskPolicy] {
        &self.tasks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poststelle_labels::{Label, Task};

    fn schema() -> Schema {
        let task = Task::new(TaskName::new("queue"), None, vec![Label::named("tax")]).unwrap();
        Schema::new(1, vec![task]).unwrap()
    }

    #[test]
    fn without_calibration_everything_is_asked() {
        let policy = Policy::new(&schema(), |_| None).unwrap();
        assert_eq!(policy.tasks(), [TaskPolicy::default()]);
        assert_eq!(policy.tasks()[0].bands.of(1.0), crate::Decision::Ask);
    }

    #[test]
    fn refuses_numbers_out_of_range() {
        for temperature in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let of = |_: &TaskName| {
                Some(TaskPolicy {
                    temperature,
                    ..TaskPolicy::default()
                })
            };
            assert!(matches!(
                Policy::new(&schema(), of),
                Err(PolicyError::Temperature { .. })
            ));
        }
        for threshold in [-0.1, 1.5, f32::NAN] {
            let bands = Bands {
                auto: None,
                suggest: Some(threshold),
            };
            let of = |_: &TaskName| {
                Some(TaskPolicy {
                    temperature: 1.0,
                    bands,
                })
            };
            let error = Policy::new(&schema(), of).unwrap_err().to_string();
            assert!(error.contains("`suggest`"), "{error}");
        }
    }
}
