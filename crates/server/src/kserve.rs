//! KServe's Open Inference Protocol v2, over HTTP, with Triton's extension for binary data.
//!
//! A mail's fields are inputs of type `BYTES` (`subject`, `body`, `broker`, `raw`, `raw_encoding`, `id`), one element per mail. Outputs are,
//! per task, its label (`BYTES`, empty where there is none), `{task}_confidence` (`FP32`) and `{task}_decision` (`BYTES`), then `scope`
//! and `error` (`BYTES`, the code of what is wrong with a record, empty where nothing is).
//!
//! Source: Open Inference Protocol 2.0 (kserve/open-inference-protocol); Triton Inference Server, "Binary Tensor Data Extension".

use crate::answer::{Answers, Include, answer, parse_or_write};
use crate::app::App;
use crate::budget::held;
use crate::live::Live;
use crate::log::Mails;
use crate::read::{self, Inference};
use crate::{Problem, body};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use poststelle_labels::Schema;
use poststelle_predict::Decision;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Where JSON ends and binary tensors begin.
const JSON_BYTES: HeaderName = HeaderName::from_static("inference-header-content-length");

/// A problem in this protocol's shape: `{"error": "…"}`.
pub(crate) struct Error(Problem);

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code) = self.0.kind();
        let body = json!({ "error": format!("{code}: {}", self.0) });
        self.0.response(status, "application/json", &body)
    }
}

/// The protocol's routes, below `/v2`.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(server))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/repository/index", post(index))
        .route("/models/{model}", get(model))
        .route("/models/{model}/ready", get(model_ready))
        .route("/models/{model}/infer", post(infer))
        .route("/models/{model}/versions/{version}", get(model))
        .route("/models/{model}/versions/{version}/ready", get(model_ready))
        .route("/models/{model}/versions/{version}/infer", post(infer))
        .fallback(async || Error(Problem::NotFound))
        .method_not_allowed_fallback(async || Error(Problem::Method))
}

/// Answers `GET /v2`.
async fn server() -> Json<Value> {
    Json(
        json!({"name": "poststelle", "version": env!("CARGO_PKG_VERSION"), "extensions": ["binary_tensor_data"]}),
    )
}

/// Answers `GET /v2/health/live`.
async fn live() -> Json<Value> {
    Json(json!({"live": true}))
}

/// Answers `GET /v2/health/ready`.
async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let ready = app.ready();
    (status(ready), Json(json!({ "ready": ready })))
}

fn status(ready: bool) -> StatusCode {
    if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

/// A model of a path, and its version there.
#[derive(serde::Deserialize)]
pub(crate) struct Named {
    model: String,
    version: Option<String>,
}

/// What answers under a name: the server's own, that of its version, or a loaded model.
fn find(app: &App, named: &Named) -> Result<Arc<Live>, Problem> {
    let loaded = app.models.as_ref().and_then(|models| models.live(&named.model));
    let live = match loaded {
        Some(live) => live,
        None => {
            let version = app.live.serving();
            let model = version.as_deref().and_then(|version| version.split('@').next());
            if named.model != app.settings.model_name && Some(named.model.as_str()) != model {
                return Err(Problem::UnknownModel);
            }
            Arc::clone(&app.live)
        }
    };
    match &named.version {
        Some(wanted) if *wanted != version(&live) => Err(Problem::UnknownModel),
        _ => Ok(live),
    }
}

/// The number of a version, `1` for a bundle that is none.
fn version(live: &Live) -> String {
    let serving = live.serving();
    let number = serving
        .as_deref()
        .and_then(|version| Some(version.split_once('@')?.1.to_owned()));
    number.unwrap_or_else(|| "1".to_owned())
}

/// Answers `GET /v2/models/{model}/ready`.
async fn model_ready(
    State(app): State<Arc<App>>,
    Path(named): Path<Named>,
) -> Result<(StatusCode, Json<Value>), Error> {
    let ready = find(&app, &named)?.ready();
    Ok((status(ready), Json(json!({"name": named.model, "ready": ready}))))
}

/// Answers `GET /v2/models/{model}` with what it takes and gives.
async fn model(State(app): State<Arc<App>>, Path(named): Path<Named>) -> Result<Json<Value>, Error> {
    let live = find(&app, &named)?;
    let served = live.current().ok_or(Problem::NoModel)?;
    let tensor = |name: &str, datatype: &str| json!({"name": name, "datatype": datatype, "shape": [-1]});
    let inputs: Vec<Value> = read::FIELDS.iter().map(|name| tensor(name, "BYTES")).collect();
    let mut outputs = Vec::new();
    for task in served.predictor.schema().tasks() {
        let name = task.name().as_str();
        outputs.push(tensor(name, "BYTES"));
        outputs.push(tensor(&format!("{name}_confidence"), "FP32"));
        outputs.push(tensor(&format!("{name}_decision"), "BYTES"));
    }
    outputs.extend(["scope", "error"].map(|name| tensor(name, "BYTES")));
    Ok(Json(json!({
        "name": named.model, "versions": [version(&live)], "platform": "poststelle", "inputs": inputs, "outputs": outputs,
    })))
}

/// Answers `POST /v2/repository/index` with the models there are.
async fn index(State(app): State<Arc<App>>) -> Json<Value> {
    let shown = |name: &str, live: &Live| {
        let state = if live.ready() { "READY" } else { "UNAVAILABLE" };
        json!({"name": name, "version": version(live), "state": state, "reason": ""})
    };
    let mut models = Vec::new();
    if app.live.ready() || app.models.is_none() {
        models.push(shown(&app.settings.model_name, &app.live));
    }
    if let Some(loaded) = &app.models {
        models.extend(loaded.all().iter().map(|(name, live)| shown(name, live)));
    }
    Json(Value::Array(models))
}

/// Answers `POST /v2/models/{model}/infer`.
async fn infer(
    State(app): State<Arc<App>>,
    Path(named): Path<Named>,
    request: Request,
) -> Result<Response, Error> {
    let live = find(&app, &named)?;
    let (head, body) = request.into_parts();
    let json_bytes = json_bytes(&head.headers)?;
    let deadline = app.deadline(&head.headers);
    let read = body::read(&head.headers, body, &app, app.settings.body_bytes).await?;
    let (size, share) = (read.bytes.len(), read.share);
    let Inference {
        id,
        records,
        outputs,
        binary,
    } = parse_or_write(size, move || read::inference(&read.bytes, json_bytes)).await??;
    let count = records.len();
    let answers = answer(&app, &live, records, Include::default(), deadline).await?;
    let tensors = tensors(answers.served.predictor.schema(), &answers);
    let wanted: Vec<(Tensor, bool)> = if outputs.is_empty() {
        tensors.into_iter().map(|tensor| (tensor, binary)).collect()
    } else {
        let mut wanted = Vec::new();
        for (name, binary) in outputs {
            let tensor = tensors.iter().find(|tensor| tensor.name == name).cloned();
            wanted.push((
                tensor.ok_or(Problem::Parameter {
                    name: "outputs",
                    expected: "outputs the model's metadata names",
                })?,
                binary,
            ));
        }
        wanted
    };
    let mut about = Map::new();
    about.insert("model_name".into(), named.model.into());
    about.insert("model_version".into(), version(&live).into());
    about.extend(id.map(|id| ("id".to_owned(), Value::from(id))));
    let (bytes, json_bytes) = write(about, wanted, count);
    let mut response = Response::new(held(bytes, share));
    let headers = response.headers_mut();
    let kind = if json_bytes.is_some() {
        "application/octet-stream"
    } else {
        "application/json"
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(length) = json_bytes {
        headers.insert(JSON_BYTES, HeaderValue::from(length));
    }
    response.extensions_mut().insert(Mails(count));
    Ok(response)
}

fn json_bytes(headers: &HeaderMap) -> Result<Option<usize>, Problem> {
    let Some(value) = headers.get(&JSON_BYTES) else {
        return Ok(None);
    };
    let length = value.to_str().ok().and_then(|value| value.trim().parse().ok());
    length.map(Some).ok_or(Problem::Parameter {
        name: "Inference-Header-Content-Length",
        expected: "a number of bytes",
    })
}

#[derive(Clone)]
struct Tensor {
    name: String,
    data: Data,
}

#[derive(Clone)]
enum Data {
    Texts(Vec<String>),
    Numbers(Vec<f32>),
}

fn tensors(schema: &Schema, answers: &Answers) -> Vec<Tensor> {
    let mut tensors = Vec::new();
    let mut add = |name: String, data| tensors.push(Tensor { name, data });
    for (at, task) in schema.tasks().iter().enumerate() {
        let of_task = || {
            answers
                .rows
                .iter()
                .map(move |row| row.as_ref().ok()?.answers[at].as_ref())
        };
        let name = task.name().as_str();
        let labels = of_task().map(|answer| {
            answer
                .map(|answer| task.label(answer.class).name.clone())
                .unwrap_or_default()
        });
        add(name.to_owned(), Data::Texts(labels.collect()));
        let confidences = of_task().map(|answer| answer.map_or(0.0, |answer| answer.confidence));
        add(format!("{name}_confidence"), Data::Numbers(confidences.collect()));
        let decisions = of_task().map(|answer| {
            answer
                .map_or(Decision::Ask, |answer| answer.decision)
                .as_str()
                .to_owned()
        });
        add(format!("{name}_decision"), Data::Texts(decisions.collect()));
    }
    let scopes = answers
        .rows
        .iter()
        .map(|row| row.as_ref().map_or("", |row| row.scope.as_str()).to_owned());
    add("scope".to_owned(), Data::Texts(scopes.collect()));
    let errors = answers.rows.iter().map(|row| {
        row.as_ref()
            .err()
            .map_or("", |problem| problem.kind().1)
            .to_owned()
    });
    add("error".to_owned(), Data::Texts(errors.collect()));
    tensors
}

/// The answer, and how many of its bytes are JSON where others follow.
fn write(
    mut about: Map<String, Value>,
    tensors: Vec<(Tensor, bool)>,
    count: usize,
) -> (Vec<u8>, Option<usize>) {
    let mut binary = Vec::new();
    let mut outputs = Vec::new();
    for (tensor, in_binary) in tensors {
        let Tensor { name, data } = tensor;
        let datatype = match data {
            Data::Texts(_) => "BYTES",
            Data::Numbers(_) => "FP32",
        };
        let mut output = json!({"name": name, "datatype": datatype, "shape": [count]});
        if in_binary {
            let before = binary.len();
            match data {
                Data::Texts(texts) => texts.iter().for_each(|text| {
                    // A label, a word or a code: far below the 4 GB a length can say.
                    binary.extend((text.len() as u32).to_le_bytes());
                    binary.extend(text.as_bytes());
                }),
                Data::Numbers(numbers) => numbers
                    .iter()
                    .for_each(|number| binary.extend(number.to_le_bytes())),
            }
            output["parameters"] = json!({"binary_data_size": binary.len() - before});
        } else {
            output["data"] = match data {
                Data::Texts(texts) => json!(texts),
                Data::Numbers(numbers) => json!(numbers),
            };
        }
        outputs.push(output);
    }
    let has_binary = outputs.iter().any(|output| output.get("parameters").is_some());
    about.insert("outputs".into(), outputs.into());
    let mut bytes = Value::Object(about).to_string().into_bytes();
    let json_bytes = has_binary.then_some(bytes.len());
    bytes.extend(binary);
    (bytes, json_bytes)
}
