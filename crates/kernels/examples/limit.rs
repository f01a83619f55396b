//! Prints the speed of matrix products of an encoder's shapes: `cargo run --release -p poststelle-kernels --example limit`.

use poststelle_kernels::matmul::{Precision, Product, View, multiply};
use std::time::Instant;

fn main() {
    for (m, n, k) in [
        (2048, 1152, 384),
        (2048, 384, 384),
        (2048, 1536, 384),
        (2048, 384, 1536),
        (384, 1536, 2048),
        (64, 1536, 384),
    ] {
        let a = vec![0.5f32; m * k];
        let b = vec![0.25f32; n * k];
        let mut out = vec![0.0; m * n];
        for precision in [Precision::F32, Precision::Bf16] {
            if precision.supported().is_err() {
                continue;
            }
            let mut best = f64::MAX;
            for _ in 0..20 {
                let start = Instant::now();
                multiply(
                    precision,
                    View::new(&a, m, k),
                    View::new(&b, n, k).transposed(),
                    Product::Replace,
                    &mut out,
                );
                best = best.min(start.elapsed().as_secs_f64());
            }
            println!(
                "{precision:?} {m}×{n}×{k}: {:.0} GFLOP/s",
                2e-9 * (m * n * k) as f64 / best
            );
        }
    }
}
