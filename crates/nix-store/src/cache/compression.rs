//! The compressions of binary caches, as streams.

use super::memory::{Share, window};
use nix_compat::narinfo::Compression;
use std::io::{BufRead, BufReader, Read, Result, Write};

/// No preset of xz has a dictionary larger than 64 MiB; a file that asks for more is not honest.
const XZ_MEMORY: u64 = 66 << 20;
/// The same for zstd: 64 MiB. `--ultra -22` and `--long` are refused.
const ZSTD_WINDOW_LOG: u32 = 26;
/// What an encoder of xz needs, and one of any other kind.
const ENCODER: (u64, u64) = (94 << 20, 16 << 20);
/// The speed of writing is that of the disk; the size is near that of xz's middle.
const ZSTD_LEVEL: i32 = 6;
/// `xz -6`, what C++ Nix writes.
const XZ_LEVEL: u32 = 6;

/// What a compressed file has, and the memory that it takes to read it.
pub struct Decoder<'a> {
    from: Box<dyn Read + 'a>,
    _memory: Share,
}

impl Read for Decoder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.from.read(buffer)
    }
}

/// What `from` has, without the compression, at most `size` bytes of which are wanted; nothing when
/// the compression is not known. Waits until there is memory for it.
pub fn decoder<'a>(
    compression: &Compression,
    from: impl Read + 'a,
    size: u64,
) -> Result<Option<Decoder<'a>>> {
    let mut from = BufReader::with_capacity(128 << 10, from);
    let memory = Share::take(window(compression, from.fill_buf()?).min(size));
    let from: Box<dyn Read + 'a> = match compression {
        Compression::None => Box::new(from),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(from)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(from)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(from)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        Compression::Xz => {
            let flags = liblzma::stream::CONCATENATED;
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, flags)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(from, stream))
        }
        Compression::Other(_) => return Ok(None),
    };
    Ok(Some(Decoder { from, _memory: memory }))
}

/// What the files of archives end in.
pub fn suffix(compression: &Compression) -> &str {
    match compression {
        Compression::None | Compression::Other(_) => "nar",
        Compression::Gzip => "nar.gz",
        Compression::Bzip2 => "nar.bz2",
        Compression::Zstd => "nar.zst",
        Compression::Xz => "nar.xz",
    }
}

/// Compresses what `from` has to `to`, as hard as `level` says; gives `to` back. Waits until there
/// is memory for it.
pub fn compress<W: Write>(
    compression: &Compression,
    level: Option<u32>,
    from: &mut dyn Read,
    to: W,
) -> Result<W> {
    let _memory = match compression {
        Compression::Xz => Share::take(ENCODER.0),
        _ => Share::take(ENCODER.1),
    };
    match compression {
        Compression::Gzip => {
            let level = level.map_or(flate2::Compression::default(), flate2::Compression::new);
            let mut to = flate2::write::GzEncoder::new(to, level);
            std::io::copy(from, &mut to)?;
            to.finish()
        }
        Compression::Bzip2 => {
            let level = level.map_or(bzip2::Compression::best(), bzip2::Compression::new);
            let mut to = bzip2::write::BzEncoder::new(to, level);
            std::io::copy(from, &mut to)?;
            to.finish()
        }
        Compression::Zstd => {
            let level = level.map_or(ZSTD_LEVEL, |level| i32::try_from(level).unwrap_or(i32::MAX));
            let mut to = zstd::stream::write::Encoder::new(to, level)?;
            std::io::copy(from, &mut to)?;
            to.finish()
        }
        Compression::Xz => {
            let mut to = liblzma::write::XzEncoder::new(to, level.unwrap_or(XZ_LEVEL).min(9));
            std::io::copy(from, &mut to)?;
            to.finish()
        }
        Compression::None | Compression::Other(_) => {
            let mut to = to;
            std::io::copy(from, &mut to)?;
            Ok(to)
        }
    }
}
