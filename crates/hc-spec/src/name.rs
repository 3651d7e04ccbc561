//! Names of clouds, hosts, networks and machines.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest name in bytes: a DNS label (RFC 1035 2.3.4).
pub const MAX: usize = 63;

/// A lower-case DNS label: `[a-z]([a-z0-9-]*[a-z0-9])?`, at most [`MAX`] bytes.
///
/// It can stand in a path, a DNS name and a cgroup name without quoting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Name(String);

/// Why a string is no [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is not a name: use 1 to 63 lower-case letters, digits and '-', starting with a \
     letter and not ending with '-'"
)]
pub struct NameError {
    /// What was given.
    pub text: String,
}

impl Name {
    /// Checks `text`.
    ///
    /// # Errors
    /// When it is not a lower-case DNS label.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        let bytes = text.as_bytes();
        let fits = (1..=MAX).contains(&bytes.len())
            && bytes[0].is_ascii_lowercase()
            && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
            && bytes[bytes.len() - 1] != b'-';
        if fits { Ok(Self(text)) } else { Err(NameError { text }) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(de)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_labels_are_names() {
        for good in ["a", "web", "web-1", "a--b"] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", "-a", "a-", "1a", "A", "a.b", "a/b", "..", "a b", "é", &long] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
    }
}
