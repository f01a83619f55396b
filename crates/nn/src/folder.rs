//! A directory that appears whole or not at all.

use std::io;
use std::path::{Path, PathBuf};

/// A directory that is being written, under another name beside its own.
pub(crate) struct Half {
    root: tempfile::TempDir,
    folder: PathBuf,
}

/// What could not be made or renamed, and why.
pub(crate) type Failed = (PathBuf, io::Error);

impl Half {
    /// Begins the directory `folder`, which must not exist; its parents are made.
    pub fn begin(folder: &Path) -> Result<Self, Failed> {
        let parent = match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let failed = |error| (parent.to_path_buf(), error);
        std::fs::create_dir_all(parent).map_err(failed)?;
        let root = tempfile::Builder::new()
            .prefix(".half-")
            .tempdir_in(parent)
            .map_err(failed)?;
        let folder = folder.to_path_buf();
        Ok(Self { root, folder })
    }

    /// Where to write; dropped unfinished, it is removed.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Renames the directory into place.
    pub fn finish(self) -> Result<(), Failed> {
        let Self { root, folder } = self;
        let rename = std::fs::rename(root.path(), &folder);
        if let Err(error) = rename {
            return Err((folder, error));
        }
        // Nothing is left at its old path for it to remove.
        let _ = root.keep();
        // `tempdir` makes the directory for its owner alone; others are to read it.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let readable = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(&folder, readable).map_err(|error| (folder, error))?;
        }
        Ok(())
    }
}
