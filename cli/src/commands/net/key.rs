//! `hc net key`.

use crate::context::Globals;
use crate::output;
use hc_net::wireguard::Key;
use std::path::PathBuf;

/// Print this host's public key for `hosts.NAME.publicKey`; the private one stays here
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Where the key is.
pub fn file(globals: &Globals) -> PathBuf {
    globals.state_dir.join("overlay.key")
}

pub fn run(globals: &Globals, _: &Args) -> anyhow::Result<()> {
    output::line(Key::of_host(&file(globals))?.public())
}
