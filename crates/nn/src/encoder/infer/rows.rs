//! Some blocks of a strip on their way through the layers.
//!
//! They go *chunk* by chunk, so that what a chunk leaves is still near when its next step wants it:
//! a chunk attends to the keys and values of its layer, runs through the rest of it, and makes the keys and values of the next.

use super::{Row, Texts, add_normalise};
use poststelle_kernels::aligned::Aligned;
use poststelle_kernels::lanes::{Activation, Attention, KeysValues, LANES, Operand};
use std::ops::Range;

/// Blocks of a chunk at most: its widest activations stay in the second-level cache.
const CHUNK_BLOCKS: usize = 8;

/// Consecutive blocks, and what is kept for them from strip to strip.
#[derive(Default)]
pub struct Rows {
    blocks: Range<usize>,
    /// Hidden states, `[blocks][hidden][LANES]`.
    x: Aligned<f32>,
    /// `[blocks][3 · hidden][LANES]`
    qkv: Aligned<f32>,
    operand: Operand,
    attention: Attention,
    narrow: Aligned<f32>,
    wide: Aligned<f32>,
    row: Row,
}

impl Rows {
    /// Begins with these blocks of a strip.
    pub fn begin(&mut self, texts: &Texts<'_>, blocks: Range<usize>) {
        let size = texts.encoder.config.hidden * LANES;
        self.x.resize(blocks.len() * size);
        self.qkv.resize(blocks.len() * 3 * size);
        self.blocks = blocks;
    }

    /// The blocks with their hidden states, `[hidden][LANES]` each.
    pub fn hidden<'a>(&'a self, texts: &Texts<'_>) -> impl Iterator<Item = (usize, &'a [f32])> {
        let size = texts.encoder.config.hidden * LANES;
        self.blocks.clone().zip(self.x.chunks_exact(size))
    }

    /// Embeds the blocks, or takes them through layer `n` − 1, whose keys and values of all blocks of the strip are `read`; where
    /// there is a layer `n`, makes its queries, and `write` is told a block with its keys and values, `[hidden][LANES]` each.
    pub fn advance(
        &mut self,
        texts: &Texts<'_>,
        n: usize,
        read: &[&KeysValues],
        mut write: impl FnMut(usize, &[f32], &[f32]),
    ) {
        let (first, all) = (self.blocks.start, self.blocks.len());
        let count = all.div_ceil(CHUNK_BLOCKS);
        for chunk in 0..count {
            let blocks = first + all * chunk / count..first + all * (chunk + 1) / count;
            self.advance_chunk(texts, n, blocks, read, &mut write);
        }
    }

    fn advance_chunk(
        &mut self,
        texts: &Texts<'_>,
        n: usize,
        blocks: Range<usize>,
        read: &[&KeysValues],
        write: &mut impl FnMut(usize, &[f32], &[f32]),
    ) {
        let config = &texts.encoder.config;
        let size = config.hidden * LANES;
        let here = blocks.start - self.blocks.start..blocks.end - self.blocks.start;
        if n == 0 {
            let x = self.x[here.start * size..here.end * size].chunks_exact_mut(size);
            for (block, x) in blocks.clone().zip(x) {
                texts.embed(block, x, &mut self.row);
            }
        } else {
            self.layer(texts, n - 1, blocks.clone(), here.clone(), read);
        }
        let Some(next) = texts.packed.layers.get(n) else {
            return;
        };
        let x = &self.x[here.start * size..here.end * size];
        let qkv = &mut self.qkv[here.start * 3 * size..here.end * 3 * size];
        self.operand.set(texts.packed.arithmetic, x, config.hidden);
        next.qkv.product(&self.operand, Activation::None, qkv);
        for (block, qkv) in blocks.zip(qkv.chunks_exact(3 * size)) {
            let (keys, values) = qkv[size..].split_at(size);
            write(block, keys, values);
        }
    }

    fn layer(
        &mut self,
        texts: &Texts<'_>,
        n: usize,
        blocks: Range<usize>,
        here: Range<usize>,
        read: &[&KeysValues],
    ) {
        let (config, arithmetic) = (&texts.encoder.config, texts.packed.arithmetic);
        let (hidden, inner) = (config.hidden, config.feed_forward);
        let (packed, layer) = (&texts.packed.layers[n], &texts.encoder.body.layers[n]);
        let size = hidden * LANES;
        self.narrow.resize(blocks.len() * size);
        self.wide.resize(blocks.len() * inner * LANES);
        let Self {
            x,
            qkv,
            operand,
            attention,
            narrow,
            wide,
            ..
        } = self;
        let x = &mut x[here.start * size..here.end * size];
        let qkv = qkv[here.start * 3 * size..here.end * 3 * size].chunks_exact(3 * size);
        for ((block, qkv), out) in blocks.zip(qkv).zip(narrow.chunks_exact_mut(size)) {
            texts.attend(block, config.heads, &qkv[..size], read, attention, out);
        }
        operand.set(arithmetic, narrow, hidden);
        packed.attention_out.product(operand, Activation::None, narrow);
        add_normalise(&layer.attention_norm, config, x, narrow);
        operand.set(arithmetic, x, hidden);
        packed.up.product(operand, Activation::Gelu, wide);
        operand.set(arithmetic, wide, inner);
        packed.down.product(operand, Activation::None, narrow);
        add_normalise(&layer.output_norm, config, x, narrow);
    }
}
