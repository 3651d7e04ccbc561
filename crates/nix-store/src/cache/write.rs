//! Writing a binary cache: archives first, then the record that names them.

use super::files::Files;
use super::read::at_once;
use super::{BinaryCache, Hashing, INFO, compression, record_name};
use crate::copy::Sink;
use crate::error::{Context, Error, Result};
use crate::info::PathInfo;
use crate::realisations::Realisation;
use hc_fs::{durable, plain};
use nix_compat::narinfo::{NarInfo, NixSignature};
use nix_compat::{HashAlgorithm, NixHasher, STORE_DIR, StorePath};
use std::collections::BTreeSet;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

impl Sink for BinaryCache {
    fn name(&self) -> String {
        self.address.clone()
    }

    fn valid(&self, paths: &BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>> {
        // Before the first path there is no cache.
        if self.info(false)?.is_none() {
            return Ok(BTreeSet::new());
        }
        // What others remember may have been deleted there since.
        let there = at_once(self.at_once.1, paths, |path| {
            Ok(self.record(path, false)?.map(|_| (*path).clone()))
        })?;
        Ok(there.into_iter().flatten().collect())
    }

    fn add(&self, info: &PathInfo, nar: &mut dyn Read) -> Result<()> {
        self.make()?;
        if self.record(&info.path, false)?.is_some() {
            return Ok(());
        }
        for reference in info.references.iter().filter(|r| **r != info.path) {
            if self.record(reference, false)?.is_none() {
                return Err(Error::MissingReference {
                    path: info.path.clone(),
                    reference: reference.clone(),
                });
            }
        }
        let temporary = self.temporary()?;
        let written = self.archive(info, nar, &temporary);
        // Nothing is left of it when it has its name.
        let removed = plain::remove_file(&temporary);
        let record = written?;
        removed?;
        let name = record_name(&info.path);
        let bytes = record.to_canonical_bytes();
        self.write(&name, "text/x-nix-narinfo", &bytes)?;
        if let Some(answers) = &self.answers {
            answers.put(&name, Some(&bytes));
        }
        self.records().insert(info.path.clone(), Some(record));
        Ok(())
    }

    fn add_realisations(&self, realisations: &[Realisation]) -> Result<()> {
        for realisation in realisations {
            let mut realisation = realisation.clone();
            if let Some(key) = &self.key {
                realisation.sign(key);
            }
            let name = Realisation::file(&realisation.derivation, &realisation.output);
            self.write(&name, "application/json", realisation.to_json().as_bytes())?;
        }
        Ok(())
    }

    fn at_once(&self) -> usize {
        self.at_once.0
    }
}

impl BinaryCache {
    /// Makes the cache where there is none.
    fn make(&self) -> Result<()> {
        if self.info(false)?.is_some() {
            return Ok(());
        }
        let mut text = format!("StoreDir: {STORE_DIR}\n");
        if let Some(wanted) = self.settings.mass_query {
            text += &format!("WantMassQuery: {}\n", u8::from(wanted));
        }
        if let Some(priority) = self.settings.priority {
            text += &format!("Priority: {priority}\n");
        }
        self.write(INFO, "text/x-nix-cache-info", text.as_bytes())
    }

    fn write(&self, name: &str, kind: &str, bytes: &[u8]) -> Result<()> {
        self.files.write(name, kind, bytes).map_err(|source| self.failed(name, source))
    }

    /// What a full disk says stays what it is.
    fn failed(&self, name: &str, source: std::io::Error) -> Error {
        match &self.files {
            Files::Directory(directory) => match source.downcast::<hc_fs::Error>() {
                Ok(error) => error.into(),
                Err(source) => crate::error::io("write", &directory.join(name), source),
            },
            Files::Server { .. } => self.peer(format!("{name}: {source}")),
        }
    }

    /// Where an archive is written before it has a name.
    fn temporary(&self) -> Result<PathBuf> {
        match &self.files {
            Files::Directory(directory) => {
                let directory = directory.join("nar");
                durable::create_dir_all(&directory, 0o755)?;
                Ok(directory.join(unique()))
            }
            Files::Server { .. } => Ok(self.temporary.join(unique())),
        }
    }

    /// Writes the archive; gives the record about it.
    fn archive(&self, info: &PathInfo, nar: &mut dyn Read, temporary: &Path) -> Result<NarInfo> {
        let sha256 = || NixHasher::new(HashAlgorithm::Sha256);
        let mut nar = Hashing { from: nar.take(info.nar_size), hasher: sha256(), done: 0 };
        // What waits to be uploaded is nobody else's business.
        let mode = if matches!(self.files, Files::Directory(_)) { 0o644 } else { 0o600 };
        let to = BufWriter::with_capacity(256 << 10, plain::create_new(temporary, mode)?);
        let to = Hashing { from: to, hasher: sha256(), done: 0 };
        let (compression, level) = (&self.settings.compression, self.settings.level);
        let mut to =
            compression::compress(compression, level, &mut nar, to).on("write", temporary)?;
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
        if matches!(self.files, Files::Directory(_)) {
            to.from.get_ref().sync_all().on("flush", temporary)?;
        }
        let (hash, size) = (to.hasher.finalize(), to.done);
        let text = nix_compat::nix32::encode(hash.digest_as_bytes());
        let url = format!("nar/{text}.{}", compression::suffix(compression));
        let placed = self.files.place(&url, "application/x-nix-nar", temporary, size);
        placed.map_err(|source| self.failed(&url, source))?;
        let mut signatures: Vec<NixSignature> =
            info.signatures.iter().filter_map(|s| NixSignature::parse(s).ok()).collect();
        if let Some(signature) = self.key.as_ref().map(|key| key.sign(&info.fingerprint())) {
            signatures.extend(NixSignature::parse(&signature));
            signatures.sort();
            signatures.dedup();
        }
        NarInfo::builder(info.path.clone(), url, info.nar_hash.clone(), info.nar_size)
            .compression(compression.clone())
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

/// A name that no other process and no other thread takes.
fn unique() -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(".hc-{}-{count}.part", std::process::id()).into()
}
