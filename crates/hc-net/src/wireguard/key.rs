//! The key of a host. It is made on the host and never leaves it.

use crate::error::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use boringtun::x25519::{PublicKey, StaticSecret};
use std::io::ErrorKind;
use std::path::Path;

/// A private key (RFC 7748), as base64 in a file, like those of wg(8).
#[derive(Clone)]
pub struct Key(StaticSecret);

impl Key {
    /// Reads the key, or makes one.
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds no key.
    pub fn of_host(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => decode(text.trim()).map(|bytes| Self(bytes.into())).ok_or_else(|| {
                let source = std::io::Error::new(ErrorKind::InvalidData, "it holds no key");
                Error::Read { path: path.into(), source }
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Self::make(path),
            Err(source) => Err(Error::Read { path: path.into(), source }),
        }
    }

    /// One that nobody has.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new() -> Result<Self> {
        Ok(Self(random()?.into()))
    }

    fn make(path: &Path) -> Result<Self> {
        let key = Self::new()?;
        let text = format!("{}\n", key.private());
        if let Some(directory) = path.parent() {
            hc_fs::durable::create_dir_all(directory, 0o755)?;
        }
        hc_fs::durable::write(path, text.as_bytes(), 0o600)?;
        Ok(key)
    }

    /// What others are told.
    #[must_use]
    pub fn public(&self) -> String {
        text(&PublicKey::from(&self.0))
    }

    /// What nobody else is to know.
    #[must_use]
    pub fn private(&self) -> String {
        STANDARD.encode(self.0.to_bytes())
    }

    pub(super) fn secret(&self) -> StaticSecret {
        self.0.clone()
    }
}

pub(super) fn text(public: &PublicKey) -> String {
    STANDARD.encode(public.as_bytes())
}

/// Reads what [`Key::public`] wrote.
pub(super) fn public(text: &str) -> Option<PublicKey> {
    decode(text).map(PublicKey::from)
}

/// Whether a text is a key of either kind.
pub(super) fn is_key(text: &str) -> bool {
    decode(text).is_some()
}

/// 32 bytes nobody can guess.
pub(super) fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    let got = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    got.map_err(|source| Error::System { action: "get randomness", source: source.into() })?;
    Ok(bytes)
}

pub(super) fn decode(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_nobody_elses() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/overlay.key");
        let made = Key::of_host(&path).unwrap().public();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Key::of_host(&path).unwrap().public(), made);
        assert!(public(&made).is_some());
        assert_ne!(Key::of_host(&dir.path().join("other")).unwrap().public(), made);
        hc_fs::plain::write(&path, b"rubbish", 0o600).unwrap();
        assert!(Key::of_host(&path).err().unwrap().to_string().contains("it holds no key"));
    }
}
