//! Nix data formats: store paths, derivations, archives, hashes.
