//! A TUN device: packets as a file (Documentation/networking/tuntap.rst).

use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use tokio::io::unix::AsyncFd;

/// `TUNSETIFF` of `linux/if_tun.h`.
const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
const IFF_TUN: i16 = 1;
const IFF_NO_PI: i16 = 0x1000;

/// `struct ifreq`, as far as TUNSETIFF reads it.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    flags: i16,
    rest: [u8; 22],
}

/// One device; it is gone when this is dropped.
pub(super) struct Device(File);

/// A [`Device`] that tells when there is something to read.
pub(super) struct Watched(AsyncFd<File>);

impl Device {
    pub(super) fn open(name: &str) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open("/dev/net/tun", flags, Mode::empty())?);
        let mut request = Request { name: [0; 16], flags: IFF_TUN | IFF_NO_PI, rest: [0; 22] };
        request.name[..name.len().min(15)].copy_from_slice(&name.as_bytes()[..name.len().min(15)]);
        // SAFETY: the pointer is to a structure as large as the kernel's `struct ifreq`.
        let made = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) };
        if made < 0 { Err(io::Error::last_os_error()) } else { Ok(Self(file)) }
    }

    pub(super) fn watched(self) -> io::Result<Watched> {
        // SAFETY: the file is owned by what is made here, never replaced, and closed with it.
        unsafe { AsyncFd::register(self.0) }.map(Watched).map_err(Into::into)
    }
}

impl Watched {
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(read) = ready.try_io(|file| file.get_ref().read(buffer)) {
                return read;
            }
        }
    }

    pub(super) async fn write(&self, packet: &[u8]) -> io::Result<()> {
        loop {
            let mut ready = self.0.writable().await?;
            match ready.try_io(|file| file.get_ref().write(packet)) {
                Ok(Ok(_)) => return Ok(()),
                // A packet the kernel does not want, or a device that is not up yet, is no fault.
                Ok(Err(error))
                    if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EIO)) =>
                {
                    return Ok(());
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => {}
            }
        }
    }
}
