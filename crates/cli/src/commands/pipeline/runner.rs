//! Runs steps one after another, each once for its inputs.

use crate::clock;
use crate::context::{Context, store_failure};
use crate::failure::Failure;
use crate::output::Output;
use poststelle_lifecycle::Digest;
use poststelle_store::{Step, StepState};
use serde::Serialize;
use std::collections::BTreeMap;

/// What came of a step, by name.
pub type Outputs = BTreeMap<String, String>;

/// One run of a pipeline.
pub struct Runner<'a> {
    pub context: &'a Context,
    pipeline: String,
    /// The run, counted from 1.
    pub run: u32,
    position: u32,
    /// Say what would be done, and do nothing.
    pub dry: bool,
}

/// When what a step did before may be taken for what it would do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// When its inputs are the same.
    SameInputs,
    /// Never: it asks or changes the world outside.
    Never,
}

impl<'a> Runner<'a> {
    /// The next run of the environment's pipeline.
    pub fn next(context: &'a Context, dry: bool) -> Result<Self, Failure> {
        let pipeline = context.environment.model.to_string();
        let last = context
            .block(context.store.last_run(&pipeline))
            .map_err(store_failure)?;
        Ok(Self {
            context,
            pipeline,
            run: last + 1,
            position: 0,
            dry,
        })
    }

    /// Whether a step would be done again.
    pub fn done(&self, name: &str, inputs: &impl Serialize) -> Result<Option<Outputs>, Failure> {
        let inputs = digest(inputs);
        let done = self.context.store.done(&self.pipeline, name, &inputs);
        Ok(self
            .context
            .block(done)
            .map_err(store_failure)?
            .map(|step| step.outputs))
    }

    /// Does a step, or takes what it ended in before with the same inputs. What it ends in is written down at once; a step that
    /// is killed leaves its beginning.
    pub fn step(
        &mut self,
        name: &'static str,
        keep: Keep,
        inputs: &impl Serialize,
        out: &mut Output,
        work: impl FnOnce(&mut Output) -> Result<Outputs, Failure>,
    ) -> Result<Outputs, Failure> {
        let before = match keep {
            Keep::SameInputs => self.done(name, inputs)?,
            Keep::Never => None,
        };
        if self.dry {
            out.note(format!(
                "[{name}] {}",
                if before.is_some() {
                    "done before"
                } else {
                    "would run"
                }
            ));
            return Ok(before.unwrap_or_default());
        }
        let started = clock::timestamp();
        let mut step = Step {
            pipeline: self.pipeline.clone(),
            run: self.run,
            position: self.position,
            name: name.to_owned(),
            inputs: digest(inputs),
            state: StepState::Running,
            outputs: Outputs::new(),
            started,
            ended: None,
            error: None,
        };
        self.position += 1;
        if let Some(outputs) = before {
            out.note(format!("[{name}] done before"));
            step.state = StepState::Cached;
            step.ended = Some(started);
            step.outputs.clone_from(&outputs);
            self.put(&step)?;
            return Ok(outputs);
        }
        self.put(&step)?;
        out.note(format!("[{name}] begins"));
        let result = work(out);
        let ended = clock::timestamp();
        step.ended = Some(ended);
        match &result {
            Ok(outputs) => {
                step.state = StepState::Done;
                step.outputs.clone_from(outputs);
                let seconds = ended.duration_since(started).as_secs_f64();
                let told: Vec<String> = outputs
                    .iter()
                    .map(|(name, value)| format!("{name} {value}"))
                    .collect();
                out.note(format!("[{name}] done after {seconds:.1} s: {}", told.join(", ")));
            }
            Err(failure) => {
                step.state = StepState::Failed;
                step.error = Some(failure.to_string());
                out.note(format!("[{name}] failed"));
            }
        }
        self.put(&step)?;
        result
    }

    fn put(&self, step: &Step) -> Result<(), Failure> {
        self.context
            .block(self.context.store.put_step(step))
            .map_err(store_failure)
    }
}

/// What a step depends on, and on which program; another build may do it otherwise.
fn digest(inputs: &impl Serialize) -> Digest {
    let form = (env!("CARGO_PKG_VERSION"), inputs);
    Digest::of(&serde_json::to_vec(&form).expect("inputs as JSON"))
}
