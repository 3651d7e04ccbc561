//! Durable and confined file-system writes: the only place in hc that makes them.
//!
//! `clippy.toml` bans the writing half of `std::fs` everywhere else, so that what can be lost at
//! a power cut, and what can be deleted, is decided here and tested here:
//!
//! * [`durable`] — files, symlinks and renames that are on disk when the call returns;
//! * [`plain`] — the same without a promise, for what can be made again (`/run`, build trees);
//! * [`tree`] — deleting a tree without crossing a mount or following a symlink;
//! * [`Lingering`] — descriptors that take long to close, which nobody has to wait for.

pub mod durable;
mod error;
mod lingering;
pub mod plain;
pub mod tree;

pub use error::{Error, Result};
pub use lingering::Lingering;
