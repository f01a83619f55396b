//! The present, for the commands.

use std::time::{SystemTime, UNIX_EPOCH};

/// The present as RFC 3339 in UTC, to the second.
#[expect(clippy::disallowed_methods, reason = "this is the clock the others are given")]
pub fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds)
        .unwrap_or_default()
        .to_string()
}
