//! The steps, and what each depends on.

use super::runner::{Keep, Outputs, Runner};
use crate::commands::predict::{Opened, Precision, open_bundle};
use crate::commands::train::data::{Datasets, Parts};
use crate::commands::train::{self, fetch as fetch_base};
use crate::commands::version::{Registration, evaluate as evaluate_version, register as register_version};
use crate::context::{Context, change_failure, store_failure};
use crate::failure::{Failure, Kind};
use crate::output::Output;
use poststelle_lifecycle::{Approval, EndpointName, Reason, Standing, StandingName, Strategy, VersionId};
use poststelle_measure::Seed;
use poststelle_nn::bundle::Bundle;
use poststelle_predict::Mail;
use poststelle_server::{App, Door, Entrance, Settings, private, serve};
use poststelle_train::Recipe;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an endpoint that is served elsewhere has for its switch.
const SWITCH_WITHIN: Duration = Duration::from_secs(120);

/// Runs the pipeline.
pub fn run(
    context: &Context,
    set: &[String],
    accept_findings: bool,
    dry: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let settings = context.environment.pipeline.clone().ok_or_else(|| Failure {
        kind: Kind::Misused,
        message: format!("environment `{}` has no pipeline", context.name),
        hint: Some(format!(
            "`[env.{}.pipeline]` in poststelle.toml names its recipe",
            context.name
        )),
    })?;
    let path = context.config.path(&settings.recipe);
    let text = std::fs::read_to_string(&path).map_err(|error| Failure {
        kind: Kind::Misused,
        message: format!("`{}`: {error}", path.display()),
        hint: None,
    })?;
    let overrides: Vec<String> = settings.set.iter().chain(set).cloned().collect();
    let recipe = Recipe::from_toml(&text, &overrides).map_err(Failure::misused)?;
    if recipe.distil.is_some() {
        return Err(Failure {
            kind: Kind::Misused,
            message: "a pipeline trains no student yet".into(),
            hint: Some("train it with `train --teacher`, then `version register`".into()),
        });
    }
    let root = path.parent().unwrap_or(Path::new("")).to_path_buf();
    let usual = PathBuf::from(format!("poststelle/pipeline-{}", context.name));
    let work = context.config.path(settings.work.as_deref().unwrap_or(&usual));
    let mut runner = Runner::next(context, dry)?;
    if !dry {
        std::fs::create_dir_all(work.join("log"))?;
        out.log_to(&work.join("log").join(format!("{}.log", runner.run)))?;
        out.note(format!(
            "run {} of pipeline `{}` in `{}`",
            runner.run, context.environment.model, context.name
        ));
    }
    let base = Path::new(&settings.recipe)
        .parent()
        .map(|folder| context.config.path(folder));
    let files = fetch(
        &mut runner,
        settings.fetch.as_deref(),
        &recipe,
        &root,
        base.as_deref(),
        out,
    )?;
    let resolved = serde_json::to_value(&recipe).map_err(Failure::broken)?;
    let mut data = Data {
        recipe: &recipe,
        root: &root,
        parts: None,
        datasets: None,
    };
    let of_data = json!([
        files,
        resolved["data"],
        resolved["tasks"],
        resolved["schema"],
        resolved["clean"],
        recipe.train.seed
    ]);
    let split = runner.step("split", Keep::SameInputs, &of_data, out, |_| {
        let [train, validation, test] = data.parts()?.counts();
        Ok([("train", train), ("validation", validation), ("test", test)]
            .map(|(name, count)| (name.to_owned(), count.to_string()))
            .into())
    })?;
    runner.step(
        "check",
        Keep::SameInputs,
        &json!([of_data, accept_findings]),
        out,
        |out| {
            data.parts()?.check(accept_findings, out)?;
            Ok(Outputs::new())
        },
    )?;
    let cleaned = runner.step("clean", Keep::SameInputs, &json!([of_data, split]), out, |out| {
        let Datasets {
            learning,
            validation,
            test,
        } = data.datasets(out)?;
        let mut outputs = Outputs::from([
            ("train".to_owned(), learning.digest().to_owned()),
            ("validation".to_owned(), validation.digest().to_owned()),
        ]);
        if let Some(test) = test {
            outputs.insert("test".to_owned(), test.digest().to_owned());
        }
        Ok(outputs)
    })?;
    let inputs = json!([cleaned, resolved]);
    let folder = work
        .join("runs")
        .join(&poststelle_lifecycle::Digest::of(inputs.to_string().as_bytes()).hex()[..16]);
    let bundle = folder.join("bundle");
    let keep = if bundle.exists() {
        Keep::SameInputs
    } else {
        Keep::Never
    };
    let trained = runner.step("train", keep, &inputs, out, |out| {
        train(&recipe, &mut data, &folder, &bundle, out)
    })?;
    let name = format!("{} run {}", context.environment.model, runner.run);
    let registered = runner.step(
        "register",
        Keep::SameInputs,
        &json!([trained, context.environment.model]),
        out,
        |_| {
            let how = Registration {
                model: None,
                run: name,
                reason: reason("trained by the pipeline"),
            };
            let (version, _) = register_version(&bundle, how, context)?;
            Ok([
                ("version".to_owned(), version.id.to_string()),
                ("artifact".to_owned(), version.artifact.to_string()),
            ]
            .into())
        },
    )?;
    if dry {
        for step in ["evaluate", "request"] {
            out.note(format!("[{step}] would run unless it is done"));
        }
        return Ok(());
    }
    let id: VersionId = registered["version"].parse().map_err(Failure::broken)?;
    evaluate(&mut runner, &id, &mut data, recipe.train.seed, out)?;
    request(&mut runner, &id, out)?;
    let Some(endpoint) = settings.endpoint else {
        out.note(format!(
            "{id} waits: `poststelle version approve {id} --env {} --reason …` lets it serve",
            context.name
        ));
        return Ok(());
    };
    approve(&mut runner, &id, out)?;
    deploy(&mut runner, &id, &endpoint, out)?;
    smoke(&mut runner, &id, &bundle, out)
}

/// The data of a run, read when a step needs it.
struct Data<'a> {
    recipe: &'a Recipe,
    root: &'a Path,
    parts: Option<Parts>,
    datasets: Option<Datasets>,
}

impl Data<'_> {
    fn parts(&mut self) -> Result<&Parts, Failure> {
        if self.parts.is_none() {
            self.parts = Some(Parts::read(self.recipe, self.root)?);
        }
        Ok(self.parts.as_ref().expect("just read"))
    }

    fn datasets(&mut self, out: &mut Output) -> Result<&Datasets, Failure> {
        if self.datasets.is_none() {
            self.parts()?;
            let parts = self.parts.take().expect("just read");
            out.note("cleaning");
            self.datasets = Some(parts.clean()?);
        }
        Ok(self.datasets.as_ref().expect("just cleaned"))
    }
}

fn reason(text: &str) -> Reason {
    text.parse().expect("a reason of our own")
}

/// Fetches the data where a command is given, and names every file by its digest.
fn fetch(
    runner: &mut Runner<'_>,
    command: Option<&str>,
    recipe: &Recipe,
    root: &Path,
    folder: Option<&Path>,
    out: &mut Output,
) -> Result<Outputs, Failure> {
    let dry = runner.dry;
    let data = &recipe.data;
    let files = data.train.iter().chain(&data.validation).chain(&data.test);
    let files: Vec<PathBuf> = files.chain(&data.labels).chain(&recipe.schema).cloned().collect();
    let digests = || {
        let digest = |file: &PathBuf| {
            let found = digest_of(&root.join(file))?;
            Ok((file.display().to_string(), found))
        };
        files.iter().map(digest).collect::<Result<Outputs, Failure>>()
    };
    if dry {
        out.note("[fetch] would run");
        return digests();
    }
    runner.step("fetch", Keep::Never, &json!([command, files]), out, |_| {
        if let Some(command) = command {
            let mut shell = Command::new("sh");
            shell.args(["-c", command]);
            if let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty()) {
                shell.current_dir(folder);
            }
            let status = shell.status()?;
            if !status.success() {
                return Err(Failure {
                    kind: Kind::Broken,
                    message: format!("`fetch` of the pipeline ended with {status}"),
                    hint: None,
                });
            }
        }
        digests()
    })
}

/// Digest of a file, or of all files of a directory of mails.
fn digest_of(path: &Path) -> Result<String, Failure> {
    let named = |error: std::io::Error| Failure {
        kind: Kind::Misused,
        message: format!("`{}`: {error}", path.display()),
        hint: None,
    };
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(named)?;
        let mut names: Vec<PathBuf> = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(named)?;
        names.sort();
        let digests: Vec<String> = names
            .iter()
            .map(|name| digest_of(name))
            .collect::<Result<_, _>>()?;
        return Ok(poststelle_lifecycle::Digest::of(digests.concat().as_bytes()).to_string());
    }
    let bytes = std::fs::read(path).map_err(named)?;
    Ok(poststelle_lifecycle::Digest::of(&bytes).to_string())
}

/// Trains, or takes the bundle a run left that was killed after it; goes on from checkpoints.
fn train(
    recipe: &Recipe,
    data: &mut Data<'_>,
    folder: &Path,
    bundle: &Path,
    out: &mut Output,
) -> Result<Outputs, Failure> {
    std::fs::create_dir_all(folder)?;
    if !bundle.exists() {
        let datasets = data.datasets(out)?;
        let base = match recipe.model.kind {
            poststelle_train::recipe::Kind::Linear => None,
            _ => Some(fetch_base(&recipe.model.base, out)?),
        };
        let checkpoints = folder.join("checkpoints");
        let keep = train::Keep {
            checkpoints: Some(&checkpoints),
            frozen: None,
        };
        train::fit(recipe, datasets, base.as_ref(), None, keep, bundle, out)?;
        let _ = std::fs::remove_dir_all(checkpoints);
    }
    let opened = Bundle::open(bundle, Precision::default().into()).map_err(Failure::broken)?;
    Ok([("bundle".to_owned(), opened.digest().to_owned())].into())
}

/// Measures the version on the mails held back for that, or on those of validation where there are none.
fn evaluate(
    runner: &mut Runner<'_>,
    id: &VersionId,
    data: &mut Data<'_>,
    seed: u64,
    out: &mut Output,
) -> Result<(), Failure> {
    let context = runner.context;
    let standing = standing(context, id)?;
    let evaluated = standing.evaluation().is_some();
    runner
        .step("evaluate", Keep::Never, &json!([id, evaluated]), out, |out| {
            if !evaluated {
                let mails = |_: &Opened, out: &mut Output| {
                    let datasets = data.datasets(out)?;
                    if datasets.test.is_none() {
                        out.note("the recipe holds no mails back to test on; validation is measured instead");
                    }
                    Ok(datasets.test.as_ref().unwrap_or(&datasets.validation).clone())
                };
                evaluate_version(id, mails, Seed(seed), context, out)?;
            }
            let standing = self::standing(context, id)?;
            let evaluation = standing.evaluation().expect("just evaluated");
            let mut outputs: Outputs = evaluation
                .tasks
                .iter()
                .map(|(task, figures)| (task.to_string(), format!("macro-F1 {:.3}", figures.macro_f1)))
                .collect();
            outputs.insert("gates failed".into(), evaluation.failed().count().to_string());
            Ok(outputs)
        })
        .map(drop)
}

fn standing(context: &Context, id: &VersionId) -> Result<Standing, Failure> {
    Ok(context
        .block(context.store.version(id))
        .map_err(store_failure)?
        .standing)
}

fn stands(name: StandingName) -> Outputs {
    [("standing".to_owned(), name.to_string())].into()
}

/// Puts it before the people who approve.
fn request(runner: &mut Runner<'_>, id: &VersionId, out: &mut Output) -> Result<(), Failure> {
    let context = runner.context;
    let before = standing(context, id)?.name();
    runner
        .step("request", Keep::Never, &json!([id, before]), out, |_| {
            if before == StandingName::Evaluated {
                let act = context.act(reason("evaluated by the pipeline"));
                let scene = context.scene();
                let change = context
                    .store
                    .change_version(&scene, id, |version| version.request(act));
                context.block(change).map_err(change_failure)?;
            }
            Ok(stands(standing(context, id)?.name()))
        })
        .map(drop)
}

/// Approves it for a test endpoint, if its gates pass.
fn approve(runner: &mut Runner<'_>, id: &VersionId, out: &mut Output) -> Result<(), Failure> {
    let context = runner.context;
    let before = standing(context, id)?.name();
    runner
        .step("approve", Keep::Never, &json!([id, before]), out, |_| {
            if before == StandingName::Pending {
                let approval = Approval {
                    act: context.act(reason("its gates pass; for the test endpoint")),
                    waived: Default::default(),
                };
                let rules = context.environment.approval;
                let scene = context.scene();
                let change = context
                    .store
                    .change_version(&scene, id, |version| version.approve(approval, rules));
                context.block(change).map_err(change_failure)?;
            }
            Ok(stands(standing(context, id)?.name()))
        })
        .map(drop)
}

/// Moves the test endpoint to it. Where no process serves that endpoint yet, it will find there what to serve.
fn deploy(
    runner: &mut Runner<'_>,
    id: &VersionId,
    endpoint: &EndpointName,
    out: &mut Output,
) -> Result<(), Failure> {
    let context = runner.context;
    let deployment = || {
        context
            .block(context.store.deployment(endpoint))
            .map_err(store_failure)
    };
    let before = deployment()?;
    let watched = before
        .as_ref()
        .is_some_and(|deployment| deployment.serving.is_some());
    runner
        .step("deploy", Keep::Never, &json!([id, endpoint]), out, |out| {
            let act = context.act(reason("deployed by the pipeline"));
            let scene = context.scene();
            let start = context.store.start(&scene, endpoint, id, Strategy::AtOnce, act);
            context.block(start).map_err(change_failure)?;
            let begun = Instant::now();
            loop {
                let now = deployment()?.expect("just started");
                if now.serving.as_ref() == Some(id) {
                    return Ok([("endpoint".to_owned(), endpoint.to_string())].into());
                }
                if now.rollout.is_none() {
                    return Err(Failure::refused(format!(
                        "{endpoint} does not serve {id}: `deploy status` says why"
                    )));
                }
                if !watched || begun.elapsed() > SWITCH_WITHIN {
                    out.note(format!(
                        "{id} will serve when `poststelle serve --endpoint {endpoint}` runs"
                    ));
                    return Ok([("waits for".to_owned(), endpoint.to_string())].into());
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        })
        .map(drop)
}

/// Asks the stored artifact over HTTP, and holds its answer against the bundle's own.
fn smoke(runner: &mut Runner<'_>, id: &VersionId, bundle: &Path, out: &mut Output) -> Result<(), Failure> {
    let context = runner.context;
    runner
        .step("smoke", Keep::Never, &json!([id]), out, |_| {
            let record = context.block(context.store.version(id)).map_err(store_failure)?;
            let folder = crate::commands::version::unpacked(&record, context)?;
            let stored = open_bundle(folder.path(), Precision::default())?.predictor;
            let mails = [("Rechnung", "Bitte senden Sie mir die Rechnung noch einmal."), ("", ""), ("Question", "Please call me.")];
            let request: Vec<Value> =
                mails.iter().map(|(subject, body)| json!({ "subject": subject, "body": body })).collect();
            let ours = open_bundle(bundle, Precision::default())?.predictor;
            let asked: Vec<Mail> = mails.iter().map(|(subject, body)| Mail::new(*subject, *body)).collect();
            let expected = ours.predict(&asked).map_err(Failure::broken)?;
            let app = App::new(Settings::default());
            app.live.serve(None, Arc::new(stored));
            let (_, answers) = ask(app, std::future::pending(), &Value::Array(request))?;
            let tasks = ours.schema().tasks();
            for (n, prediction) in expected.iter().enumerate() {
                for (task, answer) in tasks.iter().zip(&prediction.answers) {
                    let expected = answer.as_ref().map(|answer| task.labels()[answer.class.position()].name.as_str());
                    let found = answers[n][task.name().as_str()].as_str();
                    if found != expected {
                        return Err(Failure::refused(format!(
                            "smoke test: mail {n}, task `{}`: the endpoint answers {found:?}, the bundle {expected:?}",
                            task.name()
                        )));
                    }
                }
            }
            Ok([("answers".to_owned(), expected.len().to_string())].into())
        })
        .map(drop)
}

/// Serves on a free port of this machine, with `beside` running, until something answers; asks once and stops. Gives the version that
/// answered, if it has a name, and the answer.
pub fn ask(
    app: Arc<App>,
    beside: impl Future<Output = ()> + Send + 'static,
    request: &Value,
) -> Result<(Option<String>, Value), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0)))?;
    let address = listener.local_addr()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stop_signal = async move {
        // A dropped sender stops the server just as well.
        let _ = stopped.await;
    };
    runtime.spawn(beside);
    let live = Arc::clone(&app.live);
    let entrance = Entrance {
        name: "private",
        door: Door::Tcp(listener),
        router: private(&app),
    };
    let server = runtime.spawn(serve(vec![entrance], app, stop_signal));
    let begun = Instant::now();
    while !live.ready() && begun.elapsed() < SWITCH_WITHIN {
        std::thread::sleep(Duration::from_millis(20));
    }
    let version = live.serving();
    let answer = ureq::post(format!("http://{address}/invocations"))
        .content_type("application/json")
        .send(request.to_string())
        .and_then(|mut response| response.body_mut().read_to_string())
        .map_err(Failure::broken)?;
    let answer = serde_json::from_str(&answer).map_err(Failure::broken)?;
    let _ = stop.send(());
    runtime.block_on(server).map_err(Failure::broken)?;
    runtime.shutdown_background();
    Ok((version, answer))
}
