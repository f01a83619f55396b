//! A model, a cleaner and a policy, ready to answer.

use crate::decode::Hierarchy;
use crate::{Answer, Classify, Content, Decision, Mail, ModelError, Policy, Prediction, Scope};
use poststelle_labels::{ClassIndex, Schema};
use poststelle_mail::{CleanText, Cleaner, Message, Nature};
use poststelle_nn::Probabilities;
use poststelle_nn::bundle::Encoded;
use rayon::prelude::*;
use std::borrow::Borrow;

/// Labels an answer lists besides the chosen one, at most.
const ALTERNATIVES: usize = 2;

/// Letters a mail must have before its language keeps it from being decided: of a few words it is told wrongly too often.
const LETTERS: usize = 60;

/// A mail cleaned and encoded: all that can be done without knowing what it is computed with.
pub(crate) struct Ready {
    text: Encoded,
    scope: Scope,
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
            scope: Scope::In,
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
    /// Languages of its training mails; any where it is empty.
    languages: Vec<String>,
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
            languages: Vec::new(),
        }
    }

    /// The same for mails in these languages (ISO 639-1); others are out of scope. Without any, every language is in.
    pub fn of_languages(self, languages: Vec<String>) -> Self {
        Self { languages, ..self }
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
    /// A mail that is out of scope is labelled like any other, with the confidence the model gives its text, but every decision is
    /// `ask`.
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
        let ready = texts
            .par_iter()
            .map(|&text| self.ready(text.to_owned(), || scope_of_text(text)));
        let ready: Vec<Ready> = ready.collect::<Result<_, _>>()?;
        self.answer(&ready.iter().collect::<Vec<_>>())
    }

    /// The first of [`predict`](Self::predict)'s two steps: cleans and encodes mails, in order.
    pub(crate) fn read<M: Borrow<Mail> + Sync>(&self, mails: &[M]) -> Result<Vec<Ready>, ModelError> {
        mails
            .par_iter()
            .map(|mail| self.read_one(mail.borrow()))
            .collect()
    }

    fn read_one(&self, mail: &Mail) -> Result<Ready, ModelError> {
        match (&mail.content, self.clean_text(mail)) {
            (_, Some(clean)) => self.ready(clean.model_text(mail.broker.as_deref()), || self.scope(&clean)),
            (Content::Clean(text), None) => self.ready(text.clone(), || scope_of_text(text)),
            (_, None) => unreachable!("every other content is cleaned"),
        }
    }

    /// Encodes a clean text; its scope is told meanwhile, where another thread has nothing to do.
    fn ready(&self, text: String, scope: impl FnOnce() -> Scope + Send) -> Result<Ready, ModelError> {
        let (scope, text) = rayon::join(scope, || self.model.encode(text));
        Ok(Ready { text: text?, scope })
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
            self.decide(&rows, mail)
        };
        Ok(mails.par_iter().enumerate().map(decide).collect())
    }

    /// Cleans a mail as its training mails were; none where it is clean already.
    pub fn clean_text(&self, mail: &Mail) -> Option<CleanText> {
        let message = match &mail.content {
            Content::Parts { subject, body } => Message::from_body(subject.as_str(), body),
            Content::Raw(raw) => Message::parse(raw),
            Content::Clean(_) => return None,
        };
        Some(self.cleaner.clean(&message))
    }

    /// Whether a mail is one for the model (a broker is no text).
    fn scope(&self, clean: &CleanText) -> Scope {
        match clean.nature() {
            Nature::OutOfOffice => return Scope::OutOfOffice,
            Nature::AutoReply => return Scope::AutoReply,
            Nature::Bounce => return Scope::Bounce,
            Nature::Spam => return Scope::Spam,
            Nature::Letter => {}
        }
        if clean.subject().trim().is_empty() && clean.text().trim().is_empty() {
            return Scope::Empty;
        }
        // Asked last: telling a language takes longer than cleaning.
        let foreign = |language| !self.languages.iter().any(|known| known == language);
        let letters = || {
            clean
                .text()
                .chars()
                .filter(|c| c.is_alphabetic())
                .take(LETTERS)
                .count()
        };
        if !self.languages.is_empty() && letters() == LETTERS && clean.language().is_some_and(foreign) {
            return Scope::ForeignLanguage;
        }
        Scope::In
    }

    fn decide(&self, rows: &[&[f32]], mail: &Ready) -> Prediction {
        let chosen = self.hierarchy.decode(rows);
        let answers = chosen.iter().enumerate().zip(rows).zip(self.policy.tasks()).map(
            |(((task, &class), row), policy)| {
                let class = class?;
                let confidence = row[class];
                let decision = if mail.scope == Scope::In {
                    policy.bands.of(confidence)
                } else {
                    Decision::Ask
                };
                let rank = |class: usize| (ClassIndex::from(class), row[class]);
                let mut others: Vec<usize> = (0..row.len())
                    .filter(|&other| other != class && self.hierarchy.allows(&chosen, task, other))
                    .collect();
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
            },
        );
        Prediction {
            answers: answers.collect(),
            probabilities: rows.iter().map(|row| row.to_vec()).collect(),
            scope: mail.scope,
            truncated: mail.text.truncated(),
        }
    }
}

/// The scope of a text without its mail.
fn scope_of_text(text: &str) -> Scope {
    if text.trim().is_empty() {
        Scope::Empty
    } else {
        Scope::In
    }
}
