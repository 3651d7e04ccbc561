//! How remote stores are reached from here.

use crate::error::{Code, Failure};
use nix_store::remote::{Remote, RemoteOptions};

/// Options of every remote store: `NIX_SSHOPTS` are options for each call of ssh.
pub fn options() -> RemoteOptions {
    let ssh = std::env::var("NIX_SSHOPTS").unwrap_or_default();
    let ssh = ssh.split_ascii_whitespace().map(str::to_owned).collect();
    RemoteOptions { ssh, message: |text| eprintln!("{text}"), ..RemoteOptions::default() }
}

/// The remote store at an address.
pub fn open(address: &str, options: &RemoteOptions) -> anyhow::Result<Remote> {
    Remote::open(address, options)
        .map_err(|error| Failure::new(Code::Failed, error.to_string()).into())
}
