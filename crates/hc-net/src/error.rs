use hc_spec::Name;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What could not be done about the network, and what helps.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused a change of links, addresses or routes.
    #[error("cannot {action} {what}: {source}{}", hint(source))]
    Link {
        /// A verb phrase, such as "create the bridge".
        action: &'static str,
        /// What it was about: a link, an address.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A network's bridge is not there.
    #[error(
        "network '{network}' is not set up on this host (no bridge {bridge}): the agent makes it \
         when it activates a generation that has the network"
    )]
    NoNetwork {
        /// The network.
        network: Name,
        /// Name its bridge has.
        bridge: String,
    },
    /// Something that hc did not make bears a name hc needs.
    #[error(
        "there is a link '{link}' on this host that is no bridge; hc needs the name for network \
         '{network}': rename or delete it"
    )]
    NotABridge {
        /// Name of the link.
        link: String,
        /// Network that needs it.
        network: Name,
    },
    /// A link of the host onto whose wire a machine is to go is not there.
    #[error("the host has no link '{link}' for a machine's `lan`: `ip link` lists those it has")]
    NoParent {
        /// Name of the link.
        link: String,
    },
    /// A link of the host takes no links of machines.
    #[error(
        "link '{link}' of the host takes no links of machines ({source}): it has to be an Ethernet link \
         that is no port of a bridge or a bond, and carries no macvlan of another mode"
    )]
    ParentTaken {
        /// Name of the link.
        link: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The machine's network namespace already has an interface of that name.
    #[error("the network namespace of '{machine}' already has an interface '{ifname}'")]
    InterfaceTaken {
        /// The machine.
        machine: Name,
        /// Name inside the machine.
        ifname: String,
    },
    /// A kernel setting could not be written.
    #[error("cannot set {name} = {value}: {source}")]
    Sysctl {
        /// Path below `/proc/sys`.
        name: String,
        /// Value to be.
        value: String,
        /// Why.
        source: hc_fs::Error,
    },
    /// A program hc needs is not installed, or does not start.
    #[error("cannot run '{program}': {source}; install the package '{package}'")]
    Program {
        /// Name of the program.
        program: &'static str,
        /// Debian package that has it.
        package: &'static str,
        /// Why it did not start.
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("'{program}' failed ({status}): {stderr}")]
    Failed {
        /// Program and first arguments.
        program: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// An element of a packet filter set could not be changed.
    #[error("cannot {action} the filter entries of {what}: {source}{}", filter_hint(source))]
    Filter {
        /// A verb, such as "add".
        action: &'static str,
        /// Link or network it was about.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another program listens where hc's name server has to.
    #[error(
        "port {} on {} ({protocol}) is taken by {by}: stop it, or have it listen on other addresses",
        addr.port(), addr.ip()
    )]
    PortTaken {
        /// Address to listen on.
        addr: SocketAddr,
        /// `udp` or `tcp`.
        protocol: &'static str,
        /// Program and process id where they can be seen.
        by: String,
    },
    /// The name server cannot listen.
    #[error("the name server cannot listen on {addr} ({protocol}): {source}")]
    Listen {
        /// Address to listen on.
        addr: SocketAddr,
        /// `udp` or `tcp`.
        protocol: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A name is too long for DNS.
    #[error("'{name}' does not fit into DNS: {source}")]
    DnsName {
        /// Full name.
        name: String,
        /// Why.
        source: hickory_proto::ProtoError,
    },
    /// The resolver for names outside the cloud cannot be made.
    #[error("cannot make a resolver for names outside the cloud: {0}")]
    Resolver(#[from] hickory_resolver::net::NetError),
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written.
    #[error(transparent)]
    Fs(#[from] hc_fs::Error),
    /// The system refused something every program needs: a thread, a socket, a runtime.
    #[error("cannot {action}: {source}")]
    System {
        /// A verb phrase.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

fn hint(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EPERM) => "; it takes CAP_NET_ADMIN (root)",
        Some(libc::EOPNOTSUPP) => "; the kernel has no support for it (see `hc doctor`)",
        _ => "",
    }
}

fn filter_hint(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::ENOENT) => {
            "; the tables are missing: the agent makes them when it activates a generation"
        }
        _ => hint(source),
    }
}
