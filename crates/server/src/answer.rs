//! From records to answers: what every protocol does between reading a body and writing one.

use crate::app::{App, Deadline};
use crate::live::{Answered, Live, Served};
use crate::read::Record;
use crate::{Problem, evidence};
use poststelle_mail::CleanText;
use poststelle_predict::{Content, Mail, Prediction, QueueError};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use tokio::task::spawn_blocking;
use tracing::Instrument;

/// What an answer tells besides the labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Include {
    /// The other probable labels.
    pub top: bool,
    /// What the model read of the mail.
    pub text: bool,
    /// What cleaning cut, and by which rule.
    pub cuts: bool,
    /// How much each part of the text speaks for each label.
    pub evidence: bool,
}

impl Include {
    /// Adds a part by its name; false where there is no such.
    pub fn add(&mut self, name: &str) -> bool {
        match name {
            "top" => self.top = true,
            "text" => self.text = true,
            "cuts" => self.cuts = true,
            "evidence" => self.evidence = true,
            _ => return false,
        }
        true
    }

    /// Whether the mail itself is needed once more.
    fn of_mail(self) -> bool {
        self.text || self.cuts || self.evidence
    }
}

/// The answers to a request, one per record in order.
pub(crate) struct Answers {
    pub served: Arc<Served>,
    pub ids: Vec<Value>,
    pub rows: Vec<Result<Prediction, Problem>>,
    /// One per record, or none at all.
    pub told: Vec<Told>,
}

/// What was asked to be told of a mail.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub text: Option<String>,
    pub cuts: Option<Vec<Cut>>,
    pub evidence: Option<Vec<evidence::Evidence>>,
}

/// A piece that cleaning cut.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct Cut {
    /// `quoted`, `forwarded`, `signature` or `disclaimer`.
    pub kind: &'static str,
    /// The rule that cut it.
    pub rule: String,
    /// The piece.
    pub text: String,
}

/// Mails of one request whose evidence may be asked for: each costs as much as all its parts.
pub(crate) const EVIDENCE_MAILS: usize = 10;

/// Labels records. What is wrong with one of them is its own row; an error is about all of them.
///
/// # Errors
/// [`Problem::NoModel`], [`Problem::Busy`], [`Problem::Late`], [`Problem::TooMany`], [`Problem::Internal`].
pub(crate) async fn answer(
    app: &App,
    live: &Live,
    records: Vec<Record>,
    include: Include,
    deadline: Deadline,
) -> Result<Answers, Problem> {
    let mut ids = Vec::with_capacity(records.len());
    let mut rows = Vec::with_capacity(records.len());
    let mut mails = Vec::with_capacity(records.len());
    for Record { id, mail } in records {
        ids.push(id);
        match mail {
            Ok(mail) => {
                mails.push(mail);
                rows.push(None);
            }
            Err(problem) => rows.push(Some(problem)),
        }
    }
    if include.evidence && mails.len() > EVIDENCE_MAILS {
        return Err(Problem::TooMany {
            found: mails.len(),
            most: EVIDENCE_MAILS,
        });
    }
    let kept = if include.of_mail() {
        mails.clone()
    } else {
        Vec::new()
    };
    let count = mails.len();
    let asked = live
        .ask(mails, deadline.at)
        .instrument(tracing::info_span!("label", mails = count as i64));
    let answered = asked.await.ok_or(Problem::NoModel)?;
    let Answered { served, predictions } =
        answered.map_err(|error| problem(app, live, deadline, &error, count))?;
    app.metrics.answered(&served, &predictions);
    let mut told = Vec::new();
    if include.of_mail() {
        let found = tell(app, live, &served, kept, &predictions, include, deadline)
            .instrument(tracing::info_span!("explain", mails = count as i64))
            .await?;
        let mut found = found.into_iter();
        told = rows
            .iter()
            .map(|problem| {
                if problem.is_none() {
                    found.next().unwrap_or_default()
                } else {
                    Told::default()
                }
            })
            .collect();
    }
    let mut predictions = predictions.into_iter();
    let rows = rows.into_iter().map(|problem| match problem {
        Some(problem) => Err(problem),
        // The queue answers every mail.
        None => predictions.next().ok_or(Problem::Internal),
    });
    Ok(Answers {
        served,
        ids,
        rows: rows.collect(),
        told,
    })
}

/// Tells what was asked for of each mail.
async fn tell(
    app: &App,
    live: &Live,
    served: &Arc<Served>,
    mails: Vec<Mail>,
    predictions: &[Prediction],
    include: Include,
    deadline: Deadline,
) -> Result<Vec<Told>, Problem> {
    let predictor = Arc::clone(&served.predictor);
    let cleaned = spawn_blocking(move || {
        let clean = |mail: Mail| {
            let cleaned = predictor.clean_text(&mail);
            let text = match (&mail.content, &cleaned) {
                (_, Some(clean)) => clean.model_text(mail.broker.as_deref()),
                (Content::Clean(text), None) => text.clone(),
                (_, None) => String::new(),
            };
            (text, cleaned.as_ref().map(cuts).unwrap_or_default())
        };
        mails.into_iter().map(clean).collect::<Vec<_>>()
    })
    .await
    .map_err(|_| Problem::Internal)?;
    let mut told = Vec::with_capacity(cleaned.len());
    for ((text, cuts), prediction) in cleaned.into_iter().zip(predictions) {
        let evidence = if include.evidence {
            let found = evidence::weigh(served, &text, prediction, deadline.at).await;
            Some(found.map_err(|error| problem(app, live, deadline, &error, 1))?)
        } else {
            None
        };
        told.push(Told {
            text: include.text.then_some(text),
            cuts: include.cuts.then_some(cuts),
            evidence,
        });
    }
    Ok(told)
}

fn cuts(clean: &CleanText) -> Vec<Cut> {
    let cut = |cut: &poststelle_mail::Cut| Cut {
        kind: cut.kind.name(),
        rule: cut.rule.name().to_owned(),
        text: clean.body()[cut.start..cut.end].to_owned(),
    };
    clean.cuts().iter().map(cut).collect()
}

/// What a client is told of a failed queue.
fn problem(app: &App, live: &Live, deadline: Deadline, error: &QueueError, mails: usize) -> Problem {
    match error {
        QueueError::Late => Problem::Late {
            seconds: deadline.within.as_secs(),
        },
        QueueError::Overloaded { .. } | QueueError::Full { .. } | QueueError::Closed => {
            app.metrics.shed();
            Problem::Busy {
                retry_s: live.waiting().wait.as_secs().clamp(1, 60),
            }
        }
        QueueError::Failed { .. } => {
            tracing::error!(%error, mails, "the model failed");
            Problem::Internal
        }
    }
}

/// Bytes of a body that are read or written sooner than another thread is awake.
const SMALL: usize = 64 << 10;

/// Reads a body of `size` bytes or writes the answer to it; if that takes long, off the threads that serve connections.
pub(crate) async fn parse_or_write<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    if size <= SMALL {
        return Ok(work());
    }
    spawn_blocking(work).await.map_err(|_| Problem::Internal)
}
