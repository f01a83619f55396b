//! A bundle as one file: `model.tar.gz`, the same bytes for the same bundle.

use super::OpenError;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Packs a bundle's directory into `to`. Names are sorted, times and owners left out, so the archive's digest is the bundle's.
///
/// # Errors
/// [`OpenError::Read`], naming the file.
pub fn pack(folder: &Path, to: &Path) -> Result<(), OpenError> {
    let at = |path: &Path| {
        let path = path.to_path_buf();
        move |source| OpenError::Read { path, source }
    };
    let mut files = Vec::new();
    list(folder, Path::new(""), &mut files).map_err(at(folder))?;
    files.sort();
    let file = BufWriter::new(File::create(to).map_err(at(to))?);
    // Weights hardly shrink, however long one tries.
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
    for name in files {
        let path = folder.join(&name);
        let mut source = File::open(&path).map_err(at(&path))?;
        let mut header = tar::Header::new_gnu();
        header.set_size(source.metadata().map_err(at(&path))?.len());
        header.set_mode(0o644);
        header.set_mtime(0);
        archive
            .append_data(&mut header, &name, &mut source)
            .map_err(at(&path))?;
    }
    let finish = || {
        archive
            .into_inner()?
            .finish()?
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .flush()
    };
    finish().map_err(at(to))
}

/// Unpacks what [`pack`] or another maker of `model.tar.gz` packed into a directory that is there.
///
/// # Errors
/// [`OpenError::Read`]; the directory may then hold some files.
pub fn unpack(archive: &Path, folder: &Path) -> Result<(), OpenError> {
    let read = |source| OpenError::Read {
        path: archive.to_path_buf(),
        source,
    };
    let file = File::open(archive).map_err(read)?;
    // `unpack` refuses entries that lead out of the directory.
    tar::Archive::new(GzDecoder::new(file))
        .unpack(folder)
        .map_err(read)
}

/// The files below `folder`, relative to it.
fn list(folder: &Path, below: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder.join(below))? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            list(folder, &name, files)?;
        } else {
            files.push(name);
        }
    }
    Ok(())
}
