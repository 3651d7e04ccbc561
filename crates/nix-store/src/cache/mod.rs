//! Binary caches: stores as files, in a directory or on a server, in the layout of C++ Nix
//! (`nix-cache-info`, `HASH.narinfo`, `nar/…`, `realisations/…`).

mod address;
mod answers;
mod compression;
mod files;
mod memory;
mod read;
mod write;

pub(crate) use read::at_once;

use crate::config::StoreConfig;
use crate::error::{Error, Result};
use crate::realisations::Realisation;
use address::Settings;
use answers::Answers;
use files::Files;
use nix_compat::narinfo::{MAX_NARINFO_SIZE, MAX_REALISATION_SIZE, NarInfo, SecretKey};
use nix_compat::{NixHasher, STORE_DIR, StoreDir, StorePath};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// What a cache says of itself.
const INFO: &str = "nix-cache-info";
/// More is not what that is for.
const MAX_CACHE_INFO: u64 = 64 << 10;
/// The priority of a cache that says none (as C++ Nix has it).
const PRIORITY: i64 = 50;

/// A binary cache: over `file://`, `http://` or `https://`.
pub struct BinaryCache {
    address: String,
    files: Files,
    settings: Settings,
    key: Option<SecretKey>,
    info: OnceLock<Info>,
    records: Mutex<HashMap<StorePath, Option<NarInfo>>>,
    answers: Option<Answers>,
    /// Archives, and records, that are asked for at once.
    at_once: (usize, usize),
    /// Where archives are made that are uploaded.
    temporary: PathBuf,
}

/// What a cache says of itself.
#[derive(Debug, Clone, Copy)]
struct Info {
    priority: i64,
    mass_query: bool,
}

/// What a cache says when it is asked now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheInfo {
    /// The store directory it is for.
    pub store_dir: &'static str,
    /// Caches with a smaller one are asked first; what the address says counts.
    pub priority: i64,
    /// Whether it wants to be asked for much that nobody may need.
    pub mass_query: bool,
}

impl std::fmt::Debug for BinaryCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BinaryCache").field("address", &self.address).finish_non_exhaustive()
    }
}

impl BinaryCache {
    /// The cache at an address, which may go on with `?` and settings, joined by `&`:
    /// `compression=zstd` (or `xz`, `bzip2`, `gzip`, `none`) and `compression-level=N`, how it is
    /// written; `priority=N` and `want-mass-query=BOOL`, in place of what it says of itself;
    /// `trusted=BOOL`. Nothing is read yet.
    ///
    /// # Errors
    /// When it is not the address of a cache, or says what is not known.
    pub fn open(address: &str, config: &StoreConfig) -> Result<Self> {
        let wrong = |reason: String| Error::Peer { address: address.into(), reason };
        let (place, settings) = Settings::parse(address).map_err(wrong)?;
        let files = Files::open(place, config)?;
        let answers = match (&files, &config.cache_dir) {
            (Files::Server { base, .. }, Some(directory)) => {
                let (positive, negative) = (config.positive_ttl, config.negative_ttl);
                Answers::open(directory, base, positive, negative)
            }
            _ => None,
        };
        Ok(Self {
            address: place.to_owned(),
            files,
            settings,
            key: None,
            info: OnceLock::new(),
            records: Mutex::default(),
            answers,
            at_once: (config.fetches.max(1), config.connections.max(1)),
            temporary: config.temporary.clone(),
        })
    }

    /// Signs what is written from now on.
    #[must_use]
    pub fn signing(mut self, key: SecretKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Whether its address says that it needs no signatures.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.settings.trusted
    }

    /// Caches with a smaller one are asked first.
    ///
    /// # Errors
    /// When it cannot be asked, or there is no cache for this store.
    pub fn priority(&self) -> Result<i64> {
        Ok(self.settings.priority.unwrap_or(self.needed()?.priority))
    }

    /// Whether it wants to be asked for much that nobody may need.
    ///
    /// # Errors
    /// As for [`BinaryCache::priority`].
    pub fn wants_mass_query(&self) -> Result<bool> {
        Ok(self.settings.mass_query.unwrap_or(self.needed()?.mass_query))
    }

    /// What it says of itself, asked anew.
    ///
    /// # Errors
    /// When it cannot be asked, or there is no cache for this store.
    pub fn ask(&self) -> Result<CacheInfo> {
        let none = || self.peer(format!("there is no binary cache: it has no {INFO}"));
        let info = self.info(false)?.ok_or_else(none)?;
        Ok(CacheInfo {
            store_dir: STORE_DIR,
            priority: self.settings.priority.unwrap_or(info.priority),
            mass_query: self.settings.mass_query.unwrap_or(info.mass_query),
        })
    }

    fn peer(&self, reason: impl ToString) -> Error {
        Error::Peer { address: self.address.clone(), reason: reason.to_string() }
    }

    fn needed(&self) -> Result<Info> {
        let none = || self.peer(format!("there is no binary cache: it has no {INFO}"));
        self.info(true)?.ok_or_else(none)
    }

    /// What it says of itself, if there is a cache, which is for this store directory.
    fn info(&self, remembered: bool) -> Result<Option<Info>> {
        if let Some(info) = self.info.get() {
            return Ok(Some(*info));
        }
        let answers = self.answers.as_ref().filter(|_| remembered);
        let text = match answers.and_then(|answers| answers.get(INFO)).flatten() {
            Some(text) => text,
            None => {
                let text = self.files.read(INFO, MAX_CACHE_INFO);
                let text = text.map_err(|e| self.peer(format!("{INFO}: {e}")))?;
                let Some(text) = text else { return Ok(None) };
                if let Some(answers) = &self.answers {
                    answers.put(INFO, Some(&text));
                }
                text
            }
        };
        let text = String::from_utf8_lossy(&text);
        let value = |name: &str| {
            let line =
                |line: &str| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned());
            text.lines().find_map(line)
        };
        if let Some(directory) = value("StoreDir").filter(|directory| directory != STORE_DIR) {
            return Err(self.peer(format!("it is a cache for {directory}, not for {STORE_DIR}")));
        }
        let priority = value("Priority").and_then(|text| text.parse().ok()).unwrap_or(PRIORITY);
        let mass_query = value("WantMassQuery").is_some_and(|text| text == "1");
        Ok(Some(*self.info.get_or_init(|| Info { priority, mass_query })))
    }

    fn records(&self) -> MutexGuard<'_, HashMap<StorePath, Option<NarInfo>>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record of a path. What it said before, to this process or (if `remembered`) to others,
    /// is not asked again.
    fn record(&self, path: &StorePath, remembered: bool) -> Result<Option<NarInfo>> {
        if let Some(record) = self.records().get(path) {
            return Ok(record.clone());
        }
        let name = record_name(path);
        let text = self.remembered(&name, MAX_NARINFO_SIZE as u64, remembered)?;
        let record = text.map(|text| self.parse(path, &name, &text)).transpose();
        if let (Err(_), Some(answers)) = (&record, &self.answers) {
            answers.forget(path);
        }
        let record = record?;
        self.records().insert(path.clone(), record.clone());
        Ok(record)
    }

    fn parse(&self, path: &StorePath, name: &str, text: &[u8]) -> Result<NarInfo> {
        let record = NarInfo::parse_in(&StoreDir::default(), text)
            .map_err(|e| self.peer(format!("{name}: {e}")))?;
        if record.store_path() != path {
            return Err(self.peer(format!("{name} is about {}", record.store_path())));
        }
        Ok(record)
    }

    /// What it says that an output of a derivation (by its key, `sha256:…`) came to.
    ///
    /// # Errors
    /// When it cannot be asked, or its answer makes no sense.
    pub fn realisation(&self, derivation: &str, output: &str) -> Result<Option<Realisation>> {
        self.needed()?;
        let name = Realisation::file(derivation, output);
        let text = self.remembered(&name, MAX_REALISATION_SIZE as u64, true)?;
        let Some(text) = text else { return Ok(None) };
        let same = |r: &Realisation| r.derivation == derivation && r.output == output;
        let wrong = || self.peer(format!("{name} is not about that output"));
        Realisation::parse(&text).filter(same).map(Some).ok_or_else(wrong)
    }

    /// A small file, as it is remembered or as it is.
    fn remembered(&self, name: &str, limit: u64, remembered: bool) -> Result<Option<Vec<u8>>> {
        let answers = self.answers.as_ref().filter(|_| remembered);
        if let Some(text) = answers.and_then(|answers| answers.get(name)) {
            return Ok(text);
        }
        let text = self.files.read(name, limit);
        let text = text.map_err(|e| self.peer(format!("{name}: {e}")))?;
        if let Some(answers) = &self.answers {
            answers.put(name, text.as_deref());
        }
        Ok(text)
    }

    /// What it said about a path turned out not to be so.
    fn forget(&self, path: &StorePath) {
        self.records().remove(path);
        if let Some(answers) = &self.answers {
            answers.forget(path);
        }
    }
}

/// The name of the record of a path.
fn record_name(path: &StorePath) -> String {
    format!("{}.narinfo", nix_compat::path::hash_part(path))
}

/// Hashes and counts what is read or written.
struct Hashing<T> {
    from: T,
    hasher: NixHasher,
    done: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        self.done += n as u64;
        Ok(n)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let n = self.from.write(buffer)?;
        self.hasher.update(&buffer[..n]);
        self.done += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.from.flush()
    }
}
