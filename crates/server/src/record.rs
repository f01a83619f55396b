//! Keeps predictions: many requests' in one transaction, and each request waits until its own are kept.
//!
//! An answer is worth more than its record. Where the store is away or slow the answer says that it is not kept, and is given.

use crate::metrics::Metrics;
use poststelle_lifecycle::Predicted;
use poststelle_store::Store;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Requests that wait to be kept, at most.
const WAITING: usize = 1024;
/// Predictions of one transaction, at most.
const TOGETHER: usize = 2000;
/// How long an answer waits to be kept.
const PATIENCE: Duration = Duration::from_secs(2);

struct Kept {
    predictions: Vec<Predicted>,
    done: oneshot::Sender<bool>,
}

pub(crate) struct Recorder {
    queue: mpsc::Sender<Kept>,
    metrics: Arc<Metrics>,
}

impl Recorder {
    /// Keeps what comes for as long as it is there.
    pub fn start(store: Store, metrics: Arc<Metrics>) -> Self {
        let (queue, mut waiting) = mpsc::channel::<Kept>(WAITING);
        tokio::spawn(async move {
            let mut together = Vec::new();
            while let Some(first) = waiting.recv().await {
                let mut count = first.predictions.len();
                together.push(first);
                while count < TOGETHER
                    && let Ok(next) = waiting.try_recv()
                {
                    count += next.predictions.len();
                    together.push(next);
                }
                let all: Vec<Predicted> = together
                    .iter_mut()
                    .flat_map(|kept| std::mem::take(&mut kept.predictions))
                    .collect();
                let kept = store.keep_predictions(&all).await;
                if let Err(error) = &kept {
                    tracing::error!(%error, predictions = all.len(), "predictions are not kept");
                }
                for one in together.drain(..) {
                    // Whoever has stopped waiting has said that it is not kept.
                    let _ = one.done.send(kept.is_ok());
                }
            }
        });
        Self { queue, metrics }
    }

    /// Whether they were kept.
    pub async fn keep(&self, predictions: Vec<Predicted>) -> bool {
        if predictions.is_empty() {
            return true;
        }
        let count = predictions.len();
        let (done, told) = oneshot::channel();
        let keep = async {
            self.queue.send(Kept { predictions, done }).await.ok()?;
            told.await.ok()
        };
        let kept = tokio::time::timeout(PATIENCE, keep)
            .await
            .ok()
            .flatten()
            .unwrap_or(false);
        if !kept {
            self.metrics.not_stored(count);
        }
        kept
    }
}
