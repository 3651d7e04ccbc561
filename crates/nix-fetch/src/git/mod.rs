//! Git: commits and work trees.

mod export;
mod lfs;
mod program;
mod remote;
mod workdir;

pub use workdir::{Workdir, workdir};

use crate::error::{Error, Result, words};
use crate::{Content, Fetcher, Tree};
use nix_compat::flake_ref::{Attr, Attrs, Input};
use nix_compat::url::Url;
use program::text;
use remote::{has_commit, resolve};
use serde_json::{Map, Value as Json};
use std::path::{Path, PathBuf};

/// Where a repository is.
enum Location {
    /// A work tree on this machine.
    Local(PathBuf),
    /// Elsewhere, or bare.
    Remote(String),
}

fn location(input: &Input) -> Result<Location> {
    let mut url = Url::parse(input.text("url").unwrap_or_default(), false).map_err(words)?;
    if url.scheme == "file" {
        let path = PathBuf::from(url.to_path().map_err(words)?);
        if !path.exists() || path.join(".git").exists() {
            return std::path::absolute(&path).map(Location::Local).map_err(words);
        }
        url.query.clear();
    }
    url.query.remove("dir");
    Ok(Location::Remote(url.to_string()))
}

/// Where the commits of a work tree are looked up; it may be elsewhere than in `.git`.
fn last_modified(repository: &Path, rev: &str) -> Result<u64> {
    let time =
        text(repository, &["show", "--no-patch", "--no-show-signature", "--format=%ct", rev])?;
    let time = time.lines().last().unwrap_or_default();
    time.parse().map_err(|_| words(format!("git show: '{time}' is no time")))
}

impl Fetcher {
    pub(crate) fn fetch_git(&self, input: &Input) -> Result<Tree> {
        if input.flag("exportIgnore") && input.flag("submodules") {
            return Err(words("exportIgnore and submodules are not supported together yet"));
        }
        match location(input)? {
            Location::Local(path) if input.text("ref").is_none() && input.rev()?.is_none() => {
                self.fetch_workdir(input, &path)
            }
            place => self.fetch_commit(input, place),
        }
    }

    fn fetch_workdir(&self, input: &Input, path: &Path) -> Result<Tree> {
        let mut found = workdir(path)?;
        let mut files = std::mem::take(&mut found.files);
        if input.flag("submodules") {
            for submodule in &found.submodules {
                let mut inner = input.clone();
                let at = path.join(submodule);
                inner.attrs_mut().retain(|name, _| name == "type");
                let url = Url::of_path("file", &at.to_string_lossy()).to_string();
                inner.attrs_mut().insert("url".into(), url.into());
                inner.attrs_mut().insert("submodules".into(), Attr::Bool(true));
                let tree = self.fetch_git(&inner)?;
                found.dirty |= tree.input.text("rev").is_none();
                let Content::Local { files: Some(inner), .. } = tree.content else {
                    return Err(Error::Input(format!(
                        "the submodule '{}' is not checked out",
                        at.display()
                    )));
                };
                files.extend(inner.into_iter().map(|file| submodule.join(file)));
            }
        }
        if input.flag("exportIgnore") {
            files = workdir::exported(path, None, files)?;
        }
        let mut input = input.clone();
        let shown = path.display();
        let mut facts: &[&str] = &[];
        let attrs = input.attrs_mut();
        if found.dirty {
            if !self.config.allow_dirty {
                return Err(Error::Input(format!("Git tree '{shown}' is dirty")));
            }
            if self.config.warn_dirty {
                self.warn(&format!("Git tree '{shown}' is dirty"));
            }
            if let Some(head) = &found.head {
                let short = head.get(..7).unwrap_or(head);
                attrs.insert("dirtyRev".into(), format!("{head}-dirty").into());
                attrs.insert("dirtyShortRev".into(), format!("{short}-dirty").into());
            }
        } else {
            if let Some(branch) = &found.branch {
                attrs.insert("ref".into(), branch.as_str().into());
            }
            let none = "0".repeat(40);
            let rev = found.head.clone().unwrap_or(none);
            attrs.insert("rev".into(), rev.into());
        }
        match &found.head {
            None => {
                attrs.insert("lastModified".into(), Attr::Int(0));
                if !found.dirty && attrs.get("shallow") != Some(&Attr::Bool(true)) {
                    attrs.insert("revCount".into(), Attr::Int(0));
                }
            }
            Some(_) if found.dirty || attrs.get("shallow") == Some(&Attr::Bool(true)) => {
                facts = &["lastModified"];
            }
            Some(_) => facts = &["lastModified", "revCount"],
        }
        let content = Content::Local { path: path.to_path_buf(), files: Some(files) };
        Ok(Tree { input, content, facts })
    }

    fn fetch_commit(&self, input: &Input, place: Location) -> Result<Tree> {
        let name = match (input.text("ref"), &place) {
            (Some(name), _) => name.to_owned(),
            (None, Location::Remote(url)) => self.git_head(url)?,
            (None, Location::Local(path)) => local_branch(path)?,
        };
        let mut locked = input.clone();
        locked.attrs_mut().insert("ref".into(), name.as_str().into());
        let (repository, rev) = match &place {
            Location::Remote(url) => self.git_update(input, url, &name)?,
            Location::Local(path) if path.symlink_metadata().is_err() => {
                let shown = path.display();
                return Err(Error::Input(format!("Git repository \"{shown}\" does not exist.")));
            }
            Location::Local(path) => {
                let rev = match input.rev()? {
                    Some(rev) if has_commit(path, &rev) => rev,
                    Some(rev) => {
                        let shown = path.display();
                        return Err(Error::Input(format!(
                            "Git repository \"{shown}\" does not have commit '{rev}'"
                        )));
                    }
                    None => resolve(path, &name)?,
                };
                (path.clone(), rev)
            }
        };
        let attrs = locked.attrs_mut();
        attrs.insert("rev".into(), rev.as_str().into());
        if !attrs.contains_key("lastModified") {
            attrs.insert("lastModified".into(), Attr::Int(last_modified(&repository, &rev)?));
        }
        let counted = attrs.contains_key("revCount") || input.flag("shallow");
        let (path, hash) = self.git_tree(input, &place, &repository, &rev)?;
        let facts: &[&str] = if counted { &[] } else { &["revCount"] };
        Ok(Tree { input: locked, content: Content::Kept { path, hash }, facts })
    }

    /// The tree of a commit, written out once.
    fn git_tree(
        &self,
        input: &Input,
        place: &Location,
        repository: &Path,
        rev: &str,
    ) -> Result<(PathBuf, nix_compat::NixHash)> {
        let (submodules, ignore, lfs) =
            (input.flag("submodules"), input.flag("exportIgnore"), input.flag("lfs"));
        let mark = |set: bool, mark: &'static str| if set { mark } else { "" };
        let key = format!(
            "git-tree {rev}{}{}{}",
            mark(submodules, ";s"),
            mark(ignore, ";e"),
            mark(lfs, ";l")
        );
        let _lock = self.cache.lock(&key)?;
        if let Some(hash) = self.cache.record(&key).and_then(|record| record.hash("hash"))
            && let Some(path) = self.cache.named_tree(&hash, input.name())?
        {
            return Ok((path, hash));
        }
        let scratch = self.cache.scratch()?;
        let to = scratch.path().join("tree");
        let origin = match place {
            Location::Remote(url) => Some(url.as_str()),
            Location::Local(_) => None,
        };
        let inner = export::export(repository, rev, &to, ignore, lfs.then_some(origin))?;
        if submodules && !inner.is_empty() {
            self.add_submodules(place, repository, rev, &inner, lfs, &to)?;
        }
        let (path, hash) = self.cache.keep(&to, input.name())?;
        let mut facts = Map::new();
        facts.insert("hash".into(), Json::from(hash.to_sri_string()));
        self.cache.set_record(&key, facts)?;
        Ok((path, hash))
    }

    fn add_submodules(
        &self,
        place: &Location,
        repository: &Path,
        rev: &str,
        submodules: &[export::Submodule],
        lfs: bool,
        to: &Path,
    ) -> Result<()> {
        let base = match place {
            Location::Remote(url) => url.clone(),
            Location::Local(path) => text(path, &["config", "--get", "remote.origin.url"])
                .unwrap_or_else(|_| path.to_string_lossy().into_owned()),
        };
        let blob = format!("{rev}:.gitmodules");
        let listed = text(repository, &["config", "-z", "--blob", &blob, "--list"])?;
        // `submodule.NAME.path<newline>value<nul>`
        let values: Vec<(&str, &str, &str)> = listed
            .split('\0')
            .filter_map(|pair| {
                let (name, value) = pair.split_once('\n')?;
                let (name, what) = name.strip_prefix("submodule.")?.rsplit_once('.')?;
                Some((name, what, value))
            })
            .collect();
        for submodule in submodules {
            let path = submodule.path.to_string_lossy();
            let get = |name: &str, what: &str| {
                let mut all = values.iter().rev();
                all.find(|(n, w, _)| *n == name && *w == what).map(|(_, _, value)| *value)
            };
            let name = values.iter().find(|(_, what, value)| *what == "path" && *value == path);
            let Some((name, url)) = name.and_then(|(name, ..)| Some((*name, get(name, "url")?)))
            else {
                continue;
            };
            let mut attrs = Attrs::new();
            attrs.insert("type".into(), "git".into());
            attrs.insert("url".into(), submodule_url(&base, url).into());
            match get(name, "branch") {
                None => {}
                Some(".") => {
                    attrs.insert("ref".into(), "HEAD".into());
                }
                Some(branch) => {
                    attrs.insert("ref".into(), branch.into());
                }
            }
            attrs.insert("rev".into(), submodule.rev.as_str().into());
            attrs.insert("submodules".into(), Attr::Bool(true));
            attrs.insert("allRefs".into(), Attr::Bool(true));
            if lfs {
                attrs.insert("lfs".into(), Attr::Bool(true));
            }
            let tree = self.fetch_git(&Input::from_attrs(attrs)?)?;
            let Content::Kept { path, .. } = tree.content else { continue };
            crate::cache::copy(&path, &to.join(&submodule.path))?;
        }
        Ok(())
    }

    /// The time of the commit that a work tree is at.
    pub(crate) fn git_last_modified(&self, input: &Input) -> Result<u64> {
        match location(input)? {
            Location::Local(path) => last_modified(&path, &head_of(input)),
            Location::Remote(url) => {
                let copy = self.git_copy(&url, input.flag("shallow"))?;
                last_modified(&copy, &head_of(input))
            }
        }
    }

    pub(crate) fn git_rev_count(&self, input: &Input) -> Result<u64> {
        let (repository, shown) = match location(input)? {
            Location::Local(path) => (path.clone(), path.to_string_lossy().into_owned()),
            Location::Remote(url) => (self.git_copy(&url, input.flag("shallow"))?, url),
        };
        let rev = head_of(input);
        let key = format!("git-rev-count {rev}");
        if let Some(count) = self.cache.record(&key).and_then(|record| record.int("count")) {
            return Ok(count);
        }
        if text(&repository, &["rev-parse", "--is-shallow-repository"])? == "true" {
            return Err(Error::Input(format!(
                "'{shown}' is a shallow Git repository, so 'revCount' is not available"
            )));
        }
        let count = text(&repository, &["rev-list", "--count", &rev])?;
        let count = count.parse().map_err(|_| words(format!("git rev-list: '{count}'")))?;
        let mut facts = Map::new();
        facts.insert("count".into(), Json::from(count));
        // Whoever cannot write the cache counts again.
        let _ = self.cache.set_record(&key, facts);
        Ok(count)
    }
}

/// Writes a file of a work tree and tells git of it, unless it ignores it; commits it with
/// `message`.
///
/// # Errors
/// When it cannot be written, or git refuses.
pub(crate) fn put_file(
    root: &Path,
    file: &Path,
    contents: &[u8],
    message: Option<&str>,
) -> Result<()> {
    hc_fs::durable::write(&root.join(file), contents, 0o644)?;
    let name = file.to_string_lossy();
    if program::run(root, &["check-ignore", "--quiet", "--", &name]).is_ok() {
        return Ok(());
    }
    program::run(root, &["add", "--intent-to-add", "--", &name])?;
    if let Some(message) = message {
        program::run(root, &["commit", "--quiet", "-m", message, "--", &name])?;
    }
    Ok(())
}

/// The commit of an input that was fetched, whether there are changes on top or not.
fn head_of(input: &Input) -> String {
    let dirty = input.text("dirtyRev").and_then(|rev| rev.strip_suffix("-dirty"));
    dirty.or(input.text("rev")).unwrap_or("HEAD").to_owned()
}

fn local_branch(path: &Path) -> Result<String> {
    if path.symlink_metadata().is_err() {
        let shown = path.display();
        return Err(Error::Input(format!("Git repository \"{shown}\" does not exist.")));
    }
    Ok(text(path, &["symbolic-ref", "--quiet", "HEAD"]).unwrap_or_else(|_| "HEAD".into()))
}

/// The address of a submodule: one that begins with `./` or `../` starts from its parent's.
fn submodule_url(base: &str, url: &str) -> String {
    if !url.starts_with("./") && !url.starts_with("../") {
        return url.to_owned();
    }
    let (mut base, mut rest) = (base.trim_end_matches('/').to_owned(), url);
    loop {
        if let Some(below) = rest.strip_prefix("./") {
            rest = below;
        } else if let Some(above) = rest.strip_prefix("../") {
            rest = above;
            match base.rfind(['/', ':']) {
                Some(at) => base.truncate(if base.as_bytes()[at] == b':' { at + 1 } else { at }),
                None => base.push_str("/.."),
            }
        } else {
            break;
        }
    }
    let between = if base.ends_with(':') { "" } else { "/" };
    format!("{base}{between}{}", rest.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    #[test]
    fn addresses_of_submodules() {
        for (base, url, wanted) in [
            ("https://example.org/a/b.git", "../c.git", "https://example.org/a/c.git"),
            ("https://example.org/a/b", "../../c/d", "https://example.org/c/d"),
            ("https://example.org/a", "./c", "https://example.org/a/c"),
            ("git@example.org:a", "../c", "git@example.org:c"),
            ("https://example.org/a", "https://example.com/c", "https://example.com/c"),
            ("/a/b/", "../c", "/a/c"),
        ] {
            assert_eq!(super::submodule_url(base, url), wanted, "{base} {url}");
        }
    }
}
