//! What is counted and measured, for Prometheus.
//!
//! Names follow those of text-embeddings-inference (`te_…`), under our prefix and with the units and suffixes `promtool` asks for.

use crate::app::App;
use crate::live::Served;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use poststelle_predict::{Computed, Decision, Observe, Prediction};
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};
use std::sync::Arc;
use std::time::Duration;

/// Bounds of times, in seconds: a lone mail takes some milliseconds, a batch transform minutes.
const SECONDS: [f64; 17] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0,
];
/// Bounds of mails in a batch.
const MAILS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
/// Bounds of tokens in a batch.
const TOKENS: [f64; 8] = [16.0, 64.0, 128.0, 256.0, 384.0, 512.0, 1024.0, 4096.0];

pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    successes: IntCounterVec,
    failures: IntCounterVec,
    duration: HistogramVec,
    reading: Histogram,
    waiting: Histogram,
    inference: Histogram,
    batch_mails: Histogram,
    batch_tokens: Histogram,
    queue_size: IntGauge,
    queue_bytes: IntGauge,
    queue_wait: Gauge,
    answers: IntCounterVec,
    scopes: IntCounterVec,
    wrong_records: IntCounter,
    shed: IntCounter,
    connections: IntGaugeVec,
    store_failures: IntCounter,
    ready: IntGauge,
    model: IntGaugeVec,
}

/// Metrics with names of ours; the registry refuses one only where two share a name.
struct Register(Registry);

impl Register {
    fn add<M: prometheus::core::Collector + Clone + 'static>(&self, metric: prometheus::Result<M>) -> M {
        let metric = metric.expect("a metric of our own");
        self.0
            .register(Box::new(metric.clone()))
            .expect("names of our own");
        metric
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        self.add(Histogram::with_opts(
            HistogramOpts::new(name, help).buckets(bounds.to_vec()),
        ))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }
}

impl Metrics {
    pub fn new() -> Arc<Self> {
        let registry = Registry::new();
        let register = Register(registry.clone());
        registry
            .register(Box::new(ProcessCollector::for_self()))
            .expect("names of our own");
        let duration = HistogramOpts::new(
            "poststelle_request_duration_seconds",
            "Time from a request's head to its answer's head",
        );
        Arc::new(Self {
            requests: register.counters("poststelle_request_total", "Requests", &["route"]),
            successes: register.counters(
                "poststelle_request_success_total",
                "Requests answered with a status below 400",
                &["route"],
            ),
            failures: register.counters(
                "poststelle_request_failure_total",
                "Requests answered with a status from 400, by status",
                &["route", "status"],
            ),
            duration: register.add(HistogramVec::new(duration.buckets(SECONDS.to_vec()), &["route"])),
            reading: register.histogram(
                "poststelle_request_tokenization_duration_seconds",
                "Time to clean and encode the mails of a turn",
                &SECONDS,
            ),
            waiting: register.histogram(
                "poststelle_request_queue_duration_seconds",
                "Time the mail of a batch that came first had waited for it",
                &SECONDS,
            ),
            inference: register.histogram(
                "poststelle_request_inference_duration_seconds",
                "Time to compute a batch",
                &SECONDS,
            ),
            batch_mails: register.histogram("poststelle_batch_next_size", "Mails of a batch", &MAILS),
            batch_tokens: register.histogram("poststelle_batch_next_tokens", "Tokens of a batch", &TOKENS),
            queue_size: register.gauge("poststelle_queue_size", "Requests of which mail is unread"),
            queue_bytes: register.gauge("poststelle_queue_bytes", "Unread mail"),
            queue_wait: register.add(Gauge::new(
                "poststelle_queue_wait_seconds",
                "Time a lone mail would wait now",
            )),
            answers: register.counters(
                "poststelle_answer_total",
                "Answers, by the version that gave them, the task and the band of the decision",
                &["version", "task", "decision"],
            ),
            scopes: register.counters(
                "poststelle_mail_total",
                "Mails labelled, by version and scope",
                &["version", "scope"],
            ),
            wrong_records: register.counter(
                "poststelle_record_error_total",
                "Records that could not be read in requests that were answered",
            ),
            shed: register.counter(
                "poststelle_request_shed_total",
                "Requests refused because too much waited",
            ),
            connections: register.gauges("poststelle_connections", "Open connections", &["door"]),
            store_failures: register.counter(
                "poststelle_store_failure_total",
                "Predictions that were answered but not stored",
            ),
            ready: register.gauge("poststelle_ready", "1 where requests should come here"),
            model: register.gauges(
                "poststelle_model_info",
                "1 for the version that answers",
                &["version", "schema_version"],
            ),
            registry,
        })
    }

    /// A request was answered.
    pub fn request(&self, route: &str, status: StatusCode, took: Duration) {
        self.requests.with_label_values(&[route]).inc();
        self.duration
            .with_label_values(&[route])
            .observe(took.as_secs_f64());
        if status.as_u16() < 400 {
            self.successes.with_label_values(&[route]).inc();
        } else {
            self.failures.with_label_values(&[route, status.as_str()]).inc();
        }
    }

    /// Mails were labelled.
    pub fn answered(&self, served: &Served, predictions: &[Prediction]) {
        let version = served.name.as_deref().unwrap_or_default();
        for prediction in predictions {
            self.scopes
                .with_label_values(&[version, prediction.scope.as_str()])
                .inc();
            for (task, answer) in served.predictor.schema().tasks().iter().zip(&prediction.answers) {
                let decision = answer.as_ref().map_or(Decision::Ask, |answer| answer.decision);
                self.answers
                    .with_label_values(&[version, task.name().as_str(), decision.as_str()])
                    .inc();
            }
        }
    }

    /// Records were not.
    pub fn wrong_records(&self, count: usize) {
        self.wrong_records.inc_by(count as u64);
    }

    /// A request was refused because too much waits.
    pub fn shed(&self) {
        self.shed.inc();
    }

    /// Answers were given and not kept.
    pub fn not_stored(&self, count: usize) {
        self.store_failures.inc_by(count as u64);
    }

    /// Open connections of a door.
    pub fn connections(&self, door: &str) -> IntGauge {
        self.connections.with_label_values(&[door])
    }

    fn write(&self, app: &App) -> Vec<u8> {
        let waiting = app.live.waiting();
        self.queue_size.set(waiting.jobs as i64);
        self.queue_bytes.set(waiting.bytes as i64);
        self.queue_wait.set(waiting.wait.as_secs_f64());
        self.ready.set(i64::from(app.ready()));
        self.model.reset();
        if let Some(served) = app.live.current() {
            let schema = served.predictor.schema().version().to_string();
            let version = served.name.as_deref().unwrap_or_default();
            self.model.with_label_values(&[version, &schema]).set(1);
        }
        let mut text = Vec::new();
        // Metrics of our own always have a text.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        text
    }
}

impl Observe for Metrics {
    fn read(&self, _: usize, took: Duration) {
        self.reading.observe(took.as_secs_f64());
    }

    fn computed(&self, batch: Computed) {
        self.waiting.observe(batch.waited.as_secs_f64());
        self.inference.observe(batch.took.as_secs_f64());
        self.batch_mails.observe(batch.mails as f64);
        self.batch_tokens.observe(batch.tokens as f64);
    }
}

/// Answers `GET /metrics` in Prometheus' text format.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = app.metrics.write(&app);
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
        .into_response()
}
