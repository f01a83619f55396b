//! The three steps of attention in AVX-512, in f32: on Intel twice as fast as its products of bfloat16.

use super::wide::{largest, power};
use crate::lanes::vector::{get, put};
use crate::lanes::{LANES, Lanes};
use std::arch::x86_64::*;
use std::ops::Range;

/// Channels summed at a time.
const MIXED: usize = 16;

/// `q·k` of every key of a half block that `rows` touches.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn scores<'a>(
    queries: &[Lanes],
    keys: impl Iterator<Item = &'a [Lanes]>,
    rows: &Range<usize>,
    scores: &mut [Lanes],
) {
    const HALF: usize = LANES / 2;
    for ((block, keys), scores) in keys.enumerate().zip(scores.as_chunks_mut::<LANES>().0) {
        let first = block * LANES;
        let touched = |half: usize| first + half * HALF < rows.end && first + (half + 1) * HALF > rows.start;
        match (touched(0), touched(1)) {
            (true, true) => part::<LANES>(queries, keys, 0, scores),
            (true, false) => part::<HALF>(queries, keys, 0, scores),
            (false, true) => part::<HALF>(queries, keys, HALF, scores),
            (false, false) => {}
        }
    }
}

/// Scores of `N` keys of a block from `first` on.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn part<const N: usize>(queries: &[Lanes], keys: &[Lanes], first: usize, scores: &mut [Lanes; LANES]) {
    let mut sums = [_mm512_setzero_ps(); N];
    for (query, keys) in queries.iter().zip(keys) {
        let query = get(query);
        let keys: &[f32] = &keys[first..first + N];
        for n in 0..N {
            sums[n] = _mm512_fmadd_ps(query, _mm512_set1_ps(keys[n]), sums[n]);
        }
    }
    for n in 0..N {
        put(&mut scores[first + n], sums[n]);
    }
}

/// Makes of scores the shares `e^(scale·score)`, not yet divided by their sum; gives one over the sum.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn softmax(scores: &mut [Lanes], scale: f32) -> [__m512; 1] {
    let scale = _mm512_set1_ps(scale * std::f32::consts::LOG2_E);
    let most = _mm512_mul_ps(largest(scores), scale);
    let mut sums = [_mm512_setzero_ps(); 2];
    let (pairs, rest) = scores.as_chunks_mut::<2>();
    for pair in pairs {
        for n in 0..2 {
            let share = power(_mm512_fmsub_ps(get(&pair[n]), scale, most));
            sums[n] = _mm512_add_ps(sums[n], share);
            put(&mut pair[n], share);
        }
    }
    for score in rest {
        let share = power(_mm512_fmsub_ps(get(score), scale, most));
        sums[0] = _mm512_add_ps(sums[0], share);
        put(score, share);
    }
    [_mm512_div_ps(
        _mm512_set1_ps(1.0),
        _mm512_add_ps(sums[0], sums[1]),
    )]
}

/// `out = shares · values · whole` in `lanes`; `shares` and `values` are those of whole blocks, of which `rows` are meant.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn mix<'a>(
    shares: &[Lanes],
    values: impl Iterator<Item = &'a [Lanes]> + Clone,
    rows: &Range<usize>,
    whole: [__m512; 1],
    lanes: &Range<usize>,
    out: &mut [Lanes],
) {
    let mask = ((1u32 << lanes.end) - (1u32 << lanes.start)) as __mmask16;
    let (whole_parts, rest) = out.as_chunks_mut::<MIXED>();
    let first = whole_parts.len() * MIXED;
    for (n, out) in whole_parts.iter_mut().enumerate() {
        let sums = sums::<MIXED>(shares, values.clone(), rows, n * MIXED);
        for (out, sum) in out.iter_mut().zip(sums) {
            // SAFETY: a `Lanes` is sixteen f32; masked lanes are not touched.
            unsafe { _mm512_mask_storeu_ps(out.as_mut_ptr(), mask, _mm512_mul_ps(sum, whole[0])) };
        }
    }
    for (n, out) in rest.iter_mut().enumerate() {
        let [sum] = sums::<1>(shares, values.clone(), rows, first + n);
        // SAFETY: as above.
        unsafe { _mm512_mask_storeu_ps(out.as_mut_ptr(), mask, _mm512_mul_ps(sum, whole[0])) };
    }
}

/// Sums of `N` channels from `channel` on.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn sums<'a, const N: usize>(
    shares: &[Lanes],
    values: impl Iterator<Item = &'a [Lanes]>,
    rows: &Range<usize>,
    channel: usize,
) -> [__m512; N] {
    let mut sums = [_mm512_setzero_ps(); N];
    for ((block, values), shares) in values.enumerate().zip(shares.as_chunks::<LANES>().0) {
        let first = block * LANES;
        let keys = rows.start.saturating_sub(first)..(rows.end - first.min(rows.end)).min(LANES);
        let values: &[Lanes; N] = values[channel..]
            .first_chunk()
            .expect("a value for each channel of `out`");
        for key in keys {
            let share = get(&shares[key]);
            for n in 0..N {
                sums[n] = _mm512_fmadd_ps(share, _mm512_set1_ps(values[n][key]), sums[n]);
            }
        }
    }
    sums
}
