//! What clients of text-embeddings-inference call: `/predict`, `/info` and `/health`.
//!
//! A sequence classifier there has one head; here `?task=NAME` chooses whose labels are answered, the first task's by default. Of a pair
//! the first is the subject. Texts are cleaned like any mail.
//!
//! Source: text-embeddings-inference 1.8, its OpenAPI file.

use crate::answer::{Include, answer, parse_or_write};
use crate::app::App;
use crate::budget::held;
use crate::log::Mails;
use crate::read::{self, Record};
use crate::{Problem, body};
use axum::Json;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use poststelle_labels::Schema;
use poststelle_predict::Mail;
use serde_json::{Value, json};
use std::sync::Arc;

/// A problem in this protocol's shape: `{"error": "…", "error_type": "…"}`.
pub(crate) struct Error(Problem);

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, kind) = match &self.0 {
            Problem::Busy { .. } | Problem::Late { .. } => (StatusCode::TOO_MANY_REQUESTS, "Overloaded"),
            Problem::NoModel => (StatusCode::SERVICE_UNAVAILABLE, "Unhealthy"),
            Problem::Internal => (StatusCode::FAILED_DEPENDENCY, "Backend"),
            Problem::NoText { .. } => (StatusCode::BAD_REQUEST, "Empty"),
            Problem::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "Validation"),
            _ => (StatusCode::UNPROCESSABLE_ENTITY, "Validation"),
        };
        let body = json!({"error": self.0.to_string(), "error_type": kind});
        self.0.response(status, "application/json", &body)
    }
}

#[derive(serde::Deserialize)]
pub(crate) struct Choice {
    task: Option<String>,
}

/// Answers `POST /predict` with the labels of each text by falling score.
pub(crate) async fn predict(
    State(app): State<Arc<App>>,
    Query(choice): Query<Choice>,
    request: Request,
) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let deadline = app.deadline(&head.headers);
    let read = body::read(&head.headers, body, &app, app.settings.body_bytes).await?;
    let (size, share) = (read.bytes.len(), read.share);
    let inputs = parse_or_write(size, move || read::inputs(&read.bytes)).await??;
    if inputs.raw_scores {
        return Err(Error(Problem::Parameter {
            name: "raw_scores",
            expected: "`false`: scores are calibrated probabilities",
        }));
    }
    if inputs.texts.is_empty() {
        return Err(Error(Problem::NoText { record: 0 }));
    }
    let current = app.live.current().ok_or(Problem::NoModel)?;
    position(current.predictor.schema(), choice.task.as_deref())?;
    let (batch, truncate, count) = (inputs.batch, inputs.truncate, inputs.texts.len());
    let record = |(subject, text)| Record {
        id: Value::Null,
        mail: Ok(Mail::new(subject, text)),
    };
    let records = inputs.texts.into_iter().map(record).collect();
    let answers = answer(&app, &app.live, records, Include::default(), deadline).await?;
    let tasks = answers.served.predictor.schema().tasks();
    let at = position(answers.served.predictor.schema(), choice.task.as_deref())?;
    let mut lists = Vec::with_capacity(count);
    for row in &answers.rows {
        let prediction = row.as_ref().map_err(Clone::clone)?;
        if prediction.truncated && !truncate {
            return Err(Error(Problem::Parameter {
                name: "inputs",
                expected: "texts no longer than the model reads, or `\"truncate\": true`",
            }));
        }
        let mut scores: Vec<(&str, f32)> = tasks[at]
            .labels()
            .iter()
            .map(|label| label.name.as_str())
            .zip(prediction.probabilities[at].iter().copied())
            .collect();
        scores.sort_by(|a, b| b.1.total_cmp(&a.1));
        let scores = scores
            .into_iter()
            .map(|(label, score)| json!({"label": label, "score": score}));
        lists.push(Value::Array(scores.collect()));
    }
    let answer = if batch {
        Value::Array(lists)
    } else {
        lists.pop().unwrap_or_default()
    };
    let mut response = Response::new(held(answer.to_string().into_bytes(), share));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.extensions_mut().insert(Mails(count));
    Ok(response)
}

/// Which task is answered.
fn position(schema: &Schema, name: Option<&str>) -> Result<usize, Problem> {
    let mut tasks = schema.tasks().iter();
    let found = tasks.position(|task| name.is_none_or(|name| task.name().as_str() == name));
    found.ok_or(Problem::Parameter {
        name: "task",
        expected: "a task of the schema",
    })
}

/// Answers `GET /info`.
pub(crate) async fn info(State(app): State<Arc<App>>) -> Result<Json<Value>, Error> {
    let served = app.live.current().ok_or(Problem::NoModel)?;
    let tasks: Vec<&str> = served
        .predictor
        .schema()
        .tasks()
        .iter()
        .map(|task| task.name().as_str())
        .collect();
    let labels = served.predictor.schema().tasks().first().map(|task| {
        let of = |(id, label): (usize, &poststelle_labels::Label)| {
            (id.to_string(), Value::from(label.name.clone()))
        };
        task.labels()
            .iter()
            .enumerate()
            .map(of)
            .collect::<serde_json::Map<_, _>>()
    });
    Ok(Json(json!({
        "model_id": served.name.as_deref().unwrap_or(&app.settings.model_name),
        "model_type": {"classifier": {"id2label": labels}},
        "tasks": tasks,
        "auto_truncate": false,
        "max_concurrent_requests": app.settings.connections,
        "max_batch_tokens": app.settings.queue.batch_tokens,
        "tokenization_workers": app.settings.queue.workers,
        "version": env!("CARGO_PKG_VERSION"),
    })))
}
