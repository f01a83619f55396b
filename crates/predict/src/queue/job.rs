//! A job: the mails one caller waits for.

use super::{QueueError, Reply, lock};
use crate::Prediction;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What a caller waits for. Its mails lie in the line; here is where their answers go.
pub(super) struct Job {
    pub submitted: Instant,
    pub deadline: Instant,
    abandoned: AtomicBool,
    outcome: Mutex<Outcome>,
}

struct Outcome {
    slots: Vec<Option<Prediction>>,
    left: usize,
    /// Taken by whoever answers the job, so that it is answered once.
    reply: Option<Reply>,
}

impl Job {
    pub fn new(mails: usize, deadline: Instant, reply: Reply) -> Self {
        Self {
            submitted: Instant::now(),
            deadline,
            abandoned: AtomicBool::new(false),
            outcome: Mutex::new(Outcome {
                slots: vec![None; mails],
                left: mails,
                reply: Some(reply),
            }),
        }
    }

    /// The caller has gone.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// True when nobody waits for the rest: the caller has gone, or the job is answered, if only with being late.
    pub fn is_over(&self, now: Instant) -> bool {
        if self.abandoned.load(Ordering::Relaxed) || lock(&self.outcome).reply.is_none() {
            return true;
        }
        if self.deadline <= now {
            self.answer(Err(QueueError::Late));
        }
        self.deadline <= now
    }

    /// Answers the job unless it is answered or given up.
    pub fn answer(&self, result: Result<(), QueueError>) {
        let mut outcome = lock(&self.outcome);
        let Some(reply) = outcome.reply.take() else { return };
        let slots = std::mem::take(&mut outcome.slots);
        drop(outcome);
        if !self.abandoned.load(Ordering::Relaxed) {
            reply(result.map(|()| slots.into_iter().flatten().collect()));
        }
    }

    /// Writes a mail's answer into its slot and answers the job with the last one.
    pub fn fill(&self, slot: usize, prediction: Prediction) {
        let mut outcome = lock(&self.outcome);
        if outcome.reply.is_none() {
            return;
        }
        outcome.slots[slot] = Some(prediction);
        outcome.left -= 1;
        let done = outcome.left == 0;
        drop(outcome);
        if done {
            self.answer(Ok(()));
        }
    }
}
