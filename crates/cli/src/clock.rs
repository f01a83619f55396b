//! The present, for the commands.

use poststelle_lifecycle::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, to the millisecond.
#[expect(clippy::disallowed_methods, reason = "this is the clock the others are given")]
pub fn timestamp() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let milliseconds = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(milliseconds).unwrap_or_default()
}

/// Now as RFC 3339 in UTC, to the second.
pub fn now() -> String {
    let seconds = timestamp().as_second();
    Timestamp::from_second(seconds).unwrap_or_default().to_string()
}
