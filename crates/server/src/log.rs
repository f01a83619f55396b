//! One line per request: what was asked, how it ended, how long it took. No mail text, no free path.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use std::time::Instant;

/// How many mails a response answers; handlers attach it for the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mails(pub usize);

pub(crate) async fn log(path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let mails = response.extensions().get::<Mails>().map(|mails| mails.0);
    let path = path.as_ref().map_or("(unknown path)", MatchedPath::as_str);
    let took_ms = started.elapsed().as_secs_f64() * 1e3;
    if status >= 500 {
        tracing::error!(http.method = %method, http.path = path, http.status = status, mails, took_ms, "request failed");
    } else if path == "/ping" {
        // Health checks come every few seconds.
        tracing::debug!(http.method = %method, http.path = path, http.status = status, took_ms, "health checked");
    } else {
        tracing::info!(http.method = %method, http.path = path, http.status = status, mails, took_ms, "request answered");
    }
    response
}
