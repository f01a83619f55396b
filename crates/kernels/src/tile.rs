//! The tiles operands of products are packed in.
//!
//! A *left tile* is [`SIDE`] rows of [`STEP`] 32-bit words along the inner dimension; a *right tile* is as many words of
//! [`SIDE`] columns. A word holds one f32, two bfloat16 or four int8. Every kernel, from AMX down to plain Rust, reads the
//! same tiles, so weights packed on one machine serve on another.

/// Rows of a left tile and columns of a right one.
pub const SIDE: usize = 16;
/// Words along the inner dimension.
pub const STEP: usize = 16;
/// Words of a tile.
pub const TILE: usize = SIDE * STEP;
