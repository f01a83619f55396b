//! The learning rate's course over a run.

use crate::recipe::{Decay, Train};

/// What the peak learning rate is multiplied by at update `step` of `steps`, counted from 0.
///
/// Rises in a straight line over the warm-up, then falls as [`Decay`] says; the last update is not zero.
pub fn factor(train: &Train, step: usize, steps: usize) -> f32 {
    let warmup = (train.warmup * steps as f32).ceil() as usize;
    if step < warmup {
        return (step + 1) as f32 / (warmup + 1) as f32;
    }
    let left = (steps - step) as f32 / (steps - warmup).max(1) as f32;
    match train.decay {
        Decay::Constant => 1.0,
        Decay::Linear => left,
        Decay::Cosine => 0.5 * (1.0 - (std::f32::consts::PI * left).cos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_falls_and_never_reaches_zero() {
        for decay in [Decay::Linear, Decay::Cosine] {
            let train = Train {
                decay,
                warmup: 0.1,
                ..Train::default()
            };
            let course: Vec<f32> = (0..100).map(|step| factor(&train, step, 100)).collect();
            assert!(course[..11].is_sorted() && course[10] > 0.999);
            assert!(course[10..].is_sorted_by(|a, b| a >= b));
            assert!(course[0] > 0.0 && course[99] > 0.0);
        }
        let constant = Train {
            decay: Decay::Constant,
            warmup: 0.0,
            ..Train::default()
        };
        assert!((0..7).all(|step| factor(&constant, step, 7) == 1.0));
    }
}
