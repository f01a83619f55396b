//! One span and one line per request: what was asked, how it ended, how long it took. No mail text, no free path.
//!
//! A request's id is its client's (`X-Request-Id`) where that is fit to be written down, else a new one; its trace goes on from its
//! client's (W3C Trace Context).

use crate::app::App;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use opentelemetry::propagation::Extractor;
use std::sync::Arc;
use std::time::Instant;
use tracing::{Instrument, Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use uuid::Uuid;

/// How many mails a response answers; handlers attach it for the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mails(pub usize);

/// What a request is called, in its answer and in every log.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub HeaderValue);

impl RequestId {
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of a client's request id, at most.
const ID_LENGTH: usize = 128;

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

fn request_id(headers: &HeaderMap) -> RequestId {
    let fit = |id: &&HeaderValue| {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
        !id.is_empty() && id.len() <= ID_LENGTH && id.as_bytes().iter().all(plain)
    };
    let id = headers.get(&REQUEST_ID).filter(fit).cloned();
    // Digits and hyphens are a header's value.
    let new = || HeaderValue::from_str(&Uuid::now_v7().to_string()).unwrap_or(HeaderValue::from_static("-"));
    RequestId(id.unwrap_or_else(new))
}

pub(crate) async fn log(
    State(app): State<Arc<App>>,
    path: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = path.as_ref().map_or("(unknown path)", MatchedPath::as_str);
    let id = request_id(request.headers());
    let span = tracing::info_span!(
        "request",
        otel.kind = "server",
        otel.name = %format_args!("{method} {route}"),
        http.request.method = %method,
        http.route = route,
        http.response.status_code = field::Empty,
        request.id = id.as_str(),
    );
    let parent = opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.extract(&Headers(request.headers()))
    });
    // It fails only where no tracer listens.
    let _ = span.set_parent(parent);
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    let took = started.elapsed();
    app.metrics.request(route, status, took);
    let entered: Span = span;
    let mails = response.extensions().get::<Mails>().map(|mails| mails.0 as i64);
    // Traces know signed numbers alone; others become texts there.
    let (status, took_ms) = (i64::from(status.as_u16()), took.as_secs_f64() * 1e3);
    entered.record("http.response.status_code", status);
    entered.in_scope(|| {
        if status >= 500 && status != 503 {
            tracing::error!(http.method = %method, http.path = route, http.status = status, request.id = id.as_str(), mails, took_ms, "request failed");
        } else if status >= 500 {
            tracing::warn!(http.method = %method, http.path = route, http.status = status, request.id = id.as_str(), mails, took_ms, "request refused");
        } else if is_check(route) {
            // Health checks come every few seconds.
            tracing::debug!(http.method = %method, http.path = route, http.status = status, took_ms, "health checked");
        } else {
            tracing::info!(http.method = %method, http.path = route, http.status = status, request.id = id.as_str(), mails, took_ms, "request answered");
        }
    });
    response.headers_mut().insert(REQUEST_ID, id.0);
    response
}

fn is_check(route: &str) -> bool {
    route == "/ping" || route == "/metrics" || route.contains("/health")
}
