//! Inference over weights packed once, on blocks of rows in lanes.
//!
//! A batch is cut into *strips* of whole texts. With many of them each thread takes whole strips and waits for nobody
//! ([`strip`]). With few, all threads share one strip after the other: its blocks where these divide well ([`divided`]), else
//! the steps ([`shared`]).

mod divided;
mod kept;
mod phases;
mod rows;
mod shared;
mod strip;

use super::packed::Packed;
use super::{Config, Encoder, Norm};
use crate::encode::Batch;
use crate::network::Pooling;
use crate::threads;
use poststelle_kernels::lanes::{self, Attention, KeysValues, LANES};
use rayon::prelude::*;
use shared::Shared;
use std::ops::Range;

/// Tokens of a strip: enough that weights are read seldom, few enough that threads end together.
const STRIP_TOKENS: usize = 256;

impl Packed {
    /// Pooled vectors of a batch, `[texts, hidden]`; `encoder` is the one that was packed.
    pub fn embeddings(&self, encoder: &Encoder, pooling: Pooling, batch: &Batch) -> Vec<f32> {
        let hidden = encoder.config.hidden;
        let mut pooled = vec![0.0; batch.texts() * hidden];
        let threads = threads::available();
        let mut parts = Vec::new();
        let mut rest = &mut pooled[..];
        for texts in strips(batch) {
            let (part, after) = rest.split_at_mut(texts.len() * hidden);
            parts.push((Texts::new(self, encoder, batch, texts), part));
            rest = after;
        }
        if threads == 1 {
            for (texts, out) in parts {
                strip::run(&texts, pooling, out);
            }
        } else if parts.len() < 4 * threads && Shared::can(&encoder.config) {
            for (texts, out) in parts {
                if divided::suits(texts.blocks, threads) {
                    divided::run(&texts, threads, pooling, out);
                } else {
                    Shared::run(&texts, threads, pooling, out);
                }
            }
        } else {
            let each = parts.into_par_iter();
            each.for_each(|(texts, out)| strip::run(&texts, pooling, out));
        }
        pooled
    }
}

/// Runs of texts of about [`STRIP_TOKENS`].
fn strips(batch: &Batch) -> Vec<Range<usize>> {
    let mut strips: Vec<Range<usize>> = Vec::new();
    let mut tokens = 0;
    for text in 0..batch.texts() {
        let more = batch.range(text).len();
        match strips.last_mut() {
            Some(strip) if tokens + more <= STRIP_TOKENS => strip.end += 1,
            _ => {
                strips.push(text..text + 1);
                tokens = 0;
            }
        }
        tokens += more;
    }
    strips
}

/// The texts of a strip, one after another in the lanes of its blocks.
struct Texts<'a> {
    packed: &'a Packed,
    encoder: &'a Encoder,
    batch: &'a Batch,
    texts: Range<usize>,
    /// First token of the strip in the batch.
    first: usize,
    tokens: usize,
    blocks: usize,
}

impl<'a> Texts<'a> {
    fn new(packed: &'a Packed, encoder: &'a Encoder, batch: &'a Batch, texts: Range<usize>) -> Self {
        let first = batch.starts()[texts.start];
        let tokens = batch.starts()[texts.end] - first;
        Self {
            packed,
            encoder,
            batch,
            texts,
            first,
            tokens,
            blocks: tokens.div_ceil(LANES),
        }
    }

    /// The tokens of a text, from the first of the strip.
    fn rows(&self, text: usize) -> Range<usize> {
        let tokens = self.batch.range(text);
        tokens.start - self.first..tokens.end - self.first
    }

    /// The texts with tokens in this block.
    fn texts_of(&self, block: usize) -> Range<usize> {
        let starts = &self.batch.starts()[self.texts.start..=self.texts.end];
        let token = |block: usize| self.first + block * LANES;
        let first = starts.partition_point(|start| *start <= token(block)) - 1;
        let after = starts.partition_point(|start| *start < token(block + 1));
        self.texts.start + first..(self.texts.start + after).min(self.texts.end)
    }

    /// The lanes of a block that hold tokens of a text.
    fn lanes(&self, text: usize, block: usize) -> Range<usize> {
        let tokens = self.rows(text);
        let lane = |token: usize| token.clamp(block * LANES, (block + 1) * LANES) - block * LANES;
        lane(tokens.start)..lane(tokens.end)
    }

    /// Writes the normalised embeddings of a block's tokens to `x` `[hidden][LANES]`.
    fn embed(&self, block: usize, x: &mut [f32], row: &mut Row) {
        let Encoder { config, words, body } = self.encoder;
        let hidden = config.hidden;
        row.values.resize(hidden, 0.0);
        x.fill(0.0);
        for text in self.texts_of(block) {
            let start = self.rows(text).start;
            for lane in self.lanes(text, block) {
                let token = block * LANES + lane;
                let id = self.batch.id(self.first + token);
                match &self.packed.words {
                    Some(steps) => steps.row(id, &mut row.bytes, &mut row.values),
                    None => words.row(id, &mut row.values),
                }
                let position = token - start + config.first_position;
                let position = &body.positions[position * hidden..][..hidden];
                let kind = body.token_types.get(..hidden);
                let out = x[lane..].iter_mut().step_by(LANES);
                for (channel, out) in out.enumerate().take(hidden) {
                    *out = row.values[channel] + position[channel] + kind.map_or(0.0, |kind| kind[channel]);
                }
            }
        }
        let Norm { gain, bias } = &body.embedding_norm;
        lanes::norm(x, gain, bias, config.epsilon);
    }

    /// Keeps a block's keys and values, or those of some heads, each `[heads · head width][LANES]`.
    fn keep(&self, to: &mut KeysValues, keys: &[f32], values: &[f32]) {
        let config = &self.encoder.config;
        to.set(self.packed.arithmetic, config.hidden / config.heads, keys, values);
    }

    /// Attends from a block's queries, `[heads · head width][LANES]`, to the keys and values of its texts, of which all blocks of the
    /// strip are given.
    fn attend(
        &self,
        block: usize,
        heads: usize,
        queries: &[f32],
        keys_values: &[&KeysValues],
        attention: &mut Attention,
        out: &mut [f32],
    ) {
        if (block + 1) * LANES > self.tokens {
            // Lanes after the last token attend to nothing.
            out.fill(0.0);
        }
        for text in self.texts_of(block) {
            let tokens = self.rows(text);
            let blocks = tokens.start / LANES..tokens.end.div_ceil(LANES);
            let offset = blocks.start * LANES;
            let rows = tokens.start - offset..tokens.end - offset;
            let lanes = self.lanes(text, block);
            attention.attend(heads, queries, &keys_values[blocks], rows, lanes, out);
        }
    }

    /// Adds to `out` `[texts, hidden]` what a block's last hidden states `[hidden][LANES]` are of each text's pooled vector.
    fn pool(&self, pooling: Pooling, block: usize, x: &[f32], out: &mut [f32]) {
        let hidden = self.encoder.config.hidden;
        for text in self.texts_of(block) {
            let (tokens, lanes) = (self.rows(text), self.lanes(text, block));
            let (lanes, share) = match pooling {
                Pooling::Mean => (lanes, 1.0 / tokens.len() as f32),
                Pooling::Cls if tokens.start < block * LANES => continue,
                Pooling::Cls => (lanes.start..lanes.start + 1, 1.0),
            };
            let out = &mut out[(text - self.texts.start) * hidden..][..hidden];
            for (out, x) in out.iter_mut().zip(x.chunks_exact(LANES)) {
                *out += x[lanes.clone()].iter().sum::<f32>() * share;
            }
        }
    }
}

/// A word piece on its way into a lane.
#[derive(Default)]
struct Row {
    values: Vec<f32>,
    bytes: Vec<u8>,
}

/// `x = LayerNorm(x + y)` of whole blocks.
fn add_normalise(norm: &Norm, config: &Config, x: &mut [f32], y: &[f32]) {
    lanes::add_norm(x, y, &norm.gain, &norm.bias, config.epsilon);
}
