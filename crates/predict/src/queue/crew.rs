//! Threads that outlive the queues they work for.
//!
//! What libraries keep for each thread, compiled patterns' caches above all, is not given back when the thread ends, and a new thread gets
//! it anew: a server whose models are switched would grow with every switch. So a crew that is done waits for the next queue.

use super::lock;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

/// Crews that wait for work, by their number of threads.
static IDLE: Mutex<BTreeMap<usize, Vec<ThreadPool>>> = Mutex::new(BTreeMap::new());

/// Threads of one pool, all at the same work.
pub(super) struct Crew {
    pool: ThreadPool,
    /// Disconnected when the last has ended. The lock is for sharing alone; only the one who joins takes it.
    ended: Mutex<Receiver<()>>,
}

impl Crew {
    /// Gives work to the threads of an idle crew, or of a new one; each of them does all of it.
    ///
    /// # Panics
    /// If the system gives no more threads.
    pub fn hire(threads: usize, work: impl Fn() + Send + Sync + 'static) -> Self {
        let idle = lock(&IDLE).get_mut(&threads).and_then(Vec::pop);
        let pool = idle.unwrap_or_else(|| {
            ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(|n| format!("worker-{n}"))
                .build()
                .expect("threads to compute on")
        });
        let (working, ended) = channel();
        pool.spawn_broadcast(move |_| {
            let _working = &working;
            // Work catches the panics of models itself; what is left must not cost the process.
            let _ = catch_unwind(AssertUnwindSafe(&work));
        });
        Self {
            pool,
            ended: Mutex::new(ended),
        }
    }

    /// Waits until all have ended.
    pub fn join(self) {
        // Nothing is sent: the other end is dropped with the work.
        let _ = lock(&self.ended).recv();
        let threads = self.pool.current_num_threads();
        lock(&IDLE).entry(threads).or_default().push(self.pool);
    }
}
