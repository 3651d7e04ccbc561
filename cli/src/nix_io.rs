//! The one way evaluation reaches the world: for `hc eval` and every verb like it.

use crate::context::Globals;
use crate::output;
use crate::progress::Progress;
use hc_deploy::{IoOptions, Registries, StoreIo};
use nix_store::{BuildEvent, BuildObserver, HostConfig, StoreConfig};
use std::path::PathBuf;
use std::time::Duration;

/// What evaluation may see and do.
#[derive(Debug, Clone)]
pub struct Eval {
    /// Let expressions see the environment.
    pub environment: bool,
    /// `builtins.currentSystem`, when it is not that of this machine.
    pub system: Option<String>,
    /// Build what evaluation wants to read (`allow-import-from-derivation`).
    pub import_from_derivation: bool,
    /// Say what is built for it (`trace-import-from-derivation`).
    pub trace_builds: bool,
    /// Where short names of flakes are looked up.
    pub registries: Registries,
    /// Write nothing to the store.
    pub read_only: bool,
    /// Ask again what names stand for.
    pub fresh: bool,
}

impl Default for Eval {
    fn default() -> Self {
        Self {
            environment: false,
            system: None,
            import_from_derivation: true,
            trace_builds: false,
            registries: registries(),
            read_only: false,
            fresh: false,
        }
    }
}

/// Opens evaluation's door to the world. The store is touched when something must really exist.
pub fn open_io(globals: &Globals, eval: Eval) -> StoreIo {
    StoreIo::new(IoOptions {
        store: host_config(globals),
        environment: eval.environment,
        system: eval.system,
        fetch: fetch_config().map(|config| match eval.fresh {
            true => nix_fetch::Config { ttl: Duration::ZERO, ..config },
            false => config,
        }),
        registries: eval.registries,
        import_from_derivation: eval.import_from_derivation && !eval.read_only,
        trace_builds: eval.trace_builds,
        message: |text| {
            eprintln!("{}", nix_lang::coloured(text, output::colour(&std::io::stderr())));
        },
        observer: Box::new(Observer { progress: Progress::new() }),
    })
}

/// A directory of the user, as the desktop's rules have it: `VARIABLE`, or below the home.
fn user_directory(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let named = std::env::var_os(variable).map(PathBuf::from).and_then(absolute);
    named.or_else(|| Some(absolute(std::env::home_dir()?)?.join(below_home)))
}

/// The registries of this user and this host.
pub fn registries() -> Registries {
    let usual = Registries::default();
    Registries {
        global: crate::nix_conf::flake_registry().ok().flatten().unwrap_or(usual.global),
        user: user_directory("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("nix/registry.json")),
        system: Some(crate::nix_conf::directory().join("registry.json")),
        flag: usual.flag,
    }
}

/// Where results of evaluations are kept, unless `eval-cache` says that none are.
pub fn evaluation_cache() -> anyhow::Result<Option<PathBuf>> {
    let kept = crate::nix_conf::evaluations_are_kept()?;
    Ok(kept.then(|| cache_directory().join("hc/evaluations")))
}

/// Where what can be had again is kept.
pub fn cache_directory() -> PathBuf {
    user_directory("XDG_CACHE_HOME", ".cache").unwrap_or_else(|| "/var/cache".into())
}

/// How to fetch. A service without a home has the host's place for what can be had again.
pub fn fetch_config() -> Option<nix_fetch::Config> {
    let mut config = nix_fetch::Config::new(cache_directory().join("hc/fetch"));
    config.message = |text| eprintln!("{text}");
    // What is wrong with nix.conf is no reason not to evaluate.
    if let Err(error) = crate::nix_conf::fetching(&mut config) {
        eprintln!("warning: {error}");
    }
    Some(config)
}

/// The store of this host. What is wrong with nix.conf is no reason not to evaluate.
fn host_config(globals: &Globals) -> HostConfig {
    crate::commands::host_config(globals).unwrap_or_else(|error| {
        eprintln!("warning: {error}");
        let store = StoreConfig { root: globals.store.clone(), ..StoreConfig::default() };
        HostConfig { way: globals.way().clone(), ..store.into() }
    })
}

/// Says on the terminal what is being built while evaluation waits for it.
struct Observer {
    progress: Progress,
}

impl BuildObserver for Observer {
    fn event(&self, event: BuildEvent<'_>) {
        crate::commands::observe(&self.progress, event);
    }
}
