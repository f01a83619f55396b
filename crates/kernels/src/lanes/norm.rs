//! LayerNorm down the channels of a block.

use super::{LANES, Lanes};
use crate::simd::vectorised;

/// Normalises every block of `x` `[blocks][width][LANES]` in place; `gain` and `bias` have `width` elements.
pub fn norm(x: &mut [f32], gain: &[f32], bias: &[f32], epsilon: f32) {
    for x in x.chunks_exact_mut(gain.len() * LANES) {
        norm_block(x.as_chunks_mut().0, gain, bias, epsilon);
    }
}

/// `x = LayerNorm(x + y)`: the tail of both halves of a post-LayerNorm layer; `x` and `y` `[blocks][width][LANES]`.
pub fn add_norm(x: &mut [f32], y: &[f32], gain: &[f32], bias: &[f32], epsilon: f32) {
    assert_eq!(x.len(), y.len());
    let size = gain.len() * LANES;
    for (x, y) in x.chunks_exact_mut(size).zip(y.chunks_exact(size)) {
        add_norm_block(x.as_chunks_mut().0, y.as_chunks().0, gain, bias, epsilon);
    }
}

vectorised! {
    fn norm_block(x: &mut [Lanes], gain: &[f32], bias: &[f32], epsilon: f32) {
        let mut sum = [0.0; LANES];
        for x in x.iter() {
            for lane in 0..LANES {
                sum[lane] += x[lane];
            }
        }
        finish(x, sum, gain, bias, epsilon);
    }
}

vectorised! {
    fn add_norm_block(x: &mut [Lanes], y: &[Lanes], gain: &[f32], bias: &[f32], epsilon: f32) {
        let mut sum = [0.0; LANES];
        for (x, y) in x.iter_mut().zip(y) {
            for lane in 0..LANES {
                x[lane] += y[lane];
                sum[lane] += x[lane];
            }
        }
        finish(x, sum, gain, bias, epsilon);
    }
}

#[inline(always)]
fn finish(x: &mut [Lanes], sum: Lanes, gain: &[f32], bias: &[f32], epsilon: f32) {
    let width = gain.len() as f32;
    let mean = sum.map(|sum| sum / width);
    let mut squares = [0.0; LANES];
    for x in x.iter() {
        for lane in 0..LANES {
            let off = x[lane] - mean[lane];
            squares[lane] += off * off;
        }
    }
    let scale = squares.map(|squares| 1.0 / (squares / width + epsilon).sqrt());
    for ((x, gain), bias) in x.iter_mut().zip(gain).zip(bias) {
        for lane in 0..LANES {
            x[lane] = (x[lane] - mean[lane]) * scale[lane] * gain + bias;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_normalised_as_its_rows_are() {
        let width = 37;
        let rows: Vec<f32> = (0..LANES * width)
            .map(|i| (i as f32 * 0.37).sin() * 3.0)
            .collect();
        let gain: Vec<f32> = (0..width).map(|i| 1.0 + i as f32 / 50.0).collect();
        let bias: Vec<f32> = (0..width).map(|i| i as f32 / 9.0).collect();
        let mut expected = vec![0.0; rows.len()];
        crate::norm::forward(&rows, &gain, &bias, 1e-5, &mut expected);
        let at = |channel: usize, lane: usize| rows[lane * width + channel];
        let mut block: Vec<f32> = (0..width * LANES)
            .map(|i| at(i / LANES, i % LANES) - 0.5)
            .collect();
        add_norm(&mut block, &vec![0.5; width * LANES], &gain, &bias, 1e-5);
        for channel in 0..width {
            for lane in 0..LANES {
                let (found, expected) = (block[channel * LANES + lane], expected[lane * width + channel]);
                assert!((found - expected).abs() < 1e-4, "{found} {expected}");
            }
        }
    }
}
