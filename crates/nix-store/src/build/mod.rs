//! Building derivations: the graph, the sandbox, downloads.

mod child;
mod environment;
mod fetch;
mod graph;
mod log;
mod outputs;
mod platform;
mod process;
mod realise;
mod sandbox;
mod seccomp;
mod users;

use crate::error::Result;
use crate::store::Store;
use nix_compat::{DrvOutput, StorePath};
use std::collections::BTreeMap;

/// What happens in a build, as it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildEvent<'a> {
    /// What will be done, once.
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
        fetch::Downloader::new(self.config()).bytes(url, 256 << 20)
    }

    /// Makes the outputs valid: builds and downloads what is missing, inputs first, several at
    /// once. What is valid already costs one look at the database.
    ///
    /// # Errors
    /// The first that came, once everything that ran has ended.
    pub fn build(
        &self,
        outputs: &[DrvOutput],
        observer: &dyn BuildObserver,
    ) -> Result<BTreeMap<DrvOutput, StorePath>> {
        let graph = graph::Graph::new(self, outputs)?;
        graph::run(self, &graph, observer)?;
        Ok(graph.wanted)
    }
}
