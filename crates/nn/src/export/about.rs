//! What an export says about itself: `poststelle.json` for programs, `README.md` for people.

use super::{ExportError, Room, Target, put, put_json};
use crate::bundle::{EncoderNote, Manifest, Stored};
use crate::network::Pooling;
use serde::Serialize;
use std::collections::BTreeSet;

/// The format of `poststelle.json`.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct About<'a> {
    format: u32,
    bundle: Origin<'a>,
    text: Text<'a>,
    pooling: Pooling,
    tasks: &'a [Task],
    left_out: &'a [String],
}

/// The bundle this was made from.
#[derive(Serialize)]
struct Origin<'a> {
    created: &'a str,
    written_by: &'a str,
    schema_digest: &'a str,
    base: &'a str,
}

/// What happens to a text before the model.
#[derive(Serialize)]
struct Text<'a> {
    clean_profile: &'a str,
    clean_redact: &'a str,
    prefix: &'a str,
    max_tokens: usize,
    padding: &'static str,
}

/// One task, from logits to decisions.
#[derive(Serialize)]
pub struct Task {
    name: String,
    parent: Option<String>,
    /// Below the export's folder.
    pub folder: String,
    /// The output of the graph of all tasks.
    pub output: String,
    /// What that output is divided by before the softmax.
    pub temperature: f32,
    auto: Option<f32>,
    suggest: Option<f32>,
    labels: Vec<Label>,
}

#[derive(Serialize)]
struct Label {
    name: String,
    parent: Option<String>,
}

/// Every task of a bundle; of a hybrid's, with the temperature the encoder has alone and without bands, which were
/// chosen for both models together.
pub fn tasks(stored: &Stored) -> Vec<Task> {
    let mut taken = BTreeSet::new();
    let tasks = stored.schema.tasks().iter().enumerate();
    tasks
        .map(|(n, task)| {
            let calibration = stored.manifest.calibration.get(task.name());
            let mut temperature = calibration.map_or(1.0, |calibration| calibration.temperature);
            let mut bands = calibration.map_or((None, None), |it| (it.auto, it.suggest));
            if let Some(mix) = &stored.manifest.hybrid {
                temperature = mix.tasks.get(n).map_or(1.0, |mix| mix.encoder_temperature);
                bands = (None, None);
            }
            let labels = task.labels().iter().map(|label| Label {
                name: label.name.clone(),
                parent: label.parent.clone(),
            });
            let name = plain(task.name().as_str(), n, &mut taken);
            Task {
                name: task.name().to_string(),
                parent: task.parent().map(ToString::to_string),
                folder: format!("tasks/{name}"),
                output: format!("logits_{name}"),
                temperature,
                auto: bands.0,
                suggest: bands.1,
                labels: labels.collect(),
            }
        })
        .collect()
}

/// A task's name for files and outputs: letters, digits, `_` and `-` stay; its position keeps it distinct.
fn plain(name: &str, position: usize, taken: &mut BTreeSet<String>) -> String {
    let kept = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' {
            c
        } else {
            '_'
        }
    };
    let mut plain: String = name.chars().map(kept).collect();
    // Names that differ in case alone would be one folder on some file systems.
    if !taken.insert(plain.to_ascii_lowercase()) {
        plain = format!("{plain}_{position}");
        taken.insert(plain.to_ascii_lowercase());
    }
    plain
}

/// What the bundle does that an export of it cannot.
pub fn left_out(manifest: &Manifest) -> Vec<String> {
    let mut all = Vec::new();
    if manifest.hybrid.is_some() {
        all.push(
            "the hybrid's linear model: the export answers as the encoder alone, with its own temperatures and \
             without bands"
                .to_owned(),
        );
    }
    all.push("cleaning: give it what `poststelle clean` leaves of a mail".to_owned());
    all.push("the choice of labels that agree across tasks: each task is answered by itself".to_owned());
    all
}

/// Writes both files.
pub fn write(
    room: &Room<'_>,
    target: Target,
    note: &EncoderNote,
    left_out: &[String],
) -> Result<(), ExportError> {
    let manifest = &room.stored.manifest;
    let about = About {
        format: FORMAT,
        bundle: Origin {
            created: &manifest.created,
            written_by: &manifest.written_by,
            schema_digest: &manifest.schema_digest,
            base: &note.base,
        },
        text: Text {
            clean_profile: &manifest.clean_profile,
            clean_redact: &manifest.clean_redact,
            prefix: &note.prefix,
            max_tokens: room.longest,
            padding: "right",
        },
        pooling: note.pooling,
        tasks: &room.tasks,
        left_out,
    };
    put_json(&room.root.join("poststelle.json"), &about)?;
    put(
        &room.root.join("README.md"),
        readme(room, target, note, left_out).as_bytes(),
    )
}

fn readme(room: &Room<'_>, target: Target, note: &EncoderNote, left_out: &[String]) -> String {
    let mean = note.pooling == Pooling::Mean;
    let shared = room.parts == 1;
    let first = room.tasks.first().map_or("tasks/…", |task| task.folder.as_str());
    let mut text = String::from("# A mail classifier, exported\n\n");
    let heart = match (target, shared) {
        (Target::Onnx, _) => {
            "`model.onnx` answers every task at once: `input_ids` and `attention_mask`, both int64 `[batch, sequence]`, \
             give one output of logits per task, f32 `[batch, labels]`. `softmax(logits / temperature)` is the \
             confidence; `poststelle.json` has each task's output, temperature and labels in their order. Pad on the \
             right.\n"
        }
        (Target::HuggingFace, true) => {
            "`transformers.AutoModel.from_pretrained(\".\")` opens the encoder; its `last_hidden_state` is what the heads \
             read. The encoder has no pooling layer of its own: where `transformers` adds one to it, that layer is random and \
             its `pooler_output` means nothing.\n"
        }
        (Target::HuggingFace, false) => {
            "Each task has an encoder of its own, so there is none here: `transformers.AutoModel.from_pretrained` opens \
             those in the folders of the tasks.\n"
        }
    };
    text.push_str(heart);
    text.push_str("\n## One task\n\n");
    let task = match (target, mean) {
        (Target::Onnx, _) => format!(
            "Each folder in `tasks/` has a `model.onnx` with the one output `logits`, already divided by the temperature, \
             and its tokenizer:\n\n\
             ```python\n\
             import onnxruntime\n\
             from transformers import AutoTokenizer\n\n\
             session = onnxruntime.InferenceSession(\"{first}/model.onnx\")\n\
             tokens = AutoTokenizer.from_pretrained(\"{first}\")([TEXT], truncation=True, return_tensors=\"np\")\n\
             (logits,) = session.run([\"logits\"], {{name: tokens[name] for name in (\"input_ids\", \"attention_mask\")}})\n\
             ```\n"
        ),
        (Target::HuggingFace, true) => format!(
            "The heads read the mean of all tokens. No classifier that comes with `transformers` for this family does, so each \
             folder in `tasks/` brings one: `modeling_poststelle.py`, a page of code to read before it is trusted. Logits are \
             already divided by the temperature, so a pipeline's score is the confidence.\n\n\
             ```python\n\
             from transformers import pipeline\n\n\
             pipeline(\"text-classification\", model=\"{first}\", trust_remote_code=True)(TEXT, truncation=True)\n\
             ```\n"
        ),
        (Target::HuggingFace, false) => format!(
            "Each folder in `tasks/` opens with `AutoModelForSequenceClassification`. Its classifier has a dense layer and an \
             activation that the head does not; the layer's weights undo the activation, exactly to the precision of f32: \
             do not run it in half precision. Logits are already divided by the temperature, so a pipeline's score is the \
             confidence.\n\n\
             ```python\n\
             from transformers import pipeline\n\n\
             pipeline(\"text-classification\", model=\"{first}\")(TEXT, truncation=True)\n\
             ```\n"
        ),
    };
    text.push_str(&task);
    text.push_str(&format!(
        "\nWeights that folders share are one file under several names (hard links); a copy of the folder may hold them several \
         times.\n\n## The text\n\n\
         `TEXT` is the subject on a line and the cleaned body below (profile `{}`, masking `{}`), a line `Broker: …` before \
         them where there is one{}. It is cut to {} tokens.\n\n## What is left out\n\n",
        room.stored.manifest.clean_profile,
        room.stored.manifest.clean_redact,
        if note.prefix.is_empty() {
            String::new()
        } else {
            format!(", and `{}` before all", note.prefix)
        },
        room.longest,
    ));
    for one in left_out {
        text.push_str(&format!("- {one}\n"));
    }
    text
}
