//! The layout of `transformers`: what [`hf`] reads, written.
//!
//! ```text
//! config.json, model.safetensors, tokenizer.json, tokenizer_config.json      the encoder, where tasks share one
//! tasks/<task>/config.json, model.safetensors.index.json, tokenizer…         a model per task, in two shards:
//!              model-00001-of-00002.safetensors                              the encoder, the same file as above
//!              model-00002-of-00002.safetensors                              the classifier
//!              modeling_poststelle.py                                        where it reads the mean of the tokens
//! ```

use super::{ExportError, Room, family, put, put_json, reads_mean, share, temperature};
use crate::hf;
use crate::network::Network;
use serde_json::{Map, Value, json};
use std::path::Path;

const SHARDS: [&str; 2] = [
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
];

/// Writes one network and the tasks it answers.
pub fn write(room: &Room<'_>, tasks: &[usize], mut network: Network) -> Result<(), ExportError> {
    let family = family(&room.config);
    let mut encoder = None;
    if room.parts == 1 {
        put_json(
            &room.root.join("config.json"),
            &room.plain_config(&format!("{family}Model")),
        )?;
        room.put_tokenizer(room.root)?;
        let path = room.root.join("model.safetensors");
        hf::write_part(&mut network.encoder, &path)?;
        encoder = Some(path);
    }
    for (head, &task) in tasks.iter().enumerate() {
        let folder = room.task_folder(task)?;
        let [first, second] = SHARDS.map(|name| folder.join(name));
        match &encoder {
            Some(encoder) => share(encoder, &first)?,
            None => hf::write_part(&mut network.encoder, &first)?,
        }
        let (head, temperature) = (&network.heads[head], temperature(room, task));
        let tensors = if reads_mean(&network) {
            hf::mean_classifier(head, temperature)
        } else {
            let last = network.encoder.body.layers.last();
            let norm = last.map_or(&network.encoder.body.embedding_norm, |layer| &layer.output_norm);
            hf::first_token_classifier(network.encoder.config.architecture, norm, head, temperature)
        };
        hf::write_tensors(&tensors, &second)?;
        put_json(
            &folder.join("model.safetensors.index.json"),
            &index(&first, &second)?,
        )?;
        put_json(
            &folder.join("config.json"),
            &config(room, task, family, reads_mean(&network)),
        )?;
        room.put_tokenizer(&folder)?;
        if reads_mean(&network) {
            put(&folder.join("modeling_poststelle.py"), code(family).as_bytes())?;
        }
    }
    Ok(())
}

/// Which tensor is in which shard.
fn index(first: &Path, second: &Path) -> Result<Value, ExportError> {
    let mut names = Map::new();
    let mut bytes = 0;
    for (path, shard) in [first, second].into_iter().zip(SHARDS) {
        for (name, size) in hf::list(path)? {
            names.insert(name, json!(shard));
            bytes += size;
        }
    }
    Ok(json!({ "metadata": { "total_size": bytes }, "weight_map": names }))
}

fn config(room: &Room<'_>, task: usize, family: &str, mean: bool) -> Map<String, Value> {
    if !mean {
        return room.task_config(task, &format!("{family}ForSequenceClassification"));
    }
    let mut config = room.task_config(task, "MeanClassifier");
    // A type of its own: under the family's, whoever does not trust the code would get the family's classifier with
    // random weights, and only a warning.
    config.insert("model_type".to_owned(), json!("poststelle"));
    let code = json!({
        "AutoConfig": "modeling_poststelle.MeanConfig",
        "AutoModel": "modeling_poststelle.MeanEncoder",
        "AutoModelForSequenceClassification": "modeling_poststelle.MeanClassifier",
    });
    config.insert("auto_map".to_owned(), code);
    config
}

/// The classifier on the mean of the tokens, for one family.
fn code(family: &str) -> String {
    let prefix = match family {
        "Bert" => "bert",
        "DistilBert" => "distilbert",
        _ => "roberta",
    };
    // Only BERT and its kind build a pooling layer that nothing here reads.
    let bare = if family == "DistilBert" {
        ""
    } else {
        ", add_pooling_layer=False"
    };
    CODE.replace("FAMILY", family)
        .replace("PREFIX", prefix)
        .replace("BARE", bare)
}

const CODE: &str = include_str!("modeling_poststelle.py");
