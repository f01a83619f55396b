//! Multinomial logistic regression by exact dual coordinate ascent.
//!
//! ```text
//! primal  P(W) = ½‖W‖² + Σ cᵢ [logsumexp(Wᵀxᵢ) − (Wᵀxᵢ)[yᵢ]]
//! dual    D(α) = Σ cᵢ H(αᵢ) − ½‖W(α)‖²,   W(α) = Σ cᵢ xᵢ (e[yᵢ] − αᵢ)ᵀ
//! gap     P − D = Σ cᵢ KL(αᵢ ‖ softmax(Wᵀxᵢ))
//! ```
//!
//! Each αᵢ is a distribution over the classes, at the optimum the model's own answer for text i. One step makes
//! one αᵢ the best given all others, which needs only that text's features: a pass costs two sparse products.
//! There is no learning rate, and the gap bounds the distance to the optimum.
//!
//! Source: Yu, Huang, Lin 2011, "Dual coordinate descent methods for logistic regression and maximum entropy
//! models", Machine Learning 85; the block step here is one Newton iteration over all classes in log space.

use crate::chance::Chance;
use poststelle_nn::words::SparseRow;

/// One labelled text.
pub(super) struct Example<'a> {
    /// Its features.
    pub row: &'a SparseRow,
    /// Its class.
    pub gold: usize,
    /// What its loss counts against the penalty: cᵢ, above 0.
    pub weight: f64,
}

/// What is to be minimised.
pub(super) struct Problem<'a> {
    /// The labelled texts.
    pub examples: Vec<Example<'a>>,
    /// Features of a row.
    pub features: usize,
    /// Classes, each with at least one example.
    pub classes: usize,
    /// Value of the constant feature; 0 leaves the bias out.
    pub bias: f32,
}

/// A point close to the optimum.
pub(super) struct Solution {
    /// `[features, classes]`, row-major.
    pub weights: Vec<f32>,
    /// One per class.
    pub bias: Vec<f32>,
}

impl Problem<'_> {
    /// Climbs until the duality gap is at most `tolerance · P`, or `max_passes` are done.
    ///
    /// `progress` hears the number and the relative gap of each pass. Gap and P are summed up during the pass,
    /// each text under the weights it met, so that they cost nothing; later texts of the pass only tighten them.
    pub(super) fn solve(
        &self,
        tolerance: f64,
        max_passes: usize,
        seed: u64,
        mut progress: impl FnMut(usize, f64),
    ) -> Solution {
        let classes = self.classes;
        // One row more than features: the constant feature.
        let mut weights = vec![0.0_f32; (self.features + 1) * classes];
        if classes > 1 {
            // α = e[y], which is W = 0, but for logarithms that stay finite: the first step forgets it.
            let mut logs = vec![NEARLY_ZERO; self.examples.len() * classes];
            for (example, logs) in self.examples.iter().zip(logs.chunks_exact_mut(classes)) {
                logs[example.gold] = 0.0;
            }
            let mut chance = Chance::new(seed, ORDER);
            let mut step = Step::new(classes);
            for pass in 1..=max_passes {
                let (mut gap, mut objective) = (0.0, 0.0);
                for i in chance.order(self.examples.len()) {
                    let logs = &mut logs[i * classes..(i + 1) * classes];
                    self.climb(i, logs, &mut weights, &mut step);
                    gap += step.gap;
                    objective += step.objective;
                }
                let relative = gap / objective.max(f64::MIN_POSITIVE);
                progress(pass, relative);
                if relative <= tolerance {
                    break;
                }
            }
        }
        let bias = weights.split_off(self.features * classes);
        let bias = bias.into_iter().map(|b| b * self.bias).collect();
        Solution { weights, bias }
    }

    /// Makes one text's α the best given the others and moves the weights along.
    fn climb(&self, i: usize, logs: &mut [f64], weights: &mut [f32], step: &mut Step) {
        let classes = self.classes;
        let Example { row, gold, weight } = self.examples[i];
        let constant = self.features * classes;
        for (score, w) in step.scores.iter_mut().zip(&weights[constant..]) {
            *score = self.bias * w;
        }
        for (feature, value) in row.iter() {
            let weights = &weights[feature * classes..(feature + 1) * classes];
            for (score, w) in step.scores.iter_mut().zip(weights) {
                *score += value * w;
            }
        }
        let length = f64::from(row.squared_length()) + f64::from(self.bias).powi(2);
        step.solve(logs, gold, weight, weight * length);

        for (w, move_by) in weights[constant..].iter_mut().zip(&step.moves) {
            *w += self.bias * move_by;
        }
        for (feature, value) in row.iter() {
            let weights = &mut weights[feature * classes..(feature + 1) * classes];
            for (w, move_by) in weights.iter_mut().zip(&step.moves) {
                *w += value * move_by;
            }
        }
    }
}

/// The place of the texts' order among the uses of chance.
const ORDER: u64 = 0x11ea;

/// The logarithm that stands for α = 0 before a text's first step.
const NEARLY_ZERO: f64 = -40.0;

/// Room for one text's step, reused, and what it found.
struct Step {
    scores: Vec<f32>,
    targets: Vec<f64>,
    alphas: Vec<f64>,
    /// What each class's weights gain per unit of a feature: c(α_old − α_new).
    moves: Vec<f32>,
    /// c·KL(α_old ‖ softmax(z)), this text's share of the gap before the step.
    gap: f64,
    /// This text's share of P before the step.
    objective: f64,
}

impl Step {
    fn new(classes: usize) -> Self {
        Self {
            scores: vec![0.0; classes],
            targets: vec![0.0; classes],
            alphas: vec![0.0; classes],
            moves: vec![0.0; classes],
            gap: 0.0,
            objective: 0.0,
        }
    }

    /// Maximises `H(α) + z·α − ½a‖α − α_old‖²` over distributions, from `logs = ln α_old` to `ln α_new`.
    ///
    /// Optimal is `ln α + a·α = z + a·α_old − ν` with the ν that makes α sum to 1: one equation per class and
    /// one for ν, whose Jacobian is an arrow, so a Newton step is linear in the classes. α stays at or below 1.
    fn solve(&mut self, logs: &mut [f64], gold: usize, weight: f64, curvature: f64) {
        let a = curvature;
        let scores = || self.scores.iter().map(|&z| f64::from(z));
        let most = scores().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = most + scores().map(|z| (z - most).exp()).sum::<f64>().ln();
        let mut mean = 0.0;
        let mut negative_entropy = 0.0;
        for ((alpha, target), (log, z)) in self
            .alphas
            .iter_mut()
            .zip(&mut self.targets)
            .zip(logs.iter().zip(scores()))
        {
            *alpha = log.exp();
            *target = z + a * *alpha;
            mean += *alpha * z;
            negative_entropy += *alpha * log;
        }
        self.gap = weight * (negative_entropy - mean + log_sum).max(0.0);
        let z = f64::from(self.scores[gold]);
        self.objective = weight * (0.5 * (z - mean) + log_sum - z);

        for (move_by, alpha) in self.moves.iter_mut().zip(&self.alphas) {
            *move_by = (weight * alpha) as f32;
        }
        let mut nu = 0.0;
        for _ in 0..MAX_NEWTON {
            let (mut up, mut down, mut sum) = (0.0, 0.0, 0.0);
            for ((log, target), alpha) in logs.iter().zip(&self.targets).zip(&self.alphas) {
                let share = alpha / (1.0 + a * alpha);
                up += share * (log + a * alpha - target + nu);
                down += share;
                sum += alpha;
            }
            let nu_step = (sum - 1.0 - up) / down;
            nu += nu_step;
            let mut furthest = 0.0_f64;
            for ((log, target), alpha) in logs.iter_mut().zip(&self.targets).zip(&mut self.alphas) {
                let next = (*log - (*log + a * *alpha - target + nu) / (1.0 + a * *alpha)).min(0.0);
                furthest = furthest.max((next - *log).abs());
                *log = next;
                *alpha = next.exp();
            }
            if furthest < NEWTON_TOLERANCE {
                break;
            }
        }
        // Whatever Newton left, α is a distribution, and the weights follow exactly that α.
        let total = self.alphas.iter().sum::<f64>();
        let log_total = total.ln();
        for ((log, alpha), move_by) in logs.iter_mut().zip(&self.alphas).zip(&mut self.moves) {
            *log -= log_total;
            *move_by -= (weight * alpha / total) as f32;
        }
    }
}

/// Newton steps at most; three to six are usual.
const MAX_NEWTON: usize = 30;

/// Change of a log α below which a step is exact enough.
const NEWTON_TOLERANCE: f64 = 1e-4;

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: usize = 3;
    const FEATURES: usize = 4;

    fn rows() -> Vec<SparseRow> {
        let mut chance = Chance::new(5, 1);
        (0..12)
            .map(|i| {
                let indices: Vec<u32> = (0..FEATURES as u32).filter(|f| (i + f) % 3 != 0).collect();
                let values = indices.iter().map(|_| chance.normal()).collect();
                SparseRow { indices, values }
            })
            .collect()
    }

    fn problem(rows: &[SparseRow]) -> Problem<'_> {
        let examples = rows
            .iter()
            .enumerate()
            .map(|(i, row)| Example {
                row,
                gold: (i * i + i / 5) % CLASSES,
                weight: 1.0 + (i % 4) as f64,
            })
            .collect();
        Problem {
            examples,
            features: FEATURES,
            classes: CLASSES,
            bias: 0.5,
        }
    }

    /// P(W) in f64 as it is defined, W over features and the constant feature.
    fn objective(problem: &Problem, weights: &[f64]) -> f64 {
        let penalty: f64 = weights.iter().map(|w| w * w).sum::<f64>() / 2.0;
        let losses = problem.examples.iter().map(|example| {
            let z: Vec<f64> = (0..CLASSES)
                .map(|k| {
                    let bias = f64::from(problem.bias) * weights[FEATURES * CLASSES + k];
                    example
                        .row
                        .iter()
                        .map(|(f, v)| f64::from(v) * weights[f * CLASSES + k])
                        .sum::<f64>()
                        + bias
                })
                .collect();
            example.weight * (z.iter().map(|z| z.exp()).sum::<f64>().ln() - z[example.gold])
        });
        penalty + losses.sum::<f64>()
    }

    /// Weights and raw bias of a solution, as the problem sees them.
    fn flat(problem: &Problem, solution: &Solution) -> Vec<f64> {
        let bias = solution.bias.iter().map(|b| b / problem.bias);
        solution
            .weights
            .iter()
            .copied()
            .chain(bias)
            .map(f64::from)
            .collect()
    }

    #[test]
    fn the_slow_twins_gradient_vanishes_at_the_solution() {
        let rows = rows();
        let problem = problem(&rows);
        let weights = flat(&problem, &problem.solve(1e-9, 500, 3, |_, _| ()));
        let scale = objective(&problem, &weights);
        for i in 0..weights.len() {
            let moved = |by: f64| {
                let mut weights = weights.clone();
                weights[i] += by;
                objective(&problem, &weights)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!(
                slope.abs() < 2e-4 * scale,
                "weight {i}: slope {slope}, objective {scale}"
            );
        }
    }

    #[test]
    fn gap_and_objective_are_those_of_the_definition() {
        // With one text a pass's estimate is exact: it is taken before the step, at the weights before it.
        let rows = rows();
        let mut problem = problem(&rows);
        problem.examples.truncate(1);
        let mut gaps = Vec::new();
        problem.solve(1e-12, 40, 0, |_, gap| gaps.push(gap));
        let zero = vec![0.0; (FEATURES + 1) * CLASSES];
        let first = problem.examples[0].weight * f64::ln(3.0);
        assert!((objective(&problem, &zero) - first).abs() < 1e-12);
        assert!(
            (gaps[0] - 1.0).abs() < 1e-6,
            "at W = 0, α = e[y] the dual is 0: {gaps:?}"
        );
        assert!(gaps.last().unwrap().abs() < 1e-6, "{gaps:?}");
    }

    #[test]
    fn a_looser_tolerance_keeps_its_promise() {
        let rows = rows();
        let problem = problem(&rows);
        let best = objective(&problem, &flat(&problem, &problem.solve(1e-9, 500, 1, |_, _| ())));
        for tolerance in [0.1, 0.01, 1e-3] {
            let found = objective(
                &problem,
                &flat(&problem, &problem.solve(tolerance, 500, 1, |_, _| ())),
            );
            assert!(
                found - best <= 2.0 * tolerance * found,
                "{tolerance}: {found} for {best}"
            );
        }
    }

    #[test]
    fn a_step_is_exact_where_the_curvature_is_extreme() {
        for (a, z) in [(1e-6, 0.0), (1.0, 5.0), (1e4, 30.0), (1e4, -300.0), (200.0, 1e4)] {
            let mut step = Step::new(3);
            step.scores = vec![z, 1.0, 0.0];
            let old = [0.2_f64, 0.5, 0.3];
            let mut logs: Vec<f64> = old.iter().map(|p| p.ln()).collect();
            step.solve(&mut logs, 0, 1.0, a);
            let total: f64 = logs.iter().map(|log| log.exp()).sum();
            assert!((total - 1.0).abs() < 1e-9);
            let value = |alphas: &[f64]| -> f64 {
                let term = |k: usize| {
                    let alpha = alphas[k];
                    let entropy = if alpha > 0.0 { -alpha * alpha.ln() } else { 0.0 };
                    entropy + f64::from(step.scores[k]) * alpha - 0.5 * a * (alpha - old[k]).powi(2)
                };
                (0..3).map(term).sum()
            };
            let found: Vec<f64> = logs.iter().map(|log| log.exp()).collect();
            let at = value(&found);
            for from in 0..3 {
                for to in 0..3 {
                    let by = 1e-3 * found[from];
                    let mut other = found.clone();
                    other[from] -= by;
                    other[to] += by;
                    assert!(
                        value(&other) <= at + 1e-6 * (1.0 + at.abs()),
                        "a {a}, z {z}: {found:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn one_class_or_no_example_is_solved_at_once() {
        let rows = rows();
        let mut problem = problem(&rows);
        problem.classes = 1;
        problem.examples.iter_mut().for_each(|example| example.gold = 0);
        assert!(
            problem
                .solve(1e-3, 10, 0, |_, _| panic!("nothing to do"))
                .weights
                .iter()
                .all(|&w| w == 0.0)
        );
        problem.examples.clear();
        problem.classes = 0;
        assert!(problem.solve(1e-3, 10, 0, |_, _| ()).bias.is_empty());
    }
}
