//! The one copy there is: an image's file, holes kept, to another file system.

use super::{Copying, Doing, ForkError};
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

const BUFFER: usize = 1 << 20;
/// The smallest hole that is made where the source has zeros.
const PIECE: usize = 64 << 10;
static ZEROS: [u8; PIECE] = [0; PIECE];

/// Copies `from` to `to`, a new file, and has it on disk when it returns.
pub(super) fn sparse(from: &Path, to: &Path, watch: &dyn Fn(Copying<'_>)) -> Result<(), ForkError> {
    let source = File::open(from).doing("open", from)?;
    let metadata = source.metadata().doing("look at", from)?;
    let total = metadata.blocks() * 512;
    let room = super::files::free(to.parent().unwrap_or(to))?;
    if room < total {
        return Err(ForkError::NoRoom { file: to.into(), needed: total, room });
    }
    let target = hc_fs::plain::create_new(to, 0o600)?;
    let mut done = 0;
    data(&source, &target, &mut |bytes| {
        done += bytes;
        watch(Copying { file: from, done, total: total.max(done) });
    })
    .map_err(|error| super::no_room(error, to, total))?;
    rustix::fs::fsync(&target).map_err(|e| super::no_room(e.into(), to, total))
}

/// Copies a file's data into an empty one, holes and zeros left out; `watch` is told of what was
/// read.
pub(crate) fn data(source: &File, target: &File, watch: &mut dyn FnMut(u64)) -> io::Result<()> {
    rustix::fs::ftruncate(target, source.metadata()?.len())?;
    read_data(source, &mut |at, bytes| {
        let mut offset = at;
        for piece in bytes.chunks(PIECE) {
            if *piece != ZEROS[..piece.len()] {
                target.write_all_at(piece, offset)?;
            }
            offset += piece.len() as u64;
        }
        watch(bytes.len() as u64);
        Ok(())
    })
}

/// Reads what is in a file, holes left out: where it is, and what.
pub(crate) fn read_data(
    source: &File,
    take: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let length = source.metadata()?.len();
    let mut buffer = vec![0; BUFFER.min(usize::try_from(length).unwrap_or(BUFFER))];
    let mut at = 0;
    while let Some((begin, end)) = run(source, at, length)? {
        at = begin;
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(BUFFER).min(buffer.len());
            let got = source.read_at(&mut buffer[..want], at)?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            take(at, &buffer[..got])?;
            at += got as u64;
        }
    }
    Ok(())
}

/// The next run of data at or after `at`.
fn run(file: &File, at: u64, length: u64) -> Result<Option<(u64, u64)>, Errno> {
    if at >= length {
        return Ok(None);
    }
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(begin) => Ok(Some((begin, rustix::fs::seek(file, SeekFrom::Hole(begin))?))),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error),
    }
}
