//! How fast a queue works off what waits.
//!
//! Measured while something waits: then bytes leave as fast as they are computed. What leaves a queue that was empty says nothing, for
//! it leaves at once.

use std::time::{Duration, Instant};

/// Time over which the pace is measured.
const WINDOW: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the window began, and the bytes that have left since.
    window: Option<(Instant, usize)>,
    /// Bytes a second.
    rate: Option<f64>,
}

impl Pace {
    /// Something waits from now on.
    pub fn begin(&mut self, now: Instant) {
        self.window = Some((now, 0));
    }

    /// So many bytes are taken from what waits.
    pub fn took(&mut self, bytes: usize, now: Instant) {
        let Some((began, before)) = self.window else {
            return;
        };
        let (elapsed, taken) = (now.saturating_duration_since(began), before + bytes);
        if elapsed < WINDOW {
            self.window = Some((began, taken));
            return;
        }
        // What is taken in this moment has not been computed yet.
        let seen = before as f64 / elapsed.as_secs_f64();
        self.rate = Some(self.rate.map_or(seen, |rate| 0.5 * (rate + seen)));
        self.window = Some((now, bytes));
    }

    /// How long so many bytes will take; zero where no pace is known.
    pub fn time_for(&self, bytes: usize, now: Instant) -> Duration {
        let Some(rate) = self.rate.filter(|rate| *rate > 0.0) else {
            return Duration::ZERO;
        };
        // A stuck model makes the pace it had a lie.
        let stuck = self
            .window
            .map_or(Duration::ZERO, |(began, _)| now.saturating_duration_since(began));
        let stuck = if bytes > 0 {
            stuck.saturating_sub(WINDOW)
        } else {
            Duration::ZERO
        };
        Duration::try_from_secs_f64(bytes as f64 / rate)
            .unwrap_or(Duration::MAX)
            .saturating_add(stuck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_how_long_what_waits_will_take() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::default();
        assert_eq!(pace.time_for(1000, at(0)), Duration::ZERO, "nothing was seen yet");
        pace.begin(at(0));
        for ms in (100..=1000).step_by(100) {
            pace.took(100, at(ms));
        }
        let wait = pace.time_for(2000, at(1000)).as_secs_f64();
        assert!(
            (1.5..3.0).contains(&wait),
            "{wait} s for 2,000 bytes at some 1,000 a second"
        );
        assert!(
            pace.time_for(2000, at(9000)) > Duration::from_secs(8),
            "it is stuck"
        );
        assert_eq!(pace.time_for(0, at(9000)), Duration::ZERO);
    }
}
