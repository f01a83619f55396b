//! Products of a block's rows with a weight matrix, in f32, bfloat16 and int8.

mod finish;
#[cfg(target_arch = "x86_64")]
mod narrow;
mod plain;
#[cfg(target_arch = "x86_64")]
mod wide;

use super::operand::weight_steps;
use super::{Arithmetic, LANES, Lanes, Operand, PANEL, STEP, Words};
use crate::aligned::Aligned;
#[cfg(target_arch = "x86_64")]
use crate::amx;
use crate::simd::{Level, level};
use crate::tile::TILE;
use finish::finish;
use std::ops::Range;

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
    /// Packed words are fewer or more than the map has.
    Length {
        /// As given.
        found: usize,
        /// Of a map of this shape.
        expected: usize,
    },
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
            Self::Length { found, expected } => write!(f, "{found} packed words, expected {expected}"),
            Self::Unsupported(reason) => reason.fmt(f),
        }
    }
}

impl std::error::Error for WeightsError {}

/// A linear map with bias, in the kernels' order.
///
/// Words are left [`tile`](crate::tile)s, `[panels][steps]`, zero where there is no weight.
pub struct Weights {
    arithmetic: Arithmetic,
    inputs: usize,
    outputs: usize,
    words: Words,
    /// Of each channel: the size of one step, that times the sum of its steps, and the bias.
    channels: Vec<[f32; 3]>,
}

impl Weights {
    /// Packs `weight` `[outputs, inputs]`, row-major, and `bias` `[outputs]`.
    ///
    /// int8: each output channel is scaled so that its largest weight is 127 steps.
    pub fn new(arithmetic: Arithmetic, weight: &[f32], bias: &[f32]) -> Result<Self, WeightsError> {
        arithmetic.supported().map_err(WeightsError::Unsupported)?;
        let (outputs, inputs) = (bias.len(), weight.len() / bias.len().max(1));
        assert_eq!(weight.len(), outputs * inputs, "a [{outputs}, {inputs}] weight");
        let length = arithmetic.words(inputs);
        let mut words = Aligned::zeros(outputs.div_ceil(PANEL) * PANEL * length);
        let mut channels = Vec::with_capacity(outputs);
        let mut steps = vec![0; inputs];
        for (n, (row, bias)) in weight.chunks_exact(inputs.max(1)).zip(bias).enumerate() {
            if !bias.is_finite() || row.iter().any(|weight| !weight.is_finite()) {
                return Err(WeightsError::NotFinite(n));
            }
            let (panel, channel) = (n / PANEL, n % PANEL);
            let panel = &mut words[panel * PANEL * length..][..PANEL * length];
            let tiles = panel.as_chunks_mut::<TILE>().0.iter_mut();
            let words = tiles.flat_map(|tile| &mut tile[channel * STEP..][..STEP]);
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
                    let step = weight_steps(row, &mut steps);
                    let sum: i32 = steps.iter().map(|step| i32::from(step.cast_signed())).sum();
                    for (word, part) in words.zip(steps.chunks(4)) {
                        let mut bytes = [0; 4];
                        bytes[..part.len()].copy_from_slice(part);
                        *word = u32::from_le_bytes(bytes);
                    }
                    scale = [step, step * sum as f32];
                }
            }
            channels.push([scale[0], scale[1], *bias]);
        }
        Ok(Self {
            arithmetic,
            inputs,
            outputs,
            words: words.into(),
            channels,
        })
    }

    /// Takes over what [`words`](Self::words) and [`channels`](Self::channels) of the same map gave on any machine.
    ///
    /// # Errors
    /// [`WeightsError::Length`] where `words` are not those of `inputs` values for each channel,
    /// [`WeightsError::NotFinite`], [`WeightsError::Unsupported`].
    pub fn packed(
        arithmetic: Arithmetic,
        inputs: usize,
        words: Words,
        channels: Vec<[f32; 3]>,
    ) -> Result<Self, WeightsError> {
        arithmetic.supported().map_err(WeightsError::Unsupported)?;
        let outputs = channels.len();
        let expected = outputs.div_ceil(PANEL) * PANEL * arithmetic.words(inputs);
        if words.len() != expected {
            let found = words.len();
            return Err(WeightsError::Length { found, expected });
        }
        let finite = |channel: &[f32; 3]| channel.iter().all(|x| x.is_finite());
        if let Some(channel) = channels.iter().position(|channel| !finite(channel)) {
            return Err(WeightsError::NotFinite(channel));
        }
        Ok(Self {
            arithmetic,
            inputs,
            outputs,
            words,
            channels,
        })
    }

    /// The packed words, `[panels][steps][PANEL][STEP]`; the same on every machine.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Of each channel: the size of one step, that times the sum of its steps, and the bias.
    pub fn channels(&self) -> &[[f32; 3]] {
        &self.channels
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
        self.product_of(0..self.panels(), &[x], activation, out);
    }

    /// Panels of output channels, [`PANEL`] in each but the last.
    pub fn panels(&self) -> usize {
        self.outputs.div_ceil(PANEL)
    }

    /// Output channels of these panels.
    pub fn channels_of(&self, panels: &Range<usize>) -> Range<usize> {
        panels.start * PANEL..(panels.end * PANEL).min(self.outputs)
    }

    /// The channels of some panels: `out` `[blocks][channels][LANES]`, where the blocks of all of `x` follow each other.
    ///
    /// # Panics
    /// If there are no such panels, `x` was made for another arithmetic or width, or `out` has another length.
    pub fn product_of(&self, panels: Range<usize>, x: &[&Operand], activation: Activation, out: &mut [f32]) {
        self.product_by(&Kernel::of(self.arithmetic), panels, x, activation, out);
    }

    fn product_by(
        &self,
        kernel: &Kernel,
        panels: Range<usize>,
        x: &[&Operand],
        activation: Activation,
        out: &mut [f32],
    ) {
        let length = self.arithmetic.words(self.inputs);
        let mut blocks: Vec<(&[u32], &[Lanes; 2])> = Vec::new();
        for x in x {
            assert_eq!(x.length, length, "inner size of a product, in words");
            let words = x.words.chunks_exact(length * LANES);
            blocks.extend(words.zip(&x.scales));
        }
        let outputs = self.channels_of(&panels);
        let width = outputs.len() * LANES;
        assert_eq!(out.len(), blocks.len() * width);
        let words = &self.words[panels.start * PANEL * length..panels.end * PANEL * length];
        let panels: Vec<&[u32]> = words.chunks_exact(PANEL * length).collect();
        let channels = &self.channels[outputs];
        let mut sums = Sums([[0; TILE]; SUMS]);
        let mut widened = Vec::new();
        for (pair, panels) in panels.chunks(kernel.panels()).enumerate() {
            kernel.prepare(panels[0], &mut widened);
            let mut block = 0;
            while block < blocks.len() {
                let here: [&[u32]; BLOCKS] =
                    std::array::from_fn(|n| blocks[(block + n).min(blocks.len() - 1)].0);
                let count = kernel.blocks(blocks.len() - block);
                let across = kernel.sums(self.arithmetic, panels, &widened, &here[..count], &mut sums.0);
                for (panel, sums) in sums.0.chunks(across).enumerate().take(panels.len()) {
                    let first = (pair * kernel.panels() + panel) * PANEL;
                    let here = first..(first + PANEL).min(channels.len());
                    for (n, sums) in sums.iter().enumerate().take(count) {
                        let out = &mut out[(block + n) * width..][..width];
                        finish(
                            self.arithmetic,
                            sums,
                            &channels[here.clone()],
                            blocks[block + n].1,
                            &mut out.as_chunks_mut().0[here.clone()],
                            activation == Activation::Gelu,
                        );
                    }
                }
                block += count;
            }
        }
    }
}

/// Sums of one panel for one block, `[PANEL][LANES]`: i32 in int8, else the bits of f32.
type PanelSums = [u32; TILE];

/// A channel's words of a tile, their even bytes and then their odd ones as pairs of 16 bits.
type Widened = [[u32; STEP]; 2];

/// Sums of some panels for some blocks, on cache lines.
#[repr(align(64))]
struct Sums([PanelSums; SUMS]);
/// Panels times blocks a kernel computes at once, at most.
const SUMS: usize = 4;
/// Blocks a kernel computes at once, at most.
const BLOCKS: usize = 3;

/// What computes sums, by the instructions it uses.
enum Kernel {
    /// Two panels of two blocks.
    #[cfg(target_arch = "x86_64")]
    Amx(amx::Tiles),
    /// One panel of up to three blocks, in AVX-512.
    #[cfg(target_arch = "x86_64")]
    Wide,
    /// One panel of one block, int8 in AVX-VNNI.
    #[cfg(target_arch = "x86_64")]
    Vnni,
    /// One panel of one block, int8 in AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// One panel of one block.
    Plain,
}

impl Kernel {
    /// The fastest of this processor.
    fn of(arithmetic: Arithmetic) -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if arithmetic != Arithmetic::F32
                && let Some(tiles) = amx::Tiles::new()
            {
                return Self::Amx(tiles);
            }
            let vnni = || is_x86_feature_detected!("avx512vnni");
            if level() >= Level::Avx512 && (arithmetic != Arithmetic::Int8 || vnni()) {
                return Self::Wide;
            }
            if arithmetic == Arithmetic::Int8 && level() >= Level::Avx2 {
                let vnni = is_x86_feature_detected!("avxvnni");
                return if vnni { Self::Vnni } else { Self::Avx2 };
            }
        }
        Self::Plain
    }

    /// Panels computed at once.
    fn panels(&self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx(_) => 2,
            _ => 1,
        }
    }

    /// Blocks computed at once where `left` are still to do.
    fn blocks(&self, left: usize) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx(_) => left.min(2),
            // Four are better taken two by two.
            #[cfg(target_arch = "x86_64")]
            Self::Wide => {
                if left == 4 {
                    2
                } else {
                    left.min(3)
                }
            }
            _ => 1,
        }
    }

    /// A panel in the form this kernel multiplies by every block, where it has one of its own.
    fn prepare(&self, panel: &[u32], widened: &mut Vec<Widened>) {
        #[cfg(target_arch = "x86_64")]
        if let Self::Avx2 = self {
            widened.resize(panel.len() / STEP, Widened::default());
            // SAFETY: `Kernel::of` found the instructions.
            unsafe { narrow::widen(panel, widened) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (panel, widened);
    }

    /// Sums of as many panels and blocks as this kernel takes, panel after panel; `widened` is what [`prepare`](Self::prepare) made of
    /// the first; gives the distance from one panel's sums to
    /// the next's.
    ///
    /// # Panics
    /// If the slices differ in length.
    fn sums(
        &self,
        arithmetic: Arithmetic,
        panels: &[&[u32]],
        widened: &[Widened],
        x: &[&[u32]],
        sums: &mut [PanelSums; SUMS],
    ) -> usize {
        #[cfg(not(target_arch = "x86_64"))]
        let _ = widened;
        let (weights, first) = (panels[0], x[0]);
        assert!(weights.len().is_multiple_of(TILE));
        assert!(
            panels
                .iter()
                .chain(x)
                .all(|operand| operand.len() == weights.len())
        );
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx(tiles) => {
                // A lone panel or block is computed twice.
                let left = [weights.as_ptr(), panels[panels.len() - 1].as_ptr()];
                let right = [first.as_ptr(), x[x.len() - 1].as_ptr()];
                let steps = weights.len() / TILE;
                // SAFETY (both): all operands hold `steps` tiles.
                match arithmetic {
                    Arithmetic::Int8 => unsafe { amx::int8(tiles, left, right, steps, sums) },
                    Arithmetic::Bf16 => unsafe { amx::bf16(tiles, left, right, steps, sums) },
                    Arithmetic::F32 => unreachable!("AMX has no f32"),
                }
                return 2;
            }
            #[cfg(target_arch = "x86_64")]
            Self::Wide => {
                macro_rules! by_blocks {
                    ($kernel:path) => {
                        // SAFETY (all three): `Kernel::of` found the instructions; every block of `x` holds LANES words for
                        // each word of a channel.
                        match *x {
                            [a] => unsafe { $kernel(weights, [a.as_ptr()], sums) },
                            [a, b] => unsafe { $kernel(weights, [a.as_ptr(), b.as_ptr()], sums) },
                            [a, b, c, ..] => unsafe {
                                $kernel(weights, [a.as_ptr(), b.as_ptr(), c.as_ptr()], sums)
                            },
                            [] => {}
                        }
                    };
                }
                match arithmetic {
                    Arithmetic::Int8 => by_blocks!(wide::int8),
                    Arithmetic::Bf16 => by_blocks!(wide::bf16),
                    Arithmetic::F32 => by_blocks!(wide::f32),
                }
            }
            // SAFETY (both): `Kernel::of` found the instructions.
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => unsafe { narrow::vnni(weights, first.as_chunks().0, &mut sums[0]) },
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { narrow::avx2(widened, first.as_chunks().0, &mut sums[0]) },
            Self::Plain => match arithmetic {
                Arithmetic::Int8 => plain::int8(weights, first.as_chunks().0, &mut sums[0]),
                Arithmetic::F32 => plain::f32(weights, first.as_chunks().0, &mut sums[0]),
                Arithmetic::Bf16 => {
                    unreachable!("bf16 is refused by `Arithmetic::supported` on this processor")
                }
            },
        }
        x.len()
    }
}

#[cfg(test)]
mod tests {
    use super::finish::exact_gelu;
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

    /// Miri takes minutes for the larger ones.
    fn shapes() -> impl Iterator<Item = (usize, usize, usize)> {
        SHAPES.into_iter().take(if cfg!(miri) { 4 } else { SHAPES.len() })
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes")]
    fn products_agree_with_a_plain_reference_on_odd_shapes() {
        for (m, n, k) in shapes() {
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

    /// Blocks one by one, their channels in parts, times some panels: to the bit what the whole product is.
    #[test]
    fn a_product_in_parts_is_the_product() {
        let (m, n, k) = (3 * LANES, 70, 100);
        let (x, weight, bias) = (wave(m * k, 0.37), wave(n * k, 0.71), wave(n, 0.9));
        let x = blocks(&x, k);
        for arithmetic in [Arithmetic::F32, Arithmetic::Bf16, Arithmetic::Int8] {
            let Ok(weights) = Weights::new(arithmetic, &weight, &bias) else {
                continue;
            };
            let mut operand = Operand::default();
            operand.set(arithmetic, &x, k);
            let mut whole = vec![0.0; m * n];
            weights.product(&operand, Activation::Gelu, &mut whole);
            let operands: Vec<Operand> = x
                .chunks(k * LANES)
                .map(|block| {
                    let mut operand = Operand::default();
                    operand.join(arithmetic, block.chunks(3 * PANEL * LANES), k);
                    operand
                })
                .collect();
            let operands: Vec<&Operand> = operands.iter().collect();
            for panels in [0..2, 2..3, 3..5] {
                let channels = weights.channels_of(&panels);
                let mut out = vec![0.0; m * channels.len()];
                weights.product_of(panels, &operands, Activation::Gelu, &mut out);
                for (found, whole) in out.chunks(channels.len() * LANES).zip(whole.chunks(n * LANES)) {
                    assert_eq!(found, &whole[channels.start * LANES..channels.end * LANES]);
                }
            }
        }
    }

    /// Every kernel this processor has adds the same integers and rounds the same products.
    #[test]
    fn kernels_agree() {
        for (m, n, k) in shapes() {
            let (x, weight, bias) = (wave(m * k, 0.37), wave(n * k, 0.71), wave(n, 0.9));
            for arithmetic in [Arithmetic::F32, Arithmetic::Bf16, Arithmetic::Int8] {
                let Ok(weights) = Weights::new(arithmetic, &weight, &bias) else {
                    continue;
                };
                let mut operand = Operand::default();
                operand.set(arithmetic, &blocks(&x, k), k);
                let run = |kernel: &Kernel| {
                    let mut out = vec![0.0; m.div_ceil(LANES) * n * LANES];
                    weights.product_by(
                        kernel,
                        0..weights.panels(),
                        &[&operand],
                        Activation::None,
                        &mut out,
                    );
                    out
                };
                let fastest = run(&Kernel::of(arithmetic));
                for kernel in others(arithmetic) {
                    for (found, fastest) in run(&kernel).iter().zip(&fastest) {
                        let tolerance = if arithmetic == Arithmetic::Int8 {
                            2e-6
                        } else {
                            1e-4
                        };
                        assert!(
                            (found - fastest).abs() <= tolerance * fastest.abs().max(1.0),
                            "{arithmetic:?} {m}×{n}×{k}: {found} {fastest}"
                        );
                    }
                }
            }
        }
    }

    /// The kernels this processor has besides the fastest.
    fn others(arithmetic: Arithmetic) -> Vec<Kernel> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let int8 = arithmetic == Arithmetic::Int8;
            if level() >= Level::Avx512 && (!int8 || is_x86_feature_detected!("avx512vnni")) {
                all.push(Kernel::Wide);
            }
            if int8 && level() >= Level::Avx2 {
                all.push(Kernel::Avx2);
                if is_x86_feature_detected!("avxvnni") {
                    all.push(Kernel::Vnni);
                }
            }
        }
        if arithmetic != Arithmetic::Bf16 {
            all.push(Kernel::Plain);
        }
        all
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
    fn packed_words_serve_from_shared_bytes() {
        let (weight, bias) = (wave(40 * 70, 0.37), wave(40, 0.9));
        let own = Weights::new(Arithmetic::Int8, &weight, &bias).unwrap();
        let bytes: Vec<u8> = own.words().iter().flat_map(|word| word.to_ne_bytes()).collect();
        let bytes: Aligned<u8> = Aligned::from(&bytes[..]);
        let (bytes, length) = (std::sync::Arc::new(bytes), own.words().len());
        let words = |range| Words::shared(bytes.clone(), range);
        let packed = |words| Weights::packed(Arithmetic::Int8, 70, words, own.channels().to_vec());
        let shared = packed(words(0..4 * length).unwrap()).unwrap();
        let mut operand = Operand::default();
        operand.set(Arithmetic::Int8, &blocks(&wave(3 * 70, 0.71), 70), 70);
        let run = |weights: &Weights| {
            let mut out = vec![0.0; 40 * LANES];
            weights.product(&operand, Activation::None, &mut out);
            out
        };
        assert_eq!(run(&shared), run(&own));
        assert!(words(0..4 * length + 4).is_none() && words(0..5).is_none());
        let short = packed(words(0..4 * length - 4).unwrap()).err();
        let (found, expected) = (length - 1, length);
        assert_eq!(short, Some(WeightsError::Length { found, expected }));
    }

    #[test]
    fn weights_that_are_no_numbers_are_refused() {
        let refused = Weights::new(Arithmetic::Int8, &[0.0, 1.0, f32::NAN, 1.0], &[0.0, 0.0]);
        assert_eq!(refused.err(), Some(WeightsError::NotFinite(1)));
        let refused = Weights::new(Arithmetic::F32, &[0.0], &[f32::INFINITY]);
        assert_eq!(refused.err(), Some(WeightsError::NotFinite(0)));
    }
}
