//! Archives from URLs.

use crate::error::{Error, Result, words};
use crate::unpack::unpack;
use crate::{Content, Fetcher, Tree};
use nix_compat::NixHash;
use nix_compat::flake_ref::{Attr, FlakeRef, Input};
use nix_compat::url::Url;
use nix_store::http::Request;
use serde_json::{Map, Value as Json};
use std::path::{Path, PathBuf};

/// What an archive turned out to be.
struct Unpacked {
    path: PathBuf,
    hash: NixHash,
    modified: u64,
    immutable: Option<String>,
}

impl Fetcher {
    pub(crate) fn fetch_tarball(&self, input: &Input) -> Result<Tree> {
        let url = input.text("url").unwrap_or_default();
        let found = self.archive_at(url, input.name())?;
        let mut locked = input.clone();
        if let Some(immutable) = &found.immutable {
            let reference = FlakeRef::parse(immutable, true, false)?;
            if reference.input.kind() != "tarball" {
                return Err(Error::Input(
                    "tarball 'Link' headers that redirect to non-tarball URLs are not supported"
                        .into(),
                ));
            }
            locked = reference.input;
        }
        let attrs = locked.attrs_mut();
        if found.modified != 0 {
            attrs.entry("lastModified".into()).or_insert(Attr::Int(found.modified));
        }
        attrs.insert("narHash".into(), found.hash.to_sri_string().into());
        let content = Content::Kept { path: found.path, hash: found.hash };
        Ok(Tree { input: locked, content, facts: &[] })
    }

    fn archive_at(&self, url: &str, name: &str) -> Result<Unpacked> {
        check_file(url)?;
        let key = format!("tarball {url}");
        let _lock = self.cache.lock(&key)?;
        let record = self.cache.record(&key);
        let mut known = None;
        if let Some(record) = &record
            && let (Some(hash), Some(modified)) = (record.hash("hash"), record.int("lastModified"))
            && let Some(path) = self.cache.named_tree(&hash, name)?
        {
            let immutable = record.text("immutable").map(str::to_owned);
            known = Some(Unpacked { path, hash, modified, immutable });
        }
        // A file may change without telling: asking it costs little.
        let local = url.starts_with("file:");
        if let (Some(record), false) = (&record, local)
            && !record.expired
            && let Some(known) = known
        {
            return Ok(known);
        }
        let scratch = self.cache.scratch()?;
        let file = scratch.path().join("archive");
        let etag = known.as_ref().and(record.as_ref()).and_then(|record| record.text("etag"));
        let answer = self.client.download(&Request { url, headers: &[], etag }, &file);
        let answer = answer.map_err(words)?;
        let found = match known {
            Some(known) if answer.unchanged => known,
            _ => {
                let (path, hash, modified) = self.keep_archive(&file, url, name)?;
                Unpacked { path, hash, modified, immutable: answer.immutable }
            }
        };
        let mut facts = Map::new();
        facts.insert("etag".into(), Json::from(answer.etag));
        facts.insert("hash".into(), Json::from(found.hash.to_sri_string()));
        facts.insert("lastModified".into(), Json::from(found.modified));
        if let Some(immutable) = &found.immutable {
            facts.insert("immutable".into(), Json::from(immutable.as_str()));
        }
        self.cache.set_record(&key, facts)?;
        Ok(found)
    }

    /// Unpacks an archive and keeps its tree: where, its hash, the newest time in it.
    pub(crate) fn keep_archive(
        &self,
        file: &Path,
        url: &str,
        name: &str,
    ) -> Result<(PathBuf, NixHash, u64)> {
        let scratch = self.cache.scratch()?;
        let to = scratch.path().join("tree");
        let modified = unpack(file, &to)
            .map_err(|error| Error::Input(format!("cannot unpack '{url}': {error}")))?;
        let (path, hash) = self.cache.keep(&top(&to)?, name)?;
        Ok((path, hash, modified))
    }
}

/// The only thing in a directory, if it is a directory; otherwise the directory.
fn top(tree: &Path) -> Result<PathBuf> {
    let failed = crate::error::io("reading", tree);
    let entries: std::io::Result<Vec<_>> =
        std::fs::read_dir(tree).and_then(|all| all.take(2).collect());
    let entries = entries.map_err(failed)?;
    match entries.as_slice() {
        [only] if only.file_type().is_ok_and(|kind| kind.is_dir()) => Ok(only.path()),
        _ => Ok(tree.to_path_buf()),
    }
}

/// Says what is wrong with a file that is no archive, before it is read as one.
fn check_file(url: &str) -> Result<()> {
    if !url.starts_with("file:") {
        return Ok(());
    }
    let path = Url::parse(url, false).and_then(|url| url.to_path()).map_err(words)?;
    let wrong = |text: String| Err(Error::Input(text));
    if !path.starts_with('/') {
        return wrong(format!(
            "tarball '{url}' must use an absolute path. The 'file' scheme does not support \
             relative paths."
        ));
    }
    let file = Path::new(&path);
    if !file.exists() {
        return wrong(format!("tarball \"{path}\" does not exist."));
    }
    if file.is_dir() && file.join(".git").exists() {
        return wrong(format!(
            "tarball \"{path}\" is a git repository, not a tarball. Please use `git+file` as the \
             scheme."
        ));
    }
    if file.is_dir() {
        return wrong(format!("tarball \"{path}\" is a directory, not a file."));
    }
    Ok(())
}
