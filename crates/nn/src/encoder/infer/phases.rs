//! Work in phases: tasks that threads claim as they come free, each phase after the one before.
//!
//! Each thread has tasks of its own, the same share of every phase, since what it has just written is near; who is done with
//! them helps the others, so a thread that the system holds up keeps one task and no more.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// How often a thread looks again whether a phase is over, some ten microseconds, before it lets others run between two looks.
const LOOKS: usize = 400;
/// How often it lets others run before it sleeps: some milliseconds where nobody else would. To wake a thread takes a virtual machine
/// as long as many a task.
const YIELDS: usize = 4000;

/// Phases, and how far they are.
pub struct Phases {
    each: Vec<Phase>,
    threads: usize,
    over: Mutex<()>,
    wake: Condvar,
    /// A thread panicked: nobody waits any more, and the work ends in that panic.
    broken: AtomicBool,
}

struct Phase {
    tasks: usize,
    /// Of each thread's own tasks.
    claimed: Vec<Apart>,
    done: Apart,
}

/// On a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Apart(AtomicUsize);

impl Phases {
    /// By the number of their tasks, for so many threads.
    pub fn new(tasks: impl IntoIterator<Item = usize>, threads: usize) -> Self {
        let phase = |tasks| Phase {
            tasks,
            claimed: (0..threads).map(|_| Apart::default()).collect(),
            done: Apart::default(),
        };
        Self {
            each: tasks.into_iter().map(phase).collect(),
            threads,
            over: Mutex::new(()),
            wake: Condvar::new(),
            broken: AtomicBool::new(false),
        }
    }

    /// Does all tasks, by their phase and number, on this thread and others of its rayon pool.
    pub fn run(&self, task: impl Fn(usize, usize) + Sync) {
        rayon::scope(|scope| {
            for thread in 1..self.threads {
                let task = &task;
                scope.spawn(move |_| self.work(thread, task));
            }
            self.work(0, &task);
        });
    }

    /// Does tasks until none is left; `thread` is the caller's number, and any number of the threads may do so at once.
    fn work(&self, thread: usize, mut task: impl FnMut(usize, usize)) {
        let _watch = Watch(self);
        for (n, phase) in self.each.iter().enumerate() {
            for owner in (thread..self.threads).chain(0..thread) {
                let after = phase.tasks * (owner + 1) / self.threads;
                loop {
                    let claim = phase.claimed[owner].0.fetch_add(1, Ordering::Relaxed);
                    let claim = phase.tasks * owner / self.threads + claim;
                    if claim >= after {
                        break;
                    }
                    task(n, claim);
                    if phase.done.0.fetch_add(1, Ordering::Release) + 1 == phase.tasks {
                        self.tell();
                    }
                }
            }
            self.wait(phase);
        }
    }

    fn tell(&self) {
        drop(self.over.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_all();
    }

    fn wait(&self, phase: &Phase) {
        let over =
            || phase.done.0.load(Ordering::Acquire) == phase.tasks || self.broken.load(Ordering::Acquire);
        for look in 0..LOOKS + YIELDS {
            if over() {
                return;
            }
            if look < LOOKS {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
        let mut guard = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        while !over() {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Wakes the threads that would wait for the one that panics.
struct Watch<'a>(&'a Phases);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken.store(true, Ordering::Release);
            self.0.tell();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_begins_when_the_one_before_is_over() {
        let phases = Phases::new([3, 0, 5, 1], 3);
        let order = Mutex::new(Vec::new());
        rayon::scope(|scope| {
            for thread in 0..3 {
                let (phases, order) = (&phases, &order);
                scope.spawn(move |_| {
                    phases.work(thread, |phase, task| order.lock().unwrap().push((phase, task)))
                });
            }
        });
        let order = order.into_inner().unwrap();
        assert!(order.is_sorted_by_key(|(phase, _)| *phase), "{order:?}");
        let mut all = order;
        all.sort_unstable();
        assert_eq!(
            all,
            [
                (0, 0),
                (0, 1),
                (0, 2),
                (2, 0),
                (2, 1),
                (2, 2),
                (2, 3),
                (2, 4),
                (3, 0)
            ]
        );
    }

    #[test]
    fn a_panic_leaves_nobody_waiting() {
        let phases = Phases::new([2, 1], 2);
        let threads = std::thread::scope(|scope| {
            let phases = &phases;
            let work = |thread| scope.spawn(move || phases.work(thread, |_, task| assert_ne!(task, 1)));
            let threads: Vec<_> = (0..2).map(work).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().is_err())
                .collect::<Vec<_>>()
        });
        assert!(threads.contains(&true));
    }
}
