//! `train` as SageMaker's training container: `/opt/ml` in, a model or a reason out.
//!
//! ```text
//! input/config/hyperparameters.json   recipe keys and values; `recipe` names the recipe's file
//! input/data/<channel>/               train, validation, test: their files; recipe: `recipe.toml`
//! model/                              the bundle; SageMaker makes model.tar.gz of it
//! checkpoints/                        kept by SageMaker where the job asks for it
//! output/failure                      why the job failed
//! ```
//!
//! Source: Amazon SageMaker AI developer guide, "How Amazon SageMaker AI provides training information"; the toolkit
//! `sagemaker-training` starts the same command and moves the folder by `SAGEMAKER_BASE_DIR`.

use super::{Args, run_with};
use crate::failure::{Failure, Kind};
use crate::output::Output;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Of a failure SageMaker shows so many characters.
const SHOWN: usize = 1024;

/// The container this process runs in.
pub struct Container {
    base: PathBuf,
}

impl Container {
    /// This one, if it is SageMaker's.
    pub fn here() -> Option<Self> {
        let base =
            std::env::var_os("SAGEMAKER_BASE_DIR").map_or_else(|| PathBuf::from("/opt/ml"), PathBuf::from);
        base.join("input/config").is_dir().then_some(Self { base })
    }

    /// Where SageMaker puts a model that is to be served, if there is one.
    pub fn model() -> Option<PathBuf> {
        let base =
            std::env::var_os("SAGEMAKER_BASE_DIR").map_or_else(|| PathBuf::from("/opt/ml"), PathBuf::from);
        let model = base.join("model");
        model.join("bundle.toml").exists().then_some(model)
    }

    /// Where SageMaker puts the models of a multi-model endpoint.
    pub fn models() -> PathBuf {
        let base =
            std::env::var_os("SAGEMAKER_BASE_DIR").map_or_else(|| PathBuf::from("/opt/ml"), PathBuf::from);
        base.join("models")
    }

    /// Trains what the job asks for.
    pub fn train(&self, out: &mut Output) -> Result<(), Failure> {
        let result = self.fit(out);
        if let Err(failure) = &result {
            let text: String = failure.to_string().chars().take(SHOWN).collect();
            let folder = self.base.join("output");
            std::fs::create_dir_all(&folder)?;
            std::fs::write(folder.join("failure"), text)?;
        }
        result
    }

    fn fit(&self, out: &mut Output) -> Result<(), Failure> {
        let mut hyperparameters = self.hyperparameters()?;
        let recipe = self.recipe(hyperparameters.remove("recipe").as_deref())?;
        let mut set: Vec<String> = hyperparameters
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        for channel in ["train", "validation", "test"] {
            let files = self.files(channel)?;
            if !files.is_empty() {
                let list = toml::Value::from(
                    files
                        .iter()
                        .map(|file| file.display().to_string())
                        .collect::<Vec<_>>(),
                );
                set.push(format!("data.{channel}={list}"));
            }
        }
        let channel = self.base.join("input/data/train");
        for (key, file) in [("schema", "labels.toml"), ("data.labels", "labels.csv")] {
            let path = channel.join(file);
            if path.exists() {
                set.push(format!("{key}={}", path.display()));
            }
        }
        let checkpoints = self.base.join("checkpoints");
        let model = self.base.join("model");
        std::fs::create_dir_all(&model)?;
        // A bundle appears whole, beside what it becomes.
        let coming = model.join(".bundle");
        let args = Args {
            recipe: Some(recipe),
            set,
            teacher: None,
            out: Some(coming.clone()),
            checkpoints: checkpoints.is_dir().then_some(checkpoints),
            keep_frozen: None,
            accept_findings: false,
            metric_definitions: false,
            json: false,
        };
        run_with(args, out)?;
        for entry in std::fs::read_dir(&coming)? {
            let entry = entry?;
            std::fs::rename(entry.path(), model.join(entry.file_name()))?;
        }
        Ok(std::fs::remove_dir(&coming)?)
    }

    /// Keys and values as they were asked for; SageMaker's own are left out.
    fn hyperparameters(&self) -> Result<BTreeMap<String, String>, Failure> {
        let path = self.base.join("input/config/hyperparameters.json");
        let wrong = |message: String| Failure {
            kind: Kind::Misused,
            message: format!("`{}`: {message}", path.display()),
            hint: None,
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let found: BTreeMap<String, Value> =
            serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let own = |(key, _): &(String, Value)| !key.starts_with("sagemaker_");
        let plain = |(key, value): (String, Value)| {
            let text = match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            // The toolkit's estimators write each value as JSON once more.
            let text = serde_json::from_str::<String>(&text).unwrap_or(text);
            (key, text)
        };
        Ok(found.into_iter().filter(own).map(plain).collect())
    }

    fn recipe(&self, named: Option<&str>) -> Result<PathBuf, Failure> {
        let data = self.base.join("input/data");
        let candidates = match named {
            Some(name) => vec![data.join(name), self.base.join("code").join(name)],
            None => ["recipe", "train"]
                .map(|channel| data.join(channel).join("recipe.toml"))
                .into(),
        };
        let found = candidates.iter().find(|path| path.is_file()).cloned();
        found.ok_or_else(|| {
            let places: Vec<String> = candidates
                .iter()
                .map(|path| format!("`{}`", path.display()))
                .collect();
            Failure {
                kind: Kind::Misused,
                message: format!("there is no recipe, expected {}", places.join(" or ")),
                hint: None,
            }
        })
    }

    /// The mails of a channel.
    fn files(&self, channel: &str) -> Result<Vec<PathBuf>, Failure> {
        let folder = self.base.join("input/data").join(channel);
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if is_mails(&path) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

/// Whether a file of a channel holds mails, by its name; labels of an export lie beside them.
fn is_mails(path: &Path) -> bool {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let ends = [
        ".csv",
        ".csv.gz",
        ".jsonl",
        ".jsonl.gz",
        ".parquet",
        ".mbox",
        ".eml",
    ];
    name != "labels.csv" && ends.iter().any(|end| name.ends_with(end))
}

/// What SageMaker's metric definitions pick from this command's lines: name and regular expression.
pub fn metric_definitions(tasks: &[String]) -> Value {
    let number = r"([0-9]+\.?[0-9]*)";
    let mut all = vec![
        (
            "train:loss".to_owned(),
            format!("update [0-9]+ of [0-9]+, epoch [0-9.]+, loss {number}"),
        ),
        (
            "train:mails_per_second".to_owned(),
            format!(r"loss [0-9.]+, {number} mails/s"),
        ),
        (
            "train:tokens_per_second".to_owned(),
            format!(r"mails/s, {number} tokens/s"),
        ),
        ("validation:loss".to_owned(), format!("validation loss {number}")),
    ];
    for task in tasks {
        for (name, word) in [
            ("macro_f1", "macro-F1"),
            ("accuracy", "accuracy"),
            ("weighted_f1", "weighted F1"),
        ] {
            all.push((
                format!("validation:{task}:{name}"),
                format!("validation {task}: .*{word} {number}"),
            ));
        }
    }
    let definitions = all
        .into_iter()
        .map(|(name, regex)| serde_json::json!({ "Name": name, "Regex": regex }));
    Value::Array(definitions.collect())
}
