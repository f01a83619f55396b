//! What a server may spend.

use poststelle_predict::Limits;
use std::time::Duration;

/// Bounds of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of one request body, at most. Default 64 MiB.
    pub body_bytes: usize,
    /// Time for a request body to arrive. Default 60 s.
    pub read_within: Duration,
    /// Time for a request's mails to be labelled. Default 15 min: a batch-transform request may hold thousands of mails.
    pub answer_within: Duration,
    /// Time open requests get after a stop signal. Default 30 s.
    pub drain_within: Duration,
    /// Bounds of the queue between requests and the model.
    pub queue: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body_bytes: 64 << 20,
            read_within: Duration::from_secs(60),
            answer_within: Duration::from_secs(15 * 60),
            drain_within: Duration::from_secs(30),
            queue: Limits::default(),
        }
    }
}
