use crate::error::{Context, Error, Result};
use crate::info::PathInfo;
use crate::store::Store;
use nix_compat::{Derivation, StorePath};
use std::collections::BTreeSet;
use std::path::Path;

impl Store {
    /// Whether the store has the path, complete. It stays so as long as this store is open.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn is_valid(&self, path: &StorePath) -> Result<bool> {
        if !self.database().is_valid(path)? {
            return Ok(false);
        }
        // A collector may have been about to delete it: ask again once it is kept.
        self.add_temp_root(path)?;
        self.database().is_valid(path)
    }

    /// What is known about a valid path.
    ///
    /// # Errors
    /// [`Error::NotValid`], or when the database cannot be read.
    pub fn info(&self, path: &StorePath) -> Result<PathInfo> {
        self.database().info(path)?.ok_or_else(|| Error::NotValid { path: path.clone() })
    }

    /// Adds a signature of a valid path; gives whether it is new.
    ///
    /// # Errors
    /// [`Error::NotValid`], or when the database cannot be written.
    pub fn add_signature(&self, path: &StorePath, signature: &str) -> Result<bool> {
        if !self.is_valid(path)? {
            return Err(Error::NotValid { path: path.clone() });
        }
        let database = self.database();
        let done = database.connection().execute(
            "update ValidPaths set sigs = trim(coalesce(sigs, '') || ' ' || ?2)
             where path = ?1 and instr(' ' || coalesce(sigs, '') || ' ', ' ' || ?2 || ' ') = 0",
            [path.to_string().as_str(), signature],
        );
        Ok(done.map_err(|source| database.error(source))? > 0)
    }

    /// A valid path was made here as well: nobody else has to vouch for it.
    pub(crate) fn trust(&self, path: &StorePath) -> Result<()> {
        let database = self.database();
        let done = database.connection().execute(
            "update ValidPaths set ultimate = 1 where path = ?1 and ultimate is not 1",
            [path.to_string()],
        );
        done.map(drop).map_err(|source| database.error(source))
    }

    /// The paths that a valid path refers to.
    ///
    /// # Errors
    /// [`Error::NotValid`], or when the database cannot be read.
    pub fn references(&self, path: &StorePath) -> Result<BTreeSet<StorePath>> {
        self.database().references(path)
    }

    /// The valid paths that refer to a valid path.
    ///
    /// # Errors
    /// [`Error::NotValid`], or when the database cannot be read.
    pub fn referrers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>> {
        self.database().referrers(path)
    }

    /// The paths and everything they refer to, directly or not.
    ///
    /// # Errors
    /// [`Error::NotValid`], or when the database cannot be read.
    pub fn closure<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<BTreeSet<StorePath>> {
        let database = self.database();
        let mut open: Vec<StorePath> = paths.into_iter().cloned().collect();
        let mut closure = BTreeSet::new();
        while let Some(path) = open.pop() {
            if !closure.contains(&path) {
                let references = database.references(&path)?;
                open.extend(references.into_iter().filter(|r| !closure.contains(r)));
                closure.insert(path);
            }
        }
        Ok(closure)
    }

    /// The derivation a valid path was built from, where that is known.
    ///
    /// # Errors
    /// [`Error::NotValid`], or when the database cannot be read.
    pub fn deriver(&self, path: &StorePath) -> Result<Option<StorePath>> {
        Ok(self.info(path)?.deriver)
    }

    /// All valid paths.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn valid_paths(&self) -> Result<BTreeSet<StorePath>> {
        self.database().valid_paths()
    }

    /// Reads a derivation from the store.
    ///
    /// # Errors
    /// When it is not there, or malformed.
    pub fn derivation(&self, path: &StorePath) -> Result<Derivation> {
        if !self.is_valid(path)? {
            return Err(Error::NotValid { path: path.clone() });
        }
        read_derivation(path, &self.physical(path))
    }

    /// The valid path with this hash part.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn path_from_hash_part(&self, hash_part: &str) -> Result<Option<StorePath>> {
        let found = self.database().path_from_hash_part(hash_part)?;
        match found {
            Some(path) if self.is_valid(&path)? => Ok(Some(path)),
            _ => Ok(None),
        }
    }

    /// The valid derivations that have a path as an output.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn valid_derivers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>> {
        self.database().derivers(path)
    }
}

/// Reads the derivation of a path from where it lies.
pub(crate) fn read_derivation(path: &StorePath, file: &Path) -> Result<Derivation> {
    let malformed = |reason: String| Error::Derivation { path: path.clone(), reason };
    let Some(name) = path.name().strip_suffix(".drv") else {
        return Err(malformed("its name does not end in .drv".into()));
    };
    let bytes = std::fs::read(file).on("read", file)?;
    Derivation::from_aterm_bytes(&bytes, name).map_err(|error| malformed(error.to_string()))
}
