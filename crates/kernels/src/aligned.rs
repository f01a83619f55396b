//! Memory that begins on a cache line, so that no vector of 64 bytes straddles two.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// Bytes of a cache line.
const LINE: usize = 64;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

/// Numbers that may have any bits.
pub trait Plain: Copy + private::Sealed {}

mod private {
    pub trait Sealed {}
}

macro_rules! plain {
    ($($type:ty)*) => { $(impl private::Sealed for $type {} impl Plain for $type {})* };
}
plain!(u8 u16 u32 f32);

/// A growable slice that begins on a cache line.
#[derive(Clone)]
pub struct Aligned<T> {
    lines: Vec<Line>,
    length: usize,
    of: PhantomData<T>,
}

impl<T> Default for Aligned<T> {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            length: 0,
            of: PhantomData,
        }
    }
}

impl<T: Plain> Aligned<T> {
    /// `length` zeros.
    pub fn zeros(length: usize) -> Self {
        let mut all = Self::default();
        all.resize(length);
        all
    }

    /// Makes it `length` long; elements that were not there before are zero or any they had.
    pub fn resize(&mut self, length: usize) {
        let lines = (length * size_of::<T>()).div_ceil(LINE);
        if lines > self.lines.len() {
            self.lines.resize(lines, Line([0; LINE]));
        }
        self.length = length;
    }
}

impl<T: Plain> From<&[T]> for Aligned<T> {
    fn from(elements: &[T]) -> Self {
        let mut all = Self::zeros(elements.len());
        all.copy_from_slice(elements);
        all
    }
}

impl<T: Plain> AsRef<[T]> for Aligned<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T: Plain> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the lines hold at least `length` elements, aligned, and any bits are a value of a `Plain` type.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.length) }
    }
}

impl<T: Plain> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; the lines are borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_on_a_line_and_keeps_what_it_holds() {
        let mut all: Aligned<u16> = Aligned::from(&[1, 2, 3][..]);
        assert_eq!(all.as_ptr().addr() % LINE, 0);
        all.resize(100);
        all[99] = 7;
        assert_eq!((&all[..4], all[99]), (&[1, 2, 3, 0][..], 7));
        all.resize(0);
        assert!(all.is_empty());
    }
}
