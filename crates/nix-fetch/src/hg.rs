//! Mercurial: commits and work trees, by the program `hg`.

use crate::error::{Error, Result, words};
use crate::{Content, Fetcher, Tree};
use nix_compat::NixHash;
use nix_compat::flake_ref::{Attr, Input};
use nix_compat::url::Url;
use serde_json::{Map, Value as Json};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is taken when no branch, tag or commit is named.
const DEFAULT_BRANCH: &str = "default";

/// What a branch, tag or commit stands for.
struct Commit {
    rev: String,
    count: u64,
    branch: String,
}

fn hg(arguments: &[&OsStr]) -> Result<Vec<u8>> {
    let output = Command::new("hg")
        .args(arguments)
        // The user's settings and language change nothing of what is said.
        .env("HGPLAIN", "")
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Io { what: "running", path: "hg".into(), source })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let verb = arguments.first().unwrap_or(&OsStr::new("")).to_string_lossy();
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Input(format!("hg {verb}: {complaint}")))
}

/// Writes a file of a work tree and tells Mercurial of it; commits it with `message`.
///
/// # Errors
/// When it cannot be written, or `hg` refuses.
pub(crate) fn put_file(
    root: &Path,
    file: &Path,
    contents: &[u8],
    message: Option<&str>,
) -> Result<()> {
    let whole = root.join(file);
    hc_fs::durable::write(&whole, contents, 0o644)?;
    let name = whole.to_string_lossy();
    at(root, "add", &["--quiet", "--", &name])?;
    if let Some(message) = message {
        at(root, "commit", &["--message", message, "--", &name])?;
    }
    Ok(())
}

/// What `hg VERB -R REPOSITORY …` says.
fn at(repository: &Path, verb: &str, arguments: &[&str]) -> Result<Vec<u8>> {
    let mut all: Vec<&OsStr> = vec![verb.as_ref(), "-R".as_ref(), repository.as_ref()];
    all.extend(arguments.iter().map(OsStr::new));
    hg(&all)
}

fn text(repository: &Path, verb: &str, arguments: &[&str]) -> Result<String> {
    Ok(String::from_utf8_lossy(&at(repository, verb, arguments)?).trim_end().to_owned())
}

/// The directory of a repository on this machine, and how `hg` is told where a repository is.
fn location(input: &Input) -> Result<(Option<PathBuf>, String)> {
    let url = Url::parse(input.text("url").unwrap_or_default(), false).map_err(words)?;
    if url.scheme != "file" {
        return Ok((None, url.to_string()));
    }
    let path = url.to_path().map_err(words)?;
    Ok((Some(PathBuf::from(&path)), path))
}

impl Fetcher {
    pub(crate) fn fetch_hg(&self, input: &Input) -> Result<Tree> {
        let (local, url) = location(input)?;
        let named = input.text("ref").is_some() || input.rev()?.is_some();
        if let (Some(path), false) = (&local, named)
            && path.join(".hg").exists()
            && let Some(tree) = self.unclean(input, path)?
        {
            return Ok(tree);
        }
        let name = input.text("ref").unwrap_or(DEFAULT_BRANCH);
        let (copy, commit) = self.hg_update(input, &url, name)?;
        let (path, hash) = self.hg_tree(&copy, &commit.rev, input.name())?;
        let mut locked = input.clone();
        let attrs = locked.attrs_mut();
        attrs.insert("rev".into(), commit.rev.into());
        attrs.insert("revCount".into(), Attr::Int(commit.count));
        attrs.insert("ref".into(), commit.branch.into());
        Ok(Tree { input: locked, content: Content::Kept { path, hash }, facts: &[] })
    }

    /// A work tree that has changes: the tracked files as they are.
    fn unclean(&self, input: &Input, path: &Path) -> Result<Option<Tree>> {
        if at(path, "status", &["--modified", "--added", "--removed"])?.is_empty() {
            return Ok(None);
        }
        let message = format!("Mercurial tree '{}' is unclean", path.display());
        if !self.config.allow_dirty {
            return Err(Error::Input(message));
        }
        if self.config.warn_dirty {
            self.warn(&message);
        }
        let mut input = input.clone();
        input.attrs_mut().insert("ref".into(), text(path, "branch", &[])?.into());
        let listed = ["--clean", "--modified", "--added", "--no-status", "--print0"];
        let listed = at(path, "status", &listed)?;
        let names = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let files = names.map(|name| PathBuf::from(OsStr::from_bytes(name))).collect();
        let content = Content::Local { path: path.to_path_buf(), files: Some(files) };
        Ok(Some(Tree { input, content, facts: &[] }))
    }

    /// Brings the copy of a repository up to date with what `input` needs: where it is, and the
    /// commit.
    fn hg_update(&self, input: &Input, url: &str, name: &str) -> Result<(PathBuf, Commit)> {
        let copy = self.cache.folder("hg")?.join(crate::cache::digest(url));
        let _lock = self.cache.lock(&format!("hg {}", copy.display()))?;
        let rev = input.rev()?;
        let wanted = rev.as_deref().unwrap_or(name);
        let key = format!("hg-pulled {}", copy.display());
        let there = copy.exists();
        // A repository on this machine is asked each time: its next commit is meant at once.
        let nearby = location(input)?.0.is_some() && input.text("ref").is_none();
        let fresh = || !nearby && self.cache.record(&key).is_some_and(|record| !record.expired);
        // A commit stays what it is; a branch does so for a while.
        let known = match &rev {
            _ if !there => None,
            Some(rev) => commit(&copy, rev).ok(),
            None if fresh() => commit(&copy, name).ok(),
            None => None,
        };
        if let Some(known) = known {
            return Ok((copy, known));
        }
        if there {
            pull(&copy, url)?;
        } else {
            let scratch = self.cache.scratch()?;
            let to = scratch.path().join("copy");
            let arguments = ["clone", "--quiet", "--noupdate", "--", url].map(OsStr::new);
            hg(&[&arguments[..], &[to.as_os_str()]].concat())?;
            hc_fs::plain::rename(&to, &copy)?;
        }
        self.cache.set_record(&key, Map::new())?;
        let found = commit(&copy, wanted)?;
        Ok((copy, found))
    }

    /// The tree of a commit, written out once.
    fn hg_tree(&self, copy: &Path, rev: &str, name: &str) -> Result<(PathBuf, NixHash)> {
        let key = format!("hg-tree {rev}");
        let _lock = self.cache.lock(&key)?;
        if let Some(hash) = self.cache.record(&key).and_then(|record| record.hash("hash"))
            && let Some(path) = self.cache.named_tree(&hash, name)?
        {
            return Ok((path, hash));
        }
        let scratch = self.cache.scratch()?;
        let to = scratch.path().join("tree");
        at(copy, "archive", &["-r", rev, "--", &to.to_string_lossy()])?;
        hc_fs::plain::remove_file(&to.join(".hg_archival.txt"))?;
        let (path, hash) = self.cache.keep(&to, name)?;
        let mut facts = Map::new();
        facts.insert("hash".into(), Json::from(hash.to_sri_string()));
        self.cache.set_record(&key, facts)?;
        Ok((path, hash))
    }
}

/// Gets what is new. A pull that was cut off is undone first.
fn pull(copy: &Path, url: &str) -> Result<()> {
    let arguments = ["--quiet", "--", url];
    let Err(error) = at(copy, "pull", &arguments) else { return Ok(()) };
    if !copy.join(".hg/store/journal").exists() {
        return Err(error);
    }
    at(copy, "recover", &[])?;
    at(copy, "pull", &arguments).map(|_| ())
}

fn commit(copy: &Path, name: &str) -> Result<Commit> {
    let said = text(copy, "log", &["-r", name, "--template", "{node} {rev} {branch}"])?;
    let mut parts = said.splitn(3, ' ');
    let (rev, count, branch) = (parts.next(), parts.next(), parts.next());
    match (rev, count.and_then(|count| count.parse().ok()), branch) {
        (Some(rev), Some(count), Some(branch)) => {
            Ok(Commit { rev: rev.to_owned(), count, branch: branch.to_owned() })
        }
        _ => Err(words(format!("hg log: '{said}' is no commit"))),
    }
}
