//! Derivations: their texts, hashes and paths.
//!
//! ```text
//! parse     the text of a file -> a derivation (`drv`: what it is)
//! make      a derivation as evaluation has it -> its text, its path, the paths of its outputs, and what
//!   |       it counts as where it is an input; ordinary ones in one go, others by the steps below
//!   |- settle   outputs get their paths, which follow from the text without them
//!   |- count    what a derivation counts as: the hash of its text with, for each input, what that counts as
//!   `- write    the text, as the file has it or as it is hashed (`text`: the pieces of it)
//! modulo    the same over a graph of derivations that are in a store, remembered
//! resolve   outputs that are known by what they hold: real paths in the place of what stood for them
//! ```
//!
//! `nix-derivation` has the parts of it; a derivation of its own is one of texts in UTF-8.

mod attrs;
mod count;
mod drv;
mod make;
pub mod modulo;
pub(crate) mod parse;
pub mod resolve;
mod settle;
mod text;
mod write;

pub use attrs::files;
pub use count::input_hash as hash_modulo;
pub use drv::Derivation;
pub use make::{Made, make};
