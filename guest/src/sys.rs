//! The system calls this program makes. A failure is the kernel's error number.

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
            20 => "not a directory",
            22 => "invalid argument",
            28 => "no space left",
            30 => "read-only file system",
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

impl Drop for File {
    fn drop(&mut self) {
        let _ = call(3, [self.0 as usize, 0, 0, 0, 0]);
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

fn call(number: usize, arguments: [usize; 5]) -> Result<usize> {
    let [a, b, c, d, e] = arguments;
    let result: isize;
    // SAFETY: every caller passes what the call with this number expects; pointers are to memory
    // that lives until the call returns. The kernel changes rcx, r11 and rax.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    usize::try_from(result).map_err(|_| Errno(i32::try_from(-result).unwrap_or(0)))
}

/// With the zero at its end that the kernel wants.
fn c(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.extend(text.bytes().take_while(|b| *b != 0));
    bytes.push(0);
    bytes
}

/// Opens a file.
///
/// # Errors
/// What the kernel said.
pub fn open(path: &str, flags: usize) -> Result<File> {
    let path = c(path);
    let fd = call(2, [path.as_ptr() as usize, flags | CLOEXEC, 0, 0, 0])?;
    Ok(File(i32::try_from(fd).unwrap_or(-1)))
}

/// Reads up to `buffer.len()` bytes at `offset`; fewer at the end of the file.
///
/// # Errors
/// What the kernel said.
pub fn read_at(file: &File, buffer: &mut [u8], offset: usize) -> Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        let rest = &mut buffer[done..];
        let arguments = [file.0 as usize, rest.as_mut_ptr() as usize, rest.len(), offset + done, 0];
        match call(17, arguments)? {
            0 => break,
            count => done += count,
        }
    }
    Ok(done)
}

/// A whole small file, such as the kernel shows in `/proc`.
///
/// # Errors
/// What the kernel said.
pub fn read(path: &str) -> Result<Vec<u8>> {
    let file = open(path, READ)?;
    let mut all = Vec::new();
    let mut part = [0; 4096];
    loop {
        let arguments = [file.0 as usize, part.as_mut_ptr() as usize, part.len(), 0, 0];
        match call(0, arguments)? {
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
        let count = call(1, [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0])?;
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
    let path = c("/dev/console");
    if let Ok(fd) = call(2, [path.as_ptr() as usize, READ_WRITE | NO_CTTY, 0, 0, 0]) {
        for stream in 0..3 {
            let _ = call(33, [fd, stream, 0, 0, 0]);
        }
        if fd > 2 {
            let _ = call(3, [fd, 0, 0, 0, 0]);
        }
    }
}

/// The names in a directory, in byte order.
///
/// # Errors
/// What the kernel said.
pub fn list(path: &str) -> Result<Vec<String>> {
    let dir = open(path, 0o200_000)?;
    let mut names = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        let arguments = [dir.0 as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0];
        let count = call(217, arguments)?;
        if count == 0 {
            names.sort_unstable();
            return Ok(names);
        }
        // struct linux_dirent64: inode 8, offset 8, record length 2, type 1, name with its zero.
        let mut at = 0;
        while at + 19 <= count {
            let length = usize::from(u16::from_le_bytes([buffer[at + 16], buffer[at + 17]]));
            let name = buffer[at + 19..(at + length).min(count)].split(|b| *b == 0).next();
            let name = name.and_then(|name| core::str::from_utf8(name).ok()).unwrap_or("");
            if !matches!(name, "" | "." | "..") {
                names.push(name.into());
            }
            at += length.max(19);
        }
    }
}

/// Makes a directory; one that is there is fine.
///
/// # Errors
/// What the kernel said.
pub fn mkdir(path: &str) -> Result<()> {
    let path = c(path);
    match call(83, [path.as_ptr() as usize, 0o755, 0, 0, 0]) {
        Ok(_) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a file.
///
/// # Errors
/// What the kernel said.
pub fn unlink(path: &str) -> Result<()> {
    let path = c(path);
    call(87, [path.as_ptr() as usize, 0, 0, 0, 0]).map(drop)
}

/// Whether something is at `path`.
#[must_use]
pub fn exists(path: &str) -> bool {
    let path = c(path);
    call(21, [path.as_ptr() as usize, 0, 0, 0, 0]).is_ok()
}

/// mount(2).
///
/// # Errors
/// What the kernel said.
pub fn mount(source: &str, target: &str, kind: &str, flags: usize, options: &str) -> Result<()> {
    let (source, target, kind, options) = (c(source), c(target), c(kind), c(options));
    let arguments = [
        source.as_ptr() as usize,
        target.as_ptr() as usize,
        kind.as_ptr() as usize,
        flags,
        options.as_ptr() as usize,
    ];
    call(165, arguments).map(drop)
}

/// chdir(2).
///
/// # Errors
/// What the kernel said.
pub fn chdir(path: &str) -> Result<()> {
    let path = c(path);
    call(80, [path.as_ptr() as usize, 0, 0, 0, 0]).map(drop)
}

/// chroot(2).
///
/// # Errors
/// What the kernel said.
pub fn chroot(path: &str) -> Result<()> {
    let path = c(path);
    call(161, [path.as_ptr() as usize, 0, 0, 0, 0]).map(drop)
}

/// Loads a kernel module from a file.
///
/// # Errors
/// What the kernel said.
pub fn load_module(file: &File) -> Result<()> {
    call(313, [file.0 as usize, c("").as_ptr() as usize, 0, 0, 0]).map(drop)
}

/// Becomes another program; comes back only when it cannot.
#[must_use]
pub fn exec(program: &str, arguments: &[String], environment: &[&str]) -> Errno {
    let texts = |list: &mut dyn Iterator<Item = &str>| list.map(c).collect::<Vec<_>>();
    let pointers = |list: &[Vec<u8>]| {
        list.iter().map(|t| t.as_ptr() as usize).chain([0]).collect::<Vec<usize>>()
    };
    let arguments = texts(&mut arguments.iter().map(String::as_str));
    let environment = texts(&mut environment.iter().copied());
    let (arguments_at, environment_at) = (pointers(&arguments), pointers(&environment));
    let program = c(program);
    let all = [
        program.as_ptr() as usize,
        arguments_at.as_ptr() as usize,
        environment_at.as_ptr() as usize,
        0,
        0,
    ];
    call(59, all).err().unwrap_or(Errno(0))
}

/// A copy of this process: its number, or nothing in the copy itself.
///
/// # Errors
/// What the kernel said.
pub fn fork() -> Result<Option<i32>> {
    let child = call(57, [0; 5])?;
    Ok((child != 0).then(|| i32::try_from(child).unwrap_or(i32::MAX)))
}

/// A session of its own, with the terminal on standard input.
pub fn own_terminal() {
    let _ = call(112, [0; 5]);
    let _ = call(16, [0, 0x540e, 1, 0, 0]); // TIOCSCTTY
}

/// Waits for any child: its number and the status of wait(2).
///
/// # Errors
/// When there is none.
pub fn wait() -> Result<(i32, i32)> {
    let mut status = 0i32;
    let child = call(61, [usize::MAX, &raw mut status as usize, 0, 0, 0])?;
    Ok((i32::try_from(child).unwrap_or(0), status))
}

/// Sends a signal to every process but this.
pub fn kill_all(signal: usize) {
    let _ = call(62, [usize::MAX, signal, 0, 0, 0]);
}

/// Waits.
pub fn sleep_ms(ms: u64) {
    let time = [ms / 1000, ms % 1000 * 1_000_000];
    let _ = call(35, [time.as_ptr() as usize, 0, 0, 0, 0]);
}

/// Writes out everything that is dirty.
pub fn sync() {
    let _ = call(162, [0; 5]);
}

/// Powers the machine off; restarts it where it cannot be.
pub fn power_off() -> ! {
    for command in [0x4321_fedc, 0x0123_4567] {
        let _ = call(169, [0xfee1_dead, 0x2812_1969, command, 0, 0]);
    }
    exit(1)
}

/// Ends this process.
pub fn exit(code: usize) -> ! {
    loop {
        let _ = call(231, [code, 0, 0, 0, 0]);
    }
}
