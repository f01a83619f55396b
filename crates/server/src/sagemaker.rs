//! SageMaker's contract: `/ping`, `/invocations` and `/execution-parameters`.

use crate::live::{Answered, Live};
use crate::log::Mails;
use crate::{Problem, Settings, body, media, read, write};
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use poststelle_predict::QueueError;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;
use tokio::task::spawn_blocking;

/// What every handler works with.
#[derive(Clone)]
pub(crate) struct App {
    pub live: Arc<Live>,
    pub settings: Settings,
}

/// Names the version that answered, as SageMaker's runtime does.
const VARIANT: HeaderName = HeaderName::from_static("x-amzn-invoked-production-variant");

/// Answers `GET /ping` with nothing: 200, or 503 while no model is deployed here.
pub(crate) async fn ping(State(app): State<App>) -> StatusCode {
    if app.live.ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

/// Answers `GET /execution-parameters` for batch transform.
pub(crate) async fn execution_parameters(State(app): State<App>) -> Json<Value> {
    // SageMaker takes at most 100, and multiplies it by the number of concurrent transforms.
    let megabytes = (app.settings.body_bytes >> 20).clamp(1, 100);
    Json(json!({
        "MaxConcurrentTransforms": app.settings.queue.workers.max(1),
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": megabytes,
    }))
}

/// Answers `POST /invocations` with one record per mail, in order.
///
/// # Errors
/// Every [`Problem`] but `not_found` and `method_not_allowed`.
pub(crate) async fn invocations(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let content = media::content(&head.headers)?;
    let format = media::accepted(&head.headers)?;
    let bytes = body::read(&head.headers, body, &app.settings).await?;
    let size = bytes.len();
    let records = parse_or_write(size, move || read::records(&bytes, content)).await??;
    let (ids, mails): (Vec<Value>, Vec<_>) =
        records.into_iter().map(|record| (record.id, record.mail)).unzip();
    let count = Mails(ids.len());

    let deadline = Instant::now() + app.settings.answer_within;
    let answered = app.live.ask(mails, deadline).await.ok_or(Problem::NoModel)?;
    let Answered { served, predictions } = answered.map_err(|error| match error {
        QueueError::Late => Problem::Late {
            seconds: app.settings.answer_within.as_secs(),
        },
        QueueError::Full { .. } | QueueError::Closed => Problem::Busy,
        QueueError::Failed { .. } => {
            tracing::error!(%error, mails = count.0, "the model failed");
            Problem::Internal
        }
    })?;

    let variant = served
        .name
        .as_deref()
        .and_then(|name| HeaderValue::from_str(name).ok());
    let written = parse_or_write(size, move || {
        write::answers(format, served.predictor.schema(), &ids, &predictions).map_err(|_| Problem::Internal)
    });
    let mut response = Response::new(Body::from(written.await??));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(format.media_type()),
    );
    if let Some(variant) = variant {
        response.headers_mut().insert(VARIANT, variant);
    }
    response.extensions_mut().insert(count);
    Ok(response)
}

/// Bytes of a body that are read or written sooner than another thread is awake.
const SMALL: usize = 64 << 10;

/// Reads a body of `size` bytes or writes the answer to it; if that takes long, off the threads that serve connections.
async fn parse_or_write<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    if size <= SMALL {
        return Ok(work());
    }
    spawn_blocking(work).await.map_err(|_| Problem::Internal)
}
