//! Buffers kept from strip to strip, and what threads that share them do with them.

use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// As many as there were in use at one time.
pub struct Kept<T>(Mutex<Vec<T>>);

impl<T: Default> Kept<T> {
    pub const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Lends one; what panics loses it.
    pub fn with(&self, work: impl FnOnce(&mut T)) {
        let all = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut one = all().pop().unwrap_or_default();
        work(&mut one);
        all().push(one);
    }
}

pub fn grow<T: Default>(all: &mut Vec<T>, count: usize) {
    if all.len() < count {
        all.resize_with(count, T::default);
    }
}

pub fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().expect("a thread that panics ends the whole pass")
}

pub fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().expect("a thread that panics ends the whole pass")
}
