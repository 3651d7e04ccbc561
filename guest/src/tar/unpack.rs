//! From a stream to a tree.

use super::header::{self, BLOCK, Entry, Kind, Pending};
use crate::sys::{self, Errno, File, at, io};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// No name or link is longer.
const LONGEST_HEADER: u64 = 1 << 20;
const PIECE: usize = 64 << 10;

/// Unpacks `input` below `top`, to its end.
pub(super) fn tree(top: &File, input: &mut File) -> Result<(), String> {
    // When directories were last changed is set when nothing changes them any more.
    let mut directories: Vec<(Vec<u8>, i64)> = Vec::new();
    let mut pending = Pending::default();
    let mut block = [0; BLOCK];
    loop {
        if !fill(input, &mut block, true)? {
            break;
        }
        let Some((letter, size)) = header::kind_and_size(&block)? else { break };
        if matches!(letter, b'x' | b'g' | b'L' | b'K') {
            if size > LONGEST_HEADER {
                return Err("a header that is too long".into());
            }
            let mut contents = vec![0; size.next_multiple_of(BLOCK as u64) as usize];
            fill(input, &mut contents, false)?;
            contents.truncate(size as usize);
            if letter != b'g' {
                pending.add(letter, &contents)?;
            }
            continue;
        }
        let entry = header::entry(&block, core::mem::take(&mut pending))?;
        let shown = String::from_utf8_lossy(&entry.name).into_owned();
        let path = clean(&entry.name).ok_or_else(|| format!("{shown} leads out of the tree"))?;
        if entry.kind == Kind::Directory {
            directories.push((path.clone(), entry.mtime));
        }
        one(top, &path, &entry, input).map_err(|why| format!("{shown}: {why}"))?;
        if entry.kind != Kind::File {
            skip(input, entry.size)?;
        }
    }
    for (path, mtime) in directories.iter().rev() {
        let _ = at::open_below(top, or_dot(path), at::DIRECTORY)
            .and_then(|dir| at::set_mtime(&dir, b".", *mtime));
    }
    // Whoever sends may still send zeros.
    while io::read(input, &mut block).is_ok_and(|count| count > 0) {}
    Ok(())
}

/// Reads as much as there is room for. False when there is nothing at all, where that may be.
fn fill(input: &File, buffer: &mut [u8], may_end: bool) -> Result<bool, String> {
    let mut done = 0;
    while done < buffer.len() {
        let count = io::read(input, &mut buffer[done..])
            .map_err(|error| format!("cannot read the stream: {error}"))?;
        if count == 0 {
            if may_end && done == 0 {
                return Ok(false);
            }
            return Err("the stream is cut short".into());
        }
        done += count;
    }
    Ok(true)
}

fn skip(input: &File, size: u64) -> Result<(), String> {
    let mut block = [0; BLOCK];
    for _ in 0..size.div_ceil(BLOCK as u64) {
        fill(input, &mut block, false)?;
    }
    Ok(())
}

/// The parts of a name with one `/` between them; nothing when one of them is `..`.
fn clean(name: &[u8]) -> Option<Vec<u8>> {
    let parts = || name.split(|byte| *byte == b'/').filter(|p| !p.is_empty() && *p != b".");
    let parts: Vec<&[u8]> = parts().collect();
    (!parts.contains(&&b".."[..])).then(|| parts.join(&b'/'))
}

fn or_dot(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"." } else { path }
}

/// Opens a directory below the top, and makes what lacks of it.
fn directory(top: &File, path: &[u8]) -> sys::Result<File> {
    match at::open_below(top, or_dot(path), at::DIRECTORY) {
        Err(Errno::NOENT) => {}
        found => return found,
    }
    let (parent, name) = split(path);
    let parent = directory(top, parent)?;
    at::mkdir(&parent, name, 0o755)?;
    at::open_below(top, path, at::DIRECTORY)
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

fn one(top: &File, path: &[u8], entry: &Entry, input: &mut File) -> Result<(), String> {
    let wrong = |error: Errno| format!("cannot make it: {error}");
    if entry.kind == Kind::Directory {
        let dir = directory(top, path).map_err(wrong)?;
        // The top itself is the caller's.
        if !path.is_empty() {
            at::chown(&dir, b"", entry.uid, entry.gid).map_err(wrong)?;
            at::chmod(&dir, entry.mode).map_err(wrong)?;
        }
        return Ok(());
    }
    let (parent, name) = split(path);
    if name.is_empty() {
        return Err("only a directory can be here".into());
    }
    let dir = directory(top, parent).map_err(wrong)?;
    // A hard link may be to what stands in its place, and then it is there already.
    let target = (entry.kind == Kind::HardLink).then(|| linked(top, &entry.link)).transpose()?;
    if let (Some(target), Ok(there)) = (&target, at::stat_name(&dir, name))
        && at::stat(target).is_ok_and(|stat| (stat.dev, stat.ino) == (there.dev, there.ino))
    {
        return Ok(());
    }
    at::unlink(&dir, name).map_err(wrong)?;
    match entry.kind {
        Kind::File => return file(&dir, name, entry, input),
        Kind::HardLink => {
            return target.map_or(Ok(()), |target| at::link(&target, &dir, name).map_err(wrong));
        }
        Kind::Symlink => at::symlink(&entry.link, &dir, name).map_err(wrong)?,
        Kind::Fifo => at::mkfifo(&dir, name, entry.mode).map_err(wrong)?,
        Kind::Directory => {}
        Kind::Other(letter) => {
            return Err(format!("kind '{}' of an entry is none that is made", letter as char));
        }
    }
    at::chown(&dir, name, entry.uid, entry.gid).map_err(wrong)?;
    at::set_mtime(&dir, name, entry.mtime).map_err(wrong)
}

fn linked(top: &File, link: &[u8]) -> Result<File, String> {
    let path = clean(link).ok_or("the link leads out of the tree")?;
    let (parent, name) = split(&path);
    at::open_below(top, or_dot(parent), at::DIRECTORY)
        .and_then(|dir| at::open(&dir, name, at::PATH | at::NOFOLLOW, 0))
        .map_err(|error| format!("cannot link to {}: {error}", String::from_utf8_lossy(link)))
}

fn file(dir: &File, name: &[u8], entry: &Entry, input: &mut File) -> Result<(), String> {
    let wrong = |error: Errno| format!("cannot write it: {error}");
    let made = at::open(dir, name, at::WRITE | at::NEW, 0o600).map_err(wrong)?;
    let mut buffer = vec![0; PIECE];
    let mut left = entry.size;
    while left > 0 {
        let most = left.min(PIECE as u64) as usize;
        let count = io::read(input, &mut buffer[..most])
            .map_err(|error| format!("cannot read the stream: {error}"))?;
        if count == 0 {
            return Err("the stream is cut short".into());
        }
        sys::write(&made, &buffer[..count]).map_err(wrong)?;
        left -= count as u64;
    }
    let padding = entry.size.next_multiple_of(BLOCK as u64) - entry.size;
    fill(input, &mut buffer[..padding as usize], false)?;
    at::chown(&made, b"", entry.uid, entry.gid).map_err(wrong)?;
    at::chmod(&made, entry.mode).map_err(wrong)?;
    at::set_mtime(dir, name, entry.mtime).map_err(wrong)
}
