//! Whether the server lives, and whether it should be sent requests.

use crate::app::App;
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;

/// Answers `GET /health/live` with nothing: the process serves connections. Who gets no answer should start it anew.
pub(crate) async fn live() -> StatusCode {
    StatusCode::OK
}

/// Answers `GET /health/ready` with nothing: 200, or 503 while no model is deployed or the server ends. Who balances load should send
/// requests elsewhere.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> StatusCode {
    if app.ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
