//! Bytes on disk: the superblock and the block-wise output.

use crate::error::{Context, Error, Result};
use std::io::{BufWriter, Write};
use std::path::Path;

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

/// Output that counts blocks and hashes what goes by.
pub(super) struct Sink<'a, W: Write> {
    out: BufWriter<W>,
    hash: blake3::Hasher,
    position: u64,
    shown: &'a Path,
}

impl<'a, W: Write> Sink<'a, W> {
    /// Leaves the first block free.
    pub fn new(out: W, shown: &'a Path) -> Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 20, out);
        out.write_all(&[0; BLOCK as usize]).on("write", shown)?;
        Ok(Self { out, hash: blake3::Hasher::new(), position: BLOCK, shown })
    }

    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.position += bytes.len() as u64;
        if self.position > (u64::from(u32::MAX) - 1) * BLOCK {
            return Err(Error::Tree {
                path: self.shown.display().to_string(),
                why: "the image would be larger than 16 TiB; make it smaller".into(),
            });
        }
        self.hash.update(bytes);
        self.out.write_all(bytes).on("write", self.shown)
    }

    pub fn zeros(&mut self, mut count: u64) -> Result<()> {
        static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
        while count > 0 {
            let part = count.min(ZEROS.len() as u64);
            self.put(&ZEROS[..part as usize])?;
            count -= part;
        }
        Ok(())
    }

    pub fn aligned(&self) -> bool {
        self.position.is_multiple_of(BLOCK)
    }

    pub fn pad_block(&mut self) -> Result<()> {
        self.pad_to(self.position.next_multiple_of(BLOCK))
    }

    pub fn pad_to(&mut self, position: u64) -> Result<()> {
        self.zeros(position - self.position)
    }

    /// The block the output is in; `put` keeps it within what fits.
    pub fn block(&self) -> u32 {
        u32::try_from(self.position / BLOCK).unwrap_or(NULL_BLOCK)
    }

    pub fn finish(self) -> Result<(W, [u8; 32])> {
        let shown = self.shown;
        let out = self.out.into_inner().map_err(|e| e.into_error()).on("write", shown)?;
        Ok((out, self.hash.finalize().into()))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(!super::crc32c(b"123456789"), 0xE306_9283);
    }
}
