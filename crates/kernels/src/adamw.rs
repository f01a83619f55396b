//! AdamW on one tensor or on some rows of one.
//!
//! Source: Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", arXiv:1711.05101.

use crate::simd::vectorised;
use rayon::prelude::*;

/// What one update needs besides the tensors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Learning rate of this tensor at this step.
    pub rate: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay; 0 for biases and LayerNorm.
    pub decay: f32,
    /// Updates so far, this one included; corrects the moments' bias.
    pub count: u64,
    /// Factor on the gradient, from clipping by global norm.
    pub grad_scale: f32,
}

const BLOCK: usize = 1 << 14;

/// Updates `weights` and both moments in place; all four slices have one length.
pub fn update(step: Step, weights: &mut [f32], grad: &[f32], first: &mut [f32], second: &mut [f32]) {
    let n = weights.len();
    assert!(
        grad.len() == n && first.len() == n && second.len() == n,
        "AdamW needs four slices of one length"
    );
    let (rate1, rate2) = corrections(step);
    weights
        .par_chunks_mut(BLOCK)
        .zip(grad.par_chunks(BLOCK))
        .zip(first.par_chunks_mut(BLOCK).zip(second.par_chunks_mut(BLOCK)))
        .for_each(|((weights, grad), (first, second))| {
            update_block(step, rate1, rate2, weights, grad, first, second);
        });
}

/// Updates only the rows in `rows` of tensors `[_, width]`; `grad` is `[rows.len(), width]`, rows distinct.
///
/// A row without a gradient keeps its weights and its moments ("lazy" Adam), which spares a sweep over a
/// word-piece table for the few rows a batch holds.
pub fn update_rows(
    step: Step,
    rows: &[u32],
    width: usize,
    weights: &mut [f32],
    grad: &[f32],
    first: &mut [f32],
    second: &mut [f32],
) {
    assert_eq!(grad.len(), rows.len() * width);
    let (rate1, rate2) = corrections(step);
    for (&row, grad) in rows.iter().zip(grad.chunks_exact(width)) {
        let range = row as usize * width..(row as usize + 1) * width;
        let (weights, first, second) = (
            &mut weights[range.clone()],
            &mut first[range.clone()],
            &mut second[range],
        );
        update_block(step, rate1, rate2, weights, grad, first, second);
    }
}

/// The bias corrections `1 / (1 − βᵗ)` of both moments.
fn corrections(step: Step) -> (f32, f32) {
    let power = |beta: f32| f64::from(beta).powf(step.count as f64);
    (
        (1.0 / (1.0 - power(step.beta1))) as f32,
        (1.0 / (1.0 - power(step.beta2))) as f32,
    )
}

vectorised! {
    fn update_block(
        step: Step,
        correct1: f32,
        correct2: f32,
        weights: &mut [f32],
        grad: &[f32],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        let n = weights.len();
        let (grad, first, second) = (&grad[..n], &mut first[..n], &mut second[..n]);
        for i in 0..n {
            let g = grad[i] * step.grad_scale;
            first[i] = step.beta1 * first[i] + (1.0 - step.beta1) * g;
            second[i] = step.beta2 * second[i] + (1.0 - step.beta2) * g * g;
            let move_by = first[i] * correct1 / ((second[i] * correct2).sqrt() + step.epsilon);
            weights[i] = weights[i] * (1.0 - step.rate * step.decay) - step.rate * move_by;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Step = Step {
        rate: 1e-2,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        decay: 0.01,
        count: 1,
        grad_scale: 1.0,
    };

    /// The update as the paper writes it, one weight in f64.
    fn slow(weight: f64, grads: &[f64]) -> f64 {
        let (mut w, mut m, mut v) = (weight, 0.0, 0.0);
        for (t, g) in grads.iter().enumerate() {
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            let (mh, vh) = (
                m / (1.0 - 0.9f64.powi(t as i32 + 1)),
                v / (1.0 - 0.999f64.powi(t as i32 + 1)),
            );
            w -= 1e-2 * (mh / (vh.sqrt() + 1e-8) + 0.01 * w);
        }
        w
    }

    #[test]
    fn follows_the_paper() {
        let (mut w, mut m, mut v) = (vec![0.7], vec![0.0], vec![0.0]);
        let grads = [0.3, -0.2, 0.5];
        for (t, g) in grads.iter().enumerate() {
            update(
                Step {
                    count: t as u64 + 1,
                    ..STEP
                },
                &mut w,
                &[*g as f32],
                &mut m,
                &mut v,
            );
        }
        assert!((f64::from(w[0]) - slow(0.7, &grads)).abs() < 1e-6);
    }

    #[test]
    fn rows_without_a_gradient_stay() {
        let (mut w, mut m, mut v) = (vec![1.0; 6], vec![0.0; 6], vec![0.0; 6]);
        update_rows(STEP, &[1], 2, &mut w, &[0.5, -0.5], &mut m, &mut v);
        assert_eq!((w[0], w[1], w[4], w[5]), (1.0, 1.0, 1.0, 1.0));
        assert!(w[2] < 1.0 && w[3] > 0.999);
        let (mut dense, mut m2, mut v2) = (vec![1.0; 2], vec![0.0; 2], vec![0.0; 2]);
        update(STEP, &mut dense, &[0.5, -0.5], &mut m2, &mut v2);
        assert_eq!(&w[2..4], &dense[..]);
    }
}
