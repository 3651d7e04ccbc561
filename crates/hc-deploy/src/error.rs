use hc_spec::check::Problems;
use hc_spec::machine::SpecError;
use nix_compat::StorePath;

/// Why a cloud could not be prepared or realised.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Nix code is wrong; the text is rendered, with source line and trail.
    #[error("{0}")]
    Evaluation(String),
    /// The flake evaluates, but not to what hc needs.
    #[error("{0}")]
    Shape(String),
    /// A machine's description makes no sense.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Names, addresses, allowances or ports do not go together.
    #[error(transparent)]
    Host(#[from] Problems),
    /// A name the store does not take.
    #[error("machine '{machine}': {source}")]
    Name {
        /// The machine.
        machine: String,
        /// Why not.
        source: nix_compat::StorePathError,
    },
    /// The store refused, or a build or download failed.
    #[error(transparent)]
    Store(#[from] nix_store::Error),
    /// A path that is needed is neither in the store nor made by the evaluation.
    #[error("{} is needed, but it is not in the store and nothing here makes it", path.to_basename())]
    Missing {
        /// The path.
        path: StorePath,
    },
    /// A source is not any more what was evaluated.
    #[error("the source of {} changed while it was evaluated", path.to_basename())]
    Changed {
        /// The path.
        path: StorePath,
    },
    /// A file could not be written.
    #[error(transparent)]
    Fs(#[from] hc_fs::Error),
    /// Files could not be watched for changes.
    #[error("cannot watch files for changes: {0}")]
    Watch(std::io::Error),
    /// Scratch space could not be had.
    #[error("cannot make a scratch directory: {0}")]
    Scratch(std::io::Error),
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
