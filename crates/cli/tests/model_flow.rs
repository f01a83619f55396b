//! The model flow from the command line, with real processes: pipeline, approval, deployment, two environments, and kills.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

#[path = "../../store/tests/servers/garage.rs"]
mod garage;
#[path = "../../store/tests/servers/postgres.rs"]
mod postgres;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A folder with two environments, their data and their configuration.
struct World {
    folder: tempfile::TempDir,
}

/// What a command ended in.
struct Done {
    code: i32,
    data: String,
    talk: String,
}

impl World {
    fn new(more: &str) -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for (name, count, seed) in [("development", "300", "3"), ("production", "400", "4")] {
            let out = world.at(name);
            world.ok(&[
                "sample",
                "--count",
                count,
                "--seed",
                seed,
                "--out",
                out.to_str().unwrap(),
            ]);
        }
        let recipe = "schema = 'development/labels.toml'\n[data]\ntrain = ['development/mails.mbox']\n\
             labels = 'development/labels.csv'\nsplit = { validation = 0.2, test = 0.2 }\n\
             [model]\nkind = 'linear'\n[gate]\nsize_mb = 100\n[gate.macro_f1]\nbusiness_unit = 0.3\n";
        std::fs::write(world.at("recipe.toml"), recipe).unwrap();
        let config = format!(
            "[env.development]\nstore = 'sqlite:development.db'\nartifacts = 'artifacts/development'\n\
             [env.development.pipeline]\nrecipe = 'recipe.toml'\nendpoint = 'test'\n\
             [env.development.endpoint.test]\ncache = 'cache/test'\n\
             [env.production]\nstore = 'sqlite:production.db'\nartifacts = 'artifacts/production'\n\
             promote_from = 'development'\napproval = {{ approvers = 2, own = false }}\n\
             [env.production.pipeline]\nrecipe = 'recipe.toml'\n\
             set = ['schema=production/labels.toml', 'data.train=[\"production/mails.mbox\"]', 'data.labels=production/labels.csv']\n\
             [env.production.endpoint.classify]\non_approval = {{ strategy = 'at_once' }}\ncache = 'cache/classify'\n{more}"
        );
        std::fs::write(world.at("poststelle.toml"), config).unwrap();
        world
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poststelle"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("POSTSTELLE_USER", "ci");
        command
    }

    fn run(&self, args: &[&str]) -> Done {
        let output = self.command(args).output().unwrap();
        Done {
            code: output.status.code().unwrap_or(-1),
            data: String::from_utf8(output.stdout).unwrap(),
            talk: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn ok(&self, args: &[&str]) -> Done {
        let done = self.run(args);
        assert_eq!(done.code, 0, "{args:?}: {}", done.talk);
        done
    }

    fn lines(&self, args: &[&str]) -> Vec<Value> {
        let done = self.ok(args);
        done.data
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn serve(&self, env: &str, endpoint: &str) -> Endpoint {
        let mut child = self
            .command(&["serve", "--env", env, "--endpoint", endpoint, "--port", "0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut talk = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("answers on") {
            line.clear();
            assert!(talk.read_line(&mut line).unwrap() > 0, "the endpoint ended");
        }
        let url = line.trim().rsplit(' ').next().unwrap().to_owned();
        let said = Arc::new(Mutex::new(String::new()));
        let log = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut line = String::new();
            while talk.read_line(&mut line).is_ok_and(|read| read > 0) {
                log.lock().unwrap().push_str(&std::mem::take(&mut line));
            }
        });
        Endpoint { child, url, said }
    }

    /// Approves as two people.
    fn approve(&self, version: &str) {
        for who in ["ada", "grace"] {
            self.ok(&[
                "version",
                "approve",
                version,
                "--env",
                "production",
                "--by",
                who,
                "--reason",
                "looked at it",
            ]);
        }
    }

    fn standing(&self, env: &str, version: &str) -> String {
        let shown = self.lines(&["version", "show", version, "--env", env, "--json"]);
        shown[0]["version"]["standing"]["state"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

/// A process that serves an endpoint; killed when dropped.
struct Endpoint {
    child: Child,
    url: String,
    said: Arc<Mutex<String>>,
}

impl Endpoint {
    /// The version that answered, or the status.
    fn ask(&self) -> Result<String, u16> {
        ask(&self.url)
    }

    fn wait_for(&self, version: &str) {
        let begun = Instant::now();
        while self.ask().as_deref() != Ok(version) {
            let log = self.said.lock().unwrap().clone();
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{version} does not serve: {log}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into()
}

fn ask(url: &str) -> Result<String, u16> {
    let mail =
        json!([{ "id": "a", "subject": "Steuerbescheinigung", "body": "Bitte zusenden." }]).to_string();
    let mut answer = agent()
        .post(url)
        .content_type("application/json")
        .send(mail)
        .map_err(|_| 0u16)?;
    if answer.status() != 200 {
        return Err(answer.status().as_u16());
    }
    let records: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
    assert_eq!(records[0]["id"], "a");
    assert!(records[0]["business_unit"].is_string(), "{records}");
    Ok(answer.headers()["x-amzn-invoked-production-variant"]
        .to_str()
        .unwrap()
        .to_owned())
}

/// Asks an endpoint all the time until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    failed: Arc<Mutex<Vec<u16>>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn on(url: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(AtomicU64::new(0));
        let failed = Arc::new(Mutex::new(Vec::new()));
        let threads = (0..2).map(|_| {
            let (stop, asked, failed) = (Arc::clone(&stop), Arc::clone(&asked), Arc::clone(&failed));
            let url = url.to_owned();
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    asked.fetch_add(1, Ordering::Relaxed);
                    if let Err(status) = ask(&url) {
                        failed.lock().unwrap().push(status);
                    }
                }
            })
        });
        let threads = threads.collect();
        Self {
            stop,
            asked,
            failed,
            threads,
        }
    }

    /// Requests that were answered; none may have failed.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        assert_eq!(*self.failed.lock().unwrap(), Vec::<u16>::new());
        self.asked.load(Ordering::Relaxed)
    }
}

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

/// Heads and bodies a receiver took.
type Taken = Arc<Mutex<Vec<(String, Value)>>>;

/// A receiver that refuses what it is sent first.
fn receiver(refusals: usize) -> (String, Taken) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let taken = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&taken);
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                if let Some(found) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = found.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
                head.push_str(&line.to_ascii_lowercase());
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let status = if n < refusals { "503 Busy" } else { "204 Taken" };
            if n >= refusals {
                all.lock()
                    .unwrap()
                    .push((head, serde_json::from_slice(&body).unwrap()));
            }
            write!(
                stream.get_mut(),
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            )
            .unwrap();
        }
    });
    (url, taken)
}

#[test]
fn events_reach_webhooks_signed_in_their_own_format_and_again_after_a_failure() {
    let (plain, plain_taken) = receiver(1);
    let (amazon, amazon_taken) = receiver(0);
    let world = World::new(&format!(
        "[[env.development.webhook]]\nname = 'crm'\nurl = '{plain}'\nsecret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'\n\
         [[env.development.webhook]]\nname = 'amazon'\nurl = '{amazon}'\nformat = 'eventbridge'\nonly = ['approved']\n"
    ));
    world.ok(&["pipeline", "run"]);
    let first = world.ok(&["events", "deliver", "--once"]);
    assert!(
        first
            .talk
            .contains("`crm` did not take event 1: status 503; again in 5 s"),
        "{}",
        first.talk
    );
    let (head, body) = amazon_taken.lock().unwrap().pop().unwrap();
    assert_eq!(body["detail-type"], "SageMaker Model Package State Change");
    assert_eq!(body["detail"]["ModelApprovalStatus"], "Approved");
    assert!(!head.contains("webhook-signature"));
    assert!(
        amazon_taken.lock().unwrap().is_empty(),
        "it asked for approvals alone"
    );
    std::thread::sleep(Duration::from_secs(5));
    world.ok(&["events", "deliver", "--once"]);
    let taken = plain_taken.lock().unwrap().clone();
    let events = world.lines(&["events", "list"]);
    assert_eq!(taken.len(), events.len());
    for ((head, body), event) in taken.iter().zip(&events) {
        assert_eq!((&body["id"], &body["specversion"]), (&event["id"], &json!("1.0")));
        assert!(
            head.contains("application/cloudevents+json") && head.contains("webhook-signature: v1,"),
            "{head}"
        );
    }
    assert_eq!(taken[3].1["type"], "org.poststelle.version.approved");
    world.ok(&["events", "replay", "webhook/crm", "--after", "3"]);
    world.ok(&["events", "deliver", "--once"]);
    assert_eq!(plain_taken.lock().unwrap().len(), events.len() + events.len() - 3);
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
