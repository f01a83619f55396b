//! How long a run still takes, from what its updates and evaluations took so far.
//!
//! The clock is the caller's: everything here is told how many seconds have passed.

use std::time::Duration;

/// A forward pass alone takes about a third of an update.
const EVALUATION_SHARE: f64 = 1.0 / 3.0;

/// The pace of one run since it began or was taken up again.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    epochs: usize,
    validation_tokens: usize,
    /// Updates of the whole run, and those made, also before the run was taken up again.
    steps: usize,
    step: usize,
    /// Passes over the data that were made, with the share of the current one.
    epoch: f64,
    learning: Spent,
    evaluating: Spent,
}

/// Time that went into one kind of work.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    times: usize,
    seconds: f64,
    samples: usize,
    tokens: usize,
}

impl Pace {
    /// A run of so many passes, each followed by an evaluation of so many tokens.
    pub fn new(epochs: usize, validation_tokens: usize) -> Self {
        Self {
            epochs,
            validation_tokens,
            ..Self::default()
        }
    }

    /// An update took `time`; `step` of `steps` are made, and `epoch` passes.
    pub fn learned(
        &mut self,
        time: Duration,
        (step, steps): (usize, usize),
        epoch: f64,
        (samples, tokens): (usize, usize),
    ) {
        (self.step, self.steps, self.epoch) = (step, steps, epoch);
        let Spent {
            times,
            seconds,
            samples: all_samples,
            tokens: all_tokens,
        } = &mut self.learning;
        *times += 1;
        *seconds += time.as_secs_f64();
        *all_samples += samples;
        *all_tokens += tokens;
    }

    /// The evaluation after a pass took `time`.
    pub fn evaluated(&mut self, time: Duration) {
        self.evaluating.times += 1;
        self.evaluating.seconds += time.as_secs_f64();
    }

    /// Writing the checkpoint after an evaluation took `time`.
    pub fn saved(&mut self, time: Duration) {
        self.evaluating.seconds += time.as_secs_f64();
    }

    /// Examples and tokens a second of learning; evaluations do not count.
    pub fn rates(&self) -> (f64, f64) {
        let seconds = self.learning.seconds.max(1e-9);
        (
            self.learning.samples as f64 / seconds,
            self.learning.tokens as f64 / seconds,
        )
    }

    /// Seconds to the end if the run is not stopped early: its updates and its evaluations.
    pub fn left(&self) -> f64 {
        if self.learning.times == 0 {
            return 0.0;
        }
        let update = self.learning.seconds / self.learning.times as f64;
        let evaluation = match self.evaluating.times {
            0 => EVALUATION_SHARE * self.validation_tokens as f64 / self.rates().1.max(1e-9),
            times => self.evaluating.seconds / times as f64,
        };
        // The pass that has just ended is yet to be evaluated.
        let evaluations = self.epochs as f64 - (self.epoch.ceil() - 1.0).max(0.0);
        let evaluations = if self.validation_tokens == 0 {
            0.0
        } else {
            evaluations
        };
        update * self.steps.saturating_sub(self.step) as f64 + evaluation * evaluations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// 3 passes of 10 updates of a second each, an evaluation of 4 seconds after each.
    fn pace_after(from: usize, to: usize) -> Pace {
        let mut pace = Pace::new(3, 1200);
        for step in from + 1..=to {
            pace.learned(SECOND, (step, 30), step as f64 / 10.0, (10, 100));
            if step % 10 == 0 && step < to {
                pace.evaluated(4 * SECOND);
            }
        }
        pace
    }

    #[test]
    fn counts_updates_and_evaluations_to_come() {
        // 1,200 tokens at 100 a second are 12 seconds of learning, a third of that of evaluation.
        assert!((pace_after(0, 1).left() - (29.0 + 3.0 * 4.0)).abs() < 1e-9);
        assert!((pace_after(0, 10).left() - (20.0 + 3.0 * 4.0)).abs() < 1e-9);
        assert!((pace_after(0, 11).left() - (19.0 + 2.0 * 4.0)).abs() < 1e-9);
        assert!((pace_after(0, 30).left() - 4.0).abs() < 1e-9);
    }

    /// Of a run that was taken up again, only what has passed since says how fast it is.
    #[test]
    fn is_the_same_after_a_run_is_taken_up_again() {
        assert!((pace_after(20, 25).left() - pace_after(0, 25).left()).abs() < 1e-9);
        assert_eq!(pace_after(20, 25).rates(), (10.0, 100.0));
    }

    #[test]
    fn knows_nothing_before_the_first_update() {
        assert_eq!(Pace::new(3, 1200).left(), 0.0);
    }
}
