//! Products in AVX-512 BF16 (`vdpbf16ps`): rows are broadcast, columns lie in vectors.
//!
//! Both operands are packed once per product in the order the kernel reads:
//! panels of [`TILE_ROWS`] rows or [`TILE_COLS`] columns, two neighbouring values of the inner dimension in one
//! 32-bit word. The kernel keeps a tile of the output in registers over a stretch of the inner dimension
//! short enough that a panel stays in the first-level cache (Goto & van de Geijn 2008).

use super::pair_of;
use crate::matmul::{Product, View};
use crate::simd::vectorised;
use rayon::prelude::*;

const TILE_ROWS: usize = 12;
const TILE_COLS: usize = 32;
/// Pairs of the inner dimension worked on at a time: 32 columns × 160 pairs × 4 bytes = 20 KiB.
const BLOCK_PAIRS: usize = 160;
/// Rows one task works on: 240 × 160 pairs × 4 bytes = 150 KiB of the left operand, in the second-level cache.
const BLOCK_ROWS: usize = 240;

/// The left operand `[m, k]`, panels of [`TILE_ROWS`] rows.
pub struct PackedLeft {
    words: Vec<u32>,
    rows: usize,
    pairs: usize,
}

impl PackedLeft {
    pub fn new(a: View<'_>) -> Self {
        Self {
            words: pack::<TILE_ROWS>(a),
            rows: a.rows,
            pairs: a.cols.div_ceil(2),
        }
    }
}

/// The right operand `[k, n]`, panels of [`TILE_COLS`] columns.
pub struct PackedRight {
    words: Vec<u32>,
    cols: usize,
    pairs: usize,
}

impl PackedRight {
    pub fn new(b: View<'_>) -> Self {
        Self {
            words: pack::<TILE_COLS>(b.transposed()),
            cols: b.cols,
            pairs: b.rows.div_ceil(2),
        }
    }
}

/// Packs `[lines, k]` to `[lines / WIDTH][k / 2][WIDTH]` words, zero where there is no value.
fn pack<const WIDTH: usize>(view: View<'_>) -> Vec<u32> {
    let pairs = view.cols.div_ceil(2);
    let mut words = vec![0u32; view.rows.div_ceil(WIDTH) * pairs * WIDTH];
    words
        .par_chunks_mut((pairs * WIDTH).max(1))
        .enumerate()
        .for_each(|(panel, words)| {
            let first = panel * WIDTH;
            let lines = WIDTH.min(view.rows - first);
            if view.row_stride == 1 {
                pack_across::<WIDTH>(view, first, lines, words);
            } else {
                pack_along::<WIDTH>(view, first, lines, words);
            }
        });
    words
}

/// Neighbouring lines are neighbours in memory: take two positions of `k` over all lines at once.
fn pack_across<const WIDTH: usize>(view: View<'_>, first: usize, lines: usize, words: &mut [u32]) {
    for (pair, words) in words.chunks_exact_mut(WIDTH).enumerate() {
        let low = &view.data[2 * pair * view.col_stride + first..][..lines];
        if 2 * pair + 1 < view.cols {
            let high = &view.data[(2 * pair + 1) * view.col_stride + first..][..lines];
            join(low, high, words);
        } else {
            join(low, &[0.0; WIDTH][..lines], words);
        }
    }
}

vectorised! {
    fn join(low: &[f32], high: &[f32], words: &mut [u32]) {
        for ((word, low), high) in words.iter_mut().zip(low).zip(high) {
            *word = pair_of(*low, *high);
        }
    }
}

/// Each line is contiguous along `k`: take line after line.
fn pack_along<const WIDTH: usize>(view: View<'_>, first: usize, lines: usize, words: &mut [u32]) {
    debug_assert_eq!(view.col_stride, 1);
    for line in 0..lines {
        let row = &view.data[(first + line) * view.row_stride..][..view.cols];
        let (twos, rest) = row.as_chunks::<2>();
        for (word, [low, high]) in words[line..].iter_mut().step_by(WIDTH).zip(twos) {
            *word = pair_of(*low, *high);
        }
        if let [last] = rest {
            words[twos.len() * WIDTH + line] = pair_of(*last, 0.0);
        }
    }
}

/// Multiplies packed operands into row-major `out` `[m, n]`.
pub fn multiply(a: &PackedLeft, b: &PackedRight, product: Product, out: &mut [f32]) {
    assert_eq!(a.pairs, b.pairs, "inner sizes of a product");
    assert_eq!(out.len(), a.rows * b.cols);
    if product == Product::Replace && a.pairs == 0 {
        out.fill(0.0);
    }
    if out.is_empty() || a.pairs == 0 {
        return;
    }
    let threads = rayon::current_num_threads();
    // Equal shares of whole tiles, as many as a multiple of the threads.
    let tiles = a.rows.div_ceil(TILE_ROWS);
    let shares = a.rows.div_ceil(BLOCK_ROWS).next_multiple_of(threads).min(tiles);
    let rows_per_share = tiles.div_ceil(shares) * TILE_ROWS;
    if a.rows * b.cols * a.pairs < 1 << 14 {
        for (n, out) in out.chunks_mut(rows_per_share * b.cols).enumerate() {
            multiply_share(a, b, n * rows_per_share, product, out);
        }
        return;
    }
    out.par_chunks_mut(rows_per_share * b.cols)
        .enumerate()
        .for_each(|(n, out)| {
            multiply_share(a, b, n * rows_per_share, product, out);
        });
}

/// The rows of `out` from `first` on; `out` holds whole rows.
fn multiply_share(a: &PackedLeft, b: &PackedRight, first: usize, product: Product, out: &mut [f32]) {
    let rows = out.len() / b.cols;
    let blocks = a.pairs.div_ceil(BLOCK_PAIRS);
    let pairs_per_block = a.pairs.div_ceil(blocks);
    for start in (0..a.pairs).step_by(pairs_per_block) {
        let pairs = pairs_per_block.min(a.pairs - start);
        let add = product == Product::Add || start > 0;
        for col in (0..b.cols).step_by(TILE_COLS) {
            let right = &b.words[(col / TILE_COLS * b.pairs + start) * TILE_COLS..][..pairs * TILE_COLS];
            for row in (0..rows).step_by(TILE_ROWS) {
                let panel = (first + row) / TILE_ROWS;
                let left = &a.words[(panel * a.pairs + start) * TILE_ROWS..][..pairs * TILE_ROWS];
                let (tile_rows, tile_cols) = (TILE_ROWS.min(rows - row), TILE_COLS.min(b.cols - col));
                let corner = &mut out[row * b.cols + col..];
                assert!(corner.len() >= (tile_rows - 1) * b.cols + tile_cols);
                // SAFETY: `Precision::supported` found AVX-512 BF16; `left` and `right` hold `pairs` words per
                // line of a tile, and `corner` was just checked to hold the tile.
                unsafe {
                    tile(
                        left,
                        right,
                        corner.as_mut_ptr(),
                        b.cols,
                        tile_rows,
                        tile_cols,
                        add,
                    )
                };
            }
        }
    }
}

/// One tile of the output over a stretch of the inner dimension.
///
/// # Safety
/// The processor has AVX-512 BF16. `left` is `[pairs][TILE_ROWS]`, `right` `[pairs][TILE_COLS]`; `out` points to
/// `rows` ≤ `TILE_ROWS` rows, `stride` apart, of `cols` ≤ `TILE_COLS` elements.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn tile(
    left: &[u32],
    right: &[u32],
    out: *mut f32,
    stride: usize,
    rows: usize,
    cols: usize,
    add: bool,
) {
    use std::arch::x86_64::*;
    let mut sums = [[_mm512_setzero_ps(); 2]; TILE_ROWS];
    let (left, _) = left.as_chunks::<TILE_ROWS>();
    let (right, _) = right.as_chunks::<TILE_COLS>();
    for (left, right) in left.iter().zip(right) {
        // SAFETY: `right` is an array of 32 words; unaligned loads of 16 words each, reinterpreted as pairs.
        let columns: [__m512bh; 2] = unsafe {
            [
                std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(right.as_ptr().cast())),
                std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(right.as_ptr().add(16).cast())),
            ]
        };
        for row in 0..TILE_ROWS {
            // SAFETY: both types are 512 plain bits.
            let pair = unsafe {
                std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(left[row].cast_signed()))
            };
            sums[row][0] = _mm512_dpbf16_ps(sums[row][0], pair, columns[0]);
            sums[row][1] = _mm512_dpbf16_ps(sums[row][1], pair, columns[1]);
        }
    }
    let mask = |from: usize| -> __mmask16 {
        match cols.saturating_sub(from) {
            0 => 0,
            n if n >= 16 => 0xffff,
            n => (1 << n) - 1,
        }
    };
    for (row, sums) in sums.iter().enumerate().take(rows) {
        for (half, sum) in sums.iter().enumerate() {
            let lanes = mask(16 * half);
            // SAFETY: the caller promises `rows` rows of `cols` elements; masked lanes are not touched.
            unsafe {
                let at = out.wrapping_add(row * stride + 16 * half);
                let old = if add {
                    _mm512_maskz_loadu_ps(lanes, at)
                } else {
                    _mm512_setzero_ps()
                };
                _mm512_mask_storeu_ps(at, lanes, _mm512_add_ps(old, *sum));
            }
        }
    }
}
