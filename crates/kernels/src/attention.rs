//! Multi-head self-attention over packed sequences of different lengths.
//!
//! Sequences lie one after another without padding. Scores exist for one head of one sequence at a time, in
//! scratch memory, and the backward pass computes them again.
//!
//! Source: Vaswani et al. 2017, "Attention Is All You Need", arXiv:1706.03762, §3.2; the recomputation after
//! Dao et al. 2022, arXiv:2205.14135.

use crate::dropout::{Dropout, apply_from};
use crate::math::{exp, max, sum1, sum2};
use crate::simd::vectorised;
use rayon::prelude::*;
use std::cell::RefCell;

/// The shape of a packed batch seen by attention.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// First token of each sequence, and the number of tokens at the end: sequences + 1 entries.
    pub starts: &'a [usize],
    /// Number of heads.
    pub heads: usize,
    /// Width of one head.
    pub head_width: usize,
}

impl Shape<'_> {
    fn width(&self) -> usize {
        self.heads * self.head_width
    }

    fn tokens(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Every (sequence, head), longest work first is not needed: rayon steals.
    fn jobs(&self) -> impl IndexedParallelIterator<Item = (usize, usize)> {
        let heads = self.heads;
        (0..(self.starts.len().saturating_sub(1)) * heads)
            .into_par_iter()
            .map(move |job| (job / heads, job % heads))
    }
}

/// A pointer that several tasks write through, each to elements of its own.
#[derive(Clone, Copy)]
struct Shared(*mut f32);
// SAFETY: the tasks of this module write disjoint elements: each (sequence, head) owns the rows of its sequence
// and the columns of its head.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn at(self, offset: usize) -> *mut f32 {
        self.0.wrapping_add(offset)
    }
}

thread_local! {
    static SCRATCH: RefCell<[Vec<f32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// Runs `work` with two scratch matrices of `n` elements, kept from job to job.
fn with_scratch(n: usize, work: impl FnOnce(&mut [f32], &mut [f32])) {
    SCRATCH.with_borrow_mut(|[one, two]| {
        if one.len() < n {
            one.resize(n, 0.0);
            two.resize(n, 0.0);
        }
        work(&mut one[..n], &mut two[..n]);
    });
}

/// Attends within each sequence: `out = dropout(softmax(q·kᵀ / √head_width))·v` per head.
///
/// `qkv`: `[tokens, 3·width]`, queries, keys and values side by side; `out`: `[tokens, width]`.
pub fn forward(shape: Shape<'_>, qkv: &[f32], dropout: Dropout, out: &mut [f32]) {
    let (width, d) = (shape.width(), shape.head_width);
    assert_eq!(qkv.len(), shape.tokens() * 3 * width);
    assert_eq!(out.len(), shape.tokens() * width);
    let shared = Shared(out.as_mut_ptr());
    shape.jobs().for_each(|(sequence, head)| {
        let (start, end) = (shape.starts[sequence], shape.starts[sequence + 1]);
        let n = end - start;
        let q = &qkv[start * 3 * width + head * d..];
        with_scratch(n * n, |scores, _| {
            probabilities(n, d, width, q, scores);
            apply_in_job(dropout.at((sequence * shape.heads + head) as u32), scores);
            let v = q[2 * width..].as_ptr();
            // SAFETY: `scores` is [n, n]; values and output are n rows of d elements inside their slices, rows
            // 3·width and width apart; no other job writes these rows of this head.
            unsafe {
                product(
                    n,
                    d,
                    n,
                    shared.at(start * width + head * d),
                    width,
                    scores.as_ptr(),
                    (n, 1),
                    v,
                    (3 * width, 1),
                )
            };
        });
    });
}

/// The gradient of the forward pass with respect to `qkv`, written to `qkv_grad` `[tokens, 3·width]`.
///
/// `out_grad`: `[tokens, width]`; `dropout` is the one of the forward pass.
pub fn backward(shape: Shape<'_>, qkv: &[f32], dropout: Dropout, out_grad: &[f32], qkv_grad: &mut [f32]) {
    let (width, d) = (shape.width(), shape.head_width);
    assert_eq!(qkv.len(), shape.tokens() * 3 * width);
    assert_eq!(out_grad.len(), shape.tokens() * width);
    assert_eq!(qkv_grad.len(), qkv.len());
    let shared = Shared(qkv_grad.as_mut_ptr());
    let scale = 1.0 / (d as f32).sqrt();
    shape.jobs().for_each(|(sequence, head)| {
        let (start, end) = (shape.starts[sequence], shape.starts[sequence + 1]);
        let n = end - start;
        if n == 0 {
            return;
        }
        let origin = start * 3 * width + head * d;
        let q = &qkv[origin..];
        let (k, v) = (q[width..].as_ptr(), q[2 * width..].as_ptr());
        let grad = out_grad[start * width + head * d..].as_ptr();
        let (q_grad, k_grad, v_grad) = (
            shared.at(origin),
            shared.at(origin + width),
            shared.at(origin + 2 * width),
        );
        let dropout = dropout.at((sequence * shape.heads + head) as u32);
        with_scratch(n * n, |scores, score_grads| {
            probabilities(n, d, width, q, scores);
            // SAFETY (all five products): scratch is [n, n]; the operands are n rows of d elements inside the
            // slices checked above; each job writes only rows of its sequence and columns of its head.
            unsafe {
                product(
                    n,
                    n,
                    d,
                    score_grads.as_mut_ptr(),
                    n,
                    grad,
                    (width, 1),
                    v,
                    (1, 3 * width),
                );
                if dropout.is_none() {
                    product(
                        n,
                        d,
                        n,
                        v_grad,
                        3 * width,
                        scores.as_ptr(),
                        (1, n),
                        grad,
                        (width, 1),
                    );
                    softmax_backward(n, scale, scores, score_grads);
                } else {
                    apply_from(dropout, 0, score_grads);
                    softmax_backward(n, scale, scores, score_grads);
                    apply_from(dropout, 0, scores);
                    product(
                        n,
                        d,
                        n,
                        v_grad,
                        3 * width,
                        scores.as_ptr(),
                        (1, n),
                        grad,
                        (width, 1),
                    );
                }
                let score_grads = score_grads.as_ptr();
                product(n, d, n, q_grad, 3 * width, score_grads, (n, 1), k, (3 * width, 1));
                product(
                    n,
                    d,
                    n,
                    k_grad,
                    3 * width,
                    score_grads,
                    (1, n),
                    q.as_ptr(),
                    (3 * width, 1),
                );
            }
        });
    });
}

fn apply_in_job(dropout: Dropout, scores: &mut [f32]) {
    if !dropout.is_none() {
        apply_from(dropout, 0, scores);
    }
}

/// softmax(q·kᵀ / √d) of one head, `[n, n]`; `q` starts at the head's queries, keys lie `width` further.
fn probabilities(n: usize, d: usize, width: usize, q: &[f32], scores: &mut [f32]) {
    if n == 0 {
        return;
    }
    assert!(
        q.len() >= (n - 1) * 3 * width + width + d,
        "keys of the last token"
    );
    let k = q[width..].as_ptr();
    // SAFETY: queries and keys are n rows of d elements, 3·width apart, inside `q`; `scores` is [n, n].
    unsafe {
        product(
            n,
            n,
            d,
            scores.as_mut_ptr(),
            n,
            q.as_ptr(),
            (3 * width, 1),
            k,
            (1, 3 * width),
        )
    };
    softmax_rows(n, 1.0 / (d as f32).sqrt(), scores);
}

vectorised! {
    fn softmax_rows(n: usize, scale: f32, scores: &mut [f32]) {
        for row in scores.chunks_exact_mut(n) {
            let most = max(row);
            for x in row.iter_mut() {
                *x = exp((*x - most) * scale);
            }
            let inverse = 1.0 / sum1(row, |x| x);
            for x in row.iter_mut() {
                *x *= inverse;
            }
        }
    }
}

vectorised! {
    /// Turns gradients of probabilities into gradients of unscaled scores, in place.
    fn softmax_backward(n: usize, scale: f32, probabilities: &[f32], grads: &mut [f32]) {
        for (p, g) in probabilities.chunks_exact(n).zip(grads.chunks_exact_mut(n)) {
            let dot = sum2(p, g, |p, g| p * g);
            for (p, g) in p.iter().zip(g.iter_mut()) {
                *g = scale * p * (*g - dot);
            }
        }
    }
}

/// `out[m, n] = a[m, k]·b[k, n]` on one core; strides are (row, column).
///
/// # Safety
/// The three matrices lie inside memory the caller may read or, for `out`, write.
#[allow(clippy::too_many_arguments)]
unsafe fn product(
    m: usize,
    n: usize,
    k: usize,
    out: *mut f32,
    out_stride: usize,
    a: *const f32,
    a_strides: (usize, usize),
    b: *const f32,
    b_strides: (usize, usize),
) {
    // SAFETY: passed on to the caller.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            out_stride as isize,
            false,
            a,
            a_strides.1 as isize,
            a_strides.0 as isize,
            b,
            b_strides.1 as isize,
            b_strides.0 as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTS: &[usize] = &[0, 1, 4, 11, 30];

    fn wave(n: usize, step: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * step + 0.3).sin()).collect()
    }

    /// Attention as the paper writes it, with the dropout factors given.
    fn slow(
        starts: &[usize],
        heads: usize,
        d: usize,
        qkv: &[f64],
        factor: &dyn Fn(usize, usize, usize) -> f64,
    ) -> Vec<f64> {
        let width = heads * d;
        let mut out = vec![0.0; starts[starts.len() - 1] * width];
        let at = |token: usize, part: usize, head: usize, i: usize| {
            qkv[token * 3 * width + part * width + head * d + i]
        };
        for s in 0..starts.len() - 1 {
            let n = starts[s + 1] - starts[s];
            for head in 0..heads {
                for i in 0..n {
                    let score = |j: usize| {
                        (0..d)
                            .map(|x| at(starts[s] + i, 0, head, x) * at(starts[s] + j, 1, head, x))
                            .sum::<f64>()
                            / (d as f64).sqrt()
                    };
                    let total: f64 = (0..n).map(|j| score(j).exp()).sum();
                    for j in 0..n {
                        let p = score(j).exp() / total * factor(s * heads + head, i * n + j, n);
                        for x in 0..d {
                            out[(starts[s] + i) * width + head * d + x] += p * at(starts[s] + j, 2, head, x);
                        }
                    }
                }
            }
        }
        out
    }

    #[test]
    fn agrees_with_its_slow_twin_and_finite_differences() {
        let (heads, d) = (2, 5);
        let shape = Shape {
            starts: STARTS,
            heads,
            head_width: d,
        };
        let tokens = 30;
        let qkv = wave(tokens * 3 * heads * d, 0.41);
        let wide: Vec<f64> = qkv.iter().map(|x| f64::from(*x)).collect();
        let weight = wave(tokens * heads * d, 0.17);
        for dropout in [Dropout::NONE, Dropout::new(0.3, 5)] {
            let factor = |job: usize, i: usize, _: usize| f64::from(dropout.at(job as u32).factor(i as u32));
            let mut out = vec![0.0; tokens * heads * d];
            forward(shape, &qkv, dropout, &mut out);
            let expected = slow(STARTS, heads, d, &wide, &factor);
            assert!(
                out.iter()
                    .zip(&expected)
                    .all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5)
            );

            let mut grad = vec![0.0; qkv.len()];
            backward(shape, &qkv, dropout, &weight, &mut grad);
            let loss = |qkv: &[f64]| -> f64 {
                slow(STARTS, heads, d, qkv, &factor)
                    .iter()
                    .zip(&weight)
                    .map(|(y, w)| y * f64::from(*w))
                    .sum()
            };
            for i in (0..qkv.len()).step_by(23) {
                let (mut above, mut below) = (wide.clone(), wide.clone());
                above[i] += 1e-5;
                below[i] -= 1e-5;
                let slope = (loss(&above) - loss(&below)) / 2e-5;
                assert!(
                    (f64::from(grad[i]) - slope).abs() < 1e-4,
                    "{dropout:?} element {i}: {} {slope}",
                    grad[i]
                );
            }
        }
    }

    #[test]
    fn an_empty_sequence_and_saturated_scores_stay_finite() {
        let shape = Shape {
            starts: &[0, 0, 2],
            heads: 1,
            head_width: 2,
        };
        let qkv = [
            100.0, 100.0, 100.0, 100.0, 1.0, 2.0, -100.0, 100.0, -100.0, -100.0, 3.0, 4.0,
        ];
        let mut out = vec![0.0; 4];
        forward(shape, &qkv, Dropout::NONE, &mut out);
        assert_eq!(&out[..2], &[1.0, 2.0]);
        let mut grad = vec![0.0; 12];
        backward(shape, &qkv, Dropout::NONE, &[1.0; 4], &mut grad);
        assert!(grad.iter().all(|g| g.is_finite()));
    }
}
