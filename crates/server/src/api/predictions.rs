//! `/v1/predictions`: labels of mails.

use super::document::{self, Document, Object, Word};
use super::{Refused, RefusedBody, external_id};
use crate::access::Caller;
use crate::answer::{Answers, Cut, EVIDENCE_MAILS, Include, Told, answer, parse_or_write};
use crate::budget::held;
use crate::evidence::Evidence;
use crate::gateway::{Gateway, Keep};
use crate::idempotency::{Once, replayed};
use crate::log::Mails;
use crate::problem::{Problem, ProblemDocument};
use crate::read::{Record, decode};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::{Extension, Json};
use poststelle_labels::{Schema, Task};
use poststelle_lifecycle::{Labelled, Permission, Predicted, PredictionId, Timestamp};
use poststelle_predict::{Answer, Content, Decision, Mail, Prediction, Predictor, Scope};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::Instrument;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Mails to be labelled
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PredictionsRequest {
    /// The mails, answered in this order.
    #[schema(value_type = Vec<MailInput>)]
    mails: Vec<Object<MailInput>>,
    /// What is told of each mail besides its labels. `evidence` is for few mails: it costs as much as labelling a mail's every sentence.
    #[serde(default)]
    #[schema(value_type = Vec<Part>)]
    include: Vec<Word<Part>>,
}

/// A mail: its subject and body, or all of it as it came over the wire
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MailInput {
    /// What the client calls the mail: it comes back, and feedback can name the mail by it.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]+$")]
    external_id: Option<String>,
    /// The subject line.
    #[serde(default)]
    subject: Option<String>,
    /// The body, plain text or HTML.
    #[serde(default)]
    body: Option<String>,
    /// The broker it concerns.
    #[serde(default)]
    broker: Option<String>,
    /// The whole message (RFC 5322), instead of subject and body.
    #[serde(default)]
    raw: Option<String>,
    /// How `raw` is written.
    #[serde(default)]
    #[schema(value_type = Option<Encoding>)]
    raw_encoding: Option<Word<Encoding>>,
}

/// How a raw mail is written
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Encoding {
    Text,
    Base64,
}

/// Something that is told of a mail
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Part {
    /// The text the model read.
    Text,
    /// What cleaning cut, and by which rule.
    Cuts,
    /// How much each part of the text speaks for each label.
    Evidence,
}

/// Labels of mails
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(super) struct Predictions {
    /// The version that answered; null for a bundle that is no version.
    #[schema(required)]
    model_version: Option<String>,
    /// Version of the schema its labels are of.
    schema_version: u32,
    /// One per mail, in order.
    predictions: Vec<Predicting>,
}

/// A mail's labels, or why it has none
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Prediction)]
struct Predicting {
    /// Its name for feedback; null where it is not kept.
    #[schema(required)]
    id: Option<String>,
    /// What the client calls the mail.
    #[schema(required)]
    external_id: Option<String>,
    /// Whether the mail is one the model was made for. All others are left to a person. Null where there is an error.
    #[schema(required)]
    scope: Option<ScopeName>,
    /// The model read the beginning alone, for the mail is longer than it can read.
    truncated: bool,
    /// By task.
    tasks: BTreeMap<String, TaskAnswer>,
    /// What the model read of the mail, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    text: Option<String>,
    /// What cleaning cut, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "untold")]
    #[schema(nullable = false)]
    cuts: Option<Vec<Cut>>,
    /// What speaks for the labels, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "untold")]
    #[schema(nullable = false)]
    evidence: Option<Vec<Evidence>>,
    /// What is wrong with this mail alone.
    #[schema(required)]
    error: Option<MailError>,
}

/// What is told of a mail is never kept with the answer.
fn untold<'de, T, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| None)
}

/// Whether a mail is one the model was made for
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Scope)]
enum ScopeName {
    InScope,
    Empty,
    OutOfOffice,
    AutoReply,
    Bounce,
    Spam,
    ForeignLanguage,
}

impl From<Scope> for ScopeName {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::In => Self::InScope,
            Scope::Empty => Self::Empty,
            Scope::OutOfOffice => Self::OutOfOffice,
            Scope::AutoReply => Self::AutoReply,
            Scope::Bounce => Self::Bounce,
            Scope::Spam => Self::Spam,
            Scope::ForeignLanguage => Self::ForeignLanguage,
        }
    }
}

/// One task's answer
#[derive(Clone, Serialize, Deserialize, ToSchema)]
struct TaskAnswer {
    /// The label; null where the label chosen for the task above has none below it.
    #[schema(required)]
    label: Option<String>,
    /// Its calibrated probability.
    #[schema(required)]
    confidence: Option<f32>,
    /// `auto`: act on it. `suggest`: show it to a person. `ask`: a person decides.
    decision: Band,
    /// The label, then the other most probable ones below the same label of the task above.
    top: Vec<Ranked>,
}

/// What may be done with an answer
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Decision)]
enum Band {
    Auto,
    Suggest,
    Ask,
}

impl From<Decision> for Band {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Auto => Self::Auto,
            Decision::Suggest => Self::Suggest,
            Decision::Ask => Self::Ask,
        }
    }
}

/// A label and its probability
#[derive(Clone, Serialize, Deserialize, ToSchema)]
struct Ranked {
    /// The label.
    label: String,
    /// Its calibrated probability.
    confidence: f32,
}

/// Why a mail has no labels
#[derive(Clone, Serialize, Deserialize, ToSchema)]
struct MailError {
    /// The problem, for programs.
    code: String,
    /// The problem, for people.
    detail: String,
}

/// A prediction as it was kept
#[derive(Serialize, ToSchema)]
pub(super) struct KeptPrediction {
    /// Its name.
    id: String,
    /// What the client calls the mail.
    #[schema(required)]
    external_id: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The version that answered.
    #[schema(required)]
    model_version: Option<String>,
    /// Version of the schema its labels are of.
    schema_version: u32,
    /// Whether the mail was one the model was made for.
    scope: String,
    /// The model read the beginning alone.
    truncated: bool,
    /// By task.
    tasks: BTreeMap<String, KeptAnswer>,
    /// What is kept of the mail, by the gateway's policy.
    #[schema(required)]
    text: Option<String>,
}

/// One task's answer as it was kept
#[derive(Serialize, ToSchema)]
struct KeptAnswer {
    /// The label; null where the label chosen for the task above has none below it.
    #[schema(required)]
    label: Option<String>,
    /// Its calibrated probability.
    #[schema(required)]
    confidence: Option<f32>,
    /// `auto`, `suggest` or `ask`.
    decision: String,
}

impl From<Predicted> for KeptPrediction {
    fn from(kept: Predicted) -> Self {
        let Predicted {
            id,
            client: _,
            external_id,
            at,
            model_version,
            schema_version,
            scope,
            truncated,
            tasks,
            text,
        } = kept;
        let answer = |labelled: Option<Labelled>| match labelled {
            Some(Labelled {
                label,
                confidence,
                decision,
            }) => KeptAnswer {
                label: Some(label),
                confidence: Some(confidence),
                decision,
            },
            None => KeptAnswer {
                label: None,
                confidence: None,
                decision: Decision::Ask.as_str().to_owned(),
            },
        };
        Self {
            id: id.to_string(),
            external_id,
            at,
            model_version,
            schema_version,
            scope,
            truncated,
            tasks: tasks
                .into_iter()
                .map(|(task, labelled)| (task, answer(labelled)))
                .collect(),
            text,
        }
    }
}

/// Label mails
///
/// Each mail is cleaned and labelled for every task of the schema; what is wrong with one mail is told there and fails no other.
#[utoipa::path(
    post,
    path = "/v1/predictions",
    operation_id = "create_predictions",
    tag = "predictions",
    security(("bearer" = []), ("api_key" = [])),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "A request with the same key is done once", nullable = false, max_length = 255, pattern = r"^[\x21-\x7e]+$"),
        ("Prefer" = Option<String>, Header, description = "`wait=SECONDS`: answer by then or not at all (RFC 7240)", nullable = false)
    ),
    request_body = PredictionsRequest,
    responses(
        (
            status = 200,
            description = "One prediction per mail, in order",
            body = Predictions,
            headers(("Idempotent-Replayed" = bool, description = "`true`: the answer of an earlier request with this idempotency key")),
            links(
                ("show" = (operation_id = "show_prediction", parameters(("id" = "$response.body#/predictions/0/id")))),
                ("erase" = (operation_id = "erase_prediction", parameters(("id" = "$response.body#/predictions/0/id")))),
                ("list" = (operation_id = "list_predictions", parameters(("external_id" = "$response.body#/predictions/0/external_id")))),
                ("erase_mail" = (operation_id = "erase_mail", parameters(("external_id" = "$response.body#/predictions/0/external_id")))),
                ("feedback" = (operation_id = "create_feedback", request_body = json!({"prediction_id": "$response.body#/predictions/0/id"})))
            )
        ),
        Refused,
        RefusedBody
    )
)]
pub(super) async fn create(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    caller.may(Permission::Predict)?;
    let (head, body) = request.into_parts();
    let deadline = gateway.app.deadline(&head.headers);
    let limit = gateway.policy.body_bytes;
    let Document {
        value,
        size,
        share,
        fingerprint,
    } = document::read::<PredictionsRequest>(&head.headers, body, &gateway.app, limit).await?;
    let evidence = value
        .include
        .iter()
        .any(|Word(part)| matches!(part, Part::Evidence));
    let most = if evidence {
        gateway.policy.mails.min(EVIDENCE_MAILS)
    } else {
        gateway.policy.mails
    };
    let found = value.mails.len();
    if found > most {
        return Err(Problem::TooMany { found, most });
    }
    for Object(mail) in &value.mails {
        mail.external_id.as_deref().map_or(Ok(()), external_id)?;
    }
    let once = Once::begin(&gateway, &caller, &head.headers, "predictions", &fingerprint).await?;
    let ask = Ask {
        gateway: &gateway,
        caller: &caller,
        request: value,
        deadline,
    };
    let (predictions, is_first) = match once.first() {
        Some(first) => (ask.again(first).await?, false),
        None => {
            let done = ask.first().await;
            once.end(|| Some(done.as_ref().ok()?.clone().without_words()))
                .await;
            (done?, true)
        }
    };
    let written = parse_or_write(size, move || {
        serde_json::to_vec(&predictions).map_err(|_| Problem::Internal)
    });
    let mut response = Response::new(held(written.await??, share));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.extensions_mut().insert(Mails(found));
    Ok(if is_first { response } else { replayed(response) })
}

/// A request on its way.
struct Ask<'a> {
    gateway: &'a Gateway,
    caller: &'a Caller,
    request: PredictionsRequest,
    deadline: crate::app::Deadline,
}

impl Predictions {
    /// The same without a word of any mail, as it may be kept with an idempotency key.
    fn without_words(mut self) -> Self {
        for prediction in &mut self.predictions {
            prediction.text = None;
            prediction.cuts = None;
            prediction.evidence = None;
        }
        self
    }
}

impl Ask<'_> {
    fn include(&self) -> Include {
        let mut include = Include::default();
        for Word(part) in &self.request.include {
            match part {
                Part::Text => include.text = true,
                Part::Cuts => include.cuts = true,
                Part::Evidence => include.evidence = true,
            }
        }
        include
    }

    /// Labels the mails and keeps the answers.
    async fn first(self) -> Result<Predictions, Problem> {
        let include = self.include();
        let Self {
            gateway,
            caller,
            request,
            deadline,
        } = self;
        let app = &gateway.app;
        let names: Vec<Option<String>> = request
            .mails
            .iter()
            .map(|Object(mail)| mail.external_id.clone())
            .collect();
        let records: Vec<Record> = request
            .mails
            .into_iter()
            .enumerate()
            .map(|(at, Object(mail))| mail.into_record(at))
            .collect();
        let with_text = matches!(gateway.policy.keep, Keep::Redacted | Keep::Text);
        let kept_mails: Vec<Option<Mail>> = match with_text {
            true => records.iter().map(|record| record.mail.clone().ok()).collect(),
            false => Vec::new(),
        };
        let answers = answer(app, &app.live, records, include, deadline).await?;
        app.metrics
            .wrong_records(answers.rows.iter().filter(|row| row.is_err()).count());
        let mut predictions = describe(&answers, names);
        if gateway.policy.keep == Keep::Nothing {
            return Ok(predictions);
        }
        for (prediction, row) in predictions.predictions.iter_mut().zip(&answers.rows) {
            prediction.id = row.is_ok().then(|| format!("pred_{}", Uuid::now_v7().simple()));
        }
        let (keep, predictor) = (gateway.policy.keep, Arc::clone(&answers.served.predictor));
        let size = kept_mails.iter().flatten().map(Mail::bytes).sum();
        let texts = parse_or_write(size, move || {
            let text = |mail: &Option<Mail>| kept_text(&predictor, mail.as_ref()?, keep);
            kept_mails.iter().map(text).collect::<Vec<_>>()
        })
        .await?;
        let at = gateway.clock.now();
        let records = predictions
            .predictions
            .iter()
            .enumerate()
            .filter_map(|(n, prediction)| {
                let id = PredictionId::try_from(prediction.id.clone()?).ok()?;
                Some(Predicted {
                    id,
                    client: caller.client.clone(),
                    external_id: prediction.external_id.clone(),
                    at,
                    model_version: predictions.model_version.clone(),
                    schema_version: predictions.schema_version,
                    scope: answers.rows[n].as_ref().ok()?.scope.as_str().to_owned(),
                    truncated: prediction.truncated,
                    tasks: labelled(answers.served.predictor.schema(), answers.rows[n].as_ref().ok()?),
                    text: texts.get(n).cloned().flatten(),
                })
            });
        let kept = gateway
            .recorder
            .keep(records.collect())
            .instrument(tracing::info_span!("keep"))
            .await;
        if !kept {
            predictions
                .predictions
                .iter_mut()
                .for_each(|prediction| prediction.id = None);
        }
        Ok(predictions)
    }

    /// Gives the first request's answer once more. What was asked to be told of the mails is told anew, since it is not kept.
    async fn again(self, first: &str) -> Result<Predictions, Problem> {
        let mut predictions: Predictions = serde_json::from_str(first).map_err(|_| Problem::Internal)?;
        let include = self.include();
        if include == Include::default() {
            return Ok(predictions);
        }
        let app = &self.gateway.app;
        let records = self
            .request
            .mails
            .into_iter()
            .enumerate()
            .map(|(at, Object(mail))| mail.into_record(at))
            .collect();
        let answers = answer(app, &app.live, records, include, self.deadline).await?;
        for (prediction, told) in predictions.predictions.iter_mut().zip(answers.told) {
            prediction.tell(told);
        }
        Ok(predictions)
    }
}

impl MailInput {
    fn into_record(self, at: usize) -> Record {
        let Self {
            external_id: _,
            subject,
            body,
            broker,
            raw,
            raw_encoding,
        } = self;
        let content = match raw {
            Some(raw) => {
                let encoding = match raw_encoding {
                    Some(Word(Encoding::Base64)) => Some("base64"),
                    Some(Word(Encoding::Text)) | None => None,
                };
                decode(at, raw, encoding).map(Content::Raw)
            }
            None if subject.is_none() && body.is_none() => Err(Problem::NoText { record: at }),
            None => Ok(Content::Parts {
                subject: subject.unwrap_or_default(),
                body: body.unwrap_or_default(),
            }),
        };
        let broker = broker.filter(|broker| !broker.trim().is_empty());
        Record {
            id: Value::Null,
            mail: content.map(|content| Mail { content, broker }),
        }
    }
}

impl Predicting {
    fn tell(&mut self, told: Told) {
        let Told { text, cuts, evidence } = told;
        self.text = text;
        self.cuts = cuts;
        self.evidence = evidence;
    }
}

/// The answers in this resource's shape, not yet kept.
fn describe(answers: &Answers, names: Vec<Option<String>>) -> Predictions {
    let schema = answers.served.predictor.schema();
    let mut told = answers.told.iter().cloned();
    let rows = names.into_iter().zip(&answers.rows).map(|(external_id, row)| {
        let mut prediction = Predicting {
            id: None,
            external_id,
            scope: None,
            truncated: false,
            tasks: BTreeMap::new(),
            text: None,
            cuts: None,
            evidence: None,
            error: None,
        };
        match row {
            Ok(found) => {
                prediction.scope = Some(found.scope.into());
                prediction.truncated = found.truncated;
                prediction.tasks = tasks(schema, found);
            }
            Err(problem) => {
                prediction.error = Some(MailError {
                    code: problem.kind().1.to_owned(),
                    detail: problem.to_string(),
                });
            }
        }
        prediction.tell(told.next().unwrap_or_default());
        prediction
    });
    Predictions {
        model_version: answers.served.name.clone(),
        schema_version: schema.version(),
        predictions: rows.collect(),
    }
}

fn tasks(schema: &Schema, prediction: &Prediction) -> BTreeMap<String, TaskAnswer> {
    let tasks = schema.tasks().iter().zip(&prediction.answers);
    let answer = |(task, answer): (&Task, &Option<Answer>)| {
        let answer = answer.as_ref();
        let ranked = |ranked: poststelle_predict::Ranked<'_>| Ranked {
            label: ranked.label.to_owned(),
            confidence: ranked.confidence,
        };
        let answered = TaskAnswer {
            label: answer.map(|answer| task.label(answer.class).name.clone()),
            confidence: answer.map(|answer| answer.confidence),
            decision: answer.map_or(Decision::Ask, |answer| answer.decision).into(),
            top: answer
                .map(|answer| answer.ranked(task).into_iter().map(ranked).collect())
                .unwrap_or_default(),
        };
        (task.name().to_string(), answered)
    };
    tasks.map(answer).collect()
}

fn labelled(schema: &Schema, prediction: &Prediction) -> BTreeMap<String, Option<Labelled>> {
    let tasks = schema.tasks().iter().zip(&prediction.answers);
    let answer = |(task, answer): (&Task, &Option<Answer>)| {
        let answer = answer.as_ref().map(|answer| Labelled {
            label: task.label(answer.class).name.clone(),
            confidence: answer.confidence,
            decision: answer.decision.as_str().to_owned(),
        });
        (task.name().to_string(), answer)
    };
    tasks.map(answer).collect()
}

/// What is kept of a mail by this policy.
fn kept_text(predictor: &Predictor, mail: &Mail, keep: Keep) -> Option<String> {
    let clean = predictor.clean_text(mail)?;
    match keep {
        Keep::Nothing | Keep::Labels => None,
        Keep::Redacted => Some(clean.redacted().model_text(None)),
        Keep::Text => Some(clean.model_text(None)),
    }
}

/// Which mail
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OfMail {
    /// What the client calls it.
    #[param(min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]+$")]
    external_id: String,
}

/// The mail a query names.
fn of_mail(query: Result<Query<OfMail>, QueryRejection>) -> Result<String, Problem> {
    let Query(OfMail { external_id: name }) = query.map_err(|_| Problem::Parameter {
        name: "external_id",
        expected: "exactly one, and no other parameter",
    })?;
    external_id(&name)?;
    Ok(name)
}

/// Predictions of a mail, at most, that a list shows.
const LISTED: u32 = 100;

fn away(error: poststelle_store::StoreError) -> Problem {
    tracing::error!(%error, "the store does not answer");
    Problem::StoreAway
}

/// List the predictions of a mail, newest first
#[utoipa::path(
    get,
    path = "/v1/predictions",
    operation_id = "list_predictions",
    tag = "predictions",
    security(("bearer" = []), ("api_key" = [])),
    params(OfMail),
    responses((status = 200, description = "What is kept, at most 100", body = Vec<KeptPrediction>), Refused)
)]
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<OfMail>, QueryRejection>,
) -> Result<Json<Vec<KeptPrediction>>, Problem> {
    caller.may(Permission::Read)?;
    let name = of_mail(query)?;
    let found = gateway
        .store
        .predictions_of(&caller.client, &name, LISTED)
        .await
        .map_err(away)?;
    Ok(Json(found.into_iter().map(Into::into).collect()))
}

/// What was deleted
#[derive(Serialize, ToSchema)]
pub(super) struct Erased {
    /// Predictions.
    predictions: u64,
    /// Feedback.
    feedback: u64,
}

/// Delete all that is kept of a mail
#[utoipa::path(
    delete,
    path = "/v1/predictions",
    operation_id = "erase_mail",
    tag = "predictions",
    security(("bearer" = []), ("api_key" = [])),
    params(OfMail),
    responses((status = 200, description = "What was deleted", body = Erased), Refused)
)]
pub(super) async fn erase_mail(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<OfMail>, QueryRejection>,
) -> Result<Json<Erased>, Problem> {
    caller.may(Permission::Erase)?;
    let name = of_mail(query)?;
    let erased = gateway
        .store
        .erase_mail(&caller.client, &name)
        .await
        .map_err(away)?;
    Ok(Json(Erased {
        predictions: erased.predictions,
        feedback: erased.feedback,
    }))
}

/// Show one prediction as it was kept
#[utoipa::path(
    get,
    path = "/v1/predictions/{id}",
    operation_id = "show_prediction",
    tag = "predictions",
    security(("bearer" = []), ("api_key" = [])),
    params(("id" = String, Path, description = "The prediction", pattern = "^pred_[0-9a-f]{32}$")),
    responses(
        (status = 200, description = "The prediction", body = KeptPrediction),
        (status = 404, description = "There is no such prediction for this client", body = ProblemDocument, content_type = "application/problem+json"),
        Refused
    )
)]
pub(super) async fn show(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<KeptPrediction>, Problem> {
    caller.may(Permission::Read)?;
    let id: PredictionId = id.parse().map_err(|_| Problem::UnknownPrediction)?;
    let found = gateway
        .store
        .prediction(&caller.client, &id)
        .await
        .map_err(away)?;
    Ok(Json(found.ok_or(Problem::UnknownPrediction)?.into()))
}

/// Delete one prediction, and the feedback that names it
#[utoipa::path(
    delete,
    path = "/v1/predictions/{id}",
    operation_id = "erase_prediction",
    tag = "predictions",
    security(("bearer" = []), ("api_key" = [])),
    params(("id" = String, Path, description = "The prediction", pattern = "^pred_[0-9a-f]{32}$")),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 404, description = "There is no such prediction for this client", body = ProblemDocument, content_type = "application/problem+json"),
        Refused
    )
)]
pub(super) async fn erase(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.may(Permission::Erase)?;
    let id: PredictionId = id.parse().map_err(|_| Problem::UnknownPrediction)?;
    if gateway
        .store
        .erase_prediction(&caller.client, &id)
        .await
        .map_err(away)?
    {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::UnknownPrediction)
    }
}
