//! The three bands of a task: answered automatically, suggested to a person, or asked of one.
//!
//! A threshold chosen where the observed precision first reaches 95 % has, by the choosing, less than 95 % on
//! new mail half of the time. So a band exists only where validation *shows* the precision: a one-sided exact
//! binomial test (Clopper–Pearson) must refute that it is lower. Where examples are too few to show it,
//! the band does not exist and people decide; with the defaults, no `auto` below 72 validated answers.
//!
//! Candidates are nested sets: the surest `n` answers for up to 40 sizes `n`, never parting equal confidences. They are tested
//! from the surest set towards the widest, each chain stopping at its first failure, from four starting
//! points that share the error budget; so the chance that the chosen set misses its precision is at most
//! `1 − assurance`, however many sets were tried.
//!
//! **Source.** Angelopoulos et al. 2021, "Learn then Test", arXiv:2110.01052 (fixed-sequence testing with several
//! starts); Clopper & Pearson 1934.

use crate::Judged;
use serde::{Deserialize, Serialize};

/// Where the bands of a task begin. A confidence reaching `auto` is decided automatically, one below it that reaches
/// `suggest` is suggested, any other is asked. `None`: no confidence is enough.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Bands {
    /// Lowest calibrated confidence decided automatically.
    pub auto: Option<f32>,
    /// Lowest calibrated confidence suggested.
    pub suggest: Option<f32>,
}

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Band {
    /// Acted on without a person.
    Auto,
    /// Shown to a person as the proposed answer.
    Suggest,
    /// Left to a person.
    Ask,
}

impl Band {
    /// The band's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Suggest => "suggest",
            Self::Ask => "ask",
        }
    }
}

impl Bands {
    /// The band of an answer with this confidence; NaN is asked.
    pub fn of(&self, confidence: f32) -> Band {
        let reaches = |threshold: Option<f32>| threshold.is_some_and(|threshold| confidence >= threshold);
        if reaches(self.auto) {
            Band::Auto
        } else if reaches(self.suggest) {
            Band::Suggest
        } else {
            Band::Ask
        }
    }
}

/// The precision a team wants, and how sure it wants to be of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wanted {
    /// Precision among automatic decisions. Default 0.95.
    pub auto: f64,
    /// Precision among suggestions, automatic decisions not counted. Default 0.75.
    pub suggest: f64,
    /// Probability that a chosen band keeps its precision on mail like the validation's. Default 0.9.
    pub assurance: f64,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            auto: 0.95,
            suggest: 0.75,
            assurance: 0.9,
        }
    }
}

const CANDIDATES: usize = 40;
const STARTS: usize = 4;

/// Chooses the widest bands whose precision the validation answers show.
///
/// `auto` is chosen first over all answers, `suggest` over those that stay below it, so
/// the suggested answers reach their precision without help from the automatic ones.
///
/// `judged` are answers on validation examples with calibrated confidence, in any order; those
/// with NaN are never inside a band.
pub fn choose_bands(judged: &[Judged], wanted: Wanted) -> Bands {
    let mut sure: Vec<Judged> = judged
        .iter()
        .copied()
        .filter(|answer| !answer.confidence.is_nan())
        .collect();
    sure.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let auto = widest(&sure, wanted.auto, wanted.assurance);
    let rest = sure.partition_point(|answer| auto.is_some_and(|threshold| answer.confidence >= threshold));
    Bands {
        auto,
        suggest: widest(&sure[rest..], wanted.suggest, wanted.assurance),
    }
}

/// The lowest confidence of the widest set of surest answers that shows `precision`. `sorted` falls in confidence.
fn widest(sorted: &[Judged], precision: f64, assurance: f64) -> Option<f32> {
    let alpha = (1.0 - assurance) / STARTS as f64;
    let mut right = 0;
    // Number of answers and of right ones at the end of each run of equal confidences.
    let ends: Vec<(u64, u64)> = sorted
        .iter()
        .enumerate()
        .filter_map(|(at, answer)| {
            right += u64::from(answer.right);
            let last = sorted
                .get(at + 1)
                .is_none_or(|next| next.confidence < answer.confidence);
            last.then_some((at as u64 + 1, right))
        })
        .filter(|&(count, _)| shows(count, count, precision, alpha))
        .collect();
    let step = ends.len().div_ceil(CANDIDATES).max(1);
    // Counted from the widest, so that taking everything is always among the candidates.
    let mut candidates: Vec<(u64, u64)> = ends.into_iter().rev().step_by(step).collect();
    candidates.reverse();
    let mut widest = None;
    for start in 0..STARTS {
        let chain = &candidates[start * candidates.len() / STARTS..];
        let passed = chain
            .iter()
            .take_while(|(count, right)| shows(*right, *count, precision, alpha))
            .last();
        widest = widest.max(passed.map(|(count, _)| *count));
    }
    widest.map(|count| sorted[count as usize - 1].confidence)
}

/// True when `right` of `count` refutes, at level `alpha`, that the precision is below `precision`.
fn shows(right: u64, count: u64, precision: f64, alpha: f64) -> bool {
    upper_tail(right, count, precision) <= alpha
}

/// The Clopper–Pearson lower bound of a precision, one-sided with the given assurance: the precision that is refuted
/// to be lower by `right` of `count`. 0 when nothing is right or counted.
pub fn precision_lower_bound(right: u64, count: u64, assurance: f64) -> f64 {
    let right = right.min(count);
    if right == 0 {
        return 0.0;
    }
    let (mut low, mut high) = (0.0f64, 1.0f64);
    for _ in 0..52 {
        let middle = 0.5 * (low + high);
        if shows(right, count, middle, 1.0 - assurance) {
            low = middle
        } else {
            high = middle
        }
    }
    low
}

/// `P(X ≥ right)` for `X` binomial over `count` trials with chance `p`.
fn upper_tail(right: u64, count: u64, p: f64) -> f64 {
    if right == 0 || p >= 1.0 {
        return 1.0;
    }
    if p <= 0.0 {
        return 0.0;
    }
    // From the outermost term p^count inwards, in logarithms against underflow.
    let odds = ((1.0 - p) / p).ln();
    let mut term = count as f64 * p.ln();
    let (mut top, mut sum) = (term, 1.0f64);
    for hits in (right..count).rev() {
        term += ((hits + 1) as f64 / (count - hits) as f64).ln() + odds;
        if term > top {
            sum = sum * (top - term).exp() + 1.0;
            top = term;
        } else {
            sum += (term - top).exp();
        }
    }
    (top + sum.ln()).exp().min(1.0)
}

/// How much of the answers a band takes, and how right they are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    /// Answers in the band.
    pub count: u64,
    /// Those that are right.
    pub right: u64,
    /// Answers in the band / all answers; 0 when there is none.
    pub coverage: f64,
    /// Right / answers in the band; `None` for an empty band.
    pub precision: Option<f64>,
    /// One-sided 90 % Clopper–Pearson lower bound of that precision.
    pub precision_at_least: Option<f64>,
}

/// The bands of a task and what fell into each.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BandShares {
    /// Where the bands begin.
    pub thresholds: Bands,
    /// Automatic decisions.
    pub auto: Share,
    /// Suggestions.
    pub suggest: Share,
    /// Left to a person; the precision is that of the answer nobody was shown.
    pub ask: Share,
}

/// Counts what falls into each band.
pub fn share_bands(judged: &[Judged], thresholds: Bands) -> BandShares {
    let share = |band: Band| {
        let inside = judged
            .iter()
            .filter(|answer| thresholds.of(answer.confidence) == band);
        let (count, right) = inside.fold((0, 0), |(count, right), answer| {
            (count + 1, right + u64::from(answer.right))
        });
        Share {
            count,
            right,
            coverage: if judged.is_empty() {
                0.0
            } else {
                count as f64 / judged.len() as f64
            },
            precision: (count > 0).then(|| right as f64 / count as f64),
            precision_at_least: (count > 0).then(|| precision_lower_bound(right, count, 0.9)),
        }
    };
    BandShares {
        thresholds,
        auto: share(Band::Auto),
        suggest: share(Band::Suggest),
        ask: share(Band::Ask),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interval::Random;

    fn judged(count: usize, confidence: f32, right: usize) -> Vec<Judged> {
        (0..count)
            .map(|at| Judged {
                confidence,
                right: at < right,
            })
            .collect()
    }

    #[test]
    fn the_tail_equals_its_slow_twin() {
        let slow = |right: u64, count: u64, p: f64| -> f64 {
            let choose = |k: u64| {
                (1..=k)
                    .map(|i| (count - k + i) as f64 / i as f64)
                    .product::<f64>()
            };
            (right..=count)
                .map(|k| choose(k) * p.powi(k as i32) * (1.0 - p).powi((count - k) as i32))
                .sum()
        };
        for (right, count, p) in [
            (0, 5, 0.3),
            (3, 5, 0.3),
            (5, 5, 0.9),
            (57, 60, 0.95),
            (1, 40, 0.01),
            (7, 7, 1.0),
        ] {
            assert!(
                (upper_tail(right, count, p) - slow(right, count, p)).abs() < 1e-12,
                "{right}/{count} {p}"
            );
        }
        assert!(upper_tail(99_000, 100_000, 0.5) < 1e-300);
    }

    #[test]
    fn few_examples_make_no_automatic_band() {
        // 0.95^71 > 0.025 ≥ 0.95^72
        assert_eq!(choose_bands(&judged(71, 0.99, 71), Wanted::default()).auto, None);
        assert_eq!(
            choose_bands(&judged(72, 0.99, 72), Wanted::default()).auto,
            Some(0.99)
        );
        assert_eq!(choose_bands(&[], Wanted::default()), Bands::default());
    }

    #[test]
    fn equal_confidences_are_never_parted() {
        let mut answers = judged(200, 0.9, 200);
        answers.extend(judged(200, 0.6, 160));
        answers.extend(judged(200, 0.3, 40));
        let bands = choose_bands(&answers, Wanted::default());
        assert_eq!(
            bands,
            Bands {
                auto: Some(0.9),
                suggest: None
            }
        );
        // 160 of 200 leaves 0.75 possible at 2.5 %; 170 of 200 does not.
        answers.extend(judged(100, 0.6, 100));
        assert_eq!(choose_bands(&answers, Wanted::default()).suggest, Some(0.6));
    }

    #[test]
    fn nothing_right_means_everything_is_asked() {
        let bands = choose_bands(&judged(500, 0.99, 0), Wanted::default());
        assert_eq!(bands, Bands::default());
        assert_eq!(bands.of(1.0), Band::Ask);
        assert_eq!(
            Bands {
                auto: Some(0.5),
                suggest: Some(0.2)
            }
            .of(f32::NAN),
            Band::Ask
        );
    }

    #[test]
    fn shares_add_up() {
        let mut answers = judged(8, 0.9, 7);
        answers.extend(judged(2, 0.1, 0));
        let shares = share_bands(
            &answers,
            Bands {
                auto: Some(0.9),
                suggest: Some(0.5),
            },
        );
        assert_eq!(
            (shares.auto.count, shares.suggest.count, shares.ask.count),
            (8, 0, 2)
        );
        assert_eq!(
            (
                shares.auto.coverage,
                shares.auto.precision,
                shares.suggest.precision
            ),
            (0.8, Some(0.875), None)
        );
        assert_eq!(share_bands(&[], Bands::default()).ask.coverage, 0.0);
    }

    /// The promise itself: over many validation sets, the chosen band misses its precision at most as often as allowed.
    #[test]
    fn a_chosen_band_keeps_its_precision() {
        let mut random = Random::new(crate::Seed(7));
        // Perfectly calibrated: right with the probability that is its confidence c = 1 − u²/2, so the true
        // precision above a threshold t is the mean of c there: 1 − (1 − t)/3.
        let (trials, mut missed, mut exists) = (400, 0, 0);
        for _ in 0..trials {
            let answers: Vec<Judged> = (0..400)
                .map(|_| {
                    let confidence = 1.0 - random.unit().powi(2) / 2.0;
                    Judged {
                        confidence: confidence as f32,
                        right: random.unit() < confidence,
                    }
                })
                .collect();
            if let Some(threshold) = choose_bands(&answers, Wanted::default()).auto {
                exists += 1;
                missed += usize::from(1.0 - (1.0 - f64::from(threshold)) / 3.0 < 0.95);
            }
        }
        assert!(exists > trials / 2, "{exists} of {trials} have a band");
        assert!(missed as f64 <= 0.1 * trials as f64, "{missed} of {trials} miss");
    }
}
