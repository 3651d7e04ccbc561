//! References as people write them: a directory is the flake around it.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix_compat::flake_ref::{FlakeRef, Parsed, PathRef, parse};
use nix_compat::url::Url;

use super::source::ref_error;
use crate::Evaluator;
use crate::error::{Error, Result};
use crate::io::FileType;
use crate::paths::{as_path, canonical, dir_name};
use crate::source::NO_POS;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", text(bytes))
}

impl<'a> Evaluator<'a> {
    /// A reference whose directories start from `base`; without one, only absolute ones are taken.
    pub(super) fn user_reference(
        &self,
        reference: &str,
        base: Option<&Path>,
        missing: bool,
    ) -> Result<FlakeRef> {
        let base = base.unwrap_or(Path::new("/"));
        let (found, fragment) = self.user_fragment(reference, base, missing)?;
        if fragment.is_empty() {
            return Ok(found);
        }
        let message = format!("unexpected fragment '{fragment}' in flake reference '{reference}'");
        Err(Error::eval(message, NO_POS))
    }

    /// The same, with what follows `#`; `missing` flakes may be.
    pub(super) fn user_fragment(
        &self,
        reference: &str,
        base: &Path,
        missing: bool,
    ) -> Result<(FlakeRef, String)> {
        let base = base.as_os_str().as_bytes();
        let (parsed, fragment) =
            parse(reference, true).map_err(|error| ref_error(error, NO_POS))?;
        let found = match parsed {
            Parsed::Ref(found) => absolute(found, base)?,
            Parsed::Path(path) => self.path_flake(&path, base, missing)?,
        };
        Ok((found, fragment))
    }

    fn is_there(&self, dir: &[u8], name: &str) -> bool {
        let file = [dir, b"/", name.as_bytes()].concat();
        self.io.file_type(as_path(&file)).unwrap_or(None).is_some()
    }

    fn path_flake(&self, found: &PathRef, base: &[u8], missing: bool) -> Result<FlakeRef> {
        let mut path = canonical(&[base, b"/", found.path.as_bytes()].concat());
        if found.path.starts_with('/') {
            path = canonical(found.path.as_bytes());
        }
        let wrong = |message: String| Err(Error::eval(message, NO_POS));
        let kind = self.io.file_type(as_path(&path)).unwrap_or(None);
        if kind == Some(FileType::Symlink)
            && let Ok(target) = self.io.read_link(as_path(&path))
        {
            let target = target.as_os_str().as_bytes();
            path = match target.starts_with(b"/") {
                true => canonical(target),
                false => canonical(&[dir_name(&path), b"/", target].concat()),
            };
        } else if kind == Some(FileType::Regular) && path.ends_with(b"/flake.nix") {
            let parent = dir_name(&path).to_vec();
            self.io.message(&format!(
                "warning: Path {} should point at the directory containing the 'flake.nix' file, \
                 not the file itself. Pretending that you meant {}",
                quoted(&path),
                quoted(&parent)
            ));
            path = parent;
        } else if kind.is_none() {
            return wrong(format!("path {} does not exist", quoted(&path)));
        } else if kind != Some(FileType::Directory) {
            return wrong(format!(
                "path {} is not a flake (because it's not a directory)",
                quoted(&path)
            ));
        }
        if !missing && !self.is_there(&path, "flake.nix") {
            path = self.search_up(&path)?;
        }
        self.tree_of_path(&path, found)
    }

    fn search_up(&self, path: &[u8]) -> Result<Vec<u8>> {
        let shown = quoted(path);
        let message = format!("path {shown} does not contain a 'flake.nix', searching up");
        self.io.message(&message);
        let mut at = path;
        while at != b"/" {
            if self.is_there(at, "flake.nix") {
                return Ok(at.to_vec());
            }
            if self.is_there(at, ".git") {
                let message = format!(
                    "path {} is not part of a flake (neither it nor its parent directories contain \
                     a 'flake.nix' file)",
                    quoted(at)
                );
                return Err(Error::eval(message, NO_POS));
            }
            at = dir_name(at);
        }
        Err(Error::eval("could not find a flake.nix file", NO_POS))
    }

    /// A directory with a flake: a part of a git work tree, or by itself.
    fn tree_of_path(&self, path: &[u8], found: &PathRef) -> Result<FlakeRef> {
        let (mut root, mut dir) = (path, String::new());
        while root != b"/" {
            if self.is_there(root, ".git") {
                let mut found = found.clone();
                if !dir.is_empty() && found.query.insert("dir".into(), dir).is_some() {
                    let message =
                        format!("flake URL '{}' has an inconsistent 'dir' parameter", text(path));
                    return Err(Error::eval(message, NO_POS));
                }
                if self.is_there(root, ".git/shallow") {
                    found.query.insert("shallow".into(), "1".into());
                }
                let reference = found.as_url("git+file", &text(root), true);
                return reference.map_err(|error| ref_error(error, NO_POS));
            }
            let name = text(crate::paths::base_name(root));
            dir = if dir.is_empty() { name } else { format!("{name}/{dir}") };
            root = dir_name(root);
        }
        found.as_path_input(&text(path), true).map_err(|error| ref_error(error, NO_POS))
    }

    /// The reference of a directory that has a flake.
    pub(super) fn directory_reference(&self, dir: &[u8], untracked: bool) -> Result<FlakeRef> {
        let found = PathRef { path: text(dir), ..PathRef::default() };
        match untracked {
            true => {
                found.as_path_input(&found.path, true).map_err(|error| ref_error(error, NO_POS))
            }
            false => self.tree_of_path(dir, &found),
        }
    }
}

/// `path:` and `git+file:` references with relative paths start from `base`.
fn absolute(mut found: FlakeRef, base: &[u8]) -> Result<FlakeRef> {
    let join = |path: &str| text(&canonical(&[base, b"/", path.as_bytes()].concat()));
    if let Some(path) = found.input.relative_path() {
        let path = join(path);
        found.input.attrs_mut().insert("path".into(), path.into());
    } else if found.input.kind() == "git"
        && let Some(mut url) = found.input.text("url").and_then(|url| Url::parse(url, true).ok())
        && url.scheme == "file"
        && let Ok(path) = url.to_path()
        && !path.starts_with('/')
    {
        let there = Url::of_path("file", &join(&path));
        (url.path, url.authority) = (there.path, there.authority);
        found.input.attrs_mut().insert("url".into(), url.to_string().into());
    }
    Ok(found)
}
