//! The experimental features of C++ Nix, as command lines and `nix.conf` name them.

use crate::output;

/// Those that C++ Nix 2.34 knows. What hc has of them is on without being asked for, but for what
/// changes the meaning of files: the evaluator asks for those.
const KNOWN: &[&str] = &[
    "auto-allocate-uids",
    "blake3-hashes",
    "ca-derivations",
    "cgroups",
    "configurable-impure-env",
    "daemon-trust-override",
    "dynamic-derivations",
    "external-builders",
    "fetch-closure",
    "fetch-tree",
    "flakes",
    "git-hashing",
    "impure-derivations",
    "local-overlay-store",
    "mounted-ssh-store",
    "nix-command",
    "parse-toml-timestamps",
    "pipe-operators",
    "read-only-local-store",
    "recursive-nix",
    "verified-fetches",
];

/// The names in a text.
pub fn named(text: impl AsRef<str>) -> Vec<String> {
    text.as_ref().split_whitespace().map(str::to_owned).collect()
}

/// Says which of them nobody knows.
pub fn warn(features: &[String]) {
    for feature in features.iter().filter(|feature| !KNOWN.contains(&feature.as_str())) {
        output::warn_once(format!("unknown experimental feature '{feature}'"));
    }
}
