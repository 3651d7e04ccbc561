//! Waiting for several files, terminals, sockets, clocks.

use super::{Errno, File, Result, c, call};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// What to wait for, and what came: bits of poll(2).
pub const IN: u16 = 1;
/// As above.
pub const OUT: u16 = 4;
/// As above: an error, hung up, no such file.
pub const GONE: u16 = 8 | 16 | 32;

/// A file to wait for.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Poll {
    fd: i32,
    wanted: u16,
    /// What is so.
    pub got: u16,
}

impl Poll {
    /// Waits for what is wanted of a file.
    #[must_use]
    pub fn new(file: &File, wanted: u16) -> Self {
        Self { fd: file.0, wanted, got: 0 }
    }
}

/// Waits until one of them is ready, at most so many milliseconds, or for ever.
pub fn poll(all: &mut [Poll], at_most: Option<u64>) {
    let ms = at_most.map_or(usize::MAX, |ms| ms.min(1 << 30) as usize);
    let _ = call(7, [all.as_mut_ptr() as usize, all.len(), ms]);
}

/// Reads what is there, up to the buffer's length.
///
/// # Errors
/// What the kernel said; [`Errno::AGAIN`] when there is nothing yet.
pub fn read(file: &File, buffer: &mut [u8]) -> Result<usize> {
    call(0, [file.0 as usize, buffer.as_mut_ptr() as usize, buffer.len()])
}

/// Writes what there is room for.
///
/// # Errors
/// What the kernel said; [`Errno::AGAIN`] when there is no room.
pub fn write(file: &File, bytes: &[u8]) -> Result<usize> {
    call(1, [file.0 as usize, bytes.as_ptr() as usize, bytes.len()])
}

/// Whether reading and writing wait, and whether changes are signalled with SIGIO.
///
/// # Errors
/// What the kernel said.
pub fn set_waiting(file: &File, waits: bool, signalled: bool) -> Result<()> {
    const SETFL: usize = 4;
    const SETOWN: usize = 8;
    const ASYNC: usize = 0o20_000;
    if signalled {
        call(72, [file.0 as usize, SETOWN, super::process::id() as usize])?;
    }
    let flags = if waits { 0 } else { super::at::NONBLOCK } | if signalled { ASYNC } else { 0 };
    call(72, [file.0 as usize, SETFL, super::READ_WRITE | flags]).map(drop)
}

/// ioctl(2) with a structure.
///
/// # Errors
/// What the kernel said.
pub fn control<T>(file: &File, request: usize, argument: &T) -> Result<usize> {
    call(16, [file.0 as usize, request, core::ptr::from_ref(argument) as usize])
}

/// ioctl(2) with a structure that the kernel fills in.
///
/// # Errors
/// What the kernel said.
pub fn ask<T>(file: &File, request: usize, answer: &mut T) -> Result<usize> {
    call(16, [file.0 as usize, request, core::ptr::from_mut(answer) as usize])
}

/// A new terminal of this size: the end that shows it, and the end for its programs.
///
/// # Errors
/// What the kernel said.
pub fn terminal(rows: u16, columns: u16) -> Result<(File, File)> {
    const UNLOCK: usize = 0x4004_5431; // TIOCSPTLCK
    const PEER: usize = 0x5441; // TIOCGPTPEER
    let flags = super::READ_WRITE | super::NO_CTTY;
    let shown = super::open("/dev/ptmx", flags | super::at::NONBLOCK)?;
    control(&shown, UNLOCK, &0i32)?;
    let peer = File::from(call(16, [shown.0 as usize, PEER, flags | super::CLOEXEC]))?;
    resize(&shown, rows, columns)?;
    Ok((shown, peer))
}

/// Sets a terminal's size.
///
/// # Errors
/// What the kernel said.
pub fn resize(terminal: &File, rows: u16, columns: u16) -> Result<()> {
    const SIZE: usize = 0x5414; // TIOCSWINSZ
    control(terminal, SIZE, &[rows, columns, 0, 0]).map(drop)
}

const STREAM: usize = 1;
const DATAGRAM: usize = 2;
const RAW: usize = 3;

fn socket(family: usize, kind: usize, protocol: usize) -> Result<File> {
    let flags = super::CLOEXEC | super::at::NONBLOCK;
    File::from(call(41, [family, kind | flags, protocol]))
}

/// A socket that takes datagrams from everybody at a path.
///
/// # Errors
/// What the kernel said.
pub fn datagrams_at(path: &str) -> Result<File> {
    const UNIX: usize = 1;
    let socket = socket(UNIX, DATAGRAM, 0)?;
    let mut address = (UNIX as u16).to_le_bytes().to_vec();
    address.extend(c(path.as_bytes()));
    call(49, [socket.0 as usize, address.as_ptr() as usize, address.len()])?;
    let path = c(path.as_bytes());
    call(90, [path.as_ptr() as usize, 0o666])?;
    Ok(socket)
}

/// A socket to the kernel's routing, whose answers are waited for.
///
/// # Errors
/// What the kernel said.
pub fn routing() -> Result<File> {
    const NETLINK: usize = 16;
    let socket = socket(NETLINK, RAW, 0)?;
    set_waiting(&socket, true, false)?;
    Ok(socket)
}

/// A connection to an address of this machine, whose reads and writes do not wait; at most so many
/// milliseconds, or for ever.
///
/// # Errors
/// What the kernel said.
pub fn connect(address: SocketAddr, at_most: Option<u64>) -> Result<File> {
    const IN_PROGRESS: Errno = Errno(115);
    const TIMED_OUT: Errno = Errno(110);
    let port = address.port().to_be_bytes();
    let (family, raw): (u16, Vec<u8>) = match address.ip() {
        IpAddr::V4(ip) => (2, [&port[..], &ip.octets(), &[0; 8]].concat()),
        IpAddr::V6(ip) => (10, [&port[..], &[0; 4], &ip.octets(), &[0; 4]].concat()),
    };
    let socket = socket(usize::from(family), STREAM, 0)?;
    let raw = [&family.to_le_bytes()[..], &raw].concat();
    match call(42, [socket.0 as usize, raw.as_ptr() as usize, raw.len()]) {
        Err(IN_PROGRESS) => {}
        done => return done.map(|_| socket),
    }
    let mut wait = [Poll::new(&socket, OUT)];
    poll(&mut wait, at_most);
    let (mut error, mut length) = (0i32, 4u32);
    let (error_at, length_at) = (&raw mut error as usize, &raw mut length as usize);
    call(55, [socket.0 as usize, 1, 4, error_at, length_at])?; // SOL_SOCKET, SO_ERROR
    match (wait[0].got, error) {
        (0, _) => Err(TIMED_OUT),
        (_, 0) => Ok(socket),
        (_, error) => Err(Errno(error)),
    }
}

/// Nanoseconds since 1970.
#[must_use]
pub fn clock() -> u64 {
    time_of(0)
}

/// Milliseconds since some time.
#[must_use]
pub fn ticks() -> u64 {
    time_of(1) / 1_000_000
}

fn time_of(clock: usize) -> u64 {
    let mut time = [0u64; 2];
    let _ = call(228, [clock, time.as_mut_ptr() as usize]);
    time[0] * 1_000_000_000 + time[1]
}

/// Sets the wall clock.
///
/// # Errors
/// What the kernel said.
pub fn set_clock(nanoseconds: u64) -> Result<()> {
    let time = [nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000];
    call(227, [0, time.as_ptr() as usize]).map(drop)
}

/// Sets the machine's name.
///
/// # Errors
/// What the kernel said.
pub fn set_hostname(name: &str) -> Result<()> {
    call(170, [name.as_ptr() as usize, name.len()]).map(drop)
}
