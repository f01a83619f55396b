//! Groups what many callers ask at once, so that a model is fed batches and no caller waits for a stranger.
//!
//! Callers submit mails and get a callback. Workers sleep until there is work, then take mails up to a byte budget: from
//! the longest-waiting job first, from the next ones while there is room. What a big job has left goes to the back
//! of the line, so one request of 10,000 mails does not hold up single mails. Each mail's answer is written
//! to its own slot of its own job; answers cannot be crossed whatever batches they were computed in.
//!
//! The queue is bounded in bytes and refuses what does not fit. A job whose deadline has passed, or whose caller
//! has gone, is dropped when it is next looked at. A panic in the model fails the jobs of that batch, nothing else.

use crate::{Mail, Prediction, Predictor};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// Bounds of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Mail bytes computed in one batch, at most; a single larger mail is a batch of its own. Default 512 KiB.
    pub batch_bytes: usize,
    /// Mails in one batch, at most. Default 1,024.
    pub batch_mails: usize,
    /// Mail bytes waiting, at most; a job is let in whole or refused. Default 256 MiB.
    pub waiting_bytes: usize,
    /// Batches computed at the same time. The model itself uses all cores; a second worker cleans mails and
    /// answers short requests meanwhile. Default 2.
    pub workers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_bytes: 512 << 10,
            batch_mails: 1024,
            waiting_bytes: 256 << 20,
            workers: 2,
        }
    }
}

/// Why a job was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// Too much is waiting already.
    #[error("{waiting} bytes of mail are waiting, {found} more do not fit in {most}")]
    Full {
        /// Bytes waiting.
        waiting: usize,
        /// Bytes of this job.
        found: usize,
        /// The bound.
        most: usize,
    },
    /// The deadline passed before all mails were labelled.
    #[error("the deadline passed before all mails were labelled")]
    Late,
    /// The model failed on this batch.
    #[error("the model failed on a batch: {reason}")]
    Failed {
        /// What it said; of a panic only that it was one, because its message may quote mail.
        reason: String,
    },
    /// The queue takes no more jobs.
    #[error("the queue is closed")]
    Closed,
}

type Reply = Box<dyn FnOnce(Result<Vec<Prediction>, QueueError>) + Send>;

/// A queue and its workers. Dropping it lets waiting jobs finish first.
pub struct Queue {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// A submitted job. Dropping it gives the job up: what is not computed yet never will be.
#[must_use = "dropping it gives the job up"]
pub struct Pending(Arc<Job>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.abandoned.store(true, Ordering::Relaxed);
    }
}

struct Shared {
    predictor: Arc<Predictor>,
    limits: Limits,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    line: VecDeque<Waiting>,
    waiting_bytes: usize,
    closed: bool,
}

/// A job in the line and how far it was taken.
struct Waiting {
    job: Arc<Job>,
    taken: usize,
}

struct Job {
    mails: Vec<Mail>,
    deadline: Instant,
    abandoned: AtomicBool,
    outcome: Mutex<Outcome>,
}

struct Outcome {
    slots: Vec<Option<Prediction>>,
    left: usize,
    /// Taken by whoever answers the job, so that it is answered once.
    reply: Option<Reply>,
}

/// A batch's share of one job: the mails `start .. end`.
struct Part {
    job: Arc<Job>,
    start: usize,
    end: usize,
}

impl Queue {
    /// Starts the workers.
    pub fn start(predictor: Arc<Predictor>, limits: Limits) -> Self {
        let shared = Arc::new(Shared {
            predictor,
            limits,
            state: Mutex::default(),
            work: Condvar::new(),
        });
        let workers = (0..limits.workers.max(1))
            .map(|_| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.run())
            })
            .collect();
        Self { shared, workers }
    }

    /// Puts a job in the line. `reply` is called once, from a worker's thread, with one prediction per mail in order;
    /// it should return quickly. It is not called when this returns an error or the job is given up.
    ///
    /// # Errors
    /// [`QueueError::Full`] when the mails do not fit.
    pub fn submit(
        &self,
        mails: Vec<Mail>,
        deadline: Instant,
        reply: impl FnOnce(Result<Vec<Prediction>, QueueError>) + Send + 'static,
    ) -> Result<Pending, QueueError> {
        let (count, bytes) = (mails.len(), mails.iter().map(weight).sum::<usize>());
        let outcome = Outcome {
            slots: vec![None; count],
            left: count,
            reply: Some(Box::new(reply)),
        };
        let job = Arc::new(Job {
            mails,
            deadline,
            abandoned: AtomicBool::new(false),
            outcome: Mutex::new(outcome),
        });
        if count == 0 {
            job.answer(Ok(()));
            return Ok(Pending(job));
        }
        let mut state = lock(&self.shared.state);
        let most = self.shared.limits.waiting_bytes;
        if state.waiting_bytes + bytes > most {
            return Err(QueueError::Full {
                waiting: state.waiting_bytes,
                found: bytes,
                most,
            });
        }
        state.waiting_bytes += bytes;
        state.line.push_back(Waiting {
            job: Arc::clone(&job),
            taken: 0,
        });
        drop(state);
        self.shared.work.notify_one();
        Ok(Pending(job))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        lock(&self.shared.state).closed = true;
        self.shared.work.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the model's panics; there is nothing to tell of one that ended.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        while let Some(batch) = self.next_batch() {
            let mails: Vec<&Mail> = batch
                .iter()
                .flat_map(|part| &part.job.mails[part.start..part.end])
                .collect();
            let reason = match catch_unwind(AssertUnwindSafe(|| self.predictor.predict(&mails))) {
                Ok(Ok(predictions)) if predictions.len() == mails.len() => {
                    let mut predictions = predictions.into_iter();
                    for part in &batch {
                        part.fill(predictions.by_ref().take(part.end - part.start));
                    }
                    continue;
                }
                Ok(Ok(predictions)) => format!("{} answers to {} mails", predictions.len(), mails.len()),
                Ok(Err(error)) => error.0.to_string(),
                Err(_) => "it panicked".into(),
            };
            for part in &batch {
                part.job.answer(Err(QueueError::Failed {
                    reason: reason.clone(),
                }));
            }
        }
    }

    /// Sleeps until there is work; `None` when the queue is closed and empty.
    fn next_batch(&self) -> Option<Vec<Part>> {
        let mut state = lock(&self.state);
        loop {
            let batch = self.take(&mut state);
            if !batch.is_empty() {
                if !state.line.is_empty() {
                    self.work.notify_one();
                }
                return Some(batch);
            }
            if state.closed {
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes the next batch out of the line, dropping jobs nobody waits for any more.
    fn take(&self, state: &mut State) -> Vec<Part> {
        let now = Instant::now();
        let (mut bytes, mut mails) = (0, 0);
        let mut batch = Vec::new();
        let mut unfinished = None;
        while let Some(Waiting { job, taken }) = state.line.pop_front() {
            if job.is_over() || job.deadline <= now {
                job.answer(Err(QueueError::Late));
                state.waiting_bytes -= job.mails[taken..].iter().map(weight).sum::<usize>();
                continue;
            }
            let mut end = taken;
            while end < job.mails.len() {
                let weight = weight(&job.mails[end]);
                if mails == self.limits.batch_mails || (mails > 0 && bytes + weight > self.limits.batch_bytes)
                {
                    break;
                }
                (bytes, mails, end) = (bytes + weight, mails + 1, end + 1);
            }
            let whole = end == job.mails.len();
            let rest = (!whole).then(|| Waiting {
                job: Arc::clone(&job),
                taken: end,
            });
            if end > taken {
                batch.push(Part {
                    job,
                    start: taken,
                    end,
                });
                unfinished = rest;
            } else if let Some(rest) = rest {
                // Nothing of it fitted: it keeps its place.
                state.line.push_front(rest);
            }
            if !whole {
                break;
            }
        }
        state.line.extend(unfinished);
        state.waiting_bytes -= bytes;
        batch
    }
}

impl Job {
    /// True when nobody waits for the rest: the caller has gone, or the job is answered.
    fn is_over(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed) || lock(&self.outcome).reply.is_none()
    }

    /// Answers the job unless it is answered or given up.
    fn answer(&self, result: Result<(), QueueError>) {
        let mut outcome = lock(&self.outcome);
        let Some(reply) = outcome.reply.take() else { return };
        let slots = std::mem::take(&mut outcome.slots);
        drop(outcome);
        if !self.abandoned.load(Ordering::Relaxed) {
            reply(result.map(|()| slots.into_iter().flatten().collect()));
        }
    }
}

impl Part {
    /// Writes the part's answers into their slots and answers the job with its last ones.
    fn fill(&self, predictions: impl Iterator<Item = Prediction>) {
        let mut outcome = lock(&self.job.outcome);
        if outcome.reply.is_none() {
            return;
        }
        for (slot, prediction) in outcome.slots[self.start..self.end].iter_mut().zip(predictions) {
            *slot = Some(prediction);
        }
        outcome.left -= self.end - self.start;
        let done = outcome.left == 0;
        drop(outcome);
        if done {
            self.job.answer(Ok(()));
        }
    }
}

/// What a mail counts against a budget; an empty one is work too.
fn weight(mail: &Mail) -> usize {
    mail.bytes().max(64)
}

/// Every critical section leaves the state whole, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
