//! Laying the entries of an archive over a tree, as the union of an OCI image's layers is made.
//!
//! The tree is data, not a directory on disk: no path in an archive can lead out of it. What would
//! lead out if it were one is refused all the same, because whoever made it meant no good.

use crate::archive::tar::{Entry, Reader, What};
use crate::archive::{Budget, Slice, refuse, refuse_entry};
use crate::error::Result;
use crate::tree::{Id, Kind, Meta, Tree};
use std::collections::BTreeMap;

/// How deep directories may lie in each other: far more than a path the kernel takes can name.
const DEPTH_MAX: usize = 1024;
/// As in the kernel: what has more symlinks on its way is a loop.
const SYMLINKS_MAX: u32 = 40;
/// A name that begins so takes a name of the layers below away (OCI image-spec, layer.md).
const WHITEOUT: &[u8] = b".wh.";
/// Notes of the file system that layers were first made with (AUFS): files, directories and what is
/// in them, none of it the image's.
const NOTE: &[u8] = b".wh..wh.";
/// Takes everything away that the layers below have in its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// A tree that layers are laid over.
#[derive(Debug)]
pub struct Layers {
    tree: Tree,
    /// By inode: the layer that it is of.
    made_in: Vec<u32>,
    /// By inode of a directory: the last layer that has something below it.
    touched_in: Vec<u32>,
    /// By inode of a directory: the layer that has taken away what those below it had there.
    cleared_in: Vec<u32>,
    layer: u32,
}

impl Default for Layers {
    fn default() -> Self {
        let tree = Tree::new(Meta::root(0o755, 1));
        Self { tree, made_in: vec![0], touched_in: vec![0], cleared_in: vec![0], layer: 0 }
    }
}

impl Layers {
    /// The whole of it.
    #[must_use]
    pub fn into_tree(self) -> Tree {
        self.tree
    }

    /// Lays a tar file over what is there. `whiteouts` says whether names mean something, as in
    /// the layers of an OCI image; `name` is the archive's in errors.
    ///
    /// # Errors
    /// When the archive is damaged or hostile, with the entry's name.
    pub fn lay(
        &mut self,
        data: Slice,
        name: &str,
        whiteouts: bool,
        budget: &mut Budget,
    ) -> Result<()> {
        self.layer += 1;
        // A layer has a hash, which tells that it is whole.
        let mut reader = Reader::new(data, !whiteouts);
        loop {
            let entry = reader.next_entry().map_err(|refusal| match refusal.entry {
                Some(entry) => refuse_entry(name, &entry, refusal.why),
                None => refuse(name, refusal.why),
            })?;
            let Some(entry) = entry else { return Ok(()) };
            let path = entry.path.clone();
            self.put(entry, whiteouts, budget).map_err(|why| refuse_entry(name, &path, why))?;
        }
    }

    fn put(&mut self, entry: Entry, whiteouts: bool, budget: &mut Budget) -> Result<(), String> {
        let Entry { path, what, meta, cost } = entry;
        let attributes: usize =
            meta.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        let target = match &what {
            What::Link(target) | What::Inode(Kind::Symlink(target)) => target.len(),
            What::Inode(_) => 0,
        };
        budget.take_entry(path.len() + target + attributes)?;
        // The archive's own bytes are counted already; holes can make an image larger than those.
        if cost > budget.bytes_left() {
            return Err(budget.too_large());
        }
        if let What::Inode(Kind::Symlink(target)) = &what
            && (target.is_empty() || target.len() > 4095 || target.contains(&0))
        {
            return Err("a symlink's target has 1 to 4095 bytes, none NUL".into());
        }
        // Layers are laid over `/`, and there are writers that say so.
        let path = match path.strip_prefix(b"/") {
            Some(b"") if whiteouts => b"./",
            Some(relative) if whiteouts => relative,
            _ => &path[..],
        };
        let parts = parts(path)?;
        let Some((name, above)) = parts.split_last() else {
            let What::Inode(Kind::Directory(_)) = what else {
                return Err("its path names the root, which is a directory".into());
            };
            *self.tree.meta_mut(Tree::ROOT) = meta;
            return Ok(());
        };
        if whiteouts && let Some(first) = parts.iter().find(|name| name.starts_with(WHITEOUT)) {
            if first.starts_with(NOTE) && *first != OPAQUE {
                return Ok(());
            }
            if above.iter().any(|name| name.starts_with(WHITEOUT)) {
                return Err("it lies in a directory whose name is a whiteout's".into());
            }
            return self.whiteout(above, name, &what);
        }
        let parent = self.directory(above)?;
        let old = self.tree.child(parent, name);
        if let (What::Inode(Kind::Directory(_)), Some(old)) = (&what, old)
            && matches!(self.tree.inode(old).kind, Kind::Directory(_))
        {
            // It may be told of more than once; what is in it stays.
            self.made_in[old.0] = self.layer;
            *self.tree.meta_mut(old) = meta;
            return Ok(());
        }
        let target = match &what {
            What::Link(target) => Some(self.link_target(target)?),
            What::Inode(_) => None,
        };
        if let Some(old) = old {
            if self.made_in[old.0] == self.layer {
                return Err("it is in the archive twice".into());
            }
            if target == Some(old) {
                // The same name for the same file.
                return Ok(());
            }
            if self.touched_in[old.0] == self.layer {
                return Err("other entries lie below it, and it is no directory".into());
            }
            self.tree.unlink(parent, name);
        }
        match (what, target) {
            (What::Inode(kind), _) => self.add(parent, name, kind, meta).map(drop),
            (What::Link(_), Some(target)) => self.tree.link_in(parent, name, target),
            (What::Link(_), None) => Ok(()),
        }
    }

    fn add(&mut self, parent: Id, name: &[u8], kind: Kind, meta: Meta) -> Result<Id, String> {
        let id = self.tree.add_in(parent, name, kind, meta)?;
        self.made_in.push(self.layer);
        self.touched_in.push(0);
        self.cleared_in.push(0);
        Ok(id)
    }

    fn link_target(&mut self, target: &[u8]) -> Result<Id, String> {
        // Some writers name targets from the root, which is the image's.
        let target = target.strip_prefix(b"/").unwrap_or(target);
        let shown = || String::from_utf8_lossy(target).into_owned();
        let parts = parts(target).map_err(|why| format!("its target `{}`: {why}", shown()))?;
        let missing = || format!("its target `{}` is not there", shown());
        let (name, above) = parts.split_last().ok_or_else(missing)?;
        let parent = *self.walk(above, false)?.ok_or_else(missing)?.last().ok_or_else(missing)?;
        let found = self.tree.child(parent, name).ok_or_else(missing)?;
        match self.tree.inode(found).kind {
            Kind::Directory(_) => Err(format!("its target `{}` is a directory", shown())),
            _ => Ok(found),
        }
    }

    /// The directory at a path, made where it is missing.
    fn directory(&mut self, names: &[&[u8]]) -> Result<Id, String> {
        let missing = "its directory is not there";
        let way = self.walk(names, true)?.ok_or(missing)?;
        way.iter().for_each(|id| self.touched_in[id.0] = self.layer);
        Ok(*way.last().ok_or(missing)?)
    }

    /// The directories on the way to the one that is named, it last; `None` where one is missing.
    /// Follows symlinks as after a `chroot`: from the root, and never above it.
    fn walk(&mut self, names: &[&[u8]], make: bool) -> Result<Option<Vec<Id>>, String> {
        let mut at = vec![Tree::ROOT];
        let mut left: Vec<Vec<u8>> = names.iter().rev().map(|name| name.to_vec()).collect();
        let mut symlinks = 0;
        while let Some(name) = left.pop() {
            if name == b".." {
                if at.len() > 1 {
                    at.pop();
                }
                continue;
            }
            let here = at[at.len() - 1];
            if at.len() > DEPTH_MAX {
                return Err(format!("it lies in more than {DEPTH_MAX} directories"));
            }
            let next = match self.tree.child(here, &name) {
                Some(next) => next,
                None if make => {
                    let (kind, meta) = (Kind::Directory(BTreeMap::new()), Meta::root(0o755, 1));
                    self.add(here, &name, kind, meta)?
                }
                None => return Ok(None),
            };
            match &self.tree.inode(next).kind {
                Kind::Directory(_) => at.push(next),
                Kind::Symlink(target) => {
                    symlinks += 1;
                    if symlinks > SYMLINKS_MAX {
                        return Err("the symlinks on its way form a loop".into());
                    }
                    if target.starts_with(b"/") {
                        at.truncate(1);
                    }
                    let names = target.split(|b| *b == b'/').rev();
                    left.extend(names.filter(|n| !matches!(*n, b"" | b".")).map(<[u8]>::to_vec));
                }
                _ => {
                    let name = String::from_utf8_lossy(&name);
                    return Err(format!("`{name}` on its way is no directory"));
                }
            }
        }
        Ok(Some(at))
    }

    fn whiteout(&mut self, above: &[&[u8]], name: &[u8], what: &What) -> Result<(), String> {
        if !matches!(what, What::Inode(Kind::File(_)) | What::Link(_)) {
            return Err("a whiteout is a regular file, and this is none".into());
        }
        let hidden = &name[WHITEOUT.len()..];
        if matches!(hidden, b"" | b"." | b"..") {
            return Err("a whiteout of no name".into());
        }
        // Not through a symlink: what it would take away is not what its path says.
        let mut parent = Tree::ROOT;
        for name in above {
            let Some(next) = self.tree.child(parent, name) else { return Ok(()) };
            parent = match self.tree.inode(next).kind {
                Kind::Directory(_) => next,
                _ => {
                    return Err(
                        "a whiteout whose path goes through something that is no directory".into(),
                    );
                }
            };
        }
        if name == OPAQUE {
            self.clear_lower(parent);
        } else if let Some(old) = self.tree.child(parent, hidden) {
            self.remove_lower(parent, hidden, old);
        }
        Ok(())
    }

    /// Takes away what the layers below have; what this one has stays.
    fn remove_lower(&mut self, parent: Id, name: &[u8], id: Id) {
        if self.is_of_below(id) {
            self.tree.unlink(parent, name);
        } else {
            self.clear_lower(id);
        }
    }

    fn clear_lower(&mut self, top: Id) {
        let mut left = vec![top];
        while let Some(at) = left.pop() {
            if std::mem::replace(&mut self.cleared_in[at.0], self.layer) == self.layer {
                continue;
            }
            let Kind::Directory(entries) = &self.tree.inode(at).kind else { continue };
            let (gone, kept): (Vec<_>, Vec<_>) =
                entries.iter().partition(|(_, id)| self.is_of_below(**id));
            left.extend(kept.into_iter().map(|(_, id)| *id));
            let gone: Vec<Vec<u8>> = gone.into_iter().map(|(name, _)| name.clone()).collect();
            gone.iter().for_each(|name| self.tree.unlink(at, name));
        }
    }

    /// Whether this layer has neither it nor anything below it.
    fn is_of_below(&self, id: Id) -> bool {
        self.made_in[id.0] != self.layer && self.touched_in[id.0] != self.layer
    }
}

/// The names of a path: relative, none of them `..`.
fn parts(path: &[u8]) -> Result<Vec<&[u8]>, String> {
    if path.contains(&0) {
        return Err("its path has a NUL in it".into());
    }
    if path.starts_with(b"/") {
        return Err("its path is absolute".into());
    }
    let names: Vec<&[u8]> =
        path.split(|b| *b == b'/').filter(|name| !matches!(*name, b"" | b".")).collect();
    if names.contains(&&b".."[..]) {
        return Err("its path leads out by `..`".into());
    }
    if path.is_empty() {
        return Err("it has no name".into());
    }
    Ok(names)
}
