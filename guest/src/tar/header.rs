//! Headers of tar: ustar (POSIX.1-1988), extended headers (POSIX.1-2001), and GNU's long names and
//! numbers, which other programs write.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Everything comes in blocks of so many bytes.
pub const BLOCK: usize = 512;
/// What a number that is written in octal may be at most, by the length of its field.
const MOST: [u64; 2] = [0o7_777_777, 0o77_777_777_777];

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// Another name of an entry before.
    HardLink,
    /// A symlink.
    Symlink,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// Something else, by its letter.
    Other(u8),
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path below the top, without `/` at its ends.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Where a link leads.
    pub link: Vec<u8>,
    /// Permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes that follow.
    pub size: u64,
    /// Seconds since 1970.
    pub mtime: i64,
}

impl Entry {
    /// Its header, behind an extended one where this one has no room.
    #[must_use]
    pub fn header(&self) -> Vec<u8> {
        let mut more = Vec::new();
        let mut add = |key: &str, value: &[u8]| more.extend(record(key, value));
        if self.name.len() > 100 {
            add("path", &self.name);
        }
        if self.link.len() > 100 {
            add("linkpath", &self.link);
        }
        let numbers = [
            ("size", self.size, MOST[1]),
            ("uid", u64::from(self.uid), MOST[0]),
            ("gid", u64::from(self.gid), MOST[0]),
        ];
        for (key, value, most) in numbers {
            if value > most {
                add(key, format!("{value}").as_bytes());
            }
        }
        if self.mtime < 0 || self.mtime as u64 > MOST[1] {
            add("mtime", format!("{}", self.mtime).as_bytes());
        }
        let mut bytes = Vec::new();
        if !more.is_empty() {
            bytes.extend(block(b"extended", b'x', 0o644, [0, 0], more.len() as u64, 0, b""));
            bytes.extend_from_slice(&more);
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        }
        let letter = match self.kind {
            Kind::File => b'0',
            Kind::HardLink => b'1',
            Kind::Symlink => b'2',
            Kind::Directory => b'5',
            Kind::Fifo => b'6',
            Kind::Other(letter) => letter,
        };
        let owner = [self.uid, self.gid];
        let mtime = u64::try_from(self.mtime).unwrap_or(0);
        bytes.extend(block(&self.name, letter, self.mode, owner, self.size, mtime, &self.link));
        bytes
    }
}

fn block(
    name: &[u8],
    kind: u8,
    mode: u32,
    owner: [u32; 2],
    size: u64,
    mtime: u64,
    link: &[u8],
) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    let octal = |value: u64, digits: usize, most: u64| {
        format!("{:0digits$o}", if value > most { 0 } else { value })
    };
    put(0, &name[..name.len().min(100)]);
    put(100, octal(u64::from(mode & 0o7777), 7, MOST[0]).as_bytes());
    put(108, octal(u64::from(owner[0]), 7, MOST[0]).as_bytes());
    put(116, octal(u64::from(owner[1]), 7, MOST[0]).as_bytes());
    put(124, octal(size, 11, MOST[1]).as_bytes());
    put(136, octal(mtime, 11, MOST[1]).as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(157, &link[..link.len().min(100)]);
    put(257, b"ustar\x0000");
    let sum = sum(&block);
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// The checksum is of the block with blanks in its own place.
fn sum(block: &[u8; BLOCK]) -> u32 {
    let of = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    of(&block[..148]) + 8 * u32::from(b' ') + of(&block[156..])
}

/// A record of an extended header: its length is part of its length.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + format!("{length}").len() {
        length = rest + format!("{length}").len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// What earlier headers say of the entry to come.
#[derive(Debug, Default)]
pub struct Pending {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<i64>,
}

impl Pending {
    /// Takes in what followed a header of kind `x`, `L` or `K`.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn add(&mut self, kind: u8, contents: &[u8]) -> Result<(), String> {
        let text = || contents.split(|b| *b == 0).next().map(<[u8]>::to_vec);
        match kind {
            b'L' => self.name = text(),
            b'K' => self.link = text(),
            _ => {
                let mut rest = contents;
                while !rest.is_empty() && rest[0] != 0 {
                    rest = self.add_record(rest).ok_or("a damaged extended header")?;
                }
            }
        }
        Ok(())
    }

    fn add_record<'a>(&mut self, rest: &'a [u8]) -> Option<&'a [u8]> {
        let blank = rest.iter().position(|b| *b == b' ')?;
        let length: usize = core::str::from_utf8(&rest[..blank]).ok()?.parse().ok()?;
        let (record, rest) = rest.split_at_checked(length)?;
        let record = record.get(blank + 1..)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|b| *b == b'=')?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        let number = || core::str::from_utf8(value).ok();
        match key {
            b"path" => self.name = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number()?.parse().ok()?),
            b"uid" => self.uid = Some(number()?.parse().ok()?),
            b"gid" => self.gid = Some(number()?.parse().ok()?),
            b"mtime" => self.mtime = Some(number()?.split('.').next()?.parse().ok()?),
            _ => {}
        }
        Some(rest)
    }
}

/// The letter and size of the entry in a block; nothing when it is the empty one at the end.
///
/// # Errors
/// When it is no header.
pub fn kind_and_size(block: &[u8; BLOCK]) -> Result<Option<(u8, u64)>, String> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if number(&block[148..156]) != Some(u64::from(sum(block))) {
        return Err("this is no tar stream, or it is damaged".into());
    }
    let size = number(&block[124..136]).ok_or("an entry of no size")?;
    Ok(Some((block[156], size)))
}

/// The entry of a block, and what was said of it before.
///
/// # Errors
/// When a number is none.
pub fn entry(block: &[u8; BLOCK], before: Pending) -> Result<Entry, String> {
    let text = |from: usize, to: usize| {
        block[from..to].split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
    };
    let name = before.name.unwrap_or_else(|| {
        let (prefix, name) = (text(345, 500), text(0, 100));
        let has_prefix = block[257..263] == *b"ustar\0" && !prefix.is_empty();
        if has_prefix { [&prefix[..], b"/", &name].concat() } else { name }
    });
    let get = |from: usize, to: usize| {
        number(&block[from..to]).ok_or_else(|| String::from("a number in a header is none"))
    };
    let id = |said: Option<u32>, from: usize| match said {
        Some(id) => Ok(id),
        None => get(from, from + 8).map(|id| id as u32),
    };
    let kind = match block[156] {
        b'0' | 0 | b'7' if name.ends_with(b"/") => Kind::Directory,
        b'0' | 0 | b'7' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        letter => Kind::Other(letter),
    };
    Ok(Entry {
        name,
        kind,
        link: before.link.unwrap_or_else(|| text(157, 257)),
        mode: get(100, 108)? as u32 & 0o7777,
        uid: id(before.uid, 108)?,
        gid: id(before.gid, 116)?,
        size: before.size.map_or_else(|| get(124, 136), Ok)?,
        mtime: before.mtime.map_or_else(|| get(136, 148).map(|time| time as i64), Ok)?,
    })
}

/// Octal digits with blanks or zeros around them, or GNU's big-endian bytes behind a bit.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let (first, rest) = field.split_first()?;
        return rest.iter().try_fold(u64::from(first & 0x7f), |value, byte| {
            value.checked_mul(256)?.checked_add(u64::from(*byte))
        });
    }
    let padding = |byte: &u8| matches!(byte, b' ' | 0);
    let digits = field.iter().skip_while(|b| padding(b)).take_while(|b| !padding(b));
    digits.copied().try_fold(0u64, |value, digit| {
        (b'0'..=b'7')
            .contains(&digit)
            .then(|| value.checked_mul(8)?.checked_add(u64::from(digit - b'0')))?
    })
}
