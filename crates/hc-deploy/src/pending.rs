//! What evaluation put into the store in its own words: read back from where it came, and written
//! when it must really be there.

use nix_compat::StorePath;
use nix_lang::{FileType, Ingestion, PathFilter};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Something evaluation put into the store, to be written when it is needed.
pub(crate) enum Pending {
    /// `builtins.toFile` and its like.
    Text { name: String, contents: Vec<u8>, references: BTreeSet<StorePath> },
    /// A file or tree on disk.
    Path { name: String, from: PathBuf, ingestion: Ingestion, only: Kept },
}

/// The files that a filter let through, if there was one.
type Kept = Option<BTreeSet<PathBuf>>;

fn missing() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl Pending {
    /// The file on disk that `below` in this object is; `None` for a text.
    fn on_disk(&self, below: &Path) -> io::Result<Option<PathBuf>> {
        let Pending::Path { from, only, .. } = self else { return Ok(None) };
        if below.as_os_str().is_empty() {
            return Ok(Some(from.clone()));
        }
        let file = from.join(below);
        match only {
            Some(kept) if !kept.contains(&file) => Err(missing()),
            _ => Ok(Some(file)),
        }
    }

    /// The file on disk that `below` in this object is, and which files there count; `None` for a text.
    pub(crate) fn disk(&self, below: &Path) -> io::Result<Option<(PathBuf, Kept)>> {
        let only = match self {
            Pending::Path { only, .. } => only.clone(),
            Pending::Text { .. } => None,
        };
        Ok(self.on_disk(below)?.map(|file| (file, only)))
    }

    /// The bytes of a file in this object.
    pub(crate) fn read_file(&self, below: &Path) -> io::Result<Vec<u8>> {
        match (self, self.on_disk(below)?) {
            (Pending::Text { contents, .. }, _) if below.as_os_str().is_empty() => {
                Ok(contents.clone())
            }
            (_, Some(file)) => std::fs::read(file),
            _ => Err(missing()),
        }
    }

    /// The target of a symlink in this object.
    pub(crate) fn read_link(&self, below: &Path) -> io::Result<PathBuf> {
        std::fs::read_link(self.on_disk(below)?.ok_or_else(missing)?)
    }

    /// The names in a directory of this object.
    pub(crate) fn read_dir(&self, below: &Path) -> io::Result<Vec<(Vec<u8>, FileType)>> {
        let dir = self.on_disk(below)?.ok_or_else(missing)?;
        let mut entries = nix_lang::read_dir(&dir)?;
        if let Pending::Path { only: Some(kept), .. } = self {
            use std::os::unix::ffi::OsStrExt;
            entries.retain(|(name, _)| kept.contains(&dir.join(std::ffi::OsStr::from_bytes(name))));
        }
        Ok(entries)
    }

    /// What kind of thing is at a path in this object.
    pub(crate) fn file_type(&self, below: &Path) -> io::Result<Option<FileType>> {
        match self.on_disk(below) {
            Ok(Some(file)) => nix_lang::file_type(&file),
            Ok(None) => Ok(below.as_os_str().is_empty().then_some(FileType::Regular)),
            Err(_) => Ok(None),
        }
    }
}

/// The files below `root` that a filter lets through: the filter is a Nix function, and must be
/// asked while the evaluator lives.
pub(crate) fn filtered(root: &Path, filter: PathFilter<'_>) -> io::Result<BTreeSet<PathBuf>> {
    let mut kept = BTreeSet::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(directory) = open.pop() {
        if !directory.symlink_metadata()?.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            if filter(&entry.path()) {
                if entry.file_type()?.is_dir() {
                    open.push(entry.path());
                }
                kept.insert(entry.path());
            }
        }
    }
    Ok(kept)
}
