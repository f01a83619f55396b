//! Writes a packaged model in the Hugging Face layout.
//!
//! Weights become f32. A weight is an f16 scale times a whole number, 14 bits of mantissa: f16 and bf16 would round it
//! a second time, and f32 can be mapped and used in place.

use super::{E5Error, Model, tokenizer};
use safetensors::tensor::{Dtype, View};
use serde_json::json;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Writes `config.json`, `model.safetensors`, `tokenizer.json` and `tokenizer_config.json` into `dir`.
///
/// The same model gives the same bytes. Returns the names of the files.
///
/// # Errors
/// [`E5Error::Tokenizer`] or [`E5Error::Write`].
pub fn write(model: &Model<'_>, dir: &Path) -> Result<Vec<String>, E5Error> {
    let put = |name: &str, text: String| {
        let path = dir.join(name);
        fs::write(&path, text).map_err(|source| E5Error::Write { path, source })
    };
    put("config.json", format!("{:#}\n", config(model)))?;
    put(
        "tokenizer_config.json",
        format!("{:#}\n", tokenizer_config(model)),
    )?;
    put("tokenizer.json", tokenizer::json(&model.vocabulary)?)?;
    let tensors: Vec<(String, Tensor<'_>)> = model
        .architecture()
        .into_iter()
        .map(|named| {
            (
                named.name,
                Tensor {
                    model,
                    packed: named.packed,
                    shape: named.shape,
                },
            )
        })
        .collect();
    let path = dir.join("model.safetensors");
    let about = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(tensors, Some(about), &path).map_err(|error| E5Error::Write {
        path: path.clone(),
        source: std::io::Error::other(error),
    })?;
    // The library makes the file for its owner alone; a cache may be shared, so it gets what its neighbours have.
    fs::metadata(dir.join("config.json"))
        .and_then(|neighbour| fs::set_permissions(&path, neighbour.permissions()))
        .map_err(|source| E5Error::Write { path, source })?;
    Ok([
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    .map(str::to_owned)
    .to_vec())
}

fn config(model: &Model<'_>) -> serde_json::Value {
    let shape = &model.shape;
    // The shortest decimal that is this f32, as configs write it: 1e-12.
    let epsilon: f64 = shape
        .epsilon
        .to_string()
        .parse()
        .unwrap_or(f64::from(shape.epsilon));
    json!({
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.ffn,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.positions,
        "type_vocab_size": shape.types,
        "position_embedding_type": "absolute",
        "layer_norm_eps": epsilon,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "pad_token_id": model.vocabulary.pad,
        "torch_dtype": "float32",
    })
}

fn tokenizer_config(model: &Model<'_>) -> serde_json::Value {
    let vocabulary = &model.vocabulary;
    let name = |id: u32| vocabulary.pieces[id as usize].0.as_str();
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.shape.positions,
        "bos_token": name(vocabulary.bos),
        "cls_token": name(vocabulary.bos),
        "eos_token": name(vocabulary.eos),
        "sep_token": name(vocabulary.eos),
        "pad_token": name(vocabulary.pad),
        "unk_token": name(vocabulary.unk),
    })
}

/// A tensor that is unpacked when it is written, so only one is in memory at a time.
struct Tensor<'a> {
    model: &'a Model<'a>,
    packed: String,
    shape: Vec<usize>,
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut bytes = Vec::with_capacity(self.data_len());
        self.model
            .unpack(&self.packed, |weight| bytes.extend(weight.to_le_bytes()));
        bytes.into()
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * 4
    }
}
