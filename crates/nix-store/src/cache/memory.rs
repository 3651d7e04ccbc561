//! How much memory unpacking may take, all archives together.

use nix_compat::narinfo::Compression;
use std::sync::{Condvar, Mutex, PoisonError};

/// For all archives that are unpacked at once. One that needs more is unpacked alone.
const BUDGET: u64 = 32 << 20;
/// No archive gets a larger window: with all else that is in memory, 64 MiB are enough.
pub const LARGEST: u64 = 32 << 20;
/// What every archive needs besides its window: buffers of the network, of pipes and of files.
const BUFFERS: u64 = 1 << 20;
/// What is assumed where a file does not say it: that of `xz -6`.
const USUAL: u64 = 8 << 20;

static USED: Mutex<u64> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

/// A share of the budget, given back when it is dropped.
pub struct Share(u64);

impl Share {
    /// Waits until there is room for a window of so many bytes.
    pub fn take(window: u64) -> Self {
        let wanted = window.saturating_add(BUFFERS);
        let mut used = USED.lock().unwrap_or_else(PoisonError::into_inner);
        while *used > 0 && used.saturating_add(wanted) > BUDGET {
            used = FREED.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
        *used += wanted;
        Self(wanted)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *USED.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
        FREED.notify_all();
    }
}

/// How much of what it has written a decoder must remember, by the first bytes of a file.
pub fn window(compression: &Compression, head: &[u8]) -> u64 {
    match compression {
        Compression::Xz => xz_window(head).unwrap_or(USUAL),
        Compression::Zstd => zstd_window(head).unwrap_or(USUAL),
        Compression::Bzip2 => 4 << 20,
        _ => 64 << 10,
    }
}

/// The dictionary of LZMA2 in the header of the first block. Format: the .xz file format, 3.1.
fn xz_window(head: &[u8]) -> Option<u64> {
    const STREAM_HEADER: usize = 12;
    const LZMA2: u8 = 0x21;
    let block = head.get(STREAM_HEADER..)?;
    let flags = *block.get(1)?;
    let mut rest = block.get(2..)?;
    // The sizes that may come before the filters are of any length.
    for sizes in [0x40, 0x80] {
        if flags & sizes != 0 {
            let length = rest.iter().position(|byte| byte & 0x80 == 0)? + 1;
            rest = rest.get(length..)?;
        }
    }
    for _ in 0..=flags & 3 {
        let (&[id, length], properties) = rest.split_first_chunk()?;
        if id == LZMA2 {
            let bits = u64::from(*properties.first()?).min(40);
            return Some((2 | (bits & 1)) << (bits / 2 + 11));
        }
        rest = properties.get(usize::from(length)..)?;
    }
    None
}

/// The window of the first frame. Format: RFC 8878, 3.1.1.1.
fn zstd_window(head: &[u8]) -> Option<u64> {
    let (&[0x28, 0xb5, 0x2f, 0xfd, descriptor], rest) = head.split_first_chunk()? else {
        return None;
    };
    const SINGLE_SEGMENT: u8 = 1 << 5;
    if descriptor & SINGLE_SEGMENT != 0 {
        // All of it is the window, as large as the archive is.
        return Some(u64::MAX);
    }
    let byte = u64::from(*rest.first()?);
    let base = 1 << (10 + (byte >> 3));
    Some(base + base / 8 * (byte & 7))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn windows_are_read_from_real_files() {
        for (level, expected) in [(0, 256 << 10), (6, 8 << 20), (9, 64 << 20)] {
            let mut xz = liblzma::write::XzEncoder::new(Vec::new(), level);
            xz.write_all(&[7; 1000]).unwrap();
            assert_eq!(window(&Compression::Xz, &xz.finish().unwrap()), expected);
        }
        let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 6).unwrap();
        zstd.write_all(&vec![7; 10 << 20]).unwrap();
        assert_eq!(window(&Compression::Zstd, &zstd.finish().unwrap()), 2 << 20);
        let whole = zstd::bulk::compress(&[7; 1000], 6).unwrap();
        assert_eq!(window(&Compression::Zstd, &whole), u64::MAX);
        assert_eq!(window(&Compression::Xz, b"short"), USUAL);
        assert_eq!(window(&Compression::Zstd, b""), USUAL);
    }
}
