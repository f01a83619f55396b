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
pub struct Tiles(());

/// The operand of LDTILECFG: palette 1, eight tiles of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    /// Sets the registers up; none where the unit is not [`available`].
    pub fn new() -> Option<Self> {
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
        configuration.row_bytes[..8].fill(64);
        configuration.rows[..8].fill(16);
        // SAFETY: the unit is there and permitted; the operand has the 64 bytes that are read.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, readonly)) };
        Some(Self(()))
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: a `Tiles` exists only where the unit does.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
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
