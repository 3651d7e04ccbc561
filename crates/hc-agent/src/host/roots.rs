use crate::error::PartError;
use crate::roots::Roots;
use nix_store::{Store, StoreConfig};
use std::path::Path;

/// Roots in the store that machine sets come from.
///
/// The store is opened for each call: what an open one has looked at is kept from every collection,
/// and an agent lives for months.
pub struct StoreRoots(pub StoreConfig);

impl Roots for StoreRoots {
    fn add_root(&self, link: &Path) -> Result<(), PartError> {
        Ok(Store::open(self.0.clone())?.add_root(link)?)
    }

    fn remove_root(&self, _: &Path) -> Result<(), PartError> {
        // An indirect root whose link is gone is stale: the collector drops it by itself.
        Ok(())
    }
}
