//! The compressions of binary caches, as streams.

use super::memory::{LARGEST, Share, window};
use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
use nix_compat::narinfo::Compression;
use std::io::{BufRead, BufReader, Error, Read, Result, Write};

/// The largest windows of the presets of xz (with what else it needs) and of zstd. Of a window only
/// as much is memory as what is unpacked fills: a small archive may have any of these.
const XZ_MEMORY: u64 = 66 << 20;
const ZSTD_WINDOW_LOG: u32 = 27;
/// The same where all of the window is filled: [`LARGEST`].
const XZ_MEMORY_FILLED: u64 = LARGEST + (1 << 20);
const ZSTD_WINDOW_LOG_FILLED: u32 = LARGEST.ilog2();
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
    let wanted = window(compression, from.fill_buf()?).min(size);
    if wanted > LARGEST {
        return Err(too_large(wanted));
    }
    let memory = Share::take(wanted);
    let small = size <= LARGEST;
    let from: Box<dyn Read + 'a> = match compression {
        Compression::None => Box::new(from),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(from)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(from)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(from)?;
            // What comes after the first frame may ask for more.
            let log = if small { ZSTD_WINDOW_LOG } else { ZSTD_WINDOW_LOG_FILLED };
            decoder.window_log_max(log)?;
            Box::new(decoder)
        }
        Compression::Xz => {
            let flags = liblzma::stream::CONCATENATED;
            let limit = if small { XZ_MEMORY } else { XZ_MEMORY_FILLED };
            let stream = Stream::new_stream_decoder(limit, flags)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(from, stream))
        }
        Compression::Other(_) => return Ok(None),
    };
    Ok(Some(Decoder { from, _memory: memory }))
}

fn too_large(window: u64) -> Error {
    Error::other(format!(
        "to unpack it takes a window of {} MiB, and no more than {} are given; compress it again with \
         a lower level (xz up to -8, zstd up to -20, without --long)",
        window >> 20,
        LARGEST >> 20
    ))
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
            if level > 20 {
                to.window_log(ZSTD_WINDOW_LOG_FILLED)?;
            }
            std::io::copy(from, &mut to)?;
            to.finish()
        }
        Compression::Xz => {
            let mut options = LzmaOptions::new_preset(level.unwrap_or(XZ_LEVEL).min(9))?;
            if level == Some(9) {
                options.dict_size(u32::try_from(LARGEST).unwrap_or(u32::MAX));
            }
            let stream = Stream::new_stream_encoder(Filters::new().lzma2(&options), Check::Crc64)?;
            let mut to = liblzma::write::XzEncoder::new_stream(to, stream);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(compression: &Compression, packed: &[u8], size: u64) -> Result<u64> {
        let mut from = decoder(compression, packed, size)?.unwrap();
        std::io::copy(&mut from, &mut std::io::sink())
    }

    fn xz(dictionary: u32, bytes: &[u8]) -> Vec<u8> {
        let mut options = LzmaOptions::new_preset(0).unwrap();
        options.dict_size(dictionary);
        let stream = Stream::new_stream_encoder(Filters::new().lzma2(&options), Check::Crc64);
        let mut to = liblzma::write::XzEncoder::new_stream(Vec::new(), stream.unwrap());
        to.write_all(bytes).unwrap();
        to.finish().unwrap()
    }

    fn zstd(log: u32, bytes: &[u8]) -> Vec<u8> {
        let mut to = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        to.window_log(log).unwrap();
        to.write_all(bytes).unwrap();
        to.finish().unwrap()
    }

    #[test]
    fn a_window_is_not_larger_than_it_may_be() {
        let (small, large) = (vec![7; 1 << 20], vec![7; 40 << 20]);
        let size = large.len() as u64;
        for (compression, good, bad) in [
            (Compression::Xz, xz(32 << 20, &large), xz(64 << 20, &large)),
            (Compression::Zstd, zstd(25, &large), zstd(26, &large)),
        ] {
            assert_eq!(unpacked(&compression, &good, size).unwrap(), size);
            let error = unpacked(&compression, &bad, size).unwrap_err().to_string();
            assert!(error.contains("a lower level"), "{error}");
            // What says nothing of it at its beginning.
            let small = match compression {
                Compression::Xz => xz(1 << 20, &small),
                _ => zstd(20, &small),
            };
            let both = [&small[..], &bad].concat();
            assert!(unpacked(&compression, &both, size + (1 << 20)).is_err());
        }
        // Not much of it comes to be memory.
        let little = u64::try_from(small.len()).unwrap();
        assert_eq!(unpacked(&Compression::Xz, &xz(64 << 20, &small), little).unwrap(), little);
        assert_eq!(unpacked(&Compression::Zstd, &zstd(27, &small), little).unwrap(), little);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let bytes = vec![7; 34 << 20];
        for (compression, level) in [(Compression::Xz, 9), (Compression::Zstd, 22)] {
            let packed = compress(&compression, Some(level), &mut &bytes[..], Vec::new()).unwrap();
            let size = bytes.len() as u64;
            assert_eq!(unpacked(&compression, &packed, size).unwrap(), size);
        }
    }
}
