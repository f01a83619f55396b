//! The model flow from the command line, with real processes: pipeline, approval, deployment, two environments, and kills.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

mod damage;
#[path = "../../../store/tests/servers/garage.rs"]
mod garage;
mod kills;
#[path = "../../../store/tests/servers/postgres.rs"]
mod postgres;
mod webhooks;
mod world;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use world::*;

/// What a merge to an environment's branch runs, in each of the CI files.
fn merge(world: &World, env: &str) -> Done {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ci");
    let of_file = |name: &str| {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let commands = text
            .lines()
            .filter_map(|line| line.split_once("poststelle pipeline ").map(|(_, rest)| rest));
        let ours = commands.map(|rest| rest.split('\'').next().unwrap_or_default().trim());
        ours.filter(|rest| rest.contains(&format!("--env {env}")))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let commands = of_file("github-actions.yml");
    assert!(
        commands.len() == 2 && commands[0].starts_with("run"),
        "{commands:?}"
    );
    assert_eq!(of_file("gitlab-ci.yml"), commands);
    assert_eq!(of_file("Jenkinsfile"), commands);
    let mut done = commands.iter().map(|command| {
        let args: Vec<&str> = std::iter::once("pipeline")
            .chain(command.split_whitespace())
            .collect();
        world.ok(&args)
    });
    let ran = done.next().unwrap();
    assert!(done.next().is_some() && world.at("pipeline.svg").exists());
    ran
}

/// The load tool of Debian's `hey`, until it is told to stop.
struct Hey(Child);

impl Hey {
    fn on(url: &str) -> Self {
        let install = "command -v hey || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y hey; }";
        let there = Command::new("sh")
            .args(["-c", install])
            .stdout(Stdio::null())
            .status();
        assert!(there.is_ok_and(|status| status.success()), "apt-get install hey");
        let mail = r#"[{"id": "a", "subject": "Steuerbescheinigung", "body": "Bitte zusenden."}]"#;
        let child = Command::new("hey")
            .args([
                "-z",
                "10m",
                "-c",
                "2",
                "-q",
                "100",
                "-m",
                "POST",
                "-T",
                "application/json",
                "-d",
                mail,
                url,
            ])
            .stdout(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }

    /// Requests that were answered; each with 200.
    fn end(self) -> u64 {
        let id = self.0.id().to_string();
        let told = Command::new("kill").args(["-INT", &id]).status().unwrap();
        assert!(told.success());
        let output = self.0.wait_with_output().unwrap();
        let summary = String::from_utf8(output.stdout).unwrap();
        let statuses: Vec<&str> = summary
            .lines()
            .map(str::trim)
            .filter(|line| line.ends_with("responses"))
            .collect();
        assert!(
            statuses.len() == 1 && statuses[0].starts_with("[200]"),
            "{summary}"
        );
        assert!(!summary.contains("Error distribution"), "{summary}");
        statuses[0].split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

#[test]
fn a_merge_to_each_branch_ends_in_its_endpoint_and_no_switch_drops_a_request() {
    let world = World::new("");
    let test = world.serve("development", "test");
    assert_eq!(test.ask(), Err(503), "nothing is deployed yet");
    merge(&world, "development");
    test.wait_for("mails@1");
    assert_eq!(world.standing("development", "mails@1"), "approved");
    // The same again does nothing twice.
    let again = world.ok(&["pipeline", "run", "--env", "development"]);
    assert!(again.talk.contains("[train] done before"), "{}", again.talk);
    assert_eq!(
        world
            .lines(&["version", "list", "--env", "development", "--json"])
            .len(),
        1
    );

    let classify = world.serve("production", "classify");
    let waits = merge(&world, "production");
    assert!(waits.talk.contains("mails@1 waits"), "{}", waits.talk);
    assert_eq!(classify.ask(), Err(503), "nobody has approved it");
    let own = world.run(&[
        "version",
        "approve",
        "mails@1",
        "--env",
        "production",
        "--reason",
        "mine",
    ]);
    assert_eq!(
        (own.code, own.talk.contains("ci registered mails@1")),
        (1, true),
        "{}",
        own.talk
    );
    world.approve("mails@1");
    classify.wait_for("mails@1");

    let another = world.ok(&[
        "pipeline",
        "run",
        "--env",
        "production",
        "--set",
        "confidence.auto=0.9",
    ]);
    assert!(another.talk.contains("mails@2 waits"), "{}", another.talk);
    let shown = world.lines(&["version", "show", "mails@2", "--env", "production", "--json"]);
    let against = &shown[0]["version"]["standing"]["evaluation"]["against"];
    assert_eq!(against["with"], "mails@1", "{shown:?}");
    let (load, hey) = (Load::on(&classify.url), Hey::on(&classify.url));
    world.approve("mails@2");
    classify.wait_for("mails@2");
    for n in 0..50 {
        let version = if n % 2 == 0 { "mails@1" } else { "mails@2" };
        let start = [
            "deploy",
            "start",
            version,
            "--env",
            "production",
            "--endpoint",
            "classify",
            "--wait",
            "60",
        ];
        world.ok(&start);
    }
    world.ok(&[
        "deploy",
        "rollback",
        "--env",
        "production",
        "--endpoint",
        "classify",
    ]);
    classify.wait_for("mails@1");
    let (asked, by_hey) = (load.end(), hey.end());
    assert!(asked > 50 && by_hey > 50, "{asked} and {by_hey} requests");

    // What is withdrawn never serves again, not even after a restart.
    world.ok(&[
        "deploy",
        "start",
        "mails@2",
        "--env",
        "production",
        "--endpoint",
        "classify",
        "--wait",
        "60",
    ]);
    world.ok(&[
        "version",
        "withdraw",
        "mails@2",
        "--env",
        "production",
        "--reason",
        "wrong labels",
    ]);
    classify.wait_for("mails@1");
    let refused = world.run(&[
        "deploy",
        "start",
        "mails@2",
        "--env",
        "production",
        "--endpoint",
        "classify",
    ]);
    assert_eq!(refused.code, 1, "{}", refused.talk);
    drop(classify);
    world.serve("production", "classify").wait_for("mails@1");
    for env in ["development", "production"] {
        world.ok(&["events", "verify", "--env", env]);
    }
}

#[test]
fn promotion_copies_by_digest_and_refuses_what_was_never_evaluated() {
    let world = World::new("");
    world.ok(&["pipeline", "run", "--env", "development"]);
    let promoted = world.lines(&[
        "version",
        "promote",
        "mails@1",
        "--env",
        "production",
        "--reason",
        "good on test data",
    ]);
    let there = world.lines(&["version", "show", "mails@1", "--env", "development", "--json"]);
    assert_eq!(promoted[0]["artifact"], there[0]["version"]["artifact"]);
    assert_eq!(promoted[0]["promoted_from"], "development/mails@1");
    let history = world.lines(&["version", "show", "mails@1", "--env", "production", "--json"]);
    let kept = history[0]["history"][0]["change"]["promoted"]["history"]
        .as_array()
        .unwrap();
    assert!(kept.len() >= 4, "{kept:?}");

    let bundle = world.at("bundle");
    world.ok(&[
        "version",
        "fetch",
        "mails@1",
        "--env",
        "production",
        "--out",
        bundle.to_str().unwrap(),
    ]);
    world.ok(&[
        "version",
        "register",
        bundle.to_str().unwrap(),
        "--model",
        "other",
    ]);
    let refused = world.run(&[
        "version",
        "promote",
        "other@1",
        "--env",
        "production",
        "--reason",
        "untested",
    ]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.talk.contains("other@1 is registered in `development`"),
        "{}",
        refused.talk
    );
    let refused = world.run(&["version", "approve", "other@1", "--reason", "untested"]);
    assert_eq!(refused.code, 1, "{}", refused.talk);
}

#[test]
fn the_story_is_the_same_on_postgresql_and_s3() {
    let (cluster, s3) = (postgres::Cluster::start(), garage::Garage::start());
    let world = World::new("");
    let address = cluster.make("production");
    let config = std::fs::read_to_string(world.at("poststelle.toml")).unwrap();
    let config = config.replace(
        "[env.production]\nstore = 'sqlite:production.db'\nartifacts = 'artifacts/production'\n",
        &format!(
            "[env.production]\nstore = '{}'\nstore_password = 'file:password'\nartifacts = 's3://models/production'\n\
             s3 = {{ endpoint_url = '{}', region = 'garage', access_key_id = '{}', secret_access_key = 'file:secret' }}\n",
            address.replace(":secret@", "@"),
            s3.url,
            s3.key
        ),
    );
    std::fs::write(world.at("poststelle.toml"), config).unwrap();
    std::fs::write(world.at("password"), "guessed").unwrap();
    std::fs::write(world.at("secret"), &s3.secret).unwrap();
    let refused = world.run(&["version", "list", "--env", "production"]);
    assert_eq!(refused.code, 3, "{}", refused.talk);
    assert!(
        refused.talk.contains("app:***@") && !refused.talk.contains("guessed"),
        "{}",
        refused.talk
    );
    std::fs::write(world.at("password"), "secret\n").unwrap();

    let classify = world.serve("production", "classify");
    for version in ["mails@1", "mails@2"] {
        let bands = format!("confidence.auto=0.9{}", &version[6..]);
        world.ok(&["pipeline", "run", "--env", "production", "--set", &bands]);
        world.approve(version);
        classify.wait_for(version);
    }
    let load = Load::on(&classify.url);
    world.ok(&[
        "deploy",
        "rollback",
        "--env",
        "production",
        "--endpoint",
        "classify",
    ]);
    classify.wait_for("mails@1");
    world.ok(&[
        "version",
        "withdraw",
        "mails@2",
        "--env",
        "production",
        "--reason",
        "wrong labels",
    ]);
    // A store that is away keeps nobody from answering.
    drop(cluster);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(classify.ask().as_deref(), Ok("mails@1"));
    load.end();
}

#[test]
fn wrong_configuration_names_what_is_wrong() {
    let world = World::new("");
    let wrong = |args: &[&str], expected: &str| {
        let done = world.run(args);
        assert!(done.talk.contains(expected), "{args:?}: {}", done.talk);
        assert_eq!(done.code, 2, "{args:?}: {}", done.talk);
    };
    wrong(
        &["version", "list", "--env", "staging"],
        "there is no environment `staging`, expected `development` or `production`",
    );
    wrong(&["version", "show", "mails@7"], "there is no version `mails@7`");
    wrong(&["version", "show", "mails"], "expected a model and a number");
    wrong(&["version", "list", "--config", "nowhere.toml"], "nowhere.toml");
    std::fs::write(
        world.at("poststelle.toml"),
        "[env.development]\nstore = 'redis://x'\nartifacts = 'a'\n",
    )
    .unwrap();
    wrong(
        &["version", "list"],
        "`redis://x` is no store, expected `sqlite:FILE`",
    );
    std::fs::write(
        world.at("poststelle.toml"),
        "[env.development]\nstore = 'sqlite:a.db'\nartefacts = 'a'\n",
    )
    .unwrap();
    wrong(&["version", "list"], "unknown field `artefacts`");
}
