//! The teacher of a run: its bundle, and the mails that only it labels.

use super::data::{self, Datasets};
use crate::commands::predict::check_there;
use crate::failure::Failure;
use crate::output::Output;
use poststelle_corpus::Dataset;
use poststelle_nn::bundle::Bundle;
use poststelle_train::recipe::Distil;
use poststelle_train::{Recipe, Teacher};
use std::collections::HashSet;
use std::path::Path;

/// Opens the teacher a recipe names and reads its unlabelled mails; `root` is the recipe's folder.
pub fn open(
    recipe: &Recipe,
    distil: &Distil,
    root: &Path,
    datasets: &Datasets,
    out: &mut Output,
) -> Result<Teacher, Failure> {
    let path = root.join(&distil.teacher);
    check_there(&path)?;
    let bundle = Bundle::open(&path, Teacher::arithmetic()).map_err(Failure::misused)?;
    let unlabelled = match &distil.unlabelled[..] {
        [] => None,
        files => Some(held_apart(
            data::unlabelled(recipe, root, files, bundle.schema())?,
            datasets,
            out,
        )),
    };
    let name = path.file_name().unwrap_or(path.as_os_str());
    let teacher = Teacher::new(bundle, name.to_string_lossy().into_owned(), unlabelled);
    if !teacher.knows(&datasets.learning) {
        out.note(
            "the teacher learned from other mails than these; if mails of validation or test are among them, the figures flatter",
        );
    }
    Ok(teacher)
}

/// Without mails that stand in validation or test, too: their figures would be those of mails learned from.
fn held_apart(mails: Dataset, datasets: &Datasets, out: &mut Output) -> Dataset {
    let parts = [Some(&datasets.validation), datasets.test.as_ref()];
    let measured: HashSet<&str> = parts
        .into_iter()
        .flatten()
        .flat_map(|part| part.examples().iter().map(|example| example.text()))
        .collect();
    let (schema, all) = (mails.schema().clone(), mails.examples().len());
    let kept: Vec<_> = mails
        .examples()
        .iter()
        .filter(|example| !measured.contains(example.text()))
        .cloned()
        .collect();
    if kept.len() < all {
        out.note(format!(
            "{} of {all} unlabelled mails stand in validation or test, too, and are left out",
            all - kept.len()
        ));
    }
    Dataset::new(schema, kept)
}
