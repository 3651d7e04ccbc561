//! A tree from a directory on disk.

use super::{Content, Id, Kind, Meta, Tree, belongs_to_the_file, refuse};
use crate::error::{Context, Result};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashMap};
use std::fs::Metadata;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

impl Tree {
    /// What is in the directory `root`: owners as this user namespace sees them, hard links by
    /// device and inode, and of the extended attributes those that belong to the file and not to
    /// the host it lies on (`user.*`, `trusted.*`, ACLs and `security.capability`).
    ///
    /// # Errors
    /// When something cannot be read, or another file system is mounted inside.
    pub fn walk(root: &Path) -> Result<Self> {
        let top = std::fs::symlink_metadata(root).on("look at", root)?;
        if !top.is_dir() {
            return Err(refuse(root.as_os_str().as_bytes(), "this is not a directory".into()));
        }
        let mut tree = Self::new(meta(root, &top)?);
        let mut links: HashMap<(u64, u64), Id> = HashMap::new();
        let mut left: Vec<(Id, PathBuf)> = vec![(Self::ROOT, root.to_path_buf())];
        while let Some((at, dir)) = left.pop() {
            for entry in std::fs::read_dir(&dir).on("read", &dir)? {
                let name = entry.on("read", &dir)?.file_name();
                let path = dir.join(&name);
                let found = std::fs::symlink_metadata(&path).on("look at", &path)?;
                let wrong = |why: String| refuse(path.as_os_str().as_bytes(), why);
                // Overlays number what is no directory as if it were elsewhere.
                if found.dev() != top.dev() && is_mount(&path).on("look at", &path)? {
                    return Err(wrong("another file system is mounted here; unmount it".into()));
                }
                if let Some(first) = links.get(&(found.dev(), found.ino())) {
                    tree.link_in(at, name.as_bytes(), *first).map_err(wrong)?;
                    continue;
                }
                let id = tree
                    .add_in(at, name.as_bytes(), kind(&path, &found)?, meta(&path, &found)?)
                    .map_err(wrong)?;
                if found.is_dir() {
                    left.push((id, path));
                } else if found.nlink() > 1 {
                    links.insert((found.dev(), found.ino()), id);
                }
            }
        }
        Ok(tree)
    }
}

/// Whether something is mounted at `path`, as far as the kernel tells (Linux 5.8).
fn is_mount(path: &Path) -> rustix::io::Result<bool> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let found = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())?;
    let root = StatxAttributes::MOUNT_ROOT;
    Ok(!found.stx_attributes_mask.contains(root) || found.stx_attributes.contains(root))
}

fn kind(path: &Path, found: &Metadata) -> Result<Kind> {
    let (major, minor) = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
    let kind = found.file_type();
    Ok(if kind.is_dir() {
        Kind::Directory(BTreeMap::new())
    } else if kind.is_file() {
        Kind::File(Content::File { path: path.into(), size: found.size() })
    } else if kind.is_symlink() {
        Kind::Symlink(std::fs::read_link(path).on("read", path)?.into_os_string().into_vec())
    } else if kind.is_char_device() {
        Kind::Char { major, minor }
    } else if kind.is_block_device() {
        Kind::Block { major, minor }
    } else if kind.is_fifo() {
        Kind::Fifo
    } else {
        Kind::Socket
    })
}

fn meta(path: &Path, found: &Metadata) -> Result<Meta> {
    Ok(Meta {
        mode: found.mode() & 0o7777,
        uid: found.uid(),
        gid: found.gid(),
        mtime: found.mtime(),
        mtime_nsec: u32::try_from(found.mtime_nsec()).unwrap_or(0),
        xattrs: xattrs(path).on("read the extended attributes of", path)?,
    })
}

/// The kernel's limit for a list and for a value.
const XATTR_MAX: usize = 64 << 10;

fn xattrs(path: &Path) -> rustix::io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut all = BTreeMap::new();
    // Most files have none, and few have many.
    let mut names = vec![0; 256];
    let length = loop {
        match rustix::fs::llistxattr(path, &mut names[..]) {
            Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(all),
            Ok(length) => break length,
            Err(Errno::RANGE) if names.len() < XATTR_MAX => names.resize(XATTR_MAX, 0),
            Err(errno) => return Err(errno),
        }
    };
    let mut value = vec![0; XATTR_MAX];
    for name in names[..length].split(|b| *b == 0).filter(|n| belongs_to_the_file(n)) {
        let length = rustix::fs::lgetxattr(path, name, &mut value[..])?;
        all.insert(name.to_vec(), value[..length].to_vec());
    }
    Ok(all)
}
