//! Which file system a disk has, by its first bytes.

/// How much of a disk [`kind`] looks at.
pub const LENGTH: usize = 0x10048;

/// The kernel's name of the file system that begins with `bytes`, of those an image may have.
#[must_use]
pub fn kind(bytes: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, magic: &[u8]| bytes.get(offset..offset + magic.len()) == Some(magic);
    // Magic numbers from the kernel's include/uapi/linux/magic.h, at the offsets of each format.
    if at(1024, &0xe0f5_e1e2_u32.to_le_bytes()) {
        Some("erofs")
    } else if at(1024 + 56, &0xef53_u16.to_le_bytes()) {
        Some("ext4")
    } else if at(0, b"XFSB") {
        Some("xfs")
    } else if at(0x10040, b"_BHRfS_M") {
        Some("btrfs")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_known_by_its_magic_and_nothing_else_is() {
        let with = |offset: usize, magic: &[u8]| {
            let mut bytes = vec![0; LENGTH];
            bytes[offset..offset + magic.len()].copy_from_slice(magic);
            kind(&bytes)
        };
        assert_eq!(with(1024, &[0xe2, 0xe1, 0xf5, 0xe0]), Some("erofs"));
        assert_eq!(with(1080, &[0x53, 0xef]), Some("ext4"));
        assert_eq!(with(0, b"XFSB"), Some("xfs"));
        assert_eq!(with(0x10040, b"_BHRfS_M"), Some("btrfs"));
        assert_eq!(with(0, b"MZ"), None);
        assert_eq!(kind(b"short"), None);
    }
}
