//! Writing a binary cache: archives first, then the record that names them.

use super::files::{Files, below};
use super::{BinaryCache, Hashing, compression, record_name};
use crate::copy::Sink;
use crate::error::{Context, Error, Result};
use crate::info::PathInfo;
use hc_fs::{durable, plain};
use nix_compat::narinfo::{NarInfo, NixSignature};
use nix_compat::{HashAlgorithm, NixHasher, STORE_DIR, StorePath};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

impl Sink for BinaryCache {
    fn name(&self) -> String {
        self.address.clone()
    }

    fn valid(&self, paths: &BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>> {
        // Before the first path there is no cache.
        if !self.there()? {
            return Ok(BTreeSet::new());
        }
        let mut valid = BTreeSet::new();
        for path in paths {
            if self.record(path)?.is_some() {
                valid.insert(path.clone());
            }
        }
        Ok(valid)
    }

    fn add(&self, info: &PathInfo, nar: &mut dyn Read) -> Result<()> {
        let Files::Directory(directory) = &self.files else {
            return Err(self.peer("it can only be read: a cache is written as file://DIR"));
        };
        self.make(directory)?;
        if self.record(&info.path)?.is_some() {
            return Ok(());
        }
        for reference in info.references.iter().filter(|r| **r != info.path) {
            if self.record(reference)?.is_none() {
                return Err(Error::MissingReference {
                    path: info.path.clone(),
                    reference: reference.clone(),
                });
            }
        }
        let temporary = directory.join("nar").join(unique());
        let written = self.archive(info, nar, directory, &temporary);
        // Nothing is left of it when it has its name.
        let removed = plain::remove_file(&temporary);
        let record = written?;
        removed?;
        let at = below(directory, &record_name(&info.path)).on("write", directory)?;
        Ok(durable::write(&at, &record.to_canonical_bytes(), 0o644)?)
    }
}

impl BinaryCache {
    /// Makes the cache where there is none.
    fn make(&self, directory: &Path) -> Result<()> {
        if self.there()? {
            return Ok(());
        }
        durable::create_dir_all(&directory.join("nar"), 0o755)?;
        let text = format!("StoreDir: {STORE_DIR}\n");
        Ok(durable::write(&directory.join("nix-cache-info"), text.as_bytes(), 0o644)?)
    }

    /// Writes the archive; gives the record about it.
    fn archive(
        &self,
        info: &PathInfo,
        nar: &mut dyn Read,
        directory: &Path,
        temporary: &Path,
    ) -> Result<NarInfo> {
        durable::create_dir_all(&directory.join("nar"), 0o755)?;
        let sha256 = || NixHasher::new(HashAlgorithm::Sha256);
        let mut nar = Hashing { from: nar.take(info.nar_size), hasher: sha256(), done: 0 };
        let to = BufWriter::with_capacity(256 << 10, plain::create_new(temporary, 0o644)?);
        let to = Hashing { from: to, hasher: sha256(), done: 0 };
        let mut to =
            compression::compress(&self.compression, &mut nar, to).on("write", temporary)?;
        to.flush().on("write", temporary)?;
        if nar.done != info.nar_size {
            let (done, size) = (nar.done, info.nar_size);
            let reason = format!("its archive ends after {done} of {size} bytes");
            return Err(Error::Refused { path: info.path.clone(), reason });
        }
        let got = nar.hasher.finalize();
        if got != info.nar_hash {
            return Err(Error::NarMismatch {
                path: info.path.clone(),
                specified: info.nar_hash.to_sri_string(),
                got: got.to_sri_string(),
            });
        }
        sync(to.from.get_ref(), temporary)?;
        let (hash, size) = (to.hasher.finalize(), to.done);
        let text = nix_compat::nix32::encode(hash.digest_as_bytes());
        let url = format!("nar/{text}.{}", compression::suffix(&self.compression));
        durable::rename(temporary, &directory.join(&url))?;
        let mut signatures: Vec<NixSignature> =
            info.signatures.iter().filter_map(|s| NixSignature::parse(s).ok()).collect();
        if let Some(signature) = self.key.as_ref().map(|key| key.sign(&info.fingerprint())) {
            signatures.extend(NixSignature::parse(&signature));
            signatures.sort();
            signatures.dedup();
        }
        NarInfo::builder(info.path.clone(), url, info.nar_hash.clone(), info.nar_size)
            .compression(self.compression.clone())
            .references(info.references.iter().cloned())
            .deriver(info.deriver.clone())
            .signatures(signatures)
            .content_address(info.ca.clone())
            .file_hash(Some(hash))
            .file_size(Some(size))
            .build()
            .map_err(|error| self.peer(error))
    }
}

fn sync(file: &File, path: &Path) -> Result<()> {
    file.sync_all().on("flush", path)
}

/// A name that no other process and no other thread takes.
fn unique() -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(".{}-{count}.part", std::process::id()).into()
}
