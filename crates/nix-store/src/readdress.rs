//! Trees under another name: what they hold says their path, and where their old one stands in
//! them it is rewritten.

use crate::build::hash_output;
use crate::error::{Error, Result, archive, io};
use nix_compat::rewrite::{self, HashPart};
use nix_compat::{CAHash, ContentAddressMethod, HashAlgorithm, StoreDir, StorePath, nar, path};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A tree that is to get the path that follows from it.
pub(crate) struct Tree<'a> {
    pub at: &'a Path,
    /// The path under which it was made.
    pub own: &'a StorePath,
    /// The name it gets.
    pub name: &'a str,
    /// What it refers to, by the paths it knows.
    pub references: &'a BTreeSet<StorePath>,
    /// From a path it knows to the path that is now.
    pub moved: &'a BTreeMap<StorePath, StorePath>,
    /// A directory to rewrite in.
    pub work: &'a Path,
    pub refuse: &'a dyn Fn(String) -> Error,
}

/// The tree as it is to be stored.
pub(crate) struct Addressed {
    pub at: PathBuf,
    pub path: StorePath,
    pub ca: CAHash,
    pub references: BTreeSet<StorePath>,
}

/// What stands for a path in a tree.
pub(crate) fn part(path: &StorePath) -> HashPart {
    let text = path::hash_part(path);
    *text.as_bytes().first_chunk().unwrap_or(&[b'0'; path::HASH_PART_LEN])
}

/// The replacements for paths that are now elsewhere.
pub(crate) fn replacements(
    references: &BTreeSet<StorePath>,
    moved: &BTreeMap<StorePath, StorePath>,
) -> BTreeMap<HashPart, HashPart> {
    let moves = references.iter().filter_map(|old| Some((old, moved.get(old)?)));
    moves.filter(|(old, new)| old != new).map(|(old, new)| (part(old), part(new))).collect()
}

impl Tree<'_> {
    /// Finds its path, and rewrites it where it has to be.
    pub fn address(
        &self,
        method: ContentAddressMethod,
        algorithm: HashAlgorithm,
    ) -> Result<Addressed> {
        let refuse = |error: &dyn std::fmt::Display| (self.refuse)(error.to_string());
        let to_itself = self.references.contains(self.own);
        let mut references: BTreeSet<StorePath> = self
            .references
            .iter()
            .filter(|reference| *reference != self.own)
            .map(|reference| self.moved.get(reference).unwrap_or(reference).clone())
            .collect();
        let mut at = self.at.to_path_buf();
        let replacements = replacements(self.references, self.moved);
        if !replacements.is_empty() {
            at = self.rewritten(&at, &replacements)?;
        }
        let hash = match method {
            ContentAddressMethod::Nar => {
                rewrite::hash_modulo(algorithm, &at, part(self.own)).map_err(archive(&at))?
            }
            other => hash_output(other, algorithm, &at, &|reason| (self.refuse)(reason))?,
        };
        let ca = CAHash::from_parts(method, algorithm, hash.digest_as_bytes())
            .map_err(|error| refuse(&error))?;
        let path = StoreDir::default()
            .build_ca_path(self.name, &ca, &references, to_itself)
            .map_err(|error| refuse(&error))?;
        if to_itself {
            at = self.rewritten(&at, &BTreeMap::from([(part(self.own), part(&path))]))?;
            references.insert(path.clone());
        }
        Ok(Addressed { at, path, ca, references })
    }

    /// A copy of the tree with other hash parts, in the directory for that.
    fn rewritten(&self, at: &Path, replacements: &BTreeMap<HashPart, HashPart>) -> Result<PathBuf> {
        let count = std::fs::read_dir(self.work).map_or(0, Iterator::count);
        let (file, to) =
            (self.work.join(format!("{count}.nar")), self.work.join(format!("{count}.tree")));
        let write = |source| io("write", &file, source);
        let archived = hc_fs::plain::create_new(&file, 0o600)?;
        let buffered = std::io::BufWriter::new(archived);
        let (mut buffered, _) = rewrite::dump(at, buffered, replacements).map_err(archive(at))?;
        buffered.flush().map_err(write)?;
        let mut from = std::io::BufReader::new(std::fs::File::open(&file).map_err(write)?);
        nar::restore(&mut from, &to).map_err(archive(&to))?;
        hc_fs::plain::remove_file(&file)?;
        // Its place in the count stays taken.
        hc_fs::plain::write(&file, b"", 0o600)?;
        Ok(to)
    }
}
