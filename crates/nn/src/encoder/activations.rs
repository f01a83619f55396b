//! The memory of training passes: planned once for the largest batch of a run and reused by every batch.

use crate::encoder::layer::{Scratch, Tape};
use crate::encoder::{Config, Mode};

/// What the backward pass needs from a forward pass, and what both work in.
///
/// ```text
/// kept for each layer that learns   its input, and its tape: queries, keys, values, attention, feed-forward
/// kept once                         the output, the sums of the tables, scratch
/// with `Mode::recompute`            one tape for all layers; the backward pass fills it again from each input
/// ```
#[derive(Default)]
pub struct Activations {
    /// Sums of the embedding tables, `[tokens, hidden]`.
    pub(super) sums: Vec<f32>,
    /// The input of each layer and the output of the last, `[tokens, hidden]` each; empty below frozen layers.
    pub(super) states: Vec<Vec<f32>>,
    pub(super) tapes: Vec<Tape>,
    pub(super) scratch: Scratch,
}

impl Activations {
    /// Gives every buffer the size it has for a batch of `tokens` tokens; without it they grow as batches come.
    ///
    /// The memory is the system's zero pages until a batch touches it.
    pub fn plan(&mut self, config: &Config, mode: Mode, tokens: usize) {
        self.arrange(config, mode);
        let wide = tokens * config.hidden;
        sized(&mut self.sums, wide);
        for state in &mut self.states[mode.frozen..] {
            sized(state, wide);
        }
        for tape in &mut self.tapes {
            tape.plan(config, tokens);
        }
        self.scratch.plan(config, tokens);
    }

    /// The last layer's output, `[tokens, hidden]`, and room beyond it.
    pub fn output(&self) -> &[f32] {
        self.states.last().map_or(&[], |state| &state[..])
    }

    /// Bytes that all buffers hold.
    pub fn bytes(&self) -> usize {
        let buffers = self.states.iter().chain([&self.sums]);
        let tapes: usize = self.tapes.iter().map(Tape::bytes).sum();
        buffers.map(bytes).sum::<usize>() + tapes + self.scratch.bytes()
    }

    /// At least as many buffers as the mode needs.
    pub(super) fn arrange(&mut self, config: &Config, mode: Mode) {
        self.states.resize_with(config.layers + 1, Vec::new);
        // Frozen layers leave no trace, but there is one tape that they are computed in.
        let learning = config.layers - mode.frozen;
        let tapes = if mode.recompute { 1 } else { learning.max(1) };
        if self.tapes.len() < tapes {
            self.tapes.resize_with(tapes, Tape::default);
        }
    }
}

/// The first `n` elements of `buffer`, of any value; it grows to that size once and never shrinks.
pub(super) fn sized(buffer: &mut Vec<f32>, n: usize) -> &mut [f32] {
    if buffer.len() < n {
        // What is in it is not wanted, so nothing is copied; fresh zeros cost nothing until they are written.
        *buffer = vec![0.0; n];
    }
    &mut buffer[..n]
}

/// Bytes a buffer holds.
pub(super) fn bytes(buffer: &Vec<f32>) -> usize {
    buffer.capacity() * size_of::<f32>()
}
