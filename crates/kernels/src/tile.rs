//! The tiles operands of products are packed in.
//!
//! A *left tile* is [`SIDE`] rows of [`STEP`] 32-bit words along the inner dimension; a *right tile* is as many words of
//! [`SIDE`] columns. A word holds one f32, two bfloat16 or four int8. Every kernel, from AMX down to plain Rust, reads the
//! same tiles, so weights packed on one machine serve on another.

/// Rows of a left tile and columns of a right one.
pub const SIDE: usize = 16;
/// Words along the inner dimension.
pub const STEP: usize = 16;
/// Words of a tile.
pub const TILE: usize = SIDE * STEP;

/// Exchanges rows and columns of a tile.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
pub fn transpose(tile: &mut [std::arch::x86_64::__m512i; SIDE]) {
    use std::arch::x86_64::*;
    // Pairs of rows, then fours, within each quarter of a vector; then the quarters.
    let mut t = [_mm512_setzero_si512(); SIDE];
    for n in (0..SIDE).step_by(2) {
        t[n] = _mm512_unpacklo_epi32(tile[n], tile[n + 1]);
        t[n + 1] = _mm512_unpackhi_epi32(tile[n], tile[n + 1]);
    }
    // `u[4·f + c]` holds, in quarter q, column 4·q + c of rows 4·f to 4·f + 3.
    let mut u = [_mm512_setzero_si512(); SIDE];
    for four in (0..SIDE).step_by(4) {
        for half in 0..2 {
            let (a, b) = (t[four + half], t[four + 2 + half]);
            u[four + 2 * half] = _mm512_unpacklo_epi64(a, b);
            u[four + 2 * half + 1] = _mm512_unpackhi_epi64(a, b);
        }
    }
    // `v[8·h + c]` holds quarters 0 and 2 of rows 8·h to 8·h + 7, `v[8·h + 4 + c]` quarters 1 and 3.
    let mut v = [_mm512_setzero_si512(); SIDE];
    for half in [0, 8] {
        for c in 0..4 {
            let (a, b) = (u[half + c], u[half + 4 + c]);
            v[half + c] = _mm512_shuffle_i32x4::<0x88>(a, b);
            v[half + 4 + c] = _mm512_shuffle_i32x4::<0xdd>(a, b);
        }
    }
    for c in 0..8 {
        tile[c] = _mm512_shuffle_i32x4::<0x88>(v[c], v[8 + c]);
        tile[8 + c] = _mm512_shuffle_i32x4::<0xdd>(v[c], v[8 + c]);
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn rows_become_columns() {
        use super::*;
        use std::arch::x86_64::*;
        if crate::simd::level() < crate::simd::Level::Avx512 {
            return;
        }
        #[target_feature(enable = "avx512f")]
        fn run() -> [[u32; SIDE]; SIDE] {
            let row = |n: usize| -> [u32; SIDE] { std::array::from_fn(|i| (n * SIDE + i) as u32) };
            // SAFETY (both): sixteen words are 512 plain bits.
            let mut tile =
                std::array::from_fn(|n| unsafe { std::mem::transmute::<[u32; SIDE], __m512i>(row(n)) });
            transpose(&mut tile);
            tile.map(|row| unsafe { std::mem::transmute::<__m512i, [u32; SIDE]>(row) })
        }
        // SAFETY: `level` found AVX-512.
        let found = unsafe { run() };
        for (n, row) in found.iter().enumerate() {
            for (i, word) in row.iter().enumerate() {
                assert_eq!(*word as usize, i * SIDE + n);
            }
        }
    }
}
