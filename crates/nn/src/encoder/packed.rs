//! An encoder's layers and word pieces as inference multiplies them, in memory or in a file.
//!
//! In int8 they are written beside the weights they were made from, in the safetensors format, so that a bundle opens
//! without touching those: nothing is converted, and several processes share them. Layers are mapped; of the word pieces, few
//! of which a mail has, single rows are read, for a mapping would keep whatever lies around them in memory, too.
//!
//! ```text
//! layers.<n>.<map>.channels   F32 [outputs, 3]           of each channel: size of a step, that times its steps' sum, bias
//! layers.<n>.<map>.words      U32 [panels, steps, 16, 16]
//! words                       I8  [vocabulary, hidden + 4]   a row of steps, then the size of one as an f32
//! ```

use super::weights::Layer;
use super::{Config, Encoder, WordTable};
use crate::hf::{self, CheckpointError};
use poststelle_kernels::UnsupportedPrecision;
use poststelle_kernels::lanes::{Arithmetic, Weights, WeightsError, Words, weight_steps};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// The file's name in a bundle.
pub const FILE: &str = "packed.safetensors";
/// Where in the file it says what it was made from, and in which form.
const ABOUT: &str = "packed";
/// What is said before the digest of the weights.
const FORM: &str = "form 1, int8, of ";
/// Bytes the tensors' beginnings are multiples of where the shapes allow, so that a vector lies in one cache line.
const LINE: usize = 64;

/// An encoder's layers in one arithmetic, and its word-piece table in int8.
pub struct Packed {
    pub(super) arithmetic: Arithmetic,
    pub(super) layers: Vec<PackedLayer>,
    /// In int8 alone.
    pub(super) words: Option<WordSteps>,
}

/// The linear maps of a layer.
pub(super) struct PackedLayer {
    pub qkv: Weights,
    pub attention_out: Weights,
    pub up: Weights,
    pub down: Weights,
}

/// Why an encoder cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The processor lacks the arithmetic.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedPrecision),
    /// A map's weights cannot be used.
    #[error("layer {layer}, {map}")]
    Weights {
        /// The layer, from 0.
        layer: usize,
        /// The linear map in it.
        map: &'static str,
        /// What is wrong with it.
        source: WeightsError,
    },
}

/// The maps of a layer by name, with their inputs.
fn maps(config: &Config) -> [(&'static str, usize, usize); 4] {
    let (hidden, inner) = (config.hidden, config.feed_forward);
    [
        ("qkv", 3 * hidden, hidden),
        ("attention_out", hidden, hidden),
        ("up", inner, hidden),
        ("down", hidden, inner),
    ]
}

impl PackedLayer {
    fn new(arithmetic: Arithmetic, layer: &Layer, n: usize) -> Result<Self, PackError> {
        let pack = |map, linear: &super::Linear| {
            Weights::new(arithmetic, &linear.weight, &linear.bias).map_err(|source| PackError::Weights {
                layer: n,
                map,
                source,
            })
        };
        Ok(Self {
            qkv: pack("qkv", &layer.qkv)?,
            attention_out: pack("attention_out", &layer.attention_out)?,
            up: pack("up", &layer.up)?,
            down: pack("down", &layer.down)?,
        })
    }

    fn by_name(&self) -> [(&'static str, &Weights); 4] {
        let Self {
            qkv,
            attention_out,
            up,
            down,
        } = self;
        [
            ("qkv", qkv),
            ("attention_out", attention_out),
            ("up", up),
            ("down", down),
        ]
    }
}

impl Packed {
    /// Packs every layer, and in int8 the word-piece table; over all cores.
    pub fn new(encoder: &Encoder, arithmetic: Arithmetic) -> Result<Self, PackError> {
        arithmetic.supported()?;
        let layers = encoder.body.layers.par_iter().enumerate();
        let layers = layers
            .map(|(n, layer)| PackedLayer::new(arithmetic, layer, n))
            .collect::<Result<_, _>>()?;
        let int8 = arithmetic == Arithmetic::Int8;
        let words = int8.then(|| WordSteps::new(&encoder.words, &encoder.config));
        Ok(Self {
            arithmetic,
            layers,
            words,
        })
    }

    /// The arithmetic the layers are packed for.
    pub fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// Writes layers and word pieces in int8 to `path`; `source` is the digest of the weights they were made from.
    ///
    /// # Errors
    /// [`CheckpointError::Write`]; of another arithmetic than int8 nothing is written.
    pub(crate) fn write(&self, path: &Path, source: &str) -> Result<(), CheckpointError> {
        let failed = |reason: &dyn std::fmt::Display| CheckpointError::Write {
            path: path.to_path_buf(),
            reason: reason.to_string(),
        };
        let Some(words) = &self.words else {
            return Err(failed(&"layers are kept packed in int8 alone"));
        };
        let mut owned: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        for (n, layer) in self.layers.iter().enumerate() {
            for (map, weights) in layer.by_name() {
                let at = |part: &str| format!("layers.{n}.{map}.{part}");
                let channels = weights.channels().as_flattened().iter();
                let channels = channels.flat_map(|x| x.to_le_bytes()).collect();
                owned.push((at("channels"), Dtype::F32, vec![weights.outputs(), 3], channels));
                let panels = weights.outputs().div_ceil(16);
                let shape = vec![panels, weights.words().len() / panels.max(1) / 256, 16, 16];
                let words = weights
                    .words()
                    .iter()
                    .flat_map(|word| word.to_le_bytes())
                    .collect();
                owned.push((at("words"), Dtype::U32, shape, words));
            }
        }
        let mut views = Vec::new();
        for (name, dtype, shape, data) in &owned {
            let view = TensorView::new(*dtype, shape.clone(), data).map_err(|error| failed(&error))?;
            views.push((name.as_str(), view));
        }
        let Rows::Own(rows) = &words.rows else {
            return Err(failed(&"the word pieces are in a file already"));
        };
        let shape = vec![rows.len() / words.row_bytes(), words.row_bytes()];
        let table = TensorView::new(Dtype::I8, shape, rows).map_err(|error| failed(&error))?;
        views.push(("words", table));
        // The format pads its header to 8 bytes; spaces in it move the tensors on to a cache line.
        let mut spaces = 0;
        loop {
            let about = format!("{FORM}{source}{}", " ".repeat(spaces));
            let about = [(ABOUT.to_owned(), about)].into_iter().collect();
            safetensors::serialize_to_file(views.clone(), Some(about), path)
                .map_err(|error| failed(&error))?;
            let header = header(path).map_err(|error| failed(&error))?;
            match header.next_multiple_of(LINE) - header {
                0 => return Ok(()),
                more => spaces += more,
            }
        }
    }

    /// Maps what [`write`](Self::write) wrote for an encoder of this shape; `source` is the digest of the weights beside it.
    ///
    /// # Errors
    /// [`CheckpointError::Read`], or [`CheckpointError::Invalid`] where the file is damaged, of another form, or of other
    /// weights.
    pub(crate) fn open(path: &Path, config: &Config, source: &str) -> Result<Self, CheckpointError> {
        let (file, map) = hf::opened(path)?;
        let map = Arc::new(map);
        let invalid = |reason: String| CheckpointError::Invalid {
            path: path.to_path_buf(),
            reason,
        };
        let wrong = |error: safetensors::SafeTensorError| invalid(error.to_string());
        let (_, about) = SafeTensors::read_metadata(&map).map_err(wrong)?;
        let found = about.metadata().as_ref().and_then(|about| about.get(ABOUT));
        let found = found.map_or("", |about| about.trim_end());
        let expected = format!("{FORM}{source}");
        if found != expected {
            return Err(invalid(format!("it holds `{found}`, expected `{expected}`")));
        }
        let tensors = SafeTensors::deserialize(&map).map_err(wrong)?;
        let range = |name: &str, dtype: Dtype| -> Result<Range<usize>, CheckpointError> {
            let view = tensors.tensor(name).map_err(wrong)?;
            if view.dtype() != dtype {
                return Err(invalid(format!(
                    "`{name}` is {:?}, expected {dtype:?}",
                    view.dtype()
                )));
            }
            let start = view.data().as_ptr().addr() - map.as_ptr().addr();
            Ok(start..start + view.data().len())
        };
        let weights = |n: usize,
                       (part, outputs, inputs): (&str, usize, usize)|
         -> Result<Weights, CheckpointError> {
            let at = |what: &str| format!("layers.{n}.{part}.{what}");
            let channels = &map[range(&at("channels"), Dtype::F32)?];
            let channels: Vec<[f32; 3]> = channels
                .as_chunks::<12>()
                .0
                .iter()
                .map(|channel| {
                    std::array::from_fn(|i| f32::from_le_bytes(std::array::from_fn(|b| channel[4 * i + b])))
                })
                .collect();
            if channels.len() != outputs {
                let found = channels.len();
                return Err(invalid(format!(
                    "`{}` has {found} channels, expected {outputs}",
                    at("channels")
                )));
            }
            let words = Words::shared(map.clone(), range(&at("words"), Dtype::U32)?)
                .ok_or_else(|| invalid(format!("`{}` does not begin on a word", at("words"))))?;
            Weights::packed(Arithmetic::Int8, inputs, words, channels)
                .map_err(|error| invalid(format!("layer {n}, {part}: {error}")))
        };
        let layer = |n: usize| {
            let [qkv, attention_out, up, down] = maps(config).map(|map| weights(n, map));
            Ok(PackedLayer {
                qkv: qkv?,
                attention_out: attention_out?,
                up: up?,
                down: down?,
            })
        };
        let layers = (0..config.layers)
            .map(layer)
            .collect::<Result<_, CheckpointError>>()?;
        let rows = range("words", Dtype::I8)?;
        let words = WordSteps {
            hidden: config.hidden,
            rows: Rows::File(file, rows.start as u64),
        };
        let (found, expected) = (rows.len(), config.vocabulary * words.row_bytes());
        if found != expected {
            return Err(invalid(format!("`words` has {found} bytes, expected {expected}")));
        }
        Ok(Self {
            arithmetic: Arithmetic::Int8,
            layers,
            words: Some(words),
        })
    }
}

/// Bytes before the first tensor of a safetensors file.
fn header(path: &Path) -> std::io::Result<usize> {
    let mut length = [0; 8];
    std::io::Read::read_exact(&mut std::fs::File::open(path)?, &mut length)?;
    Ok(8 + u64::from_le_bytes(length) as usize)
}

/// The word-piece table in 8 bits: of each row 127 steps to its largest value.
pub(super) struct WordSteps {
    hidden: usize,
    rows: Rows,
}

/// `[vocabulary][hidden + 4]`: the steps of a row, then the size of one as an f32.
enum Rows {
    Own(Vec<u8>),
    /// From this byte on.
    File(File, u64),
}

impl WordSteps {
    fn new(words: &WordTable, config: &Config) -> Self {
        let hidden = config.hidden;
        let mut rows = vec![0; config.vocabulary * (hidden + 4)];
        let each = rows.par_chunks_mut(hidden + 4).enumerate();
        each.for_each_init(
            || vec![0.0; hidden],
            |values, (id, row)| {
                words.row(id as u32, values);
                let (steps, end) = row.split_at_mut(hidden);
                let size = weight_steps(values, steps);
                end.copy_from_slice(&size.to_le_bytes());
            },
        );
        let rows = Rows::Own(rows);
        Self { hidden, rows }
    }

    fn row_bytes(&self) -> usize {
        self.hidden + 4
    }

    /// Writes the vector of word piece `id` to `out` `[hidden]`; `buffer` keeps its memory from one to the next.
    ///
    /// # Panics
    /// If there is no such piece, or the file cannot be read any more.
    pub fn row(&self, id: u32, buffer: &mut Vec<u8>, out: &mut [f32]) {
        let (bytes, start) = (self.row_bytes(), id as usize * self.row_bytes());
        let row = match &self.rows {
            Rows::Own(rows) => &rows[start..start + bytes],
            Rows::File(file, first) => {
                buffer.resize(bytes, 0);
                if let Err(error) = read_at(file, buffer, first + start as u64) {
                    panic!("{FILE} cannot be read any more: {error}");
                }
                buffer
            }
        };
        let (steps, size) = row.split_at(self.hidden);
        let size = f32::from_le_bytes(std::array::from_fn(|n| size[n]));
        for (out, step) in out.iter_mut().zip(steps) {
            *out = f32::from(step.cast_signed()) * size;
        }
    }
}

/// Fills `bytes` from a place in a file, whatever others read of it meanwhile.
#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> std::io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match std::os::windows::fs::FileExt::seek_read(file, &mut bytes[done..], at + done as u64)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            more => done += more,
        }
    }
    Ok(())
}
