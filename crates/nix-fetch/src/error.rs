use std::io;
use std::path::Path;

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input cannot be fetched; in words.
    #[error("{0}")]
    Input(String),
    /// The file system said no.
    #[error("{what} '{path}': {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// To what.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The cache cannot be written.
    #[error(transparent)]
    Fs(#[from] hc_fs::Error),
    /// The attributes make no sense.
    #[error(transparent)]
    Ref(#[from] nix_compat::flake_ref::RefError),
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) fn io<'p>(
    what: &'static str,
    path: &'p Path,
) -> impl FnOnce(io::Error) -> Error + use<'p> {
    move |source| Error::Io { what, path: path.display().to_string(), source }
}

pub(crate) fn words(error: impl std::fmt::Display) -> Error {
    Error::Input(error.to_string())
}
