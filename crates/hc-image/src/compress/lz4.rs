//! The legacy LZ4 frame: a magic number, then blocks of at most 8 MiB with their packed size in
//! front. It has no end of its own: the input's end, or padding.
//! <https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>

use super::Blocks;
use std::io::{BufRead, Error, Read, Result};

const MAGIC: u32 = 0x184c_2102;
const BLOCK: usize = 8 << 20;

pub(super) struct Decoder<R> {
    input: R,
    blocks: Blocks,
    packed: Vec<u8>,
    begun: bool,
    ended: bool,
}

impl<R: BufRead> Decoder<R> {
    pub const fn new(input: R) -> Self {
        Self { input, blocks: Blocks::new(), packed: Vec::new(), begun: false, ended: false }
    }

    fn next(&mut self) -> Result<()> {
        loop {
            let Some(size) = self.size()? else {
                self.ended = true;
                return Ok(());
            };
            if size == MAGIC {
                self.begun = true;
                continue;
            }
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            if !self.begun || size > lz4_flex::block::get_maximum_output_size(BLOCK) {
                return Err(Error::other(format!("an LZ4 block of {size} bytes")));
            }
            self.packed.resize(size, 0);
            self.input.read_exact(&mut self.packed)?;
            self.blocks.block.resize(BLOCK, 0);
            let count = lz4_flex::block::decompress_into(&self.packed, &mut self.blocks.block)
                .map_err(Error::other)?;
            self.blocks.block.truncate(count);
            self.blocks.at = 0;
            return Ok(());
        }
    }

    /// The next block's size; nothing at the end.
    fn size(&mut self) -> Result<Option<u32>> {
        let mut bytes = [0; 4];
        let mut length = 0;
        while length < 4 {
            match self.input.read(&mut bytes[length..])? {
                0 if length == 0 => return Ok(None),
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => length += count,
            }
        }
        Ok(Some(u32::from_le_bytes(bytes)).filter(|size| *size != 0))
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            let count = self.blocks.take(buffer);
            if count > 0 || self.ended || buffer.is_empty() {
                return Ok(count);
            }
            self.next()?;
        }
    }
}
