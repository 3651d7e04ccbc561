//! A file tree as data: what an image will hold, before it is one.

mod walk;

use crate::error::{Context, Error, Result};
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

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
}

impl Content {
    /// The number of bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    /// A reader from the start.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(&self) -> Result<Box<dyn Read + '_>> {
        match self {
            Self::Bytes(bytes) => Ok(Box::new(bytes.as_slice())),
            Self::File { path, .. } => {
                let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let fd = rustix::fs::open(path, flags, Mode::empty()).on("open", path)?;
                Ok(Box::new(std::fs::File::from(fd)))
            }
        }
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

    fn add_in(&mut self, parent: Id, name: &[u8], kind: Kind, meta: Meta) -> Result<Id, String> {
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

    fn link_in(&mut self, parent: Id, name: &[u8], to: Id) -> Result<(), String> {
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

fn refuse(path: &[u8], why: String) -> Error {
    Error::Tree { path: String::from_utf8_lossy(path).into_owned(), why }
}
