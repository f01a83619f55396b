//! The recipe: every setting of a run, typed.

mod distil;

pub use distil::{Distil, Layers, Start};

use poststelle_labels::TaskName;
use poststelle_lifecycle::Gate;
use poststelle_measure::Wanted;
use poststelle_nn::Pooling;
use poststelle_nn::model::Sharing;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::path::PathBuf;

/// Every setting of a run; `recipe.toml` is this type as TOML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Where the examples are.
    pub data: Data,
    /// What is predicted, in the order of heads and answers; or `schema` names a file.
    #[serde(default, skip_serializing_if = "Tasks::is_empty")]
    pub tasks: Tasks,
    /// A `labels.toml`; without it the labels are those of the training data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<PathBuf>,
    /// How mails are cleaned, in training and in serving.
    #[serde(default)]
    pub clean: Clean,
    /// What is trained.
    #[serde(default)]
    pub model: Model,
    /// How the encoder learns.
    #[serde(default)]
    pub train: Train,
    /// What teaches the encoder, if anything does beside the labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distil: Option<Distil>,
    /// How the linear model learns.
    #[serde(default)]
    pub linear: crate::linear::Settings,
    /// The precision a team wants of automatic and suggested answers.
    #[serde(default)]
    pub confidence: Wanted,
    /// What a version must reach; a run that does not reach on validation what can be measured there ends refused, its bundle
    /// kept.
    #[serde(default)]
    pub gate: Gate,
}

/// Where the examples are: files, relative to the recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// What is learned from.
    pub train: Vec<PathBuf>,
    /// What early stopping, calibration and thresholds use; without it `split` takes some of `train`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation: Vec<PathBuf>,
    /// What the final figures are measured on; opened once, at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<PathBuf>,
    /// Table of labels by Message-ID, for mail exports (mbox, .eml).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathBuf>,
    /// Share of `train` set aside where `validation` or `test` is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
}

/// How much of the training files is set aside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Split {
    /// Share for validation. Default 0.13.
    pub validation: f64,
    /// Share for test. Default 0.15.
    pub test: f64,
    /// Newest mails to the test part. Default false.
    pub by_date: bool,
}

impl Default for Split {
    fn default() -> Self {
        Self {
            validation: 0.13,
            test: 0.15,
            by_date: false,
        }
    }
}

/// One task of a recipe.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Column of the data with its labels. Default: the task's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The task whose label narrows this one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<TaskName>,
    /// Factor of this task's loss. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f32>,
}

/// The tasks in the order they are written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tasks(pub Vec<(TaskName, Task)>);

impl Tasks {
    /// True without any task.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Tasks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, task)| (name, task)))
    }
}

impl<'de> Deserialize<'de> for Tasks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Tasks;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a table of tasks")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tasks, A::Error> {
                let mut tasks = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    tasks.push(entry);
                }
                Ok(Tasks(tasks))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// How mails are cleaned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clean {
    /// `request` (default), `author` or `decode`, as `poststelle clean --profile`.
    pub profile: String,
    /// Where personal details become placeholders: `off` (default), `storage` for what is written down, `everything`
    /// for what the model reads too, in training and in serving.
    pub redact: String,
}

impl Default for Clean {
    fn default() -> Self {
        Self {
            profile: "request".to_owned(),
            redact: "off".to_owned(),
        }
    }
}

/// Kinds of model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// TF-IDF and logistic regression: seconds, no base model.
    Linear,
    /// A pretrained encoder, fine-tuned.
    Encoder,
    /// Both in one model, calibrated together.
    #[default]
    Hybrid,
}

/// What is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// `linear`, `encoder` or `hybrid` (default).
    pub kind: Kind,
    /// Base model of the encoder: hub id, directory or built-in name. Default `multilingual-e5-small`.
    pub base: String,
    /// `multi-task` (default) or `single-task`.
    pub sharing: Sharing,
    /// `mean` (default) or `cls`.
    pub pooling: Pooling,
    /// Tokens a text is cut to, special tokens included. Default 256.
    pub max_tokens: usize,
    /// Put before every text. Default: `query: ` for E5 models, else nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            kind: Kind::default(),
            base: "multilingual-e5-small".to_owned(),
            sharing: Sharing::default(),
            pooling: Pooling::default(),
            max_tokens: 256,
            prefix: None,
        }
    }
}

impl Model {
    /// The prefix in force.
    pub fn prefix(&self) -> &str {
        match &self.prefix {
            Some(prefix) => prefix,
            None if self.base.to_lowercase().contains("e5") => "query: ",
            None => "",
        }
    }
}

/// How the learning rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// Straight to zero.
    #[default]
    Linear,
    /// Along half a cosine to zero.
    Cosine,
    /// Not at all.
    Constant,
}

/// How classes are weighted in the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weighting {
    /// All alike.
    #[default]
    None,
    /// By the inverse of their frequency, mean 1 over the examples.
    Balanced,
    /// By its square root.
    SqrtBalanced,
}

/// The arithmetic asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionChoice {
    /// bf16 where the processor has it, else f32.
    #[default]
    Auto,
    /// f32.
    F32,
    /// bf16; refused where the processor lacks it.
    Bf16,
}

/// How the encoder learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Train {
    /// Passes over the data. Default 6.
    pub epochs: usize,
    /// Examples a batch. Default 16.
    pub batch: usize,
    /// Batches whose gradients are added up before an update. Default 1.
    pub accumulation: usize,
    /// Tokens computed at once; a larger batch is split, with the same result up to rounding. Default 8192.
    pub micro_batch_tokens: usize,
    /// Peak learning rate of the topmost layer. Default 2e-4.
    pub learning_rate: f32,
    /// Peak learning rate of the heads. Default 1e-3.
    pub head_learning_rate: f32,
    /// Factor on the learning rate from each layer to the one below. Default 1.
    pub layer_decay: f32,
    /// Share of the updates over which the rate rises from zero. Default 0.1.
    pub warmup: f32,
    /// How the rate falls afterwards. Default `linear`.
    pub decay: Decay,
    /// AdamW's decoupled decay, not on biases and LayerNorm. Default 0.01.
    pub weight_decay: f32,
    /// Largest global gradient norm. Default 1.
    pub clip: f32,
    /// Dropout on hidden states and attention. Default: the base model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f32>,
    /// Dropout before the heads. Default 0.1.
    pub head_dropout: f32,
    /// Share of each target spread over all labels. Default 0.
    pub label_smoothing: f32,
    /// How labels are weighted. Default `none`.
    pub class_weights: Weighting,
    /// Epochs without a better mean validation macro-F1 before the run stops; 0 never stops. Default 3.
    pub patience: usize,
    /// Names every chance of the run: order, dropout, heads. Default 13.
    pub seed: u64,
    /// Arithmetic of the matrix products. Default `auto`.
    pub precision: PrecisionChoice,
    /// Lower layers that keep the base model's weights; embeddings below them do, too. Default 0.
    pub freeze_layers: usize,
    /// Whether the word-piece table keeps the base model's weights. Default true.
    pub freeze_words: bool,
    /// Whether each layer's forward pass is computed again on the way back instead of kept: the same weights in the end,
    /// a quarter (12 layers) to two fifths (6 layers) of the activation memory, a quarter to a third more time. Default false.
    pub recompute: bool,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            epochs: 6,
            batch: 16,
            accumulation: 1,
            micro_batch_tokens: 8192,
            learning_rate: 2e-4,
            head_learning_rate: 1e-3,
            layer_decay: 1.0,
            warmup: 0.1,
            decay: Decay::default(),
            weight_decay: 0.01,
            clip: 1.0,
            dropout: None,
            head_dropout: 0.1,
            label_smoothing: 0.0,
            class_weights: Weighting::default(),
            patience: 3,
            seed: 13,
            precision: PrecisionChoice::default(),
            freeze_layers: 0,
            freeze_words: true,
            recompute: false,
        }
    }
}

/// Why a recipe cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// It is not TOML, or a key or value is not known.
    #[error("recipe: {}{}", .source.message(), hint(.source.message()))]
    Toml {
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A `--set` that is not `key=value`, or leads through something that is no table.
    #[error("`--set {found}`: expected `table.key=value`")]
    Set {
        /// The argument.
        found: String,
    },
    /// A value out of range.
    #[error("recipe, key `{key}`: found {found}, expected {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
}

/// Names the known key nearest to an unknown one, from serde's message.
fn hint(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if !message.starts_with("unknown ") {
        return String::new();
    }
    let Some(found) = quoted.next() else {
        return String::new();
    };
    match poststelle_labels::nearest(found, quoted) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => String::new(),
    }
}

impl Recipe {
    /// Reads TOML with overrides `table.key=value`, each value TOML or else plain text.
    pub fn from_toml(text: &str, overrides: &[String]) -> Result<Self, RecipeError> {
        let toml_error = |source| RecipeError::Toml {
            source: Box::new(source),
        };
        let mut table: toml::Table = text.parse().map_err(toml_error)?;
        for item in overrides {
            set(&mut table, item)?;
        }
        let recipe: Self = table.try_into().map_err(toml_error)?;
        recipe.check()?;
        Ok(recipe)
    }

    fn check(&self) -> Result<(), RecipeError> {
        let Train {
            epochs,
            batch,
            accumulation,
            micro_batch_tokens,
            ..
        } = self.train;
        let counts = [
            ("train.epochs", epochs),
            ("train.batch", batch),
            ("train.accumulation", accumulation),
            ("train.micro_batch_tokens", micro_batch_tokens),
        ];
        for (key, found) in counts {
            if found == 0 {
                return Err(RecipeError::Value {
                    key,
                    found: "0".to_owned(),
                    expected: "at least 1",
                });
            }
        }
        if self.model.max_tokens < 3 {
            let found = self.model.max_tokens.to_string();
            return Err(RecipeError::Value {
                key: "model.max_tokens",
                found,
                expected: "at least 3",
            });
        }
        let Train {
            warmup,
            dropout,
            head_dropout,
            label_smoothing,
            ..
        } = self.train;
        let rates = [
            ("train.dropout", dropout.unwrap_or(0.0)),
            ("train.head_dropout", head_dropout),
            ("train.label_smoothing", label_smoothing),
            ("train.warmup", warmup),
        ];
        for (key, rate) in rates {
            if !(0.0..1.0).contains(&rate) {
                return Err(RecipeError::Value {
                    key,
                    found: rate.to_string(),
                    expected: "a number in [0, 1)",
                });
            }
        }
        let Train {
            learning_rate,
            head_learning_rate,
            layer_decay,
            clip,
            ..
        } = self.train;
        let positive = [
            ("train.learning_rate", learning_rate),
            ("train.head_learning_rate", head_learning_rate),
            ("train.layer_decay", layer_decay),
            ("train.clip", clip),
        ];
        for (key, number) in positive {
            if !(number.is_finite() && number > 0.0) {
                return Err(RecipeError::Value {
                    key,
                    found: number.to_string(),
                    expected: "a positive number",
                });
            }
        }
        if self.data.train.is_empty() {
            return Err(RecipeError::Value {
                key: "data.train",
                found: "[]".into(),
                expected: "at least one file",
            });
        }
        self.distil.as_ref().map_or(Ok(()), Distil::check)
    }
}

fn set(table: &mut toml::Table, item: &str) -> Result<(), RecipeError> {
    let wrong = || RecipeError::Set {
        found: item.to_owned(),
    };
    let (path, value) = item.split_once('=').ok_or_else(wrong)?;
    let value = match format!("x = {value}").parse::<toml::Table>() {
        Ok(mut parsed) => parsed.remove("x").ok_or_else(wrong)?,
        Err(_) => toml::Value::String(value.to_owned()),
    };
    let mut keys: Vec<&str> = path.trim().split('.').collect();
    let last = keys.pop().filter(|key| !key.is_empty()).ok_or_else(wrong)?;
    let mut at = table;
    for key in keys {
        let entry = at
            .entry(key)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()));
        at = entry.as_table_mut().ok_or_else(wrong)?;
    }
    at.insert(last.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "[data]\ntrain = ['a.csv']\n[tasks.queue]\n[tasks.business_unit]\nweight = 2.0\n";

    #[test]
    fn tasks_keep_the_order_they_are_written_in() {
        let recipe = Recipe::from_toml(SMALL, &[]).unwrap();
        let names: Vec<_> = recipe.tasks.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["queue", "business_unit"]);
        let again = Recipe::from_toml(&toml::to_string(&recipe).unwrap(), &[]).unwrap();
        assert_eq!(again, recipe);
    }

    #[test]
    fn one_key_is_overridden_by_its_path() {
        let sets = [
            "train.epochs=4",
            "model.kind=linear",
            "data.train=['b.csv', 'c.csv']",
        ]
        .map(String::from);
        let recipe = Recipe::from_toml(SMALL, &sets).unwrap();
        assert_eq!((recipe.train.epochs, recipe.model.kind), (4, Kind::Linear));
        assert_eq!(recipe.data.train.len(), 2);
        assert!(matches!(
            Recipe::from_toml(SMALL, &["epochs".into()]),
            Err(RecipeError::Set { .. })
        ));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_neighbour() {
        let error = Recipe::from_toml(SMALL, &["train.epoch=4".into()])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`epoch`") && error.ends_with("did you mean `epochs`?"),
            "{error}"
        );
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for (set, key) in [
            ("train.batch=0", "train.batch"),
            ("train.dropout=1.0", "train.dropout"),
            ("train.clip=0.0", "train.clip"),
            ("distil.share=0.5", "distil.teacher"),
        ] {
            let error = Recipe::from_toml(SMALL, &[set.into()]).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn a_student_keeps_a_number_of_layers_or_a_list_of_them() {
        let distil = |set: &str| {
            let sets = ["distil.teacher=big".to_owned(), set.to_owned()];
            Recipe::from_toml(SMALL, &sets).map(|recipe| recipe.distil.unwrap())
        };
        assert_eq!(distil("distil.layers=3").unwrap().layers, Some(Layers::Count(3)));
        let list = distil("distil.layers=[0, 2]").unwrap().layers;
        assert_eq!(list, Some(Layers::List(vec![0, 2])));
        assert_eq!(distil("distil.start=base").unwrap().start, Start::Base);
        for (set, word) in [
            ("distil.layers=half", "a number of layers or a list of them"),
            ("distil.temperature=0.0", "a positive number"),
            ("distil.share=1.5", "[0, 1]"),
            ("distil.student=4", "unknown field `student`"),
        ] {
            let error = distil(set).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
