//! A model, a cleaner and a policy, ready to answer.

use crate::decode::Hierarchy;
use crate::{Answer, Classify, Content, Decision, Mail, ModelError, Policy, Prediction};
use poststelle_labels::{ClassIndex, Schema};
use poststelle_mail::{Cleaner, Message};
use poststelle_nn::Probabilities;
use poststelle_nn::bundle::Encoded;
use rayon::prelude::*;
use std::borrow::Borrow;

/// Labels an answer lists besides the chosen one, at most.
const ALTERNATIVES: usize = 2;

/// A mail cleaned and encoded: all that can be done without knowing what it is computed with.
pub(crate) struct Ready {
    text: Encoded,
    /// Cleaning left nothing of the mail.
    empty: bool,
}

impl Ready {
    /// A mail of so many tokens.
    #[cfg(test)]
    pub fn of(tokens: usize) -> Self {
        let encoding = poststelle_nn::encode::Encoding {
            ids: vec![0; tokens],
            truncated: false,
        };
        Self {
            text: Encoded::new(String::new(), Some(encoding)),
            empty: false,
        }
    }

    /// What it costs to compute.
    pub fn tokens(&self) -> usize {
        self.text.tokens()
    }
}

/// Turns mails into predictions.
pub struct Predictor {
    model: Box<dyn Classify>,
    cleaner: Cleaner,
    policy: Policy,
    hierarchy: Hierarchy,
}

impl Predictor {
    /// Joins a model with the cleaner its training mails went through and the policy of its schema.
    ///
    /// # Panics
    /// If the policy was made for another number of tasks than the model's schema has.
    pub fn new(model: impl Classify + 'static, cleaner: Cleaner, policy: Policy) -> Self {
        let hierarchy = Hierarchy::of(model.schema());
        assert_eq!(
            policy.tasks().len(),
            model.schema().tasks().len(),
            "one policy per task of the schema"
        );
        Self {
            model: Box::new(model),
            cleaner,
            policy,
            hierarchy,
        }
    }

    /// The tasks that are answered.
    pub fn schema(&self) -> &Schema {
        self.model.schema()
    }

    /// The cleaner mails go through.
    pub fn cleaner(&self) -> &Cleaner {
        &self.cleaner
    }

    /// The policy that makes decisions of probabilities.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Cleans and labels mails, in order, on all cores.
    ///
    /// A mail of which cleaning leaves nothing is labelled like any other, with the confidence the model gives an empty
    /// text, but every decision is `ask`.
    ///
    /// # Errors
    /// [`ModelError`] when the model cannot score the texts.
    pub fn predict<M: Borrow<Mail> + Sync>(&self, mails: &[M]) -> Result<Vec<Prediction>, ModelError> {
        self.answer(&self.read(mails)?.iter().collect::<Vec<_>>())
    }

    /// Labels texts that are already clean, in order; a blank text is asked.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn predict_texts(&self, texts: &[&str]) -> Result<Vec<Prediction>, ModelError> {
        let clean = |text: &&str| ((*text).to_owned(), text.trim().is_empty());
        self.answer(
            &self
                .encode(texts.iter().map(clean).collect())?
                .iter()
                .collect::<Vec<_>>(),
        )
    }

    /// The first of [`predict`](Self::predict)'s two steps: cleans and encodes mails, in order.
    pub(crate) fn read<M: Borrow<Mail> + Sync>(&self, mails: &[M]) -> Result<Vec<Ready>, ModelError> {
        self.encode(mails.par_iter().map(|mail| self.clean(mail.borrow())).collect())
    }

    /// The second: labels what was read, in order.
    pub(crate) fn answer(&self, mails: &[&Ready]) -> Result<Vec<Prediction>, ModelError> {
        if mails.is_empty() {
            return Ok(Vec::new());
        }
        let texts: Vec<&Encoded> = mails.iter().map(|mail| &mail.text).collect();
        let probabilities: Vec<Probabilities> = self
            .model
            .logits(&texts)?
            .iter()
            .zip(self.policy.tasks())
            .map(|(logits, policy)| logits.softmax(policy.temperature))
            .collect();
        let decide = |(row, mail): (usize, &&Ready)| {
            let rows: Vec<&[f32]> = probabilities.iter().map(|task| task.row(row)).collect();
            self.decide(&rows, mail.empty)
        };
        Ok(mails.par_iter().enumerate().map(decide).collect())
    }

    /// Encodes clean texts, each with whether cleaning left nothing of its mail.
    fn encode(&self, clean: Vec<(String, bool)>) -> Result<Vec<Ready>, ModelError> {
        let (texts, empty): (Vec<String>, Vec<bool>) = clean.into_iter().unzip();
        let texts = self.model.encode(texts)?.into_iter().zip(empty);
        Ok(texts.map(|(text, empty)| Ready { text, empty }).collect())
    }

    /// The text the model reads of a mail, and whether cleaning left nothing of it (a broker is not text).
    fn clean(&self, mail: &Mail) -> (String, bool) {
        let message = match &mail.content {
            Content::Parts { subject, body } => Message::from_body(subject.as_str(), body),
            Content::Raw(raw) => Message::parse(raw),
        };
        let clean = self.cleaner.clean(&message);
        let empty = clean.subject().trim().is_empty() && clean.text().trim().is_empty();
        (clean.model_text(mail.broker.as_deref()), empty)
    }

    fn decide(&self, rows: &[&[f32]], empty: bool) -> Prediction {
        let chosen = self.hierarchy.decode(rows);
        let answers = chosen
            .into_iter()
            .zip(rows)
            .zip(self.policy.tasks())
            .map(|((class, row), policy)| {
                let class = class?;
                let confidence = row[class];
                let decision = if empty {
                    Decision::Ask
                } else {
                    policy.bands.of(confidence)
                };
                let rank = |class: usize| (ClassIndex::from(class), row[class]);
                let mut others: Vec<usize> = (0..row.len()).filter(|&other| other != class).collect();
                others.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
                let top = std::iter::once(class)
                    .chain(others.into_iter().take(ALTERNATIVES))
                    .map(rank)
                    .collect();
                Some(Answer {
                    class: ClassIndex::from(class),
                    confidence,
                    decision,
                    top,
                })
            });
        Prediction {
            answers: answers.collect(),
        }
    }
}
