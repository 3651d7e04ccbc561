//! The "new" cpio format of initrds (documented in the kernel's
//! Documentation/driver-api/early-userspace/buffer-format.rst): read entry by entry, written again
//! with inode numbers of its own.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::io::{BufRead, Write};

const HEADER: usize = 110;
const END: &[u8] = b"TRAILER!!!";
/// The kernel takes no longer paths.
const NAME_MAX: u64 = 4096;

/// Writes an archive; what is written has passed the same checks whatever it came from.
pub struct Writer<W> {
    to: W,
    at: u64,
    limit: u64,
    inodes: u32,
}

/// The head of an entry, without inode and sizes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head {
    mode: u32,
    uid: u32,
    gid: u32,
    links: u32,
    mtime: u32,
    rdev: (u32, u32),
}

impl<W: Write> Writer<W> {
    /// An archive of at most `limit` bytes.
    pub const fn new(to: W, limit: u64) -> Self {
        Self { to, at: 0, limit, inodes: 0 }
    }

    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.at += bytes.len() as u64;
        if self.at > self.limit {
            let why = format!("the initrd is larger than {} bytes", self.limit);
            return Err(std::io::Error::other(why));
        }
        self.to.write_all(bytes)
    }

    fn pad(&mut self) -> std::io::Result<()> {
        let zeros = usize::try_from(self.at.next_multiple_of(4) - self.at).unwrap_or(0);
        self.put(&[0; 4][..zeros])
    }

    fn head(&mut self, inode: u32, head: Head, size: u32, name: &[u8]) -> std::io::Result<()> {
        let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        let (major, minor) = head.rdev;
        let mut text = String::from("070701");
        for field in [
            inode, head.mode, head.uid, head.gid, head.links, head.mtime, size, 0, 0, major, minor,
            name_size, 0,
        ] {
            text.push_str(&format!("{field:08x}"));
        }
        self.put(text.as_bytes())?;
        self.put(name)?;
        self.put(&[0])?;
        self.pad()
    }

    /// Adds a directory or a file of root's.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, name: &str, mode: u32, bytes: &[u8]) -> std::io::Result<()> {
        self.inodes += 1;
        let links = if mode & 0o170_000 == 0o040_000 { 2 } else { 1 };
        let head = Head { mode, links, mtime: 1, ..Head::default() };
        let size = u32::try_from(bytes.len()).map_err(std::io::Error::other)?;
        self.head(self.inodes, head, size, name.as_bytes())?;
        self.put(bytes)?;
        self.pad()
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> std::io::Result<W> {
        self.head(0, Head { links: 1, ..Head::default() }, 0, END)?;
        self.to.flush()?;
        Ok(self.to)
    }

    /// Copies the entries of the archive that `input` begins with, up to its end mark or the end
    /// of the input; `what` and `offset` say in errors where it is.
    ///
    /// # Errors
    /// When the archive is damaged or an entry's name leads out of the root.
    pub fn copy(&mut self, input: &mut impl BufRead, what: &str, offset: u64) -> Result<u64> {
        // Hard links are entries of the same number, within one archive.
        let mut inodes: BTreeMap<[u32; 3], u32> = BTreeMap::new();
        let mut input = Counted { input, at: offset };
        loop {
            let start = input.at;
            let wrong = |why: String| Error::Input { what: what.into(), at: start, why };
            let cut = |e: std::io::Error| wrong(format!("the archive is cut off: {e}"));
            if input.input.fill_buf().map_err(cut)?.is_empty() {
                return Ok(input.at);
            }
            let mut header = [0; HEADER];
            input.read_exact(&mut header).map_err(cut)?;
            if !matches!(&header[..6], b"070701" | b"070702") {
                return Err(wrong("not a cpio entry".into()));
            }
            let mut fields = [0; 13];
            for (field, text) in fields.iter_mut().zip(header[6..].chunks_exact(8)) {
                let digits = text.iter().all(u8::is_ascii_hexdigit);
                let value = std::str::from_utf8(text).ok().filter(|_| digits);
                *field = value
                    .and_then(|text| u32::from_str_radix(text, 16).ok())
                    .ok_or_else(|| wrong("a header with something else than hex digits".into()))?;
            }
            let [inode, mode, uid, gid, links, mtime, size, dev0, dev1, rdev0, rdev1, length, _] =
                fields;
            if length == 0 || u64::from(length) > NAME_MAX {
                return Err(wrong(format!("a name of {length} bytes")));
            }
            let mut name = vec![0; length as usize];
            input.read_exact(&mut name).map_err(cut)?;
            if name.pop() != Some(0) {
                return Err(wrong("a name without its end".into()));
            }
            input.pad(HEADER as u64 + u64::from(length)).map_err(cut)?;
            if name == END {
                return Ok(input.at);
            }
            let name = plain(&name).map_err(wrong)?;
            let number = if links > 1 && mode & 0o170_000 != 0o040_000 {
                let next = self.inodes + 1;
                *inodes.entry([inode, dev0, dev1]).or_insert(next)
            } else {
                self.inodes + 1
            };
            self.inodes = self.inodes.max(number);
            let head = Head { mode, uid, gid, links, mtime, rdev: (rdev0, rdev1) };
            let unwritten =
                |e: std::io::Error| wrong(format!("{}: {e}", String::from_utf8_lossy(&name)));
            self.head(number, head, size, &name).map_err(unwritten)?;
            let mut left = u64::from(size);
            let mut buffer = [0; 1 << 16];
            while left > 0 {
                let part = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                input.read_exact(&mut buffer[..part]).map_err(|e| {
                    let name = String::from_utf8_lossy(&name);
                    wrong(format!(
                        "{name} is said to have {size} bytes; the archive is cut off: {e}"
                    ))
                })?;
                self.put(&buffer[..part]).map_err(unwritten)?;
                left -= part as u64;
            }
            self.pad().map_err(unwritten)?;
            input.pad(u64::from(size)).map_err(cut)?;
        }
    }
}

/// Without `./` and `/` in front, as the kernel makes of it; no part of it is `..`.
fn plain(name: &[u8]) -> Result<Vec<u8>, String> {
    let shown = String::from_utf8_lossy(name);
    if name.contains(&0) {
        return Err(format!("{shown:?}: a name with a NUL in it"));
    }
    let parts: Vec<&[u8]> =
        name.split(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".").collect();
    if parts.contains(&&b".."[..]) {
        return Err(format!("{shown}: the name leads out by `..`"));
    }
    if name.starts_with(b"/") {
        return Err(format!("{shown}: the name is absolute"));
    }
    Ok(if parts.is_empty() { b".".to_vec() } else { parts.join(&b'/') })
}

struct Counted<'a, R> {
    input: &'a mut R,
    at: u64,
}

impl<R: BufRead> Counted<'_, R> {
    fn read_exact(&mut self, buffer: &mut [u8]) -> std::io::Result<()> {
        self.input.read_exact(buffer)?;
        self.at += buffer.len() as u64;
        Ok(())
    }

    fn pad(&mut self, length: u64) -> std::io::Result<()> {
        let count = usize::try_from(length.next_multiple_of(4) - length).unwrap_or(0);
        // The last entry of an archive may lack it.
        for _ in 0..count {
            let mut byte = [0];
            self.at += self.input.read(&mut byte)? as u64;
        }
        Ok(())
    }
}
