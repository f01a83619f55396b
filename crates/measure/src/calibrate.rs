//! Makes a confidence mean what it says: temperature scaling, and how far off it still is.

use crate::rows::{Rows, RowsError, check_gold};
use serde::Serialize;

/// Bins of a reliability diagram and of the expected calibration error.
pub const RELIABILITY_BINS: usize = 15;

/// A fitted temperature stays within these bounds.
const BOUNDS: (f64, f64) = (0.02, 50.0);

/// An answer whose rightness is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// The probability the model gave its answer, in `[0, 1]`.
    pub confidence: f32,
    /// Whether the answer equals the gold label.
    pub right: bool,
}

/// A fitted temperature and what it bought.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Temperature {
    /// What logits are divided by before the softmax; above 1 where the model was too sure.
    pub value: f32,
    /// Labelled rows it was fitted on.
    pub examples: usize,
    /// Mean negative log-likelihood of the gold labels at temperature 1, in nats.
    pub nll_before: f64,
    /// The same at the fitted temperature.
    pub nll_after: f64,
}

/// Fits the temperature that minimises the negative log-likelihood of validation labels.
///
/// With few rows, or when every answer is right, the plain likelihood has its optimum at a temperature of 0 and
/// would promise certainty. So the target is softened as for Platt's scaling: with `n` labelled rows, the gold class
/// gets `1 − ε` and the others share `ε = 1 / (n + 2)`. The effect vanishes as `n` grows, and the optimum is
/// always finite. In `1/T` the objective is convex; its slope is bisected on a logarithmic scale
/// within `[0.02, 50]`.
///
/// # Shapes and units
/// - `logits`: `[rows, classes]`, unnormalised; use rows the model was not trained on
/// - `gold`: one entry per row; `None` rows are ignored
/// - returns `None` when no row is labelled; 1 when the logits carry no information (one class, or all equal)
///
/// # Errors
/// [`RowsError`] when `gold` does not fit the logits.
///
/// # Source
/// Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599, §4.2;
/// Platt 1999, "Probabilistic Outputs for Support Vector Machines", §2.2 (the soft targets).
pub fn fit_temperature(logits: Rows<'_>, gold: &[Option<usize>]) -> Result<Option<Temperature>, RowsError> {
    check_gold(gold, logits.len(), logits.classes())?;
    let rows: Vec<(&[f32], usize)> = logits
        .iter()
        .zip(gold)
        .filter_map(|(row, gold)| gold.map(|gold| (row, gold)))
        .collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let epsilon = if logits.classes() == 1 {
        0.0
    } else {
        1.0 / (rows.len() as f64 + 2.0)
    };
    let slope_at = |log_t: f64| slope(&rows, epsilon, (-log_t).exp());
    let informative = rows.iter().any(|(row, _)| row.iter().any(|&z| z != row[0]));
    let value = if informative {
        bisect(slope_at, BOUNDS.0.ln(), BOUNDS.1.ln()).exp()
    } else {
        1.0
    };
    Ok(Some(Temperature {
        value: value as f32,
        examples: rows.len(),
        nll_before: mean_nll(&rows, 1.0),
        nll_after: mean_nll(&rows, f64::from(value as f32)),
    }))
}

/// Slope of the softened objective in `β = 1/T`, summed over rows. Grows with β.
fn slope(rows: &[(&[f32], usize)], epsilon: f64, beta: f64) -> f64 {
    rows.iter()
        .map(|(row, gold)| {
            let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let (mut norm, mut mean, mut sum) = (0.0, 0.0, 0.0);
            for &z in *row {
                // Relative to the largest logit, which shifts both expectations alike.
                let z = f64::from(z) - f64::from(top);
                let weight = (beta * z).exp();
                norm += weight;
                mean += weight * z;
                sum += z;
            }
            let z_gold = f64::from(row[*gold]) - f64::from(top);
            let others = if row.len() > 1 {
                (sum - z_gold) / (row.len() - 1) as f64
            } else {
                0.0
            };
            mean / norm - (1.0 - epsilon) * z_gold - epsilon * others
        })
        .sum()
}

/// The zero of a function falling in its argument (the slope falls as T grows), or the bound nearest to it.
fn bisect(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    if f(low) <= 0.0 {
        return low;
    }
    if f(high) >= 0.0 {
        return high;
    }
    for _ in 0..48 {
        let middle = 0.5 * (low + high);
        if f(middle) > 0.0 {
            low = middle
        } else {
            high = middle
        }
    }
    0.5 * (low + high)
}

fn mean_nll(rows: &[(&[f32], usize)], temperature: f64) -> f64 {
    let total: f64 = rows
        .iter()
        .map(|(row, gold)| {
            let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let shifted = |z: f32| (f64::from(z) - f64::from(top)) / temperature;
            row.iter().map(|&z| shifted(z).exp()).sum::<f64>().ln() - shifted(row[*gold])
        })
        .sum();
    total / rows.len() as f64
}

/// One bar of a reliability diagram: the answers with confidence in `(low, high]`, the first bar including 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// Exclusive lower edge.
    pub low: f64,
    /// Inclusive upper edge.
    pub high: f64,
    /// Answers in the bin.
    pub count: u64,
    /// Their mean confidence; 0 when the bin is empty.
    pub confidence: f64,
    /// The share of them that is right; 0 when the bin is empty.
    pub accuracy: f64,
}

/// Sorts answers into [`RELIABILITY_BINS`] bins of equal width over `[0, 1]`. NaN goes to the first bin.
pub fn reliability(judged: &[Judged]) -> Vec<Bin> {
    let width = 1.0 / RELIABILITY_BINS as f64;
    let mut sums = vec![(0u64, 0.0f64, 0u64); RELIABILITY_BINS];
    for answer in judged {
        let confidence = f64::from(answer.confidence);
        // A float cast saturates, so what lies outside [0, 1] ends in the outer bins.
        let bin = ((confidence * RELIABILITY_BINS as f64).ceil() as usize)
            .saturating_sub(1)
            .min(RELIABILITY_BINS - 1);
        sums[bin].0 += 1;
        sums[bin].1 += confidence;
        sums[bin].2 += u64::from(answer.right);
    }
    sums.into_iter()
        .enumerate()
        .map(|(bin, (count, confidence, right))| {
            let mean = |sum: f64| if count == 0 { 0.0 } else { sum / count as f64 };
            Bin {
                low: bin as f64 * width,
                high: (bin + 1) as f64 * width,
                count,
                confidence: mean(confidence),
                accuracy: mean(right as f64),
            }
        })
        .collect()
}

/// Expected calibration error: how far confidence and accuracy are apart, on average over the answers.
///
/// ```text
/// ECE = Σ_bins (count_bin / answers) · |accuracy_bin − confidence_bin|
/// ```
///
/// The divisor is the number of judged answers. `None` when there is none.
///
/// # Source
/// Guo et al. 2017, §2, with 15 bins of equal width.
pub fn expected_calibration_error(judged: &[Judged]) -> Option<f64> {
    if judged.is_empty() {
        return None;
    }
    let gap = |bin: &Bin| bin.count as f64 * (bin.accuracy - bin.confidence).abs();
    Some(reliability(judged).iter().map(gap).sum::<f64>() / judged.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(values: &[f32], classes: usize, gold: &[Option<usize>]) -> Option<Temperature> {
        fit_temperature(Rows::new(values, classes).unwrap(), gold).unwrap()
    }

    #[test]
    fn nothing_labelled_fits_nothing() {
        assert_eq!(fit(&[1.0, 0.0], 2, &[None]), None);
        assert_eq!(fit(&[], 2, &[]), None);
    }

    #[test]
    fn few_right_answers_promise_no_certainty() {
        // One example, right by 4 nats: the softened target is 1 − 1/3, so p = 2/3 and 4/T = ln 2.
        let one = fit(&[4.0, 0.0], 2, &[Some(0)]).unwrap();
        assert!((one.value - 4.0 / std::f32::consts::LN_2).abs() < 1e-3, "{one:?}");
        let many: Vec<f32> = [4.0, 0.0].repeat(1000);
        let sure = fit(&many, 2, &[Some(0); 1000]).unwrap();
        assert!((0.5..0.6).contains(&sure.value), "{sure:?}"); // 4/T = ln(1001)
    }

    #[test]
    fn stays_in_bounds_where_nothing_is_right_or_logits_saturate() {
        let wrong = fit(&[500.0, -500.0], 2, &[Some(1)]).unwrap();
        assert_eq!(wrong.value, BOUNDS.1 as f32);
        assert!(wrong.nll_after.is_finite() && wrong.nll_before == 1000.0);
        let tiny = fit(&[1e-6, 0.0].repeat(100), 2, &[Some(0); 100]).unwrap();
        assert!((tiny.value - BOUNDS.0 as f32).abs() < 1e-6);
    }

    #[test]
    fn logits_without_information_keep_temperature_one() {
        assert_eq!(fit(&[3.0, 3.0], 2, &[Some(1)]).unwrap().value, 1.0);
        assert_eq!(fit(&[3.0, 7.0], 1, &[Some(0), Some(0)]).unwrap().value, 1.0);
    }

    #[test]
    fn the_slope_is_the_derivative_of_the_objective() {
        // A slow twin: the softened likelihood itself, differentiated numerically.
        let rows: Vec<(&[f32], usize)> = vec![
            (&[1.0, -0.5, 2.0], 0),
            (&[0.1, 0.2, -3.0], 1),
            (&[5.0, 1.0, 1.0], 2),
        ];
        let epsilon = 0.2;
        let objective = |beta: f64| -> f64 {
            rows.iter()
                .map(|(row, gold)| {
                    let norm = row.iter().map(|&z| (beta * f64::from(z)).exp()).sum::<f64>().ln();
                    let target = |class: usize| {
                        if class == *gold {
                            1.0 - epsilon
                        } else {
                            epsilon / 2.0
                        }
                    };
                    row.iter()
                        .enumerate()
                        .map(|(c, &z)| target(c) * (norm - beta * f64::from(z)))
                        .sum::<f64>()
                })
                .sum()
        };
        for beta in [0.1, 0.7, 1.0, 3.0] {
            let numeric = (objective(beta + 1e-5) - objective(beta - 1e-5)) / 2e-5;
            assert!((slope(&rows, epsilon, beta) - numeric).abs() < 1e-6);
        }
    }

    #[test]
    fn bins_close_above_and_hold_every_answer() {
        let judged = [0.0, 1.0 / 15.0, 0.5, 1.0, 1.0].map(|confidence| Judged {
            confidence,
            right: confidence > 0.9,
        });
        let bins = reliability(&judged);
        assert_eq!(bins.len(), RELIABILITY_BINS);
        assert_eq!(bins.iter().map(|bin| bin.count).sum::<u64>(), 5);
        assert_eq!((bins[7].count, bins[14].count), (1, 2));
        assert_eq!(expected_calibration_error(&[]), None);
        assert_eq!(expected_calibration_error(&judged[3..]), Some(0.0));
    }
}
