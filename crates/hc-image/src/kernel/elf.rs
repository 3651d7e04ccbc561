//! What of ELF kernels and modules is read: where they end, notes, sections. Every offset is checked.

/// A sentence, and the byte it is about.
pub type Wrong = (u64, String);

fn field<const N: usize>(bytes: &[u8], at: u64) -> Result<[u8; N], Wrong> {
    range(bytes, at, N as u64)?.try_into().map_err(|_| (at, "the file is cut off".into()))
}

fn range(bytes: &[u8], at: u64, length: u64) -> Result<&[u8], Wrong> {
    let end = at.checked_add(length).and_then(|end| usize::try_from(end).ok());
    let found = end.and_then(|end| bytes.get(usize::try_from(at).ok()?..end));
    found.ok_or_else(|| (at, format!("{length} bytes are named here, past the end of the file")))
}

fn u16_at(bytes: &[u8], at: u64) -> Result<u64, Wrong> {
    Ok(u64::from(u16::from_le_bytes(field(bytes, at)?)))
}

fn u32_at(bytes: &[u8], at: u64) -> Result<u32, Wrong> {
    Ok(u32::from_le_bytes(field(bytes, at)?))
}

fn u64_at(bytes: &[u8], at: u64) -> Result<u64, Wrong> {
    Ok(u64::from_le_bytes(field(bytes, at)?))
}

/// A table of headers: where, how large one is, how many.
fn table(bytes: &[u8], at: u64, sizes: u64, least: u64) -> Result<(u64, u64, u64), Wrong> {
    let (start, size, count) =
        (u64_at(bytes, at)?, u16_at(bytes, sizes)?, u16_at(bytes, sizes + 2)?);
    if count > 0 && size < least {
        return Err((sizes, format!("headers of {size} bytes, too small")));
    }
    range(bytes, start, size * count)?;
    Ok((start, size, count))
}

/// Checks that this is a little-endian 64-bit ELF file of an x86-64.
///
/// # Errors
/// What it is not.
pub fn check(bytes: &[u8]) -> Result<(), Wrong> {
    match bytes.get(..6) {
        Some([0x7f, b'E', b'L', b'F', 2, 1]) => {}
        _ => return Err((0, "not a 64-bit ELF file".into())),
    }
    match u16_at(bytes, 18)? {
        62 => Ok(()),
        machine => Err((18, format!("for the machine {machine}, not x86-64 (62)"))),
    }
}

/// Where the file ends by its own headers: a kernel may have relocations behind it.
///
/// # Errors
/// Where headers point out of the file.
pub fn end(bytes: &[u8]) -> Result<u64, Wrong> {
    check(bytes)?;
    let (mut end, (start, size, count)) = (64, table(bytes, 32, 54, 56)?);
    for at in (0..count).map(|n| start + n * size) {
        let (offset, length) = (u64_at(bytes, at + 8)?, u64_at(bytes, at + 32)?);
        range(bytes, offset, length).map_err(|(_, why)| (at, why))?;
        end = end.max(offset + length);
    }
    end = end.max(start + size * count);
    let (start, size, count) = table(bytes, 40, 58, 64)?;
    for at in (0..count).map(|n| start + n * size) {
        let (offset, length) = (u64_at(bytes, at + 24)?, u64_at(bytes, at + 32)?);
        if u32_at(bytes, at + 4)? != 8 {
            range(bytes, offset, length).map_err(|(_, why)| (at, why))?;
            end = end.max(offset + length);
        }
    }
    Ok(end.max(start + size * count))
}

/// The address of the PVH entry: the note `Xen`, 18, as
/// <https://xenbits.xen.org/docs/unstable/misc/pvh.html> has it. Nothing when there is none.
///
/// # Errors
/// Where headers or notes point out of the file.
pub fn pvh_entry(bytes: &[u8]) -> Result<Option<u64>, Wrong> {
    check(bytes)?;
    let (start, size, count) = table(bytes, 32, 54, 56)?;
    for at in (0..count).map(|n| start + n * size) {
        if u32_at(bytes, at)? != 4 {
            continue;
        }
        let (offset, length) = (u64_at(bytes, at + 8)?, u64_at(bytes, at + 32)?);
        let notes = range(bytes, offset, length)?;
        let wrong = |(within, why): Wrong| (offset + within, format!("a note: {why}"));
        let mut next = 0;
        while next + 12 <= notes.len() as u64 {
            let name = u64::from(u32_at(notes, next).map_err(wrong)?);
            let value = u64::from(u32_at(notes, next + 4).map_err(wrong)?);
            let kind = u32_at(notes, next + 8).map_err(wrong)?;
            let value_at = next + 12 + name.next_multiple_of(4);
            let is_xen = range(notes, next + 12, name).map_err(wrong)? == b"Xen\0";
            let value = range(notes, value_at, value).map_err(wrong)?;
            if is_xen && kind == 18 {
                return match value.len() {
                    4 => Ok(Some(u64::from(u32_at(value, 0)?))),
                    8 => Ok(Some(u64_at(value, 0)?)),
                    other => Err((offset + next, format!("a PVH entry of {other} bytes"))),
                };
            }
            next = value_at + (value.len() as u64).next_multiple_of(4);
        }
    }
    Ok(None)
}

/// The bytes of the section `name`; nothing when there is none.
///
/// # Errors
/// Where headers point out of the file.
pub fn section<'a>(bytes: &'a [u8], name: &str) -> Result<Option<&'a [u8]>, Wrong> {
    check(bytes)?;
    let (start, size, count) = table(bytes, 40, 58, 64)?;
    let names = u16_at(bytes, 62)?;
    if names >= count {
        return Ok(None);
    }
    let place = |at: u64| Ok::<_, Wrong>((u64_at(bytes, at + 24)?, u64_at(bytes, at + 32)?));
    let (offset, length) = place(start + names * size)?;
    let names = range(bytes, offset, length)?;
    for at in (0..count).map(|n| start + n * size) {
        let from = usize::try_from(u32_at(bytes, at)?).unwrap_or(usize::MAX);
        let found = names.get(from..).and_then(|rest| rest.split(|b| *b == 0).next());
        if found == Some(name.as_bytes()) {
            let (offset, length) = place(at)?;
            return range(bytes, offset, length).map(Some);
        }
    }
    Ok(None)
}
