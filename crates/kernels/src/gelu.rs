//! GELU by erf, as BERT, DistilBERT and XLM-RoBERTa use it.
//!
//! Source: Hendrycks & Gimpel 2016, "Gaussian Error Linear Units", arXiv:1606.08415.

use crate::math::{erf, exp};
use crate::simd::vectorised;
use rayon::prelude::*;

const BLOCK: usize = 1 << 14;

/// `out[i] = x[i]·Φ(x[i])`, any shape, equal lengths.
pub fn forward(x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len());
    x.par_chunks(BLOCK)
        .zip(out.par_chunks_mut(BLOCK))
        .for_each(|(x, out)| forward_block(x, out));
}

/// `grad[i] *= d/dx (x·Φ(x))` at `x[i]`, any shape, equal lengths.
pub fn backward(x: &[f32], grad: &mut [f32]) {
    assert_eq!(x.len(), grad.len());
    x.par_chunks(BLOCK)
        .zip(grad.par_chunks_mut(BLOCK))
        .for_each(|(x, grad)| backward_block(x, grad));
}

vectorised! {
    fn forward_block(x: &[f32], out: &mut [f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = x * 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
        }
    }
}

vectorised! {
    fn backward_block(x: &[f32], grad: &mut [f32]) {
        for (grad, &x) in grad.iter_mut().zip(x) {
            let cdf = 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
            let pdf = 0.398_942_3 * exp(-0.5 * x * x);
            *grad *= cdf + x * pdf;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradient_is_the_slope() {
        let x: Vec<f32> = (-60..=60).map(|i| i as f32 / 12.0).collect();
        let value = |shift: f32| {
            let moved: Vec<f32> = x.iter().map(|x| x + shift).collect();
            let mut out = vec![0.0; x.len()];
            forward(&moved, &mut out);
            out
        };
        let (above, below) = (value(5e-3), value(-5e-3));
        let mut grad = vec![1.0; x.len()];
        backward(&x, &mut grad);
        for i in 0..x.len() {
            assert!(
                (grad[i] - (above[i] - below[i]) / 1e-2).abs() < 2e-4,
                "at {}",
                x[i]
            );
        }
    }

    #[test]
    fn known_values() {
        let mut out = [0.0; 3];
        forward(&[0.0, 1.0, -10.0], &mut out);
        assert_eq!(out[0], 0.0);
        assert!((out[1] - 0.841_344_8).abs() < 1e-6);
        assert!(out[2].abs() < 1e-5);
    }
}
