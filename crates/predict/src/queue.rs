//! Groups what many callers ask at once, so that a model is fed batches and no caller waits for a stranger.
//!
//! Callers submit mails and get a callback. Workers, one per core, sleep until there is work. Work comes in two kinds:
//! reading some mails of a job (cleaning, encoding), after which their tokens are known, and computing a batch packed
//! under a budget of tokens. A worker reads while less than a batch is ready, so batches fill when much waits, and a mail
//! that comes alone waits for no other.
//!
//! **One core or all.** It is decided when a batch is taken. If it holds the mails of one job, nothing else waits and
//! no other worker has any work, all share it: each worker has a core, and they would idle. Otherwise the worker computes
//! it on its own thread, which shares nothing and waits for nobody. The workers are one rayon pool, and who helps takes
//! what the sharing worker puts there. To wake a thread takes long, so helpers are woken while the only job is still being
//! read; they look for their part for [`HELP_WITHIN`], and again when it is computed. While a batch is shared, who does not
//! help reads what arrives but computes nothing: what arrives waits for at most one batch.
//!
//! **Fairness.** The longest-waiting job is read first, for about a batch; what a big job has left goes to the back of the
//! line, so one request of 10,000 mails does not hold up single mails. Each mail's answer is written to its own slot of its
//! own job; answers cannot be crossed whatever batches they were computed in.
//!
//! The queue is bounded in bytes and refuses what does not fit. A job whose deadline has passed, or whose caller
//! has gone, is dropped when it is next looked at. A panic in cleaning fails the job whose mails were read, one in the model
//! the jobs of that batch, nothing else.

mod crew;
mod job;
mod line;
mod pace;

use crate::predictor::Ready;
use crate::{Mail, ModelError, Prediction, Predictor};
use crew::Crew;
use job::Job;
use line::{Batch, Item, Line, Turn, Work};
use poststelle_nn::threads;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bounds of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Tokens computed in one batch, at most; a single longer mail is a batch of its own. Default 512: tokens cost no less in
    /// larger batches, and a mail waits until a batch before it is done.
    pub batch_tokens: usize,
    /// Bytes of mail waiting, at most; a job is let in whole or refused. Default 256 MiB.
    pub waiting_bytes: usize,
    /// Threads that read and compute. Default: one per core.
    pub workers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_tokens: 512,
            waiting_bytes: 256 << 20,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
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
    /// So much waits that the deadline would pass first.
    #[error("what waits takes about {} ms, the deadline leaves {} ms", .wait.as_millis(), .left.as_millis())]
    Overloaded {
        /// How long what waits will take.
        wait: Duration,
        /// Time to the deadline.
        left: Duration,
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

/// A batch that was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Computed {
    /// Its mails.
    pub mails: usize,
    /// Their tokens.
    pub tokens: usize,
    /// How long the mail waited that came first.
    pub waited: Duration,
    /// How long it was computed.
    pub took: Duration,
}

/// Somebody who is told of a queue's work, on its threads; it should be quick.
pub trait Observe: Send + Sync {
    /// Mails were read: cleaned and encoded.
    fn read(&self, mails: usize, took: Duration);

    /// A batch was computed.
    fn computed(&self, batch: Computed);
}

/// Nobody.
impl Observe for () {
    fn read(&self, _: usize, _: Duration) {}

    fn computed(&self, _: Computed) {}
}

/// What waits in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Jobs of which something is unread.
    pub jobs: usize,
    /// Bytes of unread mail.
    pub bytes: usize,
    /// How long a lone mail would wait now, by the pace of the last seconds; zero where that is not known.
    pub wait: Duration,
}

/// How long a worker looks for its part in what is still being read before it sleeps again.
const HELP_WITHIN: Duration = Duration::from_millis(2);

type Reply = Box<dyn FnOnce(Result<Vec<Prediction>, QueueError>) + Send>;

/// A queue and its workers. Dropping it lets waiting jobs finish first.
pub struct Queue {
    shared: Arc<Shared>,
    /// Until it is dropped.
    crew: Option<Crew>,
}

/// A submitted job. Dropping it gives the job up: what is not computed yet never will be.
#[must_use = "dropping it gives the job up"]
pub struct Pending(Arc<Job>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

struct Shared {
    predictor: Arc<Predictor>,
    observer: Arc<dyn Observe>,
    limits: Limits,
    state: Mutex<State>,
    work: Condvar,
}

struct State {
    line: Line,
    closed: bool,
}

impl Queue {
    /// Starts the workers; zero workers or tokens count as one.
    ///
    /// # Panics
    /// If the system gives no more threads.
    pub fn start(predictor: Arc<Predictor>, limits: Limits, observer: Arc<dyn Observe>) -> Self {
        let limits = Limits {
            batch_tokens: limits.batch_tokens.max(1),
            workers: limits.workers.max(1),
            ..limits
        };
        let shared = Arc::new(Shared {
            predictor,
            observer,
            limits,
            state: Mutex::new(State {
                line: Line::new(limits),
                closed: false,
            }),
            work: Condvar::new(),
        });
        let worker = Arc::clone(&shared);
        let crew = Crew::hire(limits.workers, move || worker.run());
        Self {
            shared,
            crew: Some(crew),
        }
    }

    /// What waits now.
    pub fn waiting(&self) -> Waiting {
        let state = lock(&self.shared.state);
        Waiting {
            jobs: state.line.unread_jobs(),
            bytes: state.line.unread_bytes(),
            wait: state.line.wait(0, Instant::now()),
        }
    }

    /// Puts a job in the line. `reply` is called once, from a worker's thread, with one prediction per mail in order;
    /// it should return quickly. It is not called when this returns an error or the job is given up.
    ///
    /// # Errors
    /// [`QueueError::Full`] when the mails do not fit, [`QueueError::Overloaded`] when there is no hope to label them in time.
    pub fn submit(
        &self,
        mails: Vec<Mail>,
        deadline: Instant,
        reply: impl FnOnce(Result<Vec<Prediction>, QueueError>) + Send + 'static,
    ) -> Result<Pending, QueueError> {
        let (count, bytes) = (mails.len(), mails.iter().map(weight).sum::<usize>());
        let job = Arc::new(Job::new(count, deadline, Box::new(reply)));
        if count == 0 {
            job.answer(Ok(()));
            return Ok(Pending(job));
        }
        let mut state = lock(&self.shared.state);
        let (waiting, most) = (state.line.unread_bytes(), self.shared.limits.waiting_bytes);
        if waiting + bytes > most {
            return Err(QueueError::Full {
                waiting,
                found: bytes,
                most,
            });
        }
        let now = Instant::now();
        let (wait, left) = (
            state.line.wait(bytes, now),
            deadline.saturating_duration_since(now),
        );
        if wait > left {
            return Err(QueueError::Overloaded { wait, left });
        }
        state.line.join(Arc::clone(&job), mails, now);
        drop(state);
        self.shared.work.notify_one();
        Ok(Pending(job))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        lock(&self.shared.state).closed = true;
        self.shared.work.notify_all();
        if let Some(crew) = self.crew.take() {
            crew.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut helped = false;
        while let Some(work) = self.next(helped) {
            helped = matches!(work, Work::Help);
            match work {
                Work::Read(turn) => {
                    let items = self.read(turn);
                    lock(&self.state).line.read(items);
                }
                Work::Compute(batch) => self.compute(batch),
                Work::Help => self.help(),
            }
        }
        self.work.notify_all();
    }

    /// Sleeps until there is work; `None` when the queue is closed and empty. Who has just `helped` while a
    /// job was read is woken when it is computed.
    fn next(&self, mut helped: bool) -> Option<Work> {
        let mut state = lock(&self.state);
        loop {
            match state.line.take(Instant::now()) {
                Some(Work::Help) if !helped || state.line.is_shared() => return Some(Work::Help),
                Some(Work::Help) | None => {}
                Some(work) => {
                    if state.line.is_shared() || state.line.is_to_be_shared() {
                        self.work.notify_all();
                    } else if state.line.has_work() {
                        self.work.notify_one();
                    }
                    return Some(work);
                }
            }
            if state.closed && state.line.is_empty() {
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            helped = false;
        }
    }

    /// Takes part in what another worker does for the only job there is.
    fn help(&self) {
        let begun = Instant::now();
        loop {
            while rayon::yield_now() == Some(rayon::Yield::Executed) {}
            let state = lock(&self.state);
            let line = &state.line;
            let soon = line.is_to_be_shared() && begun.elapsed() < HELP_WITHIN;
            if line.has_work() || !(line.is_shared() || soon) {
                return;
            }
            drop(state);
            std::thread::yield_now();
        }
    }

    /// Cleans and encodes a turn's mails; a job that cannot be read is answered so.
    fn read(&self, turn: Turn) -> Vec<Item> {
        let Turn {
            job,
            first,
            mails,
            number,
        } = turn;
        let started = Instant::now();
        let read = attempt(mails.len(), || self.predictor.read(&mails));
        self.observer.read(mails.len(), started.elapsed());
        match read {
            Ok(read) => {
                let item = |(n, mail): (usize, Ready)| Item {
                    job: Arc::clone(&job),
                    slot: first + n,
                    mail,
                    turn: number,
                };
                read.into_iter().enumerate().map(item).collect()
            }
            Err(failed) => {
                job.answer(Err(failed));
                Vec::new()
            }
        }
    }

    /// Computes a batch, lets others have the cores, and gives out the answers.
    fn compute(&self, batch: Batch) {
        let Batch {
            items,
            tokens,
            shared,
        } = batch;
        let started = Instant::now();
        let mails: Vec<&Ready> = items.iter().map(|item| &item.mail).collect();
        let answer = || self.predictor.answer(&mails);
        let answered = attempt(mails.len(), || {
            if shared { answer() } else { threads::alone(answer) }
        });
        let took = started.elapsed();
        let oldest = items
            .iter()
            .map(|item| item.job.submitted)
            .min()
            .unwrap_or(started);
        let computed = Computed {
            mails: items.len(),
            tokens,
            waited: started.saturating_duration_since(oldest),
            took,
        };
        tracing::debug!(
            batch.mails = computed.mails,
            batch.tokens = tokens,
            batch.threads = if shared { self.limits.workers } else { 1 },
            queue.wait_ms = computed.waited.as_secs_f64() * 1e3,
            took_ms = took.as_secs_f64() * 1e3,
            "batch computed"
        );
        self.observer.computed(computed);
        let mut state = lock(&self.state);
        state.line.computed(shared);
        if shared && state.line.has_work() {
            self.work.notify_one();
        }
        drop(state);
        match answered {
            Ok(predictions) => {
                for (item, prediction) in items.iter().zip(predictions) {
                    item.job.fill(item.slot, prediction);
                }
            }
            Err(failed) => items.iter().for_each(|item| item.job.answer(Err(failed.clone()))),
        }
    }
}

/// Runs a step of the predictor that should bring one thing per mail.
fn attempt<T>(mails: usize, step: impl FnOnce() -> Result<Vec<T>, ModelError>) -> Result<Vec<T>, QueueError> {
    let reason = match catch_unwind(AssertUnwindSafe(step)) {
        Ok(Ok(found)) if found.len() == mails => return Ok(found),
        Ok(Ok(found)) => format!("{} answers to {mails} mails", found.len()),
        Ok(Err(error)) => error.0.to_string(),
        Err(_) => "it panicked".into(),
    };
    Err(QueueError::Failed { reason })
}

/// What a mail counts against a budget; an empty one is work too.
fn weight(mail: &Mail) -> usize {
    mail.bytes().max(64)
}

/// Every critical section leaves the state whole, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
