//! From a stream to a tree.

use super::Destination;
use super::header::{self, BLOCK, Entry, Kind, Pending};
use crate::sys::{self, Errno, File, at, io, process};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// No name or link is longer.
const LONGEST_HEADER: u64 = 1 << 20;
const PIECE: usize = 64 << 10;

/// What is told of entries that are not made.
const DEVICES: [u8; 2] = [b'3', b'4'];

/// Unpacks `input`, to its end.
pub(super) fn tree(to: &Destination, input: &mut File) -> Result<(), String> {
    // What directories are is set when nothing is written to them any more.
    let mut made: Vec<(Vec<u8>, Entry)> = Vec::new();
    let mut names = Names { to, top: None };
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
        let path = names.below(&entry.name)?;
        let link = match entry.kind {
            Kind::HardLink => names.below(&entry.link)?,
            _ => entry.link.clone(),
        };
        let entry = Entry { name: path, link, ..entry };
        let is_new = one(&to.dir, &entry, input)
            .map_err(|why| format!("{}: {why}", to.path(&entry.name)))?;
        if let Kind::Other(letter) = entry.kind {
            let what = if DEVICES.contains(&letter) { "a device" } else { "of an unknown kind" };
            sys::say(&format!("{}: {what}\n", to.path(&entry.name)));
        }
        if entry.kind != Kind::File {
            skip(input, entry.size)?;
        }
        if is_new {
            made.push((entry.name.clone(), entry));
        }
    }
    if names.top.is_none() {
        return Err("the tar stream is empty".into());
    }
    for (path, entry) in made.iter().rev() {
        finish(&to.dir, path, entry)
            .map_err(|error| format!("cannot write {}: {error}", to.path(path)))?;
    }
    // Whoever sends may still send zeros.
    while io::read(input, &mut block).is_ok_and(|count| count > 0) {}
    Ok(())
}

/// Owner, permissions and time of a directory that was made.
fn finish(top: &File, path: &[u8], entry: &Entry) -> sys::Result<()> {
    let dir = at::open_below(top, path, at::DIRECTORY)?;
    at::chown(&dir, b"", entry.uid, entry.gid)?;
    at::chmod(&dir, entry.mode)?;
    at::set_mtime(&dir, b".", entry.mtime)
}

/// Names of a stream as names below where it goes.
struct Names<'a> {
    to: &'a Destination,
    /// The first entry's first part. Where that is `.`, the others are below it without saying so.
    top: Option<Vec<u8>>,
}

impl Names<'_> {
    fn below(&mut self, name: &[u8]) -> Result<Vec<u8>, String> {
        let path = clean(name).ok_or_else(|| {
            let name = String::from_utf8_lossy(name);
            format!("the archive holds '{name}', which leads out of where it is unpacked")
        })?;
        let (first, rest) = match path.iter().position(|byte| *byte == b'/') {
            Some(at) => (&path[..at], &path[at..]),
            None => (&path[..], &b""[..]),
        };
        let top = self.top.get_or_insert_with(|| first.to_vec());
        let Some(name) = &self.to.rename else { return Ok(path) };
        let name = name.as_bytes();
        if top.is_empty() {
            let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
            Ok([name, slash, &path].concat())
        } else if first == top {
            Ok([name, rest].concat())
        } else {
            let path = self.to.path(name);
            Err(format!("{path} does not exist: several files need a directory to go to"))
        }
    }
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

/// Makes one entry; true for a directory that was not there.
fn one(top: &File, entry: &Entry, input: &mut File) -> Result<bool, String> {
    let wrong = |error: Errno| match error {
        Errno::LOOP => "a symlink is in the way, and is not followed".into(),
        error => format!("cannot make it: {error}"),
    };
    let path = &entry.name[..];
    let (parent, name) = split(path);
    if entry.kind == Kind::Directory {
        // The top itself is the caller's.
        if path.is_empty() {
            return Ok(false);
        }
        let parent = directory(top, parent).map_err(wrong)?;
        let is_new = at::mkdir(&parent, name, 0o700).map_err(wrong)?;
        at::open_below(top, path, at::DIRECTORY).map_err(wrong)?;
        return Ok(is_new);
    }
    if name.is_empty() {
        return Err("only a directory can be here".into());
    }
    let dir = directory(top, parent).map_err(wrong)?;
    if at::stat_name(&dir, name).is_ok_and(|stat| stat.mode & at::TYPE == at::TYPE_DIR) {
        return Err("it is a directory, and what is copied has none there".into());
    }
    let clear = || at::unlink(&dir, name).map_err(wrong);
    match entry.kind {
        Kind::File => return file(&dir, name, entry, input).map(|()| false),
        Kind::HardLink => {
            let target = linked(top, &entry.link)?;
            // It may be to what stands in its place, and then it is there already.
            let same = |there: at::Stat| {
                at::stat(&target).is_ok_and(|stat| (stat.dev, stat.ino) == (there.dev, there.ino))
            };
            if !at::stat_name(&dir, name).is_ok_and(same) {
                clear()?;
                at::link(&target, &dir, name).map_err(wrong)?;
            }
            return Ok(false);
        }
        Kind::Symlink => {
            clear()?;
            at::symlink(&entry.link, &dir, name).map_err(wrong)?;
        }
        Kind::Fifo => {
            clear()?;
            at::mkfifo(&dir, name, entry.mode).map_err(wrong)?;
        }
        Kind::Directory | Kind::Other(_) => return Ok(false),
    }
    at::chown(&dir, name, entry.uid, entry.gid).map_err(wrong)?;
    at::set_mtime(&dir, name, entry.mtime).map_err(wrong)?;
    Ok(false)
}

fn linked(top: &File, path: &[u8]) -> Result<File, String> {
    let (parent, name) = split(path);
    at::open_below(top, or_dot(parent), at::DIRECTORY)
        .and_then(|dir| at::open(&dir, name, at::PATH | at::NOFOLLOW, 0))
        .map_err(|error| format!("cannot link to {}: {error}", String::from_utf8_lossy(path)))
}

/// Written beside its place and put there whole: who reads it meanwhile sees the old or the new.
fn file(dir: &File, name: &[u8], entry: &Entry, input: &mut File) -> Result<(), String> {
    let aside = format!(".hc-copy-{}", process::id()).into_bytes();
    let written = write(dir, &aside, entry, input).and_then(|()| {
        at::rename(dir, &aside, name).map_err(|error| format!("cannot write it: {error}"))
    });
    if written.is_err() {
        let _ = at::unlink(dir, &aside);
    }
    written
}

fn write(dir: &File, name: &[u8], entry: &Entry, input: &mut File) -> Result<(), String> {
    let wrong = |error: Errno| format!("cannot write it: {error}");
    at::unlink(dir, name).map_err(wrong)?;
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
