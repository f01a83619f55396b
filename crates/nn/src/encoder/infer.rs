//! Inference over weights packed once, on blocks of rows in lanes.
//!
//! A batch is cut into *strips* of whole texts. A strip goes through the layers in phases; in a phase every *chunk* of
//! its blocks attends to keys and values the phase before left, runs through the rest of the layer and makes the keys and
//! values of the next. Chunks need nothing else of each other, so a phase is the only thing to wait for.
//!
//! With many texts each thread takes whole strips and never waits. With few, all threads share one strip: chunks are
//! claimed as threads come free, so a thread the system holds up keeps one chunk and no more.

use super::packed::{Packed, PackedLayer};
use super::{Config, Encoder, Norm};
use crate::encode::Batch;
use crate::network::Pooling;
use poststelle_kernels::aligned::Aligned;
use poststelle_kernels::lanes::{self, Activation, Attention, KeysValues, LANES, Operand};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, RwLock};

/// Tokens of a strip one thread takes alone: enough that weights are read seldom, few enough that threads end together.
const STRIP_TOKENS: usize = 512;
/// Blocks of a chunk at most: its widest activations stay in the second-level cache.
const CHUNK_BLOCKS: usize = 8;
/// How often a thread looks again before it sleeps until a phase is over; some ten microseconds.
const LOOKS: usize = 400;

impl Packed {
    /// Pooled vectors of a batch, `[texts, hidden]`; `encoder` is the one that was packed.
    pub fn embeddings(&self, encoder: &Encoder, pooling: Pooling, batch: &Batch) -> Vec<f32> {
        let hidden = encoder.config.hidden;
        let mut pooled = vec![0.0; batch.texts() * hidden];
        let threads = rayon::current_num_threads();
        let strips = strips(batch);
        if threads == 1 || strips.len() >= 4 * threads {
            let mut parts = Vec::with_capacity(strips.len());
            let mut rest = &mut pooled[..];
            for texts in strips {
                let (part, after) = rest.split_at_mut(texts.len() * hidden);
                parts.push((texts, part));
                rest = after;
            }
            parts.into_par_iter().for_each(|(texts, out)| {
                let strip = Strip::new(self, encoder, batch, texts, 1);
                strip.work();
                strip.pool(pooling, out);
            });
        } else {
            let strip = Strip::new(self, encoder, batch, 0..batch.texts(), threads);
            rayon::scope(|scope| {
                for _ in 1..threads.min(strip.chunks.len()) {
                    scope.spawn(|_| strip.work());
                }
                strip.work();
            });
            strip.pool(pooling, &mut pooled);
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

/// Some texts on their way through the layers.
struct Strip<'a> {
    packed: &'a Packed,
    encoder: &'a Encoder,
    batch: &'a Batch,
    texts: Range<usize>,
    /// First token of the strip in the batch.
    first: usize,
    chunks: Vec<Mutex<Chunk>>,
    /// By block, of the layer a phase reads and of the one it writes, in turn.
    keys_values: [Vec<RwLock<KeysValues>>; 2],
    phases: Vec<Phase>,
    over: Mutex<()>,
    wake: Condvar,
    /// A thread panicked: nobody waits any more, and the pass ends in that panic.
    broken: AtomicBool,
}

/// Neighbouring blocks one thread works on.
struct Chunk {
    blocks: Range<usize>,
    /// Hidden states, `[blocks][hidden][LANES]`.
    x: Aligned<f32>,
    /// `[blocks][3 · hidden][LANES]`
    qkv: Aligned<f32>,
}

#[derive(Default)]
struct Phase {
    claimed: AtomicUsize,
    done: AtomicUsize,
}

/// Buffers of a thread, kept from chunk to chunk.
#[derive(Default)]
struct Scratch {
    operand: Operand,
    attention: Attention,
    narrow: Aligned<f32>,
    wide: Aligned<f32>,
    row: Aligned<f32>,
    bytes: Vec<u8>,
}

thread_local! {
    static SCRATCH: std::cell::RefCell<Scratch> = std::cell::RefCell::default();
}

/// `buffer` with `n` elements of any value, keeping its memory.
fn sized(buffer: &mut Aligned<f32>, n: usize) -> &mut [f32] {
    buffer.resize(n);
    buffer
}

impl<'a> Strip<'a> {
    fn new(
        packed: &'a Packed,
        encoder: &'a Encoder,
        batch: &'a Batch,
        texts: Range<usize>,
        threads: usize,
    ) -> Self {
        let first = batch.starts()[texts.start];
        let blocks = (batch.starts()[texts.end] - first).div_ceil(LANES);
        let count = blocks
            .div_ceil(CHUNK_BLOCKS)
            .next_multiple_of(threads)
            .min(blocks);
        let hidden = encoder.config.hidden;
        let chunks = (0..count).map(|n| {
            let blocks = blocks * n / count..blocks * (n + 1) / count;
            Mutex::new(Chunk {
                x: Aligned::zeros(blocks.len() * hidden * LANES),
                qkv: Aligned::zeros(blocks.len() * 3 * hidden * LANES),
                blocks,
            })
        });
        let heads = encoder.config.heads;
        let store = || {
            (0..blocks)
                .map(|_| RwLock::new(KeysValues::new(packed.arithmetic, heads, hidden / heads)))
                .collect()
        };
        Self {
            packed,
            encoder,
            batch,
            texts,
            first,
            chunks: chunks.collect(),
            keys_values: [store(), store()],
            phases: (0..=packed.layers.len()).map(|_| Phase::default()).collect(),
            over: Mutex::new(()),
            wake: Condvar::new(),
            broken: AtomicBool::new(false),
        }
    }

    /// Works on chunks until none is left; several threads may do so at once.
    fn work(&self) {
        let _watch = Watch(self);
        SCRATCH.with_borrow_mut(|scratch| {
            for (n, phase) in self.phases.iter().enumerate() {
                loop {
                    let claim = phase.claimed.fetch_add(1, Ordering::Relaxed);
                    let Some(chunk) = self.chunks.get(claim) else {
                        break;
                    };
                    self.advance(n, &mut lock(chunk), scratch);
                    if phase.done.fetch_add(1, Ordering::Release) + 1 == self.chunks.len() {
                        drop(lock(&self.over));
                        self.wake.notify_all();
                    }
                }
                self.wait(phase);
            }
        });
    }

    fn wait(&self, phase: &Phase) {
        let over =
            || phase.done.load(Ordering::Acquire) == self.chunks.len() || self.broken.load(Ordering::Acquire);
        for _ in 0..LOOKS {
            if over() {
                return;
            }
            std::hint::spin_loop();
        }
        let mut guard = lock(&self.over);
        while !over() {
            guard = self
                .wake
                .wait(guard)
                .expect("nothing panics while it holds this lock");
        }
    }

    /// Phase 0 embeds; phase n runs through layer n − 1; all but the last make the next layer's queries, keys and values.
    fn advance(&self, phase: usize, chunk: &mut Chunk, scratch: &mut Scratch) {
        if phase == 0 {
            self.embed(chunk, scratch);
        } else {
            self.layer(phase - 1, chunk, scratch);
        }
        if let Some(next) = self.packed.layers.get(phase) {
            self.project(next, &self.keys_values[phase % 2], chunk, scratch);
        }
    }

    fn embed(&self, chunk: &mut Chunk, Scratch { row, bytes, .. }: &mut Scratch) {
        let Encoder { config, words, body } = self.encoder;
        let hidden = config.hidden;
        let row = sized(row, hidden);
        for text in self.texts_of(&chunk.blocks) {
            let tokens = self.rows(text);
            let first = tokens.start.max(chunk.blocks.start * LANES);
            let after = tokens.end.min(chunk.blocks.end * LANES);
            for token in first..after {
                let id = self.batch.id(self.first + token);
                match &self.packed.words {
                    Some(steps) => steps.row(id, bytes, row),
                    None => words.row(id, row),
                }
                let position = token - tokens.start + config.first_position;
                let position = &body.positions[position * hidden..][..hidden];
                let kind = body.token_types.get(..hidden);
                let at = token - chunk.blocks.start * LANES;
                let out = &mut chunk.x[at / LANES * hidden * LANES + at % LANES..];
                for (channel, out) in out.iter_mut().step_by(LANES).take(hidden).enumerate() {
                    *out = row[channel] + position[channel] + kind.map_or(0.0, |kind| kind[channel]);
                }
            }
        }
        self.normalise(&body.embedding_norm, &mut chunk.x);
    }

    /// Queries, keys and values of a layer.
    fn project(
        &self,
        layer: &PackedLayer,
        keys_values: &[RwLock<KeysValues>],
        chunk: &mut Chunk,
        scratch: &mut Scratch,
    ) {
        let hidden = self.encoder.config.hidden;
        scratch.operand.set(self.packed.arithmetic, &chunk.x, hidden);
        layer
            .qkv
            .product(&scratch.operand, Activation::None, &mut chunk.qkv);
        for (block, qkv) in chunk
            .blocks
            .clone()
            .zip(chunk.qkv.chunks_exact(3 * hidden * LANES))
        {
            let (keys, values) = qkv[hidden * LANES..].split_at(hidden * LANES);
            write(&keys_values[block]).set(keys, values);
        }
    }

    fn layer(&self, n: usize, chunk: &mut Chunk, scratch: &mut Scratch) {
        let Encoder { config, body, .. } = self.encoder;
        let (hidden, inner) = (config.hidden, config.feed_forward);
        let (packed, layer) = (&self.packed.layers[n], &body.layers[n]);
        let Scratch {
            operand,
            attention,
            narrow,
            wide,
            ..
        } = scratch;
        let narrow = sized(narrow, chunk.x.len());
        // Lanes after the last token attend to nothing.
        narrow[chunk.x.len() - hidden * LANES..].fill(0.0);
        self.attend(n, chunk, attention, narrow);
        operand.set(self.packed.arithmetic, narrow, hidden);
        packed.attention_out.product(operand, Activation::None, narrow);
        self.add_normalise(&layer.attention_norm, &mut chunk.x, narrow);
        operand.set(self.packed.arithmetic, &chunk.x, hidden);
        let wide = sized(wide, chunk.blocks.len() * inner * LANES);
        packed.up.product(operand, Activation::Gelu, wide);
        operand.set(self.packed.arithmetic, wide, inner);
        packed.down.product(operand, Activation::None, narrow);
        self.add_normalise(&layer.output_norm, &mut chunk.x, narrow);
    }

    fn attend(&self, n: usize, chunk: &Chunk, attention: &mut Attention, out: &mut [f32]) {
        let Config { hidden, heads, .. } = self.encoder.config;
        let stored = &self.keys_values[n % 2];
        for text in self.texts_of(&chunk.blocks) {
            let tokens = self.rows(text);
            let blocks = tokens.start / LANES..tokens.end.div_ceil(LANES);
            let guards: Vec<_> = stored[blocks.clone()].iter().map(read).collect();
            let keys_values: Vec<&KeysValues> = guards.iter().map(|guard| &**guard).collect();
            let offset = blocks.start * LANES;
            for block in blocks.start.max(chunk.blocks.start)..blocks.end.min(chunk.blocks.end) {
                let lanes =
                    tokens.start.saturating_sub(block * LANES)..(tokens.end - block * LANES).min(LANES);
                let here = block - chunk.blocks.start;
                attention.attend(
                    heads,
                    &chunk.qkv[here * 3 * hidden * LANES..][..hidden * LANES],
                    &keys_values,
                    tokens.start - offset..tokens.end - offset,
                    lanes,
                    &mut out[here * hidden * LANES..][..hidden * LANES],
                );
            }
        }
    }

    fn normalise(&self, norm: &Norm, x: &mut [f32]) {
        lanes::norm(x, &norm.gain, &norm.bias, self.encoder.config.epsilon);
    }

    fn add_normalise(&self, norm: &Norm, x: &mut [f32], y: &[f32]) {
        lanes::add_norm(x, y, &norm.gain, &norm.bias, self.encoder.config.epsilon);
    }

    /// The tokens of a text, from the first of the strip.
    fn rows(&self, text: usize) -> Range<usize> {
        let tokens = self.batch.range(text);
        tokens.start - self.first..tokens.end - self.first
    }

    /// The texts with tokens in these blocks.
    fn texts_of(&self, blocks: &Range<usize>) -> Range<usize> {
        let starts = &self.batch.starts()[self.texts.start..=self.texts.end];
        let token = |block: usize| self.first + block * LANES;
        let first = starts.partition_point(|start| *start <= token(blocks.start)) - 1;
        let after = starts.partition_point(|start| *start < token(blocks.end));
        self.texts.start + first..(self.texts.start + after).min(self.texts.end)
    }

    /// Pools each text of the strip to `out` `[texts, hidden]`.
    fn pool(&self, pooling: Pooling, out: &mut [f32]) {
        let hidden = self.encoder.config.hidden;
        for chunk in &self.chunks {
            let chunk = lock(chunk);
            for text in self.texts_of(&chunk.blocks) {
                let tokens = match pooling {
                    Pooling::Mean => self.rows(text),
                    Pooling::Cls => self.rows(text).start..self.rows(text).start + 1,
                };
                let share = 1.0 / tokens.len() as f32;
                let out = &mut out[(text - self.texts.start) * hidden..][..hidden];
                for block in chunk.blocks.clone() {
                    let first = tokens.start.clamp(block * LANES, (block + 1) * LANES) - block * LANES;
                    let after = tokens.end.clamp(block * LANES, (block + 1) * LANES) - block * LANES;
                    if first == after {
                        continue;
                    }
                    let x = &chunk.x[(block - chunk.blocks.start) * hidden * LANES..][..hidden * LANES];
                    for (out, x) in out.iter_mut().zip(x.chunks_exact(LANES)) {
                        *out += x[first..after].iter().sum::<f32>() * share;
                    }
                }
            }
        }
    }
}

/// Wakes the threads that would wait for the one that panics.
struct Watch<'a>(&'a Strip<'a>);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken.store(true, Ordering::Release);
            drop(self.0.over.lock());
            self.0.wake.notify_all();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("a thread that panics ends the whole pass")
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().expect("a thread that panics ends the whole pass")
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().expect("a thread that panics ends the whole pass")
}
