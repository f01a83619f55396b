//! LayerNorm down the channels of a block.

use super::{LANES, Lanes};
use crate::simd::{Level, level, vectorised};

/// Normalises every block of `x` `[blocks][width][LANES]` in place; `gain` and `bias` have `width` elements.
pub fn norm(x: &mut [f32], gain: &[f32], bias: &[f32], epsilon: f32) {
    for x in x.chunks_exact_mut(gain.len() * LANES) {
        block(x.as_chunks_mut().0, None, gain, bias, epsilon);
    }
}

/// `x = LayerNorm(x + y)`: the tail of both halves of a post-LayerNorm layer; `x` and `y` `[blocks][width][LANES]`.
pub fn add_norm(x: &mut [f32], y: &[f32], gain: &[f32], bias: &[f32], epsilon: f32) {
    assert_eq!(x.len(), y.len());
    let size = gain.len() * LANES;
    for (x, y) in x.chunks_exact_mut(size).zip(y.chunks_exact(size)) {
        block(x.as_chunks_mut().0, Some(y.as_chunks().0), gain, bias, epsilon);
    }
}

/// One block; `y` is added first where there is one.
fn block(x: &mut [Lanes], y: Option<&[Lanes]>, gain: &[f32], bias: &[f32], epsilon: f32) {
    #[cfg(target_arch = "x86_64")]
    if level() >= Level::Avx512 {
        // SAFETY: `level` found AVX-512.
        return unsafe { wide(x, y, gain, bias, epsilon) };
    }
    if let Some(y) = y {
        for (x, y) in x.as_flattened_mut().iter_mut().zip(y.as_flattened()) {
            *x += y;
        }
    }
    plain(x, gain, bias, epsilon);
}

vectorised! {
    fn plain(x: &mut [Lanes], gain: &[f32], bias: &[f32], epsilon: f32) {
        let width = gain.len() as f32;
        let mut sum = [0.0; LANES];
        for x in x.iter() {
            for lane in 0..LANES {
                sum[lane] += x[lane];
            }
        }
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
}

/// [`block`] in AVX-512: the compiler turns the last loop of [`plain`] into gathers and scatters.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn wide(x: &mut [Lanes], y: Option<&[Lanes]>, gain: &[f32], bias: &[f32], epsilon: f32) {
    use std::arch::x86_64::*;
    // SAFETY (both): a `Lanes` is sixteen f32.
    let get = |lanes: &Lanes| unsafe { _mm512_loadu_ps(lanes.as_ptr()) };
    let put = |lanes: &mut Lanes, x| unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), x) };
    let zero = _mm512_setzero_ps();
    // Two sums, since an addition waits for the one before.
    let mut sums = [zero; 2];
    if let Some(y) = y {
        for (n, (x, y)) in x.iter_mut().zip(y).enumerate() {
            let sum = _mm512_add_ps(get(x), get(y));
            put(x, sum);
            sums[n % 2] = _mm512_add_ps(sums[n % 2], sum);
        }
    } else {
        for (n, x) in x.iter().enumerate() {
            sums[n % 2] = _mm512_add_ps(sums[n % 2], get(x));
        }
    }
    let width = _mm512_set1_ps(gain.len() as f32);
    let mean = _mm512_div_ps(_mm512_add_ps(sums[0], sums[1]), width);
    let mut squares = [zero; 2];
    for (n, x) in x.iter().enumerate() {
        let off = _mm512_sub_ps(get(x), mean);
        squares[n % 2] = _mm512_fmadd_ps(off, off, squares[n % 2]);
    }
    let variance = _mm512_div_ps(_mm512_add_ps(squares[0], squares[1]), width);
    let deviation = _mm512_sqrt_ps(_mm512_add_ps(variance, _mm512_set1_ps(epsilon)));
    let scale = _mm512_div_ps(_mm512_set1_ps(1.0), deviation);
    for ((x, gain), bias) in x.iter_mut().zip(gain).zip(bias) {
        let normal = _mm512_mul_ps(_mm512_sub_ps(get(x), mean), scale);
        put(
            x,
            _mm512_fmadd_ps(normal, _mm512_set1_ps(*gain), _mm512_set1_ps(*bias)),
        );
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
