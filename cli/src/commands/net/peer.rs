//! `hc net peer`: computers that are no hosts, such as a laptop, on a network of this host.

use super::ls::Network;
use crate::commands::agent;
use crate::context::Globals;
use crate::deployed::Deployed;
use crate::error::{Code, Failure};
use crate::output;
use clap::Subcommand;
use hc_net::wireguard::{Key, Keyring, PORT, Road};
use hc_spec::Name;
use hc_spec::addr::Place;
use hc_spec::host::{Overlay, OverlayMode};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde::Serialize;
use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Laptops and phones on a network of this host, over WireGuard
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Add(Add),
    Ls(Ls),
    Rm(Rm),
}

/// Let a computer onto a network, and print its configuration for wg-quick, with a QR code
///
/// It has the address and the name that a machine of that name would have, and reaches what a
/// machine there reaches: the network, here and on other hosts. Its private key is printed once and
/// kept nowhere.
#[derive(Debug, clap::Args)]
struct Add {
    /// What it is called: a name that no machine of the network has
    name: String,
    /// Network it is on, if the host has several
    #[arg(long)]
    network: Option<String>,
    /// Where it finds this host, ADDRESS[:PORT] or NAME[:PORT], if not at the host's `address`
    #[arg(long, value_name = "WHERE")]
    endpoint: Option<String>,
    /// Its public key, when it made one itself
    #[arg(long, value_name = "KEY")]
    public_key: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// List them
#[derive(Debug, clap::Args)]
struct Ls {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Let one no longer in
#[derive(Debug, clap::Args)]
struct Rm {
    /// What it is called
    name: String,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Add(args) => add(globals, args),
        What::Ls(args) => ls(globals, args),
        What::Rm(args) => rm(globals, args),
    }
}

fn wrong(message: impl Into<String>) -> Failure {
    Failure::new(Code::Failed, message)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    name: Name,
    network: Name,
    address: Ipv6Addr,
    public_key: String,
    /// What it is to be given to wg-quick; only when it is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<String>,
}

fn overlay(deployed: &Deployed) -> anyhow::Result<&Overlay> {
    let overlay = deployed.host.overlay.as_ref();
    overlay.filter(|overlay| overlay.mode == OverlayMode::Wireguard).ok_or_else(|| {
        wrong("this host has no WireGuard, which others could come in by")
            .hint(format!(
                "set overlay.mode = \"wireguard\" and hosts.{}.address, and deploy it",
                deployed.host.host
            ))
            .into()
    })
}

/// The network that is asked for, or the only one.
fn network<'a>(deployed: &'a Deployed, asked: Option<&str>) -> anyhow::Result<&'a Name> {
    let all = || deployed.host.networks.keys();
    let found = match asked {
        Some(asked) => all().find(|name| name.as_str() == asked),
        None if all().count() == 1 => all().next(),
        None => None,
    };
    found.ok_or_else(|| {
        let names = all().map(Name::as_str).collect::<Vec<_>>().join(", ");
        let message = match asked {
            Some(asked) => format!("there is no network '{asked}' on this host"),
            None => "this host has several networks, or none".into(),
        };
        wrong(message).hint(format!("say --network NAME; there are: {names}")).into()
    })
}

fn add(globals: &Globals, args: &Add) -> anyhow::Result<()> {
    Globals::need_root("net peer add")?;
    let deployed = Deployed::read(globals)?;
    let overlay = overlay(&deployed)?;
    let network = network(&deployed, args.network.as_deref())?;
    let name = Name::new(&*args.name).map_err(|error| wrong(error.to_string()))?;
    if deployed.machines.contains_key(&name) {
        return Err(wrong(format!("'{name}' is a machine of this host"))
            .hint("give it another name")
            .into());
    }
    let keyring = Keyring::of(&globals.state_dir);
    let made = args.public_key.is_none().then(Key::new).transpose()?;
    let public = made.as_ref().map(Key::public).or_else(|| args.public_key.clone());
    let road = Road { public_key: public.unwrap_or_default(), network: network.clone() };
    if !keyring.add_road(&name, &road)? {
        return Err(wrong(format!("there is a peer '{name}' already"))
            .hint(format!("`hc net peer rm {name}` takes it out"))
            .into());
    }
    agent::reach(globals)?.mend().map_err(agent::failure)?;
    let place = deployed.place(network);
    let config = Config {
        private: made.as_ref().map(Key::private),
        host: keyring.own()?.public(),
        place: &place,
        overlay,
        endpoint: endpoint(overlay, args.endpoint.as_deref()),
        address: place.v6(&name),
    };
    let config = config.text();
    if args.json {
        let Road { public_key, network } = road;
        let address = place.v6(&name);
        return output::json(&Shown { name, network, address, public_key, config: Some(config) });
    }
    output::line(config.trim_end())?;
    if made.is_some() {
        let code = QrCode::new(&config)?;
        output::line("")?;
        output::line(code.render::<Dense1x2>().build())?;
    }
    Ok(())
}

fn endpoint(overlay: &Overlay, asked: Option<&str>) -> String {
    let Some(asked) = asked else {
        return SocketAddr::new(overlay.address, PORT).to_string();
    };
    match asked.parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, PORT).to_string(),
        Err(_) if asked.contains(':') => asked.to_owned(),
        Err(_) => format!("{asked}:{PORT}"),
    }
}

struct Config<'a> {
    private: Option<String>,
    host: String,
    place: &'a Place<'a>,
    overlay: &'a Overlay,
    endpoint: String,
    address: Ipv6Addr,
}

impl Config<'_> {
    /// As wg-quick(8) reads it, and the WireGuard apps.
    fn text(&self) -> String {
        let Self { place, overlay, address, host, endpoint, .. } = self;
        let others = overlay.peers.iter().filter(|(_, peer)| peer.networks.contains(place.network));
        let others = others.map(|(host, _)| Place { host, ..**place }.subnet());
        let subnets = std::iter::once(place.subnet()).chain(others);
        let allowed = subnets.map(|subnet| format!("{subnet}/64")).collect::<Vec<_>>().join(", ");
        let private = self.private.as_deref().unwrap_or("ITS PRIVATE KEY");
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "[Interface]\nPrivateKey = {private}\nAddress = {address}/128");
        let (gateway, zone) = (place.gateway(), place.zone());
        let _ = writeln!(text, "DNS = {gateway}, {}\nMTU = 1420\n", zone.trim_end_matches('.'));
        let _ = writeln!(text, "[Peer]\nPublicKey = {host}\nEndpoint = {endpoint}");
        let _ = writeln!(text, "AllowedIPs = {allowed}\nPersistentKeepalive = 25");
        text
    }
}

fn ls(globals: &Globals, args: &Ls) -> anyhow::Result<()> {
    Globals::need_root("net peer ls")?;
    let deployed = Deployed::read(globals)?;
    let known = Keyring::of(&globals.state_dir).known()?;
    let shown = known.peers.into_iter().map(|(name, Road { public_key, network })| Shown {
        address: deployed.place(&network).v6(&name),
        name,
        network,
        public_key,
        config: None,
    });
    let shown: Vec<Shown> = shown.collect();
    if args.json {
        return output::json(&shown);
    }
    let rows = shown.into_iter().map(|peer| {
        let here = Network::of(&deployed, &peer.network).is_some();
        let network =
            if here { peer.network.to_string() } else { format!("{} (gone)", peer.network) };
        vec![peer.name.to_string(), network, peer.address.to_string(), peer.public_key]
    });
    output::table(&["NAME", "NETWORK", "ADDRESS", "PUBLIC KEY"], rows)
}

fn rm(globals: &Globals, args: &Rm) -> anyhow::Result<()> {
    Globals::need_root("net peer rm")?;
    let missing =
        || wrong(format!("there is no peer '{}'", args.name)).hint("see `hc net peer ls`");
    let name = Name::new(&*args.name).map_err(|_| missing())?;
    if !Keyring::of(&globals.state_dir).remove_road(&name)? {
        return Err(missing().into());
    }
    agent::reach(globals)?.mend().map_err(agent::failure)
}
