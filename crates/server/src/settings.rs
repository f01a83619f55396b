//! What a server may spend.

use poststelle_predict::Limits;
use std::time::Duration;

/// Bounds of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What the model that answers is called where a protocol wants a name. Default `mails`.
    pub model_name: String,
    /// It runs in SageMaker's batch transform: a request is a piece of a file, every line of it is answered by a line.
    pub batch_transform: bool,
    /// Bytes of one request body, at most. Default 64 MiB.
    pub body_bytes: usize,
    /// Bytes of all request bodies that are read or answered at one time, at most. Default 512 MiB.
    pub bodies_bytes: usize,
    /// Connections of a socket, at most; more wait to be accepted. Default 2048.
    pub connections: usize,
    /// Time for the head of a request to arrive, and for the next one on an open connection. Default 30 s.
    pub head_within: Duration,
    /// Time for a request body to arrive. Default 60 s.
    pub read_within: Duration,
    /// Time for a request's mails to be labelled. Default 60 s, what SageMaker waits for an answer.
    pub answer_within: Duration,
    /// Time in which a client must take some of its answer. Default 60 s.
    pub write_within: Duration,
    /// Time open requests get after a stop signal. Default 30 s.
    pub drain_within: Duration,
    /// Bounds of the queue between requests and the model.
    pub queue: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model_name: "mails".to_owned(),
            batch_transform: false,
            body_bytes: 64 << 20,
            bodies_bytes: 512 << 20,
            connections: 2048,
            head_within: Duration::from_secs(30),
            read_within: Duration::from_secs(60),
            answer_within: Duration::from_secs(60),
            write_within: Duration::from_secs(60),
            drain_within: Duration::from_secs(30),
            queue: Limits::default(),
        }
    }
}
