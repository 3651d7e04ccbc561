//! Tar files (v7, ustar, GNU, PAX) as a list of entries that tell where their bytes lie.

use super::pax::{self, Records};
use super::{Slice, sparse};
use crate::tree::{Content, Kind, Meta, Part, belongs_to_the_file};
use base64::Engine;
use std::collections::BTreeMap;
use std::sync::Arc;
use tar::{EntryType, Header};

/// The largest extended header: attributes of 64 KiB and a long map of holes fit.
const EXTENDED_MAX: u64 = 4 << 20;
/// The largest file, with its holes.
const SIZE_MAX: u64 = 16 << 40;
/// What one part of a file with holes can cost in the image: it may touch two chunks.
const PART_COST: u64 = 128 << 10;

/// One entry.
#[derive(Debug)]
pub struct Entry {
    /// Its path as the archive has it.
    pub path: Vec<u8>,
    /// What it is.
    pub what: What,
    /// What it has.
    pub meta: Meta,
    /// Bytes that its contents can take in an image.
    pub cost: u64,
}

/// What an entry is.
#[derive(Debug)]
pub enum What {
    /// Something of its own.
    Inode(Kind),
    /// Another name for the file at this path.
    Link(Vec<u8>),
}

/// A refusal, with the entry's path where that is known.
#[derive(Debug)]
pub struct Refusal {
    /// The path.
    pub entry: Option<Vec<u8>>,
    /// A sentence.
    pub why: String,
}

impl<T: Into<String>> From<T> for Refusal {
    fn from(why: T) -> Self {
        Self { entry: None, why: why.into() }
    }
}

/// Reads a tar file.
#[derive(Debug)]
pub struct Reader {
    data: Slice,
    at: u64,
    global: Records,
    ended: bool,
    /// Whether it must end with the two empty blocks that say so.
    strict: bool,
    /// What was read ahead, headers being small and many, and where it begins.
    ahead: (u64, Vec<u8>),
    /// The path of the entry that was read last.
    last: Option<Vec<u8>>,
}

/// How much is read ahead: some headers and the small files between them.
const AHEAD: u64 = 64 << 10;

impl Reader {
    /// From its first byte. With `strict` an archive that does not say where it ends is refused as
    /// cut off; without, it must end between two entries.
    #[must_use]
    pub fn new(data: Slice, strict: bool) -> Self {
        Self {
            data,
            at: 0,
            global: Records::default(),
            ended: false,
            strict,
            ahead: (0, Vec::new()),
            last: None,
        }
    }

    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// When the archive is damaged, cut off, or has something that no image can hold.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Refusal> {
        match self.read_entry() {
            Ok(Some(entry)) => {
                self.last = Some(entry.path.clone());
                Ok(Some(entry))
            }
            Err(Refusal { entry: None, why }) => Err(match &self.last {
                Some(last) => {
                    let last = String::from_utf8_lossy(last);
                    format!("{why} (after the entry `{}`)", last.escape_default()).into()
                }
                None => why.into(),
            }),
            other => other,
        }
    }

    /// The entry that the archive breaks off in, or the last one that is whole.
    #[must_use]
    pub fn breaks_off_at(mut self) -> Option<Vec<u8>> {
        loop {
            match self.read_entry() {
                Ok(Some(entry)) => self.last = Some(entry.path),
                Ok(None) => return self.last,
                Err(refusal) => return refusal.entry.or(self.last),
            }
        }
    }

    fn read_entry(&mut self) -> Result<Option<Entry>, Refusal> {
        if self.ended {
            return Ok(None);
        }
        let mut about = About::default();
        loop {
            let Some(header) = self.header()? else {
                self.ended = true;
                return match about.is_empty() {
                    true => Ok(None),
                    false => Err("it ends after a header that tells of a next entry".into()),
                };
            };
            match header.entry_type() {
                EntryType::XHeader => {
                    about.records = Some(self.records(&header)?);
                }
                EntryType::XGlobalHeader => {
                    let global = self.records(&header)?;
                    let one = ["path", "linkpath", "size"];
                    let wrong = one.iter().any(|key| global.get(key).is_some());
                    if wrong || global.with_prefix("GNU.sparse.").next().is_some() {
                        let why = "a header for all entries says what can hold for one";
                        return Err(of_header(&header, why.into()));
                    }
                    self.global = global.over(&self.global);
                }
                EntryType::GNULongName => about.path = Some(until_nul(self.text(&header)?)),
                EntryType::GNULongLink => about.link = Some(until_nul(self.text(&header)?)),
                // The volume's label.
                other if other.as_byte() == b'V' => drop(self.text(&header)?),
                _ => {
                    let path = about.path(&header);
                    return self.entry(&header, about).map(Some).map_err(|refusal| Refusal {
                        entry: refusal.entry.or(Some(path)),
                        ..refusal
                    });
                }
            }
        }
    }

    /// The next header; `None` where the archive says that it ends.
    fn header(&mut self) -> Result<Option<Header>, Refusal> {
        if self.at == self.data.len && !self.strict {
            return Ok(None);
        }
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(&self.block()?);
        if header.as_bytes().iter().all(|b| *b == 0) {
            return Ok(None);
        }
        let sum: u32 = header.as_bytes()[..148]
            .iter()
            .chain(&header.as_bytes()[156..])
            .map(|b| u32::from(*b))
            .sum::<u32>()
            + 8 * u32::from(b' ');
        match header.cksum() {
            Ok(told) if told == sum => Ok(Some(header)),
            _ => Err(format!(
                "it is damaged, or no tar file: the header at byte {} does not have its checksum",
                self.at - 512
            )
            .into()),
        }
    }

    fn block(&mut self) -> Result<[u8; 512], String> {
        let mut block = [0; 512];
        self.read_at(self.at, &mut block)
            .map_err(|_| format!("it is cut off at byte {}", self.data.len))?;
        self.at += 512;
        Ok(block)
    }

    /// Reads exactly, from what was read ahead where it is there.
    fn read_at(&mut self, at: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        if buffer.len() as u64 > AHEAD {
            return self.data.read_exact_at(buffer, at);
        }
        let held = |(start, bytes): &(u64, Vec<u8>), count: usize| {
            let from = usize::try_from(at.checked_sub(*start)?).ok()?;
            bytes.get(from..from.checked_add(count)?).map(<[u8]>::to_vec)
        };
        if held(&self.ahead, buffer.len()).is_none() {
            let count = self.data.len.saturating_sub(at).min(AHEAD);
            self.ahead.1.resize(usize::try_from(count).unwrap_or(0), 0);
            self.ahead.0 = at;
            self.data.read_exact_at(&mut self.ahead.1, at)?;
        }
        let bytes = held(&self.ahead, buffer.len()).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(&bytes);
        Ok(())
    }

    /// Goes past what belongs to a header.
    fn pass(&mut self, size: u64) -> Result<u64, String> {
        let start = self.at;
        let end = size.checked_next_multiple_of(512).and_then(|size| start.checked_add(size));
        // The last block may be short where nothing follows it.
        let known = start.checked_add(size).filter(|end| *end <= self.data.len);
        match (known, end) {
            (Some(_), Some(end)) if end <= self.data.len => self.at = end,
            (Some(_), Some(_)) if !self.strict => self.at = self.data.len,
            _ => {
                return Err(format!(
                    "it is cut off at byte {}: {size} bytes should follow byte {start}",
                    self.data.len
                ));
            }
        }
        Ok(start)
    }

    /// The records of an extended header.
    fn records(&mut self, header: &Header) -> Result<Records, Refusal> {
        Records::parse(&self.text(header)?).map_err(|why| of_header(header, why))
    }

    /// The data of a header that is about another entry.
    fn text(&mut self, header: &Header) -> Result<Vec<u8>, Refusal> {
        self.data_of(header).map_err(|why| of_header(header, why))
    }

    fn data_of(&mut self, header: &Header) -> Result<Vec<u8>, String> {
        let size = header.entry_size().map_err(|e| e.to_string())?;
        if size > EXTENDED_MAX {
            return Err(format!("an extended header has {size} bytes, more than any needs"));
        }
        let at = self.pass(size)?;
        let mut text = vec![0; usize::try_from(size).unwrap_or(0)];
        self.read_at(at, &mut text).map_err(|e| e.to_string())?;
        Ok(text)
    }

    fn entry(&mut self, header: &Header, about: About) -> Result<Entry, Refusal> {
        let mut path = about.path(header);
        let records = about.records.unwrap_or_default().over(&self.global);
        if let Some(name) = records.get("GNU.sparse.name") {
            path = name.to_vec();
        }
        let at_path = |why: String| Refusal { entry: Some(path.clone()), why };
        let link = records.get("linkpath").map(<[u8]>::to_vec).or(about.link);
        let link = link.or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
        let meta = meta(header, &records).map_err(at_path)?;
        let told =
            header.entry_size().map_err(|e| at_path(format!("its size is not a number: {e}")))?;
        let told = records.number("size").map_err(at_path)?.unwrap_or(told);
        let device = || -> Result<(u32, u32), Refusal> {
            match (header.device_major(), header.device_minor()) {
                (Ok(Some(major)), Ok(Some(minor))) => Ok((major, minor)),
                _ => Err(at_path("it is a device without a number".into())),
            }
        };
        let target = |what: &str| link.clone().ok_or_else(|| at_path(format!("{what} to nothing")));
        let mut cost = 0;
        let kind = header.entry_type();
        let what = match kind {
            // Before there were directories in tar files, a slash told.
            EntryType::Regular if path.ends_with(b"/") => Kind::Directory(BTreeMap::new()),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let content = self.content(header, &records, told).map_err(at_path)?;
                cost = content.1;
                Kind::File(content.0)
            }
            EntryType::Directory => Kind::Directory(BTreeMap::new()),
            EntryType::Symlink => Kind::Symlink(target("a symlink")?),
            EntryType::Char => {
                let (major, minor) = device()?;
                Kind::Char { major, minor }
            }
            EntryType::Block => {
                let (major, minor) = device()?;
                Kind::Block { major, minor }
            }
            EntryType::Fifo => Kind::Fifo,
            EntryType::Link => {
                // Some writers repeat the size of the file it is a name of; the bytes do not follow.
                let target = target("a hard link")?;
                if told > 0 && records.get("size").is_some() {
                    return Err(at_path("a hard link with a size of its own".into()));
                }
                return Ok(Entry { path, what: What::Link(target), meta, cost: 0 });
            }
            other => {
                let kind = char::from(other.as_byte()).escape_default();
                return Err(at_path(format!("an entry of the kind `{kind}`, which is not known")));
            }
        };
        if !matches!(what, Kind::File(_)) && told > 0 {
            self.pass(told).map_err(at_path)?;
        }
        Ok(Entry { path, what: What::Inode(what), meta, cost })
    }

    /// Where the contents lie, and what they may cost in the image.
    fn content(
        &mut self,
        header: &Header,
        records: &Records,
        stored: u64,
    ) -> Result<(Content, u64), String> {
        let map = if header.entry_type() == EntryType::GNUSparse {
            Some(sparse::Map::of_header(header, || self.block())?)
        } else {
            None
        };
        let at = self.pass(stored)?;
        let map = match map {
            None => {
                let data = self.data.part(at, self.data.len - at).ok_or("it is cut off")?;
                sparse::Map::of_pax(records, &data, stored)?
            }
            map => map,
        };
        let offset = self.data.offset + at;
        let file = Arc::clone(&self.data.file);
        let (size, parts) = match map {
            None if stored == 0 => (0, Box::from([])),
            None => (stored, Box::from([Part { at: 0, offset, len: stored }])),
            Some(map) => (map.size, map.parts(offset, stored)?),
        };
        if size > SIZE_MAX {
            return Err(format!("it has {size} bytes with its holes; a file has at most 16 TiB"));
        }
        let cost = size.min(stored.saturating_add(parts.len() as u64 * PART_COST));
        Ok((Content::Parts { file, size, parts }, cost))
    }
}

/// What headers before an entry say about it.
#[derive(Default)]
struct About {
    records: Option<Records>,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl About {
    fn is_empty(&self) -> bool {
        self.records.is_none() && self.path.is_none() && self.link.is_none()
    }

    fn path(&self, header: &Header) -> Vec<u8> {
        let told = self.records.as_ref().and_then(|records| records.get("path"));
        match told.or(self.path.as_deref()) {
            Some(path) => path.to_vec(),
            None => header.path_bytes().into_owned(),
        }
    }
}

/// A refusal of a header that is about another entry, by the name that it has itself.
fn of_header(header: &Header, why: String) -> Refusal {
    Refusal { entry: Some(header.path_bytes().into_owned()), why }
}

fn until_nul(mut text: Vec<u8>) -> Vec<u8> {
    text.truncate(text.iter().position(|b| *b == 0).unwrap_or(text.len()));
    text
}

fn meta(header: &Header, records: &Records) -> Result<Meta, String> {
    let id = |name: &str, field: std::io::Result<u64>| -> Result<u32, String> {
        let told = match records.number(name)? {
            Some(told) => told,
            None if blank(header, name) => 0,
            None => field.map_err(|_| format!("its {name} is not a number"))?,
        };
        // All ones means "nobody" to the kernel.
        let id = u32::try_from(told).ok().filter(|id| *id != u32::MAX);
        id.ok_or_else(|| format!("its {name} is {told}, which no file can have"))
    };
    let (mtime, mtime_nsec) = match records.get("mtime") {
        Some(text) => pax::time(text).ok_or("its mtime is not a time")?,
        None => {
            let seconds = header.mtime().map_err(|_| "its mtime is not a number")?;
            (i64::try_from(seconds).map_err(|_| "its mtime is not a time")?, 0)
        }
    };
    Ok(Meta {
        mode: header.mode().map_err(|_| "its mode is not a number")? & 0o7777,
        uid: id("uid", header.uid())?,
        gid: id("gid", header.gid())?,
        mtime,
        mtime_nsec,
        xattrs: xattrs(records)?,
    })
}

/// Some writers leave out who owns a file.
fn blank(header: &Header, name: &str) -> bool {
    let old = header.as_old();
    let field = if name == "uid" { &old.uid } else { &old.gid };
    field.iter().all(|b| matches!(b, 0 | b' '))
}

/// Those that belong to a file, as star and libarchive write them.
fn xattrs(records: &Records) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, String> {
    if records.with_prefix("SCHILY.acl.").next().is_some() {
        return Err("it has an access control list, which is not supported; make the archive \
                    without them (tar --no-acls)"
            .into());
    }
    let mut all = BTreeMap::new();
    for (name, value) in records.with_prefix("LIBARCHIVE.xattr.") {
        let wrong = || format!("its attribute `{}` is malformed", String::from_utf8_lossy(name));
        let name = percent_decoded(name).ok_or_else(wrong)?;
        let value: Vec<u8> = value.iter().copied().filter(|b| *b != b'=').collect();
        let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
        all.insert(name, engine.decode(&value).map_err(|_| wrong())?);
    }
    // As it is in the file, so this one holds where there are both.
    for (name, value) in records.with_prefix("SCHILY.xattr.") {
        all.insert(name.to_vec(), value.to_vec());
    }
    all.retain(|name, _| belongs_to_the_file(name));
    Ok(all)
}

fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'%' => {
                let digit = |b: &u8| char::from(*b).to_digit(16);
                u8::try_from(digit(rest.next()?)? << 4 | digit(rest.next()?)?).ok()?
            }
            other => *other,
        });
    }
    Some(out)
}
