//! int8 sums of a panel in 256-bit vectors.

use super::{LANES, PANEL, PanelSums, STEP, TILE, Widened};
use std::arch::x86_64::*;

/// With AVX-VNNI; six or five channels of both halves of a block stay in registers.
#[target_feature(enable = "avx2,avxvnni")]
pub fn vnni(weights: &[u32], x: &[[u32; LANES]], sums: &mut PanelSums) {
    vnni_part::<0, 6>(weights, x, sums);
    vnni_part::<6, 5>(weights, x, sums);
    vnni_part::<11, 5>(weights, x, sums);
}

#[target_feature(enable = "avx2,avxvnni")]
fn vnni_part<const FIRST: usize, const KEPT: usize>(
    weights: &[u32],
    x: &[[u32; LANES]],
    sums: &mut PanelSums,
) {
    let mut kept = [[_mm256_setzero_si256(); 2]; KEPT];
    for (tile, x) in weights.as_chunks::<TILE>().0.iter().zip(x.as_chunks::<STEP>().0) {
        for (word, x) in x.iter().enumerate() {
            let rows: [__m256i; 2] = std::array::from_fn(|half| {
                // SAFETY: eight words from one of the halves of sixteen.
                unsafe { _mm256_loadu_si256(x.as_ptr().add(8 * half).cast()) }
            });
            for (channel, kept) in kept.iter_mut().enumerate() {
                let weight = _mm256_set1_epi32(tile[(FIRST + channel) * STEP + word].cast_signed());
                for (kept, rows) in kept.iter_mut().zip(rows) {
                    *kept = _mm256_dpbusd_avx_epi32(*kept, rows, weight);
                }
            }
        }
    }
    store::<FIRST, KEPT>(kept, sums);
}

/// Makes of a panel what [`avx2`] multiplies, since the 8-bit multiply-add of AVX2 saturates.
///
/// # Panics
/// If `wide` has not an element for each [`STEP`] words.
#[target_feature(enable = "avx2")]
pub fn widen(weights: &[u32], wide: &mut [Widened]) {
    assert_eq!(weights.len(), wide.len() * STEP);
    for (words, [even, odd]) in weights.as_chunks::<STEP>().0.iter().zip(wide) {
        for half in 0..2 {
            // SAFETY (all three): eight words from one of the halves of sixteen.
            let words: __m256i = unsafe { _mm256_loadu_si256(words.as_ptr().add(8 * half).cast()) };
            let low = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(words));
            let high = _mm256_srai_epi16::<8>(words);
            unsafe { _mm256_storeu_si256(even.as_mut_ptr().add(8 * half).cast(), low) };
            unsafe { _mm256_storeu_si256(odd.as_mut_ptr().add(8 * half).cast(), high) };
        }
    }
}

/// With AVX2 alone, from what [`widen`] made of the weights; six or five channels of both halves of a block stay in registers.
#[target_feature(enable = "avx2")]
pub fn avx2(wide: &[Widened], x: &[[u32; LANES]], sums: &mut PanelSums) {
    avx2_part::<0, 6>(wide, x, sums);
    avx2_part::<6, 5>(wide, x, sums);
    avx2_part::<11, 5>(wide, x, sums);
}

#[target_feature(enable = "avx2")]
fn avx2_part<const FIRST: usize, const KEPT: usize>(
    wide: &[Widened],
    x: &[[u32; LANES]],
    sums: &mut PanelSums,
) {
    let mut kept = [[_mm256_setzero_si256(); 2]; KEPT];
    for (tile, x) in wide.as_chunks::<PANEL>().0.iter().zip(x.as_chunks::<STEP>().0) {
        for (word, x) in x.iter().enumerate() {
            let rows: [__m256i; 2] = std::array::from_fn(|half| {
                // SAFETY: eight words from one of the halves of sixteen.
                unsafe { _mm256_loadu_si256(x.as_ptr().add(8 * half).cast()) }
            });
            let even = rows.map(|rows| _mm256_and_si256(rows, _mm256_set1_epi16(0xff)));
            let odd = rows.map(|rows| _mm256_srli_epi16::<8>(rows));
            for (n, rows) in [even, odd].into_iter().enumerate() {
                for (channel, kept) in kept.iter_mut().enumerate() {
                    let weight = _mm256_set1_epi32(tile[FIRST + channel][n][word].cast_signed());
                    for (kept, rows) in kept.iter_mut().zip(rows) {
                        *kept = _mm256_add_epi32(*kept, _mm256_madd_epi16(rows, weight));
                    }
                }
            }
        }
    }
    store::<FIRST, KEPT>(kept, sums);
}

/// Puts the sums of neighbouring channels where they belong.
#[target_feature(enable = "avx2")]
fn store<const FIRST: usize, const KEPT: usize>(kept: [[__m256i; 2]; KEPT], sums: &mut PanelSums) {
    let sums = &mut sums.as_chunks_mut::<LANES>().0[FIRST..][..KEPT];
    for (sums, kept) in sums.iter_mut().zip(kept) {
        for (eight, kept) in sums.as_chunks_mut::<8>().0.iter_mut().zip(kept) {
            // SAFETY: eight words are 256 plain bits.
            unsafe { _mm256_storeu_si256(eight.as_mut_ptr().cast(), kept) };
        }
    }
}
