//! What a person sees of a run, and the history kept of it.

use super::pace::Pace;
use crate::output::Output;
use indicatif::{ProgressBar, ProgressStyle};
use poststelle_kernels::Precision;
use poststelle_train::frozen::Told;
use poststelle_train::report::{EvaluationReport, Event, StepReport};
use poststelle_train::run::Observed;
use serde_json::json;
use std::time::{Duration, Instant};

/// Between two lines where no bar can be drawn.
const PAUSE: Duration = Duration::from_secs(5);

/// Times a run's events, tells them, and keeps them as JSON Lines.
pub struct Watch<'a> {
    out: &'a mut Output,
    tasks: Vec<String>,
    learning: Vec<String>,
    started: Instant,
    said: Instant,
    /// When the last event was heard.
    heard: Instant,
    pace: Pace,
    bar: Option<ProgressBar>,
    history: String,
}

impl<'a> Watch<'a> {
    /// Starts the clock.
    pub fn new(out: &'a mut Output, tasks: Vec<String>) -> Self {
        let now = Instant::now();
        Self {
            out,
            learning: tasks.clone(),
            tasks,
            started: now,
            said: now,
            heard: now,
            pace: Pace::default(),
            bar: None,
            history: String::new(),
        }
    }

    /// Takes one event.
    pub fn hear(&mut self, event: &Observed) {
        let took = self.heard.elapsed();
        self.heard = Instant::now();
        match event {
            Observed::Linear { texts } => {
                self.say(format!(
                    "learning words from {texts} mails for {}",
                    self.tasks.join(", ")
                ));
            }
            Observed::Teaching { done, of, unlabelled } => self.teaching(*done, *of, *unlabelled),
            Observed::Student { layers, of } => {
                let layers: Vec<String> = layers.iter().map(usize::to_string).collect();
                self.say(format!(
                    "the student begins with layers {} of {of}, counted from 0",
                    layers.join(", ")
                ));
            }
            Observed::Encoder {
                tasks,
                steps,
                precision,
                epochs,
                validation_tokens,
                memory,
            } => {
                self.learning.clone_from(tasks);
                let precision = match precision {
                    Precision::F32 => "f32",
                    Precision::Bf16 => "bf16",
                };
                self.say(format!(
                    "fine-tuning the encoder in {precision}: {steps} updates for {}",
                    tasks.join(", ")
                ));
                self.say(format!(
                    "memory: activations {} for {} tokens at once, weights with gradients and moments {}",
                    megabytes(memory.activations),
                    memory.tokens,
                    megabytes(memory.parameters)
                ));
                self.pace = Pace::new(*epochs, *validation_tokens);
                self.said = Instant::now();
                if self.out.is_terminal() {
                    let bar = ProgressBar::new(*steps as u64);
                    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
                    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                    self.bar = Some(bar);
                }
            }
            Observed::Truncated {
                texts,
                of,
                max_tokens,
            } => {
                self.say(format!(
                    "{texts} of {of} mails are longer than {max_tokens} tokens and lose their end"
                ));
            }
            Observed::Resumed(path) => self.say(format!("going on from {}", path.display())),
            Observed::Frozen(told) => self.frozen(told),
            Observed::Fit(Event::Step(report)) => {
                let StepReport {
                    step,
                    steps,
                    epoch,
                    samples,
                    tokens,
                    ..
                } = *report;
                self.pace.learned(took, (step, steps), epoch, (samples, tokens));
                self.step(report);
            }
            Observed::Fit(Event::Evaluated(report)) => {
                self.pace.evaluated(took);
                self.evaluated(report);
            }
            Observed::Saved => self.pace.saved(took),
        }
    }

    fn frozen(&mut self, told: &Told) {
        match told {
            Told::Unfit { path, reason } => self.say(format!(
                "{} cannot be used and is made anew: {reason}",
                path.display()
            )),
            Told::Running { done, tokens, layers } => {
                if *done == 0 {
                    self.say(format!(
                        "running the {layers} frozen layers once over {tokens} tokens"
                    ));
                    self.said = Instant::now();
                } else if self.said.elapsed() >= PAUSE {
                    self.said = Instant::now();
                    self.out.note(format!("  {} %", 100 * done / tokens.max(&1)));
                }
            }
            Told::Ready { bytes, kept, reused } => {
                let size = megabytes(*bytes as usize);
                self.say(match (kept, reused) {
                    (None, _) => {
                        format!("the frozen layers' outputs take {size} on disk while this run lives")
                    }
                    (Some(path), false) => {
                        format!(
                            "the frozen layers' outputs are kept in {}, {size}",
                            path.display()
                        )
                    }
                    (Some(path), true) => format!(
                        "the frozen layers' outputs are those an earlier run kept in {}, {size}",
                        path.display()
                    ),
                });
            }
        }
    }

    /// The history, and the seconds it took.
    pub fn end(self) -> (String, f64) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        (self.history, self.started.elapsed().as_secs_f64())
    }

    fn teaching(&mut self, done: usize, of: usize, unlabelled: usize) {
        if done == of || self.said.elapsed() >= PAUSE {
            self.said = Instant::now();
            let some = match unlabelled {
                0 => String::new(),
                some => format!(", {some} of them unlabelled"),
            };
            self.say(format!("the teacher answered {done} of {of} mails{some}"));
        }
    }

    fn step(&mut self, report: &StepReport) {
        let (samples, tokens) = self.pace.rates();
        let mut line = json!({ "event": "step", "seconds": self.started.elapsed().as_secs_f64(),
            "samples_per_second": samples, "tokens_per_second": tokens });
        extend(&mut line, report);
        self.record(&line);
        let text = format!(
            "loss {:.3}, {samples:.1} mails/s, {tokens:.0} tokens/s, {:.0} s left",
            report.loss,
            self.pace.left()
        );
        if let Some(bar) = &self.bar {
            bar.set_position(report.step as u64);
            bar.set_message(text);
        } else if self.said.elapsed() >= PAUSE {
            self.said = Instant::now();
            let StepReport {
                step, steps, epoch, ..
            } = report;
            self.out
                .note(format!("  update {step} of {steps}, epoch {epoch:.2}, {text}"));
        }
    }

    fn evaluated(&mut self, report: &EvaluationReport) {
        let mut line = json!({ "event": "evaluation", "seconds": self.started.elapsed().as_secs_f64(),
            "names": self.learning });
        extend(&mut line, report);
        self.record(&line);
        let scores: Vec<String> = self
            .learning
            .iter()
            .zip(&report.tasks)
            .filter_map(|(name, task)| Some(format!("{name} {:.3}", task.as_ref()?.macro_f1)))
            .collect();
        let mark = if report.best { ", best so far" } else { "" };
        let end = if report.stopped {
            "; no better for a while, stopped"
        } else {
            ""
        };
        let loss = report.loss;
        let scores = scores.join(", ");
        self.say(format!(
            "  epoch {}: validation loss {loss:.3}, macro-F1 {scores}{mark}{end}",
            report.epoch
        ));
    }

    fn record(&mut self, line: &serde_json::Value) {
        self.history.push_str(&line.to_string());
        self.history.push('\n');
    }

    fn say(&mut self, text: String) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.out.note(text)),
            None => self.out.note(text),
        }
    }
}

/// Bytes as a person reads them, in units of 10⁶.
fn megabytes(bytes: usize) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

/// Adds the fields of `report` to a line.
fn extend(line: &mut serde_json::Value, report: &impl serde::Serialize) {
    if let (Some(line), Ok(serde_json::Value::Object(fields))) =
        (line.as_object_mut(), serde_json::to_value(report))
    {
        line.extend(fields);
    }
}
