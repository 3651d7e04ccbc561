//! Reading files: where they really are, and which of them evaluation may see.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::ffi::OsStringExt;

use crate::Evaluator;
use crate::error::{Error, ErrorKind, Result};
use crate::io::FileType;
use crate::paths::{CORE, as_path, core_file, file_error, is_within};
use crate::source::Pos;

impl Evaluator<'_> {
    /// Where a path is really read, if evaluation may read it.
    pub(crate) fn readable(&self, path: &[u8], pos: Pos) -> Result<Vec<u8>> {
        let store = self.store_dir.as_str().as_bytes();
        if is_within(path, store) && path.len() > store.len() {
            for tree in self.trees.borrow().iter() {
                let stored = tree.stored.borrow();
                let Some((stored, _)) = &*stored else { continue };
                let text = self.store_dir.render_path(stored);
                if is_within(path, text.as_bytes()) {
                    let mut disk = tree.disk.clone();
                    disk.extend_from_slice(&path[text.len()..]);
                    return Ok(disk);
                }
            }
            return Ok(self.io.physical(as_path(path)).into_os_string().into_vec());
        }
        if (self.settings.pure || self.settings.restrict)
            && !self.allowed.borrow().iter().any(|allowed| is_within(path, allowed))
        {
            let (mode, hint) = if self.settings.pure {
                ("pure evaluation", "use a path relative to the flake, or evaluate with --impure")
            } else {
                ("restricted", "add its directory to the search path")
            };
            let text = String::from_utf8_lossy(path);
            let message = format!("access to absolute path '{text}' is forbidden in {mode} mode");
            return Err(Error::new(ErrorKind::Impure, message, pos).hint(hint));
        }
        Ok(path.to_vec())
    }

    /// Whether the tree around a disk path hides it.
    fn is_hidden(&self, physical: &[u8]) -> bool {
        self.tree_of(physical).is_some_and(|tree| !tree.shows(tree.relative(physical)))
    }

    pub(crate) fn read_file(&self, path: &[u8], pos: Pos) -> Result<Vec<u8>> {
        if let Some(text) = core_file(path) {
            return Ok(text.to_vec());
        }
        let physical = self.readable(path, pos)?;
        let result = if self.is_hidden(&physical) {
            Err(io::Error::from(io::ErrorKind::NotFound))
        } else {
            self.io.read_file(as_path(&physical))
        };
        result.map_err(|error| match self.untracked(&physical, pos) {
            Some(untracked) => untracked,
            None => file_error("opening", path, error, pos),
        })
    }

    /// The error for what the tree around a disk path hides: it is not there, or git does not track it.
    pub(crate) fn untracked(&self, physical: &[u8], pos: Pos) -> Option<Error> {
        let tree = self.tree_of(physical)?;
        let below = tree.relative(physical);
        if tree.shows(below) {
            return None;
        }
        let there = self.io.file_type(as_path(physical)).is_ok_and(|kind| kind.is_some());
        let (below, root) = (String::from_utf8_lossy(below), String::from_utf8_lossy(&tree.disk));
        Some(if there {
            let message =
                format!("Path '{below}' in the repository \"{root}\" is not tracked by Git.");
            Error::new(ErrorKind::Io, message, pos)
                .hint(format!("git -C {root} add {below}, and it is there for Nix"))
        } else {
            let message = format!("Path '{below}' does not exist in Git repository \"{root}\".");
            Error::new(ErrorKind::Io, message, pos)
        })
    }

    pub(crate) fn read_dir(&self, path: &[u8], pos: Pos) -> Result<Vec<(Vec<u8>, FileType)>> {
        let physical = match self.readable(path, pos) {
            Err(error) if error.kind() == ErrorKind::Impure => {
                return self.ways_to_allowed(path).ok_or(error);
            }
            physical => physical?,
        };
        let mut entries =
            self.io.read_dir(as_path(&physical)).map_err(|error| match error.kind() {
                io::ErrorKind::NotADirectory => {
                    let text = String::from_utf8_lossy(path);
                    let message = format!("cannot read directory \"{text}\": Not a directory");
                    Error::new(ErrorKind::Io, message, pos)
                }
                _ => file_error("reading the directory", path, error, pos),
            })?;
        if let Some(tree) = self.tree_of(&physical)
            && tree.tracked.is_some()
        {
            entries.retain(|(name, _)| {
                let child = [&physical, b"/".as_slice(), name].concat();
                tree.shows(tree.relative(&child))
            });
        }
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }

    /// What restricted evaluation sees of a directory above one that it may read: the way there.
    fn ways_to_allowed(&self, path: &[u8]) -> Option<Vec<(Vec<u8>, FileType)>> {
        if !self.settings.restrict {
            return None;
        }
        let allowed = self.allowed.borrow();
        let ways = allowed.iter().filter(|allowed| is_within(allowed, path) && *allowed != path);
        let names = ways.filter_map(|allowed| {
            let below = allowed[path.len()..].split(|byte| *byte == b'/');
            below.into_iter().find(|name| !name.is_empty())
        });
        let names: BTreeSet<&[u8]> = names.collect();
        let kind = |name: &[u8]| {
            let path = [path, b"/", name].concat();
            self.io.file_type(as_path(&path)).ok().flatten()
        };
        let entries: Vec<_> =
            names.iter().filter_map(|name| Some((name.to_vec(), kind(name)?))).collect();
        (!entries.is_empty()).then_some(entries)
    }

    /// The type of a path, the last symlink not followed.
    pub(crate) fn lstat(&self, path: &[u8], pos: Pos) -> Result<Option<FileType>> {
        if path.starts_with(CORE) {
            return Ok(core_file(path).map(|_| FileType::Regular));
        }
        let physical = match self.readable(path, pos) {
            Err(error) if error.kind() == ErrorKind::Impure => {
                let way = self.ways_to_allowed(path).map(|_| FileType::Directory);
                return way.map(Some).ok_or(error);
            }
            physical => physical?,
        };
        if self.is_hidden(&physical) {
            return Ok(None);
        }
        self.io
            .file_type(as_path(&physical))
            .map_err(|error| file_error("reading", path, error, pos))
    }
}
