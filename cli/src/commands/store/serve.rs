//! `hc store serve`: the far end of ssh.

use crate::commands::build;
use crate::context::Globals;
use crate::error::{Code, Coded, Failure};
use nix_store::copy::Trust;
use nix_store::remote::{Access, Client, serve, serve_daemon};
use nix_store::{DaemonStore, HostStore};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{Read, Write};
use std::net::Shutdown;
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
    let mut config = build::host_config(globals)?;
    config.remote.check_signatures = false;
    let store = build::open(config)?;
    let conf = crate::nix_conf::substitution()?;
    let write = args.write || args.stdio;
    let trust = Trust { keys: conf.trusted_keys, required: conf.require_signatures };
    let access = Access { write, trust, trusted: write };
    let mut from = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut to = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let watched = from.try_clone()?;
    let gone = || has_hung_up(&watched);
    let mut client = Client { from: &mut from, to: &mut to, gone: &gone };
    if !args.stdio {
        if std::io::IsTerminal::is_terminal(&std::io::stdin()) {
            let message = "there is no client: `hc store serve` is called over ssh";
            return Err(Failure::new(Code::Failed, message)
                .hint("to copy: hc copy --to ssh://HOST PATH…")
                .into());
        }
        return serve(&store, &access, &mut client, &|line| eprintln!("{line}")).code(Code::Failed);
    }
    let store = match store {
        HostStore::Local(store) => store,
        HostStore::Daemon(store) => return forward(&store, from, to),
    };
    let release = concat!("hc ", env!("CARGO_PKG_VERSION"));
    serve_daemon(&store, &access, crate::nix_conf::keep()?, release, &mut client).code(Code::Failed)
}

/// The daemon of this host speaks for itself.
fn forward(store: &DaemonStore, mut from: File, mut to: File) -> anyhow::Result<()> {
    let mut daemon = store.connect().code(Code::Failed)?;
    let mut asking = daemon.try_clone()?;
    // Not waited for: the client may go on after the daemon has ended the connection.
    std::thread::spawn(move || {
        let _ = pass(&mut from, &mut asking);
        let _ = asking.shutdown(Shutdown::Write);
    });
    Ok(pass(&mut daemon, &mut to)?)
}

/// Passes everything on as it comes. (`std::io::copy` may splice, which keeps back what a peer waits
/// for.)
fn pass(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&buffer[..count])?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether the other end is closed.
fn has_hung_up(pipe: &File) -> bool {
    let mut watched = [PollFd::new(pipe, PollFlags::RDHUP)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut watched, Some(&now)), Ok(n) if n > 0)
}
