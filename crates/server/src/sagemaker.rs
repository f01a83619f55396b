//! SageMaker's contract: `/ping`, `/invocations` and `/execution-parameters`.

use crate::log::Mails;
use crate::{Problem, Settings, body, media, read, write};
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use poststelle_predict::{Predictor, Queue, QueueError};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

/// What every handler works with.
#[derive(Clone)]
pub(crate) struct App {
    pub predictor: Arc<Predictor>,
    pub queue: Arc<Queue>,
    pub settings: Settings,
}

/// Answers `GET /ping` with 200 and nothing: the model is loaded before the port is opened.
pub(crate) async fn ping() -> StatusCode {
    StatusCode::OK
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
    let late = Problem::Late {
        seconds: app.settings.answer_within.as_secs(),
    };
    let (reply, answer) = oneshot::channel();
    let submitted = app.queue.submit(mails, deadline, move |result| {
        // A client that has gone needs no answer.
        let _ = reply.send(result);
    });
    // Held while waiting: a client that hangs up drops this future, and with it the job.
    let pending = submitted.map_err(|_| Problem::Busy)?;
    let result = tokio::time::timeout_at(deadline.into(), answer)
        .await
        .map_err(|_| late.clone())?;
    drop(pending);
    let predictions = match result {
        Ok(Ok(predictions)) => predictions,
        Ok(Err(QueueError::Late)) => return Err(late),
        Ok(Err(QueueError::Full { .. } | QueueError::Closed)) => return Err(Problem::Busy),
        Ok(Err(failed @ QueueError::Failed { .. })) => {
            tracing::error!(error = %failed, mails = count.0, "the model failed");
            return Err(Problem::Internal);
        }
        // The queue answers every job it took; it went away.
        Err(_) => return Err(Problem::Internal),
    };

    let written = parse_or_write(size, move || {
        write::answers(format, app.predictor.schema(), &ids, &predictions).map_err(|_| Problem::Internal)
    });
    let mut response = Response::new(Body::from(written.await??));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(format.media_type()),
    );
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
