//! What of a network this host can do, for `hc doctor`.

use crate::error::{Error, Result};
use crate::firewall::{self, Protection};
use crate::netlink::{Netlink, link_error};
use crate::{program, sysctl};
use rtnetlink::{LinkBridge, LinkMessageBuilder, LinkVeth, LinkWireguard};

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What it is, such as "bridge".
    pub what: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// Version, or what is wrong and what helps.
    pub detail: String,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Works.
    Good,
    /// hc works without it, with less.
    Weak,
    /// hc does not work without it.
    Bad,
}

/// Tries everything hc needs, in a network namespace that is thrown away.
#[must_use]
pub fn probe() -> Vec<Check> {
    let tried = std::thread::Builder::new().name("hc-probe".into()).spawn(|| {
        // SAFETY: a network namespace holds no memory and no file descriptors of this process.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }?;
        Ok(in_a_namespace())
    });
    let tried = tried.and_then(|thread| {
        thread.join().unwrap_or_else(|_| Err(std::io::Error::other("the thread died")))
    });
    tried.unwrap_or_else(|error: std::io::Error| {
        let detail = format!("cannot make one: {error}; hc needs CAP_SYS_ADMIN (root)");
        vec![Check { what: "network namespace", verdict: Verdict::Bad, detail }]
    })
}

fn in_a_namespace() -> Vec<Check> {
    let needed = |what, tried: Result<String>| match tried {
        Ok(detail) => Check { what, verdict: Verdict::Good, detail },
        Err(error) => Check { what, verdict: Verdict::Bad, detail: error.to_string() },
    };
    vec![
        needed("network namespace", Ok("works".into())),
        needed("bridge", link(|| LinkMessageBuilder::<LinkBridge>::new("hcprobe0").build())),
        needed("veth", link(|| LinkVeth::new("hcprobe1", "hcprobe2").build())),
        needed("nft", program::output("nft", "nftables", &["--version"]).map(first_line)),
        filter(),
        forwarding(),
        wireguard(),
        resolved(),
    ]
}

fn link(message: impl FnOnce() -> netlink_packet_route::link::LinkMessage) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|source| Error::System { action: "make an async runtime", source })?;
    runtime.block_on(async {
        let netlink = Netlink::here()?;
        let made = netlink.handle.link().add(message()).execute().await;
        made.map_err(link_error("make", "one")).map(|()| "works".into())
    })
}

fn filter() -> Check {
    let (verdict, detail) = match firewall::check() {
        Ok(Protection::Ports) => (Verdict::Good, "families inet and bridge".into()),
        Ok(Protection::RoutedOnly { reason }) => (
            Verdict::Weak,
            format!(
                "no filter on bridges, so machines of one network can pose as each other: {reason}"
            ),
        ),
        Err(error) => (Verdict::Bad, error.to_string()),
    };
    Check { what: "packet filter", verdict, detail }
}

fn forwarding() -> Check {
    let (verdict, detail) = match sysctl::get("ipv6/conf/all/force_forwarding") {
        Some(_) => (Verdict::Good, "per interface"),
        None => {
            (Verdict::Weak, "IPv6 forwarding is one switch for the whole host before Linux 6.17")
        }
    };
    Check { what: "forwarding", verdict, detail: detail.into() }
}

/// How hosts reach each other with `overlay.mode = "wireguard"`.
fn wireguard() -> Check {
    let made = link(|| LinkMessageBuilder::<LinkWireguard>::new("hcprobe3").build());
    let (verdict, detail) = match made {
        Ok(_) => (Verdict::Good, "in the kernel".into()),
        Err(_) if std::path::Path::new("/dev/net/tun").exists() => (
            Verdict::Weak,
            "in the agent, over TUN: the kernel has none (modprobe wireguard)".into(),
        ),
        Err(error) => (Verdict::Weak, format!("neither in the kernel nor TUN: {error}")),
    };
    Check { what: "WireGuard", verdict, detail }
}

/// There is another way without it, so its absence is no fault.
fn resolved() -> Check {
    let detail = program::output("resolvectl", "systemd-resolved", &["--version"])
        .map_or_else(|_| "not installed; hc edits /etc/resolv.conf instead".into(), first_line);
    Check { what: "systemd-resolved", verdict: Verdict::Good, detail }
}

fn first_line(text: String) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_there_where_hc_is_tested() {
        let checks = probe();
        assert_eq!(checks.len(), 8);
        for check in checks {
            assert_ne!(check.verdict, Verdict::Bad, "{check:?}");
        }
    }
}
