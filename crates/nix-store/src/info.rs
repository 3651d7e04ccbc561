use nix_compat::{CAHash, NixHash, StorePath};
use std::collections::BTreeSet;
use std::time::SystemTime;

/// What the store knows about a valid path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathInfo {
    /// The path.
    pub path: StorePath,
    /// The SHA-256 of its archive.
    pub nar_hash: NixHash,
    /// The size of its archive in bytes.
    pub nar_size: u64,
    /// The paths it refers to, itself included where it does.
    pub references: BTreeSet<StorePath>,
    /// The derivation it was built from.
    pub deriver: Option<StorePath>,
    /// When it was registered.
    pub registered: SystemTime,
    /// Whether it was built here, and so needs no signature to be trusted.
    pub ultimate: bool,
    /// Signatures by binary caches.
    pub signatures: Vec<String>,
    /// The content address, where the path follows from its contents.
    pub ca: Option<CAHash>,
}

impl PathInfo {
    /// What binary caches sign: version, path, hash, size and references (C++ Nix,
    /// `ValidPathInfo::fingerprint`).
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let references: Vec<String> = self.references.iter().map(ToString::to_string).collect();
        let hash = self.nar_hash.to_nix_nixbase32_string();
        format!("1;{};{hash};{};{}", self.path, self.nar_size, references.join(","))
    }
}
