//! The three steps of attention in AVX-512 BF16, and all of them in AMX.

use crate::amx;
use crate::lanes::vector::{get, put};
use crate::lanes::{LANES, Lanes};
use crate::tile::{TILE, transpose};
use std::arch::x86_64::*;
use std::ops::Range;

/// Keys scored at a time.
const KEYS: usize = 8;
/// Channels summed at a time.
const MIXED: usize = 16;

#[target_feature(enable = "avx512f")]
fn broadcast(word: u32) -> __m512bh {
    // SAFETY: both types are 512 plain bits.
    unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(word.cast_signed())) }
}

#[target_feature(enable = "avx512f")]
fn load(words: &[u32; LANES]) -> __m512bh {
    // SAFETY: sixteen words are 512 plain bits.
    unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(words.as_ptr().cast())) }
}

/// Two rows of lanes as sixteen pairs of bfloat16, `low` in the lower halves.
#[target_feature(enable = "avx512f,avx512bf16,avx512bw")]
fn pairs(low: __m512, high: __m512) -> __m512i {
    // SAFETY (both): both types are 512 plain bits.
    let low = unsafe { std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(low)) };
    let high = unsafe { std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(high)) };
    _mm512_or_si512(
        _mm512_cvtepu16_epi32(low),
        _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(high)),
    )
}

/// Rounds keys, neighbouring channels in pairs, and values to bfloat16; keys to left tiles where `tiles` says so.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub fn round(
    from_keys: &[Lanes],
    keys: &mut [[u32; LANES]],
    from_values: &[Lanes],
    values: &mut [[u16; LANES]],
    tiles: bool,
) {
    for (words, [low, high]) in keys.iter_mut().zip(from_keys.as_chunks::<2>().0) {
        // SAFETY: sixteen words are 512 plain bits.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), pairs(get(low), get(high))) };
    }
    if tiles {
        for tile in keys.as_chunks_mut::<LANES>().0 {
            let mut rows = [_mm512_setzero_si512(); LANES];
            for (row, words) in rows.iter_mut().zip(&*tile) {
                // SAFETY: sixteen words are 512 plain bits.
                *row = unsafe { _mm512_loadu_si512(words.as_ptr().cast()) };
            }
            transpose(&mut rows);
            for (words, row) in tile.iter_mut().zip(rows) {
                // SAFETY: as above.
                unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), row) };
            }
        }
    }
    for (short, value) in values.iter_mut().zip(from_values) {
        // SAFETY (both): sixteen bfloat16 are 256 plain bits.
        unsafe {
            let bits = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(get(value)));
            _mm256_storeu_si256(short.as_mut_ptr().cast(), bits);
        }
    }
}

/// Queries of one head in pairs of channels, scaled so that scores are powers of two: `q · log₂e / √d`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub fn queries(queries: &[f32], rounded: &mut [u32]) {
    let channels = queries.as_chunks::<LANES>().0;
    let scale = _mm512_set1_ps(std::f32::consts::LOG2_E / (channels.len() as f32).sqrt());
    let rounded = rounded.as_chunks_mut::<LANES>().0;
    for (words, [low, high]) in rounded.iter_mut().zip(channels.as_chunks::<2>().0) {
        let words_of = pairs(_mm512_mul_ps(get(low), scale), _mm512_mul_ps(get(high), scale));
        // SAFETY: sixteen words are 512 plain bits.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), words_of) };
    }
}

/// All three steps of one head in AMX.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
#[allow(clippy::too_many_arguments)]
pub fn tiled<'a>(
    tiles: &amx::AttentionTiles,
    queries: &[u32],
    keys: impl Iterator<Item = &'a [u32]>,
    values: impl Iterator<Item = &'a [u16]>,
    rows: &Range<usize>,
    scores: &mut [Lanes],
    shares: &mut [[u32; LANES]],
    mixed: &mut [f32],
    lanes: &Range<usize>,
    out: &mut [f32],
) {
    let keys: Vec<*const u32> = keys.map(<[u32]>::as_ptr).collect();
    let values: Vec<*const u16> = values.map(<[u16]>::as_ptr).collect();
    let steps = queries.len() / TILE;
    // SAFETY: the queries and each block's keys of this head are `steps` whole tiles.
    unsafe {
        amx::scores(
            tiles,
            queries.as_ptr(),
            &keys,
            steps,
            scores.as_flattened_mut().as_chunks_mut().0,
        )
    };
    let whole = softmax(scores, rows, shares);
    let (shares, channels) = (shares.as_flattened().as_chunks().0, out.len() / LANES);
    // SAFETY: each block's values of this head are that many channels.
    unsafe { amx::mix(tiles, &values, shares, channels, mixed.as_chunks_mut().0) };
    let mask = ((1u32 << lanes.end) - (1u32 << lanes.start)) as __mmask16;
    for (out, sum) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(mixed.as_chunks().0) {
        // SAFETY: a `Lanes` is sixteen f32; masked lanes are not touched.
        unsafe { _mm512_mask_storeu_ps(out.as_mut_ptr(), mask, _mm512_mul_ps(get(sum), whole[0])) };
    }
}

/// Scores of every key of a half block that `rows` touches.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub fn scores<'a>(
    queries: &[u32],
    keys: impl Iterator<Item = &'a [u32]>,
    rows: &Range<usize>,
    scores: &mut [Lanes],
) {
    let rounded = queries.as_chunks::<LANES>().0;
    let mut first = 0;
    for (keys, scores) in keys.zip(scores.as_chunks_mut::<LANES>().0) {
        for half in 0..LANES / KEYS {
            let here = first + half * KEYS;
            if here + KEYS <= rows.start || here >= rows.end {
                continue;
            }
            let mut sums = [_mm512_setzero_ps(); KEYS];
            for (query, keys) in rounded.iter().zip(keys.as_chunks::<LANES>().0) {
                let query = load(query);
                let keys = &keys[half * KEYS..][..KEYS];
                for n in 0..KEYS {
                    sums[n] = _mm512_dpbf16_ps(sums[n], query, broadcast(keys[n]));
                }
            }
            for n in 0..KEYS {
                put(&mut scores[half * KEYS + n], sums[n]);
            }
        }
        first += LANES;
    }
}

/// The largest score of each lane.
#[target_feature(enable = "avx512f")]
pub fn largest(scores: &[Lanes]) -> __m512 {
    // Comparisons that do not wait for each other.
    let mut most = [get(&scores[0]); 4];
    let (fours, rest) = scores.as_chunks::<4>();
    for four in fours {
        for n in 0..4 {
            most[n] = _mm512_max_ps(most[n], get(&four[n]));
        }
    }
    for score in rest {
        most[0] = _mm512_max_ps(most[0], get(score));
    }
    _mm512_max_ps(_mm512_max_ps(most[0], most[1]), _mm512_max_ps(most[2], most[3]))
}

/// Shares of the keys in pairs, not yet divided by their sum; gives one over the sum.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub fn softmax(scores: &mut [Lanes], rows: &Range<usize>, shares: &mut [[u32; LANES]]) -> [__m512; 1] {
    let most = largest(&scores[rows.clone()]);
    let mut sums = [_mm512_setzero_ps(); 2];
    // The pairs that are not wholly inside `rows`; pairs outside are zero.
    let (first, after) = (rows.start / 2, rows.end.div_ceil(2));
    shares[..first].fill([0; LANES]);
    shares[after..].fill([0; LANES]);
    // Rows outside share nothing.
    let least = _mm512_set1_ps(-1e30);
    for row in [2 * first, 2 * after - 1] {
        if !rows.contains(&row) {
            put(&mut scores[row], least);
        }
    }
    let scores = &scores.as_chunks::<2>().0[first..after];
    for (words, [low, high]) in shares[first..after].iter_mut().zip(scores) {
        let low = power(_mm512_sub_ps(get(low), most));
        let high = power(_mm512_sub_ps(get(high), most));
        sums = [_mm512_add_ps(sums[0], low), _mm512_add_ps(sums[1], high)];
        // SAFETY: sixteen words are 512 plain bits.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), pairs(low, high)) };
    }
    [_mm512_div_ps(
        _mm512_set1_ps(1.0),
        _mm512_add_ps(sums[0], sums[1]),
    )]
}

/// 2ˣ for x ≤ 0 within 4e-6 relative: the polynomial of Cephes `exp2f` on [−½, ½] without its last term.
#[target_feature(enable = "avx512f,avx512dq")]
pub fn power(x: __m512) -> __m512 {
    let x = _mm512_max_ps(x, _mm512_set1_ps(-126.0));
    let rest = _mm512_reduce_ps::<0>(x);
    let mut p = _mm512_set1_ps(1.339_887_4e-3);
    for next in [
        9.618_437e-3,
        5.550_332e-2,
        0.240_226_48,
        std::f32::consts::LN_2,
        1.0,
    ] {
        p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(next));
    }
    _mm512_scalef_ps(p, _mm512_sub_ps(x, rest))
}

/// `out = shares · values · whole` in `lanes`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub fn mix<'a>(
    shares: &[[u32; LANES]],
    values: impl Iterator<Item = &'a [u16]> + Clone,
    whole: [__m512; 1],
    lanes: &Range<usize>,
    out: &mut [f32],
) {
    let mask = ((1u32 << lanes.end) - (1u32 << lanes.start)) as __mmask16;
    for (part, out) in out.chunks_mut(MIXED * LANES).enumerate() {
        let out = out.as_chunks_mut::<LANES>().0;
        let mut sums = [_mm512_setzero_ps(); MIXED];
        for (shares, values) in shares.as_chunks::<{ LANES / 2 }>().0.iter().zip(values.clone()) {
            let values = &values[part * MIXED * LANES..];
            if let Some(values) = values.first_chunk::<{ MIXED * LANES }>() {
                for (pair, share) in shares.iter().enumerate() {
                    let share = load(share);
                    for n in 0..MIXED {
                        let word = u32::from(values[n * LANES + 2 * pair])
                            | u32::from(values[n * LANES + 2 * pair + 1]) << 16;
                        sums[n] = _mm512_dpbf16_ps(sums[n], share, broadcast(word));
                    }
                }
            } else {
                for (pair, share) in shares.iter().enumerate() {
                    let share = load(share);
                    for n in 0..out.len() {
                        let word = u32::from(values[n * LANES + 2 * pair])
                            | u32::from(values[n * LANES + 2 * pair + 1]) << 16;
                        sums[n] = _mm512_dpbf16_ps(sums[n], share, broadcast(word));
                    }
                }
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            // SAFETY: a `Lanes` is sixteen f32; masked lanes are not touched.
            unsafe { _mm512_mask_storeu_ps(out.as_mut_ptr(), mask, _mm512_mul_ps(sum, whole[0])) };
        }
    }
}
