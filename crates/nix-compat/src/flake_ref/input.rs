//! One input: where something is fetched from.

use super::attrs::{Attr, Attrs, to_json};
use super::schemes;
use crate::hash::{self, HashAlgorithm, NixHash};
use crate::url::{BadUrl, Url};

/// Why something is no input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefError {
    /// It does not look like one: it may be something else, such as a path.
    #[error("{0}")]
    Url(String),
    /// It looks like one, and is wrong.
    #[error("{0}")]
    Wrong(String),
}

impl From<BadUrl> for RefError {
    fn from(error: BadUrl) -> Self {
        RefError::Url(error.0)
    }
}

/// Where something is fetched from: attributes that fit their `type`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Input {
    attrs: Attrs,
}

impl Input {
    /// An input from a URL; `tree` says that a directory is wanted and not a file.
    ///
    /// # Errors
    /// When no kind of input has such URLs, or it is wrong.
    pub fn from_url(url: &Url, tree: bool) -> Result<Self, RefError> {
        schemes::from_url(url, tree).map(|attrs| Self { attrs })
    }

    /// An input from its attributes.
    ///
    /// # Errors
    /// When an attribute is missing, is not known to the type, or has a wrong value.
    pub fn from_attrs(attrs: Attrs) -> Result<Self, RefError> {
        schemes::from_attrs(attrs).map(|attrs| Self { attrs })
    }

    /// The attributes.
    #[must_use]
    pub fn attrs(&self) -> &Attrs {
        &self.attrs
    }

    /// The attributes, to be set by whoever fetches.
    pub fn attrs_mut(&mut self) -> &mut Attrs {
        &mut self.attrs
    }

    /// The `type`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.text("type").unwrap_or_default()
    }

    /// An attribute that is a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.attrs.get(name).and_then(Attr::text)
    }

    /// An attribute that is a truth value; `false` when it is not there.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.attrs.get(name), Some(Attr::Bool(true)))
    }

    /// The commit, as hexadecimal digits.
    ///
    /// # Errors
    /// When `rev` is no hash.
    pub fn rev(&self) -> Result<Option<String>, RefError> {
        self.text("rev").map(sha1).transpose()
    }

    /// The hash of the archive of what is fetched.
    ///
    /// # Errors
    /// When `narHash` is no SHA-256.
    pub fn nar_hash(&self) -> Result<Option<NixHash>, RefError> {
        let Some(text) = self.text("narHash") else { return Ok(None) };
        let wrong = |why: String| RefError::Wrong(why);
        if text.is_empty() {
            return Ok(Some(NixHash::Sha256([0; 32])));
        }
        match hash::parse(text, None) {
            Ok(hash @ NixHash::Sha256(_)) => Ok(Some(hash)),
            Ok(_) => Err(wrong("narHash must use SHA-256".into())),
            Err(error) => match text.split_once('-') {
                Some(_) => Err(wrong(error.to_string())),
                None => Err(wrong(format!("hash '{text}' is not SRI"))),
            },
        }
    }

    /// The store name wanted.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text("name").unwrap_or("source")
    }

    /// Whether fetching needs no registry.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.kind() != "indirect"
    }

    /// Whether it always gives the same.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        let rev = || self.text("rev").is_some_and(|rev| rev.bytes().any(|byte| byte != b'0'));
        match self.kind() {
            "path" | "tarball" | "file" => self.text("narHash").is_some(),
            "git" | "hg" | "github" | "gitlab" | "sourcehut" => rev(),
            _ => false,
        }
    }

    /// The path, when it starts from another input.
    #[must_use]
    pub fn relative_path(&self) -> Option<&str> {
        let path = if self.kind() == "path" { self.text("path")? } else { return None };
        (!path.starts_with('/')).then_some(path)
    }

    /// The URL, with parameters that belong to a flake.
    ///
    /// # Errors
    /// When the type is not known or an attribute is wrong.
    pub fn to_url(&self) -> Result<Url, RefError> {
        schemes::to_url(self)
    }

    /// The URL as text; the attributes as JSON where there is none.
    #[must_use]
    pub fn describe(&self) -> String {
        match self.to_url() {
            Ok(url) => url.to_string(),
            Err(_) => to_json(&self.attrs).to_string(),
        }
    }

    /// The input with another branch or commit.
    ///
    /// # Errors
    /// When its type has none.
    pub fn with_version(
        mut self,
        branch: Option<&str>,
        commit: Option<&str>,
    ) -> Result<Self, RefError> {
        let wrong = |text: String| Err(RefError::Wrong(text));
        let set = |input: &mut Self, name: &str, value: &str| {
            input.attrs.insert(name.to_owned(), value.into());
        };
        match self.kind() {
            "github" | "gitlab" | "sourcehut" => {
                if let (Some(branch), Some(commit)) = (branch, commit) {
                    return Err(RefError::Url(format!(
                        "cannot apply both a commit hash ({commit}) and a branch/tag name \
                         ('{branch}') to input '{}'",
                        self.describe()
                    )));
                }
                if let Some(commit) = commit {
                    set(&mut self, "rev", commit);
                    self.attrs.remove("ref");
                }
                if let Some(branch) = branch {
                    set(&mut self, "ref", branch);
                    self.attrs.remove("rev");
                }
            }
            "git" | "hg" | "indirect" => {
                if let Some(commit) = commit {
                    set(&mut self, "rev", commit);
                }
                if let Some(branch) = branch {
                    set(&mut self, "ref", branch);
                }
                if self.kind() == "git" && self.text("ref").is_none() && self.text("rev").is_some()
                {
                    return wrong(format!(
                        "Git input '{}' has a commit hash but no branch/tag name",
                        self.describe()
                    ));
                }
            }
            _ => {
                if let Some(branch) = branch {
                    return wrong(format!(
                        "don't know how to set branch/tag name of input '{}' to '{branch}'",
                        self.describe()
                    ));
                }
                if let Some(commit) = commit {
                    return wrong(format!(
                        "don't know how to set revision of input '{}' to '{commit}'",
                        self.describe()
                    ));
                }
            }
        }
        Ok(self)
    }
}

/// The digits of a hash of a commit.
pub(super) fn sha1(text: &str) -> Result<String, RefError> {
    let wrong =
        || RefError::Wrong(format!("hash '{text}' has wrong length for hash algorithm 'sha1'"));
    // Commits of repositories with SHA-256 have 64 digits.
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    let hash = hash::parse(text, Some(HashAlgorithm::Sha1)).map_err(|_| wrong())?;
    Ok(hash::format(&hash, hash::HashFormat::Base16))
}
