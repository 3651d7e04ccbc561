//! Where the files of an image are: in a directory, or in a tar file.

use crate::archive::tar::{Reader, What};
use crate::archive::{Budget, Slice, Spool, refuse, refuse_entry};
use crate::error::{Context, Result};
use crate::tree::{Content, Kind};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

/// No manifest, index or configuration is larger (distribution-spec: 4 MiB).
const DOCUMENT_MAX: u64 = 8 << 20;

/// The files of an image.
pub(super) struct Place {
    /// What errors call it.
    pub name: String,
    files: Files,
}

enum Files {
    Directory(OwnedFd),
    Archive(BTreeMap<Vec<u8>, Found>),
}

enum Found {
    File(Slice),
    /// `docker save` once wrote a layer once and linked to it.
    Link(Vec<u8>),
}

impl Place {
    /// A directory, or a tar file that may be compressed.
    pub fn open(src: &Path, name: &str, spool: &Spool<'_>, budget: &mut Budget) -> Result<Self> {
        let found = std::fs::metadata(src).on("look at", src)?;
        let files = if found.is_dir() {
            let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
            Files::Directory(rustix::fs::open(src, flags, Mode::empty()).on("open", src)?)
        } else {
            let data = spool.plain(&Slice::open(src)?, name, budget, None, None)?;
            Files::Archive(list(data, name)?)
        };
        Ok(Self { name: name.into(), files })
    }

    /// One of its files; `None` when it has none of that name.
    pub fn file(&self, path: &str) -> Result<Option<Slice>> {
        match &self.files {
            Files::Archive(all) => {
                let mut at = normal(path.as_bytes());
                for _ in 0..8 {
                    match all.get(&at) {
                        None => return Ok(None),
                        Some(Found::File(slice)) => return Ok(Some(slice.clone())),
                        Some(Found::Link(target)) => {
                            let above =
                                at.iter().rposition(|b| *b == b'/').map_or(0, |cut| cut + 1);
                            at = normal(&[&at[..above], target].concat());
                        }
                    }
                }
                Err(refuse_entry(&self.name, path.as_bytes(), "its symlinks form a loop"))
            }
            Files::Directory(dir) => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
                let opened = rustix::fs::openat2(dir, path, flags, Mode::empty(), resolve);
                let file = match opened {
                    Err(rustix::io::Errno::NOENT) => return Ok(None),
                    opened => File::from(opened.on("open", Path::new(path))?),
                };
                let found = file.metadata().on("look at", Path::new(path))?;
                if !found.is_file() {
                    let why = "it is not a regular file";
                    return Err(refuse_entry(&self.name, path.as_bytes(), why));
                }
                Ok(Some(Slice { file: Arc::new(file), offset: 0, len: found.len(), at: 0 }))
            }
        }
    }

    /// A file that must be there.
    pub fn need(&self, path: &str) -> Result<Slice> {
        self.file(path)?
            .ok_or_else(|| refuse(&self.name, format!("it has no file `{path}`: it is incomplete")))
    }

    /// The whole text of a small file.
    pub fn document(&self, slice: &Slice, path: &str) -> Result<Vec<u8>> {
        let wrong = |why: String| refuse_entry(&self.name, path.as_bytes(), why);
        if slice.len > DOCUMENT_MAX {
            return Err(wrong(format!("it has {} bytes, more than any needs", slice.len)));
        }
        let mut text = vec![0; usize::try_from(slice.len).unwrap_or(0)];
        slice.read_exact_at(&mut text, 0).map_err(|e| wrong(format!("it is cut off: {e}")))?;
        Ok(text)
    }
}

/// The regular files and symlinks of a tar file.
fn list(data: Slice, name: &str) -> Result<BTreeMap<Vec<u8>, Found>> {
    let mut all = BTreeMap::new();
    let mut reader = Reader::new(data, true);
    loop {
        let entry = reader.next_entry().map_err(|refusal| match refusal.entry {
            Some(entry) => refuse_entry(name, &entry, refusal.why),
            None => refuse(name, refusal.why),
        })?;
        let Some(entry) = entry else { return Ok(all) };
        let found = match entry.what {
            What::Inode(Kind::File(Content::Parts { file, size, parts })) => match &*parts {
                [] => Found::File(Slice { file, offset: 0, len: 0, at: 0 }),
                [one] if one.len == size => {
                    Found::File(Slice { file, offset: one.offset, len: size, at: 0 })
                }
                _ => return Err(refuse_entry(name, &entry.path, "it has holes")),
            },
            What::Inode(Kind::Symlink(target)) => Found::Link(target),
            // Hard links point at what was there before, and directories at nothing.
            What::Link(target) => Found::Link([b"/", &target[..]].concat()),
            What::Inode(_) => continue,
        };
        let path = normal(&entry.path);
        if all.len() > 1 << 16 {
            return Err(refuse(name, "it has more files than any image"));
        }
        if all.insert(path, found).is_some() {
            return Err(refuse_entry(name, &entry.path, "it is in the archive twice"));
        }
    }
}

/// A path without `.` and `..`; one that begins with `/` after a directory begins anew.
fn normal(path: &[u8]) -> Vec<u8> {
    let start = path.windows(2).rposition(|pair| pair == b"//").map_or(0, |cut| cut + 1);
    let mut names: Vec<&[u8]> = Vec::new();
    for name in path[start..].split(|b| *b == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join(&b'/')
}
