//! A strip on one thread.

use super::Texts;
use super::kept::grow;
use super::rows::Rows;
use crate::network::Pooling;
use poststelle_kernels::lanes::KeysValues;
use std::cell::RefCell;

/// What a thread keeps from strip to strip.
#[derive(Default)]
struct Scratch {
    rows: Rows,
    /// By block, of the layer that is read and of the one that is written, in turn: chunks after it still attend to those of a chunk
    /// that has made its next.
    keys_values: [Vec<KeysValues>; 2],
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Runs through all layers and pools each text to `out` `[texts, hidden]`, which holds zeros.
pub fn run(texts: &Texts<'_>, pooling: Pooling, out: &mut [f32]) {
    SCRATCH.with_borrow_mut(|Scratch { rows, keys_values }| {
        for keys_values in keys_values.iter_mut() {
            grow(keys_values, texts.blocks);
        }
        rows.begin(texts, 0..texts.blocks);
        let [even, odd] = keys_values;
        for layer in 0..=texts.packed.layers.len() {
            let (read, write) = if layer % 2 == 0 {
                (&*odd, &mut *even)
            } else {
                (&*even, &mut *odd)
            };
            let read: Vec<&KeysValues> = read[..texts.blocks].iter().collect();
            rows.advance(texts, layer, &read, |block, keys, values| {
                texts.keep(&mut write[block], keys, values);
            });
        }
        for (block, x) in rows.hidden(texts) {
            texts.pool(pooling, block, x, out);
        }
    });
}
