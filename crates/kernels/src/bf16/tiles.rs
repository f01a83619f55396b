//! Products in AMX.
//!
//! Both operands are packed once per product into [`tile`](crate::tile)s. A share of the rows goes through stretches of the
//! inner dimension and of the columns that stay in the second-level cache.

use crate::aligned::Aligned;
use crate::amx;
use crate::matmul::{Product, View};
use crate::tile::{SIDE, STEP, TILE, transpose};
use rayon::prelude::*;
use std::arch::x86_64::*;
use std::cell::Cell;

/// Values of the inner dimension in a tile.
const DEPTH: usize = 2 * STEP;
/// Tiles of the inner dimension worked on at a time: two panels of sixteen are 32 KiB.
const BLOCK_STEPS: usize = 16;
/// Panels of columns worked on at a time: with sixteen steps 512 KiB.
const BLOCK_PANELS: usize = 32;
/// Panels packed side by side: where lines are neighbours in memory, four cache lines of a row of them are read at a time.
const TOGETHER: usize = 4;

thread_local! {
    /// Packed operands, their memory kept from product to product.
    static PACKED: Cell<[Aligned<u32>; 2]> = Cell::default();
}

/// Which tiles an operand is packed to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Left,
    Right,
}

/// Multiplies `a` `[m, k]` by `b` `[k, n]` into row-major `out` `[m, n]`, over all cores.
///
/// # Panics
/// Where the processor lacks AMX.
pub fn multiply(a: View<'_>, b: View<'_>, product: Product, out: &mut [f32]) {
    let (m, n, steps) = (a.rows, b.cols, a.cols.div_ceil(DEPTH));
    if out.is_empty() {
        return;
    }
    if steps == 0 {
        if product == Product::Replace {
            out.fill(0.0);
        }
        return;
    }
    let [mut left, mut right] = PACKED.take();
    pack(a, Role::Left, &mut left);
    pack(b.transposed(), Role::Right, &mut right);
    let pairs = m.div_ceil(2 * SIDE);
    let shares = if m * n * a.cols < 1 << 18 {
        1
    } else {
        pairs.min(4 * rayon::current_num_threads())
    };
    let rows = pairs.div_ceil(shares) * 2 * SIDE;
    let share = |(number, out): (usize, &mut [f32])| {
        let left = &left[number * rows * steps * STEP..];
        multiply_share(left, &right, steps, n, product, out);
    };
    if shares == 1 {
        share((0, out));
    } else {
        out.par_chunks_mut(rows * n).enumerate().for_each(share);
    }
    PACKED.set([left, right]);
}

/// `out` holds whole rows of `n` columns; `left` begins with their panels.
fn multiply_share(left: &[u32], right: &[u32], steps: usize, n: usize, product: Product, out: &mut [f32]) {
    let tiles = amx::Tiles::new().expect("products in tiles are chosen where there is AMX");
    let panel = steps * TILE;
    let (rows, columns) = (out.len() / n, n.div_ceil(SIDE));
    let mut sums = Sums([[0; TILE]; 4]);
    for step in (0..steps).step_by(BLOCK_STEPS) {
        let count = BLOCK_STEPS.min(steps - step);
        let add = product == Product::Add || step > 0;
        let at =
            |packed: &[u32], number: usize| packed[number * panel + step * TILE..][..count * TILE].as_ptr();
        for first in (0..columns).step_by(BLOCK_PANELS) {
            let last = (first + BLOCK_PANELS).min(columns);
            for row in (0..rows).step_by(2 * SIDE) {
                // A lone panel is computed twice.
                let below = (row / SIDE + 1).min(rows.div_ceil(SIDE) - 1);
                let lefts = [at(left, row / SIDE), at(left, below)];
                for column in (first..last).step_by(2) {
                    let beside = (column + 1).min(columns - 1);
                    let rights = [at(right, column), at(right, beside)];
                    // SAFETY: each pointer leads to `count` tiles, which `at` has checked.
                    unsafe { amx::bf16(&tiles, lefts, rights, count, &mut sums.0) };
                    for (which, sums) in sums.0.iter().enumerate() {
                        let (row, column) = (row + which / 2 * SIDE, (column + which % 2) * SIDE);
                        if row < rows && column < n {
                            let lines = SIDE.min(rows - row);
                            // SAFETY: AMX comes with AVX-512.
                            unsafe {
                                put(
                                    sums,
                                    &mut out[row * n + column..],
                                    n,
                                    lines,
                                    SIDE.min(n - column),
                                    add,
                                )
                            };
                        }
                    }
                }
            }
        }
    }
}

/// The kernel's result, on cache lines.
#[repr(align(64))]
struct Sums([[u32; TILE]; 4]);

/// Writes or adds a tile's upper left corner of `rows` × `columns` to `out`, whose rows are `stride` apart.
#[target_feature(enable = "avx512f")]
fn put(sums: &[u32; TILE], out: &mut [f32], stride: usize, rows: usize, columns: usize, add: bool) {
    assert!(out.len() >= (rows - 1) * stride + columns);
    let mask = lanes(columns);
    for (row, sums) in sums.as_chunks::<SIDE>().0.iter().enumerate().take(rows) {
        // SAFETY (all): the assertion above; masked lanes are not touched.
        unsafe {
            let at = out.as_mut_ptr().add(row * stride);
            let mut sum = _mm512_loadu_ps(sums.as_ptr().cast());
            if add {
                sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, at));
            }
            _mm512_mask_storeu_ps(at, mask, sum);
        }
    }
}

/// A mask of the first `count` of sixteen lanes.
fn lanes(count: usize) -> __mmask16 {
    if count >= SIDE { 0xffff } else { (1 << count) - 1 }
}

/// Packs `[lines, k]` to `[lines / SIDE][k / DEPTH]` tiles, zero where there is no value.
fn pack(view: View<'_>, role: Role, words: &mut Aligned<u32>) {
    let steps = view.cols.div_ceil(DEPTH);
    let panel = steps * TILE;
    words.resize(view.rows.div_ceil(SIDE) * panel);
    let group = |(number, words): (usize, &mut [u32])| {
        for step in 0..steps {
            let depth = step * DEPTH..view.cols.min((step + 1) * DEPTH);
            for (beside, words) in words.chunks_exact_mut(panel).enumerate() {
                let first = (number * TOGETHER + beside) * SIDE;
                let count = SIDE.min(view.rows - first);
                let (turned, words) = (role == Role::Right, &mut words.as_chunks_mut::<TILE>().0[step]);
                // SAFETY (both): AMX comes with AVX-512 BF16.
                if view.col_stride == 1 {
                    unsafe { along(view, first, count, depth.start, depth.len(), turned, words) };
                } else {
                    unsafe { across(view, first, count, depth.start, depth.len(), !turned, words) };
                }
            }
        }
    };
    words.par_chunks_mut(TOGETHER * panel).enumerate().for_each(group);
}

/// A tile of lines that are contiguous along the inner dimension; a row a line unless `turned`.
#[target_feature(enable = "avx512f,avx512bf16")]
fn along(
    view: View<'_>,
    first: usize,
    count: usize,
    from: usize,
    depth: usize,
    turned: bool,
    words: &mut [u32; TILE],
) {
    let masks = [lanes(depth), lanes(depth.saturating_sub(SIDE))];
    let mut rows = [_mm512_setzero_si512(); SIDE];
    for (line, row) in rows.iter_mut().enumerate().take(count) {
        let values = &view.data[(first + line) * view.row_stride + from..][..depth];
        // SAFETY (all): masked lanes are not read; the two vectors' types are 512 plain bits.
        *row = unsafe {
            let low = _mm512_maskz_loadu_ps(masks[0], values.as_ptr());
            let high = _mm512_maskz_loadu_ps(masks[1], values.as_ptr().wrapping_add(SIDE));
            std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
        };
    }
    write(rows, turned, words);
}

/// A tile of lines that are neighbours in memory; a row two positions of the inner dimension unless `turned`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn across(
    view: View<'_>,
    first: usize,
    count: usize,
    from: usize,
    depth: usize,
    turned: bool,
    words: &mut [u32; TILE],
) {
    let mask = lanes(count);
    let mut rows = [_mm512_setzero_si512(); SIDE];
    for n in 0..depth {
        let values = &view.data[(from + n) * view.col_stride + first..][..count];
        // SAFETY (both): masked lanes are not read; the types are 256 plain bits.
        let rounded = unsafe {
            let values = _mm512_maskz_loadu_ps(mask, values.as_ptr());
            std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(values))
        };
        let half = _mm512_cvtepu16_epi32(rounded);
        let half = if n % 2 == 0 {
            half
        } else {
            _mm512_slli_epi32::<16>(half)
        };
        rows[n / 2] = _mm512_or_si512(rows[n / 2], half);
    }
    write(rows, turned, words);
}

#[target_feature(enable = "avx512f")]
fn write(mut rows: [__m512i; SIDE], turned: bool, words: &mut [u32; TILE]) {
    if turned {
        transpose(&mut rows);
    }
    for (words, row) in words.as_chunks_mut::<SIDE>().0.iter_mut().zip(rows) {
        // SAFETY: sixteen words are 512 plain bits.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), row) };
    }
}
