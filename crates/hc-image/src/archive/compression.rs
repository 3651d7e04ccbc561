//! What an archive is packed with, and unpacking it to a file without a name.

use super::{Budget, refuse, refuse_entry};
use crate::error::{Context, Error, Result};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// What the xz decoder may take; the highest preset takes 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;
/// The largest window of the zstd decoder, as a power of two: `--ultra -22` has 27.
const ZSTD_WINDOW: u32 = 27;

/// Some bytes of an open file.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The file.
    pub file: Arc<File>,
    /// Where they begin.
    pub offset: u64,
    /// How many there are.
    pub len: u64,
    /// Those that were read.
    pub at: u64,
}

impl Slice {
    /// The whole of the file at `path`, which must be a regular one.
    ///
    /// # Errors
    /// When it cannot be opened or is something else.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty()).on("open", path)?);
        let found = file.metadata().on("look at", path)?;
        if !found.is_file() {
            return Err(refuse(&path.display().to_string(), "it is not a regular file"));
        }
        Ok(Self { file: Arc::new(file), offset: 0, len: found.len(), at: 0 })
    }

    /// A part of it.
    ///
    /// # Errors
    /// `None` when it is not all inside.
    #[must_use]
    pub fn part(&self, offset: u64, len: u64) -> Option<Self> {
        let end = offset.checked_add(len)?;
        (end <= self.len).then(|| Self {
            file: Arc::clone(&self.file),
            offset: self.offset + offset,
            len,
            at: 0,
        })
    }

    /// Reads exactly at a place in it.
    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> std::io::Result<()> {
        match at.checked_add(buffer.len() as u64) {
            Some(end) if end <= self.len => self.file.read_exact_at(buffer, self.offset + at),
            _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Read for Slice {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.len - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..left], self.offset + self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// What can be around a tar file, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Xz,
    Zstd,
    Bzip2,
}

impl Packing {
    fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            // A frame, or one to be skipped before it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            _ => Self::Plain,
        }
    }

    fn decoder<'r>(self, raw: impl Read + 'r) -> Result<Box<dyn Read + 'r>, String> {
        let failed = |e: std::io::Error| format!("its decoder does not start: {e}");
        let buffered = std::io::BufReader::with_capacity(1 << 18, raw);
        Ok(match self {
            Self::Plain => Box::new(buffered),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(buffered)),
            Self::Xz => {
                let flags = liblzma::stream::CONCATENATED;
                let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, flags);
                let stream = stream.map_err(|e| format!("its decoder does not start: {e}"))?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(buffered, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(buffered).map_err(failed)?;
                decoder.window_log_max(ZSTD_WINDOW).map_err(failed)?;
                Box::new(decoder)
            }
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(buffered)),
        })
    }
}

/// Gets every byte that goes by: the hash of a layer.
pub type Observer<'a> = &'a mut dyn FnMut(&[u8]);

/// Where what is compressed is unpacked to.
#[derive(Clone, Debug)]
pub struct Spool<'a> {
    /// A directory with room for it.
    pub work: &'a Path,
}

impl Spool<'_> {
    /// The archive without its compression; `name` is the archive's in errors. `packed` gets its
    /// bytes as they are, `plain` those that they unpack to, both to the end; without them a plain
    /// archive is not read at all.
    ///
    /// # Errors
    /// When it is damaged, or larger than what is left of the budget.
    pub fn plain(
        &self,
        source: &Slice,
        name: &str,
        budget: &mut Budget,
        mut packed: Option<Observer<'_>>,
        mut plain: Option<Observer<'_>>,
    ) -> Result<Slice> {
        let damaged = |e: std::io::Error| refuse(name, damaged_why(&e));
        let mut first = [0; 8];
        let known = first.len().min(usize::try_from(source.len).unwrap_or(8));
        source.read_exact_at(&mut first[..known], 0).map_err(damaged)?;
        let packing = Packing::of(&first[..known]);
        if packing == Packing::Plain {
            budget.take_bytes(source.len).map_err(|why| refuse(name, why))?;
            if packed.is_some() || plain.is_some() {
                each(&mut source.clone(), &mut |bytes| {
                    packed.as_mut().into_iter().for_each(|observe| observe(bytes));
                    plain.as_mut().into_iter().for_each(|observe| observe(bytes));
                    Ok(())
                })
                .map_err(damaged)?;
            }
            return Ok(source.clone());
        }
        let file = nameless(self.work).on("make a file in", self.work)?;
        let mut out = BufWriter::with_capacity(1 << 20, &file);
        let mut raw = Tee { from: source.clone(), to: packed };
        let mut len = 0_u64;
        {
            let mut decoder = packing.decoder(&mut raw).map_err(|why| refuse(name, why))?;
            let mut buffer = vec![0; 1 << 18];
            loop {
                let read = decoder.read(&mut buffer).map_err(|e| damaged_why(&e));
                let taken = read.and_then(|count| {
                    budget.take_bytes(count as u64)?;
                    Ok(count)
                });
                let count = match taken {
                    Ok(0) => break,
                    Ok(count) => count,
                    Err(why) => {
                        out.flush().on("write to", self.work)?;
                        drop(out);
                        return Err(stopped(file, len, name, why));
                    }
                };
                len += count as u64;
                if let Some(observe) = &mut plain {
                    observe(&buffer[..count]);
                }
                out.write_all(&buffer[..count]).on("write to", self.work)?;
            }
        }
        // What a decoder leaves unread belongs to the bytes that are hashed.
        each(&mut raw, &mut |_| Ok(())).map_err(damaged)?;
        out.flush().on("write to", self.work)?;
        drop(out);
        Ok(Slice { file: Arc::new(file), offset: 0, len, at: 0 })
    }
}

fn damaged_why(error: &std::io::Error) -> String {
    format!("it is damaged or cut off: {error}")
}

/// A refusal of an archive of which `len` bytes came out: in the entry that they end in.
fn stopped(file: File, len: u64, name: &str, why: String) -> Error {
    let data = Slice { file: Arc::new(file), offset: 0, len, at: 0 };
    match super::tar::Reader::new(data, true).breaks_off_at() {
        Some(entry) => refuse_entry(name, &entry, why),
        None => refuse(name, why),
    }
}

/// A file in `directory` that has no name.
fn nameless(directory: &Path) -> rustix::io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    match rustix::fs::open(directory, flags | OFlags::TMPFILE, mode) {
        // Overlays had none before Linux 6.3.
        Err(Errno::OPNOTSUPP) => {}
        made => return made.map(File::from),
    }
    let name = directory.join(".spool");
    let file = rustix::fs::open(&name, flags | OFlags::CREATE | OFlags::EXCL, mode)?;
    rustix::fs::unlink(&name)?;
    Ok(file.into())
}

struct Tee<'a> {
    from: Slice,
    to: Option<Observer<'a>>,
}

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(buffer)?;
        if let Some(to) = &mut self.to {
            to(&buffer[..count]);
        }
        Ok(count)
    }
}

/// Calls for each run of bytes until the end.
fn each(
    reader: &mut dyn Read,
    call: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 18];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(()),
            count => call(&buffer[..count])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packings_are_known_by_their_first_bytes() {
        for (first, packing) in [
            (&b"\x1f\x8b\x08"[..], Packing::Gzip),
            (b"\xfd7zXZ\0", Packing::Xz),
            (b"\x28\xb5\x2f\xfd", Packing::Zstd),
            (b"BZh91AY", Packing::Bzip2),
            (b"usr/bin\0", Packing::Plain),
            (b"", Packing::Plain),
        ] {
            assert_eq!(Packing::of(first), packing);
        }
    }
}
