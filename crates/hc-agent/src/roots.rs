//! What the agent asks of the store.

use crate::error::PartError;
use std::path::Path;

/// Keeps what a generation points at from being collected. Both calls are idempotent.
pub trait Roots: Send + Sync {
    /// Makes the existing symlink `link` a root.
    ///
    /// # Errors
    /// When the store refuses; the generation is then not activated.
    fn add_root(&self, link: &Path) -> Result<(), PartError>;

    /// Forgets the root `link`, which is gone already.
    ///
    /// # Errors
    /// When the store refuses.
    fn remove_root(&self, link: &Path) -> Result<(), PartError>;
}

/// A store that is never collected.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRoots;

impl Roots for NoRoots {
    fn add_root(&self, _: &Path) -> Result<(), PartError> {
        Ok(())
    }
    fn remove_root(&self, _: &Path) -> Result<(), PartError> {
        Ok(())
    }
}
