//! lzop files as `lzop` writes them for kernels: a header, then blocks of LZO1X with their sizes and
//! checksums in front. The codes are described in the kernel's Documentation/staging/lzo.rst.

use super::Blocks;
use std::io::{BufRead, Error, Read, Result};

const MAGIC: [u8; 9] = [0x89, b'L', b'Z', b'O', 0, 0x0d, 0x0a, 0x1a, 0x0a];
/// What one block may unpack to; lzop makes blocks of 256 KiB.
const BLOCK: usize = 64 << 20;

const ADLER32_UNPACKED: u32 = 1;
const ADLER32_PACKED: u32 = 2;
const EXTRA_FIELD: u32 = 0x40;
const CRC32_UNPACKED: u32 = 0x100;
const CRC32_PACKED: u32 = 0x200;
const FILTER: u32 = 0x800;

pub(super) struct Decoder<R> {
    input: R,
    blocks: Blocks,
    packed: Vec<u8>,
    flags: Option<u32>,
    ended: bool,
}

impl<R: BufRead> Decoder<R> {
    pub const fn new(input: R) -> Self {
        Self { input, blocks: Blocks::new(), packed: Vec::new(), flags: None, ended: false }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<usize> {
        Ok(usize::try_from(u32::from_be_bytes(self.bytes()?)).unwrap_or(usize::MAX))
    }

    fn skip(&mut self, count: usize) -> Result<()> {
        let skipped =
            std::io::copy(&mut self.input.by_ref().take(count as u64), &mut std::io::sink())?;
        if skipped == count as u64 { Ok(()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
    }

    fn header(&mut self) -> Result<u32> {
        if self.bytes::<9>()? != MAGIC {
            return Err(Error::other("not an lzop file"));
        }
        let version = u16::from_be_bytes(self.bytes()?);
        self.skip(2)?; // the library's version
        if version >= 0x0940 {
            self.skip(2)?; // the version needed to unpack
        }
        self.skip(1)?; // the method
        if version >= 0x0940 {
            self.skip(1)?; // the level
        }
        let flags = u32::from_be_bytes(self.bytes()?);
        if flags & FILTER != 0 {
            self.skip(4)?;
        }
        self.skip(8)?; // mode and time
        if version >= 0x0940 {
            self.skip(4)?; // the high half of the time
        }
        let [name] = self.bytes()?;
        self.skip(usize::from(name))?;
        self.skip(4)?; // the header's checksum
        if flags & EXTRA_FIELD != 0 {
            let length = self.number()?;
            self.skip(length)?;
            self.skip(4)?;
        }
        Ok(flags)
    }

    fn next(&mut self) -> Result<()> {
        let flags = match self.flags {
            Some(flags) => flags,
            None => {
                let flags = self.header()?;
                *self.flags.insert(flags)
            }
        };
        let size = self.number()?;
        if size == 0 {
            self.ended = true;
            return Ok(());
        }
        let packed = self.number()?;
        if size > BLOCK || packed > size {
            return Err(Error::other(format!("an LZO block of {packed} bytes for {size}")));
        }
        let mut sums = 0;
        for flag in [ADLER32_UNPACKED, CRC32_UNPACKED] {
            sums += usize::from(flags & flag != 0);
        }
        if packed < size {
            for flag in [ADLER32_PACKED, CRC32_PACKED] {
                sums += usize::from(flags & flag != 0);
            }
        }
        self.skip(sums * 4)?;
        self.packed.resize(packed, 0);
        self.input.read_exact(&mut self.packed)?;
        self.blocks.at = 0;
        if packed == size {
            std::mem::swap(&mut self.blocks.block, &mut self.packed);
            return Ok(());
        }
        self.blocks.block.clear();
        decode(&self.packed, &mut self.blocks.block, size)
            .filter(|()| self.blocks.block.len() == size)
            .ok_or_else(|| Error::other("a damaged LZO block"))
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

/// The packed bytes, read once.
struct Codes<'a>(&'a [u8]);

impl Codes<'_> {
    fn byte(&mut self) -> Option<usize> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(usize::from(*first))
    }

    fn pair(&mut self) -> Option<usize> {
        Some(self.byte()? | self.byte()? << 8)
    }

    /// A length whose bits were all zero goes on in bytes: 255 for each zero.
    fn length(&mut self, bits: usize, mask: usize, most: usize) -> Option<usize> {
        if bits & mask != 0 {
            return Some(bits & mask);
        }
        let mut length = mask;
        loop {
            match self.byte()? {
                0 => length += 255,
                last => return Some(length + last),
            }
            if length > most {
                return None;
            }
        }
    }

    fn literals(&mut self, count: usize, out: &mut Vec<u8>, most: usize) -> Option<()> {
        if count > self.0.len() || out.len() + count > most {
            return None;
        }
        let (now, rest) = self.0.split_at(count);
        out.extend_from_slice(now);
        self.0 = rest;
        Some(())
    }
}

/// One LZO1X block of at most `most` bytes; nothing when it is damaged.
fn decode(packed: &[u8], out: &mut Vec<u8>, most: usize) -> Option<()> {
    let mut codes = Codes(packed);
    // How many literals came just before: 0 to 3 of them, or 4 for a run.
    let mut state = 0;
    if let Some(first) = packed.first().copied().map(usize::from).filter(|b| *b > 17) {
        codes.byte()?;
        codes.literals(first - 17, out, most)?;
        state = (first - 17).min(4);
    }
    loop {
        let code = codes.byte()?;
        let (length, distance, literals) = match code {
            0..16 if state == 0 => {
                let run = codes.length(code, 15, most)? + 3;
                codes.literals(run, out, most)?;
                state = 4;
                continue;
            }
            0..16 => {
                let far = (codes.byte()? << 2) + (code >> 2) + 1;
                let (length, distance) = if state == 4 { (3, far + 2048) } else { (2, far) };
                (length, distance, code & 3)
            }
            16..32 => {
                let length = codes.length(code, 7, most)? + 2;
                let pair = codes.pair()?;
                let distance = ((code & 8) << 11) + (pair >> 2);
                if distance == 0 {
                    return (codes.0.is_empty() && length == 3).then_some(());
                }
                (length, distance + 16384, pair & 3)
            }
            32..64 => {
                let length = codes.length(code, 31, most)? + 2;
                let pair = codes.pair()?;
                (length, (pair >> 2) + 1, pair & 3)
            }
            64..128 => (3 + (code >> 5 & 1), (codes.byte()? << 3) + (code >> 2 & 7) + 1, code & 3),
            _ => (5 + (code >> 5 & 3), (codes.byte()? << 3) + (code >> 2 & 7) + 1, code & 3),
        };
        let start = out.len().checked_sub(distance)?;
        if out.len() + length > most {
            return None;
        }
        for at in start..start + length {
            let byte = out[at];
            out.push(byte);
        }
        codes.literals(literals, out, most)?;
        state = literals;
    }
}
