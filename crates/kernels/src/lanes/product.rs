//! Products of a block's rows with a weight matrix, in f32, bfloat16 and int8.

use super::{Arithmetic, CHANNELS, LANES, Lanes};
use crate::math::erf;
use crate::simd::{Level, level, vectorised};

/// What a product does to its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// GELU by erf; in bf16 and int8 within 2e-4 of it, which is below their rounding.
    Gelu,
}

/// Why a weight matrix cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightsError {
    /// An element or a bias of this output channel is infinite or no number.
    NotFinite(usize),
    /// The processor lacks the arithmetic.
    Unsupported(crate::UnsupportedPrecision),
}

impl std::fmt::Display for WeightsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotFinite(channel) => write!(
                f,
                "output channel {channel} has a weight that is not a finite number"
            ),
            Self::Unsupported(reason) => reason.fmt(f),
        }
    }
}

impl std::error::Error for WeightsError {}

/// A linear map with bias, in the kernel's order.
///
/// Words are `[outputs / CHANNELS][inputs / per word][CHANNELS]`, zero where there is no weight; a word holds one f32, two
/// bfloat16 or four int8.
pub struct Weights {
    arithmetic: Arithmetic,
    inputs: usize,
    outputs: usize,
    words: Vec<u32>,
    /// Of each channel: the size of one step, that times the sum of its steps, and the bias; whole panels.
    channels: Vec<[f32; 3]>,
}

/// Rows as the left side of products, `[blocks][width / per word][LANES]` words.
#[derive(Default)]
pub struct Operand {
    words: Vec<u32>,
    /// `[blocks]`: of each row the size of one step and the least value; int8 alone.
    scales: Vec<[Lanes; 2]>,
    groups: usize,
}

impl Weights {
    /// Packs `weight` `[outputs, inputs]`, row-major, and `bias` `[outputs]`.
    ///
    /// int8: each output channel is scaled so that its largest weight is 127 steps.
    pub fn new(arithmetic: Arithmetic, weight: &[f32], bias: &[f32]) -> Result<Self, WeightsError> {
        arithmetic.supported().map_err(WeightsError::Unsupported)?;
        let (outputs, inputs) = (bias.len(), weight.len() / bias.len().max(1));
        assert_eq!(weight.len(), outputs * inputs, "a [{outputs}, {inputs}] weight");
        let groups = inputs.div_ceil(arithmetic.per_word());
        let panels = outputs.div_ceil(CHANNELS);
        let mut words = vec![0; panels * groups * CHANNELS];
        let mut channels = vec![[0.0; 3]; panels * CHANNELS];
        for (n, (row, bias)) in weight.chunks_exact(inputs.max(1)).zip(bias).enumerate() {
            if !bias.is_finite() || row.iter().any(|weight| !weight.is_finite()) {
                return Err(WeightsError::NotFinite(n));
            }
            let (panel, column) = (n / CHANNELS, n % CHANNELS);
            let words = words[panel * groups * CHANNELS + column..]
                .iter_mut()
                .step_by(CHANNELS);
            let parts = row.chunks(arithmetic.per_word());
            let mut scale = [1.0, 0.0];
            match arithmetic {
                Arithmetic::F32 => words
                    .zip(parts)
                    .for_each(|(word, part)| *word = part[0].to_bits()),
                Arithmetic::Bf16 => words.zip(parts).for_each(|(word, part)| {
                    *word = crate::bf16::pair_of(part[0], part.get(1).copied().unwrap_or(0.0));
                }),
                Arithmetic::Int8 => {
                    let most = row.iter().fold(0.0f32, |most, weight| most.max(weight.abs()));
                    let step = most / 127.0;
                    let inverse = if step > 0.0 { 1.0 / step } else { 0.0 };
                    let mut sum = 0i32;
                    for (word, part) in words.zip(parts) {
                        let mut bytes = [0u8; 4];
                        for (byte, weight) in bytes.iter_mut().zip(part) {
                            let steps = (weight * inverse).round_ties_even() as i8;
                            sum += i32::from(steps);
                            *byte = steps.cast_unsigned();
                        }
                        *word = u32::from_le_bytes(bytes);
                    }
                    scale = [step, step * sum as f32];
                }
            }
            channels[n] = [scale[0], scale[1], *bias];
        }
        Ok(Self {
            arithmetic,
            inputs,
            outputs,
            words,
            channels,
        })
    }

    /// Width of the output.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The arithmetic these weights are packed for.
    pub fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// `out = activation(x·weightᵀ + bias)`; `out` `[blocks][outputs][LANES]`.
    ///
    /// # Panics
    /// If `x` was made for another arithmetic or width, or `out` has another length.
    pub fn product(&self, x: &Operand, activation: Activation, out: &mut [f32]) {
        let groups = self.inputs.div_ceil(self.arithmetic.per_word());
        assert_eq!(x.groups, groups, "inner size of a product, in words");
        let blocks = x.scales.len();
        assert_eq!(x.words.len(), blocks * groups * LANES);
        assert_eq!(out.len(), blocks * self.outputs * LANES);
        let gelu = activation == Activation::Gelu;
        for panel in 0..self.outputs.div_ceil(CHANNELS) {
            let first = panel * CHANNELS;
            let tile = Tile {
                weights: &self.words[panel * groups * CHANNELS..][..groups * CHANNELS],
                channels: &self.channels[first..first + CHANNELS],
                valid: CHANNELS.min(self.outputs - first),
                gelu,
            };
            let mut block = 0;
            while block < blocks {
                let two = block + 1 < blocks;
                let here = &x.words[block * groups * LANES..];
                let scales = &x.scales[block..];
                let (one, rest) = out[block * self.outputs * LANES..].split_at_mut(self.outputs * LANES);
                let one = &mut one[first * LANES..][..tile.valid * LANES];
                if two {
                    let other = &mut rest[first * LANES..][..tile.valid * LANES];
                    let words = [&here[..groups * LANES], &here[groups * LANES..][..groups * LANES]];
                    tile.run(self.arithmetic, words, [&scales[0], &scales[1]], [one, other]);
                } else {
                    tile.run(self.arithmetic, [&here[..groups * LANES]], [&scales[0]], [one]);
                }
                block += 2;
            }
        }
    }
}

/// One panel of weights against one or two blocks.
#[derive(Clone, Copy)]
struct Tile<'a> {
    /// `[groups][CHANNELS]`
    weights: &'a [u32],
    /// `[CHANNELS]`
    channels: &'a [[f32; 3]],
    /// Channels there are; the rest of the panel is padding.
    valid: usize,
    gelu: bool,
}

impl Tile<'_> {
    /// `x`: `[groups][LANES]` words a block; `out`: `[valid][LANES]` a block.
    #[inline]
    fn run<const B: usize>(
        self,
        arithmetic: Arithmetic,
        x: [&[u32]; B],
        scales: [&[Lanes; 2]; B],
        out: [&mut [f32]; B],
    ) {
        #[cfg(target_arch = "x86_64")]
        {
            use wide::Level;
            match (arithmetic, wide::level()) {
                // SAFETY (all three): `level` found the instructions; slices have the lengths their docs say.
                (Arithmetic::Int8, Level::Vnni | Level::VnniBf16) => {
                    return unsafe { wide::int8(self, x, scales, out) };
                }
                (Arithmetic::Bf16, Level::VnniBf16) => return unsafe { wide::bf16(self, x, scales, out) },
                (Arithmetic::F32, Level::Vnni | Level::VnniBf16) => {
                    return unsafe { wide::f32(self, x, scales, out) };
                }
                _ => {}
            }
        }
        for ((x, scales), out) in x.into_iter().zip(scales).zip(out) {
            let (x, out) = (x.as_chunks().0, out.as_chunks_mut().0);
            match arithmetic {
                Arithmetic::F32 => plain_f32(self.weights, self.channels, x, out, self.gelu),
                Arithmetic::Bf16 => {
                    unreachable!("bf16 is refused by `Arithmetic::supported` on this processor")
                }
                Arithmetic::Int8 => plain_int8(self, x, scales, out),
            }
        }
    }
}

/// Channels the plain tiles keep in registers at a time.
const PLAIN: usize = 6;

vectorised! {
    fn plain_f32(weights: &[u32], channels: &[[f32; 3]], x: &[[u32; LANES]], out: &mut [Lanes], gelu: bool) {
        for (part, out) in out.chunks_mut(PLAIN).enumerate() {
            let first = part * PLAIN;
            let mut sums = [[0.0f32; LANES]; PLAIN];
            for (x, weights) in x.iter().zip(weights.as_chunks::<CHANNELS>().0) {
                for (sum, weight) in sums.iter_mut().zip(&weights[first..first + PLAIN]) {
                    let weight = f32::from_bits(*weight);
                    for lane in 0..LANES {
                        sum[lane] += f32::from_bits(x[lane]) * weight;
                    }
                }
            }
            for ((out, sum), channel) in out.iter_mut().zip(&sums).zip(&channels[first..]) {
                for lane in 0..LANES {
                    let value = sum[lane] + channel[2];
                    out[lane] = if gelu { exact_gelu(value) } else { value };
                }
            }
        }
    }
}

/// The whole sums of a panel's channels, in int8.
type Sums = [[i32; LANES]; CHANNELS];

fn plain_int8(tile: Tile<'_>, x: &[[u32; LANES]], scales: &[Lanes; 2], out: &mut [Lanes]) {
    let mut sums = [[0; LANES]; CHANNELS];
    #[cfg(target_arch = "x86_64")]
    if level() >= Level::Avx2 {
        // SAFETY: `level` found AVX2.
        unsafe { narrow::sums(tile.weights, x, &mut sums) };
        return finish_int8(&sums, tile.channels, scales, out, tile.gelu);
    }
    plain_sums(tile.weights, x, &mut sums);
    finish_int8(&sums, tile.channels, scales, out, tile.gelu);
}

vectorised! {
    fn plain_sums(weights: &[u32], x: &[[u32; LANES]], sums: &mut Sums) {
        for (part, sums) in sums.as_chunks_mut::<PLAIN>().0.iter_mut().enumerate() {
            let mut kept = [[0i32; LANES]; PLAIN];
            for (x, weights) in x.iter().zip(weights.as_chunks::<CHANNELS>().0) {
                for (sum, weight) in kept.iter_mut().zip(&weights[part * PLAIN..][..PLAIN]) {
                    let [w0, w1, w2, w3] = weight.to_le_bytes().map(|byte| i32::from(byte.cast_signed()));
                    for lane in 0..LANES {
                        let x = x[lane];
                        sum[lane] += (x & 0xff).cast_signed() * w0
                            + (x >> 8 & 0xff).cast_signed() * w1
                            + (x >> 16 & 0xff).cast_signed() * w2
                            + (x >> 24).cast_signed() * w3;
                    }
                }
            }
            *sums = kept;
        }
    }
}

vectorised! {
    fn finish_int8(sums: &Sums, channels: &[[f32; 3]], scales: &[Lanes; 2], out: &mut [Lanes], gelu: bool) {
        for ((out, sum), [step, steps, bias]) in out.iter_mut().zip(sums).zip(channels) {
            for lane in 0..LANES {
                let value = sum[lane] as f32 * scales[0][lane] * step + (scales[1][lane] * steps + bias);
                out[lane] = if gelu { near_gelu(value) } else { value };
            }
        }
    }
}

/// int8 sums in AVX2: both sides widened to 16 bits, since its 8-bit multiply-add saturates.
#[cfg(target_arch = "x86_64")]
mod narrow {
    use super::{CHANNELS, LANES, Sums};
    use std::arch::x86_64::*;

    /// Channels kept in registers at a time, four registers each.
    const KEPT: usize = 2;

    #[target_feature(enable = "avx2")]
    pub fn sums(weights: &[u32], x: &[[u32; LANES]], sums: &mut Sums) {
        for (part, sums) in sums.as_chunks_mut::<KEPT>().0.iter_mut().enumerate() {
            // Of four rows in a register, the sums over even and odd pairs of the inner dimension side by side.
            let mut halves = [[_mm256_setzero_si256(); 4]; KEPT];
            for (x, weights) in x.iter().zip(weights.as_chunks::<CHANNELS>().0) {
                let rows: [__m256i; 4] = std::array::from_fn(|four| {
                    // SAFETY: four words from one of the four quarters of sixteen.
                    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(x.as_ptr().add(4 * four).cast()) })
                });
                for (channel, halves) in halves.iter_mut().enumerate() {
                    let weight = weights[part * KEPT + channel].cast_signed();
                    let weight = _mm256_cvtepi8_epi16(_mm_set1_epi32(weight));
                    for (half, rows) in halves.iter_mut().zip(rows) {
                        *half = _mm256_add_epi32(*half, _mm256_madd_epi16(rows, weight));
                    }
                }
            }
            for (sums, halves) in sums.iter_mut().zip(halves) {
                for (eight, pair) in sums
                    .as_chunks_mut::<8>()
                    .0
                    .iter_mut()
                    .zip(halves.as_chunks::<2>().0)
                {
                    let mixed = _mm256_hadd_epi32(pair[0], pair[1]);
                    // SAFETY: eight i32 are 256 plain bits.
                    unsafe {
                        _mm256_storeu_si256(
                            eight.as_mut_ptr().cast(),
                            _mm256_permute4x64_epi64::<0b11_01_10_00>(mixed),
                        )
                    };
                }
            }
        }
    }
}

/// x·Φ(x).
#[inline(always)]
fn exact_gelu(x: f32) -> f32 {
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

impl Operand {
    /// Takes over `x` `[blocks][width][LANES]` in the form `arithmetic` multiplies.
    ///
    /// int8: each row gets 256 steps from its least to its largest value.
    pub fn set(&mut self, arithmetic: Arithmetic, x: &[f32], width: usize) {
        let size = width * LANES;
        let blocks = x.len() / size;
        assert_eq!(x.len(), blocks * size, "whole blocks of width {width}");
        self.groups = width.div_ceil(arithmetic.per_word());
        self.words.resize(blocks * self.groups * LANES, 0);
        self.scales.resize(blocks, [[1.0; LANES], [0.0; LANES]]);
        let blocks = x
            .chunks_exact(size)
            .zip(self.words.chunks_exact_mut(self.groups * LANES));
        for ((x, words), scales) in blocks.zip(&mut self.scales) {
            let (x, words) = (x.as_chunks().0, words.as_chunks_mut().0);
            match arithmetic {
                Arithmetic::F32 => copy(x, words),
                Arithmetic::Bf16 => round(x, words),
                Arithmetic::Int8 => quantize(x, words, scales),
            }
        }
    }
}

fn copy(x: &[Lanes], words: &mut [[u32; LANES]]) {
    for (word, x) in words.iter_mut().zip(x) {
        *word = x.map(f32::to_bits);
    }
}

vectorised! {
    fn round(x: &[Lanes], words: &mut [[u32; LANES]]) {
        let (pairs, rest) = x.as_chunks::<2>();
        for (word, [low, high]) in words.iter_mut().zip(pairs) {
            for lane in 0..LANES {
                word[lane] = crate::bf16::pair_of(low[lane], high[lane]);
            }
        }
        if let ([low], Some(word)) = (rest, words.last_mut()) {
            *word = low.map(|low| crate::bf16::pair_of(low, 0.0));
        }
    }
}

/// Adding it leaves the nearest integer, ties to even, in the low bits of a small f32.
const MAGIC: f32 = 8_388_608.0;

vectorised! {
    fn quantize(x: &[Lanes], words: &mut [[u32; LANES]], scales: &mut [Lanes; 2]) {
        let (mut least, mut most) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        for x in x {
            for lane in 0..LANES {
                least[lane] = if x[lane] < least[lane] { x[lane] } else { least[lane] };
                most[lane] = if x[lane] > most[lane] { x[lane] } else { most[lane] };
            }
        }
        let (mut inverse, mut start) = ([0.0; LANES], [0.0; LANES]);
        for lane in 0..LANES {
            let range = most[lane] - least[lane];
            inverse[lane] = if range > 0.0 { 255.0 / range } else { 0.0 };
            start[lane] = -least[lane] * inverse[lane];
            scales[0][lane] = range / 255.0;
            scales[1][lane] = least[lane];
        }
        let steps = |x: &Lanes, lane: usize| (x[lane] * inverse[lane] + start[lane] + MAGIC).to_bits();
        let (fours, rest) = x.as_chunks::<4>();
        for (word, [x0, x1, x2, x3]) in words.iter_mut().zip(fours) {
            for (lane, word) in word.iter_mut().enumerate() {
                *word = (steps(x0, lane) ^ MAGIC.to_bits())
                    | steps(x1, lane) << 8
                    | steps(x2, lane) << 16
                    | steps(x3, lane) << 24;
            }
        }
        if let (false, Some(word)) = (rest.is_empty(), words.last_mut()) {
            *word = [0; LANES];
            for (n, x) in rest.iter().enumerate() {
                for (lane, word) in word.iter_mut().enumerate() {
                    *word |= (steps(x, lane) & 0xff) << (8 * n);
                }
            }
        }
    }
}

/// The tiles in AVX-512.
#[cfg(target_arch = "x86_64")]
mod wide {
    use super::{CHANNELS, GELU, GELU_EDGE, LANES, Lanes, Tile, exact_gelu};
    use std::arch::x86_64::*;
    use std::sync::OnceLock;

    /// What of AVX-512 there is.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Level {
        None,
        Vnni,
        VnniBf16,
    }

    pub fn level() -> Level {
        static LEVEL: OnceLock<Level> = OnceLock::new();
        *LEVEL.get_or_init(|| {
            use crate::simd;
            let vnni = is_x86_feature_detected!("avx512vnni");
            match simd::level() {
                simd::Level::Avx512Bf16 if vnni => Level::VnniBf16,
                simd::Level::Avx512 if vnni => Level::Vnni,
                _ => Level::None,
            }
        })
    }

    macro_rules! tile {
        ($name:ident, $features:literal, $zero:expr, |$sum:ident, $x:ident, $weight:ident| $multiply:expr, |$done:ident, $scale:ident, $channel:ident| $finish:expr, $gelu:ident) => {
            /// # Safety
            /// The processor has these features, and the slices have the lengths [`Tile::run`] says.
            #[target_feature(enable = $features)]
            pub unsafe fn $name<const B: usize>(
                tile: Tile<'_>,
                x: [&[u32]; B],
                scales: [&[Lanes; 2]; B],
                out: [&mut [f32]; B],
            ) {
                let mut sums = [[$zero; B]; CHANNELS];
                let x: [*const u32; B] = x.map(<[u32]>::as_ptr);
                for (n, weights) in tile.weights.as_chunks::<CHANNELS>().0.iter().enumerate() {
                    // SAFETY: each block of `x` holds LANES words for every group of weights.
                    let $x: [__m512i; B] = std::array::from_fn(|block| unsafe {
                        _mm512_loadu_si512(x[block].add(n * LANES).cast())
                    });
                    for channel in 0..CHANNELS {
                        let $weight = _mm512_set1_epi32(weights[channel].cast_signed());
                        for block in 0..B {
                            let $sum = sums[channel][block];
                            let $x = $x[block];
                            sums[channel][block] = $multiply;
                        }
                    }
                }
                for (block, out) in out.into_iter().enumerate() {
                    // SAFETY: a `Lanes` is sixteen f32.
                    let $scale = unsafe {
                        [
                            _mm512_loadu_ps(scales[block][0].as_ptr()),
                            _mm512_loadu_ps(scales[block][1].as_ptr()),
                        ]
                    };
                    let out = out.as_chunks_mut::<LANES>().0;
                    for channel in 0..CHANNELS {
                        if channel < tile.valid {
                            let $done = sums[channel][block];
                            let $channel = tile.channels[channel].map(|x| _mm512_set1_ps(x));
                            let mut value: __m512 = $finish;
                            if tile.gelu {
                                value = $gelu(value);
                            }
                            // SAFETY: a `Lanes` is sixteen f32.
                            unsafe { _mm512_storeu_ps(out[channel].as_mut_ptr(), value) };
                        }
                    }
                }
            }
        };
    }

    tile!(
        int8,
        "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni",
        _mm512_setzero_si512(),
        |sum, x, weight| _mm512_dpbusd_epi32(sum, x, weight),
        |done, scale, channel| {
            let base = _mm512_fmadd_ps(scale[1], channel[1], channel[2]);
            _mm512_fmadd_ps(
                _mm512_mul_ps(_mm512_cvtepi32_ps(done), scale[0]),
                channel[0],
                base,
            )
        },
        near
    );

    tile!(
        bf16,
        "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16",
        _mm512_setzero_ps(),
        // SAFETY: both types are 512 plain bits.
        |sum, x, weight| unsafe {
            _mm512_dpbf16_ps(
                sum,
                std::mem::transmute::<__m512i, __m512bh>(x),
                std::mem::transmute::<__m512i, __m512bh>(weight),
            )
        },
        |done, _scale, channel| _mm512_add_ps(done, channel[2]),
        near
    );

    tile!(
        f32,
        "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni",
        _mm512_setzero_ps(),
        |sum, x, weight| _mm512_fmadd_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(weight), sum),
        |done, _scale, channel| _mm512_add_ps(done, channel[2]),
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
        // SAFETY (both): `lanes` is sixteen f32.
        unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), x) };
        for x in &mut lanes {
            *x = exact_gelu(*x);
        }
        unsafe { _mm512_loadu_ps(lanes.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(n: usize, step: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * step + 0.3).sin()).collect()
    }

    /// Rows `[rows, width]` as blocks.
    fn blocks(rows: &[f32], width: usize) -> Vec<f32> {
        let count = (rows.len() / width).div_ceil(LANES);
        let mut out = vec![0.0; count * width * LANES];
        for (row, values) in rows.chunks_exact(width).enumerate() {
            for (channel, value) in values.iter().enumerate() {
                out[(row / LANES * width + channel) * LANES + row % LANES] = *value;
            }
        }
        out
    }

    const SHAPES: [(usize, usize, usize); 6] = [
        (1, 1, 1),
        (16, 12, 4),
        (17, 13, 7),
        (33, 5, 96),
        (70, 40, 129),
        (50, 100, 384),
    ];

    #[test]
    fn products_agree_with_a_plain_reference_on_odd_shapes() {
        for (m, n, k) in SHAPES {
            let (x, weight, bias) = (wave(m * k, 0.37), wave(n * k, 0.71), wave(n, 0.9));
            for arithmetic in [Arithmetic::F32, Arithmetic::Bf16, Arithmetic::Int8] {
                let Ok(weights) = Weights::new(arithmetic, &weight, &bias) else {
                    continue;
                };
                let mut operand = Operand::default();
                operand.set(arithmetic, &blocks(&x, k), k);
                for activation in [Activation::None, Activation::Gelu] {
                    let mut out = vec![7.0; m.div_ceil(LANES) * n * LANES];
                    weights.product(&operand, activation, &mut out);
                    for row in 0..m {
                        for channel in 0..n {
                            let sum: f32 = (0..k).map(|i| x[row * k + i] * weight[channel * k + i]).sum();
                            let value = sum + bias[channel];
                            let expected = if activation == Activation::Gelu {
                                exact_gelu(value)
                            } else {
                                value
                            };
                            let found = out[(row / LANES * n + channel) * LANES + row % LANES];
                            let tolerance = match arithmetic {
                                Arithmetic::F32 => 1e-4,
                                Arithmetic::Bf16 => 4e-3 * (k as f32).sqrt() + 3e-4,
                                Arithmetic::Int8 => 12e-3 * (k as f32).sqrt() + 3e-4,
                            };
                            assert!(
                                (found - expected).abs() < tolerance,
                                "{arithmetic:?} {m}×{n}×{k} {activation:?}: {found}, expected {expected}"
                            );
                        }
                    }
                }
            }
        }
    }

    /// The vector tiles and the plain ones add the same integers.
    #[test]
    fn int8_products_are_the_same_on_every_processor() {
        for (m, n, k) in SHAPES {
            let (x, weight, bias) = (wave(m * k, 0.37), wave(n * k, 0.71), wave(n, 0.9));
            let weights = Weights::new(Arithmetic::Int8, &weight, &bias).unwrap();
            let mut operand = Operand::default();
            operand.set(Arithmetic::Int8, &blocks(&x, k), k);
            let count = m.div_ceil(LANES);
            let mut out = vec![0.0; count * n * LANES];
            weights.product(&operand, Activation::None, &mut out);
            let groups = k.div_ceil(4);
            for (block, words) in operand.words.chunks_exact(groups * LANES).enumerate() {
                for panel in 0..n.div_ceil(CHANNELS) {
                    let (first, valid) = (panel * CHANNELS, CHANNELS.min(n - panel * CHANNELS));
                    let tile = Tile {
                        weights: &weights.words[panel * groups * CHANNELS..][..groups * CHANNELS],
                        channels: &weights.channels[first..][..CHANNELS],
                        valid,
                        gelu: false,
                    };
                    let words = words.as_chunks().0;
                    let mut plain = vec![[0.0; LANES]; valid];
                    plain_int8(tile, words, &operand.scales[block], &mut plain);
                    let mut sums = [[0; LANES]; CHANNELS];
                    plain_sums(tile.weights, words, &mut sums);
                    #[cfg(target_arch = "x86_64")]
                    if level() >= Level::Avx2 {
                        let mut by_avx2 = [[1; LANES]; CHANNELS];
                        // SAFETY: `level` found AVX2.
                        unsafe { narrow::sums(tile.weights, words, &mut by_avx2) };
                        assert_eq!(by_avx2, sums);
                    }
                    let fast = &out[(block * n + first) * LANES..][..valid * LANES];
                    for (fast, plain) in fast.iter().zip(plain.as_flattened()) {
                        assert!(
                            (fast - plain).abs() <= 2e-6 * plain.abs().max(1.0),
                            "{fast} {plain}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn near_gelu_is_near() {
        for i in -1200..=1200 {
            let x = i as f32 / 100.0;
            let bound = if x.abs() < 4.0 { 2e-4 } else { 1e-4 * x.abs() };
            assert!((near_gelu(x) - exact_gelu(x)).abs() < bound, "at {x}");
        }
    }

    #[test]
    fn rows_of_one_value_and_channels_of_zeros_are_exact() {
        let weights = Weights::new(Arithmetic::Int8, &[0.0, 0.0, 1.0, 1.0], &[3.0, 0.0]).unwrap();
        let mut operand = Operand::default();
        operand.set(Arithmetic::Int8, &[2.5; 2 * LANES], 2);
        let mut out = [0.0; 2 * LANES];
        weights.product(&operand, Activation::None, &mut out);
        assert!(out[..LANES].iter().all(|x| *x == 3.0));
        assert!(out[LANES..].iter().all(|x| (*x - 5.0).abs() < 1e-6));
    }

    #[test]
    fn weights_that_are_no_numbers_are_refused() {
        let refused = Weights::new(Arithmetic::Int8, &[0.0, 1.0, f32::NAN, 1.0], &[0.0, 0.0]);
        assert_eq!(refused.err(), Some(WeightsError::NotFinite(1)));
        let refused = Weights::new(Arithmetic::F32, &[0.0], &[f32::INFINITY]);
        assert_eq!(refused.err(), Some(WeightsError::NotFinite(0)));
    }
}
