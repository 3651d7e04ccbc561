//! From an evaluated cloud to a machine set in the store.
//!
//! [`prepare`] evaluates and computes every path without writing anything, so that a plan, or a
//! deploy that changes nothing, costs an evaluation; [`Prepared::realise`] then builds what is
//! missing and adds the machine closures and the set.

mod assemble;
pub mod builder;
mod built;
mod cache;
mod closure;
mod cloud;
mod error;
pub mod far;
mod fetch;
pub mod flake_check;
pub mod flake_show;
mod images;
mod io_impl;
mod pending;
mod realise;
mod store_io;
mod warm;
mod watcher;
mod write;

pub use assemble::Prepared;
pub use cloud::{Request, ignored_settings, prepare};
pub use error::{Error, Result};
pub use fetch::Registries;
pub use store_io::{IoOptions, StoreIo};
pub use warm::keep;
pub use watcher::Watcher;
