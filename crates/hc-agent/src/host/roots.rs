use crate::error::PartError;
use crate::roots::Roots;
use nix_store::Store;
use std::path::Path;

/// Roots in the store that machine sets come from.
pub struct StoreRoots(pub Store);

impl Roots for StoreRoots {
    fn add_root(&self, link: &Path) -> Result<(), PartError> {
        Ok(self.0.add_root(link)?)
    }

    fn remove_root(&self, _: &Path) -> Result<(), PartError> {
        // An indirect root whose link is gone is stale: the collector drops it by itself.
        Ok(())
    }
}
