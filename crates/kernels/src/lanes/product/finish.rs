//! What turns the sums of a product into its result: scales, bias and GELU.

use super::{Arithmetic, LANES, Lanes, PanelSums};
use crate::math::erf;
use crate::simd::vectorised;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Level, level};

/// Writes the channels of one panel for one block; `channels` and `out` end where the panel does or the output.
///
/// A channel is the size of one step, that times the sum of its steps, and the bias; see [`Weights`](super::Weights).
pub fn finish(
    arithmetic: Arithmetic,
    sums: &PanelSums,
    channels: &[[f32; 3]],
    scales: &[Lanes; 2],
    out: &mut [Lanes],
    gelu: bool,
) {
    let sums = sums.as_chunks().0;
    #[cfg(target_arch = "x86_64")]
    if level() >= Level::Avx512 {
        // SAFETY (all three): `level` found AVX-512.
        return match arithmetic {
            Arithmetic::Int8 => unsafe { wide::int8(sums, channels, scales, out, gelu) },
            Arithmetic::Bf16 => unsafe { wide::bf16(sums, channels, scales, out, gelu) },
            Arithmetic::F32 => unsafe { wide::f32(sums, channels, scales, out, gelu) },
        };
    }
    match arithmetic {
        Arithmetic::Int8 => int8(sums, channels, scales, out, gelu),
        Arithmetic::Bf16 | Arithmetic::F32 => plain(sums, channels, out, gelu),
    }
}

vectorised! {
    fn int8(sums: &[[u32; LANES]], channels: &[[f32; 3]], scales: &[Lanes; 2], out: &mut [Lanes], gelu: bool) {
        for ((out, sum), [step, steps, bias]) in out.iter_mut().zip(sums).zip(channels) {
            for lane in 0..LANES {
                let sum = sum[lane].cast_signed() as f32;
                let value = sum * scales[0][lane] * step + (scales[1][lane] * steps + bias);
                out[lane] = if gelu { near_gelu(value) } else { value };
            }
        }
    }
}

vectorised! {
    fn plain(sums: &[[u32; LANES]], channels: &[[f32; 3]], out: &mut [Lanes], gelu: bool) {
        for ((out, sum), [_, _, bias]) in out.iter_mut().zip(sums).zip(channels) {
            for lane in 0..LANES {
                let value = f32::from_bits(sum[lane]) + bias;
                out[lane] = if gelu { exact_gelu(value) } else { value };
            }
        }
    }
}

/// x·Φ(x).
#[inline(always)]
pub(super) fn exact_gelu(x: f32) -> f32 {
    x * 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// Beyond this Φ is taken as constant: 1 − Φ(3.8) is 7e-5.
const GELU_EDGE: f32 = 3.8;
/// Φ(x) − ½ as an odd polynomial on [−3.8, 3.8], least squares of x·Φ(x) reweighted towards the least largest error.
const GELU: [f32; 7] = [
    0.398_256_6,
    -0.065_132_61,
    9.045_709e-3,
    -8.744_212e-4,
    5.462_154_5e-5,
    -1.956_922_5e-6,
    3.025_294e-8,
];

/// x·Φ(x) within 2e-4 for |x| < 4, and within 1e-4·|x| beyond.
#[inline(always)]
fn near_gelu(x: f32) -> f32 {
    let c = x.clamp(-GELU_EDGE, GELU_EDGE);
    let c2 = c * c;
    let odd = GELU[..6].iter().rev().fold(GELU[6], |p, next| p * c2 + next);
    x * (c * odd + 0.5)
}

/// The same in AVX-512.
#[cfg(target_arch = "x86_64")]
mod wide {
    use super::{GELU, GELU_EDGE, LANES, Lanes, exact_gelu};
    use crate::lanes::vector::{get, put};
    use std::arch::x86_64::*;

    macro_rules! finish {
        ($name:ident, |$sum:ident, $scales:ident, $channel:ident| $value:expr, $gelu:ident) => {
            #[target_feature(enable = "avx512f,avx512dq")]
            pub fn $name(
                sums: &[[u32; LANES]],
                channels: &[[f32; 3]],
                scales: &[Lanes; 2],
                out: &mut [Lanes],
                gelu: bool,
            ) {
                let $scales = [get(&scales[0]), get(&scales[1])];
                let rows = out.iter_mut().zip(sums).zip(channels);
                let value = |sum: &[u32; LANES], channel: &[f32; 3]| {
                    // SAFETY: sixteen words are 512 plain bits.
                    let $sum = unsafe { _mm512_loadu_si512(sum.as_ptr().cast()) };
                    let $channel = channel.map(|x| _mm512_set1_ps(x));
                    $value
                };
                if gelu {
                    rows.for_each(|((out, sum), channel)| put(out, $gelu(value(sum, channel))));
                } else {
                    rows.for_each(|((out, sum), channel)| put(out, value(sum, channel)));
                }
            }
        };
    }

    finish!(
        int8,
        |sum, scales, channel| {
            let base = _mm512_fmadd_ps(scales[1], channel[1], channel[2]);
            _mm512_fmadd_ps(
                _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scales[0]),
                channel[0],
                base,
            )
        },
        near
    );
    finish!(
        bf16,
        |sum, _scales, channel| _mm512_add_ps(_mm512_castsi512_ps(sum), channel[2]),
        near
    );
    finish!(
        f32,
        |sum, _scales, channel| _mm512_add_ps(_mm512_castsi512_ps(sum), channel[2]),
        exact
    );

    /// [`super::near_gelu`] on sixteen values.
    #[target_feature(enable = "avx512f")]
    fn near(x: __m512) -> __m512 {
        let edge = _mm512_set1_ps(GELU_EDGE);
        let c = _mm512_min_ps(_mm512_max_ps(x, _mm512_sub_ps(_mm512_setzero_ps(), edge)), edge);
        let c2 = _mm512_mul_ps(c, c);
        let mut odd = _mm512_set1_ps(GELU[6]);
        for next in GELU[..6].iter().rev() {
            odd = _mm512_fmadd_ps(odd, c2, _mm512_set1_ps(*next));
        }
        _mm512_mul_ps(x, _mm512_fmadd_ps(c, odd, _mm512_set1_ps(0.5)))
    }

    #[target_feature(enable = "avx512f")]
    fn exact(x: __m512) -> __m512 {
        let mut lanes = [0.0f32; LANES];
        put(&mut lanes, x);
        get(&lanes.map(exact_gelu))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_gelu_is_near() {
        for i in -1200..=1200 {
            let x = i as f32 / 100.0;
            let bound = if x.abs() < 4.0 { 2e-4 } else { 1e-4 * x.abs() };
            assert!((near_gelu(x) - exact_gelu(x)).abs() < bound, "at {x}");
        }
    }
}
