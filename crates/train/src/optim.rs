//! AdamW over a network: which tensors learn, how fast, and their moments.

use crate::recipe::Train;
use poststelle_kernels::adamw::{Step, update, update_rows};
use poststelle_kernels::norm::sum_of_squares;
use poststelle_nn::encoder::Parameter;
use poststelle_nn::network::{Gradients, Network};

/// The optimiser's memory.
pub struct Optimizer {
    /// First and second moment of each tensor, in the order of [`Network::parameters`]; empty where frozen.
    pub(crate) moments: Vec<[Vec<f32>; 2]>,
    /// Moments of the word-piece table; empty where it is frozen.
    pub(crate) words: [Vec<f32>; 2],
    /// Updates made.
    pub(crate) count: u64,
}

/// Whether a tensor learns when the lowest `frozen` layers do not.
fn learns(parameter: &Parameter<'_>, frozen: usize) -> bool {
    frozen == 0 || parameter.depth > frozen
}

impl Optimizer {
    /// Zero moments for every tensor that learns.
    pub fn new(network: &mut Network, train: &Train) -> Self {
        let zeros = |n: usize| [vec![0.0; n], vec![0.0; n]];
        let learn_words = learn_words(train);
        let table = network.encoder.config.vocabulary * network.encoder.config.hidden;
        Self {
            moments: network
                .parameters()
                .iter()
                .map(|p| {
                    zeros(if learns(p, train.freeze_layers) {
                        p.values.len()
                    } else {
                        0
                    })
                })
                .collect(),
            words: zeros(if learn_words { table } else { 0 }),
            count: 0,
        }
    }

    /// Makes one update from `grads`, which are zeroed; `factor` is the schedule's. Returns the gradients' norm
    /// before clipping.
    pub fn step(&mut self, train: &Train, factor: f32, network: &mut Network, grads: &mut Gradients) -> f64 {
        self.count += 1;
        let frozen = train.freeze_layers;
        let squares: f64 = grads
            .parameters()
            .iter()
            .filter(|p| learns(p, frozen))
            .map(|p| sum_of_squares(p.values))
            .sum();
        let norm = (squares + sum_of_squares(grads.words.values())).sqrt();
        let clip = f64::from(train.clip);
        let grad_scale = if norm > clip { (clip / norm) as f32 } else { 1.0 };
        let layers = network.encoder.config.layers;
        let at = |depth: usize, decays: bool| Step {
            rate: factor * rate(train, depth, layers),
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            decay: if decays { train.weight_decay } else { 0.0 },
            count: self.count,
            grad_scale,
        };
        let tensors = network
            .parameters()
            .into_iter()
            .zip(grads.parameters())
            .zip(&mut self.moments);
        for ((weights, grad), [first, second]) in tensors {
            if learns(&weights, frozen) {
                update(
                    at(weights.depth, weights.decays),
                    weights.values,
                    grad.values,
                    first,
                    second,
                );
                grad.values.fill(0.0);
            }
        }
        if learn_words(train) {
            let width = network.encoder.config.hidden;
            let elements = network.encoder.config.vocabulary * width;
            let [first, second] = &mut self.words;
            let table = network.encoder.words.own(elements);
            update_rows(
                at(0, true),
                grads.words.ids(),
                width,
                table,
                grads.words.values(),
                first,
                second,
            );
        }
        grads.words.clear();
        norm
    }
}

/// Whether the word-piece table learns.
pub fn learn_words(train: &Train) -> bool {
    !train.freeze_words && train.freeze_layers == 0
}

/// The peak learning rate at a depth: heads have their own, layers fall from the top down.
fn rate(train: &Train, depth: usize, layers: usize) -> f32 {
    if depth > layers {
        train.head_learning_rate
    } else {
        train.learning_rate * train.layer_decay.powi((layers - depth) as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_fall_from_the_top_layer_down() {
        let train = Train {
            learning_rate: 1.0,
            head_learning_rate: 5.0,
            layer_decay: 0.5,
            ..Train::default()
        };
        assert_eq!(
            [4, 3, 2, 0].map(|depth| rate(&train, depth, 3)),
            [5.0, 1.0, 0.5, 0.125]
        );
    }
}
