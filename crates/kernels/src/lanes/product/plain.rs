//! PanelSums of a panel in plain Rust, vectorised by the compiler for what the processor has.

use super::{LANES, PANEL, PanelSums, STEP, TILE};
use crate::simd::vectorised;

/// Channels kept in registers at a time.
const KEPT: usize = 4;

vectorised! {
    pub fn f32(weights: &[u32], x: &[[u32; LANES]], sums: &mut PanelSums) {
        for part in 0..PANEL / KEPT {
            let mut kept = [[0.0f32; LANES]; KEPT];
            for (tile, x) in weights.as_chunks::<TILE>().0.iter().zip(x.as_chunks::<STEP>().0) {
                for (word, x) in x.iter().enumerate() {
                    for (channel, sum) in kept.iter_mut().enumerate() {
                        let weight = f32::from_bits(tile[(part * KEPT + channel) * STEP + word]);
                        for lane in 0..LANES {
                            sum[lane] += f32::from_bits(x[lane]) * weight;
                        }
                    }
                }
            }
            for (row, sum) in sums.as_chunks_mut::<LANES>().0[part * KEPT..].iter_mut().zip(&kept) {
                for lane in 0..LANES {
                    row[lane] = sum[lane].to_bits();
                }
            }
        }
    }
}

vectorised! {
    pub fn int8(weights: &[u32], x: &[[u32; LANES]], sums: &mut PanelSums) {
        for part in 0..PANEL / KEPT {
            let mut kept = [[0i32; LANES]; KEPT];
            for (tile, x) in weights.as_chunks::<TILE>().0.iter().zip(x.as_chunks::<STEP>().0) {
                for (word, x) in x.iter().enumerate() {
                    for (channel, sum) in kept.iter_mut().enumerate() {
                        let weight = tile[(part * KEPT + channel) * STEP + word];
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
            }
            for (row, sum) in sums.as_chunks_mut::<LANES>().0[part * KEPT..].iter_mut().zip(&kept) {
                for lane in 0..LANES {
                    row[lane] = sum[lane].cast_unsigned();
                }
            }
        }
    }
}
