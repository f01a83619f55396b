//! Self-attention with queries in lanes: scores, softmax and sums run down the keys.
//!
//! Keys and values lie in the blocks their products left them in. Scores exist for one head of one block of
//! queries at a time. Source: Vaswani et al. 2017, arXiv:1706.03762, §3.2.

#[cfg(target_arch = "x86_64")]
mod full;
#[cfg(target_arch = "x86_64")]
mod wide;

use super::{Arithmetic, LANES, Lanes};
use crate::aligned::Aligned;
#[cfg(target_arch = "x86_64")]
use crate::amx;
use crate::simd::{Level, bf16_outruns_f32, level, multiply_add, vectorised};
use std::ops::Range;

/// Keys and values of one block of rows.
///
/// Rounded to bfloat16 where products may be and the processor's of it are the faster ones, else in f32.
#[derive(Default)]
pub struct KeysValues {
    form: Form,
    /// Both `[width][LANES]`.
    plain: [Aligned<f32>; 2],
    /// A word holds two neighbouring channels of a row: `[width / 2][LANES]`, or for AMX left tiles
    /// `[width / 32][LANES][STEP]`.
    keys: Aligned<u32>,
    /// `[width][LANES]`
    values: Aligned<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Form {
    #[default]
    Plain,
    Rounded,
    /// Rounded, in tiles.
    Tiles,
}

impl Form {
    /// The fastest of this processor.
    fn of(arithmetic: Arithmetic, head_width: usize) -> Self {
        if arithmetic == Arithmetic::F32 || level() != Level::Avx512Bf16 || !bf16_outruns_f32() {
            Self::Plain
        } else if in_tiles(head_width) {
            Self::Tiles
        } else {
            Self::Rounded
        }
    }
}

/// Whether heads of this width are computed by AMX.
#[cfg(target_arch = "x86_64")]
fn in_tiles(head_width: usize) -> bool {
    matches!(head_width, 32 | 64) && amx::available()
}

#[cfg(not(target_arch = "x86_64"))]
fn in_tiles(_: usize) -> bool {
    false
}

impl KeysValues {
    /// Takes over keys and values, each `[width][LANES]`, of heads of `head_width` channels.
    ///
    /// # Panics
    /// If one has another width than the other.
    pub fn set(&mut self, arithmetic: Arithmetic, head_width: usize, from_keys: &[f32], from_values: &[f32]) {
        self.set_as(Form::of(arithmetic, head_width), from_keys, from_values);
    }

    /// As [`set`](Self::set) in this form, which the processor must have.
    fn set_as(&mut self, form: Form, from_keys: &[f32], from_values: &[f32]) {
        assert_eq!(from_keys.len(), from_values.len());
        self.form = form;
        match form {
            Form::Plain => {
                for (to, from) in self.plain.iter_mut().zip([from_keys, from_values]) {
                    to.resize(from.len());
                    to.copy_from_slice(from);
                }
            }
            Form::Rounded | Form::Tiles => {
                self.keys.resize((from_keys.len() / LANES).div_ceil(2) * LANES);
                self.values.resize(from_values.len());
                // SAFETY: there are rounded keys only where AVX-512 BF16 was found.
                #[cfg(target_arch = "x86_64")]
                unsafe {
                    wide::round(
                        from_keys.as_chunks().0,
                        self.keys.as_chunks_mut().0,
                        from_values.as_chunks().0,
                        self.values.as_chunks_mut().0,
                        form == Form::Tiles,
                    )
                };
            }
        }
    }
}

/// Scratch memory of attention, kept from call to call.
#[derive(Default)]
pub struct Attention {
    /// `[head width / 2][LANES]`
    queries: Aligned<u32>,
    /// `[keys][LANES]`
    scores: Aligned<f32>,
    /// `[keys / 2][LANES]`
    shares: Aligned<u32>,
    /// `[head width][LANES]`; AMX alone.
    mixed: Aligned<f32>,
}

impl Attention {
    /// Attends from one block of queries to the rows of one sequence: `out = softmax(q·kᵀ / √head width)·v` per head.
    ///
    /// `queries` and `out`: `[heads · head width][LANES]`; `blocks` hold the sequence's keys and values, which are the
    /// rows `rows` counted from the first lane of the first; only `lanes` of `out` are written.
    ///
    /// # Panics
    /// If `rows` is empty or outside `blocks`, or a slice has another length; with an odd head width.
    pub fn attend(
        &mut self,
        heads: usize,
        queries: &[f32],
        blocks: &[&KeysValues],
        rows: Range<usize>,
        lanes: Range<usize>,
        out: &mut [f32],
    ) {
        assert!(!rows.is_empty() && rows.end <= blocks.len() * LANES && lanes.end <= LANES);
        assert_eq!(queries.len(), out.len());
        let d = queries.len() / LANES / heads;
        assert!(d.is_multiple_of(2), "an even head width");
        let form = blocks[0].form;
        assert!(
            blocks.iter().all(|block| block.form == form),
            "blocks of one form"
        );
        self.scores.resize(blocks.len() * LANES * LANES);
        let scores = self.scores.as_chunks_mut::<LANES>().0;
        #[cfg(target_arch = "x86_64")]
        if form != Form::Plain {
            self.queries.resize(d / 2 * LANES);
            self.shares.resize(blocks.len() * LANES / 2 * LANES);
            self.mixed.resize(d * LANES);
            let shares = self.shares.as_chunks_mut::<LANES>().0;
            let tiles = if form == Form::Tiles {
                amx::AttentionTiles::new()
            } else {
                None
            };
            for head in 0..heads {
                let part = head * d * LANES..(head + 1) * d * LANES;
                let keys = blocks
                    .iter()
                    .map(|block| &block.keys[part.start / 2..part.end / 2]);
                let values = blocks.iter().map(|block| &block.values[part.clone()]);
                let (queries, out) = (&queries[part.clone()], &mut out[part.clone()]);
                // SAFETY: there are rounded keys only where AVX-512 BF16 was found.
                unsafe {
                    wide::queries(queries, &mut self.queries);
                    if let Some(tiles) = &tiles {
                        wide::tiled(
                            tiles,
                            &self.queries,
                            keys,
                            values,
                            &rows,
                            scores,
                            shares,
                            &mut self.mixed,
                            &lanes,
                            out,
                        );
                    } else {
                        wide::scores(&self.queries, keys, &rows, scores);
                        let whole = wide::softmax(scores, &rows, shares);
                        wide::mix(shares, values, whole, &lanes, out);
                    }
                }
            }
            return;
        }
        let scale = 1.0 / (d as f32).sqrt();
        #[cfg(target_arch = "x86_64")]
        if level() >= Level::Avx512 {
            for head in 0..heads {
                let part = head * d * LANES..(head + 1) * d * LANES;
                let of = |n: usize| {
                    let part = part.clone();
                    blocks
                        .iter()
                        .map(move |block| block.plain[n][part.clone()].as_chunks().0)
                };
                let (keys, values) = (of(0), of(1));
                let (queries, out) = (&queries[part.clone()], &mut out[part.clone()]);
                // SAFETY: `level` found AVX-512.
                unsafe {
                    full::scores(queries.as_chunks().0, keys, &rows, scores);
                    let whole = full::softmax(&mut scores[rows.clone()], scale);
                    full::mix(scores, values, &rows, whole, &lanes, out.as_chunks_mut().0);
                }
            }
            return;
        }
        for head in 0..heads {
            let part = head * d * LANES..(head + 1) * d * LANES;
            for (block, scores) in blocks.iter().zip(scores.chunks_mut(LANES)) {
                plain_scores(
                    queries[part.clone()].as_chunks().0,
                    block.plain[0][part.clone()].as_chunks().0,
                    scores,
                );
            }
            let whole = plain_softmax(&mut scores[rows.clone()], scale);
            scores[..rows.start].fill([0.0; LANES]);
            scores[rows.end..].fill([0.0; LANES]);
            let out = out[part.clone()].as_chunks_mut::<LANES>().0;
            out.iter_mut().for_each(|out| out[lanes.clone()].fill(0.0));
            for (block, scores) in blocks.iter().zip(scores.chunks(LANES)) {
                plain_mix(
                    scores,
                    block.plain[1][part.clone()].as_chunks().0,
                    &whole,
                    out,
                    lanes.start,
                    lanes.end,
                );
            }
        }
    }
}

/// Keys the plain scores are computed for at a time, and channels the plain sums.
const PLAIN: usize = 4;

vectorised! {
    fn plain_scores(queries: &[Lanes], keys: &[Lanes], scores: &mut [Lanes]) {
        for (part, scores) in scores.chunks_exact_mut(PLAIN).enumerate() {
            let mut sums = [[0.0; LANES]; PLAIN];
            for (query, keys) in queries.iter().zip(keys) {
                for (sum, key) in sums.iter_mut().zip(&keys[part * PLAIN..][..PLAIN]) {
                    for lane in 0..LANES {
                        sum[lane] = multiply_add::<FMA>(query[lane], *key, sum[lane]);
                    }
                }
            }
            scores.copy_from_slice(&sums);
        }
    }
}

vectorised! {
    /// Exponentials of the scores, and one over their sum.
    fn plain_softmax(scores: &mut [Lanes], scale: f32) -> Lanes {
        let mut most = [f32::NEG_INFINITY; LANES];
        for score in scores.iter() {
            for lane in 0..LANES {
                most[lane] = if score[lane] > most[lane] { score[lane] } else { most[lane] };
            }
        }
        let mut sum = [0.0; LANES];
        for score in scores.iter_mut() {
            for lane in 0..LANES {
                score[lane] = crate::math::exp((score[lane] - most[lane]) * scale);
                sum[lane] += score[lane];
            }
        }
        sum.map(|sum| 1.0 / sum)
    }
}

vectorised! {
    fn plain_mix(shares: &[Lanes], values: &[Lanes], whole: &Lanes, out: &mut [Lanes], first: usize, after: usize) {
        let (fours, rest) = values.as_chunks::<PLAIN>();
        let (outs, last) = out.as_chunks_mut::<PLAIN>();
        for (outs, values) in outs.iter_mut().zip(fours) {
            // Sums that do not wait for each other.
            let mut sums = [[0.0; LANES]; PLAIN];
            for (key, share) in shares.iter().enumerate().take(LANES) {
                for (sum, value) in sums.iter_mut().zip(values) {
                    for lane in 0..LANES {
                        sum[lane] = multiply_add::<FMA>(share[lane], value[key], sum[lane]);
                    }
                }
            }
            for (out, sum) in outs.iter_mut().zip(&sums) {
                for lane in first..after {
                    out[lane] += sum[lane] * whole[lane];
                }
            }
        }
        for (out, values) in last.iter_mut().zip(rest) {
            for (share, value) in shares.iter().zip(values) {
                for lane in first..after {
                    out[lane] += share[lane] * value * whole[lane];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(n: usize, step: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * step + 0.3).sin()).collect()
    }

    /// Sequences that begin and end inside blocks, against the attention of training.
    #[test]
    fn attends_within_sequences_as_training_does() {
        let mut cases = vec![(Form::Plain, 2, 8), (Form::Plain, 3, 32), (Form::Plain, 1, 64)];
        if level() == Level::Avx512Bf16 {
            cases.extend([
                (Form::Rounded, 2, 8),
                (Form::Rounded, 3, 32),
                (Form::Rounded, 1, 64),
            ]);
        }
        if in_tiles(32) {
            cases.extend([(Form::Tiles, 3, 32), (Form::Tiles, 1, 64)]);
        }
        for (form, heads, d) in cases {
            let width = heads * d;
            let starts = [0, 2, 5, 40, 41, 75];
            let tokens = 75usize;
            let blocks = tokens.div_ceil(LANES);
            let qkv = wave(tokens * 3 * width, 0.37);
            let mut expected = vec![0.0; tokens * width];
            let shape = crate::attention::Shape {
                starts: &starts,
                heads,
                head_width: d,
            };
            crate::attention::forward(shape, &qkv, crate::dropout::Dropout::NONE, &mut expected);
            // [3][blocks][width][LANES]
            let mut parts = vec![vec![0.0f32; blocks * width * LANES]; 3];
            for token in 0..tokens {
                for (n, part) in parts.iter_mut().enumerate() {
                    for channel in 0..width {
                        let at = (token / LANES * width + channel) * LANES + token % LANES;
                        part[at] = qkv[(token * 3 + n) * width + channel];
                    }
                }
            }
            let size = width * LANES;
            let stored: Vec<KeysValues> = (0..blocks)
                .map(|block| {
                    let mut stored = KeysValues::default();
                    stored.set_as(
                        form,
                        &parts[1][block * size..][..size],
                        &parts[2][block * size..][..size],
                    );
                    stored
                })
                .collect();
            let stored: Vec<&KeysValues> = stored.iter().collect();
            let mut out = vec![9.0; blocks * size];
            let mut attention = Attention::default();
            for pair in starts.windows(2) {
                let (first, after) = (pair[0] / LANES, (pair[1] - 1) / LANES + 1);
                let rows = pair[0] - first * LANES..pair[1] - first * LANES;
                for block in first..after {
                    let lanes = pair[0].saturating_sub(block * LANES)..(pair[1] - block * LANES).min(LANES);
                    let part = block * size..(block + 1) * size;
                    attention.attend(
                        heads,
                        &parts[0][part.clone()],
                        &stored[first..after],
                        rows.clone(),
                        lanes,
                        &mut out[part],
                    );
                }
            }
            let tolerance = if form == Form::Plain { 1e-5 } else { 1e-2 };
            for token in 0..tokens {
                for channel in 0..width {
                    let found = out[(token / LANES * width + channel) * LANES + token % LANES];
                    let expected = expected[token * width + channel];
                    assert!(
                        (found - expected).abs() < tolerance,
                        "token {token} channel {channel}: {found}, expected {expected}"
                    );
                }
            }
            // The lanes after the last token are nobody's.
            assert!((tokens % LANES..LANES).all(|lane| out[(blocks - 1) * size + lane] == 9.0));
        }
    }

    #[test]
    fn the_plain_steps_attend_too() {
        let (d, keys) = (8, 20);
        let queries = wave(d * LANES, 0.37);
        let keys_values: Vec<_> = (0..2).map(|n| wave(d * LANES, 0.2 + n as f32)).collect();
        let mut scores = vec![[0.0; LANES]; 2 * LANES];
        for (block, scores) in keys_values.iter().zip(scores.chunks_mut(LANES)) {
            plain_scores(queries.as_chunks().0, block.as_chunks().0, scores);
        }
        let whole = plain_softmax(&mut scores[..keys], 1.0);
        let shares: f32 = scores[..keys].iter().map(|score| score[3] * whole[3]).sum();
        assert!((shares - 1.0).abs() < 1e-5);
        let score = |key: usize| -> f32 {
            (0..d)
                .map(|c| queries[c * LANES + 3] * keys_values[key / LANES][c * LANES + key % LANES])
                .sum()
        };
        let exact = score(17).exp() / (0..keys).map(|key| score(key).exp()).sum::<f32>();
        assert!((scores[17][3] * whole[3] - exact).abs() < 1e-5);
    }
}
