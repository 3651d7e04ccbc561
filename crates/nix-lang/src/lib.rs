//! The Nix language: text to value.
