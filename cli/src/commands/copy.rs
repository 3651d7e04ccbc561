//! `hc copy`: paths between stores and binary caches.

use super::build;
use super::store::{sign::secret_key, store_path};
use crate::context::Globals;
use crate::error::{Code, Failure};
use crate::output;
use crate::progress::Progress;
use nix_store::cache::BinaryCache;
use nix_store::copy::{CopyObserver, Sink, Source, Trust, copy_closure};
use nix_store::remote::{Remote, RemoteOptions};
use nix_store::{HostConfig, HostStore, PathInfo, Store, StoreConfig};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Copy paths, with everything they refer to, from or to a binary cache or another store
///
/// URL is file://DIR or http(s)://… of a binary cache, or the directory of another store: DIR or
/// local?root=DIR. A cache over HTTP is written with PUT. How a cache is written can be said behind
/// its address: file://DIR?compression=xz (zstd, xz, bzip2, gzip or none; zstd if it is not said),
/// compression-level=N, and for a new one priority=N and want-mass-query=true.
///
/// URL can also be `daemon` or unix://SOCKET, a Nix daemon, or a store of another host, over ssh:
/// ssh://[USER@]HOST[:PORT] or ssh-ng://…, which need nix or hc there. Behind ssh's addresses can
/// stand ssh-key=FILE, remote-program=PROGRAM, remote-store=DIR, compress=true and
/// max-connections=N; NIX_SSHOPTS has more options for ssh.
///
/// What comes into a store must be signed by a key of nix.conf's `trusted-public-keys`, unless
/// nix.conf has `require-sigs = false` or the path follows from its contents.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Paths of the store, or links to them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Where they are, if not in the store of this host
    #[arg(long, value_name = "URL", required_unless_present = "to")]
    from: Option<String>,
    /// Where they go, if not to the store of this host
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Take them without the signature of a trusted key
    #[arg(long)]
    no_check_sigs: bool,
    /// Sign what is written to a binary cache with the secret key in this file
    #[arg(short, long, value_name = "FILE", requires = "to")]
    key_file: Option<PathBuf>,
    /// Archives on their way at once (nix.conf's max-substitution-jobs, or 16)
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One end of a copy.
pub enum End {
    Store(HostStore),
    Cache(Box<BinaryCache>),
    Remote(Box<Remote>),
}

impl End {
    /// The store, cache or remote store at an address; the store of this host without one.
    pub fn open(globals: &Globals, address: Option<&str>) -> anyhow::Result<Self> {
        Self::open_with(build::host_config(globals)?, address, true)
    }

    /// `check_signatures`: whether a daemon is to ask for signatures of what it gets.
    fn open_with(
        config: HostConfig,
        address: Option<&str>,
        check_signatures: bool,
    ) -> anyhow::Result<Self> {
        let Some(address) = address else { return Ok(Self::Store(build::open(config)?)) };
        let root = match address.strip_prefix("local?root=") {
            Some(root) => Some(root),
            None => address.starts_with('/').then_some(address),
        };
        if let Some(root) = root {
            let root = Some(std::path::absolute(root)?);
            return Ok(Self::Store(Store::open(StoreConfig { root, ..config.store })?.into()));
        }
        if Remote::is_address(address) {
            let options = RemoteOptions { check_signatures, ..crate::remote::options() };
            return Ok(Self::Remote(Box::new(crate::remote::open(address, &options)?)));
        }
        if address.contains(':') {
            return Ok(Self::Cache(Box::new(BinaryCache::open(address, &config.store)?)));
        }
        let message = format!("{address} is neither a binary cache nor a store");
        Err(Failure::new(Code::Failed, message)
            .hint("say file://DIR, https://…, ssh://HOST, daemon, or the whole path of a store's directory")
            .into())
    }

    /// As a place to copy from.
    pub fn source(&self) -> &dyn Source {
        match self {
            Self::Store(store) => store.source(),
            Self::Cache(cache) => cache.as_ref(),
            Self::Remote(remote) => remote.source(),
        }
    }

    fn sink(&self) -> &dyn Sink {
        match self {
            Self::Store(store) => store.sink(),
            Self::Cache(cache) => cache.as_ref(),
            Self::Remote(remote) => remote.sink(),
        }
    }
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let mut config = build::host_config(globals)?;
    config.remote.check_signatures = !args.no_check_sigs;
    if let Some(jobs) = args.jobs {
        (config.store.fetches, config.store.cores) = (jobs.max(1), jobs.max(1));
    }
    let from = End::open_with(config.clone(), args.from.as_deref(), true)?;
    let mut to = End::open_with(config, args.to.as_deref(), !args.no_check_sigs)?;
    if let Some(file) = &args.key_file {
        let End::Cache(cache) = to else {
            let message = "--key-file signs what is written to a binary cache; \
                           for a store there is `hc store sign`";
            return Err(Failure::new(Code::Failed, message).into());
        };
        to = End::Cache(Box::new(cache.signing(secret_key(file)?)));
    }
    let named = match (&from, &to) {
        (End::Store(store), _) | (_, End::Store(store)) => store.clone(),
        _ => build::store(globals)?,
    };
    let paths = args.paths.iter().map(|path| store_path(&named, path));
    let paths = paths.collect::<anyhow::Result<BTreeSet<_>>>()?;
    let conf = crate::nix_conf::substitution()?;
    // A cache takes what it is given; whoever reads it asks for signatures. A remote store asks itself.
    let required = matches!(to, End::Store(_)) && conf.require_signatures && !args.no_check_sigs;
    let trust = Trust { keys: conf.trusted_keys, required };
    let progress = Progress::new();
    let meter = Meter { progress: &progress, counts: Mutex::default() };
    let copied = copy_closure(from.source(), to.sink(), &paths, &trust, &meter);
    progress.clear();
    let copied = copied.map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
    if args.json {
        let copied: Vec<_> = copied.iter().map(ToString::to_string).collect();
        return output::json(&serde_json::json!({ "copied": copied }));
    }
    output::line(format_args!("copied {} paths", copied.len()))
}

/// Says on the terminal how far a copy is.
struct Meter<'a> {
    progress: &'a Progress,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    paths: (usize, usize),
    bytes: (u64, u64),
    last: String,
}

impl Meter<'_> {
    fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut counts);
        let Counts { paths, bytes, last } = &*counts;
        self.progress.say_with(|| {
            let (done, all) = (output::bytes(bytes.0), output::bytes(bytes.1));
            format!("{}/{} paths, {done} of {all}: {last}", paths.0, paths.1)
        });
    }
}

impl CopyObserver for Meter<'_> {
    fn planned(&self, paths: usize, bytes: u64) {
        self.count(|counts| (counts.paths.1, counts.bytes.1) = (paths, bytes));
    }

    fn begun(&self, info: &PathInfo) {
        self.count(|counts| info.path.name().clone_into(&mut counts.last));
    }

    fn sent(&self, bytes: u64) {
        self.count(|counts| counts.bytes.0 += bytes);
    }

    fn done(&self, _: &PathInfo) {
        self.count(|counts| counts.paths.0 += 1);
    }
}
