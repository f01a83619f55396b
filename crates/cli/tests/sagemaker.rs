//! The binary as SageMaker's training and hosting container: its folders, its toolkit, its clients.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

fn poststelle(base: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poststelle"));
    command.env("SAGEMAKER_BASE_DIR", base);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The folders of a training job over made-up mail.
fn job(base: &Path) {
    let train = base.join("input/data/train");
    std::fs::create_dir_all(&train).unwrap();
    std::fs::create_dir_all(base.join("input/config")).unwrap();
    let made = poststelle(base)
        .args(["sample", "--count", "300", "--seed", "3", "--out"])
        .arg(&train)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let recipe = "[data]\ntrain = ['replaced by the channel']\nsplit = { validation = 0.2, test = 0.2 }\n[model]\nkind = 'encoder'\n";
    std::fs::write(train.join("recipe.toml"), recipe).unwrap();
    // As estimators write them: every value a text, those of the toolkit JSON once more.
    let parameters =
        r#"{"model.kind": "\"linear\"", "train.seed": "7", "sagemaker_region": "\"eu-central-1\""}"#;
    std::fs::write(base.join("input/config/hyperparameters.json"), parameters).unwrap();
}

/// A virtual environment with a package, made once and kept.
fn python(package: &str, import: &str) -> PathBuf {
    let home = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
    let venv = home
        .join(".cache/poststelle-test")
        .join(package.replace("==", "-"));
    let python = venv.join("bin/python");
    let there = || {
        let found = Command::new(&python)
            .args(["-c", &format!("import {import}")])
            .stderr(Stdio::null())
            .status();
        found.is_ok_and(|status| status.success())
    };
    if !there() {
        std::fs::create_dir_all(venv.parent().unwrap()).unwrap();
        let made = Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&venv)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", said(&made));
        let installed = Command::new(&python)
            .args(["-m", "pip", "install", "-q", package])
            .output()
            .unwrap();
        assert!(
            installed.status.success() && there(),
            "pip install {package}: {}",
            said(&installed)
        );
    }
    python
}

struct Hosting {
    child: Child,
    port: String,
}

impl Hosting {
    /// As the service starts a container: `serve`, a model in its folder, a port.
    fn start(base: &Path) -> Self {
        let mut child = poststelle(base)
            .args(["serve", "--port", "0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut talk = BufReader::new(child.stderr.take().unwrap());
        while !line.contains("answers on") {
            line.clear();
            assert!(talk.read_line(&mut line).unwrap() > 0, "the server ended");
        }
        std::thread::spawn(move || std::io::copy(&mut talk, &mut std::io::sink()));
        assert!(line.contains("http://0.0.0.0:"), "{line}");
        let port = line
            .split("0.0.0.0:")
            .nth(1)
            .unwrap()
            .split('/')
            .next()
            .unwrap()
            .to_owned();
        Self { child, port }
    }
}

impl Drop for Hosting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// boto3's client, and the one the SageMaker SDK has for containers on this machine.
const CLIENTS: &str = r#"
import json, sys, boto3
from botocore.config import Config
from sagemaker.core.local.local_session import LocalSagemakerRuntimeClient
port = int(sys.argv[1])
mails = json.dumps([{"id": "a", "subject": "Steuerbescheinigung", "body": "Bitte zusenden."}])
remote = boto3.client("sagemaker-runtime", endpoint_url=f"http://127.0.0.1:{port}", region_name="eu-central-1",
    aws_access_key_id="a", aws_secret_access_key="b", config=Config(retries={"max_attempts": 0}))
local = LocalSagemakerRuntimeClient({"local": {"serving_port": port}})
for client in (remote, local):
    answer = client.invoke_endpoint(EndpointName="mails", ContentType="application/json", Body=mails)
    records = json.loads(answer["Body"].read())
    assert records[0]["id"] == "a" and records[0]["business_unit"], records
"#;

#[test]
fn a_training_job_ends_in_a_model_that_is_hosted() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path();
    job(base);
    let trained = poststelle(base).arg("train").output().unwrap();
    assert!(trained.status.success(), "{}", said(&trained));
    assert!(base.join("model/bundle.toml").exists() && !base.join("model/.bundle").exists());
    let hosting = Hosting::start(base);
    let python = python("sagemaker-core==2.27.0", "sagemaker.core.local.local_session");
    let asked = Command::new(python)
        .args(["-c", CLIENTS, &hosting.port])
        .output()
        .unwrap();
    assert!(asked.status.success(), "{}", said(&asked));
}

#[test]
fn a_job_that_fails_says_why_where_the_service_looks() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path();
    job(base);
    std::fs::remove_file(base.join("input/data/train/recipe.toml")).unwrap();
    let failed = poststelle(base).arg("train").output().unwrap();
    assert_eq!(failed.status.code(), Some(2));
    let why = std::fs::read_to_string(base.join("output/failure")).unwrap();
    assert!(
        why.contains("there is no recipe") && why.contains("train/recipe.toml"),
        "{why}"
    );
}

/// The toolkit runs an entry point with the job's folders; ours is one line.
#[test]
fn the_training_toolkit_starts_the_entry_point() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path();
    job(base);
    let code = base.join("code");
    std::fs::create_dir_all(&code).unwrap();
    std::fs::write(code.join("train.sh"), "#!/bin/sh\nexec poststelle train\n").unwrap();
    std::fs::write(base.join("input/config/inputdataconfig.json"), r#"{"train": {}}"#).unwrap();
    let resources =
        r#"{"current_host": "localhost", "hosts": ["localhost"], "network_interface_name": "lo"}"#;
    std::fs::write(base.join("input/config/resourceconfig.json"), resources).unwrap();
    let python = python("sagemaker-training==5.1.4", "sagemaker_training");
    let binary = Path::new(env!("CARGO_BIN_EXE_poststelle")).parent().unwrap();
    let bin = python.parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(
        [binary, bin]
            .map(Path::to_path_buf)
            .into_iter()
            .chain(std::env::split_paths(&path)),
    );
    let ran = Command::new(bin.join("train"))
        .env("SAGEMAKER_BASE_DIR", base)
        .env("SAGEMAKER_PROGRAM", "train.sh")
        .env("SAGEMAKER_SUBMIT_DIRECTORY", &code)
        .env("PATH", path.unwrap())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", said(&ran));
    assert!(base.join("model/bundle.toml").exists(), "{}", said(&ran));
}

#[test]
fn metric_definitions_pick_what_training_says() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path();
    job(base);
    let recipe = base.join("input/data/train/recipe.toml");
    let data = "[data]\ntrain = ['mails.mbox']\nlabels = 'labels.csv'\nsplit = { validation = 0.2 }\n[model]\nkind = 'linear'\n";
    std::fs::write(&recipe, format!("schema = 'labels.toml'\n{data}")).unwrap();
    let command = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poststelle"));
        let output = command
            .args(["train", "--recipe", recipe.to_str().unwrap()])
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", said(&output));
        output
    };
    let listed: Vec<serde_json::Value> =
        serde_json::from_slice(&command(&["--metric-definitions"]).stdout).unwrap();
    let bundle = base.join("bundle");
    let log = said(&command(&[
        "--out",
        bundle.to_str().unwrap(),
        "--accept-findings",
    ]));
    let of_queue = listed
        .iter()
        .find(|metric| metric["Name"] == "validation:queue:macro_f1")
        .unwrap();
    let regex = regex::Regex::new(of_queue["Regex"].as_str().unwrap()).unwrap();
    let found: f64 = regex.captures(&log).unwrap()[1].parse().unwrap();
    assert!(found > 0.0 && found <= 1.0, "{found}");
}
