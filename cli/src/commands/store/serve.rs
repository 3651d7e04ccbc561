//! `hc store serve`: the far end of ssh.

use crate::commands::build;
use crate::context::Globals;
use crate::error::{Code, Coded, Failure};
use nix_store::copy::Trust;
use nix_store::remote::{Access, Client, serve, serve_daemon};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::os::fd::AsFd;

/// Serve the store to whoever is at the other end of standard input and output
///
/// This is what `nix-store --serve` is for ssh:// and `nix-daemon --stdio` for ssh-ng://, so that
/// `hc copy` and C++ Nix can copy to and from a host that has hc. A client may do what the user may
/// that this runs as, whose key let it in.
///
/// With C++ Nix: nix copy --to 'ssh://HOST?remote-program=hc store serve' …
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Speak as `nix-store --serve` does, which is the default
    #[arg(long, conflicts_with = "stdio")]
    serve: bool,
    /// Let the client of ssh:// add and build
    #[arg(long, conflicts_with = "stdio")]
    write: bool,
    /// Speak as `nix-daemon --stdio` does; the client may add and build
    #[arg(long)]
    stdio: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let store = build::store(globals)?;
    let conf = crate::nix_conf::substitution()?;
    let write = args.write || args.stdio;
    let trust = Trust { keys: conf.trusted_keys, required: conf.require_signatures };
    let access = Access { write, trust, trusted: write };
    let mut from = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut to = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let watched = from.try_clone()?;
    let gone = || has_hung_up(&watched);
    let mut client = Client { from: &mut from, to: &mut to, gone: &gone };
    if args.serve || !args.stdio {
        if std::io::IsTerminal::is_terminal(&std::io::stdin()) {
            let message = "there is no client: `hc store serve` is called over ssh";
            return Err(Failure::new(Code::Failed, message)
                .hint("to copy: hc copy --to ssh://HOST PATH…")
                .into());
        }
        return serve(&store, &access, &mut client, &|line| eprintln!("{line}")).code(Code::Failed);
    }
    let release = concat!("hc ", env!("CARGO_PKG_VERSION"));
    serve_daemon(&store, &access, crate::nix_conf::keep()?, release, &mut client).code(Code::Failed)
}

/// Whether the other end is closed.
fn has_hung_up(pipe: &File) -> bool {
    let mut watched = [PollFd::new(pipe, PollFlags::RDHUP)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut watched, Some(&now)), Ok(n) if n > 0)
}
