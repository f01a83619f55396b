//! A folder with two environments, commands run in it, and endpoints that are asked all the time.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A folder with two environments, their data and their configuration.
pub struct World {
    pub folder: tempfile::TempDir,
}

/// What a command ended in.
pub struct Done {
    pub code: i32,
    pub data: String,
    pub talk: String,
}

impl World {
    pub fn new(more: &str) -> Self {
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

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poststelle"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("POSTSTELLE_USER", "ci");
        command
    }

    pub fn run(&self, args: &[&str]) -> Done {
        let output = self.command(args).output().unwrap();
        Done {
            code: output.status.code().unwrap_or(-1),
            data: String::from_utf8(output.stdout).unwrap(),
            talk: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub fn ok(&self, args: &[&str]) -> Done {
        let done = self.run(args);
        assert_eq!(done.code, 0, "{args:?}: {}", done.talk);
        done
    }

    pub fn lines(&self, args: &[&str]) -> Vec<Value> {
        let done = self.ok(args);
        done.data
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub fn serve(&self, env: &str, endpoint: &str) -> Endpoint {
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
    pub fn approve(&self, version: &str) {
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

    pub fn standing(&self, env: &str, version: &str) -> String {
        let shown = self.lines(&["version", "show", version, "--env", env, "--json"]);
        shown[0]["version"]["standing"]["state"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

/// A process that serves an endpoint; killed when dropped.
pub struct Endpoint {
    pub child: Child,
    pub url: String,
    pub said: Arc<Mutex<String>>,
}

impl Endpoint {
    /// The version that answered, or the status.
    pub fn ask(&self) -> Result<String, u16> {
        ask(&self.url)
    }

    pub fn wait_for(&self, version: &str) {
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

pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into()
}

pub fn ask(url: &str) -> Result<String, u16> {
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
pub struct Load {
    pub stop: Arc<AtomicBool>,
    pub asked: Arc<AtomicU64>,
    pub failed: Arc<Mutex<Vec<u16>>>,
    pub threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    pub fn on(url: &str) -> Self {
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
    pub fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        assert_eq!(*self.failed.lock().unwrap(), Vec::<u16>::new());
        self.asked.load(Ordering::Relaxed)
    }
}
