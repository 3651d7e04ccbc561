//! `flake.lock` files: reading and writing, exactly as Nix writes them.

pub use nix_flake_lock::*;
