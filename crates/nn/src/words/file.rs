//! A words model on disk: `words.safetensors`, vocabulary and weights in one file.
//!
//! | tensor | type and shape | what |
//! |---|---|---|
//! | `grams` | U8 `[bytes]` | the n-grams, UTF-8, one after the other, word grams first |
//! | `ends` | U32 `[features]` | where each n-gram ends in `grams` |
//! | `idf` | F32 `[features]` | inverse document frequencies |
//! | `head.<i>.weight` | F16 `[features, classes]` | one per task, in schema order |
//! | `head.<i>.bias` | F32 `[classes]` | |
//!
//! The metadata holds `format`, the vectorizer's `settings` as JSON, `words` (how many features are word
//! n-grams) and `tasks`.

use super::model::{Head, WordsModel};
use super::vectorizer::{Settings, Vectorizer};
use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file's name within a bundle.
pub const FILE: &str = "words.safetensors";

/// The layout this build writes and reads.
const FORMAT: u32 = 1;

/// Why a words model cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not in the safetensors format.
    #[error("`{}` is not a safetensors file", .path.display())]
    Layout {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: safetensors::SafeTensorError,
    },
    /// The file was written by a newer release.
    #[error("`{}` has words format {found}, this build reads up to {FORMAT}", .path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// The format it names.
        found: u32,
    },
    /// A part is missing or does not fit the others.
    #[error("`{}`: `{part}` is {found}, expected {expected}", .path.display())]
    Part {
        /// Which file.
        path: PathBuf,
        /// The tensor or metadata key.
        part: String,
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
}

/// Why a words model cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write `{}`", .path.display())]
pub struct SaveError {
    /// Which file.
    pub path: PathBuf,
    /// Why.
    pub source: safetensors::SafeTensorError,
}

impl WordsModel {
    /// Writes `words.safetensors` into an existing directory; the same model gives the same bytes.
    ///
    /// # Errors
    /// [`SaveError`] if the file cannot be written.
    pub fn save(&self, directory: &Path) -> Result<(), SaveError> {
        let path = directory.join(FILE);
        let vectorizer = self.vectorizer();
        let features = vectorizer.features();
        let (mut grams, mut ends) = (Vec::new(), Vec::with_capacity(features * 4));
        for feature in 0..features {
            grams.extend_from_slice(vectorizer.gram(feature).1.as_bytes());
            ends.extend_from_slice(&(grams.len() as u32).to_le_bytes());
        }
        let mut parts = vec![
            ("grams".to_owned(), Dtype::U8, vec![grams.len()], grams),
            ("ends".to_owned(), Dtype::U32, vec![features], ends),
            (
                "idf".to_owned(),
                Dtype::F32,
                vec![features],
                bytes_of(vectorizer.idf()),
            ),
        ];
        for (i, head) in self.heads().iter().enumerate() {
            let weights = head
                .weights()
                .iter()
                .flat_map(|&w| f16::from_f32(w).to_le_bytes())
                .collect::<Vec<u8>>();
            parts.push((
                format!("head.{i}.weight"),
                Dtype::F16,
                vec![features, head.classes()],
                weights,
            ));
            parts.push((
                format!("head.{i}.bias"),
                Dtype::F32,
                vec![head.classes()],
                bytes_of(head.bias()),
            ));
        }
        let written = parts
            .iter()
            .map(|(name, kind, shape, bytes)| Ok((name, TensorView::new(*kind, shape.clone(), bytes)?)))
            .collect::<Result<Vec<_>, _>>()
            .and_then(|views| safetensors::serialize_to_file(views, Some(self.metadata()), &path));
        written.map_err(|source| SaveError { path, source })
    }

    /// One key, because a map of several would be written in a random order.
    fn metadata(&self) -> HashMap<String, String> {
        let words = serde_json::json!({
            "format": FORMAT,
            "settings": self.vectorizer().settings(),
            "words": self.vectorizer().word_features(),
            "tasks": self.heads().len(),
        });
        HashMap::from([("words".to_owned(), words.to_string())])
    }

    /// Reads `words.safetensors` from a directory.
    ///
    /// # Errors
    /// [`OpenError`] if the file is missing, newer than this build, or its parts do not fit each other.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join(FILE);
        let bytes = fs::read(&path).map_err(|source| OpenError::Read {
            path: path.clone(),
            source,
        })?;
        Reader::new(&path, &bytes)?.model()
    }
}

/// What the metadata says.
#[derive(serde::Deserialize)]
struct About {
    format: u32,
    settings: Settings,
    words: usize,
    tasks: usize,
}

/// A file being read.
struct Reader<'a> {
    path: &'a Path,
    about: About,
    tensors: SafeTensors<'a>,
}

impl<'a> Reader<'a> {
    fn new(path: &'a Path, bytes: &'a [u8]) -> Result<Self, OpenError> {
        let layout = |source| OpenError::Layout {
            path: path.to_owned(),
            source,
        };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(layout)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(layout)?;
        let text = metadata.metadata().as_ref().and_then(|map| map.get("words"));
        let part = |found: String| OpenError::Part {
            path: path.to_owned(),
            part: "metadata `words`".to_owned(),
            found,
            expected: format!("the description of a words model, format {FORMAT}"),
        };
        let text = text.ok_or_else(|| part("missing".to_owned()))?;
        let found: serde_json::Value = serde_json::from_str(text).map_err(|e| part(e.to_string()))?;
        // The format is asked first: a newer one may have settings this build does not know.
        if let Some(format) = found.get("format").and_then(serde_json::Value::as_u64)
            && format > u64::from(FORMAT)
        {
            let found = u32::try_from(format).unwrap_or(u32::MAX);
            return Err(OpenError::Format {
                path: path.to_owned(),
                found,
            });
        }
        let about: About = serde_json::from_value(found).map_err(|e| part(e.to_string()))?;
        if about.format != FORMAT {
            return Err(part(format!("format {}", about.format)));
        }
        Ok(Self { path, about, tensors })
    }

    fn model(self) -> Result<WordsModel, OpenError> {
        let ends: Vec<usize> = self.numbers("ends", Dtype::U32, None, |b| u32::from_le_bytes(b) as usize)?;
        let features = ends.len();
        if self.about.words > features {
            let expected = format!("at most {features}");
            return Err(self.part("words", self.about.words.to_string(), expected));
        }
        let idf = self.numbers("idf", Dtype::F32, Some(&[features]), f32::from_le_bytes)?;
        let grams = self.grams(&ends)?;
        let vectorizer = Vectorizer::from_parts(self.about.settings.clone(), grams, self.about.words, idf);
        let heads = (0..self.about.tasks)
            .map(|i| {
                let bias = self.numbers(&format!("head.{i}.bias"), Dtype::F32, None, f32::from_le_bytes)?;
                let shape = [features, bias.len()];
                let name = format!("head.{i}.weight");
                let weights = self.numbers(&name, Dtype::F16, Some(&shape), |b| {
                    f16::from_le_bytes(b).to_f32()
                })?;
                Ok(Head::new(weights, bias))
            })
            .collect::<Result<Vec<_>, OpenError>>()?;
        Ok(WordsModel::new(vectorizer, heads))
    }

    /// Cuts the n-grams out of their bytes.
    fn grams(&self, ends: &[usize]) -> Result<Vec<String>, OpenError> {
        let bytes = self.numbers("grams", Dtype::U8, None, |[b]: [u8; 1]| b)?;
        let mut start = 0;
        ends.iter()
            .map(|&end| {
                let gram = bytes
                    .get(start..end)
                    .and_then(|gram| std::str::from_utf8(gram).ok());
                let gram = gram.ok_or_else(|| {
                    let expected = format!("UTF-8 ending within {} bytes", bytes.len());
                    self.part("ends", format!("{start}..{end}"), expected)
                })?;
                start = end;
                Ok(gram.to_owned())
            })
            .collect()
    }

    /// The numbers of one tensor, of this type and, where given, this shape.
    fn numbers<T, const N: usize>(
        &self,
        name: &str,
        kind: Dtype,
        shape: Option<&[usize]>,
        read: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>, OpenError> {
        let describe = |kind: Dtype, shape: Option<&[usize]>| match shape {
            Some(shape) => format!("{kind:?} {shape:?}"),
            None => format!("{kind:?}, one dimension"),
        };
        let expected = describe(kind, shape);
        let Ok(tensor) = self.tensors.tensor(name) else {
            return Err(self.part(name, "missing".to_owned(), expected));
        };
        let fits = shape.map_or(tensor.shape().len() == 1, |shape| tensor.shape() == shape);
        if tensor.dtype() != kind || !fits {
            return Err(self.part(name, describe(tensor.dtype(), Some(tensor.shape())), expected));
        }
        let (chunks, _) = tensor.data().as_chunks::<N>();
        Ok(chunks.iter().map(|&bytes| read(bytes)).collect())
    }

    fn part(&self, part: &str, found: String, expected: String) -> OpenError {
        OpenError::Part {
            path: self.path.to_owned(),
            part: part.to_owned(),
            found,
            expected,
        }
    }
}

/// Little-endian bytes of f32 numbers.
fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 3] = [
        "Depotübertrag dauert",
        "Depot eröffnen",
        "Konto eröffnen — dauert",
    ];

    fn model() -> WordsModel {
        let vectorizer = Vectorizer::fit(&TEXTS, &Settings::default());
        let heads = [2, 3].map(|classes| {
            let weights = (0..vectorizer.features() * classes)
                .map(|i| (i as f32 * 0.37).sin())
                .collect();
            Head::new(weights, vec![-0.3; classes])
        });
        WordsModel::new(vectorizer, heads.into())
    }

    #[test]
    fn answers_the_same_after_saving_and_opening() {
        let directory = tempfile::tempdir().unwrap();
        let model = model();
        model.save(directory.path()).unwrap();
        let opened = WordsModel::open(directory.path()).unwrap();
        assert!(opened.vectorizer().features() > 10);
        assert_eq!(opened.logits(&TEXTS), model.logits(&TEXTS));
        assert_eq!(opened.vectorizer().settings(), model.vectorizer().settings());
        let first = fs::read(directory.path().join(FILE)).unwrap();
        opened.save(directory.path()).unwrap();
        assert_eq!(fs::read(directory.path().join(FILE)).unwrap(), first);
    }

    #[test]
    fn refuses_what_is_not_a_words_model() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(
            WordsModel::open(directory.path()),
            Err(OpenError::Read { .. })
        ));
        let path = directory.path().join(FILE);
        fs::write(&path, b"not a model").unwrap();
        assert!(matches!(
            WordsModel::open(directory.path()),
            Err(OpenError::Layout { .. })
        ));
        let other: Vec<(String, TensorView)> = Vec::new();
        safetensors::serialize_to_file(other, None, &path).unwrap();
        assert!(matches!(
            WordsModel::open(directory.path()),
            Err(OpenError::Part { .. })
        ));
        let other: Vec<(String, TensorView)> = Vec::new();
        let newer = HashMap::from([("words".to_owned(), r#"{"format": 7}"#.to_owned())]);
        safetensors::serialize_to_file(other, Some(newer), &path).unwrap();
        assert!(matches!(
            WordsModel::open(directory.path()),
            Err(OpenError::Format { found: 7, .. })
        ));
    }

    #[test]
    fn a_cut_file_is_an_error_not_a_panic() {
        let directory = tempfile::tempdir().unwrap();
        model().save(directory.path()).unwrap();
        let path = directory.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        for length in (0..whole.len()).step_by(97) {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(
                WordsModel::open(directory.path()).is_err(),
                "{length} of {} bytes",
                whole.len()
            );
        }
    }
}
