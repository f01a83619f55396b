//! The public door's own things: who may come, what is kept, what is written down.

use crate::access::{Keys, Rates, Tokens};
use crate::app::App;
use crate::audit::Audit;
use crate::record::Recorder;
use poststelle_lifecycle::{Clock, Timestamp};
use poststelle_store::Store;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// What is kept of a mail that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Nothing, not even the answer: feedback can name mails by the client's own ids alone.
    Nothing,
    /// The answer.
    #[default]
    Labels,
    /// The answer, and the cleaned text with personal details masked.
    Redacted,
    /// The answer, and the cleaned text.
    Text,
}

/// How a gateway behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What is kept.
    pub keep: Keep,
    /// Days it is kept. Default 90.
    pub keep_days: u32,
    /// Mails of a request, at most. Default 100.
    pub mails: usize,
    /// Bytes of a request body, at most. Default 4 MiB.
    pub body_bytes: usize,
    /// Requests a minute of one key, where the key does not say. Default 600.
    pub requests_per_minute: NonZeroU32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            keep: Keep::default(),
            keep_days: 90,
            mails: 100,
            body_bytes: 4 << 20,
            requests_per_minute: NonZeroU32::new(600).expect("not zero"),
        }
    }
}

/// How long the answer to a request with an idempotency key is kept.
pub(crate) const ANSWERS_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Time between two purges.
const PURGE_EVERY: Duration = Duration::from_secs(3600);

/// The gateway before an endpoint.
pub struct Gateway {
    pub(crate) app: Arc<App>,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) policy: Policy,
    pub(crate) keys: Keys,
    pub(crate) tokens: Option<Tokens>,
    pub(crate) rates: Rates,
    pub(crate) audit: Option<Audit>,
    pub(crate) recorder: Recorder,
}

impl Gateway {
    /// A gateway before `app`. It must be made on the threads that serve: what it keeps is written there.
    pub fn new(
        app: Arc<App>,
        store: Store,
        clock: Arc<dyn Clock>,
        policy: Policy,
        tokens: Option<Tokens>,
        audit: Option<Audit>,
    ) -> Arc<Self> {
        Arc::new(Self {
            keys: Keys::new(store.clone()),
            rates: Rates::new(policy.requests_per_minute),
            recorder: Recorder::start(store.clone(), Arc::clone(&app.metrics)),
            app,
            store,
            clock,
            policy,
            tokens,
            audit,
        })
    }

    /// Deletes what has been kept long enough, now and every hour.
    pub async fn purge(self: Arc<Self>) {
        loop {
            let now = self.clock.now();
            let days = Duration::from_secs(u64::from(self.policy.keep_days) * 24 * 3600);
            match self
                .store
                .purge(before(now, days), before(now, ANSWERS_KEPT))
                .await
            {
                Ok(purged) => tracing::info!(
                    predictions = purged.predictions,
                    feedback = purged.feedback,
                    "deleted what was kept long enough"
                ),
                Err(error) => tracing::warn!(%error, "cannot delete what was kept long enough"),
            }
            tokio::time::sleep(PURGE_EVERY).await;
        }
    }
}

/// A time before another.
pub(crate) fn before(now: Timestamp, by: Duration) -> Timestamp {
    now.saturating_sub(by).unwrap_or(Timestamp::MIN)
}
