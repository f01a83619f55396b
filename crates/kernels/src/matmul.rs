//! Matrix products: f32 through the `gemm` crate, bfloat16 through our own kernel.

use crate::bf16;
use crate::simd::{Level, level};

/// The arithmetic of matrix products. Sums are f32 in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Products of f32.
    #[default]
    F32,
    /// Products of operands rounded to bfloat16; needs a processor with AVX-512 BF16.
    Bf16,
}

/// A precision this processor has no instructions for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsupportedPrecision;

impl std::fmt::Display for UnsupportedPrecision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("precision bf16 needs a processor with AVX-512 BF16, which this one lacks; use another")
    }
}

impl std::error::Error for UnsupportedPrecision {}

impl Precision {
    /// The fastest precision of this processor that trains as well as f32 does.
    ///
    /// That is not bf16 on Intel's processors without AMX: their AVX-512 form of it has half the speed of f32 (141 against 276
    /// GFLOP/s on two cores of a Xeon).
    pub fn fastest() -> Self {
        if level() == Level::Avx512Bf16 && crate::simd::bf16_outruns_f32() {
            Self::Bf16
        } else {
            Self::F32
        }
    }

    /// This precision, if the processor has it.
    pub fn supported(self) -> Result<Self, UnsupportedPrecision> {
        if self == Self::Bf16 && level() != Level::Avx512Bf16 {
            Err(UnsupportedPrecision)
        } else {
            Ok(self)
        }
    }
}

/// A matrix over a slice, rows `row_stride` and columns `col_stride` elements apart.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) row_stride: usize,
    pub(crate) col_stride: usize,
}

impl<'a> View<'a> {
    /// A row-major matrix `[rows, cols]` over exactly its elements.
    ///
    /// # Panics
    /// If `data` has another length.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "a [{rows}, {cols}] matrix");
        Self {
            data,
            rows,
            cols,
            row_stride: cols,
            col_stride: 1,
        }
    }

    /// The same elements with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// What happens to the elements already in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// `out = a·b`
    Replace,
    /// `out += a·b`
    Add,
}

/// Multiplies `a` `[m, k]` by `b` `[k, n]` into row-major `out` `[m, n]`, over all cores.
///
/// # Panics
/// If the shapes disagree, or `precision` is not [`supported`](Precision::supported) here.
pub fn multiply(precision: Precision, a: View<'_>, b: View<'_>, product: Product, out: &mut [f32]) {
    assert_eq!(a.cols, b.rows, "inner sizes of a product");
    assert_eq!(
        out.len(),
        a.rows * b.cols,
        "output of a [{}, {}] product",
        a.rows,
        b.cols
    );
    match precision {
        Precision::F32 => multiply_f32(a, b, product, out),
        Precision::Bf16 => {
            precision
                .supported()
                .expect("callers check a precision before they use it");
            bf16::multiply(a, b, product, out);
        }
    }
}

fn multiply_f32(a: View<'_>, b: View<'_>, product: Product, out: &mut [f32]) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    let threads = rayon::current_num_threads();
    let parallelism = if threads == 1 || m * n * k < 1 << 18 {
        gemm::Parallelism::None
    } else {
        gemm::Parallelism::Rayon(threads)
    };
    // SAFETY: `View` covers rows and columns inside its slice, and `out` was checked to be [m, n].
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            product == Product::Add,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(n: usize, step: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * step + 0.3).sin()).collect()
    }

    fn slow(a: View<'_>, b: View<'_>) -> Vec<f64> {
        let at = |v: View<'_>, r: usize, c: usize| f64::from(v.data[r * v.row_stride + c * v.col_stride]);
        let mut out = vec![0.0; a.rows * b.cols];
        for i in 0..a.rows {
            for j in 0..b.cols {
                out[i * b.cols + j] = (0..a.cols).map(|k| at(a, i, k) * at(b, k, j)).sum();
            }
        }
        out
    }

    /// Every layout of both operands on shapes around the kernel's tile sizes.
    #[test]
    fn products_agree_with_a_plain_reference_on_odd_shapes() {
        let mut cases = 0;
        for (m, n, k) in [
            (1, 1, 1),
            (3, 5, 7),
            (12, 32, 2),
            (13, 33, 65),
            (64, 23, 384),
            (250, 70, 129),
            (37, 31, 700),
        ] {
            let (a, b) = (wave(m * k, 0.37), wave(k * n, 0.71));
            for flips in 0..4 {
                let left = if flips & 1 == 0 {
                    View::new(&a, m, k)
                } else {
                    View::new(&a, k, m).transposed()
                };
                let right = if flips & 2 == 0 {
                    View::new(&b, k, n)
                } else {
                    View::new(&b, n, k).transposed()
                };
                let expected = slow(left, right);
                for precision in [Precision::F32, Precision::Bf16] {
                    if precision.supported().is_err() {
                        continue;
                    }
                    let tolerance = if precision == Precision::F32 { 1e-5 } else { 8e-3 } * (k as f64).sqrt();
                    let mut out = vec![1.0; m * n];
                    multiply(precision, left, right, Product::Replace, &mut out);
                    let close = |out: &[f32], offset: f64| {
                        out.iter()
                            .zip(&expected)
                            .all(|(x, y)| (f64::from(*x) - y - offset).abs() < tolerance)
                    };
                    assert!(close(&out, 0.0), "{precision:?} {m}×{n}×{k} layout {flips}");
                    out.fill(1.0);
                    multiply(precision, left, right, Product::Add, &mut out);
                    assert!(
                        close(&out, 1.0),
                        "{precision:?} {m}×{n}×{k} layout {flips}, added"
                    );
                    cases += 1;
                }
            }
        }
        assert!(cases >= 28);
    }

    #[test]
    fn a_product_repeats_bit_for_bit() {
        let (a, b) = (wave(500 * 384, 0.37), wave(384 * 100, 0.71));
        let run = |precision| {
            let mut out = vec![0.0; 500 * 100];
            multiply(
                precision,
                View::new(&a, 500, 384),
                View::new(&b, 384, 100),
                Product::Replace,
                &mut out,
            );
            out
        };
        assert_eq!(run(Precision::F32), run(Precision::F32));
        assert_eq!(run(Precision::fastest()), run(Precision::fastest()));
    }
}
