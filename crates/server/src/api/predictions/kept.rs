//! What is kept of mails, by the gateway's policy: shown, listed and deleted.

use crate::access::Caller;
use crate::api::{Refused, external_id};
use crate::gateway::Gateway;
use crate::problem::{Problem, ProblemDocument};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use poststelle_lifecycle::{Labelled, Permission, Predicted, PredictionId, Timestamp};
use poststelle_predict::Decision;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// A prediction as it was kept
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct KeptPrediction {
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

/// Which mail
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct OfMail {
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
pub(in crate::api) async fn list(
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
pub(in crate::api) struct Erased {
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
pub(in crate::api) async fn erase_mail(
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
pub(in crate::api) async fn show(
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
pub(in crate::api) async fn erase(
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
