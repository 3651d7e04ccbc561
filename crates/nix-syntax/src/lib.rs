//! Nix text to a resolved syntax tree.
