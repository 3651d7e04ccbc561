//! Building derivations: the graph, the sandbox, downloads.

mod builtin;
mod call;
mod child;
mod copy;
mod environment;
mod floating;
mod graph;
mod guards;
#[cfg(test)]
mod holes;
mod keep;
mod log;
mod options;
mod outputs;
mod permits;
mod platform;
mod process;
mod realise;
mod realised;
mod references;
mod register;
mod sandbox;
mod seccomp;
mod sent;
mod substitute;
mod users;
mod yard;

pub(crate) use log::log_of;
pub(crate) use outputs::hash_output;
pub(crate) use realise::is_builtin;
pub(crate) use yard::Yard;

use crate::config::StoreConfig;
use crate::error::Result;
use crate::store::Store;
use call::Call;
use nix_compat::{DrvOutput, StorePath};
use std::collections::{BTreeMap, BTreeSet};
use substitute::Substituters;

/// What happens in a build, as it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildEvent<'a> {
    /// What will be done: once, and again for each derivation that a build makes.
    Plan {
        /// Derivations that will be built in a sandbox.
        builds: usize,
        /// Derivations that will be downloaded.
        fetches: usize,
    },
    /// A derivation is begun.
    Started {
        /// The derivation.
        drv: &'a StorePath,
    },
    /// A builder wrote a line.
    Log {
        /// The derivation.
        drv: &'a StorePath,
        /// The line, without its end.
        line: &'a str,
    },
    /// A download moved on.
    Progress {
        /// The derivation.
        drv: &'a StorePath,
        /// Bytes that came.
        done: u64,
        /// Bytes in all, where the server told.
        total: Option<u64>,
    },
    /// A derivation is done and its outputs are valid.
    Finished {
        /// The derivation.
        drv: &'a StorePath,
    },
    /// A path is begun to be copied from a binary cache.
    Substituting {
        /// The path.
        path: &'a StorePath,
        /// The address of the cache.
        from: &'a str,
    },
    /// The copy ended, well or not.
    Substituted {
        /// The path.
        path: &'a StorePath,
    },
    /// Something went wrong that the build goes on without, such as a binary cache.
    Warning {
        /// What.
        text: &'a str,
    },
    /// A derivation failed; the error comes from the call.
    Failed {
        /// The derivation.
        drv: &'a StorePath,
    },
}

/// Who is told about a build; called from several threads.
pub trait BuildObserver: Sync {
    /// Something happened.
    fn event(&self, event: BuildEvent<'_>);

    /// Asked several times a second: `true` kills what runs and ends the call with
    /// [`crate::Error::Cancelled`].
    fn cancelled(&self) -> bool {
        false
    }
}

/// An observer that does not care.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl BuildObserver for Quiet {
    fn event(&self, _: BuildEvent<'_>) {}
}

impl Store {
    /// Downloads a list or an index: nothing enters the store, and nothing checks what came but the
    /// caller. At most 256 MiB.
    ///
    /// # Errors
    /// What the server or the network said.
    pub fn download(&self, url: &str) -> std::result::Result<Vec<u8>, String> {
        download(self.config(), url)
    }

    /// Makes the outputs valid: builds and downloads what is missing, inputs first, several at
    /// once. What is valid already costs one look at the database.
    ///
    /// # Errors
    /// The first that came, once everything that ran has ended; all, with `keep_going`.
    pub fn build(
        &self,
        outputs: &[DrvOutput],
        observer: &dyn BuildObserver,
    ) -> Result<BTreeMap<DrvOutput, StorePath>> {
        self.build_in_mode(outputs, BuildMode::Normal, observer)
    }

    /// As [`Store::build`], for outputs that may be valid already.
    ///
    /// # Errors
    /// As for [`Store::build`].
    pub fn build_in_mode(
        &self,
        outputs: &[DrvOutput],
        mode: BuildMode,
        observer: &dyn BuildObserver,
    ) -> Result<BTreeMap<DrvOutput, StorePath>> {
        Call::new(self, observer).make(outputs, mode, &|| observer.cancelled())
    }

    /// Fetches a path from binary caches, with what it refers to, if it is not valid; says whether it
    /// is then. The observer is told why one that a cache has did not come.
    ///
    /// # Errors
    /// When the store cannot be asked, or there is no space.
    pub fn ensure(&self, path: &StorePath, observer: &dyn BuildObserver) -> Result<bool> {
        if self.is_valid(path)? {
            return Ok(true);
        }
        let substituters = Substituters::new(self.config());
        substituters.fetch(self, &BTreeSet::from([path.clone()]), observer)?;
        self.is_valid(path)
    }

    /// The outputs of a derivation, with the paths that are known, valid or not.
    ///
    /// # Errors
    /// When the derivation is not there or not right.
    pub fn outputs(&self, drv: &StorePath) -> Result<BTreeMap<String, Option<StorePath>>> {
        realised::Realised::default().outputs(self, drv, &self.derivation(drv)?)
    }

    /// What would be built and downloaded to make the outputs valid.
    ///
    /// # Errors
    /// When a derivation is not there or not right.
    pub fn plan(&self, outputs: &[DrvOutput]) -> Result<Plan> {
        let substituters = Substituters::new(self.config());
        let graph = graph::Graph::new(self, outputs, BuildMode::Normal, &substituters)?;
        let substitutes = graph.substitutes;
        let (fetches, builds) =
            graph.nodes.into_iter().partition::<Vec<_>, _>(|n| is_builtin(&n.derivation));
        let paths = |nodes: Vec<graph::Node>| nodes.into_iter().map(|node| node.path).collect();
        Ok(Plan { builds: paths(builds), fetches: paths(fetches), substitutes })
    }
}

/// As [`Store::download`].
pub(crate) fn download(config: &StoreConfig, url: &str) -> std::result::Result<Vec<u8>, String> {
    builtin::Downloader::new(config).bytes(url, 256 << 20)
}

/// What is done about outputs that are valid already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BuildMode {
    /// Nothing.
    #[default]
    Normal,
    /// They are built again, compared and thrown away.
    Check,
    /// They are built again where they are not what was registered.
    Repair,
}

/// What a call of [`Store::build`] would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Derivations that would be built in a sandbox.
    pub builds: BTreeSet<StorePath>,
    /// Derivations that would be downloaded or made by the store itself.
    pub fetches: BTreeSet<StorePath>,
    /// Outputs that would come from a binary cache, with what they refer to.
    pub substitutes: BTreeSet<StorePath>,
}
