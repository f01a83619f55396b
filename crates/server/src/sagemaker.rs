//! SageMaker's contract for hosting and batch transform: `/ping`, `/invocations` and `/execution-parameters`.
//!
//! Source: Amazon SageMaker Developer Guide, "Custom Inference Code with Hosting Services" and "… with Batch Transform".

use crate::answer::{Include, answer, parse_or_write};
use crate::app::App;
use crate::budget::held;
use crate::live::Live;
use crate::log::Mails;
use crate::media::{Format, Wanted};
use crate::problem::{MEDIA_TYPE, Problem, ProblemDocument};
use crate::{body, media, read, write};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Names the version that answered, as SageMaker's runtime does.
const VARIANT: HeaderName = HeaderName::from_static("x-amzn-invoked-production-variant");
/// What a caller hands through the runtime to the container, and back.
const ATTRIBUTES: HeaderName = HeaderName::from_static("x-amzn-sagemaker-custom-attributes");
/// Characters of it, at most.
const ATTRIBUTES_LENGTH: usize = 1024;

/// Megabytes of all concurrent transforms' payloads, at most.
const MEGABYTES: usize = 100;

/// A problem with its text also where AWS' clients look for it.
pub(crate) struct Error(Problem);

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Told {
            #[serde(flatten)]
            problem: ProblemDocument,
            message: String,
        }
        let (status, _) = self.0.kind();
        let told = Told {
            problem: self.0.document(),
            message: self.0.to_string(),
        };
        self.0.response(status, MEDIA_TYPE, &told)
    }
}

/// Answers `GET /ping` with nothing: 200, or 503 while no model is deployed here or the server ends.
pub(crate) async fn ping(State(app): State<Arc<App>>) -> StatusCode {
    if app.ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

/// Answers `GET /execution-parameters` for batch transform.
pub(crate) async fn execution_parameters(State(app): State<Arc<App>>) -> Json<Value> {
    let transforms = app.settings.queue.workers.clamp(1, MEGABYTES);
    let megabytes = (app.settings.body_bytes >> 20).clamp(1, MEGABYTES / transforms);
    Json(json!({
        "MaxConcurrentTransforms": transforms,
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": megabytes,
    }))
}

/// Answers `POST /invocations` with one record per mail, in order.
///
/// # Errors
/// Every [`Problem`] of a body, a queue and a model.
pub(crate) async fn invocations(State(app): State<Arc<App>>, request: Request) -> Result<Response, Error> {
    invoke(&app, &app.live, request).await
}

/// Answers an invocation by what is live there.
pub(crate) async fn invoke(app: &App, live: &Live, request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let content = media::content(&head.headers)?;
    // A piece of a file is answered as it came.
    let usual = if app.settings.batch_transform {
        content.format
    } else {
        Format::Json
    };
    let wanted = media::accepted(&head.headers, usual)?;
    let attributes = Attributes::of(&head.headers)?;
    let include = attributes.include;
    if include != Include::default() && wanted.format == Format::Csv {
        let reason = "`include` is for JSON and JSON Lines, a table has no room for it";
        return Err(Error(Problem::Attributes { reason }));
    }
    let deadline = app.deadline(&head.headers);
    let read = body::read(&head.headers, body, app, app.settings.body_bytes).await?;
    let (size, share, batch_transform) = (read.bytes.len(), read.share, app.settings.batch_transform);
    let records =
        parse_or_write(size, move || read::records(&read.bytes, content, batch_transform)).await??;
    let headless = records.headless;
    let count = records.records.len();
    let answers = answer(app, live, records.records, include, deadline).await?;
    // A caller whose every record is wrong should hear of it; a file in batch transform goes on.
    if !batch_transform
        && let Some(Err(problem)) = answers.rows.first()
        && answers.rows.iter().all(Result::is_err)
    {
        return Err(Error(problem.clone()));
    }
    app.metrics
        .wrong_records(answers.rows.iter().filter(|row| row.is_err()).count());
    let variant = answers.served.variant();
    let version = format!("schema_version={}", answers.served.predictor.schema().version());
    let written = parse_or_write(size, move || {
        write::answers(wanted, headless, include, &answers).map_err(|_| Problem::Internal)
    });
    let mut bytes = written.await??;
    if batch_transform && bytes.last() == Some(&b'\n') {
        // Batch transform puts its own line ends between the answers it assembles.
        bytes.pop();
    }
    let mut response = Response::new(held(bytes, share));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type(wanted, headless));
    if let Some(attributes) = attributes.answer(&version, variant.as_ref()) {
        headers.insert(ATTRIBUTES, attributes);
    }
    if let Some(variant) = variant {
        headers.insert(VARIANT, variant);
    }
    response.extensions_mut().insert(Mails(count));
    Ok(response)
}

fn content_type(wanted: Wanted, headless: bool) -> HeaderValue {
    HeaderValue::from_static(match wanted {
        Wanted { columns: true, .. } => "application/json; shape=columns",
        Wanted {
            format: Format::Csv, ..
        } if headless => "text/csv; charset=utf-8; header=absent",
        Wanted { format, .. } => format.media_type(),
    })
}

/// `X-Amzn-SageMaker-Custom-Attributes`: what the caller wrote comes back as it is; `include=top+text+cuts+evidence` asks for more to be
/// told of each mail.
struct Attributes {
    sent: Option<HeaderValue>,
    include: Include,
}

impl Attributes {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(sent) = headers.get(&ATTRIBUTES) else {
            return Ok(Self {
                sent: None,
                include: Include::default(),
            });
        };
        let wrong = |reason| Problem::Attributes { reason };
        let text = sent.to_str().map_err(|_| wrong("expected visible ASCII"))?;
        if text.len() > ATTRIBUTES_LENGTH {
            return Err(wrong("expected at most 1024 characters"));
        }
        let mut include = Include::default();
        let pairs = text.split([',', ';']).filter_map(|pair| pair.split_once('='));
        for (_, value) in pairs.filter(|(name, _)| name.trim() == "include") {
            if !value.trim().split(['+', ' ']).all(|part| include.add(part)) {
                return Err(wrong(
                    "`include` is of `top`, `text`, `cuts` and `evidence`, joined by `+`",
                ));
            }
        }
        Ok(Self {
            sent: Some(sent.clone()),
            include,
        })
    }

    /// What the caller wrote, and who answered, as far as there is room.
    fn answer(&self, version: &str, variant: Option<&HeaderValue>) -> Option<HeaderValue> {
        let mut text = self
            .sent
            .as_ref()
            .and_then(|sent| sent.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let variant = variant.and_then(|variant| variant.to_str().ok());
        let ours = variant.map(|variant| format!("model_version={variant}"));
        for one in ours.iter().map(String::as_str).chain([version]) {
            let comma = usize::from(!text.is_empty());
            if text.len() + comma + one.len() <= ATTRIBUTES_LENGTH {
                text.push_str(if comma == 1 { "," } else { "" });
                text.push_str(one);
            }
        }
        HeaderValue::from_str(&text).ok()
    }
}
