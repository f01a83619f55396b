//! What waits in a queue, and what a worker should do next. No threads here: a line is changed under the queue's lock.
//!
//! Mails pass it twice. *Unread* ones lie in their jobs, jobs in the order they came; a turn takes a job's next mails, as
//! many as make about a batch, and the rest of a bigger job goes to the back. *Ready* ones, cleaned and encoded, lie in
//! the order of the turns that read them, whichever ended first. Only about a batch of them is kept ready.

use super::job::Job;
use super::pace::Pace;
use super::{Limits, weight};
use crate::Mail;
use crate::predictor::Ready;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of unread mail taken for a token: a turn makes a batch at most, and less of what cleaning shortens.
const TOKEN_BYTES: usize = 4;

/// Tokens below which a batch is not divided between workers: from here on they cost the same in any batch.
const FEW_TOKENS: usize = 128;

pub(super) struct Line {
    limits: Limits,
    unread: VecDeque<Unread>,
    unread_bytes: usize,
    pace: Pace,
    ready: VecDeque<Item>,
    ready_tokens: usize,
    turns: u64,
    /// Workers that read.
    reading: usize,
    /// Workers that compute.
    computing: usize,
    /// A batch is being computed on all cores.
    sharing: bool,
}

/// A job whose mails from slot `next` on are unread.
struct Unread {
    job: Arc<Job>,
    next: usize,
    mails: std::vec::IntoIter<Mail>,
    bytes: usize,
}

/// What a worker should do next.
pub(super) enum Work {
    /// To be told by [`read`](Line::read) when it is done.
    Read(Turn),
    /// To be told by [`computed`](Line::computed) when it is done.
    Compute(Batch),
    /// To take a part in what another does or is about to.
    Help,
}

/// A job's mails from slot `first` on, to be read.
pub(super) struct Turn {
    pub job: Arc<Job>,
    pub first: usize,
    pub mails: Vec<Mail>,
    pub number: u64,
}

/// A mail of a job, ready to be computed.
pub(super) struct Item {
    pub job: Arc<Job>,
    pub slot: usize,
    pub mail: Ready,
    pub turn: u64,
}

/// Mails to be computed together, at least one.
pub(super) struct Batch {
    pub items: Vec<Item>,
    pub tokens: usize,
    /// On all cores; else on the worker's own.
    pub shared: bool,
}

impl Line {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            unread: VecDeque::new(),
            unread_bytes: 0,
            pace: Pace::default(),
            ready: VecDeque::new(),
            ready_tokens: 0,
            turns: 0,
            reading: 0,
            computing: 0,
            sharing: false,
        }
    }

    /// Bytes of unread mail.
    pub fn unread_bytes(&self) -> usize {
        self.unread_bytes
    }

    /// Jobs of which something is unread.
    pub fn unread_jobs(&self) -> usize {
        self.unread.len()
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.unread.is_empty() && self.ready.is_empty()
    }

    /// True when a worker that asks would get work, unless all its callers have gone.
    pub fn has_work(&self) -> bool {
        !self.unread.is_empty() && !self.is_stocked() || !self.ready.is_empty() && !self.sharing
    }

    /// How long a job of so many bytes will wait for others: for each round it takes itself, a turn of every job before it.
    pub fn wait(&self, bytes: usize, now: Instant) -> Duration {
        let turn = self.limits.batch_tokens * TOKEN_BYTES;
        let most = bytes.div_ceil(turn).max(1).saturating_mul(turn);
        let before = self.unread.iter().map(|unread| unread.bytes.min(most)).sum();
        self.pace.time_for(before, now)
    }

    /// Puts a job with its mails at the back.
    pub fn join(&mut self, job: Arc<Job>, mails: Vec<Mail>, now: Instant) {
        if self.unread.is_empty() {
            self.pace.begin(now);
        }
        let bytes = mails.iter().map(weight).sum::<usize>();
        self.unread_bytes += bytes;
        self.unread.push_back(Unread {
            job,
            next: 0,
            bytes,
            mails: mails.into_iter(),
        });
    }

    /// True while a batch is computed on all cores.
    pub fn is_shared(&self) -> bool {
        self.sharing
    }

    /// True while the only job there is is being read, which all cores will compute.
    pub fn is_to_be_shared(&self) -> bool {
        let idle = self.reading == 1 && self.computing == 0;
        self.is_empty() && idle && self.limits.workers > 1
    }

    /// Adds what a turn read.
    pub fn read(&mut self, items: Vec<Item>) {
        self.reading -= 1;
        self.add(items);
    }

    fn add(&mut self, items: Vec<Item>) {
        let Some(first) = items.first() else { return };
        let at = self.ready.partition_point(|item| item.turn < first.turn);
        for (n, item) in items.into_iter().enumerate() {
            self.ready_tokens += item.mail.tokens();
            self.ready.insert(at + n, item);
        }
    }

    /// What to do next; none if there is nothing. Jobs nobody waits for any more are dropped on the way.
    pub fn take(&mut self, now: Instant) -> Option<Work> {
        loop {
            if !self.is_stocked()
                && let Some(turn) = self.turn(now)
            {
                self.reading += 1;
                return Some(Work::Read(turn));
            }
            if self.sharing {
                return Some(Work::Help);
            }
            if let Some(batch) = self.batch(now) {
                self.computing += 1;
                self.sharing = batch.shared;
                return Some(Work::Compute(batch));
            }
            if self.unread.is_empty() {
                return self.is_to_be_shared().then_some(Work::Help);
            }
        }
    }

    /// A worker has computed the batch it took.
    pub fn computed(&mut self, shared: bool) {
        self.computing -= 1;
        if shared {
            self.sharing = false;
        }
    }

    /// Enough is ready for a batch.
    fn is_stocked(&self) -> bool {
        self.ready_tokens >= self.limits.batch_tokens
    }

    /// The longest-waiting job's next mails.
    fn turn(&mut self, now: Instant) -> Option<Turn> {
        while let Some(mut unread) = self.unread.pop_front() {
            if unread.job.is_over(now) {
                self.unread_bytes -= unread.bytes;
                continue;
            }
            let most = self.limits.batch_tokens * TOKEN_BYTES;
            let mut bytes = 0;
            let fits = |mail: &&Mail| {
                bytes += weight(mail);
                bytes <= most
            };
            let count = unread.mails.as_slice().iter().take_while(fits).count().max(1);
            let mails: Vec<Mail> = unread.mails.by_ref().take(count).collect();
            let taken = mails.iter().map(weight).sum::<usize>();
            self.unread_bytes -= taken;
            unread.bytes -= taken;
            self.pace.took(taken, now);
            self.turns += 1;
            let turn = Turn {
                job: Arc::clone(&unread.job),
                first: unread.next,
                number: self.turns,
                mails,
            };
            unread.next += count;
            if !unread.mails.as_slice().is_empty() {
                self.unread.push_back(unread);
            }
            return Some(turn);
        }
        None
    }

    /// The longest-waiting ready mails.
    fn batch(&mut self, now: Instant) -> Option<Batch> {
        self.ready.retain(|item| !item.job.is_over(now));
        self.ready_tokens = self.ready.iter().map(|item| item.mail.tokens()).sum();
        let first = &self.ready.front()?.job;
        let all = self.unread.is_empty() && self.ready_tokens <= self.limits.batch_tokens;
        let one = self.ready.iter().all(|item| Arc::ptr_eq(&item.job, first));
        let idle = self.reading == 0 && self.computing == 0;
        let shared = all && one && idle && self.limits.workers > 1;
        let most = if all && !shared {
            // The last of what waits is divided, so that no core idles while another has it all.
            let share = self.ready_tokens.div_ceil(self.limits.workers);
            share.max(FEW_TOKENS).min(self.limits.batch_tokens)
        } else {
            self.limits.batch_tokens
        };
        let mut batch = Batch {
            items: Vec::new(),
            tokens: 0,
            shared,
        };
        while let Some(item) = self.ready.front() {
            let tokens = item.mail.tokens();
            if !batch.items.is_empty() && batch.tokens + tokens > most {
                break;
            }
            batch.tokens += tokens;
            batch.items.extend(self.ready.pop_front());
        }
        self.ready_tokens -= batch.tokens;
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A line whose mails have as many tokens as their bytes make, and who waits in it.
    struct Waiting {
        line: Line,
        jobs: Vec<Arc<Job>>,
    }

    impl Waiting {
        fn new(batch_tokens: usize, workers: usize) -> Self {
            let limits = Limits {
                batch_tokens,
                workers,
                ..Limits::default()
            };
            Self {
                line: Line::new(limits),
                jobs: Vec::new(),
            }
        }

        fn join(&mut self, tokens: &[usize]) {
            let deadline = Instant::now() + Duration::from_secs(60);
            let job = Arc::new(Job::new(tokens.len(), deadline, Box::new(|_| {})));
            self.jobs.push(Arc::clone(&job));
            let mail = |tokens: &usize| Mail::new("", "x".repeat(tokens * TOKEN_BYTES));
            self.line
                .join(job, tokens.iter().map(mail).collect(), Instant::now());
        }

        /// Reads all there is, and leaves it ready.
        fn read(&mut self) {
            while !self.line.unread.is_empty() {
                let Some(turn) = self.line.turn(Instant::now()) else {
                    return;
                };
                self.line.add(items(&turn));
            }
        }

        /// Takes a batch: job and slot of its mails, and whether all cores share it.
        fn batch(&mut self) -> (Vec<(usize, usize)>, bool) {
            match self.line.take(Instant::now()) {
                Some(Work::Compute(batch)) => {
                    let job = |item: &Item| self.jobs.iter().position(|job| Arc::ptr_eq(job, &item.job));
                    let mails = batch.items.iter().map(|item| (job(item).unwrap(), item.slot));
                    (mails.collect(), batch.shared)
                }
                Some(Work::Read(_)) => panic!("there was something to read"),
                Some(Work::Help) | None => (Vec::new(), false),
            }
        }
    }

    fn items(turn: &Turn) -> Vec<Item> {
        let item = |(n, mail): (usize, &Mail)| Item {
            job: Arc::clone(&turn.job),
            slot: turn.first + n,
            mail: Ready::of(mail.bytes() / TOKEN_BYTES),
            turn: turn.number,
        };
        turn.mails.iter().enumerate().map(item).collect()
    }

    #[test]
    fn a_job_reads_for_about_a_batch_and_goes_to_the_back() {
        let mut waiting = Waiting::new(100, 2);
        waiting.join(&[50, 40, 40, 300, 20]);
        waiting.join(&[20]);
        let mut turns = Vec::new();
        while let Some(turn) = waiting.line.turn(Instant::now()) {
            turns.push((turn.first, turn.mails.len()));
        }
        assert_eq!(turns, [(0, 2), (0, 1), (2, 1), (3, 1), (4, 1)]);
        assert_eq!(waiting.line.unread_bytes(), 0);
    }

    #[test]
    fn reads_until_a_batch_is_ready() {
        let mut waiting = Waiting::new(100, 1);
        waiting.join(&[60, 60, 60]);
        for _ in 0..2 {
            let Some(Work::Read(turn)) = waiting.line.take(Instant::now()) else {
                panic!("60 tokens are no batch")
            };
            waiting.line.read(items(&turn));
        }
        assert_eq!(waiting.batch().0, [(0, 0)]);
        assert!(waiting.line.has_work());
    }

    #[test]
    fn what_was_taken_first_is_computed_first_whoever_read_it_sooner() {
        let mut waiting = Waiting::new(100, 2);
        waiting.join(&[60]);
        waiting.join(&[60]);
        let first = waiting.line.turn(Instant::now()).unwrap();
        let second = waiting.line.turn(Instant::now()).unwrap();
        waiting.line.add(items(&second));
        waiting.line.add(items(&first));
        assert_eq!(
            (waiting.batch().0, waiting.batch().0),
            (vec![(0, 0)], vec![(1, 0)])
        );
    }

    #[test]
    fn one_job_that_is_all_there_is_gets_all_cores() {
        let mut waiting = Waiting::new(512, 2);
        waiting.join(&[60, 90]);
        waiting.read();
        assert_eq!(waiting.batch(), (vec![(0, 0), (0, 1)], true));
        waiting.join(&[60]);
        waiting.read();
        assert_eq!(waiting.batch(), (vec![], false), "the cores are taken");
        assert!(!waiting.line.has_work());
        waiting.line.computed(true);
        assert_eq!(waiting.batch(), (vec![(1, 0)], true));
    }

    #[test]
    fn others_help_with_the_only_job_there_is() {
        let take = |waiting: &mut Waiting| waiting.line.take(Instant::now());
        let mut waiting = Waiting::new(512, 2);
        waiting.join(&[60]);
        let Some(Work::Read(turn)) = take(&mut waiting) else {
            panic!("there is something to read")
        };
        assert!(matches!(take(&mut waiting), Some(Work::Help)), "it is read");
        waiting.line.read(items(&turn));
        assert!(waiting.batch().1);
        assert!(matches!(take(&mut waiting), Some(Work::Help)), "it is computed");
        waiting.join(&[60]);
        assert!(matches!(take(&mut waiting), Some(Work::Read(_))), "another came");
        waiting.line.computed(true);
        waiting.line.read(Vec::new());
        assert!(take(&mut waiting).is_none());
        let mut alone = Waiting::new(512, 1);
        alone.join(&[60]);
        assert!(matches!(take(&mut alone), Some(Work::Read(_))));
        assert!(!alone.line.is_to_be_shared(), "there is one worker");
    }

    #[test]
    fn nobody_shares_while_another_works_or_waits_or_with_one_worker() {
        let mut waiting = Waiting::new(512, 2);
        waiting.join(&[60]);
        waiting.join(&[60]);
        waiting.read();
        assert_eq!(waiting.batch(), (vec![(0, 0), (1, 0)], false), "two wait");
        waiting.join(&[60]);
        waiting.read();
        assert_eq!(waiting.batch(), (vec![(2, 0)], false), "another worker computes");
        let mut alone = Waiting::new(512, 1);
        alone.join(&[60]);
        alone.read();
        assert_eq!(alone.batch(), (vec![(0, 0)], false), "there is one worker");
    }

    #[test]
    fn the_last_of_what_waits_is_divided_between_the_workers() {
        let mut waiting = Waiting::new(512, 2);
        (0..5).for_each(|_| waiting.join(&[100]));
        waiting.read();
        let sizes: Vec<usize> = (0..4).map(|_| waiting.batch().0.len()).collect();
        assert_eq!(sizes, [2, 1, 1, 1]);
    }

    #[test]
    fn a_mail_longer_than_the_budget_is_a_batch_of_its_own() {
        let mut waiting = Waiting::new(64, 1);
        waiting.join(&[20, 500, 20, 20]);
        waiting.read();
        let batches: Vec<_> = (0..3).map(|_| waiting.batch().0.len()).collect();
        assert_eq!(batches, [1, 1, 2]);
        assert_eq!(waiting.line.ready_tokens, 0);
    }

    #[test]
    fn who_has_gone_takes_no_place() {
        let mut waiting = Waiting::new(512, 2);
        (0..3).for_each(|_| waiting.join(&[60]));
        waiting.jobs[0].abandon();
        waiting.read();
        waiting.jobs[1].abandon();
        assert_eq!(waiting.batch().0, [(2, 0)]);
        assert!(waiting.line.is_empty());
    }
}
