//! Rows as the left side of products, in the form an arithmetic multiplies.

use super::{Arithmetic, LANES, Lanes};
use crate::aligned::Aligned;
use crate::simd::vectorised;

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
        self.length = arithmetic.words(width);
        self.words.resize(blocks * self.length * LANES);
        self.scales.resize(blocks, [[1.0; LANES], [0.0; LANES]]);
        let used = width.div_ceil(arithmetic.per_word());
        let blocks = x
            .chunks_exact(size)
            .zip(self.words.chunks_exact_mut(self.length * LANES));
        for ((x, words), scales) in blocks.zip(&mut self.scales) {
            let (x, words) = (x.as_chunks().0, words.as_chunks_mut().0);
            let (words, padding) = words.split_at_mut(used);
            padding.fill([0; LANES]);
            match arithmetic {
                Arithmetic::F32 => copy(x, words),
                Arithmetic::Bf16 => round(x, words),
                Arithmetic::Int8 => quantize(x, words, scales),
            }
        }
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

vectorised! {
    fn quantize(x: &[Lanes], words: &mut [[u32; LANES]], scales: &mut [Lanes; 2]) {
        let (mut least, mut most) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        for x in x {
            for lane in 0..LANES {
                least[lane] = if x[lane] < least[lane] { x[lane] } else { least[lane] };
                most[lane] = if x[lane] > most[lane] { x[lane] } else { most[lane] };
            }
        }
        let (mut inverse, mut start) = ([0.0; LANES], [0.0; LANES]);
        for lane in 0..LANES {
            let range = most[lane] - least[lane];
            inverse[lane] = if range > 0.0 { 255.0 / range } else { 0.0 };
            start[lane] = -least[lane] * inverse[lane];
            scales[0][lane] = range / 255.0;
            scales[1][lane] = least[lane];
        }
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
