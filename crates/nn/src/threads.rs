//! How many threads inference takes.

use std::cell::Cell;

thread_local! {
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` with its inference on this thread alone, whatever rayon pool it is in: what many callers compute at a time is done soonest
/// by threads that wait for nobody.
pub fn alone<T>(work: impl FnOnce() -> T) -> T {
    /// Ends it even where `work` panics.
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            ALONE.set(self.0);
        }
    }
    let _before = Before(ALONE.replace(true));
    work()
}

/// Threads that inference on this one may take: itself, or all of its rayon pool.
pub fn available() -> usize {
    if ALONE.get() {
        1
    } else {
        rayon::current_num_threads()
    }
}
