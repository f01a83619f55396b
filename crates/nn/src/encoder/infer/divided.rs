//! A strip on all threads, its blocks divided among them.
//!
//! Each thread takes its blocks through the layers and waits for the others once a layer, for their keys and values. So little goes from
//! core to core, which takes long where they share no cache; but each reads all weights, and their shares are equal only if there are
//! as many blocks as divide well.

use super::Texts;
use super::kept::{Kept, grow, read, write};
use super::phases::Phases;
use super::rows::Rows;
use crate::network::Pooling;
use poststelle_kernels::lanes::KeysValues;
use std::sync::RwLock;

/// Blocks of a thread at least: of one alone, what it does with a weight is less than fetching that takes.
const LEAST: usize = 2;
/// Of the threads' time, what may be lost to unequal shares: one part in so many.
const LOSS: usize = 11;

#[derive(Default)]
struct Buffers {
    rows: Vec<RwLock<Rows>>,
    /// As a strip on one thread has them.
    keys_values: [Vec<RwLock<KeysValues>>; 2],
}

static BUFFERS: Kept<Buffers> = Kept::new();

/// Whether so many blocks divide well.
pub fn suits(blocks: usize, threads: usize) -> bool {
    let each = blocks.div_ceil(threads);
    each >= LEAST && (each * threads - blocks) * LOSS <= each * threads
}

/// Runs through all layers and pools each text to `out` `[texts, hidden]`, which holds zeros.
pub fn run(texts: &Texts<'_>, threads: usize, pooling: Pooling, out: &mut [f32]) {
    BUFFERS.with(|buffers| {
        grow(&mut buffers.rows, threads);
        for keys_values in &mut buffers.keys_values {
            grow(keys_values, texts.blocks);
        }
        let Buffers { rows, keys_values } = &*buffers;
        for (thread, rows) in rows[..threads].iter().enumerate() {
            let share = |thread: usize| texts.blocks * thread / threads;
            write(rows).begin(texts, share(thread)..share(thread + 1));
        }
        let layers = texts.packed.layers.len();
        Phases::new((0..=layers).map(|_| threads), threads).run(|layer, task| {
            let others: Vec<_> = keys_values[(layer + 1) % 2][..texts.blocks]
                .iter()
                .map(read)
                .collect();
            let others: Vec<&KeysValues> = others.iter().map(|one| &**one).collect();
            write(&rows[task]).advance(texts, layer, &others, |block, keys, values| {
                texts.keep(&mut write(&keys_values[layer % 2][block]), keys, values);
            });
        });
        for rows in &rows[..threads] {
            for (block, x) in read(rows).hidden(texts) {
                texts.pool(pooling, block, x, out);
            }
        }
    });
}
