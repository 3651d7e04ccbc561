//! Extended attributes inside the inode.

use crate::tree::Meta;

/// The prefixes that have a number on disk. Nothing else can be stored.
const PREFIXES: [(u8, &[u8]); 5] = [
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
];
const HEADER: usize = 12;

/// The bytes after the inode: empty without attributes.
pub(super) fn encode(meta: &Meta) -> Result<Vec<u8>, String> {
    if meta.xattrs.is_empty() {
        return Ok(Vec::new());
    }
    let mut out = vec![0; HEADER];
    for (name, value) in &meta.xattrs {
        let shown = String::from_utf8_lossy(name);
        let (index, rest) = PREFIXES
            .iter()
            .find_map(|(index, prefix)| Some((*index, name.strip_prefix(*prefix)?)))
            // The ACLs are whole names, the others need something after the dot.
            .filter(|(index, rest)| matches!(index, 2 | 3) == rest.is_empty())
            .ok_or_else(|| format!("EROFS cannot store the extended attribute `{shown}`"))?;
        let (Ok(name_len), Ok(value_len)) = (u8::try_from(rest.len()), u16::try_from(value.len()))
        else {
            return Err(format!("the extended attribute `{shown}` is too large for EROFS"));
        };
        out.extend([name_len, index]);
        out.extend(value_len.to_le_bytes());
        out.extend(rest);
        out.extend(value);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    match u16::try_from(count(&out)) {
        Ok(_) => Ok(out),
        Err(_) => Err("its extended attributes are together too large for EROFS".into()),
    }
}

/// The inode's field that tells the size of `encoded`.
pub(super) fn count(encoded: &[u8]) -> usize {
    if encoded.is_empty() { 0 } else { (encoded.len() - HEADER) / 4 + 1 }
}
