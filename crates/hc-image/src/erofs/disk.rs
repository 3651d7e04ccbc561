//! Bytes on disk: the superblock and the block-wise output.

use super::Fault;
use crate::error::{Context, Error};
use std::io::{Read, Write};
use std::path::Path;

type Result<T, E = Error> = std::result::Result<T, E>;

/// The block size.
pub(super) const BLOCK: u64 = 4096;
/// "No block".
pub(super) const NULL_BLOCK: u32 = u32::MAX;

const MAGIC: u32 = 0xE0F5_E1E2;
const COMPAT_CHECKSUM: u32 = 1;
const COMPAT_MTIME: u32 = 2;
const INCOMPAT_CHUNKED: u32 = 4;
const SUPER: usize = 1024;

/// What the superblock tells.
pub(super) struct Super {
    pub root_nid: u16,
    pub inodes: u64,
    pub blocks: u32,
    pub meta_block: u32,
    pub chunked: bool,
    pub digest: [u8; 32],
}

/// The first block: 1024 bytes for a boot loader, the superblock, nothing.
pub(super) fn first_block(info: &Super) -> Vec<u8> {
    let mut block = vec![0; BLOCK as usize];
    let mut put =
        |at: usize, bytes: &[u8]| block[SUPER + at..][..bytes.len()].copy_from_slice(bytes);
    put(0, &MAGIC.to_le_bytes());
    put(8, &(COMPAT_CHECKSUM | COMPAT_MTIME).to_le_bytes());
    put(12, &[12]); // log2 of the block size
    put(14, &info.root_nid.to_le_bytes());
    put(16, &info.inodes.to_le_bytes());
    put(36, &info.blocks.to_le_bytes());
    put(40, &info.meta_block.to_le_bytes());
    // Overlayfs wants lower layers it can tell apart: an id of the contents (UUID version 8).
    let mut uuid: [u8; 16] = std::array::from_fn(|at| info.digest[at]);
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    put(48, &uuid);
    put(80, &if info.chunked { INCOMPAT_CHUNKED } else { 0 }.to_le_bytes());
    let checksum = crc32c(&block[SUPER..]);
    block[SUPER + 4..SUPER + 8].copy_from_slice(&checksum.to_le_bytes());
    block
}

/// CRC-32C from all ones without the final inversion, as the kernel computes it.
fn crc32c(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 }
        })
    })
}

/// How much is hashed and written at once. The hash takes long runs several times as quickly as
/// short ones.
pub(super) const RUN: usize = 1 << 20;

/// Output that counts blocks and hashes what goes by.
pub(super) struct Sink<'a, W: Write> {
    out: W,
    hash: blake3::Hasher,
    /// What is neither hashed nor written yet.
    held: Vec<u8>,
    /// Where it begins in the output.
    position: u64,
    shown: &'a Path,
}

impl<'a, W: Write> Sink<'a, W> {
    /// Leaves the first block free.
    pub fn new(mut out: W, shown: &'a Path) -> Result<Self> {
        out.write_all(&[0; BLOCK as usize]).on("write", shown)?;
        let (hash, held) = (blake3::Hasher::new(), Vec::with_capacity(RUN));
        Ok(Self { out, hash, held, position: BLOCK, shown })
    }

    fn end(&self) -> u64 {
        self.position + self.held.len() as u64
    }

    fn make_room(&mut self, count: usize) -> Result<()> {
        if self.end() + count as u64 > (u64::from(u32::MAX) - 1) * BLOCK {
            return Err(Error::Tree {
                path: self.shown.display().to_string(),
                why: "the image would be larger than 16 TiB; make it smaller".into(),
            });
        }
        if self.held.len() + count > RUN {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.hash.update(&self.held);
        self.out.write_all(&self.held).on("write", self.shown)?;
        self.position += self.held.len() as u64;
        self.held.clear();
        Ok(())
    }

    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.make_room(bytes.len())?;
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// Puts `count` bytes of a reader, [`RUN`] at the most; gives them to be looked at.
    pub fn put_from(&mut self, reader: &mut dyn Read, count: usize) -> Result<&[u8], Fault> {
        self.make_room(count)?;
        let start = self.held.len();
        self.held.resize(start + count, 0);
        super::fill(reader, &mut self.held[start..])?;
        Ok(&self.held[start..])
    }

    /// Takes the last `count` bytes back, which one call has put.
    pub fn take_back(&mut self, count: usize) -> Vec<u8> {
        self.held.split_off(self.held.len().saturating_sub(count))
    }

    pub fn zeros(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            let part = count.min(RUN as u64) as usize;
            self.make_room(part)?;
            self.held.resize(self.held.len() + part, 0);
            count -= part as u64;
        }
        Ok(())
    }

    pub fn aligned(&self) -> bool {
        self.end().is_multiple_of(BLOCK)
    }

    pub fn pad_block(&mut self) -> Result<()> {
        self.pad_to(self.end().next_multiple_of(BLOCK))
    }

    pub fn pad_to(&mut self, position: u64) -> Result<()> {
        self.zeros(position - self.end())
    }

    /// The block the output is in; `put` keeps it within what fits.
    pub fn block(&self) -> u32 {
        u32::try_from(self.end() / BLOCK).unwrap_or(NULL_BLOCK)
    }

    pub fn finish(mut self) -> Result<(W, [u8; 32])> {
        self.flush()?;
        Ok((self.out, self.hash.finalize().into()))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(!super::crc32c(b"123456789"), 0xE306_9283);
    }
}
