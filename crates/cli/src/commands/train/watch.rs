//! What a person sees of a run, and the history kept of it.

use crate::output::Output;
use indicatif::{ProgressBar, ProgressStyle};
use poststelle_kernels::Precision;
use poststelle_train::fit::{EvaluationReport, Event, StepReport};
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
    /// When the current stretch of updates began, and the samples and tokens since.
    stretch: (Instant, usize, usize),
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
            stretch: (now, 0, 0),
            bar: None,
            history: String::new(),
        }
    }

    /// Takes one event.
    pub fn hear(&mut self, event: &Observed) {
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
                self.stretch = (Instant::now(), 0, 0);
                self.said = Instant::now();
                if self.out.is_terminal() {
                    let bar = ProgressBar::new(*steps as u64);
                    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}, {eta} left");
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
            Observed::Fit(Event::Step(report)) => self.step(report),
            Observed::Fit(Event::Evaluated(report)) => self.evaluated(report),
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
        self.stretch.1 += report.samples;
        self.stretch.2 += report.tokens;
        let seconds = self.stretch.0.elapsed().as_secs_f64().max(1e-9);
        let (samples, tokens) = (self.stretch.1 as f64 / seconds, self.stretch.2 as f64 / seconds);
        let mut line = json!({ "event": "step", "seconds": self.started.elapsed().as_secs_f64(),
            "samples_per_second": samples, "tokens_per_second": tokens });
        extend(&mut line, report);
        self.record(&line);
        let left = seconds / report.step.max(1) as f64 * report.steps.saturating_sub(report.step) as f64;
        let text = format!(
            "loss {:.3}, {samples:.1} mails/s, {tokens:.0} tokens/s",
            report.loss
        );
        if let Some(bar) = &self.bar {
            bar.set_position(report.step as u64);
            bar.set_message(text);
        } else if self.said.elapsed() >= PAUSE {
            self.said = Instant::now();
            let StepReport {
                step, steps, epoch, ..
            } = report;
            self.out.note(format!(
                "  update {step} of {steps}, epoch {epoch:.2}, {text}, {left:.0} s left"
            ));
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

/// Adds the fields of `report` to a line.
fn extend(line: &mut serde_json::Value, report: &impl serde::Serialize) {
    if let (Some(line), Ok(serde_json::Value::Object(fields))) =
        (line.as_object_mut(), serde_json::to_value(report))
    {
        line.extend(fields);
    }
}
