//! `version evaluate`: figures and gates.

use super::fetch::unpacked;
use crate::commands::figures;
use crate::commands::predict::{Opened, Precision, open_bundle};
use crate::context::{Context, change_failure, store_failure};
use crate::failure::Failure;
use crate::output::Output;
use poststelle_corpus::Dataset;
use poststelle_lifecycle::{Evaluation, VersionId};
use poststelle_measure::Seed;
use std::path::PathBuf;

/// Measure a version on labelled mails, and hold it against the gates of its recipe
///
/// Answers every mail with the stored artifact, also with the version in production where there is one, and keeps the figures with
/// the version. Gates that are not met are told; who approves must waive them by name.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The version, as MODEL@NUMBER
    version: VersionId,
    /// Labelled mails the version never learned from
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// For mail exports: a table with `message_id` and a column per task
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Seed of the bootstrap intervals
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

pub fn run(args: Args, context: &Context, out: &mut Output) -> Result<(), Failure> {
    let Args {
        version,
        data,
        labels,
        seed,
    } = args;
    let mails = |opened: &Opened, out: &mut Output| {
        crate::commands::evaluate::dataset(opened, &data, labels.clone(), out)
    };
    let evaluation = evaluate(&version, mails, Seed(seed), context, out)?;
    out.json(&evaluation)
}

/// Measures a version on `mails`, keeps the figures and tells which gates are not met.
pub fn evaluate(
    version: &VersionId,
    mails: impl FnOnce(&Opened, &mut Output) -> Result<Dataset, Failure>,
    seed: Seed,
    context: &Context,
    out: &mut Output,
) -> Result<Evaluation, Failure> {
    let record = context
        .block(context.store.version(version))
        .map_err(store_failure)?;
    let folder = unpacked(&record, context)?;
    let opened = open_bundle(folder.path(), Precision::default())?;
    let dataset = mails(&opened, out)?;
    let production = production(version, context)?;
    let beside = production.as_ref().map(|(id, _, opened)| (id.clone(), opened));
    let evaluation = figures::measure(&opened, &dataset, record.size_bytes, beside, seed, out)?;
    let scene = context.scene();
    let change = context
        .store
        .change_version(&scene, version, |version| version.evaluate(evaluation));
    let (changed, _) = context.block(change).map_err(change_failure)?;
    let evaluation = changed
        .standing
        .evaluation()
        .cloned()
        .expect("an evaluated version has figures");
    for (name, task) in &evaluation.tasks {
        out.note(format!(
            "{version} {name}: macro-F1 {:.3}, accuracy {:.3}, calibration error {:.3}",
            task.macro_f1, task.accuracy, task.calibration_error
        ));
    }
    for verdict in evaluation.failed() {
        out.note(format!("gate not met: {}", figures::told(verdict)));
    }
    Ok(evaluation)
}

/// The version of the same model that serves in this environment, if there is another.
fn production(
    version: &VersionId,
    context: &Context,
) -> Result<Option<(VersionId, tempfile::TempDir, Opened)>, Failure> {
    let deployments = context
        .block(context.store.deployments())
        .map_err(store_failure)?;
    let serving = deployments
        .into_iter()
        .filter(|deployment| deployment.model == version.model)
        .find_map(|deployment| deployment.serving);
    let Some(id) = serving.filter(|serving| serving != version) else {
        return Ok(None);
    };
    let record = context.block(context.store.version(&id)).map_err(store_failure)?;
    let folder = unpacked(&record, context)?;
    let opened = open_bundle(folder.path(), Precision::default())?;
    Ok(Some((id, folder, opened)))
}
