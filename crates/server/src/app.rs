//! What every handler works with.

use crate::Settings;
use crate::budget::Budget;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::models::Models;
use axum::http::HeaderMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A server: what answers, within which bounds, and what is counted.
pub struct App {
    /// What answers now.
    pub live: Arc<Live>,
    /// Its bounds.
    pub settings: Settings,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) budget: Budget,
    pub(crate) models: Option<Models>,
    draining: AtomicBool,
}

impl App {
    /// A server that nothing answers in yet; see [`Live::serve`].
    pub fn new(settings: Settings) -> Arc<Self> {
        Self::build(settings, None)
    }

    /// A server that loads and unloads models by request, too.
    pub fn with_models(settings: Settings, models: Models) -> Arc<Self> {
        Self::build(settings, Some(models))
    }

    fn build(settings: Settings, models: Option<Models>) -> Arc<Self> {
        let metrics = Metrics::new();
        Arc::new(Self {
            live: Live::new(settings.queue, Arc::clone(&metrics)),
            budget: Budget::new(settings.bodies_bytes),
            metrics,
            models,
            draining: AtomicBool::new(false),
            settings,
        })
    }

    /// From now on it is not ready: it ends.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether it should be sent requests.
    pub(crate) fn ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed) && (self.live.ready() || self.models.is_some())
    }

    /// When a request must be answered: as soon as its client says (`Prefer: wait=SECONDS`, RFC 7240), at the latest when the
    /// server does.
    pub(crate) fn deadline(&self, headers: &HeaderMap) -> Deadline {
        let preferences = headers
            .get_all("prefer")
            .iter()
            .filter_map(|value| value.to_str().ok());
        // What cannot be read of a preference is passed over.
        let wait = preferences
            .flat_map(|value| value.split(','))
            .find_map(|preference| {
                let (name, value) = preference.split_once('=')?;
                let named = name.trim().eq_ignore_ascii_case("wait");
                named.then(|| value.trim().parse::<u64>().ok()).flatten()
            });
        let most = self.settings.answer_within;
        let within = wait.map_or(most, |seconds| most.min(Duration::from_secs(seconds)));
        Deadline {
            at: Instant::now() + within,
            within,
        }
    }
}

/// When a request must be answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    pub at: Instant,
    /// Counted from the begin of the request.
    pub within: Duration,
}
