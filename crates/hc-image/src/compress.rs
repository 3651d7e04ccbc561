//! Compressed streams by their first bytes, as kernels and initrds have them.

mod lz4;
mod lzo;

use std::io::{BufRead, Error, Read, Result};

/// What an xz or LZMA decoder may take; the highest preset takes 65 MiB, kernels up to 128.
const XZ_MEMORY: u64 = 256 << 20;
/// 2^27, what `zstd --ultra -22` of a kernel needs.
const ZSTD_WINDOW_LOG: u32 = 27;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 1952.
    Gzip,
    /// The .xz file format.
    Xz,
    /// What came before it: `.lzma`.
    Lzma,
    /// RFC 8878.
    Zstd,
    /// bzip2.
    Bzip2,
    /// What `lz4 -l` writes, and kernels read.
    Lz4,
    /// lzop's.
    Lzo,
}

impl Format {
    /// Which format begins with `bytes`; eight are enough.
    #[must_use]
    pub fn detect(bytes: &[u8]) -> Option<Self> {
        // The magic numbers of the kernel's lib/decompress.c.
        Some(match bytes {
            [0x1f, 0x8b | 0x9e, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x5d, 0, 0, ..] => Self::Lzma,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0x02, 0x21, 0x4c, 0x18, ..] => Self::Lz4,
            [0x89, b'L', b'Z', b'O', ..] => Self::Lzo,
            _ => return None,
        })
    }

    /// Decodes one stream; when it has ended, `input` is behind it.
    ///
    /// # Errors
    /// When a decoder does not start.
    pub fn decoder<'a, R: BufRead>(self, input: &'a mut R) -> Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::bufread::GzDecoder::new(input)),
            Self::Xz | Self::Lzma => {
                let stream = if self == Self::Xz {
                    liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0)
                } else {
                    liblzma::stream::Stream::new_lzma_decoder(XZ_MEMORY)
                };
                let stream = stream.map_err(Error::other)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(input)?.single_frame();
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Box::new(decoder)
            }
            Self::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(input)),
            Self::Lz4 => Box::new(lz4::Decoder::new(input)),
            Self::Lzo => Box::new(lzo::Decoder::new(input)),
        })
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Lzma => "LZMA",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "LZ4",
            Self::Lzo => "LZO",
        })
    }
}

/// All of a stream, and an error where it is longer than `limit`.
pub(crate) fn all(mut reader: impl Read, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.by_ref().take(limit).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == limit && reader.read(&mut [0])? != 0 {
        return Err(Error::other(format!("it unpacks to more than {limit} bytes")));
    }
    Ok(bytes)
}

/// Blocks that are decoded one at a time.
struct Blocks {
    block: Vec<u8>,
    at: usize,
}

impl Blocks {
    const fn new() -> Self {
        Self { block: Vec::new(), at: 0 }
    }

    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min(self.block.len() - self.at);
        buffer[..count].copy_from_slice(&self.block[self.at..self.at + count]);
        self.at += count;
        count
    }
}

#[cfg(test)]
pub(crate) mod tests;
