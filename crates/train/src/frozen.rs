//! What frozen lower layers say of every text: computed once, kept in a file, read part by part.
//!
//! The file holds f32, exactly what the layers gave, so a run with it learns what a run without it learns. It is named
//! by a digest of all that the outputs follow from: the weights of the frozen part, the tokens and the arithmetic.
//!
//! The outputs derive from mail, and mail can be guessed from them. So they stay only where the caller asks for it
//! ([`Cache::Kept`]); else the file has no name and is gone with the process, however that ends.
//!
//! ```text
//! header   `PSFROZEN`, format u32, hidden u32, rows u64, key [32], digest of the rows [32], little-endian
//! rows     f32 [tokens, hidden], the texts of one set after another
//! ```

use poststelle_kernels::Precision;
use poststelle_nn::Network;
use poststelle_nn::encode::{Batch, Encoding};
use poststelle_nn::encoder::{Element, Encoder, Layer};
use poststelle_nn::network::Workspace;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where the outputs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache<'a> {
    /// In this directory for as long as the process lives; no other program can open the file.
    Passing(&'a Path),
    /// In this directory for later runs on the same texts and base model, until someone removes it.
    Kept(&'a Path),
}

impl<'a> Cache<'a> {
    fn folder(self) -> &'a Path {
        match self {
            Self::Passing(folder) | Self::Kept(folder) => folder,
        }
    }
}

/// How it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A kept file cannot be used and is made anew.
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The layers are run over the texts.
    Running {
        /// Tokens so far.
        done: usize,
        /// Tokens of all texts.
        tokens: usize,
        /// Number of frozen layers.
        layers: usize,
    },
    /// The outputs can be read.
    Ready {
        /// Size of the file.
        bytes: u64,
        /// The file, if it is kept.
        kept: Option<PathBuf>,
        /// Whether an earlier run had made it.
        reused: bool,
    },
}

/// Why the outputs cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum FrozenError {
    /// No file can be made there.
    #[error("cannot make a file of {bytes} bytes for the outputs of the frozen layers in `{}`", .folder.display())]
    Make {
        /// The directory.
        folder: PathBuf,
        /// What the file would take.
        bytes: u64,
        /// Why.
        source: io::Error,
    },
    /// It cannot be written, as on a full disk.
    #[error("cannot write the outputs of the frozen layers to `{}`, which takes {bytes} bytes", .path.display())]
    Write {
        /// The file, or the directory it lies in without a name.
        path: PathBuf,
        /// What the whole file takes.
        bytes: u64,
        /// Why.
        source: io::Error,
    },
    /// It cannot be read back.
    #[error("cannot read the outputs of the frozen layers from `{}`", .path.display())]
    Read {
        /// The file, or the directory it lies in without a name.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

const MAGIC: &[u8; 8] = b"PSFROZEN";
const FORMAT: u32 = 1;
const HEADER: usize = 8 + 4 + 4 + 8 + 32 + 32;
/// Bytes turned into numbers at a time; a multiple of an element.
const CHUNK: usize = 1 << 16;

/// The outputs of the frozen layers for the texts of some sets.
#[derive(Debug)]
pub struct Outputs {
    file: File,
    /// The file, or the directory it lies in without a name.
    path: PathBuf,
    hidden: usize,
    /// Per set, the first row of each text and the row after the last.
    rows: Vec<Vec<u64>>,
}

/// What a file must say of itself to be the one that is wanted.
struct Wanted {
    key: [u8; 32],
    hidden: usize,
    rows: u64,
}

impl Outputs {
    /// Runs the first `layers` layers over every text of `sets`, or takes what an earlier run kept.
    ///
    /// `workspace` and `tokens` are the run's: parts of at most `tokens` tokens are computed in its memory.
    ///
    /// # Errors
    /// [`FrozenError`]; a kept file that is damaged or another's is not an error, it is told and made anew.
    #[allow(clippy::too_many_arguments)] // each is of another kind
    pub fn make(
        network: &Network,
        precision: Precision,
        layers: usize,
        sets: &[&[Encoding]],
        cache: Cache<'_>,
        tokens: usize,
        workspace: &mut Workspace,
        tell: &mut dyn FnMut(Told),
    ) -> Result<Self, FrozenError> {
        let hidden = network.encoder.config.hidden;
        let rows = starts(sets);
        let wanted = Wanted {
            key: key(&network.encoder, precision, layers, sets),
            hidden,
            rows: rows.last().and_then(|set| set.last()).copied().unwrap_or(0),
        };
        let folder = cache.folder();
        let name: String = wanted.key[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let path = folder.join(format!("frozen-{name}.f32"));
        let kept = matches!(cache, Cache::Kept(_)).then(|| path.clone());
        let bytes = wanted.bytes();
        if kept.is_some() && path.exists() {
            match reuse(&path, &wanted) {
                Ok(file) => {
                    tell(Told::Ready {
                        bytes,
                        kept,
                        reused: true,
                    });
                    return Ok(Self {
                        file,
                        path,
                        hidden,
                        rows,
                    });
                }
                Err(reason) => tell(Told::Unfit {
                    path: path.clone(),
                    reason,
                }),
            }
        }
        let unmade = |source| FrozenError::Make {
            folder: folder.to_path_buf(),
            bytes,
            source,
        };
        let unwritten = |source| FrozenError::Write {
            path: kept.clone().unwrap_or_else(|| folder.to_path_buf()),
            bytes,
            source,
        };
        std::fs::create_dir_all(folder).map_err(unmade)?;
        let all: usize = sets
            .iter()
            .flat_map(|set| set.iter())
            .map(|text| text.ids.len())
            .sum();
        let mut done = 0;
        let mut fill = |file: &mut dyn Whole| {
            write(file, &wanted, |rows| {
                for batch in sets.iter().flat_map(|set| batches(set, tokens)) {
                    tell(Told::Running {
                        done,
                        tokens: all,
                        layers,
                    });
                    rows.push(network.lower(precision, &batch, layers, workspace))?;
                    done += batch.len();
                }
                Ok(())
            })
        };
        let (file, path) = match &kept {
            None => {
                let mut file = tempfile::tempfile_in(folder).map_err(unmade)?;
                fill(&mut file).map_err(unwritten)?;
                (file, folder.to_path_buf())
            }
            Some(path) => {
                let mut half = tempfile::Builder::new()
                    .prefix(".frozen-")
                    .tempfile_in(folder)
                    .map_err(unmade)?;
                fill(half.as_file_mut()).map_err(unwritten)?;
                let file = half.persist(path).map_err(|error| unwritten(error.error))?;
                (file, path.clone())
            }
        };
        tell(Told::Ready {
            bytes,
            kept,
            reused: false,
        });
        Ok(Self {
            file,
            path,
            hidden,
            rows,
        })
    }

    /// Reads the outputs for these texts of a set, one after another, to `out`: `[tokens, hidden]`.
    pub fn read(&self, set: usize, texts: &[usize], out: &mut Vec<f32>) -> Result<(), FrozenError> {
        out.clear();
        let read = |source| FrozenError::Read {
            path: self.path.clone(),
            source,
        };
        for &text in texts {
            let rows = self.rows[set][text]..self.rows[set][text + 1];
            self.read_rows(rows, out).map_err(read)?;
        }
        Ok(())
    }

    fn read_rows(&self, rows: Range<u64>, out: &mut Vec<f32>) -> io::Result<()> {
        let row = (self.hidden * Element::F32.bytes()) as u64;
        let mut file = &self.file;
        file.seek(SeekFrom::Start(HEADER as u64 + rows.start * row))?;
        let mut left = ((rows.end - rows.start) * row) as usize;
        let mut buffer = [0; CHUNK];
        while left > 0 {
            let bytes = &mut buffer[..left.min(CHUNK)];
            file.read_exact(bytes)?;
            left -= bytes.len();
            let from = out.len();
            out.resize(from + bytes.len() / Element::F32.bytes(), 0.0);
            Element::F32.widen(bytes, &mut out[from..]);
        }
        Ok(())
    }
}

impl Wanted {
    /// Size of the whole file.
    fn bytes(&self) -> u64 {
        HEADER as u64 + self.rows * (self.hidden * Element::F32.bytes()) as u64
    }

    fn header(&self, digest: &[u8]) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        header.extend(FORMAT.to_le_bytes());
        header.extend((self.hidden as u32).to_le_bytes());
        header.extend(self.rows.to_le_bytes());
        header.extend(self.key);
        header.extend(digest);
        header
    }
}

/// What is written to: a file, or in a test a disk that is full.
trait Whole: Write + Seek {}
impl<T: Write + Seek> Whole for T {}

/// Takes rows, digests them and writes them on.
struct Rows<'a> {
    file: &'a mut dyn Whole,
    digest: Sha256,
    bytes: Vec<u8>,
}

impl Rows<'_> {
    fn push(&mut self, values: &[f32]) -> io::Result<()> {
        for values in values.chunks(CHUNK / Element::F32.bytes()) {
            self.bytes.clear();
            self.bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
            self.digest.update(&self.bytes);
            self.file.write_all(&self.bytes)?;
        }
        Ok(())
    }
}

/// Writes a whole file: room for the header, the rows that `fill` pushes, and then the header.
fn write(
    file: &mut dyn Whole,
    wanted: &Wanted,
    fill: impl FnOnce(&mut Rows<'_>) -> io::Result<()>,
) -> io::Result<()> {
    file.write_all(&[0; HEADER])?;
    let mut rows = Rows {
        file,
        digest: Sha256::new(),
        bytes: Vec::with_capacity(CHUNK),
    };
    fill(&mut rows)?;
    let Rows { file, digest, .. } = rows;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&wanted.header(&digest.finalize()))?;
    file.flush()
}

/// Opens a kept file that is whole and the one wanted, or says what is wrong with it.
fn reuse(path: &Path, wanted: &Wanted) -> Result<File, String> {
    let unread = |error: io::Error| error.to_string();
    let mut file = File::open(path).map_err(unread)?;
    let (found, expected) = (file.metadata().map_err(unread)?.len(), wanted.bytes());
    if found != expected {
        return Err(format!("{found} bytes long, expected {expected}"));
    }
    let mut header = [0; HEADER];
    file.read_exact(&mut header).map_err(unread)?;
    let (about, said) = header.split_at(HEADER - 32);
    if about != &wanted.header(&[])[..] {
        return Err("its header is of another model, other texts or another format".to_owned());
    }
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut buffer).map_err(unread)? {
            0 => break,
            n => digest.update(&buffer[..n]),
        }
    }
    if digest.finalize()[..] == *said {
        Ok(file)
    } else {
        Err("its contents are not those it was written with".to_owned())
    }
}

/// The first row of each text, set after set, each with the row after its last.
fn starts(sets: &[&[Encoding]]) -> Vec<Vec<u64>> {
    let mut row = 0;
    let mut of_set = |set: &&[Encoding]| {
        let mut starts = vec![row];
        for text in *set {
            row += text.ids.len() as u64;
            starts.push(row);
        }
        starts
    };
    sets.iter().map(&mut of_set).collect()
}

/// Packs texts in their order into batches of at most `tokens` tokens, or one text.
fn batches(texts: &[Encoding], tokens: usize) -> impl Iterator<Item = Batch> + '_ {
    let lengths: Vec<usize> = texts.iter().map(|text| text.ids.len()).collect();
    let sizes: Vec<usize> = crate::parts::micro_batches(&lengths, usize::MAX, tokens).collect();
    let mut first = 0;
    sizes.into_iter().map(move |size| {
        first += size;
        Batch::pack(texts[first - size..first].iter().map(|text| &text.ids[..]))
    })
}

/// A digest of all that the outputs follow from.
fn key(encoder: &Encoder, precision: Precision, layers: usize, sets: &[&[Encoding]]) -> [u8; 32] {
    let mut digest = Sha256::new();
    let config = &encoder.config;
    digest.update(
        format!(
            "frozen outputs {FORMAT} {precision:?} {layers} layers {} heads {} wide epsilon {} first {} types {}\n",
            config.heads,
            config.hidden,
            config.epsilon,
            config.first_position,
            config.token_types
        )
        .as_bytes(),
    );
    let mut add = |values: &[f32]| {
        for values in values.chunks(CHUNK / 4) {
            let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            digest.update(&bytes);
        }
    };
    let body = &encoder.body;
    add(&body.positions);
    add(&body.token_types);
    add(&body.embedding_norm.gain);
    add(&body.embedding_norm.bias);
    for layer in &body.layers[..layers] {
        let Layer {
            qkv,
            attention_out,
            attention_norm,
            up,
            down,
            output_norm,
        } = layer;
        for linear in [qkv, attention_out, up, down] {
            add(&linear.weight);
            add(&linear.bias);
        }
        for norm in [attention_norm, output_norm] {
            add(&norm.gain);
            add(&norm.bias);
        }
    }
    // Of the word-piece table only the rows that the texts use.
    let texts = || sets.iter().flat_map(|set| set.iter());
    let used: BTreeSet<u32> = texts().flat_map(|text| text.ids.iter().copied()).collect();
    let mut row = vec![0.0; config.hidden];
    for id in used {
        encoder.words.row(id, &mut row);
        add(&row);
    }
    for set in sets {
        digest.update((set.len() as u64).to_le_bytes());
        for text in *set {
            digest.update((text.ids.len() as u64).to_le_bytes());
            let bytes: Vec<u8> = text.ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            digest.update(&bytes);
        }
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for so many bytes.
    struct Disk(usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(bytes.len())
                .ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Disk {
        fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
            Ok(0)
        }
    }

    #[test]
    fn a_full_disk_is_an_error_of_the_write() {
        let wanted = Wanted {
            key: [7; 32],
            hidden: 4,
            rows: 100,
        };
        let filled = |room| write(&mut Disk(room), &wanted, |rows| rows.push(&[1.0; 400]));
        assert_eq!(filled(1000).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(filled(wanted.bytes() as usize + HEADER).is_ok());
    }
}
