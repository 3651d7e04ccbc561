//! One call that makes outputs valid, from the question what is missing to the last path.

use super::builtin::Downloader;
use super::graph::{self, Graph};
use super::permits::Permits;
use super::substitute::Substituters;
use super::{BuildMode, BuildObserver};
use crate::error::Result;
use crate::store::Store;
use nix_compat::{DrvOutput, StorePath};
use std::collections::BTreeMap;

/// What all builds of one call share, those of derivations that only a build makes among them.
pub(super) struct Call<'a> {
    pub store: &'a Store,
    pub observer: &'a dyn BuildObserver,
    pub downloader: Downloader,
    pub permits: Permits,
    substituters: Substituters,
}

impl<'a> Call<'a> {
    pub fn new(store: &'a Store, observer: &'a dyn BuildObserver) -> Self {
        let config = store.config();
        Self {
            store,
            observer,
            downloader: Downloader::new(config),
            permits: Permits::new(config.jobs.max(1)),
            substituters: Substituters::new(config),
        }
    }

    /// Takes from binary caches what they have and builds the rest.
    pub fn make(
        &self,
        outputs: &[DrvOutput],
        mode: BuildMode,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<BTreeMap<DrvOutput, StorePath>> {
        let store = self.store;
        let graph = loop {
            let graph = Graph::new(store, outputs, mode, &self.substituters)?;
            if graph.substitutes.is_empty() && graph.promised.is_empty() {
                break graph;
            }
            // What a cache promised and did not give is not asked for again: this comes to an end.
            self.substituters.fetch(store, &graph.substitutes, self.observer)?;
            let mut came = Vec::new();
            for realisation in graph.promised {
                if store.is_valid(&realisation.path)? {
                    came.push(realisation);
                }
            }
            if !came.is_empty() {
                store.register_realisations(&came)?;
            }
        };
        self.substituters.warn(self.observer);
        graph::run(self, &graph, cancelled)?;
        let path = |output: &DrvOutput| {
            graph.realised.output(store, output.drv_path(), output.output_name())
        };
        outputs.iter().map(|output| Ok((output.clone(), path(output)?))).collect()
    }
}
