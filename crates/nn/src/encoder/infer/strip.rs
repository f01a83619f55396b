//! A strip on one thread.
//!
//! It goes through the layers *chunk* by chunk of its blocks, so that what a chunk leaves is still near when its next step wants it:
//! a chunk attends to the keys and values of its layer, runs through the rest of it, and makes the keys and values of the
//! next, which lie apart, since the chunks after it still attend to those of this one.

use super::{Row, Texts, add_normalise};
use crate::network::Pooling;
use poststelle_kernels::aligned::Aligned;
use poststelle_kernels::lanes::{Activation, Attention, KeysValues, LANES, Operand};
use std::cell::RefCell;
use std::ops::Range;

/// Blocks of a chunk at most: its widest activations stay in the second-level cache.
const CHUNK_BLOCKS: usize = 8;

/// What a thread keeps from strip to strip.
#[derive(Default)]
struct Scratch {
    /// Hidden states, `[blocks][hidden][LANES]`.
    x: Aligned<f32>,
    /// `[blocks][3 · hidden][LANES]`
    qkv: Aligned<f32>,
    /// By block, of the layer that is read and of the one that is written, in turn.
    keys_values: [Vec<KeysValues>; 2],
    operand: Operand,
    attention: Attention,
    narrow: Aligned<f32>,
    wide: Aligned<f32>,
    row: Row,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Runs through all layers and pools each text to `out` `[texts, hidden]`, which holds zeros.
pub fn run(texts: &Texts<'_>, pooling: Pooling, out: &mut [f32]) {
    SCRATCH.with_borrow_mut(|scratch| {
        let (blocks, hidden) = (texts.blocks, texts.encoder.config.hidden);
        scratch.x.resize(blocks * hidden * LANES);
        scratch.qkv.resize(blocks * 3 * hidden * LANES);
        for keys_values in &mut scratch.keys_values {
            if keys_values.len() < blocks {
                keys_values.resize_with(blocks, KeysValues::default);
            }
        }
        let count = blocks.div_ceil(CHUNK_BLOCKS);
        for layer in 0..=texts.packed.layers.len() {
            for n in 0..count {
                scratch.advance(texts, layer, blocks * n / count..blocks * (n + 1) / count);
            }
        }
        for (block, x) in scratch.x.chunks_exact(hidden * LANES).enumerate() {
            texts.pool(pooling, block, x, out);
        }
    });
}

impl Scratch {
    /// Embeds a chunk or takes it through layer `n` − 1, and makes queries, keys and values of layer `n` where there is one.
    fn advance(&mut self, texts: &Texts<'_>, n: usize, blocks: Range<usize>) {
        let size = texts.encoder.config.hidden * LANES;
        if n == 0 {
            for block in blocks.clone() {
                texts.embed(block, &mut self.x[block * size..][..size], &mut self.row);
            }
        } else {
            self.layer(texts, n - 1, blocks.clone());
        }
        let Some(next) = texts.packed.layers.get(n) else {
            return;
        };
        let config = &texts.encoder.config;
        let arithmetic = texts.packed.arithmetic;
        let x = &self.x[blocks.start * size..blocks.end * size];
        let qkv = &mut self.qkv[blocks.start * 3 * size..blocks.end * 3 * size];
        self.operand.set(arithmetic, x, config.hidden);
        next.qkv.product(&self.operand, Activation::None, qkv);
        for (block, qkv) in blocks.zip(qkv.chunks_exact(3 * size)) {
            let (keys, values) = qkv[size..].split_at(size);
            let head_width = config.hidden / config.heads;
            self.keys_values[n % 2][block].set(arithmetic, head_width, keys, values);
        }
    }

    fn layer(&mut self, texts: &Texts<'_>, n: usize, blocks: Range<usize>) {
        let (config, arithmetic) = (&texts.encoder.config, texts.packed.arithmetic);
        let (hidden, inner) = (config.hidden, config.feed_forward);
        let (packed, layer) = (&texts.packed.layers[n], &texts.encoder.body.layers[n]);
        let size = hidden * LANES;
        self.narrow.resize(blocks.len() * size);
        self.wide.resize(blocks.len() * inner * LANES);
        let Self {
            x,
            operand,
            narrow,
            wide,
            ..
        } = self;
        let x = &mut x[blocks.start * size..blocks.end * size];
        for (block, out) in blocks.zip(narrow.chunks_exact_mut(size)) {
            let queries = &self.qkv[block * 3 * size..][..size];
            let keys_values = &self.keys_values[n % 2];
            texts.attend(
                block,
                config.heads,
                queries,
                keys_values,
                &mut self.attention,
                out,
            );
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
