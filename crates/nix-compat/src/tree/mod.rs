//! Making trees as they are kept in a store, by several threads: one tells what is to be made, and
//! whoever has time makes it, from blocks of memory that hold names and contents.

mod copy;
mod node;
mod pool;

pub use copy::{Copied, CopyError, copy_tree};
pub(crate) use node::{Directory, Large, Name, Op};
pub(crate) use pool::{BLOCK, Block, Filled, HandOver, produce};

use crate::place::Places;
use rustix::io::Errno;
use std::io;
use std::sync::OnceLock;

/// What all who make a tree share.
#[derive(Debug, Default)]
pub(crate) struct Context {
    pub places: Places,
    /// Where the tree's root is to be.
    pub root: Box<[u8]>,
    /// What went wrong first.
    pub failed: OnceLock<io::Error>,
}

impl Context {
    /// Notes what went wrong.
    pub fn note(&self, done: Result<(), Errno>) {
        if let Err(errno) = done {
            let _ = self.failed.set(errno.into());
        }
    }

    /// What went wrong first.
    pub fn check(&self) -> io::Result<()> {
        // An error for each who wants to know.
        self.failed.get().map_or(Ok(()), |error| {
            Err(match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(error.kind(), error.to_string()),
            })
        })
    }
}
