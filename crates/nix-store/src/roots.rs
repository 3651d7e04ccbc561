//! Roots: what a collector starts from.

use crate::error::{Context, Error, Result};
use crate::layout::Layout;
use crate::store::Store;
use hc_fs::durable;
use nix_compat::StorePath;
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A path that must stay, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Root {
    /// The path.
    pub path: StorePath,
    /// The link that leads to it, or what of a process does.
    pub link: PathBuf,
}

#[derive(Default)]
pub(crate) struct Found {
    pub roots: BTreeSet<Root>,
    /// Links in `gcroots/auto` that lead nowhere.
    pub stale: Vec<PathBuf>,
}

impl Store {
    /// Makes the target of the symlink `link` a root, as long as the link is there and leads into
    /// the store: an indirect root, as `nix-build -o` makes.
    ///
    /// # Errors
    /// When `link` is no symlink into the store, or the root cannot be written.
    pub fn add_root(&self, link: &Path) -> Result<()> {
        let (link, path) = target_of(link, self.layout())?;
        if !self.is_valid(&path)? {
            return Err(Error::NotValid { path });
        }
        let name = nix_compat::path::indirect_root_name(link.as_os_str().as_bytes());
        Ok(durable::symlink(&link, &self.layout().gc_roots().join("auto").join(name))?)
    }

    /// Everything that keeps paths: links, processes that have the store open, processes that run
    /// from it or have its files open or mounted.
    ///
    /// # Errors
    /// When the roots cannot be read.
    pub fn roots(&self) -> Result<BTreeSet<Root>> {
        let mut roots = self.permanent_roots()?.roots;
        roots.extend(crate::runtime_roots::find(self.layout()));
        let link = self.layout().temp_roots();
        let temporary = crate::temp_roots::read_all(self.layout())?;
        roots.extend(temporary.into_iter().map(|path| Root { path, link: link.clone() }));
        Ok(roots)
    }

    pub(crate) fn permanent_roots(&self) -> Result<Found> {
        let mut found = Found::default();
        self.find_below(&self.layout().gc_roots(), &mut found)?;
        self.find_below(&self.layout().state.join("profiles"), &mut found)?;
        Ok(found)
    }

    fn find_below(&self, directory: &Path, found: &mut Found) -> Result<()> {
        let mut open = vec![directory.to_path_buf()];
        let auto = self.layout().gc_roots().join("auto");
        while let Some(path) = open.pop() {
            let Some(metadata) = present(path.symlink_metadata(), &path)? else { continue };
            if metadata.is_dir() {
                for entry in std::fs::read_dir(&path).on("read", &path)? {
                    open.push(entry.on("read", &path)?.path());
                }
            } else if metadata.is_symlink() {
                self.follow(&path, &auto, found)?;
            } else if let Some(name) = path.file_name() {
                // A file that is named like a store path keeps it.
                if let Ok(kept) = StorePath::from_basename(name.as_bytes()) {
                    found.roots.insert(Root { path: kept, link: path });
                }
            }
        }
        Ok(())
    }

    /// A link leads into the store, or to a link that does, and no further.
    fn follow(&self, link: &Path, auto: &Path, found: &mut Found) -> Result<()> {
        let Some(target) = present(std::fs::read_link(link), link)? else { return Ok(()) };
        if let Some(path) = self.layout().store_path(&target) {
            found.roots.insert(Root { path, link: link.into() });
            return Ok(());
        }
        let target = link.parent().unwrap_or(link).join(target);
        let Some(metadata) = present(target.symlink_metadata(), &target)? else {
            if link.starts_with(auto) {
                found.stale.push(link.into());
            }
            return Ok(());
        };
        if metadata.is_symlink() {
            let Some(second) = present(std::fs::read_link(&target), &target)? else {
                return Ok(());
            };
            if let Some(path) = self.layout().store_path(&second) {
                found.roots.insert(Root { path, link: target });
            }
        }
        Ok(())
    }
}

/// Where a symlink that is to be a root really is, and the path that it leads to.
pub(crate) fn target_of(link: &Path, layout: &Layout) -> Result<(PathBuf, StorePath)> {
    let link = std::path::absolute(link).on("find", link)?;
    let refuse = |reason| Error::Root { link: link.clone(), reason };
    let target = std::fs::read_link(&link).map_err(|_| refuse("it is no symlink"))?;
    let path = layout.store_path(&target);
    let path = path.ok_or_else(|| refuse("it does not lead into the store"))?;
    Ok((link, path))
}

/// What may be gone by now is no error; what may be there but cannot be read is: a collector
/// must not take it for absent.
fn present<T>(read: std::io::Result<T>, path: &Path) -> Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(crate::error::io("read the root", path, error)),
    }
}
