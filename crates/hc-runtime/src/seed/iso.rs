//! A small ISO 9660 image with Joliet names: what Windows setup and cloud-init look for.
//!
//! Sources: ECMA-119 (the descriptors, path tables and directory records, by section) and
//! Microsoft's Joliet specification (the second descriptor, whose names are UCS-2). One directory,
//! no times: the same files give the same bytes.

use std::collections::BTreeSet;

const SECTOR: usize = 2048;
/// Behind the system area come two descriptors and their terminator.
const TABLES: usize = 19;
/// Directory records and volumes need a time: 2000-01-01 00:00:00 UTC.
const TIME: [u8; 7] = [100, 1, 1, 0, 0, 0, 0];

/// One file of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsoFile {
    /// Its name, without directories.
    pub name: String,
    /// Its contents.
    pub bytes: Vec<u8>,
}

/// Why an image cannot be written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IsoError {
    /// Joliet allows 64 characters, and not every one.
    #[error(
        "'{0}' cannot be the name of a file on an ISO image: at most 64 characters, none of them / \\ : * ? ; or a control character"
    )]
    Name(String),
    /// Two files have one name.
    #[error("two files of the ISO image are called '{0}'")]
    Twice(String),
    /// A label has at most 16 characters.
    #[error("'{0}' cannot be the label of an ISO image: at most 16 letters, digits, '-' or '_'")]
    Label(String),
    /// Sizes are 32 bits wide.
    #[error("'{0}' is too large for an ISO image")]
    Large(String),
}

/// Writes an image with this label and these files, in their order.
///
/// # Errors
/// What the format has no room for.
pub fn write(label: &str, files: &[IsoFile]) -> Result<Vec<u8>, IsoError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if label.is_empty() || label.len() > 16 || !label.chars().all(plain) {
        return Err(IsoError::Label(label.into()));
    }
    let mut names = BTreeSet::new();
    for file in files {
        check_name(&file.name)?;
        if !names.insert(file.name.to_lowercase()) {
            return Err(IsoError::Twice(file.name.clone()));
        }
        if u32::try_from(file.bytes.len()).is_err() {
            return Err(IsoError::Large(file.name.clone()));
        }
    }
    let short: Vec<Vec<u8>> = short_names(files);
    let long: Vec<Vec<u8>> = files.iter().map(|file| ucs2(&format!("{};1", file.name))).collect();
    // Both directories list the same extents; a directory is as long as its records need.
    let lengths = [&short, &long].map(|names| directory(names, files, 0, 0, 0).len());
    let directories = TABLES + 4;
    let first = directories + (lengths[0] + lengths[1]) / SECTOR;
    let end = first + files.iter().map(|file| file.bytes.len().div_ceil(SECTOR)).sum::<usize>();
    let places = [directories, directories + lengths[0] / SECTOR];

    let mut image = vec![0; 16 * SECTOR];
    for (index, joliet) in [false, true].into_iter().enumerate() {
        image.extend(descriptor(label, joliet, end, places[index], lengths[index]));
    }
    image.extend(sector(&[b"\xffCD001\x01"]));
    for place in places {
        image.extend(sector(&[&path_table(place, u32::to_le_bytes, u16::to_le_bytes)]));
        image.extend(sector(&[&path_table(place, u32::to_be_bytes, u16::to_be_bytes)]));
    }
    for (names, index) in [(&short, 0), (&long, 1)] {
        image.extend(directory(names, files, places[index], lengths[index], first));
    }
    for file in files {
        image.extend(&file.bytes);
        image.resize(image.len().next_multiple_of(SECTOR), 0);
    }
    Ok(image)
}

fn check_name(name: &str) -> Result<(), IsoError> {
    let bad = |c: char| c.is_control() || "/\\:*?;".contains(c) || u32::from(c) > 0xffff;
    match name.is_empty()
        || name == "."
        || name == ".."
        || name.chars().count() > 64
        || name.chars().any(bad)
    {
        true => Err(IsoError::Name(name.into())),
        false => Ok(()),
    }
}

/// Names of eight and three letters, for readers that know nothing better: `USER_DAT.;1`.
fn short_names(files: &[IsoFile]) -> Vec<Vec<u8>> {
    let part = |text: &str, length: usize| -> String {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        text.chars().map(letter).take(length).collect()
    };
    let mut taken = BTreeSet::new();
    let mut names = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let (stem, extension) = file.name.rsplit_once('.').unwrap_or((&file.name, ""));
        let mut stem = part(stem, 8);
        let extension = part(extension, 3);
        if stem.is_empty() || !taken.insert((stem.clone(), extension.clone())) {
            stem = format!("F{index:07}");
            taken.insert((stem.clone(), extension.clone()));
        }
        names.push(format!("{stem}.{extension};1").into_bytes());
    }
    names
}

fn ucs2(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

fn size(number: usize) -> u32 {
    // Checked by `write`: sizes are below 2^32, and so are the sectors of any image in memory.
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A number in both byte orders (7.3.3 and 7.2.3).
fn both32(number: usize) -> [u8; 8] {
    let number = size(number);
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn both16(number: u16) -> [u8; 4] {
    let (little, big) = (number.to_le_bytes(), number.to_be_bytes());
    [little[0], little[1], big[0], big[1]]
}

fn sector(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = parts.concat();
    bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
    bytes
}

/// A volume descriptor (8.4 and 8.5).
fn descriptor(label: &str, joliet: bool, end: usize, place: usize, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; SECTOR];
    let mut put =
        |offset: usize, part: &[u8]| bytes[offset..offset + part.len()].copy_from_slice(part);
    let text = |text: &str, length: usize| -> Vec<u8> {
        let mut padded = if joliet { ucs2(text) } else { text.as_bytes().to_vec() };
        while padded.len() < length {
            padded.extend(if joliet { &b"\0 "[..] } else { b" " });
        }
        padded.truncate(length);
        padded
    };
    put(0, &[if joliet { 2 } else { 1 }]);
    put(1, b"CD001\x01");
    put(8, &text("", 32));
    put(40, &text(label, 32));
    put(80, &both32(end));
    if joliet {
        put(88, b"%/E"); // UCS-2 level 3
    }
    for offset in [120, 124] {
        put(offset, &both16(1));
    }
    put(128, &both16(2048));
    put(132, &both32(path_table(place, u32::to_le_bytes, u16::to_le_bytes).len()));
    let table = TABLES + if joliet { 2 } else { 0 };
    put(140, &size(table).to_le_bytes());
    put(148, &size(table + 1).to_be_bytes());
    put(156, &record(b"\0", place, length, true));
    put(190, &text("", 512)); // set, publisher, preparer and application
    put(702, &text("", 111)); // names of files with copyright, abstract and bibliography
    for offset in [813, 830, 847, 864] {
        put(offset, if offset < 847 { b"2000010100000000\0" } else { b"0000000000000000\0" });
    }
    put(881, &[1]);
    bytes
}

/// The root's only entry (9.4).
fn path_table(place: usize, four: fn(u32) -> [u8; 4], two: fn(u16) -> [u8; 2]) -> Vec<u8> {
    [&[1, 0][..], &four(size(place)), &two(1), &[0, 0]].concat()
}

/// The records of one directory; none crosses from one sector to the next (6.8.1.1).
fn directory(
    names: &[Vec<u8>],
    files: &[IsoFile],
    place: usize,
    length: usize,
    first: usize,
) -> Vec<u8> {
    let mut bytes =
        [record(b"\0", place, length, true), record(b"\x01", place, length, true)].concat();
    let mut extents = first;
    let mut records = Vec::new();
    for (name, file) in names.iter().zip(files) {
        records.push((name, record(name, extents, file.bytes.len(), false)));
        extents += file.bytes.len().div_ceil(SECTOR);
    }
    records.sort(); // by name (9.3)
    for (_, record) in records {
        if bytes.len() % SECTOR + record.len() > SECTOR {
            bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
        }
        bytes.extend(record);
    }
    bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
    bytes
}

/// A directory record (9.1).
fn record(name: &[u8], place: usize, length: usize, directory: bool) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    bytes.extend(both32(place));
    bytes.extend(both32(length));
    bytes.extend(TIME);
    bytes.extend([if directory { 2 } else { 0 }, 0, 0]);
    bytes.extend(both16(1));
    bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    bytes.extend(name);
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    bytes[0] = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    bytes
}
