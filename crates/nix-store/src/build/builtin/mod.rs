//! Builders that are part of this program: `builtin:fetchurl`, `builtin:unpack-channel` and
//! `builtin:buildenv`.

mod channel;
mod environment;
mod fetch;

pub(super) use fetch::Downloader;

use super::realise::is_fixed;
use super::{BuildEvent, BuildObserver, options};
use crate::error::{Error, Result};
use crate::store::Store;
use nix_compat::{Derivation, StorePath};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One run of such a builder.
pub(super) struct Builtin<'a> {
    pub store: &'a Store,
    pub downloader: &'a Downloader,
    pub path: &'a StorePath,
    pub derivation: &'a Derivation,
    pub outputs: &'a BTreeMap<String, StorePath>,
    /// Where outputs are made, under their own names.
    pub directory: &'a Path,
    pub observer: &'a dyn BuildObserver,
    pub cancelled: &'a dyn Fn() -> bool,
}

impl Builtin<'_> {
    pub fn run(&self) -> Result<()> {
        match self.derivation.builder() {
            b"builtin:fetchurl" => self.fetchurl(),
            b"builtin:unpack-channel" => {
                let (src, to) = (self.input("src")?, self.output()?);
                channel::unpack(&src, &self.attribute("channelName")?, &to)
                    .map_err(|reason| self.wrong(reason))
            }
            b"builtin:buildenv" => {
                let to = self.output()?;
                let derivations = self.attribute("derivations")?;
                environment::build(self.store, &derivations, &to)
                    .map_err(|reason| self.wrong(reason))?;
                let manifest = PathBuf::from(self.attribute("manifest")?);
                Ok(hc_fs::plain::symlink(&manifest, &to.join("manifest.nix"))?)
            }
            other => {
                let name = String::from_utf8_lossy(other);
                Err(self.unsupported(&format!("the builder {name} is not known")))
            }
        }
    }

    fn fetchurl(&self) -> Result<()> {
        if !is_fixed(self.derivation) {
            return Err(self.unsupported("a download needs a fixed output hash"));
        }
        let to = self.output()?;
        self.downloader.run(self, &to)
    }

    fn unsupported(&self, what: &str) -> Error {
        Error::Unsupported { drv: self.path.clone(), what: what.into() }
    }

    fn wrong(&self, reason: String) -> Error {
        Error::Derivation { path: self.path.clone(), reason }
    }

    fn attribute(&self, name: &str) -> Result<String> {
        options::text(self.derivation, name)
            .ok_or_else(|| self.unsupported(&format!("it has no attribute `{name}`")))
    }

    /// An attribute that is a path in the store, as it is on disk.
    fn input(&self, name: &str) -> Result<PathBuf> {
        Ok(self.store.physical_file(Path::new(&self.attribute(name)?)))
    }

    fn output(&self) -> Result<PathBuf> {
        let out =
            self.outputs.get("out").ok_or_else(|| self.unsupported("it has no output out"))?;
        Ok(self.directory.join(out.to_basename()))
    }
}
