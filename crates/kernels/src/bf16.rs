//! bfloat16 matrix products: operands rounded to nearest even, sums in f32.

#[cfg(target_arch = "x86_64")]
mod broadcast;
#[cfg(target_arch = "x86_64")]
mod tiles;

use crate::matmul::{Product, View};

/// Multiplies `a` `[m, k]` by `b` `[k, n]` into row-major `out` `[m, n]`; in AMX where there is one.
#[cfg(target_arch = "x86_64")]
pub fn multiply(a: View<'_>, b: View<'_>, product: Product, out: &mut [f32]) {
    if crate::amx::available() {
        return tiles::multiply(a, b, product, out);
    }
    let (a, b) = (broadcast::PackedLeft::new(a), broadcast::PackedRight::new(b));
    broadcast::multiply(&a, &b, product, out);
}

#[cfg(not(target_arch = "x86_64"))]
pub fn multiply(_: View<'_>, _: View<'_>, _: Product, _: &mut [f32]) {
    unreachable!("bf16 is refused by `Precision::supported` on this architecture");
}

/// A word of two bfloat16, `low` in the lower half.
#[inline(always)]
pub fn pair_of(low: f32, high: f32) -> u32 {
    (round(low) >> 16) | (round(high) & 0xffff_0000)
}

/// The bits of `x` rounded to the nearest bfloat16, ties to even, in the upper half of the word.
///
/// A NaN may become an infinity of its sign, never a number.
#[inline(always)]
fn round(x: f32) -> u32 {
    let bits = x.to_bits();
    bits.wrapping_add(0x7fff + ((bits >> 16) & 1))
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// Both ways of multiplying round alike.
    #[test]
    fn tiles_and_broadcasts_agree() {
        if !crate::amx::available() {
            return;
        }
        let wave =
            |n: usize, step: f32| -> Vec<f32> { (0..n).map(|i| (i as f32 * step + 0.3).sin()).collect() };
        for (m, n, k) in [(1, 1, 1), (33, 17, 31), (70, 600, 1100)] {
            let (left, right) = (wave(m * k, 0.37), wave(k * n, 0.71));
            let (a, b) = (View::new(&left, m, k), View::new(&right, k, n));
            let [mut found, mut expected] = [vec![1.0; m * n], vec![1.0; m * n]];
            tiles::multiply(a, b, Product::Add, &mut found);
            let packed = (broadcast::PackedLeft::new(a), broadcast::PackedRight::new(b));
            broadcast::multiply(&packed.0, &packed.1, Product::Add, &mut expected);
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-3, "{m}×{n}×{k}: {found} {expected}");
            }
        }
    }
}
