//! The store of this host behind a Nix daemon: it is asked what is valid and has to write; what is in
//! the store everybody can read.

use super::HostConfig;
use crate::build::{BuildMode, BuildObserver, Plan, is_builtin};
use crate::config::StoreConfig;
use crate::copy::{Sink, Source};
use crate::error::{Error, Result, archive};
use crate::info::PathInfo;
use crate::layout::Layout;
use crate::live::{self, Keep, Reason};
use crate::realisations::Realisation;
use crate::remote::{Daemon, DaemonInfo, Remote};
use crate::roots::{Root, target_of};
use crate::verify::Damage;
use nix_compat::{Derivation, DrvOutput, StorePath, nar};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A store of this host that a Nix daemon writes.
#[derive(Debug, Clone)]
pub struct DaemonStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    daemon: Daemon,
    layout: Layout,
    config: HostConfig,
}

impl DaemonStore {
    pub(super) fn open(address: &str, mut config: HostConfig) -> Result<Self> {
        let (daemon, root) = Remote::host_daemon(address, &config.remote)?;
        config.store.root = root.or(config.store.root);
        // Whoever is not let in learns of it now.
        daemon.ping()?;
        let layout = Layout::new(config.store.root.as_deref())?;
        Ok(Self { inner: Arc::new(Inner { daemon, layout, config }) })
    }

    /// The daemon itself.
    #[must_use]
    pub fn daemon(&self) -> &Daemon {
        &self.inner.daemon
    }

    /// Who the daemon is, and whether it trusts us.
    ///
    /// # Errors
    /// When it cannot be reached any more.
    pub fn ping(&self) -> Result<DaemonInfo> {
        self.daemon().ping()
    }

    /// Another connection to it, on which nothing was said yet.
    ///
    /// # Errors
    /// When it cannot be reached any more.
    pub fn connect(&self) -> Result<UnixStream> {
        self.daemon().connect()
    }

    pub(super) fn host_config(&self) -> &HostConfig {
        &self.inner.config
    }

    pub(super) fn config(&self) -> &StoreConfig {
        &self.inner.config.store
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    pub(super) fn physical(&self, path: &StorePath) -> PathBuf {
        self.layout().physical(path)
    }

    pub(super) fn is_valid(&self, path: &StorePath) -> Result<bool> {
        self.daemon().add_temp_root(path)?;
        self.daemon().is_valid(path)
    }

    pub(super) fn info(&self, path: &StorePath) -> Result<PathInfo> {
        self.daemon().info(path)?.ok_or_else(|| Error::NotValid { path: path.clone() })
    }

    pub(super) fn references(&self, path: &StorePath) -> Result<BTreeSet<StorePath>> {
        Ok(self.info(path)?.references)
    }

    pub(super) fn closure(&self, paths: &BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>> {
        let mut open: Vec<StorePath> = paths.iter().cloned().collect();
        let mut closure = BTreeSet::new();
        while let Some(path) = open.pop() {
            if !closure.contains(&path) {
                let references = self.references(&path)?;
                open.extend(references.into_iter().filter(|r| !closure.contains(r)));
                closure.insert(path);
            }
        }
        Ok(closure)
    }

    pub(super) fn valid_paths(&self) -> Result<BTreeSet<StorePath>> {
        self.daemon().valid_paths()
    }

    pub(super) fn derivation(&self, path: &StorePath) -> Result<Derivation> {
        if !self.is_valid(path)? {
            return Err(Error::NotValid { path: path.clone() });
        }
        crate::query::read_derivation(path, &self.physical(path))
    }

    pub(super) fn outputs(&self, drv: &StorePath) -> Result<BTreeMap<String, Option<StorePath>>> {
        self.daemon().outputs(drv)
    }

    pub(super) fn build_log(&self, drv: &StorePath) -> Result<Option<Box<dyn Read>>> {
        crate::build::log_of(self.layout(), drv)
    }

    pub(super) fn roots(&self) -> Result<BTreeSet<Root>> {
        self.daemon().roots()
    }

    pub(super) fn why(&self, path: &StorePath, keep: Keep) -> Result<Vec<Reason>> {
        // It keeps what it was asked about as long as the connection lasts: no look at `is_valid`.
        self.info(path)?;
        let keepers = |kept: &StorePath| {
            if self.daemon().info(kept)?.is_none() {
                return Ok(BTreeSet::new());
            }
            let mut keepers = self.daemon().referrers(kept)?;
            if keep.derivations && kept.is_derivation() {
                for output in self.outputs(kept)?.into_values().flatten() {
                    let deriver = self.daemon().info(&output)?.and_then(|info| info.deriver);
                    if deriver.as_ref() == Some(kept) {
                        keepers.insert(output);
                    }
                }
            }
            if keep.outputs {
                keepers.extend(self.daemon().valid_derivers(kept)?);
            }
            Ok(keepers)
        };
        live::reasons(path, self.roots()?, &keepers)
    }

    pub(super) fn damage(&self, path: &StorePath, contents: bool) -> Result<Option<Damage>> {
        match self.daemon().info(path)? {
            Some(info) => crate::verify::damage(&info, &self.physical(path), contents),
            None => Ok(None),
        }
    }

    pub(super) fn add_signature(&self, path: &StorePath, signature: &str) -> Result<bool> {
        if self.info(path)?.signatures.iter().any(|known| known == signature) {
            return Ok(false);
        }
        self.daemon().add_signatures(path, &[signature.to_owned()])?;
        Ok(true)
    }

    pub(super) fn add_root(&self, link: &Path) -> Result<()> {
        let (link, path) = target_of(link, self.layout())?;
        if !self.is_valid(&path)? {
            return Err(Error::NotValid { path });
        }
        self.daemon().add_indirect_root(&link)
    }

    pub(super) fn ensure(&self, path: &StorePath, observer: &dyn BuildObserver) -> Result<bool> {
        if !self.is_valid(path)? {
            self.daemon().ensure(path, observer)?;
        }
        Ok(true)
    }

    pub(super) fn build_in_mode(
        &self,
        outputs: &[DrvOutput],
        mode: BuildMode,
        observer: &dyn BuildObserver,
    ) -> Result<BTreeMap<DrvOutput, StorePath>> {
        self.daemon().build(outputs, mode, observer)
    }

    pub(super) fn plan(&self, outputs: &[DrvOutput]) -> Result<Plan> {
        let missing = self.daemon().missing(outputs)?;
        let mut plan = Plan { substitutes: missing.substitutes, ..Plan::default() };
        for drv in missing.builds {
            let to = match is_builtin(&self.derivation(&drv)?) {
                true => &mut plan.fetches,
                false => &mut plan.builds,
            };
            to.insert(drv);
        }
        Ok(plan)
    }
}

impl Source for DaemonStore {
    fn name(&self) -> String {
        Source::name(self.daemon())
    }

    fn query(&self, path: &StorePath) -> Result<Option<PathInfo>> {
        self.daemon().add_temp_root(path)?;
        self.daemon().info(path)
    }

    fn nar(&self, path: &StorePath, mut to: &mut dyn Write) -> Result<()> {
        if !self.is_valid(path)? {
            return Err(Error::NotValid { path: path.clone() });
        }
        let at = self.physical(path);
        nar::dump(&at, &mut to).map_err(archive(&at))
    }

    fn at_once(&self) -> usize {
        Source::at_once(self.daemon())
    }

    fn realisations(&self, path: &StorePath, info: Option<&PathInfo>) -> Result<Vec<Realisation>> {
        Source::realisations(self.daemon(), path, info)
    }
}

impl Sink for DaemonStore {
    fn name(&self) -> String {
        Sink::name(self.daemon())
    }

    fn valid(&self, paths: &BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>> {
        let valid = self.daemon().valid(paths)?;
        for path in &valid {
            self.daemon().add_temp_root(path)?;
        }
        // One may have gone before it was kept.
        self.daemon().valid(&valid)
    }

    fn add(&self, info: &PathInfo, nar: &mut dyn Read) -> Result<()> {
        self.daemon().add(info, nar)
    }

    fn add_realisations(&self, realisations: &[Realisation]) -> Result<()> {
        self.daemon().add_realisations(realisations)
    }

    fn at_once(&self) -> usize {
        Sink::at_once(self.daemon())
    }
}
