//! `version list`.

use crate::context::{Context, store_failure};
use crate::failure::Failure;
use crate::output::Output;
use poststelle_lifecycle::{Deployment, ModelName, StandingName, Version};
use serde_json::json;

/// List versions, with where they stand and serve
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model [default: all]
    #[arg(long, value_name = "NAME")]
    model: Option<ModelName>,
    /// Print JSON Lines, with the statuses of SageMaker's registry and the aliases of MLflow's
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, context: &Context, out: &mut Output) -> Result<(), Failure> {
    let Args { model, json } = args;
    let versions = context
        .block(context.store.versions(model.as_ref()))
        .map_err(store_failure)?;
    let deployments = context
        .block(context.store.deployments())
        .map_err(store_failure)?;
    if versions.is_empty() {
        out.note("no version is registered");
    }
    for version in &versions {
        let aliases = aliases(version, &versions, &deployments);
        let serves = serves(version, &deployments);
        let name = version.standing.name();
        if json {
            out.json(&json!({
                "version": version.id,
                "standing": name,
                "sagemaker_status": name.sagemaker(),
                "mlflow_aliases": aliases,
                "serves": serves,
                "artifact": version.artifact,
                "size_bytes": version.size_bytes,
                "registered": version.registered,
                "tasks": version.standing.evaluation().map(|evaluation| &evaluation.tasks),
            }))?;
            continue;
        }
        let figures = version.standing.evaluation().map_or(String::new(), |evaluation| {
            let tasks = evaluation
                .tasks
                .iter()
                .map(|(task, figures)| format!("{task} {:.3}", figures.macro_f1));
            tasks.collect::<Vec<_>>().join(", ")
        });
        let serves = if serves.is_empty() {
            String::new()
        } else {
            format!("  serves {}", serves.join(", "))
        };
        out.text(&format!(
            "{:<16} {:<17} {}  {figures}{serves}\n",
            version.id, name, version.registered.at
        ))?;
    }
    Ok(())
}

/// The endpoints that serve a version.
pub fn serves(version: &Version, deployments: &[Deployment]) -> Vec<String> {
    let serving = deployments
        .iter()
        .filter(|deployment| deployment.serving.as_ref() == Some(&version.id));
    serving
        .map(|deployment| deployment.endpoint.to_string())
        .collect()
}

/// As MLflow's users call a version: `champion` serves, `challenger` is the newest that waits for its approval.
fn aliases(version: &Version, all: &[Version], deployments: &[Deployment]) -> Vec<&'static str> {
    let mut aliases = Vec::new();
    if !serves(version, deployments).is_empty() {
        aliases.push("champion");
    }
    let pending = |other: &&Version| {
        other.id.model == version.id.model && other.standing.name() == StandingName::Pending
    };
    if all
        .iter()
        .rfind(pending)
        .is_some_and(|newest| newest.id == version.id)
    {
        aliases.push("challenger");
    }
    aliases
}
