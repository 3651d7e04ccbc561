//! What a machine that has no disk yet may begin with: a saved one that has its root mounted, on a layer of
//! which the machine's own is a copy.

use super::saved::Slot;
use std::fs::File;
use std::path::PathBuf;

/// A saved machine that was there when the layer was made: memory and layer belong together.
pub(super) struct Mounted {
    pub slot: Slot,
    which: String,
}

impl Mounted {
    /// The one of machines like those of `like`, if it is there and whole.
    pub fn of(like: &Slot) -> Option<Self> {
        let slot = like.mounted();
        slot.find().ok()?;
        Some(Self { which: slot.which()?, slot })
    }

    /// The layer to copy.
    pub fn layer(&self) -> PathBuf {
        self.slot.layer()
    }

    /// What its devices were; nothing where there is another one now.
    pub fn state(&self) -> Option<File> {
        let state = self.slot.find().ok()?;
        (self.slot.which()? == self.which).then_some(state)
    }
}
