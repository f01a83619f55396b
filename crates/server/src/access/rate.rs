//! How often each caller may come.

use super::Caller;
use crate::Problem;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

/// Callers kept, at most; then all begin anew.
const KEPT: usize = 10_000;

/// A limiter and the requests a minute it was made for.
type Limited = (NonZeroU32, Arc<DefaultDirectRateLimiter>);

/// Limits in this process; several processes of one gateway each allow as much.
pub(crate) struct Rates {
    requests_per_minute: NonZeroU32,
    limiters: Mutex<HashMap<String, Limited>>,
    clock: DefaultClock,
}

impl Rates {
    pub fn new(requests_per_minute: NonZeroU32) -> Self {
        Self {
            requests_per_minute,
            limiters: Mutex::default(),
            clock: DefaultClock::default(),
        }
    }

    /// Lets one request in. A burst of a second's worth, at least ten, is let in at once.
    ///
    /// # Errors
    /// [`Problem::RateLimited`] with the time until the next one may come.
    pub fn take(&self, caller: &Caller) -> Result<(), Problem> {
        let wanted = caller
            .requests_per_minute
            .and_then(NonZeroU32::new)
            .unwrap_or(self.requests_per_minute);
        let limiter = {
            let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
            if limiters.len() >= KEPT {
                limiters.clear();
            }
            let name = format!("{}/{}", caller.key, caller.client);
            let new = || {
                let burst = NonZeroU32::new((wanted.get() / 60).max(10)).unwrap_or(NonZeroU32::MIN);
                (
                    wanted,
                    Arc::new(RateLimiter::direct(Quota::per_minute(wanted).allow_burst(burst))),
                )
            };
            let limited = limiters.entry(name).or_insert_with(new);
            if limited.0 != wanted {
                *limited = new();
            }
            Arc::clone(&limited.1)
        };
        limiter.check().map_err(|not_until| Problem::RateLimited {
            retry_s: not_until.wait_time_from(self.clock.now()).as_secs() + 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_caller_who_comes_too_often_waits_and_others_do_not() {
        let rates = Rates::new(NonZeroU32::new(60).unwrap());
        let caller = |client: &str| Caller {
            client: client.parse().unwrap(),
            key: "a".into(),
            permissions: BTreeSet::new(),
            requests_per_minute: None,
        };
        let passed = (0..50).filter(|_| rates.take(&caller("crm")).is_ok()).count();
        assert_eq!(passed, 10);
        assert!(matches!(
            rates.take(&caller("crm")),
            Err(Problem::RateLimited { retry_s: 1 | 2 })
        ));
        assert!(rates.take(&caller("web")).is_ok());
    }
}
