//! How far a score would move on another sample of the same mail.

use crate::{Confusion, Scores};
use serde::{Deserialize, Serialize};

/// The only source of chance here: equal seeds give equal intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u64);

/// A two-sided interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// A percentile bootstrap interval of a score, such as macro-F1.
///
/// Draws the labelled examples `resamples` times with replacement, scores each draw, and cuts
/// `(1 − level) / 2` off both ends. A label missing from a draw is missing from that draw's macro mean, as
/// scikit-learn would compute it. The interval tells of the sampling of the examples alone, not of another training
/// run. `None` when no example is labelled or `resamples` is 0.
///
/// # Source
/// Efron & Tibshirani 1993, "An Introduction to the Bootstrap", §13.3.
pub fn bootstrap(
    confusion: &Confusion,
    score: impl Fn(&Scores) -> f64,
    resamples: usize,
    level: f64,
    seed: Seed,
) -> Option<Interval> {
    let classes = confusion.classes();
    let answers = |gold| {
        (0..classes)
            .map(move |predicted| (gold, Some(predicted)))
            .chain([(gold, None)])
    };
    let cells: Vec<(usize, Option<usize>)> = (0..classes)
        .flat_map(answers)
        .flat_map(|(gold, predicted)| {
            let count = predicted.map_or(confusion.unanswered(gold), |predicted| {
                confusion.get(gold, predicted)
            });
            std::iter::repeat_n((gold, predicted), count as usize)
        })
        .collect();
    let mut random = Random::new(seed);
    let mut scores: Vec<f64> = (0..resamples)
        .filter_map(|_| {
            let mut drawn = Confusion::new(classes);
            for _ in 0..cells.len() {
                match cells[random.below(cells.len())] {
                    (gold, Some(predicted)) => drawn.add(gold, predicted, 1),
                    (gold, None) => drawn.add_unanswered(gold, 1),
                }
            }
            Scores::of(&drawn).map(|scores| score(&scores))
        })
        .collect();
    percentiles(&mut scores, level)
}

/// A percentile bootstrap interval of the difference in a score between two models, first less second, on the same examples.
///
/// Examples are drawn, each with both answers, so what is hard for both cancels out. `answers` holds per labelled example
/// the gold class and what each model answered, `None` for no answer. `None` without any example or resample.
///
/// # Source
/// Efron & Tibshirani 1993, "An Introduction to the Bootstrap", §13.3, on paired data.
pub fn paired_bootstrap(
    classes: usize,
    answers: &[(usize, [Option<usize>; 2])],
    score: impl Fn(&Scores) -> f64,
    resamples: usize,
    level: f64,
    seed: Seed,
) -> Option<Interval> {
    if answers.is_empty() {
        return None;
    }
    let mut random = Random::new(seed);
    let mut differences: Vec<f64> = (0..resamples)
        .filter_map(|_| {
            let mut drawn = [Confusion::new(classes), Confusion::new(classes)];
            for _ in 0..answers.len() {
                let (gold, both) = answers[random.below(answers.len())];
                for (drawn, answer) in drawn.iter_mut().zip(both) {
                    match answer {
                        Some(predicted) => drawn.add(gold, predicted, 1),
                        None => drawn.add_unanswered(gold, 1),
                    }
                }
            }
            let [first, second] = drawn.map(|drawn| Scores::of(&drawn).map(|scores| score(&scores)));
            Some(first? - second?)
        })
        .collect();
    percentiles(&mut differences, level)
}

/// The interval that leaves `(1 − level) / 2` of the scores on each side.
fn percentiles(scores: &mut [f64], level: f64) -> Option<Interval> {
    if scores.is_empty() {
        return None;
    }
    scores.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let position = share * (scores.len() - 1) as f64;
        let (below, above) = (
            scores[position.floor() as usize],
            scores[position.ceil() as usize],
        );
        below + (above - below) * position.fract()
    };
    let tail = (1.0 - level) / 2.0;
    Some(Interval {
        low: at(tail),
        high: at(1.0 - tail),
    })
}

/// SplitMix64 (Steele et al. 2014): small, seeded, the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: Seed) -> Self {
        Self(seed.0)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A position below `count`; its bias, below count / 2^64, is beyond measure.
    fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.next()) * count as u128) >> 64) as usize
    }

    /// Uniform in `[0, 1)`.
    #[cfg(test)]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn macro_f1(scores: &Scores) -> f64 {
        scores.macro_f1
    }

    #[test]
    fn a_pair_differs_by_less_than_its_members_vary() {
        // The second model is wrong where the first is, and in one more of a hundred.
        let answer = |n: usize| {
            let first = if n.is_multiple_of(5) { 1 - n % 2 } else { n % 2 };
            let second = if n == 1 { 0 } else { first };
            (n % 2, [Some(first), Some(second)])
        };
        let answers: Vec<_> = (0..100).map(answer).collect();
        let paired = paired_bootstrap(2, &answers, macro_f1, 1000, 0.95, Seed(1)).unwrap();
        assert!(paired.low >= 0.0 && paired.high < 0.05, "{paired:?}");
        let same: Vec<_> = answers
            .iter()
            .map(|(gold, [first, _])| (*gold, [*first, *first]))
            .collect();
        let nothing = paired_bootstrap(2, &same, macro_f1, 100, 0.95, Seed(1)).unwrap();
        assert_eq!((nothing.low, nothing.high), (0.0, 0.0));
        assert_eq!(paired_bootstrap(2, &[], macro_f1, 100, 0.95, Seed(1)), None);
    }

    #[test]
    fn nothing_labelled_has_no_interval() {
        assert_eq!(bootstrap(&Confusion::new(3), macro_f1, 100, 0.95, Seed(1)), None);
        let one = Confusion::count(2, &[Some(0)], &[0]).unwrap();
        assert_eq!(bootstrap(&one, macro_f1, 0, 0.95, Seed(1)), None);
        assert_eq!(
            bootstrap(&one, macro_f1, 9, 0.95, Seed(1)),
            Some(Interval { low: 1.0, high: 1.0 })
        );
    }

    #[test]
    fn equal_seeds_give_equal_intervals() {
        let mut matrix = Confusion::new(2);
        matrix.add(0, 0, 40);
        matrix.add(0, 1, 10);
        matrix.add(1, 1, 50);
        let interval = |seed| bootstrap(&matrix, macro_f1, 300, 0.95, Seed(seed)).unwrap();
        assert_eq!(interval(3), interval(3));
        assert_ne!(interval(3), interval(4));
    }

    /// For accuracy the bootstrap has a closed form to be near to: the normal approximation.
    #[test]
    fn accuracy_interval_is_near_its_closed_form() {
        let mut matrix = Confusion::new(2);
        matrix.add(0, 0, 320);
        matrix.add(1, 0, 80);
        let interval = bootstrap(&matrix, |scores| scores.accuracy, 2000, 0.95, Seed(11)).unwrap();
        let half = 1.96 * (0.8f64 * 0.2 / 400.0).sqrt();
        assert!((interval.low - (0.8 - half)).abs() < 0.006 && (interval.high - (0.8 + half)).abs() < 0.006);
    }
}
