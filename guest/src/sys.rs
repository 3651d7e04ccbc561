//! The system calls this program makes. A failure is the kernel's error number.

pub mod at;
pub mod io;
pub mod memory;
pub mod process;

use alloc::string::String;
use alloc::vec::Vec;

/// What the kernel said no with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// No such file or directory.
    pub const NOENT: Self = Self(2);
    /// It is there already.
    pub const EXIST: Self = Self(17);
    /// Not yet.
    pub const AGAIN: Self = Self(11);
    /// No such device, or no such kind of file system.
    pub const NODEV: Self = Self(19);
    /// Nothing can be written there.
    pub const ROFS: Self = Self(30);
    /// Something on the way is no directory.
    pub const NOTDIR: Self = Self(20);
    /// A symlink where none may be, or too many of them.
    pub const LOOP: Self = Self(40);
}

impl core::fmt::Display for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let name = match self.0 {
            1 => "not permitted",
            2 => "no such file or directory",
            5 => "input/output error",
            6 | 19 => "no such device",
            8 => "not a program or module of this kernel",
            12 => "out of memory",
            13 => "permission denied",
            15 => "not a block device",
            16 => "busy",
            17 => "it is there already",
            18 => "it leads out of where it should be",
            20 => "not a directory",
            21 => "is a directory",
            24 => "too many open files",
            22 => "invalid argument",
            28 => "no space left",
            30 => "read-only file system",
            40 => "too many symlinks",
            104 => "connection reset",
            110 => "no answer in time",
            111 => "connection refused",
            _ => return write!(f, "error {}", self.0),
        };
        f.write_str(name)
    }
}

/// A result with the kernel's error.
pub type Result<T> = core::result::Result<T, Errno>;

/// An open file, closed when it goes.
#[derive(Debug)]
pub struct File(i32);

impl File {
    fn from(result: Result<usize>) -> Result<Self> {
        result.map(|fd| Self(i32::try_from(fd).unwrap_or(-1)))
    }

    /// Another number for it.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn again(&self) -> Result<Self> {
        const DUPFD_CLOEXEC: usize = 1030;
        Self::from(call(72, [self.0 as usize, DUPFD_CLOEXEC, 0]))
    }

    /// Leaves it open, for [`Self::inherited`] to find by this number.
    #[must_use]
    pub fn keep(self) -> i32 {
        core::mem::ManuallyDrop::new(self).0
    }

    /// The one with this number, which is open and nobody else's.
    #[must_use]
    pub fn inherited(number: i32) -> Self {
        Self(number)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = call(3, [self.0 as usize]);
    }
}

/// Flags of open(2).
pub const READ: usize = 0;
/// As above.
pub const READ_WRITE: usize = 2;
/// As above: a terminal does not become the process's own.
pub const NO_CTTY: usize = 0o400;
const CLOEXEC: usize = 0o2_000_000;

/// Flags of mount(2).
pub const MS_RDONLY: usize = 1;
/// As above.
pub const MS_NOSUID: usize = 2;
/// As above.
pub const MS_NODEV: usize = 4;
/// As above.
pub const MS_NOEXEC: usize = 8;
/// As above.
pub const MS_REMOUNT: usize = 32;
/// As above.
pub const MS_MOVE: usize = 8192;
/// As above: a refusal is not told on the console.
pub const MS_SILENT: usize = 32768;

fn call<const N: usize>(number: usize, arguments: [usize; N]) -> Result<usize> {
    let mut all = [0; 6];
    all[..N].copy_from_slice(&arguments);
    let [a, b, c, d, e, f] = all;
    let result: isize;
    // SAFETY: every caller passes what the call with this number expects; pointers are to memory
    // that lives until the call returns. The kernel changes rcx, r11 and rax.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    usize::try_from(result).map_err(|_| Errno(i32::try_from(-result).unwrap_or(0)))
}

/// With the zero at its end that the kernel wants.
fn c(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.extend(text.iter().take_while(|b| **b != 0));
    bytes.push(0);
    bytes
}

/// Opens a file.
///
/// # Errors
/// What the kernel said.
pub fn open(path: &str, flags: usize) -> Result<File> {
    let path = c(path.as_bytes());
    File::from(call(2, [path.as_ptr() as usize, flags | CLOEXEC, 0]))
}

/// Reads up to `buffer.len()` bytes at `offset`; fewer at the end of the file.
///
/// # Errors
/// What the kernel said.
pub fn read_at(file: &File, buffer: &mut [u8], offset: usize) -> Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        let rest = &mut buffer[done..];
        let arguments = [file.0 as usize, rest.as_mut_ptr() as usize, rest.len(), offset + done];
        match call(17, arguments)? {
            0 => break,
            count => done += count,
        }
    }
    Ok(done)
}

/// Reads a file, or much of it, so that the kernel has it in memory.
pub fn keep_in_memory(path: &str) {
    const MOST: usize = 16 << 20;
    let Ok(file) = open(path, READ | at::NONBLOCK) else { return };
    let (mut piece, mut read) = (alloc::vec![0; 32 << 10], 0);
    while let Ok(count @ 1..) = io::read(&file, &mut piece) {
        read += count;
        if read >= MOST {
            return;
        }
    }
}

/// A whole small file, such as the kernel shows in `/proc`.
///
/// # Errors
/// What the kernel said.
pub fn read(path: &str) -> Result<Vec<u8>> {
    read_all(&open(path, READ)?)
}

/// Everything from where an open file is read on.
///
/// # Errors
/// What the kernel said.
pub fn read_all(file: &File) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut part = [0; 4096];
    loop {
        match io::read(file, &mut part)? {
            0 => return Ok(all),
            count => all.extend_from_slice(&part[..count]),
        }
    }
}

/// Writes all of `bytes`.
///
/// # Errors
/// What the kernel said.
pub fn write(file: &File, bytes: &[u8]) -> Result<()> {
    write_fd(file.0, bytes)
}

fn write_fd(fd: i32, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        let count = call(1, [fd as usize, bytes.as_ptr() as usize, bytes.len()])?;
        bytes = &bytes[count.min(bytes.len())..];
    }
    Ok(())
}

/// Says something where the machine's console is.
pub fn say(text: &str) {
    let _ = write_fd(2, text.as_bytes());
}

/// Makes the console standard input, output and error, where there is one.
pub fn take_console() {
    let path = c(b"/dev/console");
    if let Ok(fd) = call(2, [path.as_ptr() as usize, READ_WRITE | NO_CTTY, 0]) {
        for stream in 0..3 {
            let _ = call(33, [fd, stream]);
        }
        if fd > 2 {
            let _ = call(3, [fd]);
        }
    }
}

/// The names in a directory that are text, in byte order.
///
/// # Errors
/// What the kernel said.
pub fn list(path: &str) -> Result<Vec<String>> {
    let names = at::names(&open(path, at::DIRECTORY)?)?;
    Ok(names.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect())
}

/// Makes a directory; one that is there is fine.
///
/// # Errors
/// What the kernel said.
pub fn mkdir(path: &str) -> Result<()> {
    let path = c(path.as_bytes());
    match call(83, [path.as_ptr() as usize, 0o755]) {
        Ok(_) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a file.
///
/// # Errors
/// What the kernel said.
pub fn unlink(path: &str) -> Result<()> {
    let path = c(path.as_bytes());
    call(87, [path.as_ptr() as usize, 0]).map(drop)
}

/// Whether something is at `path`.
#[must_use]
pub fn exists(path: &str) -> bool {
    let path = c(path.as_bytes());
    call(21, [path.as_ptr() as usize, 0]).is_ok()
}

/// mount(2).
///
/// # Errors
/// What the kernel said.
pub fn mount(source: &str, target: &str, kind: &str, flags: usize, options: &str) -> Result<()> {
    let (source, target, kind, options) =
        (c(source.as_bytes()), c(target.as_bytes()), c(kind.as_bytes()), c(options.as_bytes()));
    let arguments = [
        source.as_ptr() as usize,
        target.as_ptr() as usize,
        kind.as_ptr() as usize,
        flags,
        options.as_ptr() as usize,
    ];
    call(165, arguments).map(drop)
}

/// Unmounts what is mounted at `target`.
///
/// # Errors
/// What the kernel said.
pub fn unmount(target: &str) -> Result<()> {
    let target = c(target.as_bytes());
    call(166, [target.as_ptr() as usize, 0]).map(drop)
}

/// chdir(2).
///
/// # Errors
/// What the kernel said.
pub fn chdir(path: &str) -> Result<()> {
    let path = c(path.as_bytes());
    call(80, [path.as_ptr() as usize, 0]).map(drop)
}

/// chroot(2).
///
/// # Errors
/// What the kernel said.
pub fn chroot(path: &str) -> Result<()> {
    let path = c(path.as_bytes());
    call(161, [path.as_ptr() as usize, 0]).map(drop)
}

/// Loads a kernel module from a file.
///
/// # Errors
/// What the kernel said.
pub fn load_module(file: &File) -> Result<()> {
    call(313, [file.0 as usize, c(b"").as_ptr() as usize, 0]).map(drop)
}

/// An own instance of a file system that is mounted nowhere: its root directory.
///
/// # Errors
/// What the kernel said.
pub fn unseen_mount(kind: &str) -> Result<File> {
    const CREATE: usize = 6;
    let kind = c(kind.as_bytes());
    let file_system = File::from(call(430, [kind.as_ptr() as usize, 1]))?;
    call(431, [file_system.0 as usize, CREATE, 0, 0, 0])?;
    File::from(call(432, [file_system.0 as usize, 1, 0]))
}

/// Waits.
pub fn sleep_ms(ms: u64) {
    let time = [ms / 1000, ms % 1000 * 1_000_000];
    let _ = call(35, [time.as_ptr() as usize, 0]);
}

/// Writes out everything that is dirty.
pub fn sync() {
    let _ = call(162, []);
}

/// Powers the machine off; restarts it where it cannot be.
pub fn power_off() -> ! {
    for command in [0x4321_fedc, 0x0123_4567] {
        let _ = call(169, [0xfee1_dead, 0x2812_1969, command, 0]);
    }
    exit(1)
}

/// Ends this process.
pub fn exit(code: usize) -> ! {
    loop {
        let _ = call(231, [code]);
    }
}
