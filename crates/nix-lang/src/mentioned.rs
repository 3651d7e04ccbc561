//! What a file of the store says of other store paths: a string that is read from it depends on them.

use std::collections::BTreeMap;
use std::path::Path;

use nix_compat::{StorePath, path};

use crate::Evaluator;

/// Of what the store object that `file` is in refers to, what is named in `bytes`. Nothing where the
/// store does not know, as in C++ Nix.
pub(crate) fn mentioned(
    nix: &Evaluator<'_>,
    file: &[u8],
    bytes: &[u8],
) -> impl Iterator<Item = StorePath> + use<> {
    let found = if has_hash(bytes) { references(nix, file) } else { Vec::new() };
    let mut by_hash: BTreeMap<String, StorePath> =
        found.into_iter().map(|path| (path::hash_part(&path), path)).collect();
    let mut named = Vec::new();
    for run in runs(bytes) {
        if by_hash.is_empty() {
            break;
        }
        for window in run.windows(path::HASH_PART_LEN) {
            let hash = str::from_utf8(window).unwrap_or_default();
            named.extend(by_hash.remove(hash));
        }
    }
    named.into_iter()
}

fn references(nix: &Evaluator<'_>, file: &[u8]) -> Vec<StorePath> {
    use std::os::unix::ffi::OsStrExt;
    let file = Path::new(std::ffi::OsStr::from_bytes(file));
    let Ok(below) = file.strip_prefix(nix.store_dir.as_str()) else { return Vec::new() };
    let Some(object) = below.components().next() else { return Vec::new() };
    let object = Path::new(nix.store_dir.as_str()).join(object);
    let object = nix.store_dir.parse_path(object.as_os_str().as_bytes());
    let Ok(object) = object else { return Vec::new() };
    if !object.is_derivation() {
        return nix.io.references(&object).unwrap_or_default();
    }
    let Ok(drv) = nix.io.read_derivation(&object) else { return Vec::new() };
    drv.input_sources().iter().chain(drv.input_derivations().keys()).cloned().collect()
}

/// The longest pieces of digits that hashes are written with, as long as those at least.
fn runs(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let digit =
        |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_lowercase() && !b"eotu".contains(byte);
    bytes.split(move |byte| !digit(byte)).filter(|run| run.len() >= path::HASH_PART_LEN)
}

fn has_hash(bytes: &[u8]) -> bool {
    runs(bytes).next().is_some()
}
