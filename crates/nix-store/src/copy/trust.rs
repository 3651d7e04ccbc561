//! Whom a store believes that a path is what its name says.

use crate::info::PathInfo;
use crate::realisations::Realisation;
use nix_compat::narinfo::{NixSignature, TrustedPublicKey};

/// What a path must show before it is copied.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The keys that signatures may be made with.
    pub keys: Vec<TrustedPublicKey>,
    /// Whether a path needs a signature at all.
    pub required: bool,
}

impl Trust {
    /// Whether the path may come in: it is signed by a key, or its name follows from its contents,
    /// which [`super::Sink::add`] checks. What the sender thinks of it does not count.
    #[must_use]
    pub fn accepts(&self, info: &PathInfo) -> bool {
        if !self.required || info.ca.is_some() {
            return true;
        }
        let fingerprint = info.fingerprint();
        info.signatures.iter().any(|signature| {
            // One that makes no sense is no better than none, and hides no other.
            NixSignature::parse(signature)
                .is_ok_and(|s| s.verify(fingerprint.as_bytes(), &self.keys).unwrap_or(false))
        })
    }

    /// Whether it is believed what an output came to: that follows from nothing else.
    #[must_use]
    pub fn accepts_realisation(&self, realisation: &Realisation) -> bool {
        !self.required || realisation.is_signed(&self.keys)
    }
}
