//! Roots by use: what processes run from, have open, mapped or mounted.

use crate::layout::Layout;
use crate::roots::Root;
use nix_compat::path::HASH_PART_LEN;
use nix_compat::{STORE_DIR, StorePath};
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub(crate) fn find(layout: &Layout) -> BTreeSet<Root> {
    let mut finder = Finder { layout, roots: BTreeSet::new() };
    for process in entries(Path::new("/proc")) {
        if process.file_name().is_some_and(|n| n.as_bytes().iter().all(u8::is_ascii_digit)) {
            finder.process(&process);
        }
    }
    for file in ["modprobe", "fbsplash", "poweroff_cmd"] {
        finder.text(&Path::new("/proc/sys/kernel").join(file));
    }
    // A loop device keeps its file open without a process that does.
    for device in entries(Path::new("/sys/block")) {
        finder.text(&device.join("loop/backing_file"));
    }
    finder.roots
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    // Processes come and go, and some files are not ours to read: what cannot be read is no root
    // that could be known.
    std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

struct Finder<'a> {
    layout: &'a Layout,
    roots: BTreeSet<Root>,
}

impl Finder<'_> {
    fn process(&mut self, process: &Path) {
        for link in ["exe", "cwd", "root"] {
            self.link(&process.join(link));
        }
        for descriptor in entries(&process.join("fd")) {
            self.link(&descriptor);
        }
        // Mounts of a file system image name the image, which no process has open.
        for file in ["maps", "environ", "mountinfo"] {
            self.text(&process.join(file));
        }
    }

    fn link(&mut self, link: &Path) {
        if let Ok(target) = std::fs::read_link(link) {
            self.bytes(target.as_os_str().as_bytes(), link);
        }
    }

    fn text(&mut self, file: &Path) {
        if let Ok(contents) = std::fs::read(file) {
            self.bytes(&contents, file);
        }
    }

    /// Everything in `bytes` that looks like a path in the store, by its logical or physical name.
    fn bytes(&mut self, bytes: &[u8], link: &Path) {
        let physical = self.layout.store.as_os_str().as_bytes();
        let paths = store_paths(bytes, STORE_DIR.as_bytes());
        let physical_paths =
            (physical != STORE_DIR.as_bytes()).then(|| store_paths(bytes, physical));
        for path in paths.chain(physical_paths.into_iter().flatten()) {
            self.roots.insert(Root { path, link: link.into() });
        }
    }
}

fn store_paths<'a>(bytes: &'a [u8], prefix: &'a [u8]) -> impl Iterator<Item = StorePath> + 'a {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-._?=".contains(byte);
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let slash = from + bytes.get(from..)?.iter().position(|b| *b == b'/')?;
            from = slash + 1;
            let rest = bytes[slash..].strip_prefix(prefix).and_then(|r| r.strip_prefix(b"/"));
            let Some(rest) = rest.filter(|r| r.len() > HASH_PART_LEN) else { continue };
            let end = rest.iter().position(|b| !is_name(b)).unwrap_or(rest.len());
            if let Ok(path) = StorePath::from_basename(&rest[..end]) {
                return Some(path);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_any_text() {
        let text =
            b"A=/nix/store/miacmq2d49l5qm1xgkpr982m3rd9ax08-a/bin:/nix/store/x /nix/store/\0\
            /r/nix/store/niacmq2d49l5qm1xgkpr982m3rd9ax08-b\\040(deleted) /nix/store/short-a";
        let found = |prefix: &[u8]| {
            store_paths(text, prefix).map(|p| p.name().to_owned()).collect::<Vec<_>>().join(" ")
        };
        insta::assert_snapshot!(found(b"/nix/store"), @"a b");
        insta::assert_snapshot!(found(b"/r/nix/store"), @"b");
    }
}
