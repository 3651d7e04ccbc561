//! A file tree as data: what an image will hold, before it is one.

mod walk;

use crate::error::{Context, Error, Result};
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

/// An inode of a [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub(crate) usize);

/// What an inode has beside its contents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits with setuid, setgid and sticky (07777).
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Seconds of the time of last change.
    pub mtime: i64,
    /// Nanoseconds of it.
    pub mtime_nsec: u32,
    /// Extended attributes by full name, such as `security.capability`.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Meta {
    /// Permission bits of root's, with a time.
    #[must_use]
    pub fn root(mode: u32, mtime: i64) -> Self {
        Self { mode, mtime, ..Self::default() }
    }
}

/// Where a file's bytes are.
#[derive(Clone, Debug)]
pub enum Content {
    /// Here.
    Bytes(Vec<u8>),
    /// In a file, which is read when the image is written and must still have this size then.
    File {
        /// The file; a symlink is not followed.
        path: PathBuf,
        /// Its size.
        size: u64,
    },
    /// In parts of an open file, such as an archive; what lies between the parts is holes.
    Parts {
        /// The file.
        file: Arc<std::fs::File>,
        /// The number of bytes, holes included.
        size: u64,
        /// In order, none overlapping another, none past `size`.
        parts: Box<[Part]>,
    },
}

/// A run of bytes of [`Content::Parts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it begins in the contents.
    pub at: u64,
    /// Where it begins in the file.
    pub offset: u64,
    /// How many bytes it has.
    pub len: u64,
}

impl Content {
    /// The number of bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } | Self::Parts { size, .. } => *size,
        }
    }

    /// A reader from the start.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(&self) -> Result<Box<dyn Read + '_>> {
        self.open_at(0)
    }

    /// Whether it is known without reading that the `len` bytes from `at` on are zeros.
    pub(crate) fn is_hole(&self, at: u64, len: u64) -> bool {
        let Self::Parts { parts, .. } = self else { return false };
        let next = parts.partition_point(|part| part.at + part.len <= at);
        parts.get(next).is_none_or(|part| part.at >= at + len)
    }

    /// A reader from `at`, which is 0 unless it is known where the holes are.
    pub(crate) fn open_at(&self, at: u64) -> Result<Box<dyn Read + '_>> {
        match self {
            Self::Bytes(bytes) => Ok(Box::new(bytes.as_slice())),
            Self::File { path, .. } => {
                let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let fd = rustix::fs::open(path, flags, Mode::empty()).on("open", path)?;
                Ok(Box::new(std::fs::File::from(fd)))
            }
            Self::Parts { file, size, parts } => {
                let next = parts.partition_point(|part| part.at + part.len <= at);
                Ok(Box::new(PartsReader { file, size: *size, parts: &parts[next..], at }))
            }
        }
    }
}

/// Reads the parts and zeros for the holes.
struct PartsReader<'a> {
    file: &'a std::fs::File,
    size: u64,
    /// Those that are not read to their end.
    parts: &'a [Part],
    at: u64,
}

impl Read for PartsReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.parts.first().is_some_and(|part| part.at + part.len <= self.at) {
            self.parts = &self.parts[1..];
        }
        let at_most = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX).min(buffer.len());
        let count = match self.parts.first() {
            Some(part) if part.at <= self.at => {
                let into = self.at - part.at;
                let count = at_most(part.len - into);
                std::os::unix::fs::FileExt::read_at(
                    self.file,
                    &mut buffer[..count],
                    part.offset + into,
                )?
            }
            next => {
                let count = at_most(next.map_or(self.size, |part| part.at) - self.at);
                buffer[..count].fill(0);
                count
            }
        };
        self.at += count as u64;
        Ok(count)
    }
}

/// What an inode is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A directory: entries by name.
    Directory(BTreeMap<Vec<u8>, Id>),
    /// A regular file.
    File(Content),
    /// A symlink and its target.
    Symlink(Vec<u8>),
    /// A character device.
    Char {
        /// Its driver.
        major: u32,
        /// Its number there.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Its driver.
        major: u32,
        /// Its number there.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
}

/// One inode.
#[derive(Clone, Debug)]
pub struct Inode {
    /// What it is.
    pub kind: Kind,
    /// What it has.
    pub meta: Meta,
}

/// A file tree. Names in it are unique, parents exist, and directories have one name each.
#[derive(Clone, Debug)]
pub struct Tree {
    inodes: Vec<Inode>,
}

impl Tree {
    /// An empty root directory.
    #[must_use]
    pub fn new(root: Meta) -> Self {
        Self { inodes: vec![Inode { kind: Kind::Directory(BTreeMap::new()), meta: root }] }
    }

    /// The root directory.
    pub const ROOT: Id = Id(0);

    /// The inode of an id of this tree.
    #[must_use]
    pub fn inode(&self, id: Id) -> &Inode {
        &self.inodes[id.0]
    }

    /// How many inodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inodes.len()
    }

    /// Never: there is always the root.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// What is at `path` (`/`-separated; symlinks are not followed).
    #[must_use]
    pub fn find(&self, path: &[u8]) -> Option<Id> {
        path.split(|b| *b == b'/').filter(|n| !n.is_empty()).try_fold(Self::ROOT, |at, name| {
            match &self.inode(at).kind {
                Kind::Directory(entries) => entries.get(name).copied(),
                _ => None,
            }
        })
    }

    /// Adds an inode at `path`, whose parent must be there already.
    ///
    /// # Errors
    /// When the name is taken or not a name, or the parent is missing or no directory.
    pub fn add(&mut self, path: &[u8], kind: Kind, meta: Meta) -> Result<Id> {
        let (parent, name) = self.place(path)?;
        self.add_in(parent, name, kind, meta).map_err(|why| refuse(path, why))
    }

    /// Adds another name for an inode that is no directory: a hard link.
    ///
    /// # Errors
    /// As [`Tree::add`], and for a directory.
    pub fn link(&mut self, path: &[u8], to: Id) -> Result<()> {
        let (parent, name) = self.place(path)?;
        self.link_in(parent, name, to).map_err(|why| refuse(path, why))
    }

    /// No time is later than `epoch`, and none has a fraction of a second.
    pub fn clamp_mtimes(&mut self, epoch: i64) {
        for inode in &mut self.inodes {
            inode.meta.mtime = inode.meta.mtime.min(epoch);
            inode.meta.mtime_nsec = 0;
        }
    }

    /// The inode that a directory has under a name.
    pub(crate) fn child(&self, parent: Id, name: &[u8]) -> Option<Id> {
        match &self.inode(parent).kind {
            Kind::Directory(entries) => entries.get(name).copied(),
            _ => None,
        }
    }

    /// Takes a name out of a directory. The inode stays in memory, and is in no image when this was
    /// its last name.
    pub(crate) fn unlink(&mut self, parent: Id, name: &[u8]) {
        if let Kind::Directory(entries) = &mut self.inodes[parent.0].kind {
            entries.remove(name);
        }
    }

    /// What an inode has, to change it.
    pub fn meta_mut(&mut self, id: Id) -> &mut Meta {
        &mut self.inodes[id.0].meta
    }

    fn place<'a>(&self, path: &'a [u8]) -> Result<(Id, &'a [u8])> {
        let cut = path.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1);
        let (above, name) = path.split_at(cut);
        let parent = self.find(above).ok_or_else(|| {
            refuse(path, "its directory is not in the tree; add that first".into())
        })?;
        Ok((parent, name))
    }

    pub(crate) fn add_in(
        &mut self,
        parent: Id,
        name: &[u8],
        kind: Kind,
        meta: Meta,
    ) -> Result<Id, String> {
        if let Kind::Directory(entries) = &kind
            && !entries.is_empty()
        {
            return Err("a directory is added empty and filled afterwards".into());
        }
        let id = Id(self.inodes.len());
        self.enter(parent, name, id)?;
        self.inodes.push(Inode { kind, meta });
        Ok(id)
    }

    pub(crate) fn link_in(&mut self, parent: Id, name: &[u8], to: Id) -> Result<(), String> {
        match self.inodes.get(to.0).map(|inode| &inode.kind) {
            None => Err("the hard link's target is not in the tree".into()),
            Some(Kind::Directory(_)) => Err("a directory cannot be hard-linked".into()),
            Some(_) => self.enter(parent, name, to),
        }
    }

    fn enter(&mut self, parent: Id, name: &[u8], id: Id) -> Result<(), String> {
        if name.is_empty() || name == b"." || name == b".." {
            return Err("this is not a file name".into());
        }
        if name.len() > 255 || name.iter().any(|b| matches!(b, 0 | b'/')) {
            return Err("a file name has at most 255 bytes, none of them `/` or NUL".into());
        }
        let Kind::Directory(entries) = &mut self.inodes[parent.0].kind else {
            return Err("its parent is not a directory".into());
        };
        if entries.contains_key(name) {
            return Err("the name is taken".into());
        }
        entries.insert(name.to_vec(), id);
        Ok(())
    }
}

/// Whether an extended attribute belongs to a file and not to the host it lies on.
pub(crate) fn belongs_to_the_file(name: &[u8]) -> bool {
    // What overlayfs notes in its own layers would be taken for its own in ours.
    (name.starts_with(b"user.") || name.starts_with(b"trusted."))
        && !name.starts_with(b"trusted.overlay.")
        || name.starts_with(b"system.posix_acl_")
        || name == b"security.capability"
}

fn refuse(path: &[u8], why: String) -> Error {
    Error::Tree { path: String::from_utf8_lossy(path).into_owned(), why }
}
