//! Where things are on this host, from the global arguments.

use crate::error::{Code, Failure};
use crate::store_place::Place;
use nix_store::Way;
use std::path::{Path, PathBuf};

/// Arguments every verb has.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Where things are")]
pub struct Globals {
    /// Store in DIR/nix/store instead of /nix/store (paths in it keep saying /nix/store); or `daemon`,
    /// unix://SOCKET: have a Nix daemon write the store of this host [default: $NIX_REMOTE, or the
    /// daemon where this user may not write the store]
    #[arg(long = "store", global = true, value_name = "DIR|daemon")]
    address: Option<String>,
    /// The directory that the address says.
    #[arg(skip)]
    pub store: Option<PathBuf>,
    #[arg(skip)]
    place: Place,
    /// Generations, journal and what outlives a generation
    #[arg(long, global = true, value_name = "DIR", default_value = "/var/lib/hc")]
    pub state_dir: PathBuf,
    /// Sockets and status of what runs now
    #[arg(long, global = true, value_name = "DIR", default_value = "/run/hc")]
    pub run_dir: PathBuf,
}

impl Globals {
    /// The same places for whoever is started from another directory: the agent, the machines.
    pub fn absolute(mut self) -> anyhow::Result<Self> {
        self.place = Place::find(self.address.as_deref())?;
        self.store = self.place.root.clone();
        self.state_dir = std::path::absolute(self.state_dir)?;
        self.run_dir = std::path::absolute(self.run_dir)?;
        Ok(self)
    }

    /// The way to the store.
    pub fn way(&self) -> &Way {
        &self.place.way
    }

    /// Fails where the store can only be had through a daemon because a person says so.
    pub fn need_direct(&self) -> anyhow::Result<()> {
        match (&self.address, &self.place.way) {
            (Some(address), Way::Daemon(_) | Way::Nowhere { .. }) => {
                let message = format!("this needs the store itself: {address} does not give it");
                Err(Failure::new(Code::Host, message)
                    .hint("run it as root, without --store")
                    .into())
            }
            _ => Ok(()),
        }
    }

    /// Where a path of the store lies on disk.
    pub fn physical(&self, logical: &Path) -> PathBuf {
        match (&self.store, logical.strip_prefix("/")) {
            (Some(root), Ok(below)) => root.join(below),
            _ => logical.to_path_buf(),
        }
    }

    /// Fails unless this process may make namespaces, links and mounts.
    pub fn need_root(verb: &str) -> anyhow::Result<()> {
        if rustix::process::geteuid().is_root() {
            return Ok(());
        }
        Err(Failure::new(
            Code::Host,
            format!("`hc {verb}` needs root: it makes namespaces, links and mounts"),
        )
        .hint(format!("run: sudo hc {verb} …"))
        .into())
    }

    /// What tells this binary from any other: results of another one are not its own.
    pub fn version() -> anyhow::Result<String> {
        use std::os::unix::fs::MetadataExt;
        let found = std::fs::metadata("/proc/self/exe")?;
        let (device, number, time) = (found.dev(), found.ino(), found.mtime_nsec());
        Ok(format!(
            "{} {device} {number} {} {} {time}",
            env!("CARGO_PKG_VERSION"),
            found.len(),
            found.mtime()
        ))
    }

    /// The binary that runs now: what the agent and the machines are started from.
    pub fn exe() -> anyhow::Result<PathBuf> {
        // A replaced binary reads as "… (deleted)"; the open file is still reachable by fd.
        std::env::current_exe().map_err(|e| {
            Failure::new(Code::Host, format!("cannot find the running hc binary: {e}")).into()
        })
    }
}
