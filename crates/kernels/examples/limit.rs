//! The machine's limit: multiply-adds a second in registers alone, over all cores; `bench/engine/run.py` reads it.
//!
//! Prints a JSON object of GFLOP/s (two operations a multiply-add) for int8, bf16 and f32 in AVX-512, or for int8 and f32 in AVX2 where
//! it has no more, and for int8 and bf16 in AMX's tiles, as far as the processor has them.

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

/// AVX2, whose multiply-add of exact bytes is one of 16 bits and an addition.
#[cfg(target_arch = "x86_64")]
mod narrow {
    use std::arch::{asm, x86_64::*};
    use std::hint::black_box;

    pub const CHAINS: usize = 10;

    #[target_feature(enable = "avx2")]
    pub fn int8(steps: usize) {
        let (mut sums, word) = ([_mm256_setzero_si256(); CHAINS], _mm256_set1_epi32(0x0001_0002));
        for _ in 0..steps {
            for sum in &mut sums {
                let pairs: __m256i;
                // SAFETY: it touches registers alone; as an intrinsic it would be computed once.
                unsafe { asm!("vpmaddwd {0}, {1}, {1}", out(ymm_reg) pairs, in(ymm_reg) word) };
                *sum = _mm256_add_epi32(*sum, pairs);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn f32(steps: usize) {
        let mut sums = [_mm256_setzero_ps(); CHAINS];
        for _ in 0..steps {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(_mm256_set1_ps(1.5), *sum, _mm256_set1_ps(0.5));
            }
        }
        black_box(sums);
    }
}

/// The best of five rounds of `work(steps)` on every core, each step of so many multiply-adds.
#[cfg(target_arch = "x86_64")]
fn rate(products: usize, work: impl Fn(usize) + Sync) -> f64 {
    let steps = 6_000_000_000 / products;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let round = || {
        let start = std::time::Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(|| work(steps));
            }
        });
        (2 * products * steps * cores) as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    (0..5).map(|_| round()).fold(0.0, f64::max)
}

/// AMX: each step is four products of tiles, 16 × 16 × 64 multiply-adds in int8 and half as many in bfloat16.
#[cfg(target_arch = "x86_64")]
mod tiles {
    use std::arch::asm;

    #[repr(C, align(64))]
    struct Configuration([u8; 64]);

    /// Whether the processor has the unit and Linux lets this process use it.
    pub fn available() -> bool {
        let leaf = std::arch::x86_64::__cpuid_count(7, 0).edx;
        let here = [22, 24, 25].iter().all(|bit| leaf >> bit & 1 == 1);
        // SAFETY: this call of arch_prctl (ARCH_REQ_XCOMP_PERM, tile data) takes two numbers and touches no memory.
        here && cfg!(target_os = "linux") && unsafe { libc::syscall(libc::SYS_arch_prctl, 0x1023, 18) } == 0
    }

    macro_rules! limit {
        ($name:ident, $multiply:literal) => {
            /// # Safety
            /// The unit is available.
            pub unsafe fn $name(steps: usize) {
                let mut configuration = Configuration([0; 64]);
                configuration.0[0] = 1;
                for tile in 0..8 {
                    (configuration.0[16 + 2 * tile], configuration.0[48 + tile]) = (64, 16);
                }
                // SAFETY: the caller's promise; the loop touches registers alone.
                unsafe {
                    asm!(
                        "ldtilecfg [{configuration}]",
                        "2:",
                        concat!($multiply, " tmm0, tmm4, tmm6"),
                        concat!($multiply, " tmm1, tmm4, tmm7"),
                        concat!($multiply, " tmm2, tmm5, tmm6"),
                        concat!($multiply, " tmm3, tmm5, tmm7"),
                        "dec {steps}",
                        "jnz 2b",
                        "tilerelease",
                        configuration = in(reg) &raw const configuration,
                        steps = inout(reg) steps => _,
                        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                        out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                        options(nostack),
                    );
                }
            }
        };
    }

    limit!(int8, "tdpbsud");
    limit!(bf16, "tdpbf16ps");
}

fn main() {
    let mut found: Vec<(&str, f64)> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY (all): the instructions were just found.
        if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bf16") {
            found.push(("int8", rate(24 * 64, |steps| unsafe { wide::int8(steps) })));
            found.push(("bf16", rate(24 * 32, |steps| unsafe { wide::bf16(steps) })));
        }
        if is_x86_feature_detected!("avx512f") {
            found.push(("f32", rate(24 * 16, |steps| unsafe { wide::f32(steps) })));
        }
        if !is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
        {
            let chains = narrow::CHAINS;
            found.push(("int8", rate(chains * 16, |steps| unsafe { narrow::int8(steps) })));
            found.push(("f32", rate(chains * 8, |steps| unsafe { narrow::f32(steps) })));
        }
        if tiles::available() {
            found.push((
                "int8 in tiles",
                rate(4 * 16 * 16 * 64, |steps| unsafe { tiles::int8(steps) }),
            ));
            found.push((
                "bf16 in tiles",
                rate(4 * 16 * 16 * 32, |steps| unsafe { tiles::bf16(steps) }),
            ));
        }
    }
    let cells = found.iter().map(|(name, rate)| format!("\"{name}\": {rate:.0}"));
    println!("{{{}}}", cells.collect::<Vec<_>>().join(", "));
}
