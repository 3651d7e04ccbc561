//! `hc net exchange`: what a deploy of another host runs here, over ssh.

use crate::context::Globals;
use crate::deployed::Deployed;
use crate::error::{Code, Failure};
use crate::output;
use hc_net::wireguard::{Keyring, Offer};
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
    if let Ok(deployed) = Deployed::read(globals) {
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
    output::json(&Keyring::of(&globals.state_dir).accept(&offer)?)
}
