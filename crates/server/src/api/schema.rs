//! `/v1/schema`: what can be predicted.

use super::Refused;
use crate::Problem;
use crate::access::Caller;
use crate::gateway::Gateway;
use axum::extract::State;
use axum::{Extension, Json};
use poststelle_lifecycle::Permission;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// The tasks and their labels
#[derive(Serialize, ToSchema)]
pub(super) struct Schema {
    /// The version that answers; null for a bundle that is no version.
    #[schema(required)]
    model_version: Option<String>,
    /// Version of the schema.
    schema_version: u32,
    /// Digest of the schema.
    digest: String,
    /// In the order they are answered.
    tasks: Vec<Task>,
}

/// One label of these
#[derive(Serialize, ToSchema)]
struct Task {
    /// Its name.
    name: String,
    /// The task it stands below, if any.
    #[schema(required)]
    parent: Option<String>,
    /// Its labels.
    labels: Vec<Label>,
}

/// A label
#[derive(Serialize, ToSchema)]
struct Label {
    /// Its name.
    name: String,
    /// The label of the parent task it stands below, if any.
    #[schema(required)]
    parent: Option<String>,
}

/// Show what can be predicted
#[utoipa::path(
    get,
    path = "/v1/schema",
    operation_id = "show_schema",
    tag = "schema",
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "The schema of what answers now", body = Schema), Refused)
)]
pub(super) async fn show(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Schema>, Problem> {
    caller.may(Permission::Predict)?;
    let served = gateway.app.live.current().ok_or(Problem::NoModel)?;
    let schema = served.predictor.schema();
    let task = |task: &poststelle_labels::Task| Task {
        name: task.name().to_string(),
        parent: task.parent().map(ToString::to_string),
        labels: task
            .labels()
            .iter()
            .map(|label| Label {
                name: label.name.clone(),
                parent: label.parent.clone(),
            })
            .collect(),
    };
    Ok(Json(Schema {
        model_version: served.name.clone(),
        schema_version: schema.version(),
        digest: schema.digest(),
        tasks: schema.tasks().iter().map(task).collect(),
    }))
}
