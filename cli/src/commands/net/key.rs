//! `hc net key`.

use crate::context::Globals;
use crate::output;
use hc_net::wireguard::Keyring;

/// Print this host's public key; the private one stays here
///
/// Deploys exchange it by themselves. In `hosts.NAME.publicKey` it is the only one that is taken.
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(globals: &Globals, _: &Args) -> anyhow::Result<()> {
    output::line(Keyring::of(&globals.state_dir).own()?.public())
}
