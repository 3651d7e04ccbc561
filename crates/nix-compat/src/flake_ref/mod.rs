//! Flake references: as people write them, as lock files keep them.

mod attrs;
mod git_url;
mod input;
mod names;
pub mod registry;
mod schemes;

pub use attrs::{Attr, Attrs, from_json, to_json};
pub use git_url::fix_git_url;
pub use input::{Input, RefError};
pub use names::{is_id, is_legal_ref, is_revision};

use crate::url::{Url, decode_query, percent_decode};
use std::collections::BTreeMap;
use std::fmt;

/// An input and the directory in it that has the `flake.nix`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FlakeRef {
    /// Where it is fetched from.
    pub input: Input,
    /// The directory in it; empty for its root.
    pub dir: String,
}

/// A reference that is a path on disk: what it means depends on what lies there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PathRef {
    /// The path, perhaps relative.
    pub path: String,
    /// The parameters after `?`.
    pub query: BTreeMap<String, String>,
}

/// What a text turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// A reference.
    Ref(FlakeRef),
    /// A path.
    Path(PathRef),
}

/// Reads a reference and what follows `#`; a file is enough when no `tree` is wanted.
///
/// # Errors
/// When it is neither a reference nor a path.
pub fn parse(text: &str, tree: bool) -> Result<(Parsed, String), RefError> {
    if let Some((url, fragment)) = id_url(text)? {
        let found = FlakeRef { input: Input::from_url(&url, tree)?, dir: String::new() };
        return Ok((Parsed::Ref(found), fragment));
    }
    match Url::parse(text, true).map_err(RefError::from).and_then(|url| of_url(url, tree)) {
        Ok((found, fragment)) => return Ok((Parsed::Ref(found), fragment)),
        Err(RefError::Url(_)) => {}
        Err(error) => return Err(error),
    }
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = PathRef { path: path.to_owned(), query: decode_query(query, true)? };
    Ok((Parsed::Path(path), percent_decode(fragment)?))
}

/// `id`, `id/branch`, `id/commit`, `id/branch/commit`: short for a `flake:` URL.
fn id_url(text: &str) -> Result<Option<(Url, String)>, RefError> {
    let (reference, fragment) = match text.split_once('#') {
        Some((reference, fragment)) => (reference, fragment),
        None => (text, ""),
    };
    let in_fragment =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'\"()*+,;=:@/? ^".contains(&byte);
    let (id, version) = match reference.split_once('/') {
        Some((id, version)) => (id, Some(version)),
        None => (reference, None),
    };
    if !is_id(id) || !version.is_none_or(names::is_plain_ref) || !fragment.bytes().all(in_fragment)
    {
        return Ok(None);
    }
    let url = Url {
        scheme: "flake".into(),
        path: reference.split('/').map(str::to_owned).collect(),
        ..Url::default()
    };
    Ok(Some((url, percent_decode(fragment)?)))
}

fn of_url(mut url: Url, tree: bool) -> Result<(FlakeRef, String), RefError> {
    let dir = url.query.remove("dir").unwrap_or_default();
    let fragment = std::mem::take(&mut url.fragment);
    Ok((FlakeRef { input: Input::from_url(&url, tree)?, dir }, fragment))
}

impl PathRef {
    /// The `path:` reference, without a look at the disk.
    ///
    /// # Errors
    /// When the parameters are none of a path.
    pub fn as_path_input(&self, path: &str, tree: bool) -> Result<FlakeRef, RefError> {
        self.as_url("path", path, tree)
    }

    /// The reference with another scheme, such as `git+file`.
    ///
    /// # Errors
    /// When the parameters are none of such a URL.
    pub fn as_url(&self, scheme: &str, path: &str, tree: bool) -> Result<FlakeRef, RefError> {
        let mut url = Url::of_path(scheme, path);
        url.query.clone_from(&self.query);
        of_url(url, tree).map(|(found, _)| found)
    }
}

impl FlakeRef {
    /// Reads a reference as a flake or an evaluation says it, where no directory is known: paths
    /// must be absolute, unless `relative` ones may pass.
    ///
    /// # Errors
    /// When it is none, or has a fragment.
    pub fn parse(text: &str, tree: bool, relative: bool) -> Result<Self, RefError> {
        let (parsed, fragment) = parse(text, tree)?;
        let found = match parsed {
            Parsed::Ref(found) => found,
            Parsed::Path(path) if path.path.starts_with('/') || relative => {
                path.as_path_input(&path.path, tree)?
            }
            Parsed::Path(_) => {
                let message = format!("flake reference '{text}' is not an absolute path");
                return Err(RefError::Url(message));
            }
        };
        if fragment.is_empty() {
            return Ok(found);
        }
        let message = format!("unexpected fragment '{fragment}' in flake reference '{text}'");
        Err(RefError::Wrong(message))
    }

    /// A reference from attributes, `dir` among them.
    ///
    /// # Errors
    /// When they are no input.
    pub fn from_attrs(mut attrs: Attrs) -> Result<Self, RefError> {
        let dir = match attrs.remove("dir") {
            None => String::new(),
            Some(Attr::Text(dir)) => dir,
            Some(_) => {
                return Err(RefError::Wrong("input attribute 'dir' is not a string".into()));
            }
        };
        Ok(Self { input: Input::from_attrs(attrs)?, dir })
    }

    /// All attributes, `dir` among them.
    #[must_use]
    pub fn to_attrs(&self) -> Attrs {
        let mut attrs = self.input.attrs().clone();
        if !self.dir.is_empty() {
            attrs.entry("dir".to_owned()).or_insert_with(|| self.dir.as_str().into());
        }
        attrs
    }

    /// The reference as text.
    ///
    /// # Errors
    /// When the type is not known or an attribute is wrong.
    pub fn to_text(&self) -> Result<String, RefError> {
        let mut url = self.input.to_url()?;
        if !self.dir.is_empty() {
            url.query.entry("dir".to_owned()).or_insert_with(|| self.dir.clone());
        }
        Ok(url.to_string())
    }

    /// The reference without what old lock files say twice: `dir` in the URL, too.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let mut found = self.clone();
        let Some(mut url) = self.input.text("url").and_then(|url| Url::parse(url, true).ok())
        else {
            return found;
        };
        if !self.dir.is_empty() && url.query.get("dir") == Some(&self.dir) {
            url.query.remove("dir");
        }
        found.input.attrs_mut().insert("url".into(), url.to_string().into());
        found
    }
}

impl fmt::Display for FlakeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_text() {
            Ok(text) => f.write_str(&text),
            Err(_) => write!(f, "{}", to_json(&self.to_attrs())),
        }
    }
}

#[cfg(test)]
mod tests;
