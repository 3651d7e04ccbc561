//! The compressions of binary caches, as streams.

use nix_compat::narinfo::Compression;
use std::io::{BufReader, Read, Result, Write};

/// More memory than any preset of xz needs; a file that asks for more is not honest.
const XZ_MEMORY: u64 = 256 << 20;
/// The speed of writing is that of the disk; the size is near that of xz's middle.
const ZSTD_LEVEL: i32 = 6;
/// `xz -6`, what C++ Nix writes.
const XZ_LEVEL: u32 = 6;

/// What `from` has, without the compression; nothing when the compression is not known.
pub fn decoder<'a>(
    compression: &Compression,
    from: impl Read + 'a,
) -> Result<Option<Box<dyn Read + 'a>>> {
    let from = BufReader::with_capacity(128 << 10, from);
    Ok(Some(match compression {
        Compression::None => Box::new(from),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(from)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(from)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(from)?),
        Compression::Xz => {
            let flags = liblzma::stream::CONCATENATED;
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, flags)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(from, stream))
        }
        Compression::Other(_) => return Ok(None),
    }))
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

/// Compresses what `from` has to `to`; gives `to` back.
pub fn compress<W: Write>(compression: &Compression, from: &mut dyn Read, to: W) -> Result<W> {
    match compression {
        Compression::Gzip => {
            let mut to = flate2::write::GzEncoder::new(to, flate2::Compression::default());
            std::io::copy(from, &mut to)?;
            to.finish()
        }
        Compression::Bzip2 => {
            let mut to = bzip2::write::BzEncoder::new(to, bzip2::Compression::best());
            std::io::copy(from, &mut to)?;
            to.finish()
        }
        Compression::Zstd => {
            let mut to = zstd::stream::write::Encoder::new(to, ZSTD_LEVEL)?;
            std::io::copy(from, &mut to)?;
            to.finish()
        }
        Compression::Xz => {
            let mut to = liblzma::write::XzEncoder::new(to, XZ_LEVEL);
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
