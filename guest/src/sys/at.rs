//! Files by the directory they are in. Names are bytes: an image may hold any.

use super::{CLOEXEC, Errno, File, Result, c, call};
use alloc::vec;
use alloc::vec::Vec;

/// Flags of open(2).
pub const WRITE: usize = 1;
/// As above: make it, and refuse what is there.
pub const NEW: usize = 0o300;
/// As above.
pub const NOFOLLOW: usize = 0o400_000;
/// As above.
pub const DIRECTORY: usize = 0o200_000;
/// As above.
pub const PATH: usize = 0o10_000_000;
/// As above.
pub const NONBLOCK: usize = 0o4000;

/// The file type bits of a mode, and the types.
pub const TYPE: u32 = 0o170_000;
/// As above.
pub const TYPE_FILE: u32 = 0o100_000;
/// As above.
pub const TYPE_DIR: u32 = 0o040_000;
/// As above.
pub const TYPE_LINK: u32 = 0o120_000;
/// As above.
pub const TYPE_FIFO: u32 = 0o010_000;
/// As above.
pub const TYPE_SOCKET: u32 = 0o140_000;

const SYMLINK_NOFOLLOW: usize = 0x100;
const EMPTY_PATH: usize = 0x1000;

/// What is known of a file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stat {
    /// File system.
    pub dev: u64,
    /// Number in it.
    pub ino: u64,
    /// Names it has.
    pub links: u64,
    /// Type and permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970 of the last change of its contents.
    pub mtime: i64,
}

/// Opens a name in a directory.
///
/// # Errors
/// What the kernel said.
pub fn open(dir: &File, name: &[u8], flags: usize, mode: u32) -> Result<File> {
    let name = c(name);
    let flags = flags | CLOEXEC;
    File::from(call(257, [dir.0 as usize, name.as_ptr() as usize, flags, mode as usize]))
}

/// Opens a path below a directory; no symlink is followed.
///
/// # Errors
/// What the kernel said.
pub fn open_below(dir: &File, path: &[u8], flags: usize) -> Result<File> {
    const BENEATH: u64 = 8;
    const NO_SYMLINKS: u64 = 4;
    let path = c(path);
    let how = [(flags | CLOEXEC) as u64, 0, BENEATH | NO_SYMLINKS];
    let (path, how) = (path.as_ptr() as usize, (how.as_ptr() as usize, size_of_val(&how)));
    File::from(call(437, [dir.0 as usize, path, how.0, how.1]))
}

fn stat_at(dir: &File, name: &[u8], flags: usize) -> Result<Stat> {
    let name = c(name);
    // struct stat of x86-64.
    let mut raw = [0u64; 18];
    call(262, [dir.0 as usize, name.as_ptr() as usize, raw.as_mut_ptr() as usize, flags])?;
    Ok(Stat {
        dev: raw[0],
        ino: raw[1],
        links: raw[2],
        mode: raw[3] as u32,
        uid: (raw[3] >> 32) as u32,
        gid: raw[4] as u32,
        size: raw[6],
        mtime: raw[11] as i64,
    })
}

/// Of an open file.
///
/// # Errors
/// What the kernel said.
pub fn stat(file: &File) -> Result<Stat> {
    stat_at(file, b"", EMPTY_PATH)
}

/// The kind of file system that a file is on: a number of statfs(2).
///
/// # Errors
/// What the kernel said.
pub fn file_system(file: &File) -> Result<u64> {
    // struct statfs of x86-64.
    let mut raw = [0u64; 15];
    call(138, [file.0 as usize, raw.as_mut_ptr() as usize])?;
    Ok(raw[0])
}

/// Of a name in a directory; of a symlink itself.
///
/// # Errors
/// What the kernel said.
pub fn stat_name(dir: &File, name: &[u8]) -> Result<Stat> {
    stat_at(dir, name, SYMLINK_NOFOLLOW)
}

/// The names in an open directory, in byte order.
///
/// # Errors
/// What the kernel said.
pub fn names(dir: &File) -> Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    let mut buffer = vec![0u8; 4096];
    loop {
        let count = call(217, [dir.0 as usize, buffer.as_mut_ptr() as usize, buffer.len()])?;
        if count == 0 {
            names.sort_unstable();
            return Ok(names);
        }
        // struct linux_dirent64: inode 8, offset 8, record length 2, type 1, name with its zero.
        let mut at = 0;
        while at + 19 <= count {
            let length = usize::from(u16::from_le_bytes([buffer[at + 16], buffer[at + 17]]));
            let name = buffer[at + 19..(at + length).min(count)].split(|b| *b == 0).next();
            if let Some(name) = name.filter(|name| !matches!(*name, b"" | b"." | b"..")) {
                names.push(name.to_vec());
            }
            at += length.max(19);
        }
    }
}

/// Where a symlink leads.
///
/// # Errors
/// What the kernel said.
pub fn read_link(dir: &File, name: &[u8]) -> Result<Vec<u8>> {
    let name = c(name);
    let mut target = vec![0u8; 4096];
    let (name, into) = (name.as_ptr() as usize, target.as_mut_ptr() as usize);
    let length = call(267, [dir.0 as usize, name, into, target.len()])?;
    target.truncate(length);
    Ok(target)
}

/// Makes a directory, unless something of that name is there; whether it did.
///
/// # Errors
/// What the kernel said.
pub fn mkdir(dir: &File, name: &[u8], mode: u32) -> Result<bool> {
    let name = c(name);
    match call(258, [dir.0 as usize, name.as_ptr() as usize, mode as usize]) {
        Ok(_) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives a name in a directory another, in place of what has that.
///
/// # Errors
/// What the kernel said.
pub fn rename(dir: &File, from: &[u8], to: &[u8]) -> Result<()> {
    let (from, to) = (c(from), c(to));
    let (from, to) = (from.as_ptr() as usize, to.as_ptr() as usize);
    call(264, [dir.0 as usize, from, dir.0 as usize, to]).map(drop)
}

/// Removes a name that is no directory; one that is not there is fine.
///
/// # Errors
/// What the kernel said.
pub fn unlink(dir: &File, name: &[u8]) -> Result<()> {
    let name = c(name);
    match call(263, [dir.0 as usize, name.as_ptr() as usize, 0]) {
        Ok(_) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes an empty directory.
///
/// # Errors
/// What the kernel said.
pub fn rmdir(dir: &File, name: &[u8]) -> Result<()> {
    const REMOVE_DIRECTORY: usize = 0x200;
    let name = c(name);
    call(263, [dir.0 as usize, name.as_ptr() as usize, REMOVE_DIRECTORY]).map(drop)
}

/// Another name for an open file.
///
/// # Errors
/// What the kernel said.
pub fn link(file: &File, dir: &File, name: &[u8]) -> Result<()> {
    let (empty, name) = (c(b""), c(name));
    let (empty, name) = (empty.as_ptr() as usize, name.as_ptr() as usize);
    call(265, [file.0 as usize, empty, dir.0 as usize, name, EMPTY_PATH]).map(drop)
}

/// Makes a symlink.
///
/// # Errors
/// What the kernel said.
pub fn symlink(target: &[u8], dir: &File, name: &[u8]) -> Result<()> {
    let (target, name) = (c(target), c(name));
    call(266, [target.as_ptr() as usize, dir.0 as usize, name.as_ptr() as usize]).map(drop)
}

/// Makes a named pipe.
///
/// # Errors
/// What the kernel said.
pub fn mkfifo(dir: &File, name: &[u8], mode: u32) -> Result<()> {
    let name = c(name);
    let mode = (TYPE_FIFO | mode) as usize;
    call(259, [dir.0 as usize, name.as_ptr() as usize, mode, 0]).map(drop)
}

/// Sets the owner of a name, of a symlink itself.
///
/// # Errors
/// What the kernel said.
pub fn chown(dir: &File, name: &[u8], uid: u32, gid: u32) -> Result<()> {
    let name = c(name);
    let (uid, gid) = (uid as usize, gid as usize);
    let flags = SYMLINK_NOFOLLOW | EMPTY_PATH;
    call(260, [dir.0 as usize, name.as_ptr() as usize, uid, gid, flags]).map(drop)
}

/// Sets the permissions of an open file.
///
/// # Errors
/// What the kernel said.
pub fn chmod(file: &File, mode: u32) -> Result<()> {
    call(91, [file.0 as usize, (mode & 0o7777) as usize]).map(drop)
}

/// Sets when a name was last changed, of a symlink itself.
///
/// # Errors
/// What the kernel said.
pub fn set_mtime(dir: &File, name: &[u8], seconds: i64) -> Result<()> {
    let name = c(name);
    let times = [seconds, 0, seconds, 0];
    let (name, times) = (name.as_ptr() as usize, times.as_ptr() as usize);
    call(280, [dir.0 as usize, name, times, SYMLINK_NOFOLLOW]).map(drop)
}
