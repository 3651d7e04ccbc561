//! The outer archive of a package.

use std::io::{Read, Seek, SeekFrom};

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: u64 = 60;
/// A package has three or four members; a file with more is no package.
const MEMBERS_MAX: usize = 16;

/// One file in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub name: String,
    pub offset: u64,
    pub size: u64,
}

/// The members of an archive of `size` bytes, or a sentence on what is wrong with it.
pub(super) fn members(mut file: impl Read + Seek, size: u64) -> Result<Vec<Member>, String> {
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic).map_err(|_| "it is too short for a package".to_owned())?;
    if magic != MAGIC {
        return Err("it does not begin as an `ar` archive: not a Debian package".into());
    }
    let (mut at, mut members) = (MAGIC.len() as u64, Vec::new());
    while at < size {
        if members.len() == MEMBERS_MAX {
            return Err(format!("it has more than {MEMBERS_MAX} parts"));
        }
        let mut header = [0; HEADER as usize];
        file.seek(SeekFrom::Start(at)).map_err(|e| e.to_string())?;
        file.read_exact(&mut header).map_err(|_| format!("it is cut off at byte {at}"))?;
        let text =
            |from: usize, to: usize| std::str::from_utf8(&header[from..to]).map(str::trim_end).ok();
        let (Some(name), Some(length), b"`\n") = (text(0, 16), text(48, 58), &header[58..60])
        else {
            return Err(format!("the header at byte {at} is damaged"));
        };
        let length: u64 = Some(length)
            .filter(|l| l.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|l| l.parse().ok())
            .ok_or_else(|| format!("the header at byte {at} has no size"))?;
        let offset = at + HEADER;
        if length > size - offset {
            return Err(format!("it is cut off: `{name}` should have {length} bytes more"));
        }
        let name = name.strip_suffix('/').unwrap_or(name).to_owned();
        members.push(Member { name, offset, size: length });
        at = offset + length + length % 2;
    }
    Ok(members)
}
