//! Volumes: what a machine writes and what outlives it.
//!
//! A volume is a sparse file with XFS in it, `<state>/volumes/MACHINE/VOLUME/image`. A container
//! mounts it through a loop device; a virtual machine has the same file as a disk. XFS because
//! it grows while it is mounted without a privilege that containers' hosts may lack
//! (CAP_SYS_RESOURCE, which ext4 asks for), and maps ids.
//!
//! Beside the image lie `lock`, held while something uses the image; `changing`, held by whoever
//! makes, grows or snapshots it; `volume.json`; and `snapshots/NAME`, images that share their
//! blocks with it. A snapshot holds what was written at one instant, as a power cut would leave it.

mod held;
mod image;
mod name;
mod store;

pub(crate) use held::{Volumes, size};
pub(crate) use image::attach;
pub use name::{VolumeName, stamp};
pub(crate) use name::{is_snapshot, unused};
pub use store::{Snapshot, VolumeInfo, VolumeStore};
pub(crate) use store::{now, remove_forked};

use std::path::PathBuf;

/// Why something could not be done with a volume.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// There is none of that name.
    #[error("there is no volume '{0}'")]
    Missing(VolumeName),
    /// It has no snapshot of that name.
    #[error("volume '{volume}' has no snapshot '{snapshot}'")]
    NoSnapshot {
        /// The volume.
        volume: VolumeName,
        /// What was asked for.
        snapshot: String,
    },
    /// It has one already.
    #[error("volume '{volume}' has a snapshot '{snapshot}' already")]
    Exists {
        /// The volume.
        volume: VolumeName,
        /// What was to be made.
        snapshot: String,
    },
    /// Something uses it.
    #[error("volume '{0}' is in use; stop machine '{machine}' first", machine = .0.machine)]
    Busy(VolumeName),
    /// It is not to go.
    #[error("volume '{0}' is to be kept (`keep = true`)")]
    Kept(VolumeName),
    /// Its size does not go down.
    #[error("volume '{volume}' has {now} bytes and does not shrink to {asked}")]
    Shrinks {
        /// The volume.
        volume: VolumeName,
        /// Bytes it has.
        now: u64,
        /// Bytes asked for.
        asked: u64,
    },
    /// The file system cannot share blocks.
    #[error("a snapshot of '{volume}' would be a copy of all its data: {why}")]
    Copy {
        /// The volume.
        volume: VolumeName,
        /// What cannot be.
        why: String,
    },
    /// The guest of the virtual machine that uses it did not do its part.
    #[error("volume '{volume}': machine '{machine}': {problem}", machine = .volume.machine)]
    Guest {
        /// The volume.
        volume: VolumeName,
        /// What went wrong.
        problem: String,
    },
    /// A name that cannot be one.
    #[error(
        "'{0}' cannot name a snapshot: letters, digits, '.', '-' and '_', at most 64, and no '.' first"
    )]
    Name(String),
    /// The system refused something.
    #[error("volume {}: {action}: {source}", path.display())]
    System {
        /// File or directory of the volume.
        path: PathBuf,
        /// What was tried, in words that follow "cannot".
        action: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be written or removed.
    #[error(transparent)]
    Fs(#[from] hc_fs::Error),
}

pub(crate) type Result<T, E = VolumeError> = std::result::Result<T, E>;

/// Says what was tried, in words that follow "cannot".
trait Doing<T> {
    fn doing(self, action: &str, path: &std::path::Path) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, action: &str, path: &std::path::Path) -> Result<T> {
        self.map_err(|source| VolumeError::System {
            path: path.into(),
            action: format!("cannot {action}"),
            source: source.into(),
        })
    }
}
