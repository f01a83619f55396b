//! Weights in the Hugging Face layout, read and written.
//!
//! The three families differ in names only. Queries, keys and values are three matrices there and one here.

use crate::encoder::{Architecture, Body, Config, ConfigError, Element, Encoder, Linear, Norm, WordTable};
use memmap2::Mmap;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// `config.json` cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`: {reason}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A weights file or its index is damaged.
    #[error("`{}` is not a valid weights file: {reason}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tensor is not there.
    #[error("`{}` has no tensor `{name}`", .folder.display())]
    Missing {
        /// The checkpoint's folder.
        folder: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// As stored.
        found: Vec<usize>,
        /// As configured.
        expected: Vec<usize>,
    },
    /// A tensor has a type weights do not have.
    #[error("tensor `{name}` is {found}, expected F32, F16 or BF16")]
    Type {
        /// The tensor.
        name: String,
        /// As stored.
        found: String,
    },
}

/// The weight files of one folder, mapped.
pub struct Checkpoint {
    folder: PathBuf,
    shards: Vec<Arc<Mmap>>,
    index: BTreeMap<String, Place>,
}

/// Where a tensor is.
struct Place {
    shard: usize,
    range: std::ops::Range<usize>,
    shape: Vec<usize>,
    dtype: Dtype,
}

/// Which tensors of an encoder are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All.
    Whole,
    /// All but the layers' linear maps, which stay empty: they are read packed from elsewhere.
    AroundMaps,
}

impl Checkpoint {
    /// Opens `model.safetensors`, or the shards that `model.safetensors.index.json` lists.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let single = folder.join("model.safetensors");
        let list = folder.join("model.safetensors.index.json");
        let files = if single.exists() || !list.exists() {
            vec![single]
        } else {
            shards(folder, &list)?
        };
        let mut shards = Vec::new();
        let mut index = BTreeMap::new();
        for (n, path) in files.into_iter().enumerate() {
            let map = Arc::new(map(&path)?);
            for (name, view) in parse(&path, &map)?.tensors() {
                let start = view.data().as_ptr().addr() - map.as_ptr().addr();
                let place = Place {
                    shard: n,
                    range: start..start + view.data().len(),
                    shape: view.shape().to_vec(),
                    dtype: view.dtype(),
                };
                index.insert(name, place);
            }
            shards.push(map);
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            shards,
            index,
        })
    }

    /// True when a tensor of this name is there.
    pub fn contains(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// One tensor widened to f32, if its shape is the one expected.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        let mut values = vec![0.0; shape.iter().product()];
        let (map, range, element) = self.locate(name, shape)?;
        element.widen(&map[range], &mut values);
        Ok(values)
    }

    fn locate(
        &self,
        name: &str,
        shape: &[usize],
    ) -> Result<(Arc<Mmap>, std::ops::Range<usize>, Element), CheckpointError> {
        let place = self.index.get(name).ok_or_else(|| CheckpointError::Missing {
            folder: self.folder.clone(),
            name: name.to_owned(),
        })?;
        if place.shape != shape {
            let (found, expected) = (place.shape.clone(), shape.to_vec());
            return Err(CheckpointError::Shape {
                name: name.to_owned(),
                found,
                expected,
            });
        }
        let element = match place.dtype {
            Dtype::F32 => Element::F32,
            Dtype::F16 => Element::F16,
            Dtype::BF16 => Element::Bf16,
            other => {
                return Err(CheckpointError::Type {
                    name: name.to_owned(),
                    found: format!("{other:?}"),
                });
            }
        };
        Ok((self.shards[place.shard].clone(), place.range.clone(), element))
    }

    /// Reads the encoder that `config` describes; its word-piece table stays in the file.
    pub fn encoder(&self, config: Config) -> Result<Encoder, CheckpointError> {
        self.part(config, Part::Whole)
    }

    /// As [`encoder`](Self::encoder), or without the layers' maps.
    pub(crate) fn part(&self, config: Config, part: Part) -> Result<Encoder, CheckpointError> {
        let names = Names::of(config.architecture);
        let table = names.words();
        let prefix = ["", "bert.", "distilbert.", "roberta.", "model."]
            .into_iter()
            .find(|prefix| self.contains(&format!("{prefix}{table}")))
            .unwrap_or("");
        let hidden = config.hidden;
        let at = |name: &str| format!("{prefix}{name}");
        let (map, range, element) = self.locate(&at(table), &[config.vocabulary, hidden])?;
        let mut body = Body::zeros(&config);
        let maps = names.maps(&config);
        for (name, shape, target) in named(&names, &config, &mut body) {
            let of_map = || name.rsplit_once('.').is_some_and(|(map, _)| maps.contains(map));
            if part == Part::AroundMaps && of_map() {
                continue;
            }
            let mut name = at(&name);
            if !self.contains(&name) {
                name = old_name(&name);
            }
            target.copy_from_slice(&self.tensor(&name, &shape)?);
        }
        let mut encoder = Encoder {
            config,
            words: WordTable::Mapped {
                map,
                offset: range.start,
                element,
            },
            body,
        };
        if part == Part::AroundMaps {
            encoder.forget_layers();
        }
        Ok(encoder)
    }
}

/// The name of a LayerNorm's parameter in checkpoints converted from TensorFlow.
fn old_name(name: &str) -> String {
    name.replace("LayerNorm.weight", "LayerNorm.gamma")
        .replace("LayerNorm.bias", "LayerNorm.beta")
}

/// Reads the encoder of a checkpoint's folder.
pub fn read(folder: &Path) -> Result<Encoder, CheckpointError> {
    let config = Config::read(&folder.join("config.json"))?;
    Checkpoint::open(folder)?.encoder(config)
}

/// Reads a linear map stored as `name.weight` and `name.bias`.
pub fn read_linear(
    checkpoint: &Checkpoint,
    name: &str,
    outputs: usize,
    inputs: usize,
) -> Result<Linear, CheckpointError> {
    let mut linear = Linear::zeros(outputs, inputs);
    linear.weight = checkpoint.tensor(&format!("{name}.weight"), &[outputs, inputs])?;
    linear.bias = checkpoint.tensor(&format!("{name}.bias"), &[outputs])?;
    Ok(linear)
}

/// Writes an encoder and named heads to `path` (`model.safetensors`), dense weights as f32, the word-piece table in
/// the type it has.
pub fn write(encoder: &mut Encoder, heads: &[(String, &Linear)], path: &Path) -> Result<(), CheckpointError> {
    write_behind("", encoder, heads, path)
}

/// As [`write()`], each tensor of the encoder behind the prefix it has within a larger model of its family.
pub fn write_part(encoder: &mut Encoder, path: &Path) -> Result<(), CheckpointError> {
    write_behind(prefix(encoder.config.architecture), encoder, &[], path)
}

fn write_behind(
    prefix: &str,
    encoder: &mut Encoder,
    heads: &[(String, &Linear)],
    path: &Path,
) -> Result<(), CheckpointError> {
    let config = encoder.config.clone();
    let names = Names::of(config.architecture);
    let failed = |reason: &dyn std::fmt::Display| CheckpointError::Write {
        path: path.to_path_buf(),
        reason: reason.to_string(),
    };
    let mut owned: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, shape, values) in named(&names, &config, &mut encoder.body) {
        owned.push((format!("{prefix}{name}"), shape, bytes(values)));
    }
    for (name, head) in heads {
        owned.push((
            format!("{name}.weight"),
            vec![head.outputs(), head.inputs()],
            bytes(&head.weight),
        ));
        owned.push((format!("{name}.bias"), vec![head.outputs()], bytes(&head.bias)));
    }
    let mut views = Vec::new();
    for (name, shape, data) in &owned {
        let view = TensorView::new(Dtype::F32, shape.clone(), data).map_err(|error| failed(&error))?;
        views.push((name.clone(), view));
    }
    let shape = vec![config.vocabulary, config.hidden];
    let owned_table;
    let (dtype, data) = match &encoder.words {
        WordTable::Owned(values) => {
            owned_table = bytes(values);
            (Dtype::F32, &owned_table[..])
        }
        WordTable::Mapped { map, offset, element } => {
            let dtype = match element {
                Element::F32 => Dtype::F32,
                Element::F16 => Dtype::F16,
                Element::Bf16 => Dtype::BF16,
            };
            (
                dtype,
                &map[*offset..*offset + config.vocabulary * config.hidden * element.bytes()],
            )
        }
    };
    let view = TensorView::new(dtype, shape, data).map_err(|error| failed(&error))?;
    views.push((format!("{prefix}{}", names.words()), view));
    let format = [("format".to_owned(), "pt".to_owned())].into_iter().collect();
    safetensors::serialize_to_file(views, Some(format), path).map_err(|error| failed(&error))
}

/// What stands before an encoder's names when it is a part of a larger model.
pub fn prefix(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Bert => "bert.",
        Architecture::DistilBert => "distilbert.",
        Architecture::Roberta => "roberta.",
    }
}

/// A tensor of f32 with its name in the layout and its shape.
pub type Named = (String, Vec<usize>, Vec<f32>);

/// A head on the mean of the tokens, its logits divided by `temperature`.
///
/// No family's own classifier reads the mean; the names are those every family gives to a lone linear map.
pub fn mean_classifier(head: &Linear, temperature: f32) -> Vec<Named> {
    let scaled = |values: &[f32]| values.iter().map(|x| x / temperature).collect();
    named_linear("classifier", head, scaled(&head.weight), scaled(&head.bias)).into()
}

/// A head on the first token as the family's own classifier for sequences computes it, its logits divided by
/// `temperature`.
///
/// Those classifiers have a dense layer and an activation between the first token and the logits, which ours do not;
/// the dense layer is made to undo its activation. `tanh` is the identity to f32's precision once its input is scaled
/// down far enough, and `max(0, x)` is once its input is lifted above 0, which the last LayerNorm `norm` bounds:
///
/// ```text
/// BERT, XLM-RoBERTa   z = (W/ε)·tanh(ε·x) + b            ε = 2⁻¹⁴
/// DistilBERT          z = W·max(0, x + s) + (b − W·s)    s = |gain|·√hidden + |bias|
/// ```
pub fn first_token_classifier(
    architecture: Architecture,
    norm: &Norm,
    head: &Linear,
    temperature: f32,
) -> Vec<Named> {
    const TINY: f32 = 1.0 / 16384.0;
    let hidden = head.inputs();
    let diagonal = |value: f32| {
        let mut matrix = vec![0.0; hidden * hidden];
        matrix.iter_mut().step_by(hidden + 1).for_each(|x| *x = value);
        matrix
    };
    let dense = |name: &str, weight: Vec<f32>, bias: Vec<f32>| {
        [
            (format!("{name}.weight"), vec![hidden, hidden], weight),
            (format!("{name}.bias"), vec![hidden], bias),
        ]
    };
    let (between, out, up) = match architecture {
        Architecture::Bert => ("bert.pooler.dense", "classifier", 1.0 / TINY),
        Architecture::Roberta => ("classifier.dense", "classifier.out_proj", 1.0 / TINY),
        Architecture::DistilBert => ("pre_classifier", "classifier", 1.0),
    };
    let weight: Vec<f32> = head.weight.iter().map(|x| x * up / temperature).collect();
    let mut bias: Vec<f32> = head.bias.iter().map(|x| x / temperature).collect();
    let first = match architecture {
        Architecture::Bert | Architecture::Roberta => dense(between, diagonal(TINY), vec![0.0; hidden]),
        Architecture::DistilBert => {
            let reach = (hidden as f32).sqrt();
            let lift = norm
                .gain
                .iter()
                .zip(&norm.bias)
                .map(|(g, b)| g.abs() * reach + b.abs());
            let lift: Vec<f32> = lift.collect();
            for (bias, row) in bias.iter_mut().zip(weight.chunks_exact(hidden)) {
                let lifted: f64 = row
                    .iter()
                    .zip(&lift)
                    .map(|(w, s)| f64::from(*w) * f64::from(*s))
                    .sum();
                *bias = (f64::from(*bias) - lifted) as f32;
            }
            dense(between, diagonal(1.0), lift)
        }
    };
    let second = named_linear(out, head, weight, bias);
    first.into_iter().chain(second).collect()
}

fn named_linear(name: &str, head: &Linear, weight: Vec<f32>, bias: Vec<f32>) -> [Named; 2] {
    [
        (
            format!("{name}.weight"),
            vec![head.outputs(), head.inputs()],
            weight,
        ),
        (format!("{name}.bias"), vec![head.outputs()], bias),
    ]
}

/// The tensors of one weights file with their sizes in bytes, by name.
pub fn list(path: &Path) -> Result<BTreeMap<String, usize>, CheckpointError> {
    let map = map(path)?;
    let tensors = parse(path, &map)?.tensors();
    Ok(tensors
        .into_iter()
        .map(|(name, view)| (name, view.data().len()))
        .collect())
}

/// Writes tensors of f32 to `path`.
pub fn write_tensors(tensors: &[Named], path: &Path) -> Result<(), CheckpointError> {
    let failed = |error: safetensors::SafeTensorError| CheckpointError::Write {
        path: path.to_path_buf(),
        reason: error.to_string(),
    };
    let owned: Vec<Vec<u8>> = tensors.iter().map(|(_, _, values)| bytes(values)).collect();
    let mut views = Vec::new();
    for ((name, shape, _), data) in tensors.iter().zip(&owned) {
        let view = TensorView::new(Dtype::F32, shape.clone(), data).map_err(failed)?;
        views.push((name.as_str(), view));
    }
    let format = [("format".to_owned(), "pt".to_owned())].into_iter().collect();
    safetensors::serialize_to_file(views, Some(format), path).map_err(failed)
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

pub(crate) fn map(path: &Path) -> Result<Mmap, CheckpointError> {
    opened(path).map(|(_, map)| map)
}

/// A file, and all of it mapped.
#[allow(unsafe_code)]
pub(crate) fn opened(path: &Path) -> Result<(File, Mmap), CheckpointError> {
    let read = |source| CheckpointError::Read {
        path: path.to_path_buf(),
        source,
    };
    let file = File::open(path).map_err(read)?;
    // SAFETY: weights are written to a new file and renamed into place, never changed; another process that
    // truncates the file while it is mapped would end this one with a signal, as for any mapped file.
    let map = unsafe { Mmap::map(&file) }.map_err(read)?;
    Ok((file, map))
}

fn parse<'a>(path: &Path, map: &'a Mmap) -> Result<SafeTensors<'a>, CheckpointError> {
    SafeTensors::deserialize(map).map_err(|error| CheckpointError::Invalid {
        path: path.to_path_buf(),
        reason: error.to_string(),
    })
}

/// The files an index lists; names that lead out of the folder are refused.
fn shards(folder: &Path, list: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let invalid = |reason: String| CheckpointError::Invalid {
        path: list.to_path_buf(),
        reason,
    };
    let bytes = std::fs::read(list).map_err(|source| CheckpointError::Read {
        path: list.to_path_buf(),
        source,
    })?;
    let index: Index = serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    if names.is_empty() {
        return Err(invalid("it lists no file".to_owned()));
    }
    names
        .into_iter()
        .map(|name| match Path::new(&name).file_name() {
            Some(plain) if plain == name.as_str() => Ok(folder.join(name)),
            _ => Err(invalid(format!(
                "file `{name}` is not in the checkpoint's own folder"
            ))),
        })
        .collect()
}

/// The names of one family.
struct Names {
    architecture: Architecture,
}

impl Names {
    fn of(architecture: Architecture) -> Self {
        Self { architecture }
    }

    fn words(&self) -> &'static str {
        "embeddings.word_embeddings.weight"
    }

    /// The linear maps of all layers.
    fn maps(&self, config: &Config) -> BTreeSet<String> {
        let maps = |n| {
            let [q, k, v, out, _, up, down, _] = self.layer(n);
            [q, k, v, out, up, down]
        };
        (0..config.layers).flat_map(maps).collect()
    }

    /// Query, key, value, attention output, its norm, up, down, output norm.
    fn layer(&self, n: usize) -> [String; 8] {
        match self.architecture {
            Architecture::DistilBert => {
                let at = |name| format!("transformer.layer.{n}.{name}");
                [
                    at("attention.q_lin"),
                    at("attention.k_lin"),
                    at("attention.v_lin"),
                    at("attention.out_lin"),
                    at("sa_layer_norm"),
                    at("ffn.lin1"),
                    at("ffn.lin2"),
                    at("output_layer_norm"),
                ]
            }
            Architecture::Bert | Architecture::Roberta => {
                let at = |name| format!("encoder.layer.{n}.{name}");
                [
                    at("attention.self.query"),
                    at("attention.self.key"),
                    at("attention.self.value"),
                    at("attention.output.dense"),
                    at("attention.output.LayerNorm"),
                    at("intermediate.dense"),
                    at("output.dense"),
                    at("output.LayerNorm"),
                ]
            }
        }
    }
}

/// Every dense tensor with its name and shape in the layout, and the elements here that are it.
fn named<'a>(names: &Names, config: &Config, body: &'a mut Body) -> Vec<(String, Vec<usize>, &'a mut [f32])> {
    let (hidden, inner) = (config.hidden, config.feed_forward);
    let mut all: Vec<(String, Vec<usize>, &mut [f32])> = Vec::new();
    let table = |name: &str| format!("embeddings.{name}_embeddings.weight");
    all.push((
        table("position"),
        vec![config.positions, hidden],
        &mut body.positions,
    ));
    if config.token_types > 0 {
        all.push((
            table("token_type"),
            vec![config.token_types, hidden],
            &mut body.token_types,
        ));
    }
    fn norm<'a>(all: &mut Vec<(String, Vec<usize>, &'a mut [f32])>, name: &str, norm: &'a mut Norm) {
        let width = norm.gain.len();
        all.push((format!("{name}.weight"), vec![width], &mut norm.gain));
        all.push((format!("{name}.bias"), vec![width], &mut norm.bias));
    }
    norm(&mut all, "embeddings.LayerNorm", &mut body.embedding_norm);
    for (n, layer) in body.layers.iter_mut().enumerate() {
        let [q, k, v, out, out_norm, up, down, down_norm] = names.layer(n);
        let weights = layer.qkv.weight.chunks_exact_mut(hidden * hidden);
        let biases = layer.qkv.bias.chunks_exact_mut(hidden);
        for (name, (weight, bias)) in [q, k, v].into_iter().zip(weights.zip(biases)) {
            all.push((format!("{name}.weight"), vec![hidden, hidden], weight));
            all.push((format!("{name}.bias"), vec![hidden], bias));
        }
        let linears = [
            (out, &mut layer.attention_out, hidden, hidden),
            (up, &mut layer.up, inner, hidden),
            (down, &mut layer.down, hidden, inner),
        ];
        for (name, linear, outputs, inputs) in linears {
            all.push((
                format!("{name}.weight"),
                vec![outputs, inputs],
                &mut linear.weight,
            ));
            all.push((format!("{name}.bias"), vec![outputs], &mut linear.bias));
        }
        norm(&mut all, &out_norm, &mut layer.attention_norm);
        norm(&mut all, &down_norm, &mut layer.output_norm);
    }
    all
}

/// Gradients under the names of the layout; for comparing with other implementations.
pub fn gradients<'a>(config: &Config, body: &'a mut Body) -> Vec<(String, &'a mut [f32])> {
    named(&Names::of(config.architecture), config, body)
        .into_iter()
        .map(|(name, _, values)| (name, values))
        .collect()
}
