//! Damaged, foreign and half-written things: what is right stays, what is wrong is refused.

use super::world::*;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The files of a folder and those below.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push(path)
        }
    }
    found
}

#[test]
fn a_damaged_artifact_ends_its_rollout_and_what_served_serves_on() {
    let world = World::new("");
    let test = world.serve("development", "test");
    world.ok(&["pipeline", "run", "--env", "development"]);
    test.wait_for("mails@1");
    // A second version for which nothing is deployed yet.
    let config = std::fs::read_to_string(world.at("poststelle.toml")).unwrap();
    std::fs::write(
        world.at("poststelle.toml"),
        config.replace("endpoint = 'test'\n", ""),
    )
    .unwrap();
    let before = files(&world.at("artifacts/development"));
    world.ok(&[
        "pipeline",
        "run",
        "--env",
        "development",
        "--set",
        "confidence.auto=0.9",
    ]);
    world.ok(&["version", "approve", "mails@2", "--reason", "looked at it"]);
    let new = files(&world.at("artifacts/development"))
        .into_iter()
        .find(|file| !before.contains(file))
        .unwrap();
    let whole = std::fs::read(&new).unwrap();
    std::fs::write(&new, &whole[..whole.len() / 2]).unwrap();
    let refused = world.run(&["deploy", "start", "mails@2", "--endpoint", "test", "--wait", "60"]);
    assert_eq!(refused.code, 1);
    assert!(refused.talk.contains("is damaged"), "{}", refused.talk);
    assert_eq!(test.ask().as_deref(), Ok("mails@1"));
    std::fs::write(&new, &whole).unwrap();
    world.ok(&["deploy", "start", "mails@2", "--endpoint", "test", "--wait", "60"]);
    test.wait_for("mails@2");

    // Canary and shadow, judged after some requests, end by themselves.
    let load = Load::on(&test.url);
    let canary = [
        "--strategy",
        "canary",
        "--percent",
        "50",
        "--requests",
        "20",
        "--latency",
        "100",
    ];
    let start = |version: &'static str, more: &[&'static str]| {
        let mut args = vec!["deploy", "start", version, "--endpoint", "test", "--wait", "60"];
        args.extend(more);
        world.run(&args)
    };
    let moved = start("mails@1", &canary);
    assert_eq!(moved.code, 0, "{}", moved.talk);
    test.wait_for("mails@1");
    let slow = [
        "--strategy",
        "shadow",
        "--requests",
        "20",
        "--latency",
        "0.000001",
    ];
    let refused = start("mails@2", &slow);
    assert_eq!(refused.code, 1);
    assert!(
        refused.talk.contains("answers take times as long"),
        "{}",
        refused.talk
    );
    assert_eq!(test.ask().as_deref(), Ok("mails@1"));
    load.end();
}

#[test]
fn only_what_a_trusted_key_signed_is_registered_and_served() {
    let world = World::new("");
    let key = world.ok(&["key", "create", "secret.key"]).data;
    assert_eq!(
        world.run(&["key", "create", "secret.key"]).code,
        2,
        "a key is never overwritten"
    );
    let config = std::fs::read_to_string(world.at("poststelle.toml")).unwrap();
    let signed = config.replace(
        "[env.development.pipeline]",
        &format!(
            "trusted = ['{}']\nsign_with = 'file:secret.key'\n[env.development.pipeline]",
            key.trim()
        ),
    );
    let unsigned = signed.replace("sign_with = 'file:secret.key'\n", "");
    std::fs::write(world.at("poststelle.toml"), unsigned).unwrap();
    let refused = world.run(&["pipeline", "run"]);
    assert_eq!(refused.code, 1);
    assert!(refused.talk.contains("is not signed"), "{}", refused.talk);
    std::fs::write(world.at("poststelle.toml"), signed).unwrap();
    let test = world.serve("development", "test");
    world.ok(&["pipeline", "run"]);
    test.wait_for("mails@1");
    let other = world.ok(&["key", "create", "other.key"]).data;
    drop(test);
    let stranger = std::fs::read_to_string(world.at("poststelle.toml"))
        .unwrap()
        .replace(key.trim(), other.trim());
    std::fs::write(world.at("poststelle.toml"), stranger).unwrap();
    let test = world.serve("development", "test");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(test.ask(), Err(503), "signed by nobody who is trusted");
    assert!(
        test.said
            .lock()
            .unwrap()
            .contains("none of this environment's keys")
    );
}

/// The disk that is full is played by a limit on files' sizes: what does not fit fails the same way, in the middle of a write.
#[test]
fn a_full_disk_damages_nothing() {
    let world = World::new("");
    world.ok(&["pipeline", "run"]);
    let bundle = world.at("bundle");
    world.ok(&["version", "fetch", "mails@1", "--out", bundle.to_str().unwrap()]);
    let binary = env!("CARGO_BIN_EXE_poststelle");
    let limited = |kilobytes: u32, command: &str| {
        let script = format!("trap '' XFSZ; ulimit -f {kilobytes}; exec {binary} {command}");
        let output = Command::new("bash")
            .args(["-c", &script])
            .current_dir(world.folder.path())
            .env("POSTSTELLE_USER", "ci")
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    for kilobytes in [0, 16, 64, 256] {
        let (code, talk) = limited(kilobytes, "version register bundle --model other");
        assert_eq!(code, Some(3), "{kilobytes} KiB: {talk}");
        assert!(talk.starts_with("error: "), "{talk}");
        world.ok(&["events", "verify"]);
    }
    assert_eq!(world.lines(&["version", "list", "--json"]).len(), 1);
    world.ok(&[
        "version",
        "register",
        bundle.to_str().unwrap(),
        "--model",
        "other",
    ]);
    let again = world.at("again");
    world.ok(&["version", "fetch", "other@1", "--out", again.to_str().unwrap()]);
}
