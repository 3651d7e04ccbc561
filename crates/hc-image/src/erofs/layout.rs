//! Where everything goes, and the bytes of inodes and directories.

use super::disk::{BLOCK, NULL_BLOCK};
use super::{Fault, xattr};
use crate::error::{Error, Result};
use crate::tree::{Id, Kind, Tree};

/// The size of an extended inode; nids count half of it.
const INODE: u64 = 64;
const SLOT: u64 = 32;
const ENTRY: usize = 12;

/// Where an inode's contents are.
pub(super) enum Data {
    /// Devices, pipes, sockets.
    None,
    /// In one run of blocks, with `tail` in the metadata.
    Flat { start: u32, size: u64, tail: Vec<u8> },
    /// In chunks of `BLOCK << bits`; none is a hole.
    Chunks { bits: u16, size: u64, map: Vec<Option<u32>> },
    /// A directory: where each block's entries begin, then the end; `start` its first block.
    Directory { start: u32, cuts: Vec<usize>, full: usize, last: usize },
}

/// An inode on its way to disk.
pub(super) struct Placed {
    pub id: Id,
    pub parent: Id,
    pub links: u32,
    pub xattrs: Vec<u8>,
    pub data: Data,
    /// From the start of the metadata.
    pub offset: u64,
}

impl Placed {
    pub fn head_size(&self) -> u64 {
        INODE + self.xattrs.len() as u64
    }

    fn nid(&self) -> u64 {
        self.offset / SLOT
    }
}

/// All inodes in their order on disk: depth first, names sorted, whatever order they came in.
pub(super) struct Plan {
    pub inodes: Vec<Placed>,
    /// By [`Id`]: the place in `inodes`.
    position: Vec<usize>,
}

const NOWHERE: usize = usize::MAX;

impl Plan {
    pub fn new(tree: &Tree) -> Result<Self> {
        let mut plan = Self { inodes: Vec::new(), position: vec![NOWHERE; tree.len()] };
        let mut left = vec![(Tree::ROOT, Tree::ROOT)];
        while let Some((id, parent)) = left.pop() {
            let known = plan.position[id.0];
            if known != NOWHERE {
                plan.inodes[known].links += 1;
                continue;
            }
            plan.position[id.0] = plan.inodes.len();
            let inode = tree.inode(id);
            let placed =
                |xattrs, links, data| Placed { id, parent, links, xattrs, data, offset: 0 };
            let mut links = 1;
            if let Kind::Directory(entries) = &inode.kind {
                let below = |id: &Id| matches!(tree.inode(*id).kind, Kind::Directory(_));
                links = 2 + entries.values().filter(|id| below(id)).count() as u32;
                left.extend(entries.values().rev().map(|child| (*child, id)));
            }
            plan.inodes.push(placed(Vec::new(), links, Data::None));
            let here = |why| Error::Tree { path: plan.path(tree, id), why };
            let xattrs = xattr::encode(&inode.meta).map_err(here)?;
            if let Kind::Symlink(target) = &inode.kind
                && (target.is_empty() || target.len() >= BLOCK as usize || target.contains(&0))
            {
                return Err(here("a symlink's target has 1 to 4095 bytes, none NUL".into()));
            }
            let data = match &inode.kind {
                Kind::Directory(_) => cut_directory(tree, id, INODE + xattrs.len() as u64),
                _ => Data::None,
            };
            let last = plan.inodes.len() - 1;
            plan.inodes[last].xattrs = xattrs;
            plan.inodes[last].data = data;
        }
        Ok(plan)
    }

    /// Gives every inode its place; the metadata begins at `meta_block`, directory blocks follow.
    pub fn place(&mut self, tree: &Tree, meta_block: u32) -> Result<()> {
        // Nothing at zero: an inode number of zero means "deleted" to readdir.
        let mut at = INODE;
        for inode in &mut self.inodes {
            let whole = inode.head_size()
                + match &inode.data {
                    Data::None => 0,
                    Data::Flat { tail, .. } => tail.len() as u64,
                    Data::Chunks { map, .. } => 4 * map.len() as u64,
                    Data::Directory { cuts, full, last, .. } if cuts.len() - 1 > *full => {
                        *last as u64
                    }
                    Data::Directory { .. } => 0,
                };
            // An inlined tail must not cross a block, nor must an inode without xattrs.
            let together = match &inode.data {
                Data::Chunks { .. } => INODE,
                _ if whole > BLOCK => INODE,
                _ => whole,
            };
            if at % BLOCK + together > BLOCK {
                at = at.next_multiple_of(BLOCK);
            }
            inode.offset = at;
            at = (at + whole).next_multiple_of(SLOT);
        }
        let mut next = u64::from(meta_block) + at.div_ceil(BLOCK);
        for inode in &mut self.inodes {
            if let Data::Directory { start, full, .. } = &mut inode.data {
                *start = u32::try_from(next).unwrap_or(NULL_BLOCK);
                next += *full as u64;
            }
        }
        if next >= u64::from(NULL_BLOCK) {
            let why = "the image would be larger than 16 TiB; make it smaller".into();
            return Err(Error::Tree { path: self.path(tree, Tree::ROOT), why });
        }
        Ok(())
    }

    pub fn root_nid(&self) -> u16 {
        // The first one placed.
        (INODE / SLOT) as u16
    }

    /// The inode, its xattrs and what is inlined.
    pub fn inode_bytes(&self, tree: &Tree, at: usize) -> Result<Vec<u8>, Fault> {
        let placed = &self.inodes[at];
        let inode = tree.inode(placed.id);
        let meta = &inode.meta;
        let (kind, device) = match &inode.kind {
            Kind::File(_) => (0o100_000, None),
            Kind::Directory(_) => (0o040_000, None),
            Kind::Symlink(_) => (0o120_000, None),
            Kind::Char { major, minor } => (0o020_000, Some((*major, *minor))),
            Kind::Block { major, minor } => (0o060_000, Some((*major, *minor))),
            Kind::Fifo => (0o010_000, None),
            Kind::Socket => (0o140_000, None),
        };
        let mut tail = Vec::new();
        let (layout, size, union) = match &placed.data {
            Data::None => (0, 0, device.map_or(Ok(0), device_number)?),
            Data::Flat { start, size, tail: rest } => {
                tail.clone_from(rest);
                let start = if *size == rest.len() as u64 { NULL_BLOCK } else { *start };
                (if rest.is_empty() { 0 } else { 2 }, *size, start)
            }
            Data::Chunks { bits, size, map } => {
                tail = map.iter().flat_map(|b| b.unwrap_or(NULL_BLOCK).to_le_bytes()).collect();
                (4, *size, u32::from(*bits))
            }
            Data::Directory { start, cuts, full, last } => {
                let blocks = cuts.len() - 1;
                if blocks > *full {
                    let names = names(tree, placed.id, placed.parent);
                    tail = self.directory_block(tree, &names[cuts[*full]..]);
                }
                let start = if *full == 0 { NULL_BLOCK } else { *start };
                let size = (blocks - 1) as u64 * BLOCK + *last as u64;
                (if blocks > *full { 2 } else { 0 }, size, start)
            }
        };
        let mut out = Vec::with_capacity(INODE as usize + placed.xattrs.len() + tail.len());
        out.extend((1_u16 | layout << 1).to_le_bytes());
        out.extend((xattr::count(&placed.xattrs) as u16).to_le_bytes());
        out.extend((kind | meta.mode as u16 & 0o7777).to_le_bytes());
        out.extend([0; 2]);
        out.extend(size.to_le_bytes());
        out.extend(union.to_le_bytes());
        out.extend((at as u32 + 1).to_le_bytes());
        out.extend(meta.uid.to_le_bytes());
        out.extend(meta.gid.to_le_bytes());
        out.extend(meta.mtime.to_le_bytes());
        out.extend(meta.mtime_nsec.to_le_bytes());
        out.extend(placed.links.to_le_bytes());
        out.extend([0; 16]);
        out.extend(&placed.xattrs);
        out.extend(&tail);
        Ok(out)
    }

    /// The blocks of a directory that are not inlined.
    pub fn directory_blocks(&self, tree: &Tree, at: usize) -> Vec<Vec<u8>> {
        let placed = &self.inodes[at];
        let Data::Directory { cuts, full, .. } = &placed.data else { return Vec::new() };
        let names = names(tree, placed.id, placed.parent);
        cuts.windows(2)
            .take(*full)
            .map(|cut| self.directory_block(tree, &names[cut[0]..cut[1]]))
            .collect()
    }

    /// Entries, then their names.
    fn directory_block(&self, tree: &Tree, names: &[(&[u8], Id)]) -> Vec<u8> {
        let (mut heads, mut text) = (Vec::new(), Vec::<u8>::new());
        for (name, id) in names {
            let target = &self.inodes[self.position[id.0]];
            heads.extend(target.nid().to_le_bytes());
            heads.extend(((names.len() * ENTRY + text.len()) as u16).to_le_bytes());
            heads.extend([file_type(&tree.inode(*id).kind), 0]);
            text.extend(*name);
        }
        heads.extend(text);
        heads
    }

    /// The path of an inode, by its first name.
    pub fn path(&self, tree: &Tree, id: Id) -> String {
        let mut parts = Vec::new();
        let mut at = id;
        while at != Tree::ROOT {
            let Some(placed) = self.inodes.get(self.position[at.0]) else { break };
            if let Kind::Directory(entries) = &tree.inode(placed.parent).kind
                && let Some((name, _)) = entries.iter().find(|(_, child)| **child == at)
            {
                parts.push(String::from_utf8_lossy(name).into_owned());
            }
            at = placed.parent;
        }
        parts.reverse();
        format!("/{}", parts.join("/"))
    }
}

/// A directory's names with `.` and `..`, in byte order as the kernel's search wants them.
fn names(tree: &Tree, id: Id, parent: Id) -> Vec<(&[u8], Id)> {
    let Kind::Directory(entries) = &tree.inode(id).kind else { return Vec::new() };
    let mut names: Vec<(&[u8], Id)> = entries.iter().map(|(n, id)| (n.as_slice(), *id)).collect();
    for (name, id) in [(b".".as_slice(), id), (b"..".as_slice(), parent)] {
        let place = names.partition_point(|(other, _)| *other < name);
        names.insert(place, (name, id));
    }
    names
}

fn cut_directory(tree: &Tree, id: Id, head: u64) -> Data {
    let (mut cuts, mut used) = (vec![0], 0);
    let names = names(tree, id, id);
    for (at, (name, _)) in names.iter().enumerate() {
        let size = ENTRY + name.len();
        if used + size > BLOCK as usize {
            cuts.push(at);
            used = 0;
        }
        used += size;
    }
    cuts.push(names.len());
    let blocks = cuts.len() - 1;
    let full = if head + used as u64 <= BLOCK { blocks - 1 } else { blocks };
    Data::Directory { start: 0, cuts, full, last: used }
}

fn file_type(kind: &Kind) -> u8 {
    match kind {
        Kind::File(_) => 1,
        Kind::Directory(_) => 2,
        Kind::Char { .. } => 3,
        Kind::Block { .. } => 4,
        Kind::Fifo => 5,
        Kind::Socket => 6,
        Kind::Symlink(_) => 7,
    }
}

fn device_number((major, minor): (u32, u32)) -> Result<u32, Fault> {
    if major >= 1 << 12 || minor >= 1 << 20 {
        return Err(Fault::Here(format!("EROFS cannot store the device number {major}:{minor}")));
    }
    Ok(minor & 0xff | major << 8 | (minor & !0xff) << 12)
}
