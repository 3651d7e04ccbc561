//! Symbolic links: followed at the end of a path, or everywhere in it.

use std::io;
use std::os::unix::ffi::OsStrExt;

use crate::Evaluator;
use crate::error::{ErrorKind, Result};
use crate::io::FileType;
use crate::paths::{as_path, canonical, dir_name, file_error};
use crate::source::Pos;

impl<'a> Evaluator<'a> {
    /// A path as the search path has it, which may start from where the program was started.
    pub(crate) fn in_current_dir(&self, path: &[u8]) -> Vec<u8> {
        match (path.first(), &self.settings.current_dir) {
            (Some(b'/'), _) | (_, None) => canonical(path),
            (_, Some(dir)) => {
                canonical(&[dir.as_os_str().as_bytes(), b"/".as_slice(), path].concat())
            }
        }
    }

    /// A path without symlinks in it; what is not there is left as it is.
    pub(crate) fn resolved(&self, path: &[u8], pos: Pos) -> Result<Vec<u8>> {
        let path = self.resolved_parent(path, pos)?;
        let target = self.follow(&path, pos)?;
        if target == path { Ok(path) } else { self.resolved(&target, pos) }
    }

    /// A path without symlinks in it but for the last name.
    pub(crate) fn resolved_parent(&self, path: &[u8], pos: Pos) -> Result<Vec<u8>> {
        let mut out: Vec<u8> = Vec::new();
        let mut names: Vec<Vec<u8>> =
            path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
        names.reverse();
        names.retain(|name| !name.is_empty());
        let mut links = 0;
        while let Some(name) = names.pop() {
            let next = [&out, b"/".as_slice(), &name].concat();
            let link = !names.is_empty()
                && match self.lstat(&next, pos) {
                    // What leads to a place that may be read need not be readable itself.
                    Err(error) if error.kind() == ErrorKind::Impure => false,
                    kind => kind? == Some(FileType::Symlink),
                };
            if !link {
                out = next;
                continue;
            }
            links += 1;
            if links > 64 {
                let error = io::Error::other("too many levels of symbolic links");
                return Err(file_error("reading", path, error, pos));
            }
            let physical = self.readable(&next, pos)?;
            let target = self
                .io
                .read_link(as_path(&physical))
                .map_err(|error| file_error("reading the symlink", &next, error, pos))?;
            let base = [out.as_slice(), b"/", target.as_os_str().as_bytes()].concat_link();
            let mut rest: Vec<Vec<u8>> =
                canonical(&base).split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
            rest.reverse();
            rest.retain(|name| !name.is_empty());
            names.extend(rest);
            out.clear();
        }
        Ok(if out.is_empty() { b"/".to_vec() } else { out })
    }

    /// Follow symlinks at the end of a path.
    pub(crate) fn follow(&self, path: &[u8], pos: Pos) -> Result<Vec<u8>> {
        let mut path = path.to_vec();
        for _ in 0..64 {
            if self.lstat(&path, pos)? != Some(FileType::Symlink) {
                return Ok(path);
            }
            let physical = self.readable(&path, pos)?;
            let target = self
                .io
                .read_link(as_path(&physical))
                .map_err(|error| file_error("reading the symlink", &path, error, pos))?;
            path = canonical(&[dir_name(&path), b"/", target.as_os_str().as_bytes()].concat_link());
        }
        let error = io::Error::other("too many levels of symbolic links");
        Err(file_error("reading", &path, error, pos))
    }

    /// The file that importing `path` reads: symlinks followed, `default.nix` of a directory.
    pub(crate) fn import_path(&self, path: &[u8], pos: Pos) -> Result<Vec<u8>> {
        let path = self.follow(path, pos)?;
        if self.lstat(&path, pos)? == Some(FileType::Directory) {
            let inside = canonical(&[&path, b"/default.nix".as_slice()].concat());
            return self.follow(&inside, pos);
        }
        Ok(path)
    }
}

trait ConcatLink {
    fn concat_link(&self) -> Vec<u8>;
}

impl ConcatLink for [&[u8]; 3] {
    /// A symlink's target after the directory of the link, unless it is absolute.
    fn concat_link(&self) -> Vec<u8> {
        if self[2].starts_with(b"/") { self[2].to_vec() } else { self.concat() }
    }
}
