//! `.narinfo` records of binary caches.

pub use nix_narinfo::*;
