//! The demo's way to its endpoint: one environment beside its mails.

use crate::commands::version::{Registration, evaluate, register};
use crate::context::{Where, change_failure};
use crate::failure::Failure;
use crate::output::Output;
use poststelle_corpus::Dataset;
use poststelle_lifecycle::{Approval, EndpointName, Reason, Strategy};
use poststelle_measure::Seed;
use std::path::Path;

const CONFIG: &str = r#"# Made by `poststelle demo`; docs/production.md tells what else can stand here.
[env.development]
store = "sqlite:poststelle.db"
artifacts = "artifacts"
model = "demo"

[env.development.endpoint.classify]
on_approval = { strategy = "at_once" }
cache = "cache"
"#;

/// Writes the configuration of one environment into the demo's folder.
pub fn environment(folder: &Path) -> Result<Where, Failure> {
    let path = folder.join("poststelle.toml");
    std::fs::write(&path, CONFIG)?;
    let by = "demo".parse().map_err(Failure::broken)?;
    Ok(Where::development(path, by))
}

fn reason(text: &str) -> Reason {
    text.parse().expect("a reason of our own")
}

/// Registers a bundle, measures it on `mails`, approves it and deploys it.
pub fn deploy(
    at: &Where,
    bundle: &Path,
    mails: &Dataset,
    seed: Seed,
    out: &mut Output,
) -> Result<EndpointName, Failure> {
    let context = at.clone().open()?;
    let how = Registration {
        model: None,
        run: "demo".to_owned(),
        reason: reason("trained by the demo"),
    };
    let (version, _) = register(bundle, how, &context)?;
    let id = version.id;
    evaluate(&id, |_, _| Ok(mails.clone()), seed, &context, out)?;
    let act = context.act(reason("evaluated by the demo"));
    let scene = context.scene();
    let request = context
        .store
        .change_version(&scene, &id, |version| version.request(act));
    context.block(request).map_err(change_failure)?;
    let approval = Approval {
        act: context.act(reason("a demo needs no second look")),
        waived: Default::default(),
    };
    let rules = context.environment.approval;
    let approve = context
        .store
        .change_version(&scene, &id, |version| version.approve(approval, rules));
    context.block(approve).map_err(change_failure)?;
    let endpoint: EndpointName = "classify".parse().map_err(Failure::broken)?;
    let act = context.act(reason("approved"));
    let start = context.store.start(&scene, &endpoint, &id, Strategy::AtOnce, act);
    context.block(start).map_err(change_failure)?;
    out.note(format!(
        "  {id} is approved and deployed to endpoint `{endpoint}`"
    ));
    Ok(endpoint)
}
