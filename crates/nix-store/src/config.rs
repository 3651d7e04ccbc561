use crate::http::Proxies;
use nix_compat::narinfo::TrustedPublicKey;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What a store is told when it is opened.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The physical directory that holds `nix/store` and `nix/var`; `None` is `/`. Store paths
    /// begin with `/nix/store` either way.
    pub root: Option<PathBuf>,
    /// Store equal files once, as hard links, whenever a path is added (`auto-optimise-store`).
    pub auto_optimise: bool,
    /// Builds that run at once.
    pub jobs: usize,
    /// Downloads, and copies from binary caches, that run at once.
    pub fetches: usize,
    /// What builders are told in `NIX_BUILD_CORES`.
    pub cores: usize,
    /// Certificates (PEM) that downloads trust; `None` looks where systems keep them.
    pub ca_file: Option<PathBuf>,
    /// Logins for servers, in the form of netrc(5); one that is not there has none.
    pub netrc_file: Option<PathBuf>,
    /// Requests to one server that run at once (`http-connections`).
    pub connections: usize,
    /// The proxies of downloads and uploads.
    pub proxies: Proxies,
    /// (prefix, replacement): an address that begins with the prefix is first tried with the
    /// replacement in its place. What comes is checked against the derivation's hash all the same.
    pub mirrors: Vec<(String, String)>,
    /// Tries of one address before it is given up.
    pub fetch_tries: u32,
    /// How long a connection may stay silent.
    pub fetch_timeout: Duration,
    /// How long a build may run; `None` is for ever.
    pub build_timeout: Option<Duration>,
    /// How long a build may write nothing; `None` is for ever.
    pub max_silent_time: Option<Duration>,
    /// How many bytes a build may write to its log; `None` is as many as it likes.
    pub max_log_size: Option<u64>,
    /// Keep the build directories of failed builds, and outputs that came out different.
    pub keep_failed: bool,
    /// (path in the sandbox, path on the host): shown to every build, read-only.
    pub sandbox_paths: Vec<(PathBuf, PathBuf)>,
    /// The variables that builders with a fixed output may ask for in `impureEnvVars`.
    pub environment: BTreeMap<String, Vec<u8>>,
    /// Build what does not depend on a failed build before giving up.
    pub keep_going: bool,
    /// The addresses of binary caches, which are asked in this order for what would be built.
    pub substituters: Vec<String>,
    /// Where it is kept what servers said about paths; `None` keeps nothing.
    pub cache_dir: Option<PathBuf>,
    /// How long it holds that a cache has a path (`narinfo-cache-positive-ttl`).
    pub positive_ttl: Duration,
    /// How long it holds that it has not (`narinfo-cache-negative-ttl`).
    pub negative_ttl: Duration,
    /// Where archives are made that are uploaded to a cache.
    pub temporary: PathBuf,
    /// Whose signatures make a path from a cache good.
    pub trusted_keys: Vec<TrustedPublicKey>,
    /// Whether a path from a cache needs one, unless its name follows from its contents.
    pub require_signatures: bool,
}

impl Default for StoreConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            root: None,
            auto_optimise: false,
            jobs: cores,
            fetches: 16,
            cores,
            ca_file: None,
            netrc_file: None,
            connections: 25,
            proxies: Proxies::default(),
            mirrors: Vec::new(),
            fetch_tries: 4,
            fetch_timeout: Duration::from_secs(30),
            build_timeout: None,
            max_silent_time: None,
            max_log_size: None,
            keep_failed: false,
            sandbox_paths: Vec::new(),
            environment: BTreeMap::new(),
            keep_going: false,
            substituters: Vec::new(),
            cache_dir: None,
            positive_ttl: Duration::from_hours(30 * 24),
            negative_ttl: Duration::from_hours(1),
            temporary: "/tmp".into(),
            trusted_keys: Vec::new(),
            require_signatures: true,
        }
    }
}
