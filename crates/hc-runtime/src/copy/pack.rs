//! A tree to a tar stream.

use super::{Done, Owners, means_contents};
use crate::error::{Doing, Problem, Res};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

/// Deeper trees would need more descriptors than a process has.
const DEEPEST: usize = 800;
/// File systems whose files are the kernel's words: proc, sysfs, cgroup, cgroup2, devpts, mqueue,
/// securityfs, debugfs, tracefs, bpf.
const KERNEL: [u64; 10] = [
    0x9fa0,
    0x6265_6572,
    0x0027_e0eb,
    0x6367_7270,
    0x1cd1,
    0x1980_0202,
    0x7363_6673,
    0x6462_6720,
    0x7472_6163,
    0xcafe_4a11,
];

struct Packer<W: Write> {
    tar: Builder<W>,
    owners: Owners,
    /// Where files with several names were packed.
    links: HashMap<(u64, u64), PathBuf>,
    left_out: Done,
}

/// Packs what `top` has open, under the name `path` gives it.
pub(super) fn pack(top: OwnedFd, path: &Path, owners: Owners, out: impl Write) -> Res<Done> {
    let mut packer =
        Packer { tar: Builder::new(out), owners, links: HashMap::new(), left_out: Vec::new() };
    let name = match path.file_name() {
        Some(name) if !means_contents(path) => PathBuf::from(name),
        _ => PathBuf::from("."),
    };
    let stat = rustix::fs::fstat(&top).doing_with(|| format!("look at {}", path.display()))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind.is_dir() {
        packer.directory(&top, &name, &stat, 0)?;
    } else if name == Path::new(".") {
        return Err(Problem::plain(format!("{} is not a directory", path.display())));
    } else if kind.is_file() {
        packer.file(top, &name, &stat)?;
    } else {
        return Err(Problem::plain(format!(
            "{} is neither a file nor a directory",
            path.display()
        )));
    }
    packer.tar.finish().doing("write the archive")?;
    Ok(packer.left_out)
}

impl<W: Write> Packer<W> {
    fn header(&self, kind: EntryType, stat: &Stat) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(stat.st_mode & 0o7777);
        header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
        let (uid, gid) = match self.owners {
            Owners::Kept => (stat.st_uid, stat.st_gid),
            Owners::Own => (0, 0),
        };
        header.set_uid(uid.into());
        header.set_gid(gid.into());
        header
    }

    fn leave_out(&mut self, path: &Path, why: &str) {
        self.left_out.push(format!("{}: {why}", path.display()));
    }

    fn directory(&mut self, dir: &OwnedFd, path: &Path, stat: &Stat, depth: usize) -> Res<()> {
        if depth > DEEPEST {
            return Err(Problem::plain(format!("{} is too deep", path.display())));
        }
        let mut header = self.header(EntryType::Directory, stat);
        self.tar.append_data(&mut header, path, std::io::empty()).doing("write the archive")?;
        let kind = rustix::fs::fstatfs(dir).map_or(0, |fs| u64::try_from(fs.f_type).unwrap_or(0));
        if KERNEL.contains(&kind) {
            self.leave_out(path, "what the kernel shows there is no file");
            return Ok(());
        }
        let mut names = Vec::new();
        let reading = Dir::read_from(dir).doing_with(|| format!("read {}", path.display()))?;
        for entry in reading {
            let entry = entry.doing_with(|| format!("read {}", path.display()))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        names.sort();
        for name in names {
            self.entry(dir.as_fd(), &name, &path.join(&name), depth + 1)?;
        }
        Ok(())
    }

    fn entry(&mut self, dir: BorrowedFd<'_>, name: &OsStr, path: &Path, depth: usize) -> Res<()> {
        let stat = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            // Both ends are at work: what went away since is not missed.
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            stat => stat.doing_with(|| format!("look at {}", path.display()))?,
        };
        let open = |flags: OFlags| {
            let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
            rustix::fs::openat(dir, name, OFlags::RDONLY | flags, Mode::empty())
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind.is_symlink() {
            let target = match rustix::fs::readlinkat(dir, name, Vec::new()) {
                Ok(target) => target,
                Err(_) => return Ok(()),
            };
            let mut header = self.header(EntryType::Symlink, &stat);
            // As it is, where it fits: what is not normalized may be meant.
            if header.set_link_name_literal(target.to_bytes()).is_ok() {
                let written = self.tar.append_data(&mut header, path, std::io::empty());
                return written.doing("write the archive");
            }
            let target = Path::new(OsStr::from_bytes(target.to_bytes()));
            return self.tar.append_link(&mut header, path, target).doing("write the archive");
        }
        if kind == FileType::Fifo {
            let mut header = self.header(EntryType::Fifo, &stat);
            let written = self.tar.append_data(&mut header, path, std::io::empty());
            return written.doing("write the archive");
        }
        if !kind.is_dir() && !kind.is_file() {
            let what = if kind == FileType::Socket { "a socket" } else { "a device" };
            self.leave_out(path, what);
            return Ok(());
        }
        let opened = match open(if kind.is_dir() { OFlags::DIRECTORY } else { OFlags::empty() }) {
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            opened => opened.doing_with(|| format!("open {}", path.display()))?,
        };
        // It may have been replaced between the two looks.
        let stat =
            rustix::fs::fstat(&opened).doing_with(|| format!("look at {}", path.display()))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind.is_dir() {
            self.directory(&opened, path, &stat, depth)
        } else if kind.is_file() {
            self.file(opened, path, &stat)
        } else {
            self.leave_out(path, "changed while it was read");
            Ok(())
        }
    }

    fn file(&mut self, file: OwnedFd, path: &Path, stat: &Stat) -> Res<()> {
        if stat.st_nlink > 1 {
            let key = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&key).cloned() {
                let mut header = self.header(EntryType::Link, stat);
                return self.tar.append_link(&mut header, path, first).doing("write the archive");
            }
            self.links.insert(key, path.into());
        }
        let mut header = self.header(EntryType::Regular, stat);
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        header.set_size(size);
        let mut exact = Exact { file: file.into(), left: size, short: false };
        self.tar
            .append_data(&mut header, path, &mut exact)
            .doing_with(|| format!("pack {}", path.display()))?;
        if exact.short {
            self.leave_out(path, "became shorter while it was read; the rest is zeros");
        }
        Ok(())
    }
}

/// Exactly as many bytes as were announced, whatever becomes of the file meanwhile.
struct Exact {
    file: File,
    left: u64,
    short: bool,
}

impl Read for Exact {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        if most == 0 {
            return Ok(0);
        }
        let mut got = if self.short { 0 } else { self.file.read(&mut bytes[..most])? };
        if got == 0 {
            self.short = true;
            bytes[..most].fill(0);
            got = most;
        }
        self.left -= got as u64;
        Ok(got)
    }
}
