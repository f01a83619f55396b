//! Commands that are killed go on where they were, and do nothing twice.

use super::world::*;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

/// Kills a command with SIGKILL when it says `at`; true if it came so far.
fn kill_at(world: &World, args: &[&str], at: &str) -> bool {
    let mut child = world
        .command(args)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let talk = BufReader::new(child.stderr.take().unwrap());
    let mut reached = false;
    for line in talk.lines() {
        if line.unwrap().contains(at) {
            reached = true;
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    reached
}

#[test]
fn a_pipeline_killed_at_any_step_goes_on_and_does_nothing_twice() {
    let world = World::new("");
    let steps = [
        "fetch", "split", "check", "clean", "train", "register", "evaluate", "request", "approve", "deploy",
        "smoke",
    ];
    for step in steps {
        for word in ["begins", "done after"] {
            let line = format!("[{step}] {word}");
            assert!(
                kill_at(&world, &["pipeline", "run"], &line) || word == "done after",
                "{line}"
            );
            world.ok(&["events", "verify"]);
            for version in world.lines(&["version", "list", "--json"]) {
                let state = world.standing("development", version["version"].as_str().unwrap());
                assert!(
                    ["registered", "evaluated", "pending", "approved"].contains(&&*state),
                    "{state}"
                );
            }
        }
    }
    let done = world.ok(&["pipeline", "run"]);
    assert!(done.talk.contains("[smoke] done"), "{}", done.talk);
    assert_eq!(
        world.lines(&["version", "list", "--json"]).len(),
        1,
        "one bundle is one version"
    );
    let changes: Vec<String> = world
        .lines(&["events", "list"])
        .iter()
        .map(|event| event["change"]["kind"].as_str().unwrap().to_owned())
        .collect();
    let expected = [
        "registered",
        "evaluated",
        "approval_requested",
        "approved",
        "rollout_started",
    ];
    assert_eq!(changes, expected, "nothing was lost or done twice");
    let picture = world.at("run.svg");
    let shown = world.ok(&["pipeline", "show", "--svg", picture.to_str().unwrap()]);
    assert!(
        shown.data.contains("○ train") && shown.data.lines().count() == steps.len(),
        "{}",
        shown.data
    );
    assert!(std::fs::read_to_string(picture).unwrap().contains("<title>"));

    // An endpoint killed while it moves finds, when it starts again, what to serve.
    for _ in 0..5 {
        drop(world.serve("development", "test"));
    }
    let test = world.serve("development", "test");
    test.wait_for("mails@1");
    let ended = world
        .lines(&["events", "list"])
        .iter()
        .filter(|event| event["change"]["kind"] == "rollout_ended")
        .count();
    assert_eq!(ended, 1, "a rollout ends once");
}

/// Starts a command and kills it with SIGKILL after a while.
fn kill_after(world: &World, args: &[&str], wait: Duration) {
    let mut command = world.command(args);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(wait);
    let _ = child.kill();
    child.wait().unwrap();
}

#[test]
fn approvals_and_deployments_killed_at_any_moment_happen_once() {
    let world = World::new("");
    let config = std::fs::read_to_string(world.at("poststelle.toml")).unwrap();
    std::fs::write(
        world.at("poststelle.toml"),
        config.replace("endpoint = 'test'\n", ""),
    )
    .unwrap();
    for n in 1..=8u32 {
        let (version, bands) = (format!("mails@{n}"), format!("confidence.auto=0.9{n}"));
        world.ok(&["pipeline", "run", "--set", &bands]);
        let wait = Duration::from_millis(u64::from(n) * 4);
        let approve = ["version", "approve", &version, "--reason", "looked at it"];
        kill_after(&world, &approve, wait);
        let code = match &*world.standing("development", &version) {
            "pending" => 0,
            "approved" => 1,
            other => panic!("{version} is {other}"),
        };
        assert_eq!(world.run(&approve).code, code);
        // The command that deploys is killed, then the process that serves, while it moves.
        let start = ["deploy", "start", &version, "--endpoint", "test"];
        kill_after(&world, &start, wait);
        let test = world.serve("development", "test");
        world.ok(&start);
        std::thread::sleep(wait * 10);
        drop(test);
        world.serve("development", "test").wait_for(&version);
        world.ok(&["events", "verify"]);
    }
    let events = world.lines(&["events", "list"]);
    for kind in ["registered", "approved", "rollout_started", "rollout_ended"] {
        let count = events
            .iter()
            .filter(|event| event["change"]["kind"] == kind)
            .count();
        assert_eq!(count, 8, "{kind}");
    }
}
