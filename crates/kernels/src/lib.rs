//! Numeric kernels of the encoder engine, with no tensor framework under them.
//!
//! Every function works on plain `f32` slices in row-major order and says its shapes. The processor's
//! widest vectors are chosen at run time ([`simd`]); results depend on the machine and the shapes, never on
//! timing, so a run repeats bit for bit.
//!
//! This is the only crate with `unsafe`. Each block says why it is sound.
#![allow(unsafe_code)]

pub mod adamw;
pub mod aligned;
#[cfg(target_arch = "x86_64")]
mod amx;
pub mod attention;
mod bf16;
pub mod dropout;
pub mod gelu;
pub mod lanes;
mod math;
pub mod matmul;
pub mod norm;
pub mod simd;
mod tile;

pub use matmul::{Precision, Product, UnsupportedPrecision, View};

/// Rows one task works on where a sum over rows is split; fixed, so that sums do not depend on the thread count.
const ROWS_PER_TASK: usize = 128;
