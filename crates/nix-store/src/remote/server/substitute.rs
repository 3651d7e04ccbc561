//! What a client has fetched from the binary caches of this host, and what outputs came to.

use super::worker::{Answer, Session, answer};
use super::{Access, refused};
use crate::cache::BinaryCache;
use crate::copy::{Sink, Source, Trust, copy_closure};
use crate::error::{Error, Result};
use crate::info::PathInfo;
use crate::realisations;
use crate::store::Store;
use nix_compat::StorePath;
use nix_compat::hash::CAHash;
use nix_compat::wire::Realisation;
use nix_compat::worker::SubstitutableInfo;
use std::collections::{BTreeMap, BTreeSet};

impl Session<'_> {
    fn caches(&self) -> Result<Vec<BinaryCache>> {
        let config = self.builder.config();
        config.substituters.iter().map(|url| BinaryCache::open(url, config)).collect()
    }

    fn trust(&self) -> Trust {
        let config = self.builder.config();
        Trust { keys: config.trusted_keys.clone(), required: config.require_signatures }
    }

    /// Which of the paths a cache has, in a form that is taken from it.
    pub fn substitutable(
        &self,
        paths: &BTreeSet<StorePath>,
    ) -> Result<BTreeMap<StorePath, PathInfo>> {
        let trust = self.trust();
        let mut found = BTreeMap::new();
        let mut open = paths.clone();
        for cache in self.caches()? {
            let mut offered = match cache.query_many(&open) {
                Ok(offered) => offered,
                Err(error) => {
                    self.warn(&error);
                    continue;
                }
            };
            offered.retain(|_, info| trust.accepts(info));
            open.retain(|path| !offered.contains_key(path));
            found.extend(offered);
        }
        Ok(found)
    }

    /// Fetches those of the paths that are not valid, as far as a cache has them; gives all that are
    /// valid then.
    pub fn substitute(
        &self,
        paths: &BTreeSet<StorePath>,
        valid: BTreeSet<StorePath>,
    ) -> Result<BTreeSet<StorePath>> {
        if valid.len() == paths.len() || !self.access.write {
            return Ok(valid);
        }
        let trust = self.trust();
        for cache in self.caches()? {
            for path in paths {
                if self.store.is_valid(path)? || !matches!(cache.query(path), Ok(Some(_))) {
                    continue;
                }
                let wanted = BTreeSet::from([path.clone()]);
                if let Err(error) = copy_closure(&cache, &self.store, &wanted, &trust, &()) {
                    if error.is_no_space() {
                        return Err(error);
                    }
                    self.warn(&error);
                }
            }
        }
        self.store.valid(paths)
    }

    pub fn substitutable_one(&self, path: StorePath) -> Result<Answer> {
        let found = self.substitutable(&BTreeSet::from([path.clone()]))?.remove(&path);
        Ok(answer(move |to| {
            to.bool(found.is_some())?;
            found.map_or(Ok(()), |info| to.substitutable_info(&told(info)))
        }))
    }

    pub fn substitutable_many(&self, paths: Vec<(StorePath, Option<CAHash>)>) -> Result<Answer> {
        let paths: BTreeSet<StorePath> = paths.into_iter().map(|(path, _)| path).collect();
        let found = self.substitutable(&paths)?;
        Ok(answer(move |to| {
            to.many(found, |to, (path, info)| {
                to.path(&path)?;
                to.substitutable_info(&told(info))
            })
        }))
    }

    /// What an output came to, signed by somebody that is trusted or told by somebody that is.
    pub fn register_output(&self, told: &Realisation) -> Result<Answer> {
        register(&self.store, self.access, told)?;
        Ok(answer(|_| Ok(())))
    }
}

fn told(info: PathInfo) -> SubstitutableInfo {
    let PathInfo { deriver, references, nar_size, .. } = info;
    SubstitutableInfo { deriver, references, download_size: 0, nar_size }
}

fn register(store: &Store, access: &Access, told: &Realisation) -> Result<()> {
    let found = realisations::Realisation::parse(told.to_json().as_bytes());
    let found = found.ok_or_else(|| refused(format!("{} makes no sense", told.id)))?;
    if !access.trusted && !access.trust.accepts_realisation(&found) {
        let reason = format!("it lacks a signature by a trusted key as {}", told.id);
        return Err(Error::Refused { path: told.path.clone(), reason });
    }
    if !store.is_valid(&told.path)? {
        return Err(Error::NotValid { path: told.path.clone() });
    }
    store.register_realisations(&[found])
}
