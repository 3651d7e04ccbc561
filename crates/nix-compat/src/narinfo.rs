//! `.narinfo` records of binary caches.

pub use nix_narinfo::*;

use base64::Engine as _;
use ed25519_dalek::Signer as _;

/// What binary caches are signed with: `NAME:BASE64` of 64 bytes, the seed and the public key
/// (libsodium's form, which C++ Nix writes).
#[derive(Clone)]
pub struct SecretKey {
    name: String,
    key: ed25519_dalek::SigningKey,
}

/// A text is no secret key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretKeyError {
    /// There is no name before a colon, or it has what a name cannot have.
    #[error("a secret key is NAME:BASE64")]
    Name,
    /// What follows the name is not the 64 bytes of a key pair.
    #[error("what follows the name is not a secret key")]
    Key,
}

impl std::fmt::Debug for SecretKey {
    /// The name only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretKey").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SecretKey {
    /// The key of 32 random bytes.
    ///
    /// # Errors
    /// When the name is empty, or has a colon, white space or a control character.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, SecretKeyError> {
        let bad = |c: char| c == ':' || c.is_whitespace() || c.is_control();
        if name.is_empty() || name.contains(bad) {
            return Err(SecretKeyError::Name);
        }
        Ok(Self { name: name.into(), key: ed25519_dalek::SigningKey::from_bytes(seed) })
    }

    /// Reads `NAME:BASE64`; white space around it is left out.
    ///
    /// # Errors
    /// When it is something else, or its two halves do not belong together.
    pub fn parse(text: &str) -> Result<Self, SecretKeyError> {
        let (name, encoded) = text.trim().split_once(':').ok_or(SecretKeyError::Name)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(encoded);
        let bytes = bytes.ok().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
        let bytes = bytes.ok_or(SecretKeyError::Key)?;
        let key = ed25519_dalek::SigningKey::from_keypair_bytes(&bytes);
        let seed = key.map_err(|_| SecretKeyError::Key)?.to_bytes();
        Self::from_seed(name, &seed)
    }

    /// `NAME:BASE64`, as [`SecretKey::parse`] reads it.
    #[must_use]
    pub fn to_nix_string(&self) -> String {
        let encode = |bytes: [u8; 64]| base64::engine::general_purpose::STANDARD.encode(bytes);
        format!("{}:{}", self.name, encode(self.key.to_keypair_bytes()))
    }

    /// The public half, for `trusted-public-keys`: `NAME:BASE64`.
    #[must_use]
    pub fn public(&self) -> String {
        let bytes = self.key.verifying_key().to_bytes();
        format!("{}:{}", self.name, base64::engine::general_purpose::STANDARD.encode(bytes))
    }

    /// The signature of a fingerprint: `NAME:BASE64`.
    #[must_use]
    pub fn sign(&self, fingerprint: &str) -> String {
        let bytes = self.key.sign(fingerprint.as_bytes()).to_bytes();
        format!("{}:{}", self.name, base64::engine::general_purpose::STANDARD.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_come_back_and_their_signatures_hold(seed: [u8; 32], said in ".*") {
            let key = SecretKey::from_seed("cache-1", &seed).unwrap();
            let back = SecretKey::parse(&format!("{}\n", key.to_nix_string())).unwrap();
            prop_assert_eq!(back.to_nix_string(), key.to_nix_string());
            let trusted = [TrustedPublicKey::parse(&key.public()).unwrap()];
            let signature = NixSignature::parse(&back.sign(&said)).unwrap();
            prop_assert!(signature.verify(said.as_bytes(), &trusted).unwrap());
            let other = format!("{said}x");
            prop_assert!(!signature.verify(other.as_bytes(), &trusted).unwrap());
        }

        #[test]
        fn no_text_is_too_bad(text in ".*") {
            let _ = SecretKey::parse(&text);
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let key = SecretKey::from_seed("k", &[7; 32]).unwrap().to_nix_string();
        assert_eq!(SecretKey::parse(&key[..key.len() - 4]).unwrap_err(), SecretKeyError::Key);
        assert_eq!(SecretKey::parse("k").unwrap_err(), SecretKeyError::Name);
        assert_eq!(SecretKey::from_seed("a:b", &[7; 32]).unwrap_err(), SecretKeyError::Name);
        // A public half of another key.
        let mut bytes = [7; 64];
        bytes[..32].fill(1);
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        assert_eq!(SecretKey::parse(&format!("k:{text}")).unwrap_err(), SecretKeyError::Key);
    }
}
