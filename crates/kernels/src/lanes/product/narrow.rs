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
    let sums = &mut sums.as_chunks_mut::<LANES>().0[FIRST..][..KEPT];
    for (sums, kept) in sums.iter_mut().zip(kept) {
        for (eight, kept) in sums.as_chunks_mut::<8>().0.iter_mut().zip(kept) {
            // SAFETY: eight words are 256 plain bits.
            unsafe { _mm256_storeu_si256(eight.as_mut_ptr().cast(), kept) };
        }
    }
}

/// Channels kept in registers at a time without VNNI, four registers each.
const KEPT: usize = 2;

/// With AVX2 alone: both sides widened to 16 bits, since its 8-bit multiply-add saturates.
#[target_feature(enable = "avx2")]
pub fn avx2(weights: &[u32], x: &[[u32; LANES]], sums: &mut PanelSums) {
    for (part, sums) in sums.as_chunks_mut::<{ KEPT * LANES }>().0.iter_mut().enumerate() {
        // Of four rows in a register, the sums over even and odd pairs of the inner dimension side by side.
        let mut halves = [[_mm256_setzero_si256(); 4]; KEPT];
        for (tile, x) in weights.as_chunks::<TILE>().0.iter().zip(x.as_chunks::<STEP>().0) {
            for (word, x) in x.iter().enumerate() {
                let rows: [__m256i; 4] = std::array::from_fn(|four| {
                    // SAFETY: four words from one of the four quarters of sixteen.
                    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(x.as_ptr().add(4 * four).cast()) })
                });
                for (channel, halves) in halves.iter_mut().enumerate() {
                    let weight = tile[(part * KEPT + channel) * STEP + word].cast_signed();
                    let weight = _mm256_cvtepi8_epi16(_mm_set1_epi32(weight));
                    for (half, rows) in halves.iter_mut().zip(rows) {
                        *half = _mm256_add_epi32(*half, _mm256_madd_epi16(rows, weight));
                    }
                }
            }
        }
        for (eights, halves) in sums.as_chunks_mut::<LANES>().0.iter_mut().zip(halves) {
            let pairs = halves.as_chunks::<2>().0;
            for (eight, pair) in eights.as_chunks_mut::<8>().0.iter_mut().zip(pairs) {
                let mixed = _mm256_hadd_epi32(pair[0], pair[1]);
                let mixed = _mm256_permute4x64_epi64::<0b11_01_10_00>(mixed);
                // SAFETY: eight words are 256 plain bits.
                unsafe { _mm256_storeu_si256(eight.as_mut_ptr().cast(), mixed) };
            }
        }
    }
}
