//! From a tree to a stream.

use super::header::{BLOCK, Entry, Kind};
use crate::sys::{self, Errno, File, at, io};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

const PIECE: usize = 64 << 10;
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

struct Packer<'a> {
    out: &'a mut File,
    /// Files with several names, in order, and the name they went under.
    linked: Vec<((u64, u64), Vec<u8>)>,
    buffer: Vec<u8>,
}

/// Writes what `top` is; its entry has the last part of `path` as its name.
pub(super) fn tree(top: &File, path: &str, out: &mut File) -> Result<(), String> {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or("");
    let name = if matches!(name, "" | "." | "..") { "." } else { name };
    let wrong = |error: Errno| format!("cannot read {path}: {error}");
    let stat = at::stat(top).map_err(wrong)?;
    let mut packer = Packer { out, linked: Vec::new(), buffer: vec![0; PIECE] };
    // What was followed to get there is not followed again.
    let again = |flags| sys::open(path, flags);
    match stat.mode & at::TYPE {
        at::TYPE_DIR => {
            let dir = at::open(top, b".", at::DIRECTORY, 0).map_err(wrong)?;
            packer.directory(&dir, name.as_bytes(), &stat)?;
        }
        at::TYPE_FILE => packer.file(&again(sys::READ).map_err(wrong)?, name.as_bytes(), &stat)?,
        _ => return Err(format!("{path} is neither a file nor a directory")),
    }
    packer.write(&[0; 2 * BLOCK])
}

impl Packer<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        sys::write(self.out, bytes).map_err(|error| format!("cannot write the stream: {error}"))
    }

    fn directory(&mut self, dir: &File, name: &[u8], stat: &at::Stat) -> Result<(), String> {
        let slash = [name, b"/"].concat();
        self.write(&entry(&slash, Kind::Directory, stat).header())?;
        if at::file_system(dir).is_ok_and(|kind| KERNEL.contains(&kind)) {
            leave_out(name, "what the kernel shows there is no file");
            return Ok(());
        }
        let wrong = |name: &[u8], error| {
            let name = String::from_utf8_lossy(name).into_owned();
            move |e: Errno| format!("cannot {error} {name}: {e}")
        };
        for child in at::names(dir).map_err(wrong(name, "list"))? {
            let path = [name, b"/", &child].concat();
            let stat = match at::stat_name(dir, &child) {
                // Gone since it was listed.
                Err(Errno::NOENT) => continue,
                stat => stat.map_err(wrong(&path, "look at"))?,
            };
            if self.hard_link(&path, &stat)? {
                continue;
            }
            let opened = |flags| match at::open(dir, &child, flags | at::NOFOLLOW, 0) {
                Err(Errno::NOENT) => Ok(None),
                opened => opened.map(Some).map_err(wrong(&path, "open")),
            };
            match stat.mode & at::TYPE {
                at::TYPE_DIR => {
                    if let Some(dir) = opened(at::DIRECTORY)? {
                        self.directory(&dir, &path, &stat)?;
                    }
                }
                at::TYPE_FILE => {
                    if let Some(file) = opened(sys::READ | at::NONBLOCK)? {
                        let stat = at::stat(&file).map_err(wrong(&path, "look at"))?;
                        self.file(&file, &path, &stat)?;
                    }
                }
                at::TYPE_LINK => {
                    let link = at::read_link(dir, &child).map_err(wrong(&path, "read"))?;
                    let entry = Entry { link, ..entry(&path, Kind::Symlink, &stat) };
                    self.write(&entry.header())?;
                }
                at::TYPE_FIFO => self.write(&entry(&path, Kind::Fifo, &stat).header())?,
                at::TYPE_SOCKET => leave_out(&path, "a socket"),
                _ => leave_out(&path, "a device"),
            }
        }
        Ok(())
    }

    fn hard_link(&mut self, path: &[u8], stat: &at::Stat) -> Result<bool, String> {
        if stat.links < 2 || !matches!(stat.mode & at::TYPE, at::TYPE_FILE | at::TYPE_LINK) {
            return Ok(false);
        }
        match self.linked.binary_search_by_key(&(stat.dev, stat.ino), |(key, _)| *key) {
            Ok(index) => {
                let link = self.linked[index].1.clone();
                let entry = Entry { link, ..entry(path, Kind::HardLink, stat) };
                self.write(&entry.header())?;
                Ok(true)
            }
            Err(index) => {
                self.linked.insert(index, ((stat.dev, stat.ino), path.to_vec()));
                Ok(false)
            }
        }
    }

    /// As many bytes as the header says, whatever happens to the file meanwhile.
    fn file(&mut self, file: &File, name: &[u8], stat: &at::Stat) -> Result<(), String> {
        let entry = Entry { size: stat.size, ..entry(name, Kind::File, stat) };
        self.write(&entry.header())?;
        let mut left = stat.size;
        while left > 0 {
            let most = left.min(PIECE as u64) as usize;
            let count = io::read(file, &mut self.buffer[..most]).map_err(|error| {
                format!("cannot read {}: {error}", String::from_utf8_lossy(name))
            })?;
            let count = if count == 0 {
                self.buffer[..most].fill(0);
                most
            } else {
                count
            };
            sys::write(self.out, &self.buffer[..count])
                .map_err(|error| format!("cannot write the stream: {error}"))?;
            left -= count as u64;
        }
        let padding = stat.size.next_multiple_of(BLOCK as u64) - stat.size;
        self.write(&[0; BLOCK][..padding as usize])
    }
}

/// Said on standard error, a line each.
fn leave_out(name: &[u8], why: &str) {
    sys::say(&format!("{}: {why}\n", String::from_utf8_lossy(name)));
}

fn entry(name: &[u8], kind: Kind, stat: &at::Stat) -> Entry {
    Entry {
        name: name.to_vec(),
        kind,
        link: Vec::new(),
        mode: stat.mode & 0o7777,
        uid: stat.uid,
        gid: stat.gid,
        size: 0,
        mtime: stat.mtime,
    }
}
