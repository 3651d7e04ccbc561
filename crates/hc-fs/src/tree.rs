//! Deleting a tree: never across a mount, never through a symlink.

use crate::error::{Context, Error, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::Errno;
use std::ffi::{CStr, OsStr};
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

fn remove_entry(parent: BorrowedFd<'_>, name: &OsStr, shown: &Path) -> Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        refused => return refused.on("delete", shown),
    }
    // Depth costs heap, not stack, and never more than one open directory at a time per level
    // of the path: a hostile tree can be deeper than the descriptor limit.
    let mut open = vec![(open_below(parent, name, shown)?, name.to_owned())];
    let mut at = shown.to_path_buf();
    while let Some((directory, _)) = open.last() {
        if let Some(child) = remove_leaves(directory.as_fd(), &at)? {
            at.push(&child);
            let next = open_below(directory.as_fd(), &child, &at)?;
            open.push((next, child));
            continue;
        }
        let (_, name) = open.pop().expect("the loop's condition");
        let above = open.last().map_or(parent, |(fd, _)| fd.as_fd());
        match rustix::fs::unlinkat(above, &name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            refused => return refused.on("delete", &at),
        }
        at.pop();
    }
    Ok(())
}

/// Deletes what is no directory in `directory`; gives the first directory in it.
fn remove_leaves(directory: BorrowedFd<'_>, at: &Path) -> Result<Option<std::ffi::OsString>> {
    let again =
        rustix::fs::openat(directory, c".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .on("read", at)?;
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    let mut entries = RawDir::new(again, &mut buffer);
    let mut first = None;
    while let Some(entry) = entries.next() {
        let entry = entry.on("read", at)?;
        let name: &CStr = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if entry.file_type() != FileType::Directory {
            match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => continue,
                // A file system that does not tell types in readdir.
                Err(Errno::ISDIR | Errno::PERM) if entry.file_type() == FileType::Unknown => {}
                refused => {
                    return refused
                        .on("delete", &at.join(OsStr::from_bytes(name.to_bytes())))
                        .map(|()| None);
                }
            }
        }
        first.get_or_insert_with(|| OsStr::from_bytes(name.to_bytes()).to_owned());
    }
    Ok(first)
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
    let table = Path::new("/proc/self/mountinfo");
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
            // mountinfo of the thread, not of the process, tells about this namespace; the kernel
            // check must hold on its own.
            let error = remove(&tree).unwrap_err();
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
