//! Files laid over the image: identity and whatever the machine's description brings.

use crate::error::{Doing, Problem, Res};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Component, Path, PathBuf};

/// Where a file's bytes come from.
#[derive(Debug)]
pub(crate) enum Contents {
    Text(String),
    /// Opened by the supervisor: the store is out of sight when it is read.
    File(File),
}

/// One file to be laid.
#[derive(Debug)]
pub(crate) struct Laid {
    pub path: PathBuf,
    pub mode: u32,
    pub contents: Contents,
}

impl Laid {
    pub fn text(path: &str, contents: String) -> Self {
        Self { path: path.into(), mode: 0o644, contents: Contents::Text(contents) }
    }

    pub fn descriptor(&self) -> Option<RawFd> {
        match &self.contents {
            Contents::Text(_) => None,
            Contents::File(file) => Some(file.as_raw_fd()),
        }
    }

    /// Writes it below `root`, owned by the caller. Directories that lack are made; symlinks on
    /// the way are followed as the machine would follow them and never leave `root`; one in the
    /// file's own place is replaced.
    pub fn lay(&self, root: BorrowedFd<'_>) -> Res<()> {
        let shown = self.path.display();
        let name = self.path.file_name().unwrap_or_default();
        let parent = directory(root, self.path.parent().unwrap_or(Path::new("/")))
            .doing_with(|| format!("make the directory of {shown} in the machine"))?;
        if self.is_there(parent.as_fd(), name) {
            return Ok(());
        }
        let action = || format!("write {shown} in the machine");
        // Beside its place, and then there in one step: over a file of the image that is less work for the
        // kernel than deleting that first.
        let mut aside = OsString::from(".hc-");
        aside.push(name);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let make = || rustix::fs::openat(&parent, &aside, flags, Mode::from_raw_mode(0o600));
        let made = match make() {
            Err(Errno::EXIST) => {
                rustix::fs::unlinkat(&parent, &aside, AtFlags::empty()).doing_with(action)?;
                make()
            }
            made => made,
        };
        let mut made = File::from(made.doing_with(action)?);
        match &self.contents {
            Contents::Text(text) => made.write_all(text.as_bytes()).doing_with(action)?,
            Contents::File(file) => {
                // Its offset is shared with the supervisor, which never reads.
                std::io::copy(&mut &*file, &mut made).doing_with(action)?;
            }
        }
        rustix::fs::fchmod(&made, Mode::from_raw_mode(self.mode)).doing_with(action)?;
        match rustix::fs::renameat(&parent, &aside, &parent, name) {
            Ok(()) => Ok(()),
            Err(refused) => {
                let _ = rustix::fs::unlinkat(&parent, &aside, AtFlags::empty());
                if refused == Errno::ISDIR {
                    return Err(Problem::plain(format!(
                        "files: {shown} is a directory in the image; name a file in it"
                    )));
                }
                Err(refused).doing_with(|| format!("replace {shown} in the machine"))
            }
        }
    }

    /// Whether exactly this is there, from an earlier start: nothing has to be written then, and no disk
    /// waited for.
    fn is_there(&self, parent: BorrowedFd<'_>, name: &OsStr) -> bool {
        let Contents::Text(text) = &self.contents else { return false };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(there) = rustix::fs::openat(parent, name, flags, Mode::empty()) else {
            return false;
        };
        let alike = rustix::fs::fstat(&there).is_ok_and(|found| {
            FileType::from_raw_mode(found.st_mode).is_file()
                && found.st_mode & 0o7777 == self.mode
                && (found.st_uid, found.st_gid) == (0, 0)
                && usize::try_from(found.st_size) == Ok(text.len())
        });
        let mut bytes = Vec::with_capacity(text.len() + 1);
        alike
            && std::io::Read::read_to_end(&mut File::from(there), &mut bytes).is_ok()
            && bytes == text.as_bytes()
    }
}

fn below(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// The directory at `path` below `root`, made where it lacks.
pub(crate) fn directory(root: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    match below(root, path, flags) {
        Err(Errno::NOENT) => {}
        found => return found,
    }
    let mut so_far = PathBuf::from("/");
    let mut at = below(root, &so_far, flags)?;
    for part in path.components() {
        let Component::Normal(name) = part else { continue };
        so_far.push(name);
        at = match below(root, &so_far, flags) {
            Err(Errno::NOENT) => {
                rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o755))?;
                rustix::fs::chmodat(&at, name, Mode::from_raw_mode(0o755), AtFlags::empty())?;
                below(root, &so_far, flags)?
            }
            found => found?,
        };
    }
    Ok(at)
}

/// Reads a small regular file below `root`; one that is not there is empty.
pub(crate) fn read(root: BorrowedFd<'_>, path: &str) -> Res<Vec<u8>> {
    const LONGEST: u64 = 8 << 20;
    let action = || format!("read {path} of the image");
    let file = match below(root, Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
        opened => opened.doing_with(action)?,
    };
    let mut text = Vec::new();
    let file = File::from(file);
    if file.metadata().doing_with(action)?.is_file() {
        std::io::Read::read_to_end(&mut std::io::Read::take(file, LONGEST), &mut text)
            .doing_with(action)?;
    }
    Ok(text)
}

/// Whether there is a file at `path` below `root` that somebody may execute.
pub(crate) fn is_program(root: BorrowedFd<'_>, path: &OsStr) -> Result<bool, Errno> {
    match below(root, Path::new(path), OFlags::PATH) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => Ok(false),
        Err(error) => Err(error),
        Ok(found) => {
            let mode = rustix::fs::fstat(&found)?.st_mode;
            Ok(FileType::from_raw_mode(mode).is_file() && mode & 0o111 != 0)
        }
    }
}

/// Whether there is a directory at `path` below `root`.
pub(crate) fn is_directory(root: BorrowedFd<'_>, path: &Path) -> bool {
    below(root, path, OFlags::PATH | OFlags::DIRECTORY).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn stay_in_the_root_whatever_the_image_links_to() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        for made in [&root, &outside, &root.join("etc")] {
            std::fs::create_dir(made).unwrap();
        }
        std::fs::write(outside.join("kept"), "old").unwrap();
        symlink(&outside, root.join("absolute")).unwrap();
        symlink("../../../outside", root.join("relative")).unwrap();
        symlink(outside.join("kept"), root.join("etc/resolv.conf")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        symlink("etc", root.join("alias")).unwrap();
        let fd = File::open(&root).unwrap();
        let lay = |path: &str| Laid::text(path, "new".into()).lay(fd.as_fd());
        lay("/etc/resolv.conf").unwrap();
        lay("/alias/hosts").unwrap();
        lay("/a/b/c").unwrap();
        for path in ["/absolute/kept", "/relative/kept", "/magic/etc/x"] {
            assert!(lay(path).is_err(), "{path}");
        }
        assert!(lay("/etc").unwrap_err().to_string().contains("is a directory"));
        assert_eq!(std::fs::read_to_string(outside.join("kept")).unwrap(), "old");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
        assert_eq!(std::fs::read_to_string(root.join("etc/resolv.conf")).unwrap(), "new");
        assert_eq!(std::fs::read_to_string(root.join("etc/hosts")).unwrap(), "new");
        // Once more: what is alike stays, what differs is replaced, and nothing is left beside it.
        let number = |path: &str| root.join(path).metadata().unwrap().ino();
        let before = number("etc/hosts");
        lay("/etc/hosts").unwrap();
        assert_eq!(number("etc/hosts"), before);
        for change in ["echo -n old >f", "chmod 600 f", "chown 1 f", "rm f; ln -s hostname f"] {
            let change = change.replace('f', "etc/hosts");
            let mut shell = std::process::Command::new("sh");
            assert!(shell.args(["-c", &change]).current_dir(&root).status().unwrap().success());
            lay("/etc/hosts").unwrap();
            let found = root.join("etc/hosts").symlink_metadata().unwrap();
            assert_eq!(
                (found.mode() & 0o7777, found.uid(), found.len()),
                (0o644, 0, 3),
                "{change}"
            );
            assert_eq!(std::fs::read(root.join("etc/hosts")).unwrap(), b"new", "{change}");
        }
        assert_eq!(std::fs::read_dir(root.join("etc")).unwrap().count(), 2);
        let mode = root.join("a/b/c").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o644);
        assert!(is_program(fd.as_fd(), OsStr::new("/proc/self/exe")) == Ok(false));
    }

    #[test]
    fn magic_links_are_no_programs() {
        let slash = File::open("/").unwrap();
        assert_eq!(is_program(slash.as_fd(), OsStr::new("/proc/self/exe")), Err(Errno::LOOP));
    }
}
