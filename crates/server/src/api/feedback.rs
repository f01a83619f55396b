//! `/v1/feedback`: what mails really were.

use super::document::{self, Document};
use super::{Refused, RefusedBody, external_id};
use crate::access::Caller;
use crate::gateway::Gateway;
use crate::idempotency::Once;
use crate::problem::{Problem, ProblemDocument};
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use poststelle_lifecycle::{Feedback, FeedbackId, Permission, PredictionId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

/// Characters of a label, at most.
pub(super) const LABEL_LENGTH: usize = 256;
/// Bytes of the document, at most.
const BODY_BYTES: usize = 64 << 10;

/// What a mail really was. The mail is named by its prediction, by the client's own id, or both.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeedbackRequest {
    /// The prediction it is about.
    #[serde(default)]
    #[schema(pattern = "^pred_[0-9a-f]{32}$")]
    prediction_id: Option<String>,
    /// What the client calls the mail.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]+$")]
    external_id: Option<String>,
    /// The final label by task.
    labels: BTreeMap<String, String>,
}

/// Feedback as it was kept
#[derive(Serialize, ToSchema)]
pub(super) struct Received {
    /// Its name.
    id: String,
    /// The prediction it is about, if one is kept.
    #[schema(required)]
    prediction_id: Option<String>,
    /// What the client calls the mail.
    #[schema(required)]
    external_id: Option<String>,
    /// Labels the schema that serves now does not have, as `task/label`. They are kept: the schema may be about to change.
    unknown_labels: Vec<String>,
}

/// Say what a mail really was
///
/// The last word on a mail counts. Labels the schema does not have are kept and told; a task it does not have is refused.
#[utoipa::path(
    post,
    path = "/v1/feedback",
    operation_id = "create_feedback",
    tag = "feedback",
    security(("bearer" = []), ("api_key" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "A request with the same key is done once", nullable = false, max_length = 255, pattern = r"^[\x21-\x7e]+$")),
    request_body = FeedbackRequest,
    responses(
        (status = 201, description = "It is kept", body = Received, headers(("Idempotent-Replayed" = bool, description = "`true`: the answer of an earlier request with this idempotency key"))),
        (status = 404, description = "There is no such prediction for this client", body = ProblemDocument, content_type = "application/problem+json"),
        Refused,
        RefusedBody
    )
)]
pub(super) async fn create(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    caller.may(Permission::Feedback)?;
    let (head, body) = request.into_parts();
    let Document {
        value, fingerprint, ..
    } = document::read(&head.headers, body, &gateway.app, BODY_BYTES).await?;
    let once = Once::begin(&gateway, &caller, &head.headers, "feedback", &fingerprint).await?;
    once.answer(StatusCode::CREATED, keep(&gateway, &caller, value))
        .await
}

async fn keep(gateway: &Gateway, caller: &Caller, request: FeedbackRequest) -> Result<Received, Problem> {
    let FeedbackRequest {
        prediction_id,
        external_id: named,
        labels,
    } = request;
    if let Some(name) = &named {
        external_id(name)?;
    }
    if prediction_id.is_none() && named.is_none() {
        return Err(Problem::Parameter {
            name: "prediction_id",
            expected: "a prediction's id, or an `external_id`",
        });
    }
    let unknown = check(gateway, &labels)?;
    let store = &gateway.store;
    let away = |error| {
        tracing::error!(%error, "feedback is not kept");
        Problem::StoreAway
    };
    let prediction = match prediction_id {
        Some(id) => {
            let id: PredictionId = id.parse().map_err(|_| Problem::UnknownPrediction)?;
            let found = store.prediction(&caller.client, &id).await.map_err(away)?;
            Some(found.ok_or(Problem::UnknownPrediction)?)
        }
        None => {
            let named = named.as_deref().unwrap_or_default();
            store
                .predictions_of(&caller.client, named, 1)
                .await
                .map_err(away)?
                .pop()
        }
    };
    let named = named.or_else(|| prediction.as_ref()?.external_id.clone());
    let id = format!("fb_{}", Uuid::now_v7().simple());
    let feedback = Feedback {
        id: FeedbackId::try_from(id).map_err(|_| Problem::Internal)?,
        client: caller.client.clone(),
        prediction: prediction.map(|prediction| prediction.id),
        external_id: named,
        at: gateway.clock.now(),
        labels,
    };
    store.keep_feedback(&feedback).await.map_err(away)?;
    Ok(Received {
        id: feedback.id.to_string(),
        prediction_id: feedback.prediction.map(|id| id.to_string()),
        external_id: feedback.external_id,
        unknown_labels: unknown,
    })
}

/// The labels that the schema does not have; a task it does not have is a mistake.
fn check(gateway: &Gateway, labels: &BTreeMap<String, String>) -> Result<Vec<String>, Problem> {
    let served = gateway.app.live.current().ok_or(Problem::NoModel)?;
    let tasks = served.predictor.schema().tasks();
    let names = || {
        tasks
            .iter()
            .map(|task| format!("`{}`", task.name()))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if labels.is_empty() {
        return Err(Problem::Parameter {
            name: "labels",
            expected: "the label of at least one task",
        });
    }
    let mut unknown = Vec::new();
    for (name, label) in labels {
        let task = tasks
            .iter()
            .find(|task| task.name().as_str() == name)
            .ok_or_else(|| Problem::UnknownTask {
                found: name.chars().take(100).collect(),
                expected: names(),
            })?;
        if label.is_empty() || label.chars().count() > LABEL_LENGTH {
            return Err(Problem::Parameter {
                name: "labels",
                expected: "labels of 1 to 256 characters",
            });
        }
        if !task.labels().iter().any(|known| known.name == *label) {
            unknown.push(format!("{name}/{label}"));
        }
    }
    Ok(unknown)
}
