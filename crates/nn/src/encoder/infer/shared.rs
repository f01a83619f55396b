//! A strip on all threads, its steps cut.
//!
//! Each step of a layer is cut by what it does not mix: attention by heads, products by their output channels, norms and
//! rounding by blocks of rows. So the threads have equal shares however few the rows are, and each reads its own part of the weights.
//! Between two steps they wait for each other, eight times a layer.
//!
//! Source: Shoeybi et al. 2019, "Megatron-LM", arXiv:1909.08053, §3, on threads instead of devices.

use super::kept::{Kept, grow, read, write};
use super::phases::Phases;
use super::{Row, Texts, add_normalise};
use crate::encoder::{Config, Norm};
use crate::network::Pooling;
use poststelle_kernels::aligned::Aligned;
use poststelle_kernels::lanes::{Activation, Attention, KeysValues, LANES, Operand, PANEL, Weights};
use std::cell::RefCell;
use std::ops::Range;
use std::sync::{RwLock, RwLockReadGuard};

/// Tasks of a phase per thread: more than one, so that a thread that is held up holds up less.
const TASKS: usize = 2;
/// Phases of a layer, as in [`Step`].
const STEPS: usize = 8;

/// What a phase does in a layer, and by what it is cut.
#[derive(Clone, Copy)]
enum Step {
    /// Heads: their queries, keys and values, and attention.
    Attend,
    /// Blocks: what the heads left becomes an operand.
    Join,
    /// Channels.
    AttentionOut,
    /// Blocks: added to the hidden states, which are normalised and become an operand.
    AttentionNorm,
    /// Channels.
    Up,
    /// Blocks, as in `Join`.
    JoinUp,
    /// Channels.
    Down,
    /// Blocks, as in `AttentionNorm`.
    OutputNorm,
}

const ORDER: [Step; STEPS] = [
    Step::Attend,
    Step::Join,
    Step::AttentionOut,
    Step::AttentionNorm,
    Step::Up,
    Step::JoinUp,
    Step::Down,
    Step::OutputNorm,
];

/// What all threads read and write, each its own part at a time.
#[derive(Default)]
struct Buffers {
    blocks: Vec<RwLock<Block>>,
    groups: Vec<RwLock<Group>>,
    /// Of each task of a product, `[blocks][channels][LANES]`.
    parts: Vec<RwLock<Aligned<f32>>>,
}

#[derive(Default)]
struct Block {
    /// Hidden states, `[hidden][LANES]`.
    x: Aligned<f32>,
    /// The left side of the next product.
    operand: Operand,
}

/// Some heads.
#[derive(Default)]
struct Group {
    /// Queries, keys, values, each `[blocks][channels][LANES]`.
    qkv: [Aligned<f32>; 3],
    /// By block.
    keys_values: Vec<KeysValues>,
    /// `[blocks][channels][LANES]`
    out: Aligned<f32>,
}

/// What a thread keeps from task to task.
#[derive(Default)]
struct Scratch {
    attention: Attention,
    sum: Aligned<f32>,
    row: Row,
}

static BUFFERS: Kept<Buffers> = Kept::new();

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// A strip on its way through the layers.
pub struct Shared<'a> {
    texts: &'a Texts<'a>,
    buffers: &'a Buffers,
    threads: usize,
    groups: usize,
}

impl<'a> Shared<'a> {
    /// Whether a model's heads can be cut from its maps.
    pub fn can(config: &Config) -> bool {
        config.hidden.is_multiple_of(PANEL)
    }

    /// Runs through all layers and pools each text to `out` `[texts, hidden]`, which holds zeros.
    pub fn run(texts: &'a Texts<'a>, threads: usize, pooling: Pooling, out: &mut [f32]) {
        BUFFERS.with(|buffers| {
            let config = &texts.encoder.config;
            let whole = |groups: &usize| {
                config.heads.is_multiple_of(*groups) && (config.hidden / groups).is_multiple_of(PANEL)
            };
            let groups = (1..=threads * TASKS).rev().find(whole).unwrap_or(1);
            grow(&mut buffers.blocks, texts.blocks);
            grow(&mut buffers.groups, groups);
            grow(&mut buffers.parts, threads * TASKS);
            let shared = Shared {
                texts,
                buffers,
                threads,
                groups,
            };
            let layers = texts.packed.layers.len();
            let tasks = (0..=layers * STEPS).map(|phase| match phase.checked_sub(1) {
                None => texts.blocks,
                Some(phase) => shared.tasks(phase / STEPS, ORDER[phase % STEPS]),
            });
            Phases::new(tasks, threads).run(|phase, task| {
                SCRATCH.with_borrow_mut(|scratch| match phase.checked_sub(1) {
                    None => shared.embed(task, scratch),
                    Some(phase) => shared.step(phase / STEPS, ORDER[phase % STEPS], task, scratch),
                });
            });
            for (block, kept) in buffers.blocks[..texts.blocks].iter().enumerate() {
                texts.pool(pooling, block, &read(kept).x, out);
            }
        });
    }

    fn tasks(&self, layer: usize, step: Step) -> usize {
        let packed = &self.texts.packed.layers[layer];
        match step {
            Step::Attend => self.groups,
            Step::AttentionOut => self.parts(&packed.attention_out),
            Step::Up => self.parts(&packed.up),
            Step::Down => self.parts(&packed.down),
            Step::Join | Step::JoinUp | Step::AttentionNorm | Step::OutputNorm => self.texts.blocks,
        }
    }

    /// Tasks of a product.
    fn parts(&self, weights: &Weights) -> usize {
        (self.threads * TASKS).min(weights.panels())
    }

    fn embed(&self, block: usize, scratch: &mut Scratch) {
        let hidden = self.texts.encoder.config.hidden;
        let Block { x, operand } = &mut *write(&self.buffers.blocks[block]);
        x.resize(hidden * LANES);
        self.texts.embed(block, x, &mut scratch.row);
        operand.set(self.texts.packed.arithmetic, x, hidden);
    }

    fn step(&self, n: usize, step: Step, task: usize, scratch: &mut Scratch) {
        let (packed, layer) = (&self.texts.packed.layers[n], &self.texts.encoder.body.layers[n]);
        match step {
            Step::Attend => self.attend(&packed.qkv, task, &mut scratch.attention),
            Step::Join => {
                let groups: Vec<_> = self.buffers.groups[..self.groups].iter().map(read).collect();
                self.join(task, groups.iter().map(|group| &group.out[..]));
            }
            Step::AttentionOut => self.product(&packed.attention_out, Activation::None, task),
            Step::AttentionNorm => self.add(&packed.attention_out, &layer.attention_norm, task, scratch),
            Step::Up => self.product(&packed.up, Activation::Gelu, task),
            Step::JoinUp => {
                let parts = self.read_parts(&packed.up);
                self.join(task, parts.iter().map(|part| &part[..]));
            }
            Step::Down => self.product(&packed.down, Activation::None, task),
            Step::OutputNorm => self.add(&packed.down, &layer.output_norm, task, scratch),
        }
    }

    fn attend(&self, qkv: &Weights, task: usize, attention: &mut Attention) {
        let config = &self.texts.encoder.config;
        let (channels, heads) = (config.hidden / self.groups, config.heads / self.groups);
        let (blocks, size) = (self.texts.blocks, channels * LANES);
        let group = &mut *write(&self.buffers.groups[task]);
        let all = config.hidden / PANEL;
        let panels = all * task / self.groups..all * (task + 1) / self.groups;
        let x: Vec<_> = self.buffers.blocks[..blocks].iter().map(read).collect();
        let x: Vec<&Operand> = x.iter().map(|block| &block.operand).collect();
        for (n, out) in group.qkv.iter_mut().enumerate() {
            out.resize(blocks * size);
            let panels = n * all + panels.start..n * all + panels.end;
            qkv.product_of(panels, &x, Activation::None, out);
        }
        grow(&mut group.keys_values, blocks);
        group.out.resize(blocks * size);
        let [queries, keys, values] = &group.qkv;
        let here = |block: usize| block * size..(block + 1) * size;
        for (block, keys_values) in group.keys_values[..blocks].iter_mut().enumerate() {
            self.texts
                .keep(keys_values, &keys[here(block)], &values[here(block)]);
        }
        let keys_values: Vec<&KeysValues> = group.keys_values[..blocks].iter().collect();
        for (block, out) in group.out.chunks_exact_mut(size).enumerate() {
            let queries = &queries[here(block)];
            let texts = self.texts;
            texts.attend(block, heads, queries, &keys_values, attention, out);
        }
    }

    fn product(&self, weights: &Weights, activation: Activation, task: usize) {
        let blocks = self.texts.blocks;
        let panels = panels(weights, task, self.parts(weights));
        let mut out = write(&self.buffers.parts[task]);
        out.resize(blocks * weights.channels_of(&panels).len() * LANES);
        let x: Vec<_> = self.buffers.blocks[..blocks].iter().map(read).collect();
        let x: Vec<&Operand> = x.iter().map(|block| &block.operand).collect();
        weights.product_of(panels, &x, activation, &mut out);
    }

    fn read_parts(&self, weights: &Weights) -> Vec<RwLockReadGuard<'_, Aligned<f32>>> {
        self.buffers.parts[..self.parts(weights)]
            .iter()
            .map(read)
            .collect()
    }

    /// Makes an operand of a block's channels, which lie in parts, each of all blocks.
    fn join<'b>(&self, block: usize, parts: impl Iterator<Item = &'b [f32]> + Clone) {
        let parts = parts.map(|part| self.of_block(part, block));
        let width = parts.clone().map(<[f32]>::len).sum::<usize>() / LANES;
        let operand = &mut write(&self.buffers.blocks[block]).operand;
        operand.join(self.texts.packed.arithmetic, parts, width);
    }

    fn of_block<'b>(&self, part: &'b [f32], block: usize) -> &'b [f32] {
        let size = part.len() / self.texts.blocks;
        &part[block * size..][..size]
    }

    /// Adds a product to a block's hidden states and normalises them.
    fn add(&self, weights: &Weights, norm: &Norm, block: usize, scratch: &mut Scratch) {
        let config = &self.texts.encoder.config;
        let Block { x, operand } = &mut *write(&self.buffers.blocks[block]);
        scratch.sum.resize(x.len());
        let mut rest = &mut scratch.sum[..];
        for part in self.read_parts(weights) {
            let part = self.of_block(&part, block);
            let here;
            (here, rest) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
        }
        add_normalise(norm, config, x, &scratch.sum);
        operand.set(self.texts.packed.arithmetic, x, config.hidden);
    }
}

/// The panels of one of `tasks` tasks.
fn panels(weights: &Weights, task: usize, tasks: usize) -> Range<usize> {
    let all = weights.panels();
    all * task / tasks..all * (task + 1) / tasks
}
