//! `demo`: the main job end to end on mail of our own making.

mod production;

use crate::commands::evaluate;
use crate::commands::pipeline::ask;
use crate::commands::predict::{Precision, open_bundle};
use crate::commands::serve;
use crate::commands::train::{self, data};
use crate::failure::Failure;
use crate::output::Output;
use poststelle_measure::{Seed, report};
use poststelle_nn::bundle::Bundle;
use poststelle_server::{App, Settings};
use poststelle_train::Recipe;
use poststelle_train::recipe::Kind;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Do the main job on a made-up mail set: train, evaluate, serve, classify
///
/// Writes raw German and English mails of a broker platform's clients, cleans and splits them, fine-tunes
/// multilingual-e5-small with a head per task beside the linear model, evaluates on mails held back, registers the bundle
/// as a version, approves and deploys it, starts the endpoint and sends it a mail. Where no base model can be had, it goes on with the linear model and says so.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory for everything it makes [default: poststelle-demo, or the next free name]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Number of mails
    #[arg(long, default_value_t = 3000, value_name = "N")]
    count: usize,
    /// Names the mails and the run
    #[arg(long, default_value_t = 7, value_name = "S")]
    seed: u64,
    /// Train the linear model alone, without a base model
    #[arg(long)]
    linear: bool,
}

/// The recipe of the demo: small enough for a laptop, the upper quarter of the encoder learns.
const RECIPE: &str = r#"# Made by `poststelle demo`; train again with `poststelle train --recipe recipe.toml --out another-bundle`.
schema = "labels.toml"

[data]
train = ["mails.mbox"]
labels = "labels.csv"
split = { validation = 0.15, test = 0.15 }

[model]
kind = "hybrid"                     # the words and the encoder in one model; also "linear", "encoder"
base = "multilingual-e5-small"
sharing = "multi-task"
max_tokens = 128

[train]
epochs = 3
learning_rate = 2e-4
head_learning_rate = 2e-3
freeze_layers = 9

[confidence]
auto = 0.95                         # the precision wanted of what is decided without a person
suggest = 0.75
"#;

/// The mail that is sent to the endpoint: a reply with history, signature and Impressum.
const MAIL: &str = include_str!("demo/mail.eml");

/// Runs `demo`.
pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    let Args {
        dir,
        count,
        seed,
        linear,
    } = args;
    let begun = Instant::now();
    let folder = dir.unwrap_or_else(free_name);
    step(
        out,
        begun,
        &format!("writing {count} raw mails to {}", folder.display()),
    );
    poststelle_sample::export(count, seed, &folder).map_err(Failure::broken)?;
    let recipe_path = folder.join("recipe.toml");
    std::fs::write(&recipe_path, RECIPE)?;
    let set = [format!("train.seed={seed}")];
    let mut recipe = Recipe::from_toml(RECIPE, &set).map_err(Failure::misused)?;

    step(out, begun, "reading, cleaning, checking and splitting them");
    let datasets = data::load(&recipe, &folder, true, out)?;

    step(out, begun, "getting the base model");
    let base = if linear {
        None
    } else {
        base(&recipe.model.base, out)
    };
    if base.is_none() {
        recipe.model.kind = Kind::Linear;
    }
    step(out, begun, "training");
    let bundle = folder.join("bundle");
    train::fit(
        &recipe,
        &datasets,
        base.as_ref(),
        None,
        train::Keep::default(),
        &bundle,
        out,
    )?;

    step(out, begun, "evaluating on mails held back");
    let predictor = open_bundle(&bundle, Precision::default())?.predictor;
    if let Some(test) = &datasets.test {
        let evaluation = evaluate::evaluate(&predictor, test, Seed(seed), out)?;
        for (name, task) in &evaluation.tasks {
            let scores = &task.scores;
            out.note(format!(
                "  {name:<14} macro-F1 {:.3}  accuracy {:.3}  decided alone {:>3.0} %",
                scores.macro_f1,
                scores.accuracy,
                100.0 * task.bands.auto.coverage
            ));
        }
        let page = folder.join("report.html");
        std::fs::write(
            &page,
            report::html("demo bundle", "on mails held back", &evaluation),
        )?;
        out.note(format!(
            "  figures per label and the confusion matrix: {}",
            page.display()
        ));
    }

    step(out, begun, "registering, approving and deploying it");
    let at = production::environment(&folder)?;
    let mails = datasets.test.as_ref().unwrap_or(&datasets.validation);
    let endpoint = production::deploy(&at, &bundle, mails, Seed(seed), out)?;

    step(out, begun, "serving the endpoint and sending a mail over HTTP");
    let app = App::new(Settings::default());
    let following = Arc::clone(&app.live);
    let follow = serve::follow(&at, endpoint, serve::opens(Precision::default()))?;
    let beside = async move {
        match follow.await {
            Ok(follow) => follow.run(following).await,
            Err(failure) => eprintln!("error: {failure}"),
        }
    };
    let request = json!([{ "id": "demo-1", "raw": MAIL }]);
    let (version, answer) = ask(app, beside, &request)?;
    out.note(indent(MAIL));
    out.note(format!("answer of {}:", version.unwrap_or_default()));
    out.text(&format!(
        "{}\n",
        serde_json::to_string_pretty(&answer).map_err(Failure::broken)?
    ))?;
    step(out, begun, "done");
    out.note(next(&folder, &bundle)?);
    Ok(())
}

/// `poststelle-demo`, or with the first number that is free.
fn free_name() -> PathBuf {
    let numbered = |n: usize| {
        PathBuf::from(if n < 2 {
            "poststelle-demo".into()
        } else {
            format!("poststelle-demo-{n}")
        })
    };
    (1..)
        .map(numbered)
        .find(|path| !path.exists())
        .unwrap_or_else(|| numbered(1))
}

fn step(out: &mut Output, begun: Instant, what: &str) {
    out.note(format!("[{:>5.1} s] {what}", begun.elapsed().as_secs_f64()));
}

/// The base model, or none with a clear word.
fn base(name: &str, out: &mut Output) -> Option<poststelle_train::Base> {
    match train::fetch(name, out) {
        Ok(base) => Some(base),
        Err(failure) => {
            out.note(format!("no base model can be had: {failure}"));
            out.note("the demo goes on with the linear model alone, which needs none");
            None
        }
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  | {line}\n")).collect()
}

/// What to try next, with what this bundle is.
fn next(folder: &Path, bundle: &Path) -> Result<String, Failure> {
    let opened = Bundle::open(bundle, Precision::default().into()).map_err(Failure::broken)?;
    let kind = match (&opened.models().words, &opened.models().encoder) {
        (Some(_), Some(_)) => "words and encoder",
        (None, Some(_)) => "encoder",
        _ => "words",
    };
    let (folder, bundle) = (folder.display(), bundle.display());
    Ok(format!(
        "\nWhat you have: a bundle ({kind}) at {bundle}.\nTry next:\n  \
         poststelle serve --config {folder}/poststelle.toml --endpoint classify   # then POST mails to http://127.0.0.1:8080/invocations\n  \
         poststelle version show demo@1 --config {folder}/poststelle.toml         # where it comes from, its figures, its history\n  \
         poststelle clean --from mbox {folder}/mails.mbox | head     # what cleaning keeps of each mail\n  \
         poststelle data inspect {folder}/mails.mbox --labels {folder}/labels.csv --schema {folder}/labels.toml\n  \
         poststelle train --recipe {folder}/recipe.toml --set model.kind=linear --out {folder}/linear\n\
         Then put your own export in the recipe."
    ))
}
