//! Reading qcow2 images, versions 2 and 3, as QEMU's docs/interop/qcow2 describes them. Nothing in an
//! image is believed: every table is inside the file, nothing is used for two purposes, and no cluster
//! holds two places of the disk. Reference counts are for writers; only their places are checked.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};

/// A sentence, and the byte of the file it is about.
pub type Wrong = (u64, String);
type Result<T> = std::result::Result<T, Wrong>;

/// The largest first-level table, as in QEMU.
const L1_MAX: u64 = 32 << 20;
/// The largest table of reference counts, as in QEMU.
const REFCOUNTS_MAX: u64 = 8 << 20;
/// What is remembered of each cluster of the file takes four bytes.
const CLUSTERS_MAX: u64 = 16 << 20;
const METADATA: u32 = u32::MAX;
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// What is at some place of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Whatever the backing file has.
    Unallocated,
    /// Zeros.
    Zero,
    /// Bytes of the file from here.
    Data(u64),
    /// A compressed cluster: where, at most how long, and how far into it.
    Compressed(u64, u64, u64),
}

/// An opened image.
#[derive(Debug)]
pub struct Image {
    file: File,
    /// The size of the disk in bytes.
    pub size: u64,
    /// The name of the file below this one, as the image has it.
    pub backing: Option<String>,
    cluster_bits: u32,
    zstd: bool,
    extended: bool,
    l1: Vec<u64>,
    owners: Vec<AtomicU32>,
}

/// The second-level table that was used last.
#[derive(Debug, Default)]
pub struct Cache {
    at: u64,
    table: Vec<u8>,
}

impl Image {
    /// Reads and checks the header and the first-level table. `size_max` limits the disk's size.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn open(file: File, size_max: u64) -> Result<Self> {
        let length = file.metadata().map_err(|e| (0, e.to_string()))?.len();
        let mut header = [0; 112];
        let present = usize::try_from(length.min(112)).unwrap_or(112);
        read(&file, &mut header[..present], 0)?;
        let u32_at = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("four"));
        let u64_at = |at: usize| u64::from_be_bytes(header[at..at + 8].try_into().expect("eight"));
        let version = u32_at(4);
        if present < 72 || header[..4] != *b"QFI\xfb" || !matches!(version, 2 | 3) {
            return Err((0, "not a qcow2 image of version 2 or 3".into()));
        }
        let (features, order) = if version == 2 { (0, 4) } else { (u64_at(72), u32_at(96)) };
        refuse_features(features)?;
        let cluster_bits = u32_at(20);
        if !(9..=21).contains(&cluster_bits) {
            return Err((
                20,
                format!("clusters of 2^{cluster_bits} bytes; 2^9 to 2^21 are allowed"),
            ));
        }
        if u32_at(32) != 0 {
            return Err((32, "it is encrypted: decrypt it first".into()));
        }
        if order > 6 {
            return Err((96, format!("reference counts of 2^{order} bits; 2^6 is the most")));
        }
        let size = u64_at(24);
        if size > size_max {
            return Err((
                24,
                format!("the disk has {size} bytes; {size_max} are allowed (`maxSize`)"),
            ));
        }
        let clusters = length.div_ceil(1 << cluster_bits);
        if clusters > CLUSTERS_MAX {
            return Err((20, format!("{clusters} clusters; convert it to larger ones first")));
        }
        let compression = if features & 8 != 0 && u32_at(100) >= 105 { header[104] } else { 0 };
        if compression > 1 {
            return Err((
                104,
                format!("compression {compression} is neither zlib (0) nor zstd (1)"),
            ));
        }
        let mut image = Self {
            file,
            size,
            backing: None,
            cluster_bits,
            zstd: compression == 1,
            extended: features & 16 != 0,
            l1: Vec::new(),
            owners: (0..clusters).map(|_| AtomicU32::new(0)).collect(),
        };
        let (at, count) = (u64_at(8), u32_at(16));
        if at != 0 {
            if count == 0 || count > 1023 {
                return Err((16, format!("the backing file's name has {count} bytes")));
            }
            let mut name = vec![0; count as usize];
            read(&image.file, &mut name, at)?;
            image.backing = Some(String::from_utf8_lossy(&name).into_owned());
        }
        image.claim(0, 1, METADATA, 0)?;
        image.refcounts(u64_at(48), u64::from(u32_at(56)))?;
        image.read_l1(u64_at(40), u64::from(u32_at(36)))?;
        Ok(image)
    }

    fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    fn entry(&self) -> u64 {
        if self.extended { 16 } else { 8 }
    }

    /// How much of the disk one second-level table is about.
    fn span(&self) -> u64 {
        self.cluster() / self.entry() * self.cluster()
    }

    fn aligned(&self, offset: u64, at: u64) -> Result<()> {
        if offset.is_multiple_of(self.cluster()) {
            return Ok(());
        }
        Err((at, format!("{offset:#x} is not where a cluster begins")))
    }

    /// Notes that bytes of the file are used for `owner`, and refuses what is used already; `at` is
    /// where that was said.
    fn claim(&self, offset: u64, length: u64, owner: u32, at: u64) -> Result<()> {
        let clusters =
            offset >> self.cluster_bits..=(offset + (length.max(1) - 1)) >> self.cluster_bits;
        for cluster in clusters {
            let slot = usize::try_from(cluster).ok().and_then(|n| self.owners.get(n));
            let slot =
                slot.ok_or_else(|| (at, format!("{offset:#x} is past the end of the file")))?;
            let old = slot.swap(owner, Ordering::Relaxed);
            if old != 0 && (old != owner || owner == METADATA) {
                let offset = cluster << self.cluster_bits;
                return Err((at, format!("the cluster at {offset:#x} is used twice")));
            }
        }
        Ok(())
    }

    fn refcounts(&self, table: u64, clusters: u64) -> Result<()> {
        let length = clusters << self.cluster_bits;
        if clusters == 0 || length > REFCOUNTS_MAX {
            return Err((56, format!("a table of reference counts of {clusters} clusters")));
        }
        self.aligned(table, 48)?;
        self.claim(table, length, METADATA, 48)?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        read_padded(&self.file, &mut bytes, table)?;
        for (at, block) in (table..).step_by(8).zip(bytes.chunks_exact(8)) {
            let block = u64::from_be_bytes(block.try_into().expect("eight"));
            if block != 0 {
                self.aligned(block, at)?;
                self.claim(block, 1, METADATA, at)?;
            }
        }
        Ok(())
    }

    fn read_l1(&mut self, table: u64, entries: u64) -> Result<()> {
        let needed = self.size.div_ceil(self.span());
        if entries < needed || entries * 8 > L1_MAX {
            return Err((
                36,
                format!("a first-level table of {entries} entries; the disk needs {needed}"),
            ));
        }
        if needed == 0 {
            return Ok(());
        }
        self.aligned(table, 40)?;
        self.claim(table, entries * 8, METADATA, 40)?;
        let mut bytes = vec![0; usize::try_from(needed * 8).unwrap_or(0)];
        read(&self.file, &mut bytes, table)?;
        for (at, entry) in (table..).step_by(8).zip(bytes.chunks_exact(8)) {
            let offset = u64::from_be_bytes(entry.try_into().expect("eight")) & OFFSET;
            if offset != 0 {
                self.aligned(offset, at)?;
                self.claim(offset, 1, METADATA, at)?;
            }
            self.l1.push(offset);
        }
        Ok(())
    }

    /// What is at `at`, and for how many bytes, `most` at the most.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn map(&self, at: u64, most: u64, cache: &mut Cache) -> Result<(Place, u64)> {
        if at >= self.size {
            // A disk that is larger than what is below it goes on with zeros.
            return Ok((Place::Zero, most));
        }
        let most = most.min(self.size - at);
        let (span, bits) = (self.span(), self.cluster_bits);
        let table = self.l1.get(usize::try_from(at / span).unwrap_or(usize::MAX)).copied();
        let Some(table) = table.filter(|t| *t != 0) else {
            return Ok((Place::Unallocated, most.min(span - at % span)));
        };
        if cache.at != table {
            cache.table.resize(1 << bits, 0);
            cache.at = 0;
            read(&self.file, &mut cache.table, table)?;
            cache.at = table;
        }
        let index = (at % span) >> bits;
        let entry_at = table + index * self.entry();
        let slot = usize::try_from(index * self.entry()).unwrap_or(0);
        let number =
            |at: usize| u64::from_be_bytes(cache.table[at..at + 8].try_into().expect("eight"));
        let entry = number(slot);
        let owner = u32::try_from((at >> bits) + 1).ok().filter(|n| *n != METADATA);
        let owner = owner.ok_or((24, "the disk has too many clusters".to_owned()))?;
        let within = at & (self.cluster() - 1);
        let left = self.cluster() - within;
        if entry & 1 << 62 != 0 {
            // The offset takes the low bits, behind it the count of further sectors of 512 bytes.
            let split = 62 - (bits - 8);
            let offset = entry & ((1 << split) - 1);
            let sectors = (entry & ((1 << 62) - 1)) >> split;
            let length = (sectors + 1) * 512 - offset % 512;
            let is_meta = self.owners.get(usize::try_from(offset >> bits).unwrap_or(usize::MAX));
            return match is_meta.map(|owner| owner.load(Ordering::Relaxed)) {
                None => Err((entry_at, format!("{offset:#x} is past the end of the file"))),
                Some(METADATA) => {
                    Err((entry_at, format!("the cluster at {offset:#x} is used twice")))
                }
                Some(_) => Ok((Place::Compressed(offset, length, within), most.min(left))),
            };
        }
        let offset = entry & OFFSET;
        if offset != 0 {
            self.aligned(offset, entry_at)?;
            self.claim(offset, 1, owner, entry_at)?;
        }
        let data =
            |within| if offset == 0 { Place::Unallocated } else { Place::Data(offset + within) };
        if !self.extended {
            let place = if entry & 1 != 0 { Place::Zero } else { data(within) };
            return Ok((place, most.min(left)));
        }
        let (bitmap, part) = (number(slot + 8), self.cluster() / 32);
        let sub = within / part;
        let place = match (bitmap >> sub & 1, bitmap >> (sub + 32) & 1) {
            (1, 1) => return Err((entry_at + 8, "a part that is both zero and not".into())),
            (1, 0) if offset == 0 => return Err((entry_at + 8, "a part that is nowhere".into())),
            (1, 0) => data(within),
            (0, 1) => Place::Zero,
            _ => Place::Unallocated,
        };
        Ok((place, most.min(part - within % part)))
    }

    /// Reads bytes of the file; what is behind its end is zeros, as a last cluster may be short.
    ///
    /// # Errors
    /// What the system said.
    pub fn data(&self, at: u64, buffer: &mut [u8]) -> Result<()> {
        read_padded(&self.file, buffer, at)
    }

    /// Decompresses a cluster.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn decompress(&self, at: u64, length: u64, cluster: &mut Vec<u8>) -> Result<()> {
        let mut packed = vec![0; usize::try_from(length).unwrap_or(0)];
        read_padded(&self.file, &mut packed, at)?;
        cluster.resize(usize::try_from(self.cluster()).unwrap_or(0), 0);
        let decoded = if self.zstd {
            // Behind the frame is whatever the last sector has.
            zstd::Decoder::with_buffer(&packed[..])
                .and_then(|d| std::io::Read::read_exact(&mut d.single_frame(), cluster))
        } else {
            std::io::Read::read_exact(
                &mut flate2::bufread::DeflateDecoder::new(&packed[..]),
                cluster,
            )
        };
        decoded.map_err(|e| (at, format!("a damaged compressed cluster: {e}")))
    }
}

fn refuse_features(features: u64) -> Result<()> {
    for (bit, why) in [
        (1, "it is marked as corrupt: repair it with `qemu-img check -r all` first"),
        (2, "its data is in another file: convert it with `qemu-img convert` first"),
    ] {
        if features >> bit & 1 != 0 {
            return Err((72, why.into()));
        }
    }
    match features & !0b11111 {
        0 => Ok(()),
        unknown => Err((72, format!("it has features that are not known here: {unknown:#x}"))),
    }
}

fn read(file: &File, buffer: &mut [u8], at: u64) -> Result<()> {
    file.read_exact_at(buffer, at).map_err(|e| (at, format!("the file is cut off: {e}")))
}

fn read_padded(file: &File, buffer: &mut [u8], at: u64) -> Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], at + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err((at, e.to_string())),
        }
    }
    buffer[done..].fill(0);
    Ok(())
}
