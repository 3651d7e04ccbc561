//! Fetchers: git and Mercurial repositories, archives, forges, files and directories.
//!
//! What comes from elsewhere is kept in a cache directory that the caller names, addressed by its
//! content: a tree in it is complete, whoever was killed while making it, and several processes
//! can share it. Nothing enters a store here: that is for who needs it there.

mod cache;
mod download;
mod error;
mod forge;
mod git;
mod hg;
mod path;
mod tarball;
mod unpack;

pub use download::Download;
pub use error::{Error, Result};
pub use git::{Workdir, workdir};
pub use unpack::unpack;

use cache::Cache;
use nix_compat::NixHash;
use nix_compat::flake_ref::{Attr, Input};
use nix_store::StoreConfig;
use nix_store::http::Client;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Writes a file of the work tree that an input is, tells its version control of it where there is
/// one, and commits it with `message`.
///
/// # Errors
/// When it cannot be written, or `git` or `hg` refuses.
pub fn put_file(
    input: &Input,
    root: &Path,
    file: &Path,
    contents: &[u8],
    message: Option<&str>,
) -> Result<()> {
    match input.kind() {
        "git" => git::put_file(root, file, contents, message),
        "hg" => hg::put_file(root, file, contents, message),
        _ => Ok(hc_fs::durable::write(&root.join(file), contents, 0o644)?),
    }
}

/// What fetching depends on.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where what was fetched is kept.
    pub cache: PathBuf,
    /// How long what a name stands for counts without asking again (`tarball-ttl`).
    pub ttl: Duration,
    /// Proxy, certificates, mirrors and limits of downloads.
    pub http: StoreConfig,
    /// Tokens for forges: host (with owner and repository, if it is for one) and token.
    pub access_tokens: BTreeMap<String, String>,
    /// Fetch work trees with changes that are not committed (`allow-dirty`).
    pub allow_dirty: bool,
    /// Say so (`warn-dirty`).
    pub warn_dirty: bool,
    /// Gets warnings.
    pub message: fn(&str),
}

impl Config {
    /// The settings everybody starts with.
    #[must_use]
    pub fn new(cache: PathBuf) -> Self {
        Self {
            cache,
            ttl: Duration::from_secs(3600),
            http: StoreConfig::default(),
            access_tokens: BTreeMap::new(),
            allow_dirty: true,
            warn_dirty: true,
            message: |_| {},
        }
    }
}

/// Where the fetched files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// In the cache, with the hash of the archive.
    Kept {
        /// The tree or file.
        path: PathBuf,
        /// The hash of its archive.
        hash: NixHash,
    },
    /// Where somebody works on them.
    Local {
        /// The directory.
        path: PathBuf,
        /// The files that count, relative to it; all when not said.
        files: Option<Vec<PathBuf>>,
    },
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// What exactly it is: the input with what was found out.
    pub input: Input,
    /// The files.
    pub content: Content,
    /// What else is known about the input, for a price: see [`Fetcher::fact`].
    pub facts: &'static [&'static str],
}

/// Fetches.
pub struct Fetcher {
    config: Config,
    cache: Cache,
    client: Client,
    /// Warnings that were given: each is given once.
    warned: Mutex<BTreeSet<String>>,
}

impl Fetcher {
    /// A fetcher; the cache is made when something is kept in it.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let cache = Cache::new(config.cache.clone(), config.ttl);
        let client = Client::new(&config.http);
        Self { config, cache, client, warned: Mutex::default() }
    }

    /// Fetches an input.
    ///
    /// # Errors
    /// When its type is not known, or it cannot be had.
    pub fn fetch(&self, input: &Input) -> Result<Tree> {
        match input.kind() {
            "path" => path::fetch(input),
            "git" => self.fetch_git(input),
            "tarball" => self.fetch_tarball(input),
            "file" => self.fetch_file(input),
            "github" | "gitlab" | "sourcehut" => self.fetch_forge(input),
            "indirect" => Err(Error::Input(format!(
                "indirect input '{}' cannot be fetched directly",
                input.describe()
            ))),
            "hg" => self.fetch_hg(input),
            _ => {
                Err(Error::Input(format!("cannot fetch unsupported input '{}'", input.describe())))
            }
        }
    }

    /// The tree with this hash of its archive and this name, if it was fetched before.
    #[must_use]
    pub fn kept(&self, hash: &NixHash, name: &str) -> Option<PathBuf> {
        self.cache.tree(hash, name)
    }

    /// Something about an input that costs more than fetching it: `revCount`, `lastModified`.
    ///
    /// # Errors
    /// When it cannot be found out.
    pub fn fact(&self, input: &Input, name: &str) -> Result<Attr> {
        match (input.kind(), name) {
            ("path", "lastModified") => path::last_modified(input).map(Attr::Int),
            ("git", "lastModified") => self.git_last_modified(input).map(Attr::Int),
            ("git", "revCount") => self.git_rev_count(input).map(Attr::Int),
            _ => Err(Error::Input(format!("'{}' has no '{name}'", input.describe()))),
        }
    }

    fn fetch_file(&self, input: &Input) -> Result<Tree> {
        let url = input.text("url").unwrap_or_default();
        let file = self.download_named(url, input.name(), &[])?;
        let (path, hash) = self.cache.keep_copy(&file.path, input.name())?;
        let mut input = input.clone();
        input.attrs_mut().insert("narHash".into(), hash.to_sri_string().into());
        Ok(Tree { input, content: Content::Kept { path, hash }, facts: &[] })
    }

    fn warn(&self, text: &str) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.insert(text.to_owned()) {
            (self.config.message)(&format!("warning: {text}"));
        }
    }
}
