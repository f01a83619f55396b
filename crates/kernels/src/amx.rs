//! Intel's matrix unit, AMX: products of tiles of sixteen rows, in int8 and bfloat16.
//!
//! Operands lie in [`tile`](crate::tile)s of one KiB. [`int8`] and [`bf16`] keep two by two tiles of the result in the
//! unit's registers over the whole inner dimension.
//!
//! The compiler offers no intrinsics for AMX, so each kernel is one block of assembler: tile registers live only inside
//! it. Linux hands out the unit on request; where it does not, [`available`] is false.
//!
//! Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.

use crate::tile::TILE;
use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::sync::OnceLock;

/// Whether this process may use the unit for int8 and bfloat16; asks the system once.
pub fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| cfg!(not(miri)) && processor_has_it() && permitted())
}

fn processor_has_it() -> bool {
    if !is_x86_feature_detected!("avx512bf16") {
        return false;
    }
    let leaf = __cpuid_count(7, 0).edx;
    // AMX-BF16, AMX-TILE, AMX-INT8.
    [22, 24, 25].iter().all(|bit| leaf >> bit & 1 == 1)
}

/// Asks Linux for tile registers in this process's threads; false where the system does not know them.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const TILE_DATA: usize = 18;
    // SAFETY: this call of arch_prctl takes two numbers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// Tile registers set up on this thread; given back when dropped.
struct Registers(());

/// The operand of LDTILECFG: palette 1 and the shapes of up to sixteen registers, of which there are eight.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Registers {
    /// Registers of these shapes, rows and bytes of a row; none where the unit is not [`available`].
    fn new(shapes: [(u8, u16); 8]) -> Option<Self> {
        if !available() {
            return None;
        }
        let mut configuration = Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        for (n, (rows, bytes)) in shapes.into_iter().enumerate() {
            configuration.rows[n] = rows;
            configuration.row_bytes[n] = bytes;
        }
        // SAFETY: the unit is there and permitted; the operand has the 64 bytes that are read.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, readonly)) };
        Some(Self(()))
    }
}

impl Drop for Registers {
    fn drop(&mut self) {
        // SAFETY: `Registers` exist only where the unit does.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// Eight registers of whole tiles, for [`int8`] and [`bf16`].
pub struct Tiles {
    _registers: Registers,
}

impl Tiles {
    /// Sets the registers up; none where the unit is not [`available`].
    pub fn new() -> Option<Self> {
        let _registers = Registers::new([(16, 64); 8])?;
        Some(Self { _registers })
    }
}

/// Registers for [`scores`] and [`mix`]: register 5 holds left tiles of half the words, register 7 right tiles of half the
/// words, the others whole tiles.
pub struct AttentionTiles {
    _registers: Registers,
}

impl AttentionTiles {
    /// Sets the registers up; none where the unit is not [`available`].
    pub fn new() -> Option<Self> {
        let mut shapes = [(16, 64); 8];
        shapes[5] = (16, 32);
        shapes[7] = (8, 64);
        let _registers = Registers::new(shapes)?;
        Some(Self { _registers })
    }
}

macro_rules! kernel {
    ($(#[$meta:meta])* $name:ident, $multiply:literal) => {
        $(#[$meta])*
        ///
        /// `left` and `right` are two rows of `steps` tiles each; `sums` receives their `[2][2]` tiles, left-major.
        ///
        /// # Safety
        /// The four pointers lead to `steps` whole tiles each. `_tiles` proves that the registers are set up.
        pub unsafe fn $name(
            _tiles: &Tiles,
            left: [*const u32; 2],
            right: [*const u32; 2],
            steps: usize,
            sums: &mut [[u32; TILE]; 4],
        ) {
            if steps == 0 {
                *sums = [[0; TILE]; 4];
                return;
            }
            // SAFETY: the caller's promise; the tile registers named are clobbers.
            unsafe {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "2:",
                    "tileloadd tmm6, [{right0} + {stride}*1]",
                    "tileloadd tmm4, [{left0} + {stride}*1]",
                    concat!($multiply, " tmm0, tmm4, tmm6"),
                    "tileloadd tmm7, [{right1} + {stride}*1]",
                    concat!($multiply, " tmm1, tmm4, tmm7"),
                    "tileloadd tmm5, [{left1} + {stride}*1]",
                    concat!($multiply, " tmm2, tmm5, tmm6"),
                    concat!($multiply, " tmm3, tmm5, tmm7"),
                    "add {left0}, 1024",
                    "add {left1}, 1024",
                    "add {right0}, 1024",
                    "add {right1}, 1024",
                    "dec {steps}",
                    "jnz 2b",
                    "tilestored [{sums} + {stride}*1], tmm0",
                    "tilestored [{sums} + {stride}*1 + 1024], tmm1",
                    "tilestored [{sums} + {stride}*1 + 2048], tmm2",
                    "tilestored [{sums} + {stride}*1 + 3072], tmm3",
                    left0 = inout(reg) left[0] => _,
                    left1 = inout(reg) left[1] => _,
                    right0 = inout(reg) right[0] => _,
                    right1 = inout(reg) right[1] => _,
                    steps = inout(reg) steps => _,
                    stride = in(reg) 64usize,
                    sums = in(reg) sums.as_mut_ptr(),
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

kernel!(
    /// Sums of signed left times unsigned right bytes, exact in i32.
    int8,
    "tdpbsud"
);
kernel!(
    /// Sums of products of bfloat16 in f32.
    bf16,
    "tdpbf16ps"
);

/// Scores of one head: for each pointer of `keys` the sixteen keys' products with sixteen queries.
///
/// `queries` is `steps` right tiles, each entry of `keys` leads to as many left tiles; `steps` is 1 or 2. `scores` receives a
/// tile of f32 a pointer.
///
/// # Safety
/// The pointers lead to `steps` whole tiles of bfloat16 each.
pub unsafe fn scores(
    _tiles: &AttentionTiles,
    queries: *const u32,
    keys: &[*const u32],
    steps: usize,
    scores: &mut [[f32; TILE]],
) {
    assert!(scores.len() == keys.len() && (1..=2).contains(&steps));
    macro_rules! run {
        ($($first:literal)?, $($each:literal),*) => {
            asm!(
                "tileloadd tmm6, [{queries} + {stride}*1]",
                $($first,)?
                "2:",
                "mov {key}, [{keys}]",
                "tilezero tmm0",
                "tileloadd tmm4, [{key} + {stride}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                $($each,)*
                "tilestored [{scores} + {stride}*1], tmm0",
                "add {keys}, 8",
                "add {scores}, 1024",
                "dec {count}",
                "jnz 2b",
                queries = in(reg) queries,
                keys = inout(reg) keys.as_ptr() => _,
                key = out(reg) _,
                scores = inout(reg) scores.as_mut_ptr() => _,
                count = inout(reg) keys.len() => _,
                stride = in(reg) 64usize,
                out("tmm0") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm6") _,
                options(nostack),
            )
        };
    }
    match (keys.len(), steps) {
        (0, _) => {}
        // SAFETY (both): the caller's promise; `scores` has a tile for each key pointer.
        (_, 1) => unsafe { run!(,) },
        _ => unsafe {
            run!(
                "tileloadd tmm3, [{queries} + {stride}*1 + 1024]",
                "tileloadd tmm2, [{key} + {stride}*1 + 1024]",
                "tdpbf16ps tmm0, tmm2, tmm3"
            )
        },
    }
}

/// Values of one head mixed by shares: `out` `[channels][16]` of f32 is the sum over blocks of sixteen rows of values times shares.
///
/// Each pointer of `values` leads to `[channels][16]` bfloat16, `shares` holds `[8][16]` words a block, each of two rows'
/// shares; `channels` is 32 or 64.
///
/// # Safety
/// The pointers of `values` lead to that many values.
pub unsafe fn mix(
    _tiles: &AttentionTiles,
    values: &[*const u16],
    shares: &[[u32; TILE / 2]],
    channels: usize,
    out: &mut [[f32; TILE]],
) {
    assert!(values.len() == shares.len() && [32, 64].contains(&channels) && out.len() == channels / 16);
    macro_rules! run {
        ($($zero:literal),*; $($each:literal),*; $($store:literal),*) => {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                $($zero,)*
                "2:",
                "mov {value}, [{values}]",
                "tileloadd tmm7, [{shares} + {stride}*1]",
                "tileloadd tmm5, [{value} + {half}*1]",
                "tdpbf16ps tmm0, tmm5, tmm7",
                "tileloadd tmm5, [{value} + {half}*1 + 512]",
                "tdpbf16ps tmm1, tmm5, tmm7",
                $($each,)*
                "add {values}, 8",
                "add {shares}, 512",
                "dec {count}",
                "jnz 2b",
                "tilestored [{out} + {stride}*1], tmm0",
                "tilestored [{out} + {stride}*1 + 1024], tmm1",
                $($store,)*
                values = inout(reg) values.as_ptr() => _,
                value = out(reg) _,
                shares = inout(reg) shares.as_ptr() => _,
                count = inout(reg) values.len() => _,
                out = in(reg) out.as_mut_ptr(),
                stride = in(reg) 64usize,
                half = in(reg) 32usize,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm5") _, out("tmm7") _,
                options(nostack),
            )
        };
    }
    match (values.len(), channels) {
        (0, _) => out.as_flattened_mut().fill(0.0),
        // SAFETY (both): the caller's promise; `shares` and `out` were checked.
        (_, 32) => unsafe { run!(;;) },
        _ => unsafe {
            run!("tilezero tmm2", "tilezero tmm3";
                "tileloadd tmm5, [{value} + {half}*1 + 1024]", "tdpbf16ps tmm2, tmm5, tmm7",
                "tileloadd tmm5, [{value} + {half}*1 + 1536]", "tdpbf16ps tmm3, tmm5, tmm7";
                "tilestored [{out} + {stride}*1 + 2048], tmm2", "tilestored [{out} + {stride}*1 + 3072], tmm3")
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tile::{SIDE, STEP};

    #[test]
    fn tiles_multiply_as_integers_do() {
        let Some(tiles) = Tiles::new() else { return };
        let steps = 3;
        let bytes = |n: usize, by: usize| -> Vec<u32> {
            (0..n)
                .map(|i| (i * by).wrapping_mul(2_654_435_761) as u32)
                .collect()
        };
        let (left, right) = (
            [bytes(steps * TILE, 3), bytes(steps * TILE, 7)],
            [bytes(steps * TILE, 11), bytes(steps * TILE, 13)],
        );
        let mut sums = [[7; TILE]; 4];
        // SAFETY: each operand has `steps` tiles.
        unsafe {
            int8(
                &tiles,
                [left[0].as_ptr(), left[1].as_ptr()],
                [right[0].as_ptr(), right[1].as_ptr()],
                steps,
                &mut sums,
            );
        }
        for (l, left) in left.iter().enumerate() {
            for (r, right) in right.iter().enumerate() {
                for row in 0..SIDE {
                    for column in 0..SIDE {
                        let mut sum = 0i32;
                        for step in 0..steps {
                            for word in 0..STEP {
                                let a = left[step * TILE + row * STEP + word].to_le_bytes();
                                let b = right[step * TILE + word * SIDE + column].to_le_bytes();
                                for (a, b) in a.iter().zip(b) {
                                    sum += i32::from(a.cast_signed()) * i32::from(b);
                                }
                            }
                        }
                        assert_eq!(sums[2 * l + r][row * SIDE + column].cast_signed(), sum);
                    }
                }
            }
        }
    }
}
