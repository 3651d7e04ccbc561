//! Empty qcow2 overlays: QEMU's `docs/interop/qcow2.txt`, version 3, clusters of 64 KiB.
//!
//! Four clusters, more where the disk is large: header, refcount table, one refcount block, and an
//! L1 table without entries, which reads as "see the backing file" everywhere. Nothing but the
//! first bytes of the first three are written, the rest are holes.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: u32 = 0x5146_49fb;
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Bytes that one L1 entry stands for: a cluster of 8-byte L2 entries.
const PER_L1: u64 = CLUSTER * (CLUSTER / 8);
const HEADER: u32 = 104;
/// QEMU reads no longer name.
pub const NAME_MAX: usize = 1023;
/// QEMU takes no larger L1 table (`QCOW_MAX_L1_SIZE`, 32 MiB): 2 EiB in whole clusters.
pub const SIZE_MAX: u64 = (32 << 20) / 8 * PER_L1;

/// What an overlay says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the disk that a machine sees.
    pub size: u64,
}

/// Whether an overlay can name its backing file; else why not.
pub(super) fn fits(backing: &Path) -> Result<(), String> {
    let name = backing.as_os_str().as_bytes();
    if name.starts_with(b"/") && name.len() <= NAME_MAX {
        return Ok(());
    }
    Err(format!("it names its image by an absolute path of at most {NAME_MAX} bytes"))
}

/// Makes `file`, which is empty, an overlay of `size` bytes over the raw disk at `backing`, an
/// absolute path. What is beyond the backing file's end reads as zeros.
///
/// # Errors
/// When name or size are more than the format takes, or the file cannot be written.
pub fn create(file: &File, backing: &Path, size: u64) -> io::Result<()> {
    let wrong = |text: &str| io::Error::new(io::ErrorKind::InvalidInput, text.to_owned());
    fits(backing).map_err(|why| wrong(&why))?;
    let name = backing.as_os_str().as_bytes();
    if size > SIZE_MAX || !size.is_multiple_of(512) {
        return Err(wrong("a disk has whole sectors of 512 bytes, and at most 2 EiB"));
    }
    let l1_entries = size.div_ceil(PER_L1);
    let l1_clusters = (l1_entries * 8).div_ceil(CLUSTER);
    let clusters = 3 + l1_clusters;
    let entries = u32::try_from(l1_entries).map_err(|_| wrong("the disk is too large"))?;

    let mut header = Vec::with_capacity(256 + name.len());
    let name_at = u64::from(HEADER) + 16 + 8;
    let name_length = u32::try_from(name.len()).map_err(|_| wrong("the name is too long"))?;
    for word in [MAGIC, 3] {
        header.extend(word.to_be_bytes());
    }
    header.extend(name_at.to_be_bytes());
    header.extend(name_length.to_be_bytes());
    header.extend(CLUSTER_BITS.to_be_bytes());
    header.extend(size.to_be_bytes());
    header.extend(0u32.to_be_bytes()); // not encrypted
    header.extend(entries.to_be_bytes());
    header.extend((3 * CLUSTER).to_be_bytes()); // the L1 table
    header.extend(CLUSTER.to_be_bytes()); // the refcount table
    header.extend(1u32.to_be_bytes()); // of one cluster
    header.extend(0u32.to_be_bytes()); // no snapshots
    header.extend(0u64.to_be_bytes());
    header.extend([0; 24]); // no incompatible, compatible or autoclear features
    header.extend(4u32.to_be_bytes()); // refcounts of 16 bits
    header.extend(HEADER.to_be_bytes());
    // The extension that names the format of the backing file: else QEMU would guess it from bytes
    // that a machine may have written.
    header.extend(0xe279_2acau32.to_be_bytes());
    header.extend(3u32.to_be_bytes());
    header.extend(*b"raw\0\0\0\0\0");
    header.extend([0; 8]); // no more extensions
    debug_assert_eq!(header.len() as u64, name_at);
    header.extend(name);

    file.set_len(clusters * CLUSTER)?;
    let counts: Vec<u8> = (0..clusters).flat_map(|_| 1u16.to_be_bytes()).collect();
    file.write_all_at(&counts, 2 * CLUSTER)?;
    file.write_all_at(&(2 * CLUSTER).to_be_bytes(), CLUSTER)?;
    file.write_all_at(&header, 0)
}

/// Reads the header of an overlay; `None` when it is not whole.
///
/// # Errors
/// When the file cannot be read.
pub fn read(file: &File) -> io::Result<Option<Header>> {
    let mut header = [0; 32];
    match file.read_exact_at(&mut header, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let magic = header.starts_with(&MAGIC.to_be_bytes());
    let size = header[24..32].try_into().map(u64::from_be_bytes).unwrap_or_default();
    Ok(magic.then_some(Header { size }))
}

/// Makes an overlay that nobody uses larger; what is new reads as zeros.
///
/// # Errors
/// When it is no overlay, has snapshots of its own, or its L1 table has no room for that size where it
/// lies (one cluster of it reaches over 4 TiB); or the file cannot be written.
pub fn grow(file: &File, size: u64) -> io::Result<()> {
    let mut header = [0; HEADER as usize];
    file.read_exact_at(&mut header, 0)?;
    let word = |at: usize| header[at..at + 4].try_into().map(u32::from_be_bytes);
    let wrong = |text: &str| io::Error::new(io::ErrorKind::InvalidInput, text.to_owned());
    let (Ok(MAGIC), Ok(CLUSTER_BITS), Ok(entries), Ok(0)) = (word(0), word(20), word(36), word(60))
    else {
        return Err(wrong("it is no overlay without snapshots of its own"));
    };
    let room = (u64::from(entries) * 8).div_ceil(CLUSTER).max(1) * (CLUSTER / 8);
    let needed = size.div_ceil(PER_L1);
    if needed > room || !size.is_multiple_of(512) {
        return Err(wrong("its table has no room for that; qemu-img resize makes a larger one"));
    }
    let entries = u32::try_from(needed).unwrap_or(u32::MAX);
    // Size, no encryption, entries: all in one sector, so that they change at once.
    let mut changed = Vec::with_capacity(16);
    changed.extend(size.to_be_bytes());
    changed.extend(0u32.to_be_bytes());
    changed.extend(entries.to_be_bytes());
    file.write_all_at(&changed, 24)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn overlay(size: u64, backing_size: u64) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (raw, over) = (dir.path().join("raw"), dir.path().join("over"));
        hc_fs::plain::create_new(&raw, 0o600).unwrap().set_len(backing_size).unwrap();
        let file = hc_fs::plain::create_new(&over, 0o600).unwrap();
        create(&file, &raw, size).unwrap();
        assert_eq!(read(&file).unwrap(), Some(Header { size }));
        (dir, over)
    }

    fn qemu_img(arguments: &[&str], file: &Path) -> String {
        let mut command = Command::new("qemu-img");
        let output = command.args(arguments).arg(file).output();
        let output = output.expect("tests need the package qemu-utils");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    #[test]
    fn qemu_finds_nothing_wrong_with_any_size() {
        const GIB: u64 = 1 << 30;
        for size in [0, 512, PER_L1, PER_L1 + 512, 2 * GIB, 16 << 40, 64 << 40] {
            let (dir, over) = overlay(size, 512);
            qemu_img(&["check", "-q", "-f", "qcow2"], &over);
            let info = qemu_img(&["info", "--output=json", "-f", "qcow2"], &over);
            let info: serde_json::Value = serde_json::from_str(&info).unwrap();
            assert_eq!(info["virtual-size"], size, "{info}");
            assert_eq!(info["backing-filename-format"], "raw");
            assert_eq!(info["backing-filename"], dir.path().join("raw").to_str().unwrap());
            assert_eq!(info["format-specific"]["data"]["compat"], "1.1");
        }
    }

    #[test]
    fn qemu_finds_nothing_wrong_with_one_that_grew() {
        for (from, to) in [(512, 1 << 30), (1 << 30, 4 << 40), (4 << 40, (4 << 40) + 512)] {
            let (_dir, over) = overlay(from, 512);
            let flags = rustix::fs::OFlags::RDWR;
            let file = rustix::fs::open(&over, flags, rustix::fs::Mode::empty()).unwrap().into();
            if to > 4 << 40 {
                assert!(grow(&file, to).unwrap_err().to_string().contains("qemu-img resize"));
                continue;
            }
            grow(&file, to).unwrap();
            assert_eq!(read(&file).unwrap(), Some(Header { size: to }));
            qemu_img(&["check", "-q", "-f", "qcow2"], &over);
            let info = qemu_img(&["info", "--output=json", "-f", "qcow2"], &over);
            let info: serde_json::Value = serde_json::from_str(&info).unwrap();
            assert_eq!(info["virtual-size"], to, "{info}");
        }
        assert!(grow(&tempfile::tempfile().unwrap(), 512).is_err());
    }

    #[test]
    fn what_the_format_cannot_say_is_refused() {
        let file = tempfile::tempfile().unwrap();
        let long = format!("/{}", "x".repeat(NAME_MAX));
        for (backing, size) in
            [("relative", 512), ("/x", 513), ("/x", SIZE_MAX + 512), (&*long, 512)]
        {
            assert!(create(&file, Path::new(backing), size).is_err(), "{backing} {size}");
        }
        assert_eq!(file.metadata().unwrap().len(), 0);
        assert_eq!(read(&file).unwrap(), None);
    }

    proptest::proptest! {
        #[test]
        fn the_layout_holds(sectors in 0..=(1u64 << 38)) {
            let file = tempfile::tempfile().unwrap();
            create(&file, Path::new("/raw"), sectors * 512).unwrap();
            let length = file.metadata().unwrap().len();
            let mut counts = vec![0; usize::try_from(CLUSTER).unwrap()];
            file.read_exact_at(&mut counts, 2 * CLUSTER).unwrap();
            let used = counts.chunks(2).take_while(|count| *count == [0, 1]).count() as u64;
            proptest::prop_assert_eq!(used * CLUSTER, length);
            // The L1 table is inside the file, and reaches over the whole disk.
            let table = length - 3 * CLUSTER;
            proptest::prop_assert!(table / 8 * PER_L1 >= sectors * 512);
        }
    }
}
