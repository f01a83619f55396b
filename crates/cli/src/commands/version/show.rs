//! `version show`: one version and its history.

use super::list::serves;
use crate::commands::figures;
use crate::context::{Context, store_failure};
use crate::failure::Failure;
use crate::output::Output;
use poststelle_lifecycle::{Subject, VersionId};
use serde_json::json;

/// Show a version: what it was made from, its figures, its gates, its history
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The version, as MODEL@NUMBER
    version: VersionId,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, context: &Context, out: &mut Output) -> Result<(), Failure> {
    let Args { version: id, json } = args;
    let version = context.block(context.store.version(&id)).map_err(store_failure)?;
    let history = context
        .block(context.store.history(&Subject::Version(id.clone())))
        .map_err(store_failure)?;
    if json {
        return out.json(&json!({ "version": version, "history": history }));
    }
    let deployments = context
        .block(context.store.deployments())
        .map_err(store_failure)?;
    let lineage = &version.lineage;
    let mut text = format!("{id} is {}\n", version.standing.name());
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<12} {value}\n"));
    line(
        "artifact",
        &format!("{}, {:.1} MB", version.artifact, version.size_bytes as f64 / 1e6),
    );
    line("run", &lineage.run);
    line(
        "trained",
        &format!("{} by {}", lineage.created, lineage.written_by),
    );
    line(
        "schema",
        &format!("version {}, {}", lineage.schema_version, lineage.schema),
    );
    line(
        "data",
        &format!(
            "{} to learn from, {} to validate on",
            lineage.train, lineage.validation
        ),
    );
    line("base", lineage.base.as_deref().unwrap_or("none"));
    if let Some(from) = &version.promoted_from {
        line("promoted", &format!("from {from}"));
    }
    line(
        "signed",
        version
            .signature
            .as_ref()
            .map_or("no", |signature| &signature.key),
    );
    for endpoint in serves(&version, &deployments) {
        line("serves", &endpoint);
    }
    if let Some(evaluation) = version.standing.evaluation() {
        for (task, found) in &evaluation.tasks {
            let figures = format!(
                "macro-F1 {:.3}, accuracy {:.3}, calibration error {:.3}",
                found.macro_f1, found.accuracy, found.calibration_error
            );
            line(task.as_str(), &figures);
        }
        if let Some(against) = &evaluation.against {
            for (task, interval) in &against.macro_f1 {
                let difference = format!(
                    "macro-F1 {:+.3} to {:+.3} against {}",
                    interval.low, interval.high, against.with
                );
                line(task.as_str(), &difference);
            }
        }
        for verdict in &evaluation.verdicts {
            line(
                if verdict.passed { "gate met" } else { "gate failed" },
                &figures::told(verdict),
            );
        }
    }
    for event in history {
        line(
            &event.at.to_string(),
            &format!("{} by {}", event.change.name(), event.by),
        );
    }
    out.text(&text)
}
