//! Checkpoints: a run's whole state in one file, from which it goes on to the very same result.

use crate::fit::{Fit, Progress};
use poststelle_nn::Network;
use poststelle_nn::encoder::WordTable;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Why a checkpoint cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be written.
    #[error("cannot write the checkpoint `{}`: {reason}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file cannot be read.
    #[error("cannot read the checkpoint `{}`: {reason}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It was made by a run with another recipe or other data.
    #[error("the checkpoint `{}` belongs to another run: found {found}, expected {expected}", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The run it belongs to.
        found: String,
        /// This run.
        expected: String,
    },
}

impl Fit<'_> {
    /// Writes the run's state to `path`, replacing an older checkpoint in one move.
    pub fn save(&mut self, path: &Path) -> Result<(), CheckpointError> {
        let failed = |reason: &dyn std::fmt::Display| CheckpointError::Write {
            path: path.to_path_buf(),
            reason: reason.to_string(),
        };
        let words = !self.optimizer.words[0].is_empty();
        let mut tensors: Vec<(String, Vec<f32>)> = Vec::new();
        let numbered = |kind: &str, all: Vec<Vec<f32>>| {
            let kind = kind.to_owned();
            all.into_iter()
                .enumerate()
                .map(move |(n, values)| (format!("{kind}.{n}"), values))
        };
        tensors.extend(numbered("weights", snapshot(&mut self.network, words)));
        for (which, kind) in ["first", "second"].into_iter().enumerate() {
            let moments = self
                .optimizer
                .moments
                .iter()
                .map(|pair| pair[which].clone())
                .collect();
            tensors.extend(numbered(kind, moments));
            tensors.push((format!("{kind}.words"), self.optimizer.words[which].clone()));
        }
        tensors.extend(numbered("best", self.best.clone().unwrap_or_default()));
        let progress = serde_json::to_string(&self.progress).map_err(|error| failed(&error))?;
        let about = HashMap::from([
            ("progress".to_owned(), progress),
            ("updates".to_owned(), self.optimizer.count.to_string()),
            ("run".to_owned(), self.fingerprint()),
        ]);
        let bytes: Vec<(String, usize, Vec<u8>)> = tensors
            .into_iter()
            .map(|(name, values)| {
                (
                    name,
                    values.len(),
                    values.iter().flat_map(|x| x.to_le_bytes()).collect(),
                )
            })
            .collect();
        let mut views = Vec::with_capacity(bytes.len());
        for (name, length, data) in &bytes {
            views.push((
                name,
                TensorView::new(Dtype::F32, vec![*length], data).map_err(|error| failed(&error))?,
            ));
        }
        let half = path.with_extension("partial");
        safetensors::serialize_to_file(views, Some(about), &half).map_err(|error| failed(&error))?;
        std::fs::rename(&half, path).map_err(|error| failed(&error))
    }

    /// Takes up the run that `path` was saved in; this run must have the same recipe and data.
    pub fn resume(&mut self, path: &Path) -> Result<(), CheckpointError> {
        let failed = |reason: &dyn std::fmt::Display| CheckpointError::Read {
            path: path.to_path_buf(),
            reason: reason.to_string(),
        };
        let bytes = std::fs::read(path).map_err(|error| failed(&error))?;
        let (_, about) = SafeTensors::read_metadata(&bytes).map_err(|error| failed(&error))?;
        let about = about.metadata().clone().unwrap_or_default();
        let said = |key: &str| about.get(key).ok_or_else(|| failed(&format!("no `{key}` in it")));
        let (found, expected) = (said("run")?.clone(), self.fingerprint());
        if found != expected {
            return Err(CheckpointError::Foreign {
                path: path.to_path_buf(),
                found,
                expected,
            });
        }
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| failed(&error))?;
        let read = |name: &str, length: usize| -> Result<Vec<f32>, CheckpointError> {
            let view = tensors.tensor(name).map_err(|error| failed(&error))?;
            let values: Vec<f32> = view
                .data()
                .as_chunks::<4>()
                .0
                .iter()
                .map(|x| f32::from_le_bytes(*x))
                .collect();
            if values.len() == length {
                Ok(values)
            } else {
                Err(failed(&format!(
                    "tensor `{name}` has {} elements, expected {length}",
                    values.len()
                )))
            }
        };
        let words = !self.optimizer.words[0].is_empty();
        let now = snapshot(&mut self.network, words);
        let like = |kind: &str| -> Result<Vec<Vec<f32>>, CheckpointError> {
            now.iter()
                .enumerate()
                .map(|(n, old)| read(&format!("{kind}.{n}"), old.len()))
                .collect()
        };
        let weights = like("weights")?;
        let progress: Progress = serde_json::from_str(said("progress")?).map_err(|error| failed(&error))?;
        let best = if progress.stop.best().is_some() {
            Some(like("best")?)
        } else {
            None
        };
        for (which, kind) in ["first", "second"].into_iter().enumerate() {
            for (n, pair) in self.optimizer.moments.iter_mut().enumerate() {
                pair[which] = read(&format!("{kind}.{n}"), pair[which].len())?;
            }
            self.optimizer.words[which] = read(&format!("{kind}.words"), self.optimizer.words[which].len())?;
        }
        self.optimizer.count = said("updates")?.parse().map_err(|error| failed(&error))?;
        restore(&mut self.network, weights);
        self.best = best;
        self.progress = progress;
        self.start_epoch();
        Ok(())
    }
}

/// A copy of every tensor that may have learned.
pub(crate) fn snapshot(network: &mut Network, words: bool) -> Vec<Vec<f32>> {
    let mut all: Vec<Vec<f32>> = network
        .parameters()
        .into_iter()
        .map(|p| p.values.to_vec())
        .collect();
    if words {
        let elements = network.encoder.config.vocabulary * network.encoder.config.hidden;
        all.push(network.encoder.words.own(elements).clone());
    }
    all
}

/// Puts a [`snapshot`] back.
pub(crate) fn restore(network: &mut Network, snapshot: Vec<Vec<f32>>) {
    let dense = network.parameters().len();
    for (parameter, values) in network.parameters().into_iter().zip(&snapshot) {
        parameter.values.copy_from_slice(values);
    }
    if let Some(words) = snapshot.into_iter().nth(dense) {
        network.encoder.words = WordTable::Owned(words);
    }
}
