//! The machine's limit: multiply-adds a second in registers alone, over all cores; `bench/engine/run.py` reads it.
//!
//! Prints a JSON object of GFLOP/s (two operations a multiply-add) for int8, bf16 and f32; `null` where the processor lacks
//! AVX-512 VNNI or BF16.

#![allow(unsafe_code)] // instructions the processor may lack

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    const CHAINS: usize = 24;

    macro_rules! limit {
        ($name:ident, $features:literal, $zero:expr, |$sum:ident| $step:expr) => {
            #[target_feature(enable = $features)]
            pub fn $name(steps: usize) {
                let mut sums = [$zero; CHAINS];
                for _ in 0..steps {
                    for $sum in &mut sums {
                        *$sum = $step;
                    }
                }
                black_box(sums);
            }
        };
    }

    limit!(int8, "avx512f,avx512vnni", _mm512_setzero_si512(), |sum| {
        _mm512_dpbusd_epi32(*sum, word(), word())
    });
    limit!(f32, "avx512f", _mm512_setzero_ps(), |sum| {
        _mm512_fmadd_ps(_mm512_set1_ps(1.5), *sum, _mm512_set1_ps(0.5))
    });
    limit!(bf16, "avx512f,avx512bf16", _mm512_setzero_ps(), |sum| {
        // SAFETY: both types are 512 plain bits.
        let one = unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(0x3f80_3f80)) };
        _mm512_dpbf16_ps(*sum, one, one)
    });

    #[target_feature(enable = "avx512f")]
    fn word() -> __m512i {
        _mm512_set1_epi32(0x0102_0304)
    }
}

/// The best of five rounds of `work(steps)` on every core, each step of 24 instructions of `lanes` multiply-adds.
#[cfg(target_arch = "x86_64")]
fn rate(lanes: usize, work: impl Fn(usize) + Sync) -> f64 {
    let steps = 4_000_000;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let round = || {
        let start = std::time::Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(|| work(steps));
            }
        });
        (2 * 24 * lanes * steps * cores) as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    (0..5).map(|_| round()).fold(0.0, f64::max)
}

fn main() {
    let mut found = [None; 3];
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bf16") {
        // SAFETY (all three): the instructions were just found.
        found = [
            Some(rate(64, |steps| unsafe { wide::int8(steps) })),
            Some(rate(32, |steps| unsafe { wide::bf16(steps) })),
            Some(rate(16, |steps| unsafe { wide::f32(steps) })),
        ];
    }
    let cells = ["int8", "bf16", "f32"]
        .iter()
        .zip(found)
        .map(|(name, rate)| match rate {
            Some(rate) => format!("\"{name}\": {rate:.0}"),
            None => format!("\"{name}\": null"),
        });
    println!("{{{}}}", cells.collect::<Vec<_>>().join(", "));
}
