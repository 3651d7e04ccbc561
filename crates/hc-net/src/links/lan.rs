//! A machine's own link onto a wire of its host: a macvlan of the host's link there, a macvtap for a
//! virtual machine. None of it is left on the host: the first lies in the machine's network namespace,
//! the second in one that goes with its descriptor.

use super::attach::inside;
use super::{CHANGE, add_address};
use crate::error::{Error, Result};
use crate::netlink::{self, Netlink, is, link_error};
use crate::sysctl;
use hc_spec::addr::{CLOUD_V4, CLOUD_V6, Place};
use hc_spec::lan::Foot;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, MacVlanMode, MacVtapMode};
use netlink_packet_route::route::RouteMessage;
use rtnetlink::{LinkMacVlan, LinkMacVtap, LinkMessageBuilder, LinkUnspec, RouteMessageBuilder};
use rustix::fs::{Dev, FileType, Mode, OFlags};
use rustix::thread::UnshareFlags;
use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long a namespace may take to go: on a busy host each of the kernel's grace periods takes a while.
const GOING: Duration = Duration::from_secs(30);

/// Connects a machine's network namespace to a wire: link, addresses, routes. `first` is the machine's
/// first network, whose host stays the way to the rest of the cloud.
///
/// # Errors
/// When the host has no such link, or the kernel refuses.
pub async fn attach_lan(
    netns: BorrowedFd<'_>,
    foot: &Foot<'_>,
    first: Option<&Place<'_>>,
) -> Result<()> {
    let outside = Netlink::here()?;
    let parent = parent(&outside, foot).await?.header.index;
    let ifname = foot.ifname();
    let link = LinkMessageBuilder::<LinkMacVlan>::new(&ifname)
        .link(parent)
        .mode(MacVlanMode::Bridge)
        .address(foot.mac.0.to_vec())
        .setns_by_fd(netns.as_raw_fd());
    make(&outside, link.build(), foot).await?;
    let within = inside(netns, || {
        listens(&ifname);
        netlink::socket()
    })?;
    set_up(&Netlink::over(within), foot, first).await
}

/// The host's end of what is on a wire: the host's link.
async fn parent(netlink: &Netlink, foot: &Foot<'_>) -> Result<LinkMessage> {
    let found = netlink.link(foot.parent).await?;
    found.ok_or_else(|| Error::NoParent { link: foot.parent.into() })
}

async fn make(netlink: &Netlink, link: LinkMessage, foot: &Foot<'_>) -> Result<()> {
    let add = || netlink.handle.link().add(link.clone()).execute();
    let made = when_free(add).await;
    made.map_err(|error| match error {
        // It is a bridge's port, carries macvlans of another mode, or is no Ethernet.
        error if is(&error, libc::EBUSY) || is(&error, libc::EINVAL) => {
            Error::ParentTaken { link: foot.parent.into(), source: netlink::to_io(error) }
        }
        error => {
            link_error("create the link", format!("{} on {}", foot.ifname(), foot.parent))(error)
        }
    })
}

/// Whoever had the address a moment ago, the machine before it was started again, goes with its
/// namespace, and that takes the kernel a while.
async fn when_free<F>(ask: impl Fn() -> F) -> std::result::Result<(), rtnetlink::Error>
where
    F: Future<Output = std::result::Result<(), rtnetlink::Error>>,
{
    let until = Instant::now() + GOING;
    loop {
        match ask().await {
            Err(error) if is(&error, libc::EADDRINUSE) && Instant::now() < until => {
                // Not tokio's: the caller's runtime may have no timer.
                std::thread::sleep(Duration::from_millis(2));
            }
            other => return other,
        }
    }
}

/// Its routers are heard, and others asked whether an address that follows from that is free: it is
/// not hc's wire. Their way to everybody is better than the host's. A kernel may be without IPv6, and
/// before 5.12 without the last.
fn listens(ifname: &str) {
    for (setting, value) in [("accept_ra", "1"), ("accept_dad", "1"), ("ra_defrtr_metric", "512")] {
        let _ = sysctl::set(&format!("ipv6/conf/{ifname}/{setting}"), value);
    }
}

async fn set_up(netlink: &Netlink, foot: &Foot<'_>, first: Option<&Place<'_>>) -> Result<()> {
    let ifname = foot.ifname();
    let index = index(netlink, &ifname).await?;
    let up = LinkMessageBuilder::<LinkUnspec>::new().index(index).up().build();
    let change = || netlink.handle.link().change(up.clone()).set_flags(CHANGE).execute();
    when_free(change).await.map_err(link_error("set up", &ifname))?;
    for address in &foot.lan.addresses {
        // Whoever wrote it down knows that it is free: it can be used at once.
        add_address(netlink, index, address.addr(), address.prefix_len(), &ifname).await?;
    }
    let mut ways = Vec::new();
    if let Some(first) = first {
        let eth0 = self::index(netlink, "eth0").await?;
        ways.push(v4(CLOUD_V4, first.gateway_v4(), eth0));
        ways.push(v6(CLOUD_V6, first.gateway(), eth0));
    }
    ways.extend(foot.lan.gateways.iter().map(|gateway| match gateway {
        IpAddr::V4(gateway) => v4((Ipv4Addr::UNSPECIFIED, 0), *gateway, index),
        IpAddr::V6(gateway) => v6((Ipv6Addr::UNSPECIFIED, 0), *gateway, index),
    }));
    for way in ways {
        let added = netlink.handle.route().add(way).replace().execute().await;
        added.map_err(link_error("add routes of the machine besides", &ifname))?;
    }
    Ok(())
}

async fn index(netlink: &Netlink, ifname: &str) -> Result<u32> {
    netlink.index(ifname).await?.ok_or_else(|| Error::Link {
        action: "find",
        what: ifname.into(),
        source: io::Error::from_raw_os_error(libc::ENODEV),
    })
}

fn v4(to: (Ipv4Addr, u8), gateway: Ipv4Addr, link: u32) -> RouteMessage {
    let way = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(to.0, to.1);
    way.output_interface(link).gateway(gateway).onlink().build()
}

fn v6(to: (Ipv6Addr, u8), gateway: Ipv6Addr, link: u32) -> RouteMessage {
    let way = RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(to.0, to.1);
    way.output_interface(link).gateway(gateway).build()
}

/// A virtual machine's place on a wire.
#[derive(Debug)]
pub struct LanTap {
    /// The link's other end: frames with a `virtio_net_hdr` in front. The link goes with its last copy.
    pub descriptor: OwnedFd,
    /// Bytes in the largest packet.
    pub mtu: u32,
}

/// Connects a virtual machine to a wire; addresses and routes are the machine's own to set.
///
/// # Errors
/// As [`attach_lan`].
pub async fn attach_lan_tap(foot: &Foot<'_>) -> Result<LanTap> {
    let outside = Netlink::here()?;
    let parent = parent(&outside, foot).await?;
    let mtu = parent.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Mtu(mtu) => Some(*mtu),
        _ => None,
    });
    let link = |netns: BorrowedFd<'_>| {
        LinkMessageBuilder::<LinkMacVtap>::new(&foot.ifname())
            .link(parent.header.index)
            .mode(MacVtapMode::Bridge)
            .address(foot.mac.0.to_vec())
            .setns_by_fd(netns.as_raw_fd())
            .up()
            .build()
    };
    let failed = |source| Error::Link {
        action: "make the link of a virtual machine onto",
        what: foot.parent.into(),
        source,
    };
    // Two threads, as a namespace belongs to one: this one talks to the kernel about the host's link,
    // the other lives where the new one is, and its descriptor holds that namespace.
    let (netns_to, netns) = std::sync::mpsc::channel();
    let (go_to, go) = std::sync::mpsc::channel();
    let ifname = foot.ifname();
    let thread = std::thread::Builder::new().name("hc-macvtap".into()).spawn(move || {
        netns_to.send(alone()).ok();
        go.recv().map_err(io::Error::other)?;
        open(&ifname)
    });
    let thread = thread.map_err(failed)?;
    let netns = netns.recv().map_err(io::Error::other).flatten().map_err(failed)?;
    make(&outside, link(netns.as_fd()), foot).await?;
    go_to.send(()).ok();
    let opened = thread.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
    Ok(LanTap { descriptor: opened.map_err(failed)?, mtu: mtu.unwrap_or(1500) })
}

/// Takes the calling thread into a network namespace that nobody else has, where `/sys` shows it.
fn alone() -> io::Result<OwnedFd> {
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
    // SAFETY: this thread shares neither mounts nor network with one that could miss them: it ends soon.
    unsafe {
        rustix::thread::unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS)?;
    }
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private)?;
    mount("sysfs", "/sys", "sysfs", MountFlags::empty(), None::<&CStr>)?;
    // The host is not on that wire a second time.
    let _ = sysctl::set("ipv6/conf/default/disable_ipv6", "1");
    let netns = rustix::fs::open("/proc/thread-self/ns/net", OFlags::CLOEXEC, Mode::empty())?;
    Ok(netns)
}

/// The device of a macvtap of this thread's namespace. Its number is in `/sys` alone: what is called
/// `/dev/tap` and a number is told apart by the number of a link in no particular namespace.
fn open(ifname: &str) -> io::Result<OwnedFd> {
    let wrong = || io::Error::other("it has no device");
    let of = format!("/sys/class/net/{ifname}/macvtap");
    let device = std::fs::read_dir(of)?.next().ok_or_else(wrong)??;
    let number = std::fs::read_to_string(device.path().join("dev"))?;
    let (major, minor) = number.trim().split_once(':').ok_or_else(wrong)?;
    let part = |text: &str| text.parse::<u32>().map_err(io::Error::other);
    let number: Dev = rustix::fs::makedev(part(major)?, part(minor)?);
    // In memory of this thread's mounts: no name of it is ever seen.
    use rustix::mount::{MountFlags, mount};
    mount("tmpfs", "/sys", "tmpfs", MountFlags::empty(), None::<&CStr>)?;
    rustix::fs::mknodat(
        rustix::fs::CWD,
        "/sys/tap",
        FileType::CharacterDevice,
        Mode::RUSR,
        number,
    )?;
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let tap = rustix::fs::open("/sys/tap", flags, Mode::empty())?;
    super::tap::set_kind(&tap, ifname)?;
    Ok(tap)
}
