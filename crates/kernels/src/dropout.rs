//! Inverted dropout whose mask is a function of a key and a position.
//!
//! Nothing is stored for the backward pass and no order of work matters: the mask of element `i` is a hash of
//! `(key, i)`, so any thread computes it again.
//!
//! Source: Srivastava et al. 2014; the mixer is the 32-bit finaliser `lowbias32` of C. Wellons' hash-prospector.

use crate::simd::vectorised;
use rayon::prelude::*;

/// Which elements are dropped, and by what the others are scaled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    key: u32,
    /// Elements whose hash is below this are dropped; 0 drops none.
    threshold: u32,
    scale: f32,
}

impl Dropout {
    /// Drops nothing, as in inference.
    pub const NONE: Self = Self {
        key: 0,
        threshold: 0,
        scale: 1.0,
    };

    /// Drops each element with probability `rate` in `[0, 1)`; `key` names the place and the step.
    pub fn new(rate: f32, key: u64) -> Self {
        assert!(
            (0.0..1.0).contains(&rate),
            "a dropout rate lies in [0, 1), found {rate}"
        );
        let key = mix(key as u32 ^ mix((key >> 32) as u32 ^ 0x9e37_79b9));
        Self {
            key,
            threshold: (f64::from(rate) * 4_294_967_296.0) as u32,
            scale: 1.0 / (1.0 - rate),
        }
    }

    /// The same dropout for another place, such as one head of one mail.
    pub fn at(self, place: u32) -> Self {
        Self {
            key: mix(self.key ^ place.wrapping_mul(0x85eb_ca6b)),
            ..self
        }
    }

    /// True when no element is dropped.
    pub fn is_none(self) -> bool {
        self.threshold == 0
    }

    /// What element `i` is multiplied by.
    #[inline(always)]
    pub fn factor(self, i: u32) -> f32 {
        if mix(i ^ self.key) < self.threshold {
            0.0
        } else {
            self.scale
        }
    }
}

#[inline(always)]
fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

const BLOCK: usize = 1 << 14;

/// Multiplies every element by its factor; the forward and the backward pass are the same.
pub fn apply(dropout: Dropout, values: &mut [f32]) {
    if dropout.is_none() {
        return;
    }
    values
        .par_chunks_mut(BLOCK)
        .enumerate()
        .for_each(|(n, values)| apply_from(dropout, n * BLOCK, values));
}

vectorised! {
    /// The same from element `first` on, without starting other threads.
    pub(crate) fn apply_from(dropout: Dropout, first: usize, values: &mut [f32]) {
        for (i, value) in values.iter_mut().enumerate() {
            *value *= dropout.factor((first + i) as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_the_share_asked_for_and_keeps_the_mean() {
        let mut values = vec![1.0; 400_000];
        apply(Dropout::new(0.1, 7), &mut values);
        let dropped = values.iter().filter(|x| **x == 0.0).count() as f64 / values.len() as f64;
        let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / values.len() as f64;
        assert!((dropped - 0.1).abs() < 0.003, "{dropped}");
        assert!((mean - 1.0).abs() < 0.005, "{mean}");
    }

    #[test]
    fn repeats_for_a_key_and_differs_between_keys_and_places() {
        let mask = |dropout: Dropout| (0..256).map(|i| dropout.factor(i) == 0.0).collect::<Vec<_>>();
        let one = Dropout::new(0.5, 1);
        assert_eq!(mask(one), mask(Dropout::new(0.5, 1)));
        assert_ne!(mask(one), mask(Dropout::new(0.5, 2)));
        assert_ne!(mask(one), mask(Dropout::new(0.5, 1 << 32)));
        assert_ne!(mask(one.at(0)), mask(one.at(1)));
    }

    #[test]
    fn none_changes_nothing() {
        assert!((0..100).all(|i| Dropout::NONE.factor(i) == 1.0));
    }
}
