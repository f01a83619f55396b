//! Which files of a Hugging Face repository make a base model.
//!
//! A repository also holds weights for other frameworks, ONNX graphs and pictures. A base needs its config, its
//! weights in safetensors (one file, or shards behind an index) and a tokenizer this project can read.

use crate::error::PullError;
use std::collections::BTreeSet;

pub(crate) const CONFIG: &str = "config.json";
pub(crate) const WEIGHTS: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";
pub(crate) const TOKENIZER: &str = "tokenizer.json";
pub(crate) const VOCABULARY: &str = "vocab.txt";
const OPTIONAL: [&str; 3] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
];

/// Picks the files to take from those a repository or directory has, small ones first; shards come by [`shards`].
///
/// # Errors
/// [`PullError::Layout`] naming what is missing and what is there instead.
pub(crate) fn select(model: &str, names: &BTreeSet<String>) -> Result<Vec<String>, PullError> {
    let missing = |expected, like: fn(&str) -> bool| {
        let found: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| like(name))
            .take(8)
            .collect();
        let found = if found.is_empty() {
            "nothing like it".to_owned()
        } else {
            found.join(", ")
        };
        PullError::Layout {
            model: model.to_owned(),
            expected,
            found,
        }
    };
    let mut picked = Vec::new();
    if !names.contains(CONFIG) {
        return Err(missing(CONFIG, |name| name.ends_with("json")));
    }
    picked.push(CONFIG);
    picked.extend(OPTIONAL.iter().filter(|name| names.contains(**name)));
    match [TOKENIZER, VOCABULARY].iter().find(|name| names.contains(**name)) {
        Some(name) => picked.push(name),
        None => {
            let like =
                |name: &str| name.contains("token") || name.contains("vocab") || name.ends_with(".model");
            return Err(missing("tokenizer.json or vocab.txt", like));
        }
    }
    match [WEIGHTS, INDEX].iter().find(|name| names.contains(**name)) {
        Some(name) => picked.push(name),
        None => {
            let like = |name: &str| {
                ["bin", "h5", "msgpack", "onnx", "safetensors"]
                    .iter()
                    .any(|end| name.ends_with(end))
            };
            return Err(missing("model.safetensors, single or with an index", like));
        }
    }
    Ok(picked.into_iter().map(str::to_owned).collect())
}

/// The shard files an index names. The index comes from outside, so names that could leave the folder are refused.
///
/// # Errors
/// [`PullError::Answer`] for an index without a weight map or with an odd file name.
pub(crate) fn shards(model: &str, index: &[u8]) -> Result<BTreeSet<String>, PullError> {
    let answer = |reason: String| PullError::Answer {
        what: format!("{model}: {INDEX}"),
        reason,
    };
    let value: serde_json::Value =
        serde_json::from_slice(index).map_err(|error| answer(error.to_string()))?;
    let map = value.get("weight_map").and_then(|map| map.as_object());
    let map = map.ok_or_else(|| answer("no `weight_map`".to_owned()))?;
    let mut files = BTreeSet::new();
    for (tensor, file) in map {
        let name = file.as_str().filter(|name| {
            name.ends_with(".safetensors")
                && name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        });
        match name {
            Some(name) => files.insert(name.to_owned()),
            None => {
                return Err(answer(format!(
                    "`{tensor}` lies in {file}, expected a .safetensors file beside it"
                )));
            }
        };
    }
    if files.is_empty() {
        return Err(answer("an empty `weight_map`".to_owned()));
    }
    Ok(files)
}

/// Refuses a config that no encoder can be built from.
///
/// # Errors
/// [`PullError::Answer`] if it is no JSON object with a `model_type`.
pub(crate) fn check_config(model: &str, config: &[u8]) -> Result<(), PullError> {
    let answer = |reason: String| PullError::Answer {
        what: format!("{model}: {CONFIG}"),
        reason,
    };
    let value: serde_json::Value =
        serde_json::from_slice(config).map_err(|error| answer(error.to_string()))?;
    match value.get("model_type").and_then(|kind| kind.as_str()) {
        Some(_) => Ok(()),
        None => Err(answer("no `model_type`".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn takes_one_tokenizer_and_one_form_of_weights() {
        let all = names(&[
            "README.md",
            "config.json",
            "vocab.txt",
            "tokenizer.json",
            "model.safetensors",
            "tf_model.h5",
        ]);
        assert_eq!(
            select("m", &all).expect("complete"),
            ["config.json", "tokenizer.json", "model.safetensors"]
        );
        let old = names(&[
            "config.json",
            "vocab.txt",
            "model.safetensors.index.json",
            "tokenizer_config.json",
        ]);
        let expected = [
            "config.json",
            "tokenizer_config.json",
            "vocab.txt",
            "model.safetensors.index.json",
        ];
        assert_eq!(select("m", &old).expect("complete"), expected);
    }

    #[test]
    fn says_what_is_there_instead() {
        let pickled = names(&["config.json", "vocab.txt", "pytorch_model.bin"]);
        let error = select("m", &pickled).expect_err("no safetensors").to_string();
        assert_eq!(
            error,
            "`m` has no model.safetensors, single or with an index; found pytorch_model.bin"
        );
    }

    #[test]
    fn an_index_cannot_leave_the_folder() {
        let good = br#"{"weight_map":{"a":"model-1.safetensors","b":"model-1.safetensors"}}"#;
        assert_eq!(shards("m", good).expect("good"), names(&["model-1.safetensors"]));
        for bad in [
            "../x.safetensors",
            "/x.safetensors",
            "a/b.safetensors",
            "x.bin",
            ".safetensors",
            "",
        ] {
            let index = serde_json::json!({ "weight_map": { "a": bad } }).to_string();
            assert!(shards("m", index.as_bytes()).is_err(), "{bad}");
        }
        assert!(shards("m", b"{}").is_err());
        assert!(shards("m", br#"{"weight_map":{"a":3}}"#).is_err());
    }
}
