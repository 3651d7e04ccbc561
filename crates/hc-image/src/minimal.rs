//! A root file system with nothing in it but hc: no download, no package.

use crate::erofs;
use crate::error::{Context, Result};
use crate::tree::{Content, Kind, Meta, Tree};
use std::collections::BTreeMap;
use std::path::Path;

/// Directories and their modes; `/etc` and the mount points a machine is started with.
const DIRECTORIES: [(&str, u32); 14] = [
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sbin", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/empty", 0o555),
    ("var/lib", 0o755),
    ("var/tmp", 0o1777),
];

const FILES: [(&str, &str); 7] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/hc\nnobody:x:65534:65534:nobody:/var/empty:/bin/hc\n",
    ),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    (
        "etc/hosts",
        "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n\
         ff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n",
    ),
    (
        "etc/nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
    ),
    ("etc/os-release", "ID=hc\nNAME=hc\nPRETTY_NAME=\"hc minimal\"\n"),
    // Laid over when a machine starts, and there to be laid over.
    ("etc/hostname", ""),
    ("etc/resolv.conf", ""),
];

/// Writes `out/rootfs.erofs` with `exe` as `/bin/hc`.
///
/// # Errors
/// When `exe` cannot be read or the image cannot be written.
pub fn build(exe: &Path, out: &Path, epoch: i64) -> Result<()> {
    let exe = std::fs::canonicalize(exe).on("find", exe)?;
    let size = std::fs::metadata(&exe).on("look at", &exe)?.len();
    let mut tree = Tree::new(Meta::root(0o755, epoch));
    for (path, mode) in DIRECTORIES {
        let kind = Kind::Directory(BTreeMap::new());
        tree.add(path.as_bytes(), kind, Meta::root(mode, epoch))?;
    }
    for (path, text) in FILES {
        let kind = Kind::File(Content::Bytes(text.into()));
        tree.add(path.as_bytes(), kind, Meta::root(0o644, epoch))?;
    }
    let hc = Kind::File(Content::File { path: exe, size });
    tree.add(b"bin/hc", hc, Meta::root(0o755, epoch))?;
    let link = |target: &str| Kind::Symlink(target.into());
    tree.add(b"sbin/init", link("../bin/hc"), Meta::root(0o777, epoch))?;
    tree.add(b"var/run", link("../run"), Meta::root(0o777, epoch))?;
    hc_fs::plain::create_dir_all(out, 0o755)?;
    erofs::write_file(&tree, &out.join("rootfs.erofs"))?;
    Ok(())
}
