use super::{Encoder, Error};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Writes the tree at `path` as an archive, of what is below it only what `keep` lets through;
/// what is in a directory that it does not is not asked for.
///
/// # Errors
/// When it cannot be read, holds something that is no file, directory or symlink, or changes.
pub fn dump_filtered(
    path: &Path,
    keep: &dyn Fn(&Path) -> bool,
    to: &mut impl Write,
) -> Result<(), Error> {
    let mut encoder = Encoder::new(to)?;
    encode(&mut encoder, None, path, keep)?;
    encoder.finish().map(drop)
}

fn encode<W: Write>(
    encoder: &mut Encoder<W>,
    name: Option<&[u8]>,
    path: &Path,
    keep: &dyn Fn(&Path) -> bool,
) -> Result<(), Error> {
    let metadata = path.symlink_metadata()?;
    if metadata.is_symlink() {
        return encoder.symlink(name, std::fs::read_link(path)?.as_os_str().as_bytes());
    }
    if metadata.is_file() {
        let executable = metadata.permissions().mode() & 0o100 != 0;
        let mut file = std::fs::File::open(path)?;
        let mut writer = encoder.start_regular(name, executable, metadata.len())?;
        io::copy(&mut file, &mut writer)?;
        return writer.finish();
    }
    if !metadata.is_dir() {
        return Err(io::Error::other("it is no file, directory or symlink").into());
    }
    let entries = std::fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().into_vec()));
    let mut names = entries.collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    encoder.start_directory(name)?;
    for name in &names {
        let child = path.join(std::ffi::OsStr::from_bytes(name));
        if keep(&child) {
            encode(encoder, Some(name), &child, keep)?;
        }
    }
    encoder.end_directory()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;
    use crate::nar::{dump, restore};

    #[test]
    fn what_is_let_through_is_the_archive() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::fs::create_dir_all(tree.join("no/inside")).unwrap();
        std::fs::write(tree.join("a/b/file"), "x").unwrap();
        std::fs::write(tree.join("a.b"), "y").unwrap();
        std::os::unix::fs::symlink("a.b", tree.join("link")).unwrap();
        let (mut all, mut whole) = (Vec::new(), Vec::new());
        dump_filtered(&tree, &|_| true, &mut all).unwrap();
        dump(&tree, &mut whole).unwrap();
        assert_eq!(all, whole);
        let mut some = Vec::new();
        let keep = |path: &Path| {
            assert!(!path.ends_with("inside"));
            !path.ends_with("no")
        };
        dump_filtered(&tree, &keep, &mut some).unwrap();
        restore(&mut some.as_slice(), &dir.path().join("again")).unwrap();
        std::fs::remove_dir_all(tree.join("no")).unwrap();
        let (mut again, mut left) = (Vec::new(), Vec::new());
        dump(&dir.path().join("again"), &mut again).unwrap();
        dump(&tree, &mut left).unwrap();
        assert_eq!(again, left);
    }
}
