//! int8 sums of a panel in 256-bit vectors.

use super::{LANES, PanelSums, STEP, TILE};
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

/// Of each word the even and the odd bytes, as pairs of 16 bits.
pub type Wide = [u32; 2];

/// Makes of a panel what [`avx2`] multiplies, since the 8-bit multiply-add of AVX2 saturates; `wide` has as many words.
///
/// # Panics
/// If the lengths differ or are not whole tiles.
#[target_feature(enable = "avx2")]
pub fn widen(weights: &[u32], wide: &mut [Wide]) {
    assert!(weights.len() == wide.len() && weights.len().is_multiple_of(TILE));
    for (words, wide) in weights.as_chunks::<8>().0.iter().zip(wide.as_chunks_mut::<8>().0) {
        // SAFETY: eight words are 256 plain bits.
        let words: __m256i = unsafe { _mm256_loadu_si256(words.as_ptr().cast()) };
        let even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(words));
        let odd = _mm256_srai_epi16::<8>(words);
        let (low, high) = (_mm256_unpacklo_epi32(even, odd), _mm256_unpackhi_epi32(even, odd));
        let halves = [
            _mm256_permute2x128_si256::<0x20>(low, high),
            _mm256_permute2x128_si256::<0x31>(low, high),
        ];
        for (wide, half) in wide.as_chunks_mut::<4>().0.iter_mut().zip(halves) {
            // SAFETY: four pairs of words are 256 plain bits.
            unsafe { _mm256_storeu_si256(wide.as_mut_ptr().cast(), half) };
        }
    }
}

/// With AVX2 alone, from what [`widen`] made of the weights; six or five channels of both halves of a block stay in registers.
#[target_feature(enable = "avx2")]
pub fn avx2(wide: &[Wide], x: &[[u32; LANES]], sums: &mut PanelSums) {
    avx2_part::<0, 6>(wide, x, sums);
    avx2_part::<6, 5>(wide, x, sums);
    avx2_part::<11, 5>(wide, x, sums);
}

#[target_feature(enable = "avx2")]
fn avx2_part<const FIRST: usize, const KEPT: usize>(wide: &[Wide], x: &[[u32; LANES]], sums: &mut PanelSums) {
    let mut kept = [[_mm256_setzero_si256(); 2]; KEPT];
    for (tile, x) in wide.as_chunks::<TILE>().0.iter().zip(x.as_chunks::<STEP>().0) {
        for (word, x) in x.iter().enumerate() {
            let rows: [__m256i; 2] = std::array::from_fn(|half| {
                // SAFETY: eight words from one of the halves of sixteen.
                unsafe { _mm256_loadu_si256(x.as_ptr().add(8 * half).cast()) }
            });
            let even = rows.map(|rows| _mm256_and_si256(rows, _mm256_set1_epi16(0xff)));
            let odd = rows.map(|rows| _mm256_srli_epi16::<8>(rows));
            for (n, rows) in [even, odd].into_iter().enumerate() {
                for (channel, kept) in kept.iter_mut().enumerate() {
                    let weight = _mm256_set1_epi32(tile[(FIRST + channel) * STEP + word][n].cast_signed());
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
