//! Inference with the rows of a batch in the lanes of vectors.
//!
//! A *block* holds [`LANES`] rows (tokens) as `[width][LANES]`: channel after channel, a row in each lane. Products,
//! attention, LayerNorm and quantisation then all work down the channels, and nothing is ever transposed or summed
//! across a vector. Every function here runs on the calling thread; who computes which blocks is the caller's matter.
//!
//! A product keeps output channels of a few blocks in registers over the whole inner dimension; the weights are
//! broadcast, or multiplied by the tile where the processor has AMX. Source of the idea: Goto & van de Geijn 2008, with the
//! register tile turned by a quarter.

mod attention;
mod norm;
mod operand;
mod product;
#[cfg(target_arch = "x86_64")]
mod vector;
mod words;

pub use attention::{Attention, KeysValues};
pub use norm::{add_norm, norm};
pub use operand::{Operand, weight_steps};
pub use product::{Activation, Weights, WeightsError};
pub use words::Words;

use crate::simd::{Level, level};
use crate::tile::{SIDE, STEP};

/// Rows of a block.
pub const LANES: usize = SIDE;

/// Output channels of a panel, which a product computes at a time.
pub const PANEL: usize = SIDE;

/// The arithmetic of inference. Sums are f32, in int8 exact integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Arithmetic {
    /// Products of f32; on every processor.
    F32,
    /// Products of operands rounded to bfloat16; needs AVX-512 BF16.
    Bf16,
    /// Weights in 8 bits with a scale per output channel, activations in 8 bits with a scale and a least value per row;
    /// on every processor, fast from AVX2 on, faster with AVX-VNNI, AVX-512 VNNI and AMX in this order.
    ///
    /// Source: Jacob et al. 2018, arXiv:1712.05877.
    #[default]
    Int8,
}

impl Arithmetic {
    /// This arithmetic, if the processor has it.
    pub fn supported(self) -> Result<Self, crate::UnsupportedPrecision> {
        if self == Self::Bf16 && level() != Level::Avx512Bf16 {
            return Err(crate::UnsupportedPrecision);
        }
        Ok(self)
    }

    /// Values of the inner dimension in one 32-bit word of an operand.
    fn per_word(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16 => 2,
            Self::Int8 => 4,
        }
    }

    /// Words of `width` values, padded to whole steps of a tile.
    fn words(self, width: usize) -> usize {
        width.div_ceil(self.per_word()).next_multiple_of(STEP)
    }
}

/// The lanes of one channel of a block.
type Lanes = [f32; LANES];
