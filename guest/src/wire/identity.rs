//! Who a machine is, and what runs in it.

use super::WireError;
use super::fields::{Body, Field, structure};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

/// Everything that makes one machine of a kernel and a root file system. Applied before anything of
/// the image runs; in a machine that was saved, before it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The kernel's host name and `/etc/hostname`.
    pub hostname: String,
    /// `/etc/machine-id`.
    pub machine_id: [u8; 16],
    /// Text of `/etc/hosts`; left as it is when absent.
    pub hosts: Option<String>,
    /// Text of `/etc/resolv.conf`; left as it is when absent.
    pub resolver: Option<String>,
    /// Network interfaces that the host knows of.
    pub interfaces: Vec<Interface>,
    /// Routes, once every interface is up.
    pub routes: Vec<Route>,
    /// Files laid over the root.
    pub files: Vec<LaidFile>,
    /// What the kernel's random numbers are seeded with, credited in full: at least 32 bytes.
    pub entropy: Vec<u8>,
    /// Nanoseconds since 1970.
    pub clock: u64,
    /// What runs. In a machine whose payload runs already this changes nothing.
    pub payload: Payload,
    /// When it counts as ready.
    pub readiness: Readiness,
    /// What is mounted in the root before files are laid, in this order. Later identities of the same
    /// machine change nothing of it.
    pub mounts: Vec<Mount>,
}
structure!(Identity {
    hostname,
    machine_id,
    hosts,
    resolver,
    interfaces,
    routes,
    files,
    entropy,
    clock,
    payload,
    readiness,
    mounts,
});

/// Something that is mounted in the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Absolute path; directories that lack are made.
    pub path: String,
    /// What.
    pub what: Mounted,
}
structure!(Mount { path, what });

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mounted {
    /// A disk with a file system, which is made as large as the disk if that is possible.
    Disk {
        /// Serial number that the virtual machine gives it.
        serial: String,
        /// Whether nothing is written to it.
        read_only: bool,
    },
    /// Memory.
    Memory {
        /// The most bytes; half of the machine's memory when absent.
        size: Option<u64>,
        /// Permission bits.
        mode: u32,
    },
}

impl Field for Mounted {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Disk { serial, read_only } => {
                0u8.put(out);
                serial.put(out);
                read_only.put(out);
            }
            Self::Memory { size, mode } => {
                1u8.put(out);
                size.put(out);
                mode.put(out);
            }
        }
    }
    fn take(body: &mut Body<'_>) -> Result<Self, WireError> {
        match u8::take(body)? {
            0 => Ok(Self::Disk { serial: Field::take(body)?, read_only: Field::take(body)? }),
            1 => Ok(Self::Memory { size: Field::take(body)?, mode: Field::take(body)? }),
            _ => Err(body.damaged()),
        }
    }
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interface {
    /// The MAC of the device: how it is found.
    pub device: [u8; 6],
    /// The MAC it is to have. Another one than the device's in a copy of a saved machine.
    pub mac: [u8; 6],
    /// What it is called, as `eth0`.
    pub name: String,
    /// Bytes of the longest packet; left as it is when absent.
    pub mtu: Option<u32>,
    /// Its addresses; others that it has are taken from it.
    pub addresses: Vec<Address>,
    /// Who is on its link and need not be asked for. Where there is nobody, routers are heard: their
    /// advertisements give it addresses and routes besides.
    pub neighbours: Vec<Neighbour>,
}
structure!(Interface { device, mac, name, mtu, addresses, neighbours });

/// An address and the length of its network's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Bits of it that are the network's.
    pub prefix: u8,
}
structure!(Address { ip, prefix });

/// A permanent entry of the neighbour table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// Its address.
    pub ip: IpAddr,
    /// Its MAC.
    pub mac: [u8; 6],
}
structure!(Neighbour { ip, mac });

/// A route. One to an IPv4 gateway takes it to be on the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where to; `::/0` and `0.0.0.0/0` are everything else.
    pub to: Address,
    /// The gateway; absent when it is on the link.
    pub via: Option<IpAddr>,
    /// Name of the interface.
    pub interface: String,
}
structure!(Route { to, via, interface });

/// A regular file. Directories that lack are made; what is in its place is replaced, unless that is a
/// directory; symlinks on the way are followed as the machine would.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LaidFile {
    /// Absolute path in the root.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Number of its owner.
    pub uid: u32,
    /// Number of its group.
    pub gid: u32,
    /// Its bytes.
    pub contents: Vec<u8>,
}
structure!(LaidFile { path, mode, uid, gid, contents });

/// What runs in the machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Payload {
    /// Whether it becomes process 1, and the console its standard streams. Without: it is a child of
    /// hc's process 1, its streams are session 0, and the machine powers off when it ends.
    pub init: bool,
    /// Program and arguments; a program without `/` is looked for in `PATH`. Empty: with `init` what
    /// the image has as its init, without it nothing runs until the machine is stopped.
    pub command: Vec<String>,
    /// Environment, beside `PATH` and `HOME`. Sessions have it too.
    pub environment: Vec<(String, String)>,
    /// User name or number, with `:` and a group or not; absent: root.
    pub user: Option<String>,
    /// Working directory; absent: `/`.
    pub directory: Option<String>,
    /// The signal that `Stop` sends it.
    pub stop_signal: u8,
    /// Size of its terminal, when it is to have one.
    pub terminal: Option<Size>,
    /// Whether its standard input is what the host sends to session 0; without it has none.
    pub input: bool,
}
structure!(Payload { init, command, environment, user, directory, stop_signal, terminal, input });

/// When a payload counts as ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Readiness {
    /// It was executed.
    #[default]
    Started,
    /// It said `READY=1` on `NOTIFY_SOCKET`.
    Notify,
    /// Somebody accepts connections to this TCP port of `::1` or `127.0.0.1`.
    Tcp(u16),
}

impl Field for Readiness {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Started => out.push(0),
            Self::Notify => out.push(1),
            Self::Tcp(port) => (2u8, *port).put(out),
        }
    }
    fn take(body: &mut Body<'_>) -> Result<Self, WireError> {
        match u8::take(body)? {
            0 => Ok(Self::Started),
            1 => Ok(Self::Notify),
            2 => Ok(Self::Tcp(u16::take(body)?)),
            _ => Err(body.damaged()),
        }
    }
}

/// Size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}
structure!(Size { rows, columns });
