//! Early stopping: remembers the best evaluation and says when to give up on a better one.

use serde::{Deserialize, Serialize};

/// The best score so far and how long ago it was.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EarlyStop {
    best: Option<f64>,
    since: usize,
}

impl EarlyStop {
    /// Takes one evaluation; true when it is the best so far. NaN never is.
    pub fn record(&mut self, score: f64) -> bool {
        let better = !score.is_nan() && self.best.is_none_or(|best| score > best);
        if better {
            self.best = Some(score);
            self.since = 0;
        } else {
            self.since += 1;
        }
        better
    }

    /// True when `patience` evaluations in a row were no better; never for 0.
    pub fn is_over(&self, patience: usize) -> bool {
        patience > 0 && self.since >= patience
    }

    /// The best score, if there was any.
    pub fn best(&self) -> Option<f64> {
        self.best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_its_patience_and_takes_a_tie_for_no_gain() {
        let mut stop = EarlyStop::default();
        assert!(stop.record(0.5) && !stop.record(0.5) && !stop.is_over(2));
        assert!(!stop.record(f64::NAN) && stop.is_over(2) && !stop.is_over(0));
        assert!(stop.record(0.6) && !stop.is_over(1));
        assert_eq!(stop.best(), Some(0.6));
    }
}
