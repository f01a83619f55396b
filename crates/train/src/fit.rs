//! The training loop of an encoder, as an iterator of events.
//!
//! The caller takes [`Event`]s one by one, times them, logs them, writes a checkpoint when it likes and stops when it
//! likes. Everything that happens follows from the recipe, the data and the weights: orders and dropout are named by
//! the seed, the epoch and the update, so a run repeats bit for bit and goes on from a checkpoint as if nothing had
//! been.

use crate::chance::Chance;
use crate::checkpoint::{restore, snapshot};
use crate::distil::Soft;
use crate::frozen::{Cache, FrozenError, Outputs, Told};
use crate::optim::{Optimizer, learn_words};
use crate::parts::{self, Largest, micro_batches};
use crate::recipe::{PrecisionChoice, Train};
use crate::report::{EvaluationReport, Event, StepReport, task_report};
use crate::schedule;
use crate::stop::EarlyStop;
use crate::weighting::class_weights;
use poststelle_kernels::{Precision, UnsupportedPrecision};
use poststelle_labels::ClassIndex;
use poststelle_nn::Logits;
use poststelle_nn::encode::{Batch, Encoding};
use poststelle_nn::encoder::{Linear, Mode, Noise};
use poststelle_nn::loss::{Objective, cross_entropy};
use poststelle_nn::network::{Gradients, Network, Workspace};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
    /// The outputs of the frozen layers cannot be kept or read.
    #[error(transparent)]
    Outputs(#[from] FrozenError),
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

/// What a run holds in memory, planned before its first update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Most tokens computed at once; the activations are planned for them.
    pub tokens: usize,
    /// Bytes of activations, their gradients and what is worked in.
    pub activations: usize,
    /// Bytes of the weights that are not mapped, of their gradients and moments, and of the best weights so far.
    pub parameters: usize,
}

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
    largest: Largest,
    /// The outputs of the frozen layers for every text of both sets; without them they are computed each time.
    frozen: Option<Arc<Outputs>>,
    /// Those of the current part, `[tokens, hidden]`.
    lower: Vec<f32>,
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
            largest: Largest::default(),
            frozen: None,
            lower: Vec::new(),
            workspace: Workspace::default(),
        };
        fit.plan();
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
        self.plan();
        self.start_epoch();
        self
    }

    /// Runs the frozen layers over every text, or finds what an earlier run kept; `None` if no layer is frozen.
    ///
    /// Another run over the same texts with the same base model may [use](Self::use_frozen) the outputs too.
    ///
    /// # Errors
    /// [`FrozenError`] when the file cannot be written.
    pub fn frozen_outputs(
        &mut self,
        cache: Cache<'_>,
        tell: &mut dyn FnMut(Told),
    ) -> Result<Option<Arc<Outputs>>, FrozenError> {
        let layers = self.train.freeze_layers;
        if layers == 0 {
            return Ok(None);
        }
        let validation = self.validation.map_or(&[][..], |validation| validation.encodings);
        let outputs = Outputs::make(
            &self.network,
            self.precision,
            layers,
            &[self.learning.encodings, validation],
            cache,
            self.largest.evaluated,
            &mut self.workspace,
            tell,
        )?;
        Ok(Some(Arc::new(outputs)))
    }

    /// From now on the frozen layers are not run; their outputs are read.
    pub fn use_frozen(&mut self, outputs: Arc<Outputs>) {
        self.lower
            .reserve_exact(self.largest.tokens * self.network.encoder.config.hidden);
        self.frozen = Some(outputs);
    }

    /// What the run holds in memory; it does not grow.
    pub fn memory(&mut self) -> Memory {
        let dense: usize = self.network.parameters().iter().map(|p| p.values.len()).sum();
        let moments: usize = self.optimizer.moments.iter().flatten().map(Vec::len).sum();
        let words = self.optimizer.words[0].len();
        // The table, its two moments and its best rows.
        let kept = usize::from(self.validation.is_some());
        let elements = (2 + kept) * dense + moments + (3 + kept) * words;
        Memory {
            tokens: self.largest.tokens,
            activations: self.workspace.bytes()
                + self.grads.words.bytes()
                + self.lower.capacity() * size_of::<f32>(),
            parameters: elements * size_of::<f32>(),
        }
    }

    /// Gives every buffer the size of the run's largest part.
    fn plan(&mut self) {
        let lengths = |texts: &[Encoding]| texts.iter().map(|text| text.ids.len()).collect::<Vec<_>>();
        let validation = self
            .validation
            .map_or_else(Vec::new, |set| lengths(set.encodings));
        self.largest = Largest::of(
            self.train,
            &lengths(self.learning.encodings),
            &self.labelled,
            &validation,
        );
        let Largest {
            tokens,
            texts,
            update,
            ..
        } = self.largest;
        let mode = self.mode(Noise::NONE);
        self.workspace.plan(&self.network, mode, tokens, texts);
        if mode.learn_words {
            let config = &self.network.encoder.config;
            self.grads
                .words
                .plan(update.min(config.vocabulary), config.hidden);
        }
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
        self.order = parts::order(self.train.seed, self.progress.epoch, &self.labelled);
    }

    /// What makes two runs the same: a checkpoint fits only the run it was made in.
    pub(crate) fn fingerprint(&self) -> String {
        let tokens: usize = self
            .learning
            .encodings
            .iter()
            .map(|encoding| encoding.ids.len())
            .sum();
        // Computing activations again changes no result, so a run may go on either way.
        let train = Train {
            recompute: false,
            ..self.train.clone()
        };
        let run = format!(
            "{train:?} {:?} {} examples {tokens} tokens",
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
            recompute: self.train.recompute,
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

    /// One forward pass over some examples of the learning (0) or validation (1) set.
    fn forward(
        &mut self,
        set: usize,
        examples: &[usize],
        mode: Mode,
    ) -> Result<(Batch, Vec<Logits>), FitError> {
        let data = if set == 0 {
            self.learning
        } else {
            self.validation.unwrap_or(self.learning)
        };
        let batch = Batch::pack(examples.iter().map(|example| &data.encodings[*example].ids[..]));
        let lower = match &self.frozen {
            Some(frozen) => {
                frozen.read(set, examples, &mut self.lower)?;
                Some(&self.lower[..])
            }
            None => None,
        };
        let logits = self.network.forward(mode, &batch, lower, &mut self.workspace);
        Ok((batch, logits))
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
            let (batch, all) = self.forward(0, examples, mode)?;
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
    fn evaluate(&mut self) -> Result<Option<EvaluationReport>, FitError> {
        let Some(validation) = self.validation else {
            return Ok(None);
        };
        let mode = self.mode(Noise::NONE);
        let count = validation.encodings.len();
        let lengths: Vec<usize> = validation
            .encodings
            .iter()
            .map(|encoding| encoding.ids.len())
            .collect();
        let mut all: Vec<Vec<f32>> = vec![Vec::new(); self.goals.len()];
        let mut first = 0;
        for size in micro_batches(&lengths, usize::MAX, self.largest.evaluated) {
            let examples: Vec<usize> = (first..first + size).collect();
            first += size;
            for (values, logits) in all.iter_mut().zip(self.forward(1, &examples, mode)?.1) {
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
        Ok(Some(EvaluationReport {
            epoch: self.progress.epoch,
            loss,
            tasks,
            macro_f1,
            best,
            stopped,
        }))
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
            let report = match self.evaluate() {
                Ok(report) => report,
                Err(error) => {
                    self.progress.finished = true;
                    return Some(Err(error));
                }
            };
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
