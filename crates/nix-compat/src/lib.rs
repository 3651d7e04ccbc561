//! Nix data formats: store paths, derivations, archives, hashes.
//!
//! This is the one door to the young crates that implement them (`nix-derivation`,
//! `nix-archive`, `nix-narinfo`, `nix-flake-lock`). What they do right is passed through under the
//! field's names; what they lack is added here, purely: nothing in this crate keeps state.

pub mod derivation;
pub mod export;
pub mod flake_lock;
pub mod flake_ref;
pub mod git_tree;
pub mod hash;
pub mod nar;
pub mod narinfo;
pub mod path;
pub mod place;
pub mod rewrite;
pub mod serve;
mod tree;
mod unpack;
pub mod url;
pub mod wire;
pub mod worker;

pub use derivation::modulo::ModuloHashes;
pub use derivation::{Derivation, Made, hash_modulo, make, modulo, resolve};
pub use hash::{CAHash, ContentAddressMethod, HashAlgorithm, NixHash, NixHasher, hash_bytes};
pub use nix_derivation::nixbase32 as nix32;
pub use nix_derivation::{
    DerivationModuloHash, DerivationOutput, DrvOutput, Error as DerivationError, InputDerivation,
    InputDerivationHash, InputResolutionError, Output, OutputPathHash, StoreDir, StorePath,
    StructuredAttrs, StructuredAttrsFiles,
};
pub use path::{STORE_DIR, StorePathError};
pub use tree::{Copied, CopyError, copy_tree};
pub use unpack::{unpack, unpack_to};
