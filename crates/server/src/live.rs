//! What answers now, and what is tried beside it.
//!
//! A request takes what it needs ([`Live::choose`]) and keeps it until it is answered, so a switch drops none: new requests meet
//! the new model, those under way end with the old one, and the old one ends with the last of them.

use crate::metrics::Metrics;
use axum::http::HeaderValue;
use poststelle_lifecycle::Health;
use poststelle_predict::{Limits, Mail, Pending, Prediction, Predictor, Queue, QueueError, Waiting};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Shadow answers under way, at most; more requests than that are not shadowed.
const SHADOWS: u32 = 64;

/// A model that answers, with its queue.
pub(crate) struct Served {
    /// What it is called: a version, or none for a bundle that was named on the command line.
    pub name: Option<String>,
    pub predictor: Arc<Predictor>,
    queue: Queue,
}

impl Served {
    fn start(
        name: Option<String>,
        predictor: Arc<Predictor>,
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let queue = Queue::start(Arc::clone(&predictor), limits, metrics);
        Arc::new(Self {
            name,
            predictor,
            queue,
        })
    }

    /// Its name as a header's value.
    pub fn variant(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(self.name.as_deref()?).ok()
    }

    /// Labels mails. Dropping the future gives them up.
    ///
    /// # Errors
    /// [`QueueError`]; `Late` also where the deadline passes while it waits.
    pub async fn ask(&self, mails: Vec<Mail>, deadline: Instant) -> Result<Vec<Prediction>, QueueError> {
        let (reply, answer) = oneshot::channel();
        // Held while waiting: a client that hangs up drops this future, and with it the job.
        let _pending: Pending = self.queue.submit(mails, deadline, move |result| {
            // A client that has gone needs no answer.
            let _ = reply.send(result);
        })?;
        match tokio::time::timeout_at(deadline.into(), answer).await {
            Err(_) => Err(QueueError::Late),
            // The queue answers every job it took; it went away.
            Ok(Err(_)) => Err(QueueError::Closed),
            Ok(Ok(result)) => result,
        }
    }
}

/// How a model is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It answers so many percent of the requests.
    Canary(u8),
    /// It answers, too, and nobody hears it.
    Shadow,
}

/// A model that is tried.
pub(crate) struct Trial {
    pub served: Arc<Served>,
    pub how: How,
    seen: Mutex<Seen>,
    shadows: AtomicU32,
}

#[derive(Default)]
struct Seen {
    health: Health,
    /// Requests behind `health.serving_latency_ms`.
    serving: u64,
}

impl Trial {
    /// What was seen of it so far.
    pub fn health(&self) -> Health {
        self.lock().health
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It was asked, and answered after `took`, or failed.
    fn answered(&self, took: Option<Duration>) {
        let Seen { health, .. } = &mut *self.lock();
        health.requests += 1;
        match took {
            None => health.errors += 1,
            Some(took) => {
                let count = (health.requests - health.errors) as f64;
                health.latency_ms += (1e3 * took.as_secs_f64() - health.latency_ms) / count;
            }
        }
    }

    /// What serves answered after `took`.
    fn serving_answered(&self, took: Duration) {
        let Seen { health, serving } = &mut *self.lock();
        *serving += 1;
        health.serving_latency_ms += (1e3 * took.as_secs_f64() - health.serving_latency_ms) / *serving as f64;
    }

    fn compared(&self, mails: usize, different: usize) {
        let Seen { health, .. } = &mut *self.lock();
        health.compared += mails as u64;
        health.different += different as u64;
    }
}

#[derive(Default)]
struct State {
    serving: Option<Arc<Served>>,
    trial: Option<Arc<Trial>>,
}

/// What answers now.
pub struct Live {
    limits: Limits,
    metrics: Arc<Metrics>,
    state: RwLock<State>,
    requests: AtomicU64,
}

/// Mails with their answers, and who gave them.
pub(crate) struct Answered {
    pub served: Arc<Served>,
    pub predictions: Vec<Prediction>,
}

impl Live {
    /// Nothing answers yet.
    pub(crate) fn new(limits: Limits, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            metrics,
            state: RwLock::default(),
            requests: AtomicU64::new(0),
        })
    }

    /// What answers.
    pub(crate) fn current(&self) -> Option<Arc<Served>> {
        self.read().serving.clone()
    }

    /// What waits for it.
    pub(crate) fn waiting(&self) -> Waiting {
        self.current()
            .map(|served| served.queue.waiting())
            .unwrap_or_default()
    }

    /// The version that answers.
    pub fn serving(&self) -> Option<String> {
        self.read().serving.as_ref()?.name.clone()
    }

    /// Whether anything answers.
    pub fn ready(&self) -> bool {
        self.read().serving.is_some()
    }

    /// Lets a model answer from now on; what was tried is not tried any more.
    pub fn serve(&self, name: Option<String>, predictor: Arc<Predictor>) {
        let served = Served::start(name, predictor, self.limits, Arc::clone(&self.metrics));
        self.set(Some(served));
    }

    /// Lets nothing answer from now on.
    pub fn nothing(&self) {
        self.set(None);
    }

    fn set(&self, serving: Option<Arc<Served>>) {
        let old = std::mem::replace(&mut *self.write(), State { serving, trial: None });
        // The last one out waits for the queue's threads; they must not be waited for where connections are served.
        std::thread::spawn(move || drop(old));
    }

    /// Tries a model beside what answers.
    pub(crate) fn try_out(&self, name: String, predictor: Arc<Predictor>, how: How) {
        let served = Served::start(Some(name), predictor, self.limits, Arc::clone(&self.metrics));
        self.write().trial = Some(Arc::new(Trial {
            served,
            how,
            seen: Mutex::default(),
            shadows: AtomicU32::new(0),
        }));
    }

    /// What is tried.
    pub(crate) fn trial(&self) -> Option<Arc<Trial>> {
        self.read().trial.clone()
    }

    /// Ends the trial.
    pub(crate) fn end_trial(&self) {
        let old = self.write().trial.take();
        if old.is_some() {
            std::thread::spawn(move || drop(old));
        }
    }

    /// Lets what is tried answer from now on.
    pub(crate) fn promote(&self) {
        let tried = self.read().trial.as_ref().map(|trial| Arc::clone(&trial.served));
        if tried.is_some() {
            self.set(tried);
        }
    }

    /// Labels mails by whatever answers now. Where a tried model fails, what serves answers in its place.
    ///
    /// None where nothing serves.
    ///
    /// # Errors
    /// [`QueueError`] of the serving model.
    pub(crate) async fn ask(
        &self,
        mails: Vec<Mail>,
        deadline: Instant,
    ) -> Option<Result<Answered, QueueError>> {
        let (served, trial) = {
            let state = self.read();
            (state.serving.clone()?, state.trial.clone())
        };
        let Some(trial) = trial else {
            return Some(answer(served, mails, deadline).await);
        };
        let shadowed = match trial.how {
            How::Canary(percent) => {
                let turn = self.requests.fetch_add(1, Ordering::Relaxed);
                let before = |turn: u64| turn * u64::from(percent) / 100;
                if before(turn + 1) > before(turn) {
                    let begun = Instant::now();
                    match answer(Arc::clone(&trial.served), mails.clone(), deadline).await {
                        Ok(answered) => {
                            trial.answered(Some(begun.elapsed()));
                            return Some(Ok(answered));
                        }
                        Err(error) => {
                            trial.answered(None);
                            let version = trial.served.name.as_deref();
                            tracing::warn!(version, %error, "the tried model failed; what serves answers instead");
                        }
                    }
                }
                None
            }
            How::Shadow => Some(mails.clone()),
        };
        let begun = Instant::now();
        let result = answer(served, mails, deadline).await;
        if let Ok(answered) = &result {
            trial.serving_answered(begun.elapsed());
            if let Some(mails) = shadowed {
                shadow(trial, mails, deadline, labels(answered));
            }
        }
        Some(result)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(served: Arc<Served>, mails: Vec<Mail>, deadline: Instant) -> Result<Answered, QueueError> {
    let predictions = served.ask(mails, deadline).await?;
    Ok(Answered { served, predictions })
}

/// The chosen labels of each mail, by task.
type Labels = Vec<Vec<(String, Option<String>)>>;

fn labels(answered: &Answered) -> Labels {
    let schema = answered.served.predictor.schema();
    let of_mail = |prediction: &Prediction| {
        let tasks = schema.tasks().iter().zip(&prediction.answers);
        let mut labels: Vec<_> = tasks
            .map(|(task, answer)| {
                let label = answer
                    .as_ref()
                    .map(|answer| task.labels()[answer.class.position()].name.clone());
                (task.name().to_string(), label)
            })
            .collect();
        labels.sort();
        labels
    };
    answered.predictions.iter().map(of_mail).collect()
}

/// Asks a shadow the same, off the request's way, and compares.
fn shadow(trial: Arc<Trial>, mails: Vec<Mail>, deadline: Instant, expected: Labels) {
    if trial.shadows.fetch_add(1, Ordering::Relaxed) >= SHADOWS {
        trial.shadows.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    tokio::spawn(async move {
        let begun = Instant::now();
        match answer(Arc::clone(&trial.served), mails, deadline).await {
            Ok(answered) => {
                trial.answered(Some(begun.elapsed()));
                let found = labels(&answered);
                let different = found
                    .iter()
                    .zip(&expected)
                    .filter(|(found, expected)| found != expected)
                    .count();
                trial.compared(expected.len(), different);
            }
            Err(_) => trial.answered(None),
        }
        trial.shadows.fetch_sub(1, Ordering::Relaxed);
    });
}
