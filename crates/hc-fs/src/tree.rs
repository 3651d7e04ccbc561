//! Deleting a tree: never across a mount, never through a symlink.

use crate::error::{Context, Error, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, RenameFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Deletes `path` and everything below it; a path that is not there is fine.
///
/// A symlink is deleted, not what it points to. Nothing at all is deleted while something is
/// mounted at or below `path` in this mount namespace; and should a mount appear meanwhile, the
/// kernel refuses to step into it (`openat2` with `RESOLVE_NO_XDEV`).
///
/// # Errors
/// [`Error::Mounted`], or what the system refused.
pub fn remove(path: &Path) -> Result<()> {
    let Some(name) = path.file_name() else {
        return Err(std::io::Error::from(std::io::ErrorKind::InvalidInput)).on("delete", path);
    };
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The parent may be reached through symlinks: it is the caller's. What is below is not.
    let parent = match std::fs::canonicalize(parent) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        found => found.on("find", parent)?,
    };
    if let Some(mount) = first_mount_below(&parent.join(name))? {
        return Err(Error::Mounted { path: path.into(), mount });
    }
    let directory = rustix::fs::open(&parent, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .on("open", &parent)?;
    remove_entry(directory.as_fd(), name, path)
}

/// Two descriptors and no recursion, however deep a hostile tree is: directories below the
/// second level are hoisted into the first before their parent goes. Only subvolumes in one another
/// nest.
fn remove_entry(parent: BorrowedFd<'_>, name: &OsStr, shown: &Path) -> Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        refused => return refused.on("delete", shown),
    }
    let top = open_below(parent, name, shown)?;
    let mut hoisted = 0u64;
    loop {
        let children = remove_leaves(top.as_fd(), shown)?;
        if children.is_empty() {
            break;
        }
        for child in children {
            let at = shown.join(&child);
            let directory = open_below(top.as_fd(), &child, &at)?;
            for grandchild in remove_leaves(directory.as_fd(), &at)? {
                let below = at.join(&grandchild);
                match hoist(directory.as_fd(), &grandchild, top.as_fd(), &mut hoisted) {
                    // This directory or that one is a subvolume of btrfs: nothing moves out of it.
                    Err(Errno::XDEV) => remove_entry(directory.as_fd(), &grandchild, &below)?,
                    hoisted => hoisted.on("delete", &below)?,
                }
            }
            remove_dir(top.as_fd(), &child, &at)?;
        }
    }
    remove_dir(parent, name, shown)
}

fn remove_dir(parent: BorrowedFd<'_>, name: &OsStr, shown: &Path) -> Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        refused => refused.on("delete", shown),
    }
}

/// Moves a directory into `top` under a name nobody has; the kernel refuses to move a mount.
fn hoist(
    from: BorrowedFd<'_>,
    name: &OsStr,
    top: BorrowedFd<'_>,
    count: &mut u64,
) -> rustix::io::Result<()> {
    loop {
        let fresh = format!(".hoisted-{count}");
        *count += 1;
        match rustix::fs::renameat_with(from, name, top, &fresh, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            Err(Errno::ACCESS) => {
                // A directory we own but may not write cannot change its `..`.
                rustix::fs::chmodat(from, name, Mode::RWXU, AtFlags::empty())?;
            }
            moved => return moved,
        }
    }
}

/// Deletes what is no directory in `directory`; gives the names of the directories.
fn remove_leaves(directory: BorrowedFd<'_>, at: &Path) -> Result<Vec<OsString>> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let again = rustix::fs::openat(directory, c".", flags, Mode::empty()).on("read", at)?;
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    let mut entries = RawDir::new(again, &mut buffer);
    let mut directories = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry.on("read", at)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if matches!(name.as_bytes(), b"." | b"..") {
            continue;
        }
        if entry.file_type() == FileType::Directory {
            directories.push(name.to_owned());
            continue;
        }
        match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            // A file system that does not tell types in readdir.
            Err(Errno::ISDIR | Errno::PERM) if entry.file_type() == FileType::Unknown => {
                directories.push(name.to_owned());
            }
            refused => refused.on("delete", &at.join(name))?,
        }
    }
    Ok(directories)
}

fn open_below(parent: BorrowedFd<'_>, name: &OsStr, shown: &Path) -> Result<OwnedFd> {
    let open = || {
        rustix::fs::openat2(
            parent,
            name,
            OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV,
        )
    };
    match open() {
        // Our own uid may have made it unreadable.
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty()).on("open", shown)?;
            open().on("open", shown)
        }
        opened => opened.on("open", shown),
    }
}

/// The first mount point at or below `path`, from this process's mount table (proc(5)).
///
/// # Errors
/// When the mount table cannot be read.
pub fn first_mount_below(path: &Path) -> Result<Option<PathBuf>> {
    let table = Path::new("/proc/thread-self/mountinfo");
    let text = std::fs::read(table).on("read", table)?;
    Ok(text
        .split(|b| *b == b'\n')
        .filter_map(|line| line.split(|b| *b == b' ').nth(4))
        .map(|field| PathBuf::from(OsStr::from_bytes(&unescape(field))))
        .find(|mount| mount.starts_with(path)))
}

/// Undoes the octal escapes of mountinfo (`\040` and friends).
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        if let (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) =
            (byte, tail)
        {
            out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = after;
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;
    use std::fs;

    #[test]
    fn a_symlink_is_deleted_and_its_target_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (keep, tree) = (dir.path().join("keep"), dir.path().join("tree"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::create_dir(&keep).unwrap();
        fs::write(keep.join("precious"), "x").unwrap();
        std::os::unix::fs::symlink(&keep, tree.join("a/link")).unwrap();
        std::os::unix::fs::symlink("/", tree.join("a/b/root")).unwrap();
        std::os::unix::fs::symlink(&keep, dir.path().join("top")).unwrap();
        remove(&tree).unwrap();
        remove(&dir.path().join("top")).unwrap();
        remove(&tree).unwrap();
        assert!(!tree.exists() && keep.join("precious").exists());
    }

    #[test]
    fn a_tree_deeper_than_the_descriptor_limit_goes() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut at: OwnedFd = fs::File::open(&tree).unwrap().into();
        for depth in 0..30_000 {
            let name = if depth % 3 == 0 { ".hoisted-7" } else { "d" };
            rustix::fs::mkdirat(&at, name, Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, name, OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        remove(&tree).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn refuses_while_anything_is_mounted_below() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("with space");
        let mount = tree.join("a/m");
        fs::create_dir_all(&mount).unwrap();
        fs::write(tree.join("file"), "x").unwrap();
        // In a thread of its own with a mount namespace of its own: nothing leaks if this fails.
        std::thread::spawn(move || {
            use rustix::mount::{MountFlags, MountPropagationFlags};
            // SAFETY: the namespace of this thread only is changed, and it shares no descriptor
            // table assumptions with others.
            unsafe {
                rustix::thread::unshare_unsafe(
                    rustix::thread::UnshareFlags::NEWNS | rustix::thread::UnshareFlags::FS,
                )
            }
            .unwrap();
            rustix::mount::mount_change(
                "/",
                MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
            )
            .unwrap();
            rustix::mount::mount("tmpfs", &mount, "tmpfs", MountFlags::empty(), None).unwrap();
            fs::write(mount.join("precious"), "x").unwrap();
            let error = remove(&tree).unwrap_err();
            assert!(
                matches!(&error, Error::Mounted { mount: found, .. } if *found == mount),
                "{error}"
            );
            assert!(tree.join("file").exists() && mount.join("precious").exists());
            // The look at the table is a courtesy; the kernel's refusal is the guarantee.
            let parent: OwnedFd = fs::File::open(tree.parent().unwrap()).unwrap().into();
            let name = tree.file_name().unwrap();
            let error = remove_entry(parent.as_fd(), name, &tree).unwrap_err();
            assert!(mount.join("precious").exists(), "{error}");
        })
        .join()
        .unwrap();
    }

    #[test]
    fn the_mount_table_is_unescaped() {
        assert_eq!(unescape(br"/with\040space\134"), br"/with space\");
        assert_eq!(first_mount_below(Path::new("/proc")).unwrap(), Some("/proc".into()));
        assert_eq!(first_mount_below(Path::new("/no/such")).unwrap(), None);
    }
}
