//! PanelSums of a panel in AVX-512: eight channels of up to three blocks stay in registers.
//!
//! While a panel is computed the one after it is fetched to the second-level cache: weights from memory arrive too late
//! by the processor's own guess, which cost a lone text a third of its time on Zen 4.

use super::{LANES, PANEL, PanelSums, STEP, TILE};
use std::arch::x86_64::*;

/// Channels in registers at a time.
const KEPT: usize = 8;

macro_rules! sums {
    ($name:ident, $features:literal, $zero:expr, |$sum:ident, $x:ident, $weight:ident| $multiply:expr, $store:ident) => {
        /// # Safety
        /// The processor has these features. Each pointer of `x` leads to `[weights / PANEL][LANES]` words.
        #[target_feature(enable = $features)]
        pub unsafe fn $name<const B: usize>(weights: &[u32], x: [*const u32; B], sums: &mut [PanelSums]) {
            let tiles = weights.as_chunks::<TILE>().0;
            // Of the next panel; past the last one a prefetch does nothing.
            let mut coming = weights.as_ptr_range().end;
            for part in 0..PANEL / KEPT {
                let mut kept = [[$zero; B]; KEPT];
                for (step, tile) in tiles.iter().enumerate() {
                    let tile = &tile[part * KEPT * STEP..][..KEPT * STEP];
                    for _ in 0..KEPT {
                        _mm_prefetch::<_MM_HINT_T1>(coming.cast());
                        coming = coming.wrapping_add(STEP);
                    }
                    for word in 0..STEP {
                        // SAFETY: each block of `x` holds LANES words for every word of a channel.
                        let $x: [__m512i; B] = std::array::from_fn(|block| unsafe {
                            _mm512_loadu_si512(x[block].add((step * STEP + word) * LANES).cast())
                        });
                        for (channel, kept) in kept.iter_mut().enumerate() {
                            let $weight = _mm512_set1_epi32(tile[channel * STEP + word].cast_signed());
                            for block in 0..B {
                                let $sum = kept[block];
                                let $x = $x[block];
                                kept[block] = $multiply;
                            }
                        }
                    }
                }
                for (channel, kept) in kept.iter().enumerate() {
                    for (sums, kept) in sums.iter_mut().zip(kept) {
                        let row = &mut sums.as_chunks_mut::<LANES>().0[part * KEPT + channel];
                        // SAFETY: sixteen words are 512 plain bits.
                        unsafe { $store(row.as_mut_ptr().cast(), *kept) };
                    }
                }
            }
        }
    };
}

sums!(
    int8,
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni",
    _mm512_setzero_si512(),
    |sum, x, weight| _mm512_dpbusd_epi32(sum, x, weight),
    _mm512_storeu_si512
);

sums!(
    bf16,
    "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16",
    _mm512_setzero_ps(),
    // SAFETY: both types are 512 plain bits.
    |sum, x, weight| unsafe {
        _mm512_dpbf16_ps(
            sum,
            std::mem::transmute::<__m512i, __m512bh>(x),
            std::mem::transmute::<__m512i, __m512bh>(weight),
        )
    },
    _mm512_storeu_ps
);

sums!(
    f32,
    "avx512f,avx512bw,avx512dq,avx512vl",
    _mm512_setzero_ps(),
    |sum, x, weight| _mm512_fmadd_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(weight), sum),
    _mm512_storeu_ps
);
