//! The local store, its database, the sandboxed builder and the garbage collector.
//!
//! Layout and database are those of C++ Nix, so that both can use one store. What is written is
//! complete and flushed before it is registered: a valid path is whole, whatever happened.

// Unit tests share the helpers of the integration tests, which know this crate by its name.
#[cfg(test)]
extern crate self as nix_store;

mod add;
mod build;
pub mod cache;
mod canonical;
mod config;
pub mod copy;
mod db;
mod error;
mod export;
mod gc;
mod gc_server;
mod host;
pub mod http;
mod info;
mod ingest;
mod layout;
mod links;
mod live;
mod lock;
mod query;
mod readdress;
mod realisations;
pub mod remote;
mod roots;
mod runtime_roots;
mod scratch;
mod store;
mod temp_roots;
mod together;
mod verify;

pub use add::{Filter, IngestMethod};
pub use build::{BuildEvent, BuildMode, BuildObserver, Plan, Quiet};
pub use config::StoreConfig;
pub use error::{BuildFailure, Error, Result};
pub use gc::{GcOptions, GcReport};
pub use host::{DaemonStore, HostConfig, HostStore, Way};
pub use info::PathInfo;
pub use links::OptimiseReport;
pub use live::{Keep, Reason};
pub use nix_compat::{Derivation, DrvOutput, StorePath};
pub use realisations::Realisation;
pub use roots::Root;
pub use store::Store;
pub use verify::Damage;
