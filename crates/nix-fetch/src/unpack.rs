//! Archives to trees. What an archive says is not trusted: nothing is written outside the tree,
//! and nothing through a symlink that the archive made.

use crate::error::{Error, Result, io, words};
use hc_fs::plain;
use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What comes before a file, its names and extensions, has no more bytes than this: they are kept in
/// memory.
const HEADERS: u64 = 1 << 20;
/// Nor has a name, or where a link leads; systems allow no more.
const NAME: usize = 4096;

/// What lies at a path of the tree so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Symlink,
}

/// A tree that is being made.
struct Builder<'t> {
    root: &'t Path,
    made: HashMap<PathBuf, Kind>,
    newest: u64,
}

fn failed(text: impl std::fmt::Display) -> Error {
    Error::Input(format!("Failed to open archive ({text})"))
}

/// Unpacks the archive `file` into the directory `to`, which is made; the newest time in it.
///
/// # Errors
/// When it is no archive of a known kind, is damaged, or cannot be written.
pub fn unpack(file: &Path, to: &Path) -> Result<u64> {
    plain::create_dir(to, 0o755)?;
    let mut tree = Builder { root: to, made: HashMap::new(), newest: 0 };
    let mut source = BufReader::new(File::open(file).map_err(io("reading", file))?);
    let begin = source.fill_buf().map_err(io("reading", file))?;
    if begin.is_empty() {
        return Err(failed("Unrecognized archive format"));
    }
    if begin.starts_with(b"PK\x03\x04") || begin.starts_with(b"PK\x05\x06") {
        drop(source);
        tree.zip(File::open(file).map_err(io("reading", file))?)?;
    } else {
        tree.tar(decompress(source)?)?;
    }
    Ok(tree.newest)
}

/// No preset of xz needs more, and no other file gets it.
const XZ_MEMORY: u64 = 66 << 20;
/// The same for zstd: 64 MiB.
const ZSTD_WINDOW_LOG: u32 = 26;

fn decompress<'r>(mut from: impl BufRead + 'r) -> Result<Box<dyn Read + 'r>> {
    let begin = from.fill_buf().map_err(failed)?;
    Ok(match begin {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(from)),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => {
            let flags = liblzma::stream::CONCATENATED;
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, flags);
            Box::new(liblzma::bufread::XzDecoder::new_stream(from, stream.map_err(failed)?))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(from).map_err(failed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(failed)?;
            Box::new(decoder)
        }
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::bufread::MultiBzDecoder::new(from)),
        // The old format of lzma has no mark of its own, only usual values at its beginning.
        [0x5d, 0, 0, ..] => {
            let stream = liblzma::stream::Stream::new_lzma_decoder(XZ_MEMORY).map_err(failed)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(from, stream))
        }
        _ => Box::new(from),
    })
}

/// A path of an archive as one inside the tree: no `..` leaves it, and what is absolute is not.
fn inside(path: &[u8]) -> PathBuf {
    let mut found = PathBuf::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                found.pop();
            }
            part => found.push(OsStr::from_bytes(part)),
        }
    }
    found
}

/// Gives no more than what is left.
struct Limited<R> {
    from: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(std::io::Error::other("a header is larger than 1 MiB"));
        }
        let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = self.from.read(&mut buffer[..length])?;
        self.left.set(left - count as u64);
        Ok(count)
    }
}

/// A name that a system could have.
fn checked(name: &[u8]) -> Result<&[u8]> {
    if name.len() <= NAME {
        return Ok(name);
    }
    let begin = String::from_utf8_lossy(&name[..100]);
    Err(Error::Input(format!("a name in the archive has {} bytes: '{begin}…'", name.len())))
}

impl Builder<'_> {
    fn tar(&mut self, from: impl Read) -> Result<()> {
        let left = Rc::new(Cell::new(u64::MAX));
        let mut archive = tar::Archive::new(Limited { from, left: Rc::clone(&left) });
        let mut entries = archive.entries().map_err(failed)?;
        let mut any = false;
        loop {
            left.set(HEADERS);
            let Some(entry) = entries.next() else { return Ok(()) };
            left.set(u64::MAX);
            let unrecognised = !any;
            let mut entry = entry.map_err(|error| match unrecognised {
                true => failed("Unrecognized archive format"),
                false => words(format!("cannot read file from tarball: {error}")),
            })?;
            any = true;
            let kind = entry.header().entry_type();
            let path = inside(checked(&entry.path_bytes())?);
            self.newest = self.newest.max(entry.header().mtime().unwrap_or(0));
            let executable = entry.header().mode().map_err(failed)? & 0o100 != 0;
            if kind.is_dir() {
                self.directory(&path)?;
            } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
                self.file(&path, executable, &mut entry)?;
            } else if kind.is_symlink() || kind.is_hard_link() {
                let target = entry.link_name_bytes().map(|target| target.into_owned());
                let target = target.ok_or_else(|| failed("a link says nothing to link to"))?;
                checked(&target)?;
                if kind.is_symlink() {
                    self.symlink(&path, &target)?;
                } else {
                    self.hard_link(&path, &inside(&target))?;
                }
            } else if !kind.is_pax_global_extensions() {
                return Err(Error::Input(format!(
                    "file '{}' in tarball has unsupported file type",
                    path.display()
                )));
            }
            // What nobody wanted is no part of the next headers.
            std::io::copy(&mut entry, &mut std::io::sink())
                .map_err(|error| words(format!("cannot read file from tarball: {error}")))?;
        }
    }

    fn zip(&mut self, from: File) -> Result<()> {
        let mut archive = zip::ZipArchive::new(from).map_err(failed)?;
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index).map_err(failed)?;
            let path = inside(checked(entry.name_raw())?);
            let mode = entry.unix_mode().unwrap_or(0o644);
            if let Some(time) = entry.last_modified().and_then(seconds) {
                self.newest = self.newest.max(time);
            }
            if entry.is_dir() {
                self.directory(&path)?;
            } else if mode & 0o170_000 == 0o120_000 {
                let mut target = Vec::new();
                entry.take(NAME as u64 + 1).read_to_end(&mut target).map_err(failed)?;
                checked(&target)?;
                self.symlink(&path, &target)?;
            } else {
                self.file(&path, mode & 0o100 != 0, &mut entry)?;
            }
        }
        Ok(())
    }

    /// Makes room for `path`: its parents are directories, and nothing lies there.
    fn place(&mut self, path: &Path) -> Result<PathBuf> {
        if path.as_os_str().is_empty() {
            return Err(Error::Input("the root of an archive is no directory".into()));
        }
        self.directory(path.parent().unwrap_or(Path::new("")))?;
        let at = self.root.join(path);
        match self.made.remove(path) {
            None => {}
            Some(Kind::Directory) => {
                return Err(Error::Input(format!(
                    "'{}' is a directory and a file in the archive",
                    path.display()
                )));
            }
            Some(_) => {
                plain::remove_file(&at)?;
            }
        }
        Ok(at)
    }

    fn directory(&mut self, path: &Path) -> Result<()> {
        let mut above = PathBuf::new();
        for part in path.components() {
            above.push(part);
            match self.made.get(&above) {
                Some(Kind::Directory) => {}
                Some(_) => {
                    return Err(Error::Input(format!(
                        "'{}' is not a directory in the archive",
                        above.display()
                    )));
                }
                None => {
                    plain::create_dir(&self.root.join(&above), 0o755)?;
                    self.made.insert(above.clone(), Kind::Directory);
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, executable: bool, from: &mut dyn Read) -> Result<()> {
        let at = self.place(path)?;
        let mut file = plain::create_new(&at, if executable { 0o755 } else { 0o644 })?;
        std::io::copy(from, &mut file)
            .and_then(|_| file.flush())
            .map_err(|error| words(format!("cannot read file from tarball: {error}")))?;
        self.made.insert(path.to_path_buf(), Kind::File);
        Ok(())
    }

    fn symlink(&mut self, path: &Path, target: &[u8]) -> Result<()> {
        let at = self.place(path)?;
        plain::symlink(Path::new(OsStr::from_bytes(target)), &at)?;
        self.made.insert(path.to_path_buf(), Kind::Symlink);
        Ok(())
    }

    fn hard_link(&mut self, path: &Path, target: &Path) -> Result<()> {
        let there = self.made.get(target).copied();
        let from = self.root.join(target);
        match there {
            Some(Kind::File) if path == target => Ok(()),
            Some(Kind::File) => {
                use std::os::unix::fs::PermissionsExt;
                let mode = from.symlink_metadata().map_err(io("reading", &from))?.permissions();
                let mut source = File::open(&from).map_err(io("reading", &from))?;
                self.file(path, mode.mode() & 0o100 != 0, &mut source)
            }
            Some(Kind::Symlink) => {
                let link = std::fs::read_link(&from).map_err(io("reading", &from))?;
                self.symlink(path, link.as_os_str().as_bytes())
            }
            _ => Err(Error::Input(format!(
                "the hard link '{}' in the archive leads nowhere",
                path.display()
            ))),
        }
    }
}

/// Seconds since 1970 of the local time in a zip file, which has no zone: taken as UTC.
fn seconds(time: zip::DateTime) -> Option<u64> {
    let (year, month, day) =
        (i64::from(time.year()), i64::from(time.month()), i64::from(time.day()));
    let shifted = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = shifted.0.div_euclid(400);
    let of_era = shifted.0.rem_euclid(400);
    let of_year = (153 * shifted.1 + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let of_day =
        i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    u64::try_from(days * 86_400 + of_day).ok()
}
