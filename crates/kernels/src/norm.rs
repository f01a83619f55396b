//! LayerNorm with learned gain and bias, forward and backward.
//!
//! Source: Ba et al. 2016, "Layer Normalization", arXiv:1607.06450.

use crate::ROWS_PER_TASK;
use crate::math::{sum1, sum2};
use crate::simd::vectorised;
use rayon::prelude::*;

/// Normalises each row of `x` to `out`, both `[rows, width]`; `gain` and `bias` have `width` elements.
pub fn forward(x: &[f32], gain: &[f32], bias: &[f32], epsilon: f32, out: &mut [f32]) {
    let block = ROWS_PER_TASK * gain.len();
    assert_eq!(x.len(), out.len());
    x.par_chunks(block)
        .zip(out.par_chunks_mut(block))
        .for_each(|(x, out)| forward_block(x, gain, bias, epsilon, out));
}

/// Turns the gradient of the output into that of the input, in place, and adds to those of gain and bias.
///
/// `x`: the input of the forward pass, `[rows, width]`; `grad`: `[rows, width]`.
pub fn backward(
    x: &[f32],
    gain: &[f32],
    epsilon: f32,
    grad: &mut [f32],
    gain_grad: &mut [f32],
    bias_grad: &mut [f32],
) {
    let width = gain.len();
    let block = ROWS_PER_TASK * width;
    let partial: Vec<Vec<f32>> = x
        .par_chunks(block)
        .zip(grad.par_chunks_mut(block))
        .map(|(x, grad)| {
            let mut sums = vec![0.0; 2 * width];
            let (gain_sum, bias_sum) = sums.split_at_mut(width);
            backward_block(x, gain, epsilon, grad, gain_sum, bias_sum);
            sums
        })
        .collect();
    for sums in partial {
        for i in 0..width {
            gain_grad[i] += sums[i];
            bias_grad[i] += sums[width + i];
        }
    }
}

vectorised! {
    fn forward_block(x: &[f32], gain: &[f32], bias: &[f32], epsilon: f32, out: &mut [f32]) {
        let width = gain.len();
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let mean = sum1(x, |x| x) / width as f32;
            let variance = sum1(x, |x| (x - mean) * (x - mean)) / width as f32;
            let scale = 1.0 / (variance + epsilon).sqrt();
            for i in 0..width {
                out[i] = (x[i] - mean) * scale * gain[i] + bias[i];
            }
        }
    }
}

vectorised! {
    fn backward_block(
        x: &[f32],
        gain: &[f32],
        epsilon: f32,
        grad: &mut [f32],
        gain_sum: &mut [f32],
        bias_sum: &mut [f32],
    ) {
        let width = gain.len();
        let n = width as f32;
        let mut normal = vec![0.0f32; width];
        for (x, grad) in x.chunks_exact(width).zip(grad.chunks_exact_mut(width)) {
            let mean = sum1(x, |x| x) / n;
            let variance = sum1(x, |x| (x - mean) * (x - mean)) / n;
            let scale = 1.0 / (variance + epsilon).sqrt();
            for i in 0..width {
                normal[i] = (x[i] - mean) * scale;
                gain_sum[i] += grad[i] * normal[i];
                bias_sum[i] += grad[i];
                grad[i] *= gain[i];
            }
            let grad_mean = sum1(grad, |g| g) / n;
            let grad_dot = sum2(grad, &normal, |g, x| g * x) / n;
            for i in 0..width {
                grad[i] = scale * (grad[i] - grad_mean - normal[i] * grad_dot);
            }
        }
    }
}

/// Adds `bias` to each row of `x`, `[rows, bias.len()]`.
pub fn add_bias(x: &mut [f32], bias: &[f32]) {
    x.par_chunks_mut(ROWS_PER_TASK * bias.len())
        .for_each(|x| add_bias_block(x, bias));
}

/// `x += bias`, dropped out, `+ residual`: the tail of both halves of a post-LayerNorm block.
///
/// Shapes: `x` and `residual` `[rows, width]`, `bias` `[width]`.
pub fn add_bias_dropout_residual(
    x: &mut [f32],
    bias: &[f32],
    dropout: crate::dropout::Dropout,
    residual: &[f32],
) {
    let block = ROWS_PER_TASK * bias.len();
    assert_eq!(x.len(), residual.len());
    x.par_chunks_mut(block)
        .zip(residual.par_chunks(block))
        .enumerate()
        .for_each(|(n, (x, residual))| {
            tail_block(x, bias, dropout, residual, n * block);
        });
}

vectorised! {
    fn add_bias_block(x: &mut [f32], bias: &[f32]) {
        for x in x.chunks_exact_mut(bias.len()) {
            for (x, bias) in x.iter_mut().zip(bias) {
                *x += bias;
            }
        }
    }
}

vectorised! {
    fn tail_block(
        x: &mut [f32],
        bias: &[f32],
        dropout: crate::dropout::Dropout,
        residual: &[f32],
        first: usize,
    ) {
        let width = bias.len();
        for (row, (x, residual)) in x.chunks_exact_mut(width).zip(residual.chunks_exact(width)).enumerate() {
            let place = first + row * width;
            for i in 0..width {
                x[i] = (x[i] + bias[i]) * dropout.factor((place + i) as u32) + residual[i];
            }
        }
    }
}

/// Adds the sum over rows of `grad`, `[rows, width]`, to `out`, `[width]`.
pub fn add_column_sums(grad: &[f32], out: &mut [f32]) {
    let width = out.len();
    let partial: Vec<Vec<f32>> = grad
        .par_chunks(ROWS_PER_TASK * width)
        .map(|grad| {
            let mut sums = vec![0.0; width];
            column_sums_block(grad, &mut sums);
            sums
        })
        .collect();
    for sums in partial {
        for (out, sum) in out.iter_mut().zip(sums) {
            *out += sum;
        }
    }
}

vectorised! {
    fn column_sums_block(grad: &[f32], sums: &mut [f32]) {
        for grad in grad.chunks_exact(sums.len()) {
            for (sum, grad) in sums.iter_mut().zip(grad) {
                *sum += grad;
            }
        }
    }
}

/// `out += x`, elementwise.
pub fn add(x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len());
    x.par_chunks(1 << 14)
        .zip(out.par_chunks_mut(1 << 14))
        .for_each(|(x, out)| add_block(x, out));
}

vectorised! {
    fn add_block(x: &[f32], out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out += x;
        }
    }
}

/// Σ x² in f64, in a fixed order: the square of a tensor's norm.
pub fn sum_of_squares(x: &[f32]) -> f64 {
    let partial: Vec<f64> = x
        .par_chunks(1 << 14)
        .map(|x| f64::from(squares_block(x)))
        .collect();
    partial.into_iter().sum()
}

vectorised! {
    fn squares_block(x: &[f32]) -> f32 {
        sum1(x, |x| x * x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dropout::Dropout;

    fn wave(n: usize, step: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * step).sin()).collect()
    }

    fn slow(x: &[f64], gain: &[f64], bias: &[f64]) -> Vec<f64> {
        x.chunks(gain.len())
            .flat_map(|row| {
                let n = row.len() as f64;
                let mean = row.iter().sum::<f64>() / n;
                let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
                row.iter()
                    .enumerate()
                    .map(|(i, x)| (x - mean) / (variance + 1e-5).sqrt() * gain[i] + bias[i])
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    fn wide(x: &[f32]) -> Vec<f64> {
        x.iter().map(|x| f64::from(*x)).collect()
    }

    #[test]
    fn agrees_with_its_slow_twin_and_finite_differences() {
        let (rows, width) = (131, 21);
        let (x, gain, bias) = (wave(rows * width, 0.37), wave(width, 1.1), wave(width, 0.9));
        let weight = wave(rows * width, 0.11);
        let mut out = vec![0.0; x.len()];
        forward(&x, &gain, &bias, 1e-5, &mut out);
        let expected = slow(&wide(&x), &wide(&gain), &wide(&bias));
        assert!(
            out.iter()
                .zip(&expected)
                .all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5)
        );

        let (mut grad, mut gain_grad, mut bias_grad) = (weight.clone(), vec![0.0; width], vec![0.0; width]);
        backward(&x, &gain, 1e-5, &mut grad, &mut gain_grad, &mut bias_grad);
        let loss = |x: &[f64], gain: &[f64], bias: &[f64]| -> f64 {
            slow(x, gain, bias)
                .iter()
                .zip(&weight)
                .map(|(y, w)| y * f64::from(*w))
                .sum()
        };
        let slope = |which: usize, i: usize| {
            let at = |h: f64| {
                let mut all = [wide(&x), wide(&gain), wide(&bias)];
                all[which][i] += h;
                loss(&all[0], &all[1], &all[2])
            };
            (at(1e-5) - at(-1e-5)) / 2e-5
        };
        for i in (0..x.len()).step_by(97) {
            assert!((f64::from(grad[i]) - slope(0, i)).abs() < 1e-4, "x {i}");
        }
        for i in 0..width {
            assert!((f64::from(gain_grad[i]) - slope(1, i)).abs() < 1e-3, "gain {i}");
            assert!((f64::from(bias_grad[i]) - slope(2, i)).abs() < 1e-3, "bias {i}");
        }
    }

    #[test]
    fn a_constant_row_stays_finite() {
        let mut out = vec![0.0; 8];
        forward(&[3.0; 8], &[1.0; 8], &[0.5; 8], 1e-12, &mut out);
        assert_eq!(out, vec![0.5; 8]);
    }

    #[test]
    fn the_tail_of_a_block_adds_everything_once() {
        let mut x = vec![1.0; 3 * 200];
        let residual = wave(600, 0.2);
        add_bias_dropout_residual(&mut x, &[1.0, 2.0, 3.0], Dropout::NONE, &residual);
        assert_eq!(x[4], 3.0 + residual[4]);
        let mut sums = vec![0.0; 3];
        add_column_sums(&[1.0, 2.0, 3.0].repeat(300), &mut sums);
        assert_eq!(sums, vec![300.0, 600.0, 900.0]);
        add_bias(&mut sums, &[1.0, 1.0, 1.0]);
        assert_eq!(sums, vec![301.0, 601.0, 901.0]);
        assert_eq!(sum_of_squares(&[3.0, 4.0]), 25.0);
    }
}
