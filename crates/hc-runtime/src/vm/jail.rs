//! What QEMU and its helpers can see: their program, the files they are given, and nothing else of the
//! host.

use crate::error::{Doing, Res};
use crate::sys::mount::{attach, copy, make, restrict, target};
use crate::sys::process;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::mount::{MountAttrFlags as Attr, MountPropagationFlags, UnmountFlags};
use rustix::mount::{mount_change, unmount};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Where programs and their libraries lie, as far as the host has it; symlinks are shown as such.
const PROGRAMS: [&str; 5] = ["usr", "bin", "lib", "lib64", "sbin"];
const STORE: &str = "nix/store";
/// Where libraries are, and what every program counts on.
const FILES: [&str; 3] = ["etc/ld.so.cache", "dev/null", "dev/urandom"];

/// Where a program that keeps something finds its directory.
pub(super) const STATE: &str = "/state";

/// A file or directory that is shown to the program.
#[derive(Debug)]
pub(super) struct Shown {
    pub at: &'static str,
    pub file: PathBuf,
    pub writable: bool,
}

/// Makes a root of this process's own in a mount namespace of its own, with `files` at the paths
/// that are given. Where the program comes from a store that is shown too.
pub(super) fn enter(program: &Path, files: &[Shown]) -> Res<()> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .doing("keep the program's mounts to itself")?;
    let options = [("mode", Some("755")), ("size", Some("1m"))];
    let root =
        make("tmpfs", &options, Attr::MOUNT_ATTR_NOSUID).doing("make a root for the program")?;
    let store = program.starts_with("/nix/store").then_some(STORE);
    let mut shown: Vec<(PathBuf, PathBuf, bool)> = Vec::new();
    for path in PROGRAMS.into_iter().chain(store).chain(FILES) {
        shown.push((path.into(), Path::new("/").join(path), false));
    }
    for file in files {
        shown.push((file.at.trim_start_matches('/').into(), file.file.clone(), file.writable));
    }
    // A mount can be attached only to what is attached.
    let foothold = ["/run", "/tmp", "/mnt", "/var"].iter().find(|dir| Path::new(dir).is_dir());
    let foothold = Path::new(foothold.unwrap_or(&"/"));
    // What is shown may lie below it.
    let mut mounts = Vec::with_capacity(shown.len());
    for (at, from, writable) in shown {
        let action = || format!("show {} to the program", from.display());
        let kind = match rustix::fs::lstat(&from) {
            Ok(found) => FileType::from_raw_mode(found.st_mode),
            Err(rustix::io::Errno::NOENT) => continue,
            Err(error) => Err(error).doing_with(action)?,
        };
        if kind.is_symlink() && !files.iter().any(|shown| shown.file == from) {
            let to = std::fs::read_link(&from).doing_with(action)?;
            rustix::fs::symlinkat(&to, &root, &at).doing_with(action)?;
            continue;
        }
        let real = from.canonicalize().doing_with(action)?;
        mounts.push((at, kind.is_dir(), writable, copy(CWD, &real).doing_with(action)?));
    }
    crate::sys::mount::attach_at(root.as_fd(), foothold).doing("attach the program's root")?;
    for (at, is_dir, writable, mount) in &mounts {
        let device = if at.starts_with("dev") { Attr::empty() } else { Attr::MOUNT_ATTR_NODEV };
        let read_only = if *writable { Attr::MOUNT_ATTR_NOEXEC } else { Attr::MOUNT_ATTR_RDONLY };
        let locked = read_only | Attr::MOUNT_ATTR_NOSUID | device;
        show(root.as_fd(), at, *is_dir)
            .and_then(|at| attach(mount.as_fd(), at.as_fd()))
            .and_then(|()| restrict(mount.as_fd(), locked))
            .doing_with(|| format!("show /{} to the program", at.display()))?;
    }
    restrict(root.as_fd(), Attr::MOUNT_ATTR_RDONLY | Attr::MOUNT_ATTR_NODEV)
        .or_else(|_| restrict(root.as_fd(), Attr::MOUNT_ATTR_RDONLY))
        .doing("lock the program's root")?;
    rustix::process::fchdir(&root).doing("enter the program's root")?;
    rustix::process::pivot_root(".", ".").doing("make the program's root the root")?;
    unmount(".", UnmountFlags::DETACH).doing("let go of the host's file systems")?;
    rustix::process::chdir("/").doing("enter the program's root")
}

/// Makes the place for a mount.
fn show(root: BorrowedFd<'_>, at: &Path, is_dir: bool) -> io::Result<std::os::fd::OwnedFd> {
    for parent in at.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
        if !parent.as_os_str().is_empty() {
            make_dir(root, parent)?;
        }
    }
    if is_dir {
        make_dir(root, at)?;
        return target(root, at, OFlags::DIRECTORY);
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(root, at, flags, Mode::from_raw_mode(0o644))?;
    target(root, at, OFlags::empty())
}

fn make_dir(root: BorrowedFd<'_>, at: &Path) -> io::Result<()> {
    match rustix::fs::mkdirat(root, at, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Becomes a user of the host that owns nothing, for good.
pub(super) fn give_up(id: u32) -> Res<()> {
    for capability in 0..=crate::inside::capabilities::LAST {
        match process::drop_bounding(capability) {
            Ok(()) => {}
            // There are no more.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            refused => refused.doing("drop capabilities")?,
        }
    }
    process::set_ids(id, id, &[]).doing("become the program's user")?;
    process::set_capabilities(0).doing("drop capabilities")?;
    process::no_new_privileges().doing("give up privileges")?;
    process::die_with_parent().doing("follow the supervisor")
}
