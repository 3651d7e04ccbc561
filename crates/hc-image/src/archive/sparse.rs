//! Files with holes in tar archives: GNU's old form, and the three that GNU tar writes in PAX headers.

use super::Slice;
use super::pax::{Records, decimal};
use crate::tree::Part;
use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

/// No file has more parts: its map alone would be larger than what it saves.
const PARTS_MAX: usize = 1 << 20;

/// Where the parts of a file are, before they are found in the archive.
pub(super) struct Map {
    /// Offsets in the file and lengths.
    pub pairs: Vec<(u64, u64)>,
    /// The size of the whole file.
    pub size: u64,
    /// How much of what the archive holds is the map itself.
    pub head: u64,
}

impl Map {
    /// The map of an entry whose PAX header tells of one.
    pub fn of_pax(records: &Records, data: &Slice, stored: u64) -> Result<Option<Self>, String> {
        let version = (records.number("GNU.sparse.major")?, records.number("GNU.sparse.minor")?);
        let size = match records.number("GNU.sparse.realsize")? {
            None => records.number("GNU.sparse.size")?,
            size => size,
        };
        if let (Some(1), Some(0)) = version {
            let size = size.ok_or("its sparse map has no size")?;
            let (pairs, head) = map_in_data(data, stored)?;
            return Ok(Some(Self { pairs, size, head }));
        }
        let pairs = match records.get("GNU.sparse.map") {
            Some(text) => {
                let numbers: Option<Vec<u64>> = text.split(|b| *b == b',').map(decimal).collect();
                let numbers = numbers.filter(|n| n.len() % 2 == 0).ok_or(MALFORMED)?;
                numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
            }
            None if !records.pairs.is_empty() => records.pairs.clone(),
            None if version == (None, None) => return Ok(None),
            None => return Err("its sparse map has a form that is not known".into()),
        };
        Ok(Some(Self { pairs, size: size.ok_or("its sparse map has no size")?, head: 0 }))
    }

    /// The map of an entry of GNU's own kind `S`; what its header has no room for is in blocks
    /// after it, which `next` gives.
    pub fn of_header(
        header: &Header,
        mut next: impl FnMut() -> Result<[u8; 512], String>,
    ) -> Result<Self, String> {
        let gnu = header.as_gnu().ok_or("it has holes, and no header that tells of them")?;
        let mut pairs = Vec::new();
        add(&gnu.sparse, &mut pairs)?;
        let mut more = gnu.is_extended();
        while more {
            let mut extended = GnuExtSparseHeader::new();
            extended.as_mut_bytes().copy_from_slice(&next()?);
            add(extended.sparse(), &mut pairs)?;
            more = extended.is_extended();
        }
        let size = gnu.real_size().map_err(|e| format!("its size is not a number: {e}"))?;
        Ok(Self { pairs, size, head: 0 })
    }

    /// The parts in the archive: `offset` is where the entry's data begins there, `stored` how
    /// much there is.
    pub fn parts(&self, offset: u64, stored: u64) -> Result<Box<[Part]>, String> {
        if self.pairs.len() > PARTS_MAX {
            return Err("its sparse map has more parts than any file".into());
        }
        let (mut parts, mut from, mut last) = (Vec::new(), self.head, 0);
        for (at, len) in &self.pairs {
            let end = at.checked_add(*len).filter(|end| *at >= last && *end <= self.size);
            last = end.ok_or("its sparse map is out of order, or goes past its size")?;
            if *len > 0 {
                parts.push(Part { at: *at, offset: offset + from, len: *len });
            }
            from = from.checked_add(*len).ok_or(MALFORMED)?;
        }
        if from != stored {
            return Err(format!("its sparse map tells of {from} bytes, the archive has {stored}"));
        }
        Ok(parts.into())
    }
}

const MALFORMED: &str = "its sparse map is malformed";

fn add(headers: &[GnuSparseHeader], pairs: &mut Vec<(u64, u64)>) -> Result<(), String> {
    for header in headers.iter().take_while(|header| !header.is_empty()) {
        let (Ok(at), Ok(len)) = (header.offset(), header.length()) else {
            return Err(MALFORMED.into());
        };
        pairs.push((at, len));
        if pairs.len() > PARTS_MAX {
            return Err("its sparse map has more parts than any file".into());
        }
    }
    Ok(())
}

/// Format 1.0: a count, then offsets and lengths, a line each, padded to whole blocks, before the
/// file's own data.
fn map_in_data(data: &Slice, stored: u64) -> Result<(Vec<(u64, u64)>, u64), String> {
    let mut at = 0;
    let mut block = [0; 512];
    let mut used = block.len();
    let mut line = || -> Result<u64, String> {
        let mut text = Vec::new();
        loop {
            if used == block.len() {
                if at + 512 > stored.next_multiple_of(512) {
                    return Err(MALFORMED.into());
                }
                data.read_exact_at(&mut block, at).map_err(|e| e.to_string())?;
                (at, used) = (at + 512, 0);
            }
            let byte = block[used];
            used += 1;
            match byte {
                b'\n' => return decimal(&text).ok_or_else(|| MALFORMED.into()),
                digit if text.len() < 20 => text.push(digit),
                _ => return Err(MALFORMED.into()),
            }
        }
    };
    let count = line()?;
    if count > PARTS_MAX as u64 {
        return Err("its sparse map has more parts than any file".into());
    }
    let mut pairs = Vec::new();
    for _ in 0..count {
        pairs.push((line()?, line()?));
    }
    Ok((pairs, at))
}
