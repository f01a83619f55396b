//! Rows as the left side of products, in the form an arithmetic multiplies.

#[cfg(target_arch = "x86_64")]
use super::vector::{get, put};
use super::{Arithmetic, LANES, Lanes, PANEL};
use crate::aligned::Aligned;
use crate::simd::vectorised;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Level, level};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Rows as one side of products, `[blocks][words][LANES]`; the words of a row are padded to whole steps.
#[derive(Default)]
pub struct Operand {
    pub(super) words: Aligned<u32>,
    /// `[blocks]`: of each row the size of one step and the least value; int8 alone.
    pub(super) scales: Vec<[Lanes; 2]>,
    /// Words of a row, whole steps of a tile.
    pub(super) length: usize,
}

impl Operand {
    /// Takes over `x` `[blocks][width][LANES]` in the form `arithmetic` multiplies.
    ///
    /// int8: each row gets 256 steps from its least to its largest value.
    pub fn set(&mut self, arithmetic: Arithmetic, x: &[f32], width: usize) {
        let size = width * LANES;
        let blocks = x.len() / size;
        assert_eq!(x.len(), blocks * size, "whole blocks of width {width}");
        self.resize(arithmetic, blocks, width);
        for (block, x) in x.chunks_exact(size).enumerate() {
            self.fill(arithmetic, block, [x].into_iter());
        }
    }

    /// Takes over one block whose channels lie in parts, each `[channels][LANES]`, of `width` channels together.
    ///
    /// # Panics
    /// If another part than the last has no whole number of panels, or they have another width.
    pub fn join<'a>(
        &mut self,
        arithmetic: Arithmetic,
        parts: impl Iterator<Item = &'a [f32]> + Clone,
        width: usize,
    ) {
        assert_eq!(parts.clone().map(<[f32]>::len).sum::<usize>(), width * LANES);
        self.resize(arithmetic, 1, width);
        self.fill(arithmetic, 0, parts);
    }

    fn resize(&mut self, arithmetic: Arithmetic, blocks: usize, width: usize) {
        self.length = arithmetic.words(width);
        self.words.resize(blocks * self.length * LANES);
        self.scales.resize(blocks, [[1.0; LANES], [0.0; LANES]]);
    }

    fn fill<'a>(
        &mut self,
        arithmetic: Arithmetic,
        block: usize,
        parts: impl Iterator<Item = &'a [f32]> + Clone,
    ) {
        let size = self.length * LANES;
        let mut words = self.words[block * size..][..size].as_chunks_mut().0;
        let scales = &mut self.scales[block];
        let mut steps = None;
        if arithmetic == Arithmetic::Int8 {
            let (mut least, mut most) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
            for part in parts.clone() {
                extremes(part.as_chunks().0, &mut least, &mut most);
            }
            steps = Some(Steps::between(&least, &most, scales));
        }
        let mut whole = true;
        for part in parts {
            assert!(whole, "a part that is not the last has whole panels");
            let part = part.as_chunks().0;
            whole = part.len().is_multiple_of(PANEL);
            let here;
            (here, words) = words.split_at_mut(part.len().div_ceil(arithmetic.per_word()));
            match (arithmetic, &steps) {
                (Arithmetic::Int8, Some(steps)) => quantize(part, here, steps),
                (Arithmetic::Bf16, _) => round(part, here),
                _ => copy(part, here),
            }
        }
        words.fill([0; LANES]);
    }
}

/// How the rows of a block are cut into steps.
struct Steps {
    /// Steps of a unit.
    inverse: Lanes,
    /// The step of zero.
    start: Lanes,
}

impl Steps {
    /// 256 from the least to the largest value of each row; writes the size of one and the least value to `scales`.
    fn between(least: &Lanes, most: &Lanes, scales: &mut [Lanes; 2]) -> Self {
        let (mut inverse, mut start) = ([0.0; LANES], [0.0; LANES]);
        for lane in 0..LANES {
            let range = most[lane] - least[lane];
            inverse[lane] = if range > 0.0 { 255.0 / range } else { 0.0 };
            start[lane] = -least[lane] * inverse[lane];
            scales[0][lane] = range / 255.0;
            scales[1][lane] = least[lane];
        }
        Self { inverse, start }
    }
}

fn copy(x: &[Lanes], words: &mut [[u32; LANES]]) {
    for (word, x) in words.iter_mut().zip(x) {
        *word = x.map(f32::to_bits);
    }
}

vectorised! {
    fn round(x: &[Lanes], words: &mut [[u32; LANES]]) {
        let (pairs, rest) = x.as_chunks::<2>();
        for (word, [low, high]) in words.iter_mut().zip(pairs) {
            for lane in 0..LANES {
                word[lane] = crate::bf16::pair_of(low[lane], high[lane]);
            }
        }
        if let ([low], Some(word)) = (rest, words.last_mut()) {
            *word = low.map(|low| crate::bf16::pair_of(low, 0.0));
        }
    }
}

/// Rounds a row of weights to 127 steps from zero to its largest value, as signed bytes; gives the size of one step.
///
/// # Panics
/// If the lengths differ.
pub fn weight_steps(row: &[f32], steps: &mut [u8]) -> f32 {
    assert_eq!(row.len(), steps.len());
    let most = row.iter().fold(0.0f32, |most, weight| most.max(weight.abs()));
    let size = most / 127.0;
    round_steps(row, if size > 0.0 { 1.0 / size } else { 0.0 }, steps);
    size
}

vectorised! {
    fn round_steps(row: &[f32], inverse: f32, steps: &mut [u8]) {
        // Adding and taking away 1.5 · 2²³ rounds to the nearest integer, ties to even.
        const NEAREST: f32 = 12_582_912.0;
        for (step, weight) in steps.iter_mut().zip(row) {
            let nearest = (weight * inverse + NEAREST) - NEAREST;
            *step = (nearest as i32) as u8;
        }
    }
}

/// Adding it leaves the nearest integer, ties to even, in the low bits of a small f32.
const MAGIC: f32 = 8_388_608.0;

/// Lowers `least` and raises `most` to what each row holds.
fn extremes(x: &[Lanes], least: &mut Lanes, most: &mut Lanes) {
    #[cfg(target_arch = "x86_64")]
    if level() >= Level::Avx512 {
        // SAFETY: `level` found AVX-512.
        return unsafe { wide_extremes(x, least, most) };
    }
    plain_extremes(x, least, most);
}

vectorised! {
    fn plain_extremes(x: &[Lanes], least: &mut Lanes, most: &mut Lanes) {
        let (mut low, mut high) = (*least, *most);
        for x in x {
            for lane in 0..LANES {
                low[lane] = if x[lane] < low[lane] { x[lane] } else { low[lane] };
                high[lane] = if x[lane] > high[lane] { x[lane] } else { high[lane] };
            }
        }
        (*least, *most) = (low, high);
    }
}

/// With comparisons that do not wait for each other.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn wide_extremes(x: &[Lanes], least: &mut Lanes, most: &mut Lanes) {
    let (mut low, mut high) = ([get(least); 4], [get(most); 4]);
    let (fours, rest) = x.as_chunks::<4>();
    for four in fours {
        for n in 0..4 {
            low[n] = _mm512_min_ps(low[n], get(&four[n]));
            high[n] = _mm512_max_ps(high[n], get(&four[n]));
        }
    }
    for x in rest {
        low[0] = _mm512_min_ps(low[0], get(x));
        high[0] = _mm512_max_ps(high[0], get(x));
    }
    put(
        least,
        _mm512_min_ps(_mm512_min_ps(low[0], low[1]), _mm512_min_ps(low[2], low[3])),
    );
    put(
        most,
        _mm512_max_ps(_mm512_max_ps(high[0], high[1]), _mm512_max_ps(high[2], high[3])),
    );
}

vectorised! {
    fn quantize(x: &[Lanes], words: &mut [[u32; LANES]], by: &Steps) {
        let (inverse, start) = (by.inverse, by.start);
        let steps = |x: &Lanes, lane: usize| (x[lane] * inverse[lane] + start[lane] + MAGIC).to_bits();
        let (fours, rest) = x.as_chunks::<4>();
        for (word, [x0, x1, x2, x3]) in words.iter_mut().zip(fours) {
            for (lane, word) in word.iter_mut().enumerate() {
                *word = (steps(x0, lane) ^ MAGIC.to_bits())
                    | steps(x1, lane) << 8
                    | steps(x2, lane) << 16
                    | steps(x3, lane) << 24;
            }
        }
        if let (false, Some(word)) = (rest.is_empty(), words.last_mut()) {
            *word = [0; LANES];
            for (n, x) in rest.iter().enumerate() {
                for (lane, word) in word.iter_mut().enumerate() {
                    *word |= (steps(x, lane) & 0xff) << (8 * n);
                }
            }
        }
    }
}
