//! A block's lanes as one vector of AVX-512.

use super::Lanes;
use std::arch::x86_64::*;

/// The sixteen values.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn get(lanes: &Lanes) -> __m512 {
    // SAFETY: a `Lanes` is sixteen f32.
    unsafe { _mm512_loadu_ps(lanes.as_ptr()) }
}

/// Writes sixteen values.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn put(lanes: &mut Lanes, x: __m512) {
    // SAFETY: a `Lanes` is sixteen f32.
    unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), x) }
}
