//! An uncompressed EROFS image of a [`Tree`], the same bytes for the same tree.
//!
//! Only what kernel 5.15 and later read: extended inodes, inline xattrs, inlined tails, and
//! chunk maps for files with holes. The data comes first, in one pass over each file, so that
//! holes are found by content and nothing is held in memory; the metadata follows it.

mod disk;
mod layout;
mod xattr;

#[cfg(test)]
mod tests;

use crate::error::{Context, Error, Result};
use crate::tree::{Content, Id, Kind, Tree};
use disk::{BLOCK, RUN, Sink};
use layout::{Data, Plan};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The size of the image in bytes.
    pub size: u64,
    /// How many inodes it has.
    pub inodes: u64,
}

/// Writes the image to a new file. It is not flushed to disk: the store does that with everything
/// that a build has made, before it counts as made.
///
/// # Errors
/// When the file exists or cannot be written, a source cannot be read or has changed, or the tree
/// holds what EROFS cannot.
pub fn write_file(tree: &Tree, path: &Path) -> Result<Summary> {
    let mut file = hc_fs::plain::create_new(path, 0o644)?;
    write(tree, &mut file, path)
}

/// Writes the image to `out`, an empty file; `shown` is its name in errors.
///
/// # Errors
/// As [`write_file`].
pub fn write<W: Write + Seek>(tree: &Tree, out: W, shown: &Path) -> Result<Summary> {
    let mut plan = Plan::new(tree)?;
    let mut sink = Sink::new(out, shown)?;
    for at in 0..plan.inodes.len() {
        let id = plan.inodes[at].id;
        match &tree.inode(id).kind {
            Kind::File(content) => {
                let data = store(&mut sink, content, plan.inodes[at].head_size())
                    .map_err(|e| e.locate(&plan, tree, id))?;
                plan.inodes[at].data = data;
            }
            Kind::Symlink(target) => {
                let content = Content::Bytes(target.clone());
                let data = store(&mut sink, &content, plan.inodes[at].head_size())
                    .map_err(|e| e.locate(&plan, tree, id))?;
                plan.inodes[at].data = data;
            }
            _ => {}
        }
    }
    plan.place(tree, sink.block())?;
    let meta_block = sink.block();
    for at in 0..plan.inodes.len() {
        let bytes =
            plan.inode_bytes(tree, at).map_err(|e| e.locate(&plan, tree, plan.inodes[at].id))?;
        sink.pad_to(u64::from(meta_block) * BLOCK + plan.inodes[at].offset)?;
        sink.put(&bytes)?;
    }
    sink.pad_block()?;
    for at in 0..plan.inodes.len() {
        for block in plan.directory_blocks(tree, at) {
            sink.put(&block)?;
            sink.pad_block()?;
        }
    }
    let blocks = sink.block();
    let (mut out, digest) = sink.finish()?;
    let first = disk::first_block(&disk::Super {
        root_nid: plan.root_nid(),
        inodes: plan.inodes.len() as u64,
        blocks,
        meta_block,
        chunked: plan.inodes.iter().any(|i| matches!(i.data, Data::Chunks { .. })),
        digest,
    });
    out.seek(SeekFrom::Start(0)).and_then(|_| out.write_all(&first)).on("write", shown)?;
    out.flush().on("write", shown)?;
    Ok(Summary { size: u64::from(blocks) * BLOCK, inodes: plan.inodes.len() as u64 })
}

/// Files from this size on are looked at for holes.
const SPARSE_FROM: u64 = 128 << 10;
/// A chunk map has at most this many entries.
const MAP_MAX: u64 = 1 << 16;

/// What went wrong with one inode, before its path is known.
enum Fault {
    Known(Error),
    Here(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Known(error)
    }
}

impl Fault {
    fn locate(self, plan: &Plan, tree: &Tree, id: Id) -> Error {
        match self {
            Self::Known(error) => error,
            Self::Here(why) => Error::Tree { path: plan.path(tree, id), why },
        }
    }
}

/// Copies contents to blocks; what fits beside the inode (`head` bytes) is kept for there.
fn store<W: Write>(sink: &mut Sink<'_, W>, content: &Content, head: u64) -> Result<Data, Fault> {
    let size = content.size();
    let mut reader = content.open()?;
    if size >= SPARSE_FROM {
        let data = store_chunks(sink, content, &mut reader, size)?;
        at_end(&mut reader)?;
        return Ok(data);
    }
    let tail = size % BLOCK;
    let inline = if head + tail <= BLOCK { tail } else { 0 };
    let start = sink.block();
    sink.put_from(&mut *reader, size as usize)?;
    at_end(&mut reader)?;
    let rest = sink.take_back(inline as usize);
    sink.pad_block()?;
    Ok(Data::Flat { start, size, tail: rest })
}

fn store_chunks<'c, W: Write>(
    sink: &mut Sink<'_, W>,
    content: &'c Content,
    reader: &mut Box<dyn Read + 'c>,
    size: u64,
) -> Result<Data, Fault> {
    let mut bits = 4; // 64 KiB
    while size.div_ceil(BLOCK << bits) > MAP_MAX {
        bits += 1;
    }
    let chunk = BLOCK << bits;
    let start = sink.block();
    let mut map = Vec::new();
    // A chunk can be larger than what one wants to hold: it comes in parts, and zeros are owed.
    let zeros = vec![0; chunk.min(RUN as u64) as usize];
    let mut left = size;
    while left > 0 {
        let mut in_chunk = chunk.min(left);
        // A hole that is known need not be read to be found.
        if content.is_hole(size - left, in_chunk) {
            left -= in_chunk;
            *reader = content.open_at(size - left)?;
            map.push(None);
            continue;
        }
        left -= in_chunk;
        let (at, mut owed) = (sink.block(), 0);
        while in_chunk > 0 {
            let count = in_chunk.min(RUN as u64) as usize;
            in_chunk -= count as u64;
            let is_zero = sink.put_from(&mut **reader, count)? == &zeros[..count];
            if !is_zero && owed == 0 {
                continue;
            }
            let part = sink.take_back(count);
            if is_zero {
                owed += count as u64;
            } else {
                sink.zeros(std::mem::take(&mut owed))?;
                sink.put(&part)?;
            }
        }
        if sink.block() == at && sink.aligned() {
            map.push(None);
        } else {
            sink.zeros(owed)?;
            sink.pad_block()?;
            map.push(Some(at));
        }
    }
    Ok(if map.iter().all(Option::is_some) {
        Data::Flat { start, size, tail: Vec::new() }
    } else {
        Data::Chunks { bits, size, map }
    })
}

fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> Result<(), Fault> {
    reader.read_exact(buffer).map_err(|e| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => Fault::Here("it shrank while it was read".into()),
        _ => Fault::Here(format!("cannot read it: {e}")),
    })
}

fn at_end(reader: &mut dyn Read) -> Result<(), Fault> {
    match reader.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(Fault::Here("it grew while it was read".into())),
        Err(e) => Err(Fault::Here(format!("cannot read it: {e}"))),
    }
}
