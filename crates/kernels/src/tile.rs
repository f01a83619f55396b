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
    let t: [__m512i; SIDE] = std::array::from_fn(|n| {
        let (a, b) = (tile[n & !1], tile[n | 1]);
        if n & 1 == 0 {
            _mm512_unpacklo_epi32(a, b)
        } else {
            _mm512_unpackhi_epi32(a, b)
        }
    });
    let u: [__m512i; SIDE] = std::array::from_fn(|n| {
        let (four, column) = (n & !3, n & 3);
        let (a, b) = (t[four + (column >> 1)], t[four + 2 + (column >> 1)]);
        if column & 1 == 0 {
            _mm512_unpacklo_epi64(a, b)
        } else {
            _mm512_unpackhi_epi64(a, b)
        }
    });
    // `u[4·f + c]` holds, in quarter q, column 4·q + c of rows 4·f to 4·f + 3.
    let v: [__m512i; SIDE] = std::array::from_fn(|n| {
        let (c, part) = (n & 3, n >> 2);
        let (a, b) = (u[8 * (part >> 1) + c], u[8 * (part >> 1) + 4 + c]);
        if part & 1 == 0 {
            _mm512_shuffle_i32x4::<0x88>(a, b)
        } else {
            _mm512_shuffle_i32x4::<0xdd>(a, b)
        }
    });
    // `v[c]` and `v[8 + c]`: quarters (0, 2) of rows 0 to 7 and of rows 8 to 15; `v[4 + c]`, `v[12 + c]`: quarters (1, 3).
    for (n, row) in tile.iter_mut().enumerate() {
        let (c, quarter) = (n & 3, n >> 2);
        let (a, b) = (v[4 * (quarter & 1) + c], v[8 + 4 * (quarter & 1) + c]);
        *row = if quarter < 2 {
            _mm512_shuffle_i32x4::<0x88>(a, b)
        } else {
            _mm512_shuffle_i32x4::<0xdd>(a, b)
        };
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
