//! The cache: trees and files by their content, and records of what a name stood for and when.

use crate::error::{Error, Result, io, words};
use hc_fs::{durable, plain};
use nix_compat::hash::{HashFormat, format};
use nix_compat::{HashAlgorithm, NixHash, hash_bytes, nar};
use serde_json::{Map, Value as Json};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What a name stood for.
pub(crate) struct Record {
    /// The facts.
    pub facts: Map<String, Json>,
    /// Old enough to be asked again.
    pub expired: bool,
}

impl Record {
    pub fn text(&self, name: &str) -> Option<&str> {
        self.facts.get(name).and_then(Json::as_str)
    }

    pub fn int(&self, name: &str) -> Option<u64> {
        self.facts.get(name).and_then(Json::as_u64)
    }

    pub fn hash(&self, name: &str) -> Option<NixHash> {
        nix_compat::hash::parse(self.text(name)?, None).ok()
    }
}

pub(crate) struct Cache {
    root: PathBuf,
    ttl: Duration,
}

impl Cache {
    pub fn new(root: PathBuf, ttl: Duration) -> Self {
        Self { root, ttl }
    }

    /// A folder of the cache, made if it is not there.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.root.join(name);
        plain::create_dir_all(&folder, 0o755)?;
        Ok(folder)
    }

    /// A directory for something half made; gone when dropped.
    pub fn scratch(&self) -> Result<tempfile::TempDir> {
        let folder = self.folder("tmp")?;
        tempfile::tempdir_in(&folder).map_err(io("making a directory in", &folder))
    }

    /// Waits until nobody else fetches the same.
    pub fn lock(&self, key: &str) -> Result<File> {
        let path = self.folder("locks")?.join(digest(key));
        let file = plain::append(&path, 0o644)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|errno| io("locking", &path)(errno.into()))?;
        Ok(file)
    }

    fn record_path(&self, key: &str) -> PathBuf {
        self.root.join("records").join(digest(key))
    }

    /// What was recorded for a key. A record that is damaged is none.
    pub fn record(&self, key: &str) -> Option<Record> {
        let text = std::fs::read(self.record_path(key)).ok()?;
        let facts = match serde_json::from_slice(&text).ok()? {
            Json::Object(facts) => facts,
            _ => return None,
        };
        if facts.get("key").and_then(Json::as_str) != Some(key) {
            return None;
        }
        let then = Duration::from_secs(facts.get("time").and_then(Json::as_u64)?);
        Some(Record { expired: then + self.ttl <= now(), facts })
    }

    pub fn set_record(&self, key: &str, mut facts: Map<String, Json>) -> Result<()> {
        self.folder("records")?;
        facts.insert("key".into(), key.into());
        facts.insert("time".into(), now().as_secs().into());
        let text = Json::Object(facts).to_string();
        Ok(durable::write(&self.record_path(key), text.as_bytes(), 0o644)?)
    }

    fn tree_path(&self, hash: &NixHash, name: &str) -> PathBuf {
        self.root.join("trees").join(format!("{}-{name}", format(hash, HashFormat::Nix32)))
    }

    /// A tree that is kept.
    pub fn tree(&self, hash: &NixHash, name: &str) -> Option<PathBuf> {
        let path = self.tree_path(hash, name);
        path.symlink_metadata().is_ok().then_some(path)
    }

    /// A tree that is kept, perhaps under another name so far.
    pub fn named_tree(&self, hash: &NixHash, name: &str) -> Result<Option<PathBuf>> {
        if let Some(path) = self.tree(hash, name) {
            return Ok(Some(path));
        }
        match self.tree(hash, "source") {
            Some(other) => Ok(Some(self.keep_copy(&other, name)?.0)),
            None => Ok(None),
        }
    }

    /// Keeps a tree that was made in scratch space, by its hash.
    pub fn keep(&self, from: &Path, name: &str) -> Result<(PathBuf, NixHash)> {
        let hash = nar::hash_path(from).map_err(words)?;
        let hash = NixHash::Sha256(hash.sha256);
        self.folder("trees")?;
        let path = self.tree_path(&hash, name);
        if path.symlink_metadata().is_err()
            && let Err(error) = plain::rename(from, &path)
            // Somebody else was faster with the same.
            && path.symlink_metadata().is_err()
        {
            return Err(error.into());
        }
        Ok((path, hash))
    }

    /// Keeps a copy of a tree or file, by its hash.
    pub fn keep_copy(&self, from: &Path, name: &str) -> Result<(PathBuf, NixHash)> {
        let scratch = self.scratch()?;
        let to = scratch.path().join("tree");
        copy(from, &to)?;
        self.keep(&to, name)
    }

    /// Keeps a file by the hash of its bytes.
    pub fn keep_file(&self, from: &Path) -> Result<(PathBuf, NixHash)> {
        let file = File::open(from).map_err(io("reading", from))?;
        let hash = nix_compat::hash::hash_reader(HashAlgorithm::Sha256, file);
        let hash = hash.map_err(io("reading", from))?;
        let path = self.folder("files")?.join(format(&hash, HashFormat::Nix32));
        if !self.is_whole(&path, &hash) {
            durable::rename(from, &path)?;
        }
        Ok((path, hash))
    }

    /// A file that is kept, if it is what its name says.
    pub fn file(&self, hash: &NixHash) -> Option<PathBuf> {
        let path = self.root.join("files").join(format(hash, HashFormat::Nix32));
        self.is_whole(&path, hash).then_some(path)
    }

    fn is_whole(&self, path: &Path, hash: &NixHash) -> bool {
        let Ok(file) = File::open(path) else { return false };
        let found = nix_compat::hash::hash_reader(HashAlgorithm::Sha256, file);
        found.is_ok_and(|found| found == *hash)
    }
}

/// The name of a file for a key.
pub(crate) fn digest(key: &str) -> String {
    format(&hash_bytes(HashAlgorithm::Sha256, key.as_bytes()), HashFormat::Nix32)
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Copies a tree: files with their executable bit, directories, symlinks.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut open = vec![(from.to_path_buf(), to.to_path_buf())];
    while let Some((from, to)) = open.pop() {
        let metadata = from.symlink_metadata().map_err(io("reading", &from))?;
        if metadata.is_dir() {
            plain::create_dir_all(&to, 0o755)?;
            for entry in std::fs::read_dir(&from).map_err(io("reading", &from))? {
                let entry = entry.map_err(io("reading", &from))?;
                open.push((entry.path(), to.join(entry.file_name())));
            }
        } else if metadata.is_symlink() {
            let target = std::fs::read_link(&from).map_err(io("reading", &from))?;
            plain::symlink(&target, &to)?;
        } else if metadata.is_file() {
            let executable = metadata.permissions().mode() & 0o100 != 0;
            let mut source = File::open(&from).map_err(io("reading", &from))?;
            let mut target = plain::create_new(&to, if executable { 0o755 } else { 0o644 })?;
            std::io::copy(&mut source, &mut target).map_err(io("writing", &to))?;
        } else {
            let message = format!("file '{}' has an unsupported type", from.display());
            return Err(Error::Input(message));
        }
    }
    Ok(())
}
