//! Derivations: their texts, hashes and paths.
//!
//! ```text
//! make      a derivation as evaluation has it -> its text, its path, the paths of its outputs, and what
//!   |       it counts as where it is an input; ordinary ones in one go, others by the steps below
//!   |- settle   outputs get their paths, which follow from the text without them
//!   |- count    what a derivation counts as: the hash of its text with, for each input, what that counts as
//!   `- write    the text, as the file has it or as it is hashed (`text`: the pieces of it)
//! modulo    the same over a graph of derivations that are in a store, remembered
//! resolve   outputs that are known by what they hold: real paths in the place of what stood for them
//! ```
//!
//! `nix-derivation` reads, and does all of this for most derivations; what is written again here is what
//! C++ Nix does otherwise, and what an evaluation of a package set spends most of its time with.

mod count;
mod make;
pub mod modulo;
pub mod resolve;
mod settle;
mod text;
mod write;

pub use make::{Made, hash_modulo, make};
pub use write::{text, with_numbers_of};
