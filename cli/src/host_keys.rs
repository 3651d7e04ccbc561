//! Keys between the hosts of a cloud: a deploy asks each of the others for its own, over ssh.

use crate::context::Globals;
use hc_net::wireguard::{Answer, Change, Keyring, answers};
use hc_spec::addr::Place;
use hc_spec::host::{Overlay, OverlayMode, Peer};
use hc_spec::{HostSpec, Name};
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, UdpSocket};
use std::process::{Command, Stdio};

/// How long a host may take to answer at all.
const PATIENCE: &str = "ConnectTimeout=5";

/// Exchanges keys with every host of which the description has none. Returns what a person should
/// know; a host that is not reached is no reason not to deploy this one.
pub fn exchange(globals: &Globals, host: &HostSpec) -> Vec<String> {
    if let Some(overlay) = host.overlay.as_ref().filter(|o| o.mode == OverlayMode::Plain) {
        return misplaced(&host.host, overlay).into_iter().collect();
    }
    let wireguard = host.overlay.as_ref().filter(|o| o.mode == OverlayMode::Wireguard);
    let peers = wireguard.iter().flat_map(|overlay| &overlay.peers);
    let asked = peers.filter(|(_, peer)| peer.public_key.is_none());
    let keyring = Keyring::of(&globals.state_dir);
    std::thread::scope(|scope| {
        let keyring = &keyring;
        let ask = |(name, peer)| scope.spawn(move || ask(keyring, host, name, peer));
        let all: Vec<_> = asked.map(ask).collect();
        let told = all.into_iter().map(|one| one.join().unwrap_or_default());
        told.flatten().collect()
    })
}

/// With VXLAN others know a host by its address alone, and hear nobody else.
fn misplaced(name: &Name, overlay: &Overlay) -> Option<String> {
    let error = UdpSocket::bind((overlay.address, 0)).err()?;
    (error.kind() == ErrorKind::AddrNotAvailable).then(|| {
        format!(
            "this host has not the address {} at which others hear host '{name}': they do not hear this \
             one. If another host has that name, deploy this one under a name of its own (--host); if \
             not, correct hosts.{name}.address",
            overlay.address
        )
    })
}

fn ask(keyring: &Keyring, host: &HostSpec, name: &Name, peer: &Peer) -> Vec<String> {
    match try_to_ask(keyring, host, name, peer) {
        Ok((here, Answer { known: there, taken_at: at, .. })) => {
            let changed = |who: &str, whom: &Name| {
                format!(
                    "{who} has another key for host '{whom}' now: that host was made anew, or \
                     its state directory was lost"
                )
            };
            let other = format!("host '{name}'");
            let here = match here {
                Change::Changed => Some(changed("this host", name)),
                Change::Taken => Some(format!(
                    "{} answers under the name of host '{name}', and is not the one that this host hears: \
                     two hosts have that name. The first one stays; give the other one a name of its \
                     own, or look at hosts.{name}.address and .ssh",
                    destination(peer)
                )),
                Change::New | Change::Same => None,
            };
            let there = match there {
                Change::Changed => Some(changed(&other, &host.host)),
                Change::Taken => Some(format!(
                    "{other} hears another host '{own}'{at}: two hosts have that name, and this one is \
                     not let in. Deploy it under a name of its own (--host); if it is to take the \
                     other one's place, stop that one (hc destroy there) and deploy again",
                    own = host.host,
                    at = at.map(|at| format!(" at {at}")).unwrap_or_default(),
                )),
                Change::New | Change::Same => None,
            };
            here.into_iter().chain(there).collect()
        }
        Err(error) => {
            let known = keyring.known().is_ok_and(|known| {
                known.cloud.as_ref() == Some(&host.cloud) && known.hosts.contains_key(name)
            });
            let then = match known {
                true => "the last one it said is used",
                false => "machines do not reach it before a deploy of either host has its key",
            };
            vec![format!("host '{name}' cannot be asked for its key ({error:#}): {then}")]
        }
    }
}

fn try_to_ask(
    keyring: &Keyring,
    host: &HostSpec,
    name: &Name,
    peer: &Peer,
) -> anyhow::Result<(Change, Answer)> {
    let offer = keyring.offer(&host.cloud, &host.host, name)?;
    let answer = over_ssh(&destination(peer), &serde_json::to_vec(&offer)?)?;
    let answer: Answer = serde_json::from_slice(&answer)
        .map_err(|error| anyhow::anyhow!("its answer is none: {error}"))?;
    let here = keyring.conclude(&offer, &answer, || is_there(Some(host), name))?;
    Ok((here, answer))
}

/// Whether another host is there by the key this one knows of it; not where nothing can be asked of it.
pub fn is_there(own: Option<&HostSpec>, name: &Name) -> bool {
    let Some(host) = own else { return false };
    let peer = host.overlay.as_ref().and_then(|overlay| overlay.peers.get(name));
    let network = peer.and_then(|peer| peer.networks.first());
    network.is_some_and(|network| {
        let gateway = Place { cloud: &host.cloud, host: name, network }.gateway();
        answers(gateway).unwrap_or(false)
    })
}

fn destination(peer: &Peer) -> String {
    match (&peer.ssh, peer.address) {
        (Some(ssh), _) => format!("ssh://{ssh}"),
        (None, IpAddr::V4(address)) => format!("ssh://{address}"),
        (None, IpAddr::V6(address)) => format!("ssh://[{address}]"),
    }
}

/// Runs `hc net exchange` there. `NIX_SSHOPTS` are options for ssh, as for remote stores.
fn over_ssh(destination: &str, input: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut ssh = Command::new("ssh");
    ssh.args(crate::remote::options().ssh).args(["-T", "-o", "BatchMode=yes", "-o", PATIENCE]);
    ssh.args([destination, "hc net exchange"]);
    ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let missing = |error| anyhow::anyhow!("ssh does not start: {error}");
    let mut child = ssh.spawn().map_err(missing)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends early says why.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    anyhow::bail!("{}", last.unwrap_or("ssh failed and said nothing"))
}
