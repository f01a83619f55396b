//! The gateway as strangers meet it: a fuzzer that knows its OpenAPI document, the clients made from that, a dashboard for its metrics.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

mod support;

use regex::Regex;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use support::{CALL_S, INSTALL_S, POSTSTELLE, bundle, cache, done, environment, lock, promtool, within};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A program of a Python package.
fn python(package: &str, program: &str) -> PathBuf {
    environment(package, program, &["--version"]).join(program)
}

/// A server of a small bundle and its gateway; both end with it.
struct Gateway {
    folder: tempfile::TempDir,
    child: Child,
    private: String,
    public: String,
}

impl Gateway {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        bundle(&folder.path().join("bundle"));
        let configuration = "[env.development]\nstore = 'sqlite:records.db'\nartifacts = 'artifacts'\n\
            [env.development.gateway]\nlisten = '127.0.0.1:0'\nkeep = 'redacted'\nrequests_per_minute = 1000000\n";
        fs::write(folder.path().join("poststelle.toml"), configuration).unwrap();
        let mut child = Command::new(POSTSTELLE)
            .args(["serve", "bundle", "--gateway", "--port", "0"])
            .env("POSTSTELLE_LOG", "warn")
            .current_dir(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut talk = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut address = |said: &str| {
            let line = talk.find_map(|line| Some(line.unwrap()).filter(|line| line.contains(said)));
            let line = line.expect("the server says where it answers");
            let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap();
            format!("http://{address}")
        };
        let (private, public) = (address("bundle answers on"), address("gateway answers on"));
        // Reads on when nobody listens any more, or the server would block.
        std::thread::spawn(move || {
            talk.map_while(Result::ok)
                .for_each(|line| eprintln!("server: {line}"))
        });
        Self {
            folder,
            child,
            private,
            public,
        }
    }

    /// A key that may do everything.
    fn key(&self, client: &str) -> String {
        let mut create = within(CALL_S, POSTSTELLE);
        create
            .args([
                "api-key",
                "create",
                client,
                "--allow",
                "predict,read,feedback,erase",
            ])
            .args(["--reason", "a test", "--by", "the test"])
            .current_dir(self.folder.path());
        done(&mut create).trim().to_owned()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SCHEMATHESIS: &str = r#"
hooks = "hooks.py"

[auth.wfc] # two clients, neither of whom may see the other's predictions
path = "clients.json"
user = "crm"
peers = ["crm", "web"]

[generation] # a made-up key beside the good one, and nearly all that is asked is refused for that alone
with-security-parameters = false

[phases.stateful.inference] # the document says what leads where; guesses make parameters of nulls
algorithms = []

[checks.negative_data_rejection] # what it expects, and 413: too many mails are refused so
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, "5xx"]
"#;

/// It knows few idempotency keys and would be told that they were used with another request.
const HOOKS: &str = r#"
import re, uuid, schemathesis

@schemathesis.hook
def before_call(context, case, kwargs):
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch(r"[\x21-\x7e]{1,255}", key):
        case.headers["Idempotency-Key"] = key[:200] + str(uuid.uuid4())
"#;

#[test]
fn schemathesis_finds_nothing_wrong_with_the_gateway() {
    let gateway = Gateway::start();
    let program = python("schemathesis==4.32.5", "st");
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let client = |name: &str| {
        let header = json!({"name": "Authorization", "value": format!("Bearer {}", gateway.key(name))});
        json!({"name": name, "fixedHeaders": [header]})
    };
    write(
        "clients.json",
        &json!({"auth": [client("crm"), client("web")]}).to_string(),
    );
    write("schemathesis.toml", SCHEMATHESIS);
    write("hooks.py", HOOKS);
    let said = done(
        within(CALL_S, program)
            .args(["--config-file", "schemathesis.toml", "run"])
            .arg(format!("{}/v1/openapi.json", gateway.public))
            .args([
                "--checks",
                "all",
                "--phases",
                "examples,coverage,fuzzing,stateful",
            ])
            .args([
                "--max-examples",
                "50",
                "--seed",
                "7",
                "--generation-database",
                "none",
            ])
            .args(["--continue-on-failure", "--request-timeout", "60", "--no-color"])
            .env("PYTHONPATH", folder.path())
            .current_dir(folder.path()),
    );
    let count = |pattern: &str| -> u32 {
        let found = Regex::new(pattern).unwrap().captures(&said);
        found.unwrap_or_else(|| panic!("{said}"))[1].parse().unwrap()
    };
    let document: Value =
        serde_json::from_slice(&fs::read(repository("docs/openapi.json")).unwrap()).unwrap();
    let paths = document["paths"].as_object().unwrap().values();
    let operations: usize = paths.map(|path| path.as_object().unwrap().len()).sum();
    assert_eq!(count(r"Tested: (\d+)\n") as usize, operations, "{said}");
    assert!(count(r"generated, (\d+) passed") > 500, "{said}");
    for phase in ["Coverage", "Fuzzing", "Stateful"] {
        assert!(said.contains(&format!("✅ {phase}")), "{said}");
    }
}

#[test]
fn the_document_is_openapi() {
    let program = python("openapi-spec-validator==0.9.0", "openapi-spec-validator");
    done(within(CALL_S, program).arg(repository("docs/openapi.json")));
}

/// The files below a folder, by their path there.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(folder).unwrap().to_path_buf(), text));
            }
        }
    }
    found.sort();
    found
}

/// The program a README shows in this language, to be run with this gateway.
fn shown(language: &str, gateway: &Gateway) -> String {
    let readme = fs::read_to_string(repository("clients/README.md")).unwrap();
    let program = readme
        .split(&format!("```{language}\n"))
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let (url, key) = ("https://mails.example.org", "pst_…");
    assert!(program.contains(url) && program.contains(key), "{program}");
    program
        .replace(url, &gateway.public)
        .replace(key, &gateway.key("crm"))
}

/// What follows the README's program.
const ROUND_TRIP: &str = r#"
from poststelle_client.api.feedback import create_feedback
from poststelle_client.api.predictions import erase_prediction, list_predictions, show_prediction
from poststelle_client.models import Decision, FeedbackRequest, FeedbackRequestLabels, Part, Problem, Scope

first = answer.predictions[0]
assert first.scope is Scope.IN_SCOPE and isinstance(first.tasks["queue"].decision, Decision) and first.error is None
labels = FeedbackRequestLabels.from_dict({"queue": first.tasks["queue"].label, "topic": "not one of ours"})
received = create_feedback.sync(client=client, body=FeedbackRequest(labels, external_id="crm-4711"))
assert received.prediction_id == first.id and received.unknown_labels == ["topic/not one of ours"], received
kept = show_prediction.sync(first.id, client=client)
assert kept.tasks["queue"].label == first.tasks["queue"].label and kept.text == "Steuerbescheinigung\nBitte zusenden.", kept
assert list_predictions.sync(client=client, external_id="crm-4711") == [kept]

request = PredictionsRequest([mail], include=[Part.TEXT, Part.CUTS, Part.EVIDENCE])
once, twice = (create_predictions.sync_detailed(client=client, body=request, idempotency_key="a") for _ in range(2))
assert once.parsed == twice.parsed and once.parsed.predictions[0].evidence, (once, twice)
assert twice.headers["Idempotent-Replayed"] == "true" and "Idempotent-Replayed" not in once.headers

assert erase_prediction.sync_detailed(first.id, client=client).status_code == 204
for problem, code in (
    (show_prediction.sync(first.id, client=client), "unknown_prediction"),
    (create_predictions.sync(client=AuthenticatedClient(client._base_url, "pst_guessed"), body=request), "unauthorized"),
):
    assert isinstance(problem, Problem) and problem.code == code, problem
"#;

/// What follows the README's program: what the document does not allow is found before anything is sent.
const MISTAKEN: &str = r#"
export function mistaken() {
  // @ts-expect-error
  return client.POST("/v1/predictions", { body: { mails: [{ body: 7 }] } });
}
"#;

#[test]
fn the_clients_are_made_from_the_document_and_work() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // Who else makes them waits, for the generators are installed on the way.
    let generators = lock("clients");
    done(within(INSTALL_S, repository("clients/generate.sh")).arg(folder.path()));
    drop(generators);
    for name in ["python/poststelle_client", "typescript"] {
        let mut kept = files(&repository("clients").join(name));
        kept.retain(|(path, _)| {
            path != Path::new("package.json") && path.extension() != Some(OsStr::new("pyc"))
        });
        assert!(
            kept == files(&at(name)),
            "clients/{name} is not what is made from docs/openapi.json now: run clients/generate.sh"
        );
    }

    let gateway = Gateway::start();
    let program = shown("python", &gateway) + ROUND_TRIP;
    let printed = done(
        within(CALL_S, cache().join("openapi-python-client-0.29.1/bin/python"))
            .args(["-c", &program])
            .env("PYTHONPATH", repository("clients/python"))
            .current_dir(folder.path()),
    );
    assert_eq!(printed.trim(), "tax");

    let installed = cache().join("typescript-client/node_modules");
    fs::create_dir(at("node_modules")).unwrap();
    for (name, place) in [
        ("openapi-fetch", installed.join("openapi-fetch")),
        (
            "poststelle-client",
            fs::canonicalize(repository("clients/typescript")).unwrap(),
        ),
    ] {
        std::os::unix::fs::symlink(place, at("node_modules").join(name)).unwrap();
    }
    fs::write(at("package.json"), r#"{"type": "module"}"#).unwrap();
    fs::write(at("example.ts"), shown("ts", &gateway) + MISTAKEN).unwrap();
    done(
        within(CALL_S, installed.join(".bin/tsc"))
            .args(["--strict", "--noUncheckedIndexedAccess", "--noEmitOnError"])
            .args([
                "--module",
                "nodenext",
                "--target",
                "es2022",
                "--lib",
                "es2022,dom",
            ])
            .arg("example.ts")
            .current_dir(folder.path()),
    );
    let printed = done(
        within(CALL_S, "node")
            .arg("example.js")
            .current_dir(folder.path()),
    );
    assert_eq!(printed.trim(), "tax");
}

#[test]
fn the_dashboard_shows_what_the_server_exports() {
    let dashboard: Value =
        serde_json::from_slice(&fs::read(repository("docs/grafana.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    let metric = Regex::new(r"\b(?:poststelle|process)_[a-z_]+").unwrap();
    let shown: Vec<&str> = expressions
        .iter()
        .flat_map(|text| metric.find_iter(text))
        .map(|found| found.as_str())
        .collect();
    assert!(shown.len() > 20);

    let gateway = Gateway::start();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let mails = json!({"mails": [{"body": "Bitte eröffnen."}, {}]}).to_string();
    let labelled = agent
        .post(format!("{}/v1/predictions", gateway.public))
        .header("X-Api-Key", gateway.key("crm"))
        .content_type("application/json")
        .send(mails);
    assert_eq!(labelled.unwrap().status(), 200);
    assert_eq!(
        agent
            .get(format!("{}/v1/schema", gateway.public))
            .call()
            .unwrap()
            .status(),
        401
    );
    let metrics = agent
        .get(format!("{}/metrics", gateway.private))
        .call()
        .unwrap()
        .body_mut()
        .read_to_string()
        .unwrap();

    let series: Vec<&str> = metrics
        .lines()
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let missing: Vec<&&str> = shown.iter().filter(|name| !series.contains(name)).collect();
    assert!(
        missing.is_empty(),
        "docs/grafana.json shows what is not exported: {missing:?}"
    );
    let families = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE poststelle_")?.split(' ').next());
    let hidden = |family: &&str| {
        let parts = ["", "_bucket", "_sum", "_count"].map(|part| format!("poststelle_{family}{part}"));
        !shown.iter().any(|name| parts.iter().any(|part| part == name))
    };
    let hidden: Vec<&str> = families.filter(hidden).collect();
    assert!(hidden.is_empty(), "docs/grafana.json does not show {hidden:?}");

    let rules = expressions.iter().enumerate().map(|(at, text)| {
        // Grafana's own word for how far to look back.
        json!({"record": format!("dashboard:expression{at}"), "expr": text.replace("$__rate_interval", "5m")})
    });
    let rules = json!({"groups": [{"name": "dashboard", "rules": rules.collect::<Vec<_>>()}]});
    let file = gateway.folder.path().join("rules.yml"); // JSON is YAML
    fs::write(&file, rules.to_string()).unwrap();
    done(within(CALL_S, promtool()).args(["check", "rules"]).arg(file));
}
