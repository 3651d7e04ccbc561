//! `hc net exchange`: what a deploy of another host runs here, over ssh.

use crate::commands::agent;
use crate::context::Globals;
use crate::deployed::Deployed;
use crate::error::{Code, Failure};
use crate::{host_keys, output};
use hc_agent::Client;
use hc_net::wireguard::{Change, Keyring, Offer};
use std::io::Read;

/// Take the keys of a host, as JSON, and answer with this host's
#[derive(Debug, clap::Args)]
pub struct Args {}

/// No offer is longer.
const LONGEST: u64 = 64 << 10;

pub fn run(globals: &Globals, _: &Args) -> anyhow::Result<()> {
    Globals::need_root("net exchange")?;
    let mut text = String::new();
    std::io::stdin().take(LONGEST).read_to_string(&mut text)?;
    let offer: Offer = serde_json::from_str(&text)
        .map_err(|error| Failure::new(Code::Failed, format!("that is no offer: {error}")))?;
    let deployed = Deployed::read(globals).ok();
    if let Some(deployed) = &deployed {
        let own = &deployed.host;
        if (&own.cloud, &own.host) != (&offer.cloud, &offer.to) {
            let message = format!(
                "this is host '{}' of cloud '{}', not '{}' of '{}'",
                own.host, own.cloud, offer.to, offer.cloud
            );
            return Err(Failure::new(Code::Failed, message)
                .hint(format!("look at hosts.{}.address and .ssh", offer.to))
                .into());
        }
    }
    let there =
        || host_keys::is_there(deployed.as_ref().map(|deployed| &deployed.host), &offer.from);
    let mut answer = Keyring::of(&globals.state_dir).accept(&offer, there)?;
    if answer.known == Change::Taken {
        let view = Client::new(agent::config(globals)?.socket()).overlay();
        let heard = view.ok().and_then(|view| view?.ends.remove(&offer.from)?.endpoint);
        answer.taken_at = heard.map(|at| at.ip());
    }
    output::json(&answer)
}
