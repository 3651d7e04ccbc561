//! Going through a tree on disk in the order of archives, with as few system calls as can be: four for
//! a small file (open, stat, read, close), five for a directory. Every step is relative to an open
//! directory and follows no link.

use super::Error;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// So many bytes of names are read at once.
const NAMES: usize = 32 << 10;

/// Who is told of a tree. The root has no name.
pub trait Visitor {
    /// What may go wrong.
    type Error: From<Unreadable>;

    /// A directory begins.
    ///
    /// # Errors
    /// Whatever keeps the visitor from going on; as for the other methods.
    fn start_directory(&mut self, name: Option<&CStr>) -> Result<(), Self::Error>;
    /// All in it was told.
    ///
    /// # Errors
    /// As for [`Visitor::start_directory`].
    fn end_directory(&mut self) -> Result<(), Self::Error>;
    /// A symlink.
    ///
    /// # Errors
    /// As for [`Visitor::start_directory`].
    fn symlink(&mut self, name: Option<&CStr>, target: &CStr) -> Result<(), Self::Error>;
    /// A file, executable where its owner may execute it.
    ///
    /// # Errors
    /// As for [`Visitor::start_directory`].
    fn regular(
        &mut self,
        name: Option<&CStr>,
        executable: bool,
        contents: &mut Contents<'_>,
    ) -> Result<(), Self::Error>;
}

/// What a file holds: it is read exactly as long as it was when it was opened.
#[derive(Debug)]
pub struct Contents<'a> {
    file: &'a File,
    size: u64,
    left: u64,
    /// It has another size than a moment ago.
    changed: bool,
    /// It is known that no more follows.
    ended: bool,
    failed: Option<io::Error>,
}

impl<'a> Contents<'a> {
    fn new(file: &'a File, size: u64) -> Self {
        Self { file, size, left: size, changed: false, ended: false, failed: None }
    }

    /// The file's size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Reads what fits into `buffer`, or all that is left; gives how much that is. Where the buffer
    /// has a byte more than are left, one call does it: that no more comes says that the file ends.
    ///
    /// # Errors
    /// When it cannot be read or has become shorter. The walk then says so, whatever the visitor does.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let last = wanted as u64 == self.left;
        let asked = if last { buffer.len().min(wanted + 1) } else { wanted };
        let mut got = 0;
        while got < wanted {
            match self.file.read(&mut buffer[got..asked]) {
                Ok(0) => {
                    self.changed = true;
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(count) => got += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let kind = error.kind();
                    self.failed = Some(error);
                    return Err(kind.into());
                }
            }
        }
        self.changed |= got > wanted;
        self.ended |= wanted > 0 && last && asked > wanted;
        self.left -= wanted as u64;
        Ok(wanted)
    }

    /// Whether it has ended where it should.
    fn check(&mut self) -> io::Result<bool> {
        while !self.ended && !self.changed {
            match self.file.read(&mut [0]) {
                Ok(count) => {
                    self.ended = true;
                    self.changed = count > 0 || self.left > 0;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(!self.changed)
    }
}

/// What of a tree could not be read, and why.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A file has another size than a moment ago.
    #[error("{} changed while it was read", .0.display())]
    Changed(PathBuf),
    /// It is no file, directory or symlink.
    #[error("{} is no file, directory or symlink", .0.display())]
    Unsupported(PathBuf),
}

impl From<Unreadable> for Error {
    fn from(error: Unreadable) -> Self {
        match error {
            Unreadable::Io { source, .. } => Self::Io(source),
            Unreadable::Changed(path) => Self::FileChanged(path),
            Unreadable::Unsupported(path) => Self::UnsupportedFileType(path),
        }
    }
}

/// Says which entries of directories count.
pub type Wanted<'a> = dyn Fn(&Path) -> io::Result<bool> + 'a;

/// Tells a visitor of the tree at `root`, names in ascending order.
///
/// # Errors
/// What the visitor says, or what could not be read.
pub fn walk<V: Visitor>(
    root: &Path,
    wanted: Option<&Wanted<'_>>,
    visitor: &mut V,
) -> Result<(), V::Error> {
    let space = vec![MaybeUninit::uninit(); NAMES];
    let mut walk = Walk { path: root.into(), levels: Vec::new(), wanted, space };
    let stat = rustix::fs::lstat(root).map_err(|errno| walk.refused(errno))?;
    let name = OsStr::as_bytes(root.as_os_str());
    let entered = std::ffi::CString::new(name)
        .map_err(|_| Errno::INVAL)
        .map_err(|errno| walk.refused(errno))?;
    walk.entry(CWD, None, &entered, FileType::from_raw_mode(stat.st_mode), visitor)?;
    while let Some(mut level) = walk.levels.pop() {
        let Some(entry) = level.entries.get(level.next).copied() else {
            visitor.end_directory()?;
            if !walk.levels.is_empty() {
                walk.path.pop();
            }
            continue;
        };
        level.next += 1;
        let name = CStr::from_bytes_until_nul(&level.names[entry.at..]).unwrap_or_default();
        let deep = walk.levels.len();
        walk.entry(level.fd.as_fd(), Some(name), name, entry.kind, visitor)?;
        // Below what it has opened, if it has.
        walk.levels.insert(deep, level);
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Entry {
    /// Where its name begins.
    at: usize,
    kind: FileType,
}

/// An open directory.
struct Level {
    fd: OwnedFd,
    /// The names, each ended by a zero.
    names: Vec<u8>,
    entries: Vec<Entry>,
    next: usize,
}

struct Walk<'w> {
    /// Of the innermost open directory.
    path: PathBuf,
    levels: Vec<Level>,
    wanted: Option<&'w Wanted<'w>>,
    space: Vec<MaybeUninit<u8>>,
}

impl Walk<'_> {
    fn refused(&self, errno: Errno) -> Unreadable {
        Unreadable::Io { path: self.path.clone(), source: errno.into() }
    }

    /// The path of an entry of the innermost directory.
    fn below(&self, name: Option<&CStr>) -> PathBuf {
        name.map_or_else(|| self.path.clone(), |n| self.path.join(OsStr::from_bytes(n.to_bytes())))
    }

    fn entry<V: Visitor>(
        &mut self,
        parent: BorrowedFd<'_>,
        name: Option<&CStr>,
        opened: &CStr,
        kind: FileType,
        visitor: &mut V,
    ) -> Result<(), V::Error> {
        let refused = |this: &Self, errno: Errno| Unreadable::Io {
            path: this.below(name),
            source: errno.into(),
        };
        if kind == FileType::Symlink {
            let target = rustix::fs::readlinkat(parent, opened, Vec::new());
            return visitor.symlink(name, &target.map_err(|errno| refused(self, errno))?);
        }
        if kind != FileType::RegularFile && kind != FileType::Directory {
            return Err(Unreadable::Unsupported(self.below(name)).into());
        }
        // Whatever took its place since is not followed, and not waited for.
        let mut flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        if kind == FileType::Directory {
            flags |= OFlags::DIRECTORY;
        }
        let fd = rustix::fs::openat(parent, opened, flags, Mode::empty())
            .map_err(|errno| refused(self, errno))?;
        if kind == FileType::Directory {
            visitor.start_directory(name)?;
            if let Some(name) = name {
                self.path.push(OsStr::from_bytes(name.to_bytes()));
            }
            let level = self.read(fd)?;
            self.levels.push(level);
            return Ok(());
        }
        self.file(name, &File::from(fd), visitor)
    }

    fn file<V: Visitor>(
        &mut self,
        name: Option<&CStr>,
        file: &File,
        visitor: &mut V,
    ) -> Result<(), V::Error> {
        let failed = |this: &Self, source| Unreadable::Io { path: this.below(name), source };
        let stat = rustix::fs::fstat(file).map_err(|errno| failed(self, errno.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Unreadable::Unsupported(self.below(name)).into());
        }
        let (executable, size) = (stat.st_mode & 0o100 != 0, stat.st_size.unsigned_abs());
        let mut contents = Contents::new(file, size);
        let visited = visitor.regular(name, executable, &mut contents);
        // Better than what the visitor says of it.
        if let Some(error) = contents.failed.take() {
            return Err(failed(self, error).into());
        }
        if contents.changed {
            return Err(Unreadable::Changed(self.below(name)).into());
        }
        visited?;
        match contents.check() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Unreadable::Changed(self.below(name)).into()),
            Err(error) => Err(failed(self, error).into()),
        }
    }

    fn read(&mut self, fd: OwnedFd) -> Result<Level, Unreadable> {
        let (mut names, mut entries) = (Vec::new(), Vec::new());
        let mut space = std::mem::take(&mut self.space);
        let mut raw = RawDir::new(&fd, &mut space);
        while let Some(entry) = raw.next() {
            let entry = entry.map_err(|errno| self.refused(errno))?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if let Some(wanted) = self.wanted {
                let path = self.below(Some(name));
                match wanted(&path) {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(source) => return Err(Unreadable::Io { path, source }),
                }
            }
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                let stat = rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|errno| self.refused(errno))?;
                kind = FileType::from_raw_mode(stat.st_mode);
            }
            entries.push(Entry { at: names.len(), kind });
            names.extend_from_slice(name.to_bytes_with_nul());
        }
        self.space = space;
        // The zero at its end sorts a name before those that go on.
        let name = |entry: &Entry| {
            let rest = &names[entry.at..];
            &rest[..rest.iter().position(|byte| *byte == 0).unwrap_or(0)]
        };
        entries.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        Ok(Level { fd, names, entries, next: 0 })
    }
}

#[cfg(test)]
mod tests;
