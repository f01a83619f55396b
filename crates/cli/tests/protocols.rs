//! The server's protocols as other people's programs speak them, each of them as it is published.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

mod support;

use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use support::{CALL_S, POSTSTELLE, bundle, done, environment, promtool, within};

/// The interpreter of an environment with a package that can be imported.
fn python(package: &str, import: &str) -> PathBuf {
    environment(package, "python", &["-c", &format!("import {import}")]).join("python")
}

/// An interpreter that knows nobody outside this machine.
fn client(python: &Path) -> Command {
    let mut command = within(CALL_S, python);
    command
        .env("NO_PROXY", "*")
        .env("AWS_ACCESS_KEY_ID", "a")
        .env("AWS_SECRET_ACCESS_KEY", "b")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_SESSION_TOKEN");
    command
}

/// It, running a script of the folder beside this file.
fn script(python: &Path, name: &str) -> Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocols");
    let mut command = client(python);
    command.arg(scripts.join(name));
    command
}

struct Server {
    child: Child,
    port: String,
}

impl Server {
    /// `poststelle serve` with these arguments, on a port of its own.
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(POSTSTELLE)
            .args(["serve", "--port", "0"])
            .args(arguments)
            .env("POSTSTELLE_LOG", "warn")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let talk = BufReader::new(child.stderr.take().unwrap());
        let (say, said) = mpsc::channel();
        std::thread::spawn(move || {
            // Reads on when nobody listens any more, or the server would block.
            for line in talk.lines().map_while(Result::ok) {
                let _ = say.send(line);
            }
        });
        let mut server = Self {
            child,
            port: String::new(),
        };
        while server.port.is_empty() {
            let line = said.recv_timeout(Duration::from_secs(CALL_S.into())).unwrap();
            if let Some((_, address)) = line.split_once("answers on http://127.0.0.1:") {
                server.port = address.split('/').next().unwrap().to_owned();
            }
        }
        server
    }

    /// One that serves a bundle.
    fn of_bundle(folder: &Path, arguments: &[&str]) -> Self {
        let at = folder.join("bundle");
        bundle(&at);
        Self::start(&[&[at.to_str().unwrap()], arguments].concat())
    }

    /// Its answer: status and body, which is JSON or empty.
    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let (status, body) = self.send(method, path, "application/json", text);
        let value = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&body).unwrap()
        };
        (status, value)
    }

    fn send(&self, method: &str, path: &str, content: &str, body: String) -> (u16, String) {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(CALL_S.into())))
            .proxy(None)
            .build()
            .new_agent();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://127.0.0.1:{}{path}", self.port));
        let mut answer = if body.is_empty() {
            agent.run(request.body(()).unwrap())
        } else {
            agent.run(request.header("content-type", content).body(body).unwrap())
        }
        .unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), text)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const BOTO3: (&str, &str) = ("boto3==1.44.8", "boto3");

#[test]
fn boto3_invokes_an_endpoint_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::of_bundle(folder.path(), &["--max-body", "1"]);
    let python = python(BOTO3.0, BOTO3.1);
    done(script(&python, "invoke_boto3.py").arg(&server.port));
}

/// The SDK's local mode, with this machine for its containers.
fn sagemaker_sdk(what: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (work, model) = (folder.path().join("work"), folder.path().join("model"));
    fs::create_dir(&work).unwrap();
    bundle(&model);
    let python = python("sagemaker-core==2.27.0", "sagemaker.core.local.local_session");
    let mut sdk = script(&python, "sagemaker_sdk.py");
    sdk.arg(what)
        .arg(&work)
        .arg(POSTSTELLE)
        .arg(&model)
        .current_dir(&work);
    done(&mut sdk);
}

#[test]
fn the_sagemaker_sdk_hosts_a_model() {
    sagemaker_sdk("hosting");
}

#[test]
fn the_sagemaker_sdk_gets_a_line_for_every_line_of_a_file() {
    sagemaker_sdk("lines");
}

#[test]
fn the_sagemaker_sdk_gets_a_line_for_a_line_of_nothing() {
    sagemaker_sdk("blank");
}

#[test]
fn a_quotation_that_is_never_closed_spoils_its_own_line_only() {
    sagemaker_sdk("quote");
}

/// A folder of models, and one beside it that no request may reach.
struct Folder {
    root: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let models = root.path().join("models");
        fs::create_dir(&models).unwrap();
        bundle(&root.path().join("outside"));
        for name in ["one", "two", "three"] {
            // As the service lays them down: a folder per model, and `model` in it.
            let model = models.join(name).join("model");
            fs::create_dir_all(&model).unwrap();
            for file in fs::read_dir(root.path().join("outside")).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), model.join(file.file_name())).unwrap();
            }
        }
        fs::create_dir(models.join("none")).unwrap();
        std::os::unix::fs::symlink("../outside", models.join("link")).unwrap();
        Self { root }
    }

    fn models(&self) -> PathBuf {
        self.root.path().join("models")
    }

    fn url(&self, name: &str) -> String {
        format!("{}/{name}/model", self.models().display())
    }

    fn serve(&self) -> Server {
        Server::start(&["--models", self.models().to_str().unwrap(), "--max-models", "2"])
    }
}

fn load(server: &Server, name: &str, url: &str) -> (u16, Value) {
    let (status, body) = server.ask("POST", "/models", &json!({"model_name": name, "url": url}));
    (status, body["code"].clone())
}

/// boto3 names the model it wants; SageMaker in between turns the name into the container's route.
const TARGET: &str = r#"
import json, sys, boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from urllib.parse import urlsplit
def route(request, **_):
    url = urlsplit(request.url)
    target = request.headers["X-Amzn-SageMaker-Target-Model"]
    name = (target.decode() if isinstance(target, bytes) else target).removesuffix(".tar.gz")
    request.url = url._replace(path=f"/models/{name}/invoke").geturl()
client = boto3.client("sagemaker-runtime", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}",
    region_name="eu-central-1", config=Config(retries={"max_attempts": 0}))
client.meta.events.register("before-send.sagemaker-runtime.InvokeEndpoint", route)
def ask(model):
    return client.invoke_endpoint(EndpointName="mails", TargetModel=f"{model}.tar.gz",
        ContentType="application/json", Body=json.dumps([{"id": "a", "subject": "Depot", "body": "Bitte eröffnen."}]))
answer = ask("one")
records = json.loads(answer["Body"].read())
assert records[0]["id"] == "a" and records[0]["queue"], records
assert answer["InvokedProductionVariant"] == "one", answer
assert answer["CustomAttributes"] == "model_version=one,schema_version=1", answer
try:
    raise AssertionError(ask("two"))
except ClientError as error:
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 404, error.response
"#;

#[test]
fn models_come_and_go_by_request() {
    let folder = Folder::new();
    let server = folder.serve();
    let mails = json!([{"id": 1, "subject": "Depot", "body": "Bitte eröffnen."}]);
    assert_eq!(
        server.ask("GET", "/ping", &Value::Null).0,
        200,
        "it is healthy with no model"
    );
    assert_eq!(
        server.ask("GET", "/models", &Value::Null),
        (200, json!({"models": []}))
    );
    assert_eq!(load(&server, "one", &folder.url("one")), (200, Value::Null));
    assert_eq!(
        load(&server, "one", &folder.url("two")),
        (409, json!("model_loaded"))
    );
    assert_eq!(
        load(&server, "bad", &folder.url("four")),
        (400, json!("invalid_model"))
    );
    let nothing = folder.models().join("none");
    assert_eq!(
        load(&server, "bad", nothing.to_str().unwrap()),
        (400, json!("invalid_model"))
    );

    assert_eq!(
        load(&server, "bad", &"x".repeat(1 << 17)),
        (413, json!("too_large"))
    );
    // What cannot be read is told in each protocol's shape.
    let unread = |method: &str, path: &str| server.ask(method, path, &json!({"inputs": "Depot"}));
    let (status, problem) = unread("GET", "/models/%ff");
    assert_eq!((status, &problem["code"]), (400, &json!("invalid_parameter")));
    let (status, problem) = unread("GET", "/v2/models/%ff");
    assert!(
        status == 400 && problem["error"].is_string(),
        "{status} {problem}"
    );
    let (status, problem) = unread("POST", "/predict?task=a&task=b");
    assert_eq!((status, &problem["error_type"]), (422, &json!("Validation")));
    assert!(problem["error"].is_string(), "{problem}");

    let python = python(BOTO3.0, BOTO3.1);
    done(client(&python).args(["-c", TARGET, &server.port]));
    let (status, records) = server.ask("POST", "/models/one/invoke", &mails);
    assert!(status == 200 && records[0]["queue"].is_string(), "{records}");
    let (status, problem) = server.ask("POST", "/models/two/invoke", &mails);
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_model")));

    // Names are the caller's, and may hold anything.
    assert_eq!(load(&server, "a/b c", "two/model"), (200, Value::Null));
    assert_eq!(
        load(&server, "three", &folder.url("three")),
        (507, json!("models_full"))
    );
    let shown = json!({"modelName": "one", "modelUrl": folder.url("one")});
    assert_eq!(
        server.ask("GET", "/models/one", &Value::Null),
        (200, shown.clone())
    );
    assert_eq!(
        server.ask("GET", "/models/a%2Fb%20c", &Value::Null).1["modelName"],
        "a/b c"
    );
    assert_eq!(server.ask("GET", "/models/three", &Value::Null).0, 404);
    let (_, all) = server.ask("GET", "/models", &Value::Null);
    assert!(
        all["models"].as_array().unwrap().len() == 2 && all["models"].as_array().unwrap().contains(&shown),
        "{all}"
    );

    assert_eq!(server.ask("DELETE", "/models/one", &Value::Null).0, 200);
    assert_eq!(server.ask("DELETE", "/models/one", &Value::Null).0, 404);
    assert_eq!(server.ask("POST", "/models/one/invoke", &mails).0, 404);
    assert_eq!(load(&server, "three", &folder.url("three")), (200, Value::Null));
    assert_eq!(server.ask("POST", "/models/three/invoke", &mails).0, 200);
    let (status, records) = server.ask("POST", "/models/a%2Fb%20c/invoke", &mails);
    assert!(status == 200 && records[0]["id"] == 1, "{records}");
}

#[test]
fn no_model_outside_their_folder_is_opened() {
    let folder = Folder::new();
    let server = folder.serve();
    let outside = folder.root.path().join("outside").display().to_string();
    let inside = folder.models().display().to_string();
    let urls = [
        outside.clone(),
        format!("file://{outside}"),
        format!("{inside}/../outside"),
        format!("{inside}/link"),
        format!("{inside}/one/../../outside"),
        "../outside".to_owned(),
        "one/model/../../../outside".to_owned(),
        "link".to_owned(),
        "link/.".to_owned(),
        "/".to_owned(),
        ".".to_owned(),
        String::new(),
        "one\0".to_owned(),
    ];
    for url in &urls {
        assert_eq!(load(&server, "m", url), (400, json!("invalid_model")), "{url:?}");
    }
    assert_eq!(
        server.ask("GET", "/models", &Value::Null).1,
        json!({"models": []})
    );
    assert_eq!(
        load(&server, "m", &format!("file://{}", folder.url("one"))),
        (200, Value::Null)
    );
}

#[test]
fn tritons_client_infers_in_binary_and_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::of_bundle(folder.path(), &[]);
    let python = python("tritonclient[http]==2.73.0", "tritonclient.http");
    done(script(&python, "infer_triton.py").arg(&server.port));
}

#[test]
fn kserves_client_infers_in_binary_and_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::of_bundle(folder.path(), &[]);
    let python = python("kserve==0.21.0", "kserve");
    done(script(&python, "infer_kserve.py").arg(&server.port));
}

/// Labels and scores, the best first, as many as a task has labels.
fn is_ranking(answer: &Value) -> bool {
    let scores: Vec<f64> = answer
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["score"].as_f64().unwrap())
        .collect();
    let sum: f64 = scores.iter().sum();
    answer[0]["label"].is_string()
        && scores.len() > 1
        && scores.is_sorted_by(|a, b| a >= b)
        && (sum - 1.0).abs() < 1e-3
}

/// The requests of text-embeddings-inference's documentation.
#[test]
fn predict_answers_as_text_embeddings_inference_does() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::of_bundle(folder.path(), &[]);
    let predict = |inputs: Value| server.ask("POST", "/predict", &json!({"inputs": inputs}));
    let (status, single) = predict(json!("Ich möchte ein Depot eröffnen."));
    assert!(status == 200 && is_ranking(&single), "{single}");
    let (status, pair) = predict(json!(["Depot", "Ich möchte ein Depot eröffnen."]));
    assert!(status == 200 && is_ranking(&pair), "{pair}");
    let (status, batch) = predict(json!([
        ["Ich möchte ein Depot eröffnen."],
        ["Depot", "Ich möchte ein Depot eröffnen."]
    ]));
    assert_eq!((status, batch), (200, json!([single, pair])));
    let (status, queues) = server.ask("POST", "/predict?task=queue", &json!({"inputs": "Depot"}));
    assert!(
        status == 200 && is_ranking(&queues) && queues[0]["label"] != single[0]["label"],
        "{queues}"
    );

    let (_, info) = server.ask("GET", "/info", &Value::Null);
    let labels = info["model_type"]["classifier"]["id2label"].as_object().unwrap();
    assert_eq!(labels.len(), single.as_array().unwrap().len(), "{info}");
    assert_eq!(server.ask("GET", "/health", &Value::Null).0, 200);

    for wrong in [
        json!({"inputs": 1}),
        json!({"inputs": ["a", "b", "c"]}),
        json!({}),
        json!({"inputs": "a", "raw_scores": true}),
    ] {
        let (status, error) = server.ask("POST", "/predict", &wrong);
        assert!((400..500).contains(&status), "{status} to {wrong}");
        assert!(
            error["error"].is_string() && error["error_type"] == "Validation",
            "{error}"
        );
    }
    assert!((400..500).contains(&server.ask("POST", "/predict?task=no", &json!({"inputs": "a"})).0));
}

const HUGGING_FACE: &str = r#"
import sys
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
def ask(path, text):
    client = InferenceClient(model=f"http://127.0.0.1:{sys.argv[1]}{path}", token="none", timeout=60)
    return client.text_classification(text)
# What it reads is a list of answers, of which it hands on the first: the best label of a text, all labels of a batch.
best = ask("/predict", "Ich möchte ein Depot eröffnen.")
assert best.label and 0 < best.score <= 1, best
ranking = ask("/predict", [["Ich möchte ein Depot eröffnen."]])
assert ranking[0] == best and len(ranking) > 1, ranking
assert ask("/predict?task=queue", "Ich möchte ein Depot eröffnen.").label != best.label
try:
    raise AssertionError(ask("/predict", ["a", "b", "c"]))
except HfHubHTTPError as error:
    assert 400 <= error.response.status_code < 500, error
"#;

#[test]
fn hugging_faces_client_classifies_texts() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::of_bundle(folder.path(), &[]);
    let python = python("huggingface_hub==2.4.0", "huggingface_hub");
    done(
        client(&python)
            .args(["-c", HUGGING_FACE, &server.port])
            .env("HF_HUB_DISABLE_TELEMETRY", "1"),
    );
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::of_bundle(folder.path(), &[]);
    let mail = json!({"id": 1, "subject": "Depot", "body": "Bitte eröffnen."});
    for _ in 0..3 {
        let (status, _) = server.ask("POST", "/invocations", &json!([mail, {"id": 2}]));
        assert_eq!(status, 200);
    }
    assert_eq!(server.ask("POST", "/invocations", &json!(1)).0, 400);
    assert_eq!(server.ask("POST", "/predict", &json!({"inputs": "Depot"})).0, 200);
    assert_eq!(server.ask("GET", "/v2/models/other", &Value::Null).0, 404);
    assert_eq!(server.ask("GET", "/nowhere", &Value::Null).0, 404);
    let (status, text) = server.send("GET", "/metrics", "", String::new());
    assert_eq!(status, 200);
    for line in [
        "poststelle_request_total{route=\"/invocations\"} 4",
        "poststelle_request_failure_total{route=\"/invocations\",status=\"400\"} 1",
        "poststelle_record_error_total 3",
        "poststelle_ready 1",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in\n{text}"
        );
    }

    let metrics = folder.path().join("metrics.txt");
    fs::write(&metrics, &text).unwrap();
    let mut check = within(CALL_S, promtool());
    let checked = check
        .args(["check", "metrics"])
        .stdin(File::open(metrics).unwrap())
        .output()
        .unwrap();
    let said = [checked.stdout, checked.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(
        checked.status.success() && said == ["", ""],
        "{}: {said:?}",
        checked.status
    );
}
