//! Paths: canonical form, what pure evaluation may read, trees of flakes, importing files.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix_compat::{CAHash, StorePath};

use crate::Evaluator;
use crate::context::{ContextElem, Ctx};
use crate::error::{Error, ErrorKind, Result};
use crate::io::{Ingestion, IoError};
use crate::source::Pos;
use crate::value::Value;

/// An absolute path without `.`, `..` and doubled slashes; not looking at the file system.
pub(crate) fn canonical(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len() + 1);
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                let end = out.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                out.truncate(end);
            }
            part => {
                out.push(b'/');
                out.extend_from_slice(part);
            }
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
    out
}

/// Whether `path` is `dir` or lies below it.
pub(crate) fn is_within(path: &[u8], dir: &[u8]) -> bool {
    if dir == b"/" {
        return path.starts_with(b"/");
    }
    path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

pub(crate) fn base_name(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    path.iter().rposition(|byte| *byte == b'/').map_or(path, |at| &path[at + 1..])
}

pub(crate) fn dir_name(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        None => b".",
        Some(0) => b"/",
        Some(at) => &path[..at],
    }
}

/// Where the files lie that come with the evaluator: `<nix/…>`.
pub(crate) const CORE: &[u8] = b"/__corepkgs__/";

/// One of them.
pub(crate) fn core_file(path: &[u8]) -> Option<&'static [u8]> {
    match path.strip_prefix(CORE)? {
        b"fetchurl.nix" => Some(include_bytes!("builtins/fetchurl.nix")),
        _ => None,
    }
}

pub(crate) fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// A source tree that is read where it lies, and becomes a store path only when asked for one.
pub(crate) struct Tree {
    pub(crate) disk: Vec<u8>,
    /// The files that count, with the directories they are in; everything when `None`.
    pub(crate) tracked: Option<BTreeSet<Vec<u8>>>,
    pub(crate) stored: RefCell<Option<(StorePath, Option<CAHash>)>>,
    /// Whether the store path came from a fetch and stays, whatever becomes of the directory.
    fetched: bool,
}

impl Tree {
    /// Whether the tree has this file, said relative to the tree.
    pub(crate) fn shows(&self, relative: &[u8]) -> bool {
        relative.is_empty()
            || self.tracked.as_ref().is_none_or(|tracked| tracked.contains(relative))
    }

    pub(crate) fn relative<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        let rest = path.get(self.disk.len()..).unwrap_or_default();
        rest.strip_prefix(b"/").unwrap_or(rest)
    }
}

impl<'a> Evaluator<'a> {
    /// The tree a disk path lies in: the innermost one.
    pub(crate) fn tree_of(&self, path: &[u8]) -> Option<Rc<Tree>> {
        let trees = self.trees.borrow();
        if trees.is_empty() {
            return None;
        }
        trees
            .iter()
            .filter(|tree| is_within(path, &tree.disk))
            .max_by_key(|tree| tree.disk.len())
            .cloned()
    }

    /// Register a directory as a source tree (once).
    pub(crate) fn add_tree(
        &self,
        disk: &[u8],
        tracked: Option<Vec<PathBuf>>,
        stored: Option<(StorePath, Option<CAHash>)>,
    ) -> Rc<Tree> {
        let same = self.trees.borrow().iter().find(|tree| tree.disk == disk).cloned();
        if let Some(tree) = same {
            return tree;
        }
        let tracked = tracked.map(|files| {
            let mut set = BTreeSet::new();
            for file in files {
                let bytes = file.into_os_string().into_vec();
                let mut dir: &[u8] = &bytes;
                while let Some(at) = dir.iter().rposition(|byte| *byte == b'/') {
                    dir = &dir[..at];
                    if !set.insert(dir.to_vec()) {
                        break;
                    }
                }
                set.insert(bytes);
            }
            set
        });
        let fetched = stored.is_some();
        let tree =
            Rc::new(Tree { disk: disk.to_vec(), tracked, stored: RefCell::new(stored), fetched });
        self.trees.borrow_mut().push(tree.clone());
        self.allowed.borrow_mut().push(disk.to_vec());
        tree
    }

    /// The store path of a tree, adding it when this is the first time.
    pub(crate) fn store_tree(&self, tree: &Tree, pos: Pos) -> Result<(StorePath, Option<CAHash>)> {
        let disk = as_path(&tree.disk);
        if let Some(stored) = &*tree.stored.borrow() {
            if let Some(graph) = &self.graph
                && !tree.fetched
            {
                graph.note_tree(disk);
            }
            return Ok(stored.clone());
        }
        let filter = |path: &Path| tree.shows(tree.relative(path.as_os_str().as_bytes()));
        let filter: Option<&dyn Fn(&Path) -> bool> =
            if tree.tracked.is_some() { Some(&filter) } else { None };
        let failed = |error| io_error(error, pos);
        let (_, hash) =
            self.io.hash_path("source", disk, Ingestion::Recursive, filter).map_err(failed)?;
        let path =
            self.io.add_path("source", disk, Ingestion::Recursive, filter).map_err(failed)?;
        let stored = (path, Some(hash));
        *tree.stored.borrow_mut() = Some(stored.clone());
        Ok(stored)
    }

    /// Forget the store paths of source trees that changed.
    pub(crate) fn forget_trees(&self, changed: &[PathBuf]) {
        for tree in self.trees.borrow().iter().filter(|tree| !tree.fetched) {
            if changed.iter().any(|path| path.as_os_str().as_bytes() == tree.disk) {
                *tree.stored.borrow_mut() = None;
            }
        }
    }

    /// How a path is written: inside of a source tree, where it will be in the store.
    pub(crate) fn path_text_for(&self, path: &[u8], pos: Pos) -> Result<(Vec<u8>, Ctx)> {
        let Some(tree) = self.tree_of(path) else { return Ok((path.to_vec(), Ctx::NONE)) };
        let (stored, _) = self.store_tree(&tree, pos)?;
        let mut text = self.store_dir.render_path(&stored).into_bytes();
        text.extend_from_slice(&path[tree.disk.len()..]);
        Ok((text, Ctx::NONE))
    }

    /// A path whose last name counts: that of a source is what it has in the store.
    pub(crate) fn logical<'p>(&self, path: &'p [u8], pos: Pos) -> Result<Cow<'p, [u8]>> {
        Ok(match self.tree_of(path) {
            Some(tree) if tree.disk == path => self.path_text_for(path, pos)?.0.into(),
            _ => path.into(),
        })
    }

    /// The store path of a file or tree that is copied there, as text with context.
    pub(crate) fn copy_to_store(&self, path: &[u8], pos: Pos) -> Result<(Rc<str>, Ctx)> {
        // Warm evaluation must see who asks, each time.
        if self.graph.is_none()
            && let Some((text, ctx)) = self.copied.borrow().get(path)
        {
            return Ok((text.clone(), *ctx));
        }
        let logical = self.logical(path, pos)?;
        let name = String::from_utf8_lossy(base_name(&logical)).into_owned();
        if name.ends_with(".drv") {
            let message = "file names are not allowed to end in '.drv'";
            return Err(Error::eval(message, pos));
        }
        let stored = self.add_path(&name, path, Ingestion::Recursive, None, pos)?;
        let text: Rc<str> = self.store_dir.render_path(&stored).into();
        let ctx = self.contexts.singleton(&ContextElem::Opaque(stored));
        self.copied.borrow_mut().insert(path.to_vec(), (text.clone(), ctx));
        Ok((text, ctx))
    }

    /// Add a path to the store; `wanted` limits it to these paths on disk.
    pub(crate) fn add_path(
        &self,
        name: &str,
        path: &[u8],
        ingestion: Ingestion,
        wanted: Option<&BTreeSet<Vec<u8>>>,
        pos: Pos,
    ) -> Result<StorePath> {
        let physical = self.readable(path, pos)?;
        let tree = self.tree_of(&physical);
        if self.lstat(path, pos)?.is_none() {
            if let Some(error) = self.untracked(&physical, pos) {
                return Err(error);
            }
            let error = io::Error::from(io::ErrorKind::NotFound);
            return Err(file_error("reading", path, error, pos));
        }
        let filter = |entry: &Path| {
            let entry = entry.as_os_str().as_bytes();
            wanted.is_none_or(|wanted| wanted.contains(entry))
                && tree.as_ref().is_none_or(|tree| tree.shows(tree.relative(entry)))
        };
        let needed = wanted.is_some() || tree.as_ref().is_some_and(|tree| tree.tracked.is_some());
        let filter: Option<&dyn Fn(&Path) -> bool> = if needed { Some(&filter) } else { None };
        self.io
            .add_path(name, as_path(&physical), ingestion, filter)
            .map_err(|error| io_error(error, pos))
    }

    /// The path that a value means, as a path or as text of an absolute path.
    pub(crate) fn coerce_path(&self, value: Value<'a>, pos: Pos) -> Result<Vec<u8>> {
        let value = self.force(value, pos)?;
        if let Value::Path(path) = value {
            return Ok(path.bytes.to_vec());
        }
        let (bytes, ctx) = self.coerce_bytes(value, crate::coerce::Coercion::APPEND, pos)?;
        let bytes = self.realise(bytes, ctx, pos)?;
        if bytes.first() != Some(&b'/') {
            let text = String::from_utf8_lossy(&bytes);
            return Err(Error::eval(
                format!("string '{text}' doesn't represent an absolute path"),
                pos,
            ));
        }
        Ok(canonical(&bytes))
    }

    /// Has what the context of a text names built before it is read, and puts paths in the place of
    /// what stood for them in the text.
    pub(crate) fn realise(&self, text: Vec<u8>, ctx: Ctx, pos: Pos) -> Result<Vec<u8>> {
        if ctx.is_empty() {
            return Ok(text);
        }
        let elems: Vec<ContextElem> =
            self.contexts.elems(ctx).into_iter().filter(|elem| !self.is_tree(elem)).collect();
        if elems.is_empty() {
            return Ok(text);
        }
        let found = self.io.realise(&elems).map_err(|error| io_error(error, pos))?;
        let mut text = text;
        for (elem, path) in found {
            let outputs = match &elem {
                ContextElem::Built { output, .. } => std::slice::from_ref(output),
                ContextElem::Dynamic { outputs, .. } => outputs,
                ContextElem::Opaque(_) | ContextElem::DrvDeep(_) => continue,
            };
            let placeholder = nix_compat::path::downstream_placeholder(elem.path(), outputs);
            let path = self.store_dir.render_path(&path);
            text = nix_compat::resolve::replace(text, placeholder.as_bytes(), path.as_bytes());
        }
        Ok(text)
    }

    fn is_tree(&self, elem: &ContextElem) -> bool {
        let ContextElem::Opaque(path) = elem else { return false };
        let trees = self.trees.borrow();
        trees
            .iter()
            .any(|tree| tree.stored.borrow().as_ref().is_some_and(|(stored, _)| stored == path))
    }
}

#[cold]
pub(crate) fn file_error(what: &str, path: &[u8], error: io::Error, pos: Pos) -> Error {
    let path = String::from_utf8_lossy(path);
    let gone = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    let message = if gone {
        format!("path '{path}' does not exist")
    } else {
        format!("{what} '{path}': {error}")
    };
    Error::new(ErrorKind::Io, message, pos)
}

#[cold]
pub(crate) fn io_error(error: IoError, pos: Pos) -> Error {
    let kind = match &error {
        IoError::Unsupported(_) => ErrorKind::Unsupported,
        _ => ErrorKind::Io,
    };
    Error::new(kind, error.to_string(), pos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_paths() {
        for (given, wanted) in [
            ("/a/./b//c/..", "/a/b"),
            ("/..", "/"),
            ("/", "/"),
            ("/a/", "/a"),
            ("/a/../../b", "/b"),
        ] {
            assert_eq!(canonical(given.as_bytes()), wanted.as_bytes());
        }
        assert!(is_within(b"/a/b", b"/a") && !is_within(b"/ab", b"/a"));
        assert_eq!(base_name(b"/a/b/"), b"b");
        assert_eq!(dir_name(b"/a"), b"/");
    }
}
