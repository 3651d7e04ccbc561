//! A virtual machine's link: a tap, whose other end is a descriptor.

use super::port::Port;
use crate::error::{Error, Result};
use crate::sysctl::Settings;
use hc_fs::Lingering;
use hc_spec::Name;
use hc_spec::addr::Place;
use rustix::fs::{Mode, OFlags};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

/// A virtual machine's place in one network.
#[derive(Debug)]
pub struct Tap {
    /// The link's other end: frames with a `virtio_net_hdr` in front. It can be used in any network
    /// namespace, and the link goes with its last copy.
    pub descriptor: OwnedFd,
    /// The machine's address, in a /64.
    pub v6: Ipv6Addr,
    /// Its other address, a /32 behind the gateway.
    pub v4: Ipv4Addr,
    /// Bytes in the largest packet.
    pub mtu: u32,
}

/// Connects a virtual machine to a network of this thread's network namespace: link, routes, filter
/// entries; addresses and routes inside are the machine's own to set. A link that an earlier run left
/// under the same name is replaced. What is given beside takes long to close.
///
/// # Errors
/// When the network is not set up on this host, or the kernel refuses.
pub fn attach_tap(place: &Place<'_>, machine: &Name) -> Result<(Tap, Lingering)> {
    let settings = Settings::fresh();
    let (port, mut lingering) = Port::prepare(place, machine)?;
    let descriptor = create(&port)?;
    port.set_up(&settings)?;
    port.carries()?;
    lingering.join(settings.into());
    let (v6, v4) = (place.v6(machine), place.v4(machine));
    Ok((Tap { descriptor, v6, v4, mtu: port.mtu }, lingering))
}

/// So many links that lead nowhere, in a network namespace that nobody else has: for a virtual machine
/// that is to have such devices before it is on any network.
///
/// # Errors
/// When the kernel refuses.
pub fn loose_taps(count: usize) -> Result<Vec<OwnedFd>> {
    let make = || -> io::Result<Vec<OwnedFd>> {
        // SAFETY: this thread shares its network namespace with nobody who could miss it: it ends here.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }?;
        (0..count).map(|index| open(&format!("hc-loose{index}"))).collect()
    };
    let made = std::thread::scope(|scope| scope.spawn(make).join());
    let refused = |source| failed("hc-loose", source);
    made.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())).map_err(refused)
}

fn create(port: &Port<'_>) -> Result<OwnedFd> {
    let link = port.link();
    let mut leftover = false;
    loop {
        match open(&link) {
            Ok(tap) => return Ok(tap),
            // What a killed supervisor left is another kind of link, or still held by a process
            // that is just ending.
            Err(error) if is_taken(&error) => {
                if port.put_aside()?.is_none() && leftover {
                    return Err(failed(&link, error));
                }
                leftover = true;
            }
            Err(error) => return Err(failed(&link, error)),
        }
    }
}

/// EBUSY: somebody has this tap; EEXIST, EINVAL: the name is another kind of link's (tun_set_iff).
fn is_taken(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST | libc::EINVAL))
}

fn failed(link: &str, source: io::Error) -> Error {
    Error::Link { action: "create the link", what: link.into(), source }
}

/// A tap of this name: made, or one without an owner taken over.
fn open(name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let tap = rustix::fs::open("/dev/net/tun", flags, Mode::empty())?;
    set_kind(&tap, name)?;
    Ok(tap)
}

/// Makes it a tap of this name with a `virtio_net_hdr` in front of each frame.
pub(super) fn set_kind(tap: &OwnedFd, name: &str) -> io::Result<()> {
    // SAFETY: an ifreq is plain numbers and bytes.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    let kind = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    request.ifr_ifru.ifru_flags = kind as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes an ifreq, which this is.
    let made = unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if made < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The name of the link whose other end a descriptor is, of a tap or macvtap; none when it is gone.
pub(super) fn name(tap: &OwnedFd) -> Option<String> {
    // SAFETY: an ifreq is plain numbers and bytes.
    let mut about: libc::ifreq = unsafe { std::mem::zeroed() };
    // SAFETY: TUNGETIFF writes an ifreq, which this is.
    let told = unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNGETIFF, &raw mut about) };
    let bytes = about.ifr_name.map(libc::c_char::cast_unsigned);
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    (told == 0).then(|| String::from_utf8_lossy(name).into_owned())
}
