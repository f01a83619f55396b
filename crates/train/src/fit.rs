//! The training loop of an encoder, as an iterator of events.
//!
//! The caller takes [`Event`]s one by one, times them, logs them, writes a checkpoint when it likes and stops when it
//! likes. Everything that happens follows from the recipe, the data and the weights: orders and dropout are named by
//! the seed, the epoch and the update, so a run repeats bit for bit and goes on from a checkpoint as if nothing had
//! been.

use crate::chance::Chance;
use crate::distil::Soft;
use crate::optim::{Optimizer, learn_words};
use crate::recipe::{PrecisionChoice, Train, Weighting};
use crate::schedule;
use crate::stop::EarlyStop;
use poststelle_kernels::{Precision, UnsupportedPrecision};
use poststelle_labels::ClassIndex;
use poststelle_measure::{Confusion, Scores};
use poststelle_nn::Logits;
use poststelle_nn::encode::{Batch, Encoding};
use poststelle_nn::encoder::{Linear, Mode, Noise};
use poststelle_nn::loss::{Objective, cross_entropy};
use poststelle_nn::network::{Gradients, Network, Workspace};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Encoded texts and their labels.
#[derive(Clone, Copy)]
pub struct Examples<'a> {
    /// One per example.
    pub encodings: &'a [Encoding],
    /// Per task, per example.
    pub gold: &'a [Vec<Option<ClassIndex>>],
}

/// One task as the loop sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    /// Number of labels.
    pub classes: usize,
    /// Factor of its loss.
    pub weight: f32,
}

/// What just happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// One update was made.
    Step(StepReport),
    /// The validation examples were classified.
    Evaluated(EvaluationReport),
}

/// One update.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepReport {
    /// Updates made, this one included.
    pub step: usize,
    /// Updates of the whole run if it is not stopped early.
    pub steps: usize,
    /// Passes over the data, with the share of the current one.
    pub epoch: f64,
    /// Weighted sum over tasks of their mean cross-entropy, in nats; with a teacher, its share is the distance to it.
    pub loss: f64,
    /// Learning rate of the topmost layer.
    pub learning_rate: f32,
    /// Global norm of the gradients before clipping.
    pub grad_norm: f64,
    /// Examples in this update.
    pub samples: usize,
    /// Tokens in this update.
    pub tokens: usize,
}

/// One evaluation on validation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvaluationReport {
    /// Passes made over the training data.
    pub epoch: usize,
    /// As [`StepReport::loss`], over the validation examples, without smoothing's noise.
    pub loss: f64,
    /// Per task: accuracy, macro precision, recall and F1; `None` without labelled examples.
    pub tasks: Vec<Option<TaskReport>>,
    /// Mean macro-F1 of the tasks.
    pub macro_f1: f64,
    /// Whether it is the best so far.
    pub best: bool,
    /// Whether the run ends here for want of a better one.
    pub stopped: bool,
}

/// One task's part of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskReport {
    /// Right / labelled.
    pub accuracy: f64,
    /// Mean over labels.
    pub macro_precision: f64,
    /// Mean over labels.
    pub macro_recall: f64,
    /// Mean over labels.
    pub macro_f1: f64,
}

/// Why training cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// No example carries a label of the tasks to learn.
    #[error("none of the {examples} training examples is labelled for the tasks to learn")]
    NoLabels {
        /// Examples given.
        examples: usize,
    },
    /// More layers frozen than there are.
    #[error("train.freeze_layers is {found}, the base model has {layers} layers")]
    Frozen {
        /// The recipe's value.
        found: usize,
        /// Layers of the base model.
        layers: usize,
    },
    /// The precision asked for is not to be had.
    #[error(transparent)]
    Precision(#[from] UnsupportedPrecision),
    /// The loss is no number any more.
    #[error("the loss became {loss} at update {step}; a lower learning rate or f32 may help")]
    Diverged {
        /// The update.
        step: usize,
        /// Its loss.
        loss: f64,
    },
}

/// Where a run stands; with weights and moments, all that a checkpoint needs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub epoch: usize,
    /// Examples of the current epoch that were used.
    pub used: usize,
    pub step: usize,
    pub stop: EarlyStop,
    pub finished: bool,
}

/// Most memory that outputs of frozen layers are kept in.
const LOWER_BYTES: usize = 4 << 30;

/// A run in progress.
pub struct Fit<'a> {
    pub(crate) network: Network,
    train: &'a Train,
    goals: Vec<Goal>,
    objectives: Vec<Objective>,
    learning: Examples<'a>,
    validation: Option<Examples<'a>>,
    /// What a teacher says about the training examples.
    soft: Option<Soft>,
    /// With a teacher: per task, what a training example's label weighs in the mean. Where few examples carry a label, a
    /// step with one or two of them would otherwise go as far for these as a step full of labels.
    label_weights: Vec<f64>,
    /// Training examples with at least one label; with a teacher, all.
    labelled: Vec<usize>,
    order: Vec<usize>,
    pub(crate) optimizer: Optimizer,
    pub(crate) progress: Progress,
    /// Every dense tensor (and the word table, if it learns) at the best evaluation.
    pub(crate) best: Option<Vec<Vec<f32>>>,
    precision: Precision,
    lower: [Option<Vec<Vec<f32>>>; 2],
    workspace: Workspace,
    grads: Gradients,
}

impl<'a> Fit<'a> {
    /// Gets ready to train `network`; without heads it gets new ones, one per goal.
    ///
    /// # Errors
    /// [`FitError`] when nothing can be learned or the recipe asks for what is not there.
    pub fn new(
        mut network: Network,
        train: &'a Train,
        goals: Vec<Goal>,
        learning: Examples<'a>,
        validation: Option<Examples<'a>>,
    ) -> Result<Self, FitError> {
        let layers = network.encoder.config.layers;
        if train.freeze_layers > layers {
            return Err(FitError::Frozen {
                found: train.freeze_layers,
                layers,
            });
        }
        let labelled: Vec<usize> = (0..learning.encodings.len())
            .filter(|example| learning.gold.iter().any(|task| task[*example].is_some()))
            .collect();
        if labelled.is_empty() {
            return Err(FitError::NoLabels {
                examples: learning.encodings.len(),
            });
        }
        let precision = match train.precision {
            PrecisionChoice::Auto => Precision::fastest(),
            PrecisionChoice::F32 => Precision::F32,
            PrecisionChoice::Bf16 => Precision::Bf16.supported()?,
        };
        let hidden = network.encoder.config.hidden;
        if network.heads.is_empty() {
            network.heads = new_heads(&goals, hidden, train.seed);
        }
        if learn_words(train) {
            network
                .encoder
                .words
                .own(network.encoder.config.vocabulary * hidden);
        }
        let objectives = goals
            .iter()
            .zip(learning.gold)
            .map(|(goal, gold)| Objective {
                class_weights: class_weights(train.class_weights, goal.classes, gold),
                smoothing: train.label_smoothing,
            })
            .collect();
        let mut fit = Self {
            optimizer: Optimizer::new(&mut network, train),
            grads: Gradients::zeros(&network),
            network,
            train,
            goals,
            objectives,
            learning,
            validation,
            soft: None,
            label_weights: Vec::new(),
            labelled,
            order: Vec::new(),
            progress: Progress::default(),
            best: None,
            precision,
            lower: [None, None],
            workspace: Workspace::default(),
        };
        fit.lower = [
            fit.lower_outputs(learning.encodings),
            validation.and_then(|v| fit.lower_outputs(v.encodings)),
        ];
        fit.start_epoch();
        Ok(fit)
    }

    /// Lets a teacher's answers count beside the labels; examples without a label then take part, too.
    ///
    /// # Panics
    /// If `soft` does not hold one row per training example for each goal.
    pub fn taught_by(mut self, soft: Soft) -> Self {
        let examples = self.learning.encodings.len();
        soft.check(examples, self.goals.iter().map(|goal| goal.classes));
        self.labelled = (0..examples).collect();
        let tasks = self.objectives.iter().zip(self.learning.gold);
        self.label_weights = tasks
            .map(|(objective, gold)| objective.weight_of(gold) / examples as f64)
            .collect();
        self.soft = Some(soft);
        self.start_epoch();
        self
    }

    /// Updates of the whole run if it is not stopped early.
    pub fn steps(&self) -> usize {
        self.labelled.len().div_ceil(self.samples_per_step()) * self.train.epochs
    }

    /// Examples that are learned from: those with a label, and with a teacher all.
    pub fn examples(&self) -> usize {
        self.labelled.len()
    }

    /// The arithmetic in use.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Ends the run: the network with its best weights, or its last without validation.
    pub fn finish(mut self) -> Network {
        if let Some(best) = self.best.take() {
            restore(&mut self.network, best);
        }
        self.network
    }

    pub(crate) fn start_epoch(&mut self) {
        let order = Chance::new(self.train.seed, 1 + self.progress.epoch as u64).order(self.labelled.len());
        self.order = order.into_iter().map(|i| self.labelled[i]).collect();
    }

    /// What makes two runs the same: a checkpoint fits only the run it was made in.
    pub(crate) fn fingerprint(&self) -> String {
        let tokens: usize = self
            .learning
            .encodings
            .iter()
            .map(|encoding| encoding.ids.len())
            .sum();
        let run = format!(
            "{:?} {:?} {} examples {tokens} tokens",
            self.train,
            self.goals,
            self.labelled.len()
        );
        match &self.soft {
            None => run,
            Some(soft) => format!("{run}, {}", soft.fingerprint()),
        }
    }

    fn samples_per_step(&self) -> usize {
        self.train.batch * self.train.accumulation
    }

    fn mode(&self, noise: Noise) -> Mode {
        let learn_words = learn_words(self.train);
        Mode {
            precision: self.precision,
            noise,
            frozen: self.train.freeze_layers,
            learn_words,
        }
    }

    fn noise(&self) -> Noise {
        let config = &self.network.encoder.config;
        let rate = |base| self.train.dropout.unwrap_or(base);
        let key = Chance::new(self.train.seed, (1 << 32) + self.progress.step as u64).next();
        Noise::new(
            key,
            rate(config.hidden_dropout),
            rate(config.attention_dropout),
            self.train.head_dropout,
        )
    }

    /// Outputs of the frozen layers for every text, or none if nothing is frozen or they are too many to keep.
    fn lower_outputs(&self, encodings: &[Encoding]) -> Option<Vec<Vec<f32>>> {
        let (frozen, hidden) = (self.train.freeze_layers, self.network.encoder.config.hidden);
        let tokens: usize = encodings.iter().map(|encoding| encoding.ids.len()).sum();
        if frozen == 0 || tokens * hidden * 4 > LOWER_BYTES {
            return None;
        }
        let mut outputs = Vec::with_capacity(encodings.len());
        for batch in poststelle_nn::model::batches(encodings) {
            let all = self.network.encoder.hidden(self.precision, &batch, frozen);
            outputs.extend((0..batch.texts()).map(|text| {
                let Range { start, end } = batch.range(text);
                all[start * hidden..end * hidden].to_vec()
            }));
        }
        Some(outputs)
    }

    /// One forward pass over some examples of the learning (0) or validation (1) set.
    fn forward(&mut self, set: usize, examples: &[usize], mode: Mode) -> (Batch, Vec<Logits>) {
        let data = if set == 0 {
            self.learning
        } else {
            self.validation.unwrap_or(self.learning)
        };
        let batch = Batch::pack(examples.iter().map(|example| &data.encodings[*example].ids[..]));
        let lower = self.lower[set].as_ref().map(|all| {
            examples
                .iter()
                .flat_map(|example| all[*example].iter().copied())
                .collect::<Vec<f32>>()
        });
        let logits = self
            .network
            .forward(mode, &batch, lower.as_deref(), &mut self.workspace);
        (batch, logits)
    }

    fn step(&mut self) -> Result<StepReport, FitError> {
        let end = (self.progress.used + self.samples_per_step()).min(self.order.len());
        let chosen: Vec<usize> = self.order[self.progress.used..end].to_vec();
        let gold_of = |task: usize, examples: &[usize]| -> Vec<Option<ClassIndex>> {
            examples
                .iter()
                .map(|example| self.learning.gold[task][*example])
                .collect()
        };
        let totals: Vec<f64> = (0..self.goals.len())
            .map(|task| match self.label_weights.get(task) {
                None => self.objectives[task].weight_of(&gold_of(task, &chosen)),
                Some(mean) => mean * chosen.len() as f64,
            })
            .collect();
        let soft_share = self.soft.as_ref().map_or(0.0, Soft::share);
        let lengths: Vec<usize> = chosen
            .iter()
            .map(|e| self.learning.encodings[*e].ids.len())
            .collect();
        let noise = self.noise();
        let (mut loss, mut first) = (0.0, 0);
        for (part, count) in
            micro_batches(&lengths, self.train.batch, self.train.micro_batch_tokens).enumerate()
        {
            let examples = &chosen[first..first + count];
            first += count;
            let mode = self.mode(noise.part(part));
            let (batch, all) = self.forward(0, examples, mode);
            let mut logit_grads = Vec::with_capacity(all.len());
            for (task, logits) in all.iter().enumerate() {
                let gold: Vec<_> = examples.iter().map(|e| self.learning.gold[task][*e]).collect();
                let weight = self.goals[task].weight;
                let total = totals[task].max(f64::MIN_POSITIVE);
                let hard = weight * (1.0 - soft_share);
                let (part, mut grad) = cross_entropy(logits, &gold, &self.objectives[task], total, hard);
                loss += part * f64::from(hard);
                if let Some(soft) = &self.soft {
                    loss += soft.add(task, examples, logits, chosen.len(), weight, &mut grad);
                }
                logit_grads.push(grad);
            }
            self.network
                .backward(mode, &batch, &logit_grads, &mut self.workspace, &mut self.grads);
        }
        let steps = self.steps();
        if !loss.is_finite() {
            return Err(FitError::Diverged {
                step: self.progress.step + 1,
                loss,
            });
        }
        let factor = schedule::factor(self.train, self.progress.step, steps);
        let grad_norm = self
            .optimizer
            .step(self.train, factor, &mut self.network, &mut self.grads);
        self.progress.step += 1;
        self.progress.used = end;
        Ok(StepReport {
            step: self.progress.step,
            steps,
            epoch: self.progress.epoch as f64 + end as f64 / self.order.len() as f64,
            loss,
            learning_rate: factor * self.train.learning_rate,
            grad_norm,
            samples: chosen.len(),
            tokens: lengths.iter().sum(),
        })
    }

    /// Classifies the validation examples; without any, only the epoch ends.
    fn evaluate(&mut self) -> Option<EvaluationReport> {
        let validation = self.validation?;
        let mode = self.mode(Noise::NONE);
        let count = validation.encodings.len();
        let lengths: Vec<usize> = validation
            .encodings
            .iter()
            .map(|encoding| encoding.ids.len())
            .collect();
        let mut all: Vec<Vec<f32>> = vec![Vec::new(); self.goals.len()];
        let mut first = 0;
        for size in micro_batches(&lengths, usize::MAX, self.train.micro_batch_tokens) {
            let examples: Vec<usize> = (first..first + size).collect();
            first += size;
            for (values, logits) in all.iter_mut().zip(self.forward(1, &examples, mode).1) {
                values.extend_from_slice(logits.values());
            }
        }
        let mut loss = 0.0;
        let mut tasks = Vec::new();
        for ((values, goal), gold) in all.into_iter().zip(&self.goals).zip(validation.gold) {
            let logits = Logits::new(count, goal.classes, values);
            let objective = Objective {
                class_weights: vec![1.0; goal.classes],
                smoothing: 0.0,
            };
            let total = objective.weight_of(gold).max(f64::MIN_POSITIVE);
            loss += cross_entropy(&logits, gold, &objective, total, 1.0).0 * f64::from(goal.weight);
            tasks.push(task_report(&logits, gold));
        }
        let scores: Vec<f64> = tasks.iter().flatten().map(|task| task.macro_f1).collect();
        let macro_f1 = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
        let best = self.progress.stop.record(macro_f1);
        if best {
            self.best = Some(snapshot(&mut self.network, learn_words(self.train)));
        }
        let stopped = self.progress.stop.is_over(self.train.patience);
        Some(EvaluationReport {
            epoch: self.progress.epoch,
            loss,
            tasks,
            macro_f1,
            best,
            stopped,
        })
    }
}

impl Iterator for Fit<'_> {
    type Item = Result<Event, FitError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.progress.finished {
            if self.progress.used < self.order.len() {
                let report = self.step();
                self.progress.finished = report.is_err();
                return Some(report.map(Event::Step));
            }
            self.progress.epoch += 1;
            self.progress.used = 0;
            let report = self.evaluate();
            let stopped = report.as_ref().is_some_and(|report| report.stopped);
            self.progress.finished = stopped || self.progress.epoch == self.train.epochs;
            self.start_epoch();
            if let Some(report) = report {
                return Some(Ok(Event::Evaluated(report)));
            }
        }
        None
    }
}

/// Splits consecutive texts into parts of at most `most` texts and about `tokens` tokens; yields their sizes.
fn micro_batches(lengths: &[usize], most: usize, tokens: usize) -> impl Iterator<Item = usize> + '_ {
    let mut rest = lengths;
    std::iter::from_fn(move || {
        let mut sum = 0;
        let fits = |length: &&usize| {
            sum += **length;
            sum <= tokens
        };
        let count = rest
            .iter()
            .take(most)
            .take_while(fits)
            .count()
            .max(1)
            .min(rest.len());
        rest = &rest[count..];
        (count > 0).then_some(count)
    })
}

/// Scores argmax answers; ties go to the lower class.
fn task_report(logits: &Logits, gold: &[Option<ClassIndex>]) -> Option<TaskReport> {
    let predicted: Vec<usize> = (0..logits.rows()).map(|row| argmax(logits.row(row))).collect();
    let gold: Vec<Option<usize>> = gold.iter().map(|class| class.map(ClassIndex::position)).collect();
    let confusion =
        Confusion::count(logits.classes(), &gold, &predicted).expect("classes come from the same schema");
    let scores = Scores::of(&confusion)?;
    Some(TaskReport {
        accuracy: scores.accuracy,
        macro_precision: scores.macro_precision,
        macro_recall: scores.macro_recall,
        macro_f1: scores.macro_f1,
    })
}

/// Position of the largest value, the first of equals.
fn argmax(row: &[f32]) -> usize {
    let better = |best: usize, i: usize| if row[i] > row[best] { i } else { best };
    (0..row.len()).fold(0, better)
}

/// Each class's factor in the loss, mean 1 over the labelled examples; 0 for a class without any.
fn class_weights(weighting: Weighting, classes: usize, gold: &[Option<ClassIndex>]) -> Vec<f32> {
    let mut counts = vec![0usize; classes];
    for class in gold.iter().flatten() {
        counts[class.position()] += 1;
    }
    let raw: Vec<f64> = counts
        .iter()
        .map(|count| match (weighting, *count) {
            (Weighting::None, _) => 1.0,
            (_, 0) => 0.0,
            (Weighting::Balanced, n) => 1.0 / n as f64,
            (Weighting::SqrtBalanced, n) => 1.0 / (n as f64).sqrt(),
        })
        .collect();
    let labelled: usize = counts.iter().sum();
    let mass: f64 = raw
        .iter()
        .zip(&counts)
        .map(|(weight, count)| weight * *count as f64)
        .sum();
    let scale = if mass > 0.0 { labelled as f64 / mass } else { 1.0 };
    raw.into_iter().map(|weight| (weight * scale) as f32).collect()
}

/// Heads with small random weights, as BERT's initialisation has them, and zero bias.
fn new_heads(goals: &[Goal], hidden: usize, seed: u64) -> Vec<Linear> {
    let mut chance = Chance::new(seed, 0);
    let head = |goal: &Goal| {
        let mut head = Linear::zeros(goal.classes, hidden);
        head.weight
            .iter_mut()
            .for_each(|weight| *weight = 0.02 * chance.normal());
        head
    };
    goals.iter().map(head).collect()
}

/// A copy of every tensor that may have learned.
pub(crate) fn snapshot(network: &mut Network, words: bool) -> Vec<Vec<f32>> {
    let mut all: Vec<Vec<f32>> = network
        .parameters()
        .into_iter()
        .map(|p| p.values.to_vec())
        .collect();
    if words {
        let elements = network.encoder.config.vocabulary * network.encoder.config.hidden;
        all.push(network.encoder.words.own(elements).clone());
    }
    all
}

/// Puts a [`snapshot`] back.
pub(crate) fn restore(network: &mut Network, snapshot: Vec<Vec<f32>>) {
    let dense = network.parameters().len();
    for (parameter, values) in network.parameters().into_iter().zip(&snapshot) {
        parameter.values.copy_from_slice(values);
    }
    if let Some(words) = snapshot.into_iter().nth(dense) {
        network.encoder.words = poststelle_nn::encoder::WordTable::Owned(words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_every_text_once_within_their_budget() {
        let sizes: Vec<usize> = micro_batches(&[5, 5, 20, 3, 3, 3], 2, 10).collect();
        assert_eq!(sizes, [2, 1, 2, 1]);
        assert_eq!(micro_batches(&[], 2, 10).count(), 0);
    }

    #[test]
    fn class_weights_have_mean_one_over_the_examples() {
        let gold: Vec<_> = [0, 0, 0, 1, 3]
            .iter()
            .map(|c| Some(ClassIndex(*c)))
            .chain([None])
            .collect();
        assert_eq!(class_weights(Weighting::None, 4, &gold), [1.0; 4]);
        for weighting in [Weighting::Balanced, Weighting::SqrtBalanced] {
            let weights = class_weights(weighting, 4, &gold);
            assert!((weights[0] * 3.0 + weights[1] + weights[3] - 5.0).abs() < 1e-5);
            assert!(weights[1] > weights[0] && weights[2] == 0.0);
        }
    }
}
