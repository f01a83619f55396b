//! Threads that outlive the queues they work for.
//!
//! What libraries keep for each thread, compiled patterns' caches above all, is not given back when the thread ends, and a new thread gets
//! it anew: a server whose models are switched would grow with every switch. So a thread that is done waits for the next queue.

use super::lock;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

type Work = Box<dyn FnOnce() + Send>;

/// Work, and who is told that it is done: the sender is dropped.
type Task = (Work, Sender<()>);

/// Threads that wait for work.
static IDLE: Mutex<Vec<Sender<Task>>> = Mutex::new(Vec::new());
/// Pools for batches on all cores, by their threads.
static ALL: Mutex<BTreeMap<usize, Arc<ThreadPool>>> = Mutex::new(BTreeMap::new());

/// Work that a thread has taken. The lock is for sharing alone; only the one who joins takes it.
pub(super) struct Hired(Mutex<Receiver<()>>);

impl Hired {
    /// Waits until it is done.
    pub fn join(self) {
        // Nothing is sent: the other end is dropped.
        let _ = lock(&self.0).recv();
    }
}

/// Gives work to an idle thread, or to a new one. Whatever it does in parallel, it does on its own thread.
///
/// # Panics
/// If the system gives no more threads.
pub(super) fn hire(work: impl FnOnce() + Send + 'static) -> Hired {
    let (done, ended) = channel();
    let mut task: Task = (Box::new(work), done);
    loop {
        let Some(idle) = lock(&IDLE).pop() else {
            start().send(task).expect("a thread that waits");
            return Hired(Mutex::new(ended));
        };
        match idle.send(task) {
            Ok(()) => return Hired(Mutex::new(ended)),
            Err(unsent) => task = unsent.0,
        }
    }
}

fn start() -> Sender<Task> {
    let (send, tasks) = channel::<Task>();
    let own = send.clone();
    let run = move || {
        let _alone = ThreadPoolBuilder::new()
            .num_threads(1)
            .use_current_thread()
            .build()
            .expect("a new thread is in no pool and needs none");
        while let Ok((work, done)) = tasks.recv() {
            // Work catches the panics of models itself; what is left must not cost the thread.
            let _ = catch_unwind(AssertUnwindSafe(work));
            lock(&IDLE).push(own.clone());
            drop(done);
        }
    };
    std::thread::Builder::new()
        .name("worker".to_owned())
        .spawn(run)
        .expect("threads to compute on");
    send
}

/// A pool of so many threads.
///
/// # Panics
/// If the system gives no more threads.
pub(super) fn all(threads: usize) -> Arc<ThreadPool> {
    let new = || {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|n| format!("all-cores-{n}"))
            .build();
        Arc::new(pool.expect("threads to compute on"))
    };
    Arc::clone(lock(&ALL).entry(threads).or_insert_with(new))
}
