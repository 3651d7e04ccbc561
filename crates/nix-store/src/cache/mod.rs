//! Binary caches: stores as files, in a directory or on a server, in the layout of C++ Nix
//! (`nix-cache-info`, `HASH.narinfo`, `nar/…`).

mod compression;
mod files;
mod write;

use crate::config::StoreConfig;
use crate::copy::Source;
use crate::error::{Error, Result};
use crate::info::PathInfo;
use files::Files;
use nix_compat::narinfo::{Compression, MAX_NARINFO_SIZE, NarInfo, SecretKey};
use nix_compat::{HashAlgorithm, NixHasher, STORE_DIR, StoreDir, StorePath};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read, Write};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

/// More is not what `nix-cache-info` is for.
const MAX_CACHE_INFO: u64 = 64 << 10;
/// Records that are asked for at once.
const AT_ONCE: usize = 16;

/// A binary cache. It is read over `file://`, `http://` and `https://`, and written over
/// `file://`.
pub struct BinaryCache {
    address: String,
    files: Files,
    compression: Compression,
    key: Option<SecretKey>,
    known: OnceLock<bool>,
    records: Mutex<HashMap<StorePath, NarInfo>>,
}

impl std::fmt::Debug for BinaryCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BinaryCache").field("address", &self.address).finish_non_exhaustive()
    }
}

impl BinaryCache {
    /// The cache at an address, which may end in `?compression=zstd` (or `xz`, `bzip2`, `gzip`,
    /// `none`): how it is written. Nothing is read yet.
    ///
    /// # Errors
    /// When it is not the address of a cache, or says what is not known.
    pub fn open(address: &str, config: &StoreConfig) -> Result<Self> {
        let wrong = |reason: String| Error::Peer { address: address.into(), reason };
        let (place, said) = address.split_once('?').unwrap_or((address, ""));
        let mut compression = Compression::Zstd;
        for setting in said.split('&').filter(|setting| !setting.is_empty()) {
            compression = match setting.split_once('=') {
                Some(("compression", name)) => Compression::parse(name),
                _ => return Err(wrong(format!("the setting {setting:?} is not known"))),
            };
        }
        if let Compression::Other(name) = compression {
            return Err(wrong(format!("the compression {name:?} is not known")));
        }
        let files = Files::open(place, config)?;
        let records = Mutex::default();
        let address = place.to_owned();
        Ok(Self { address, files, compression, key: None, known: OnceLock::new(), records })
    }

    /// Signs what is written from now on.
    #[must_use]
    pub fn signing(mut self, key: SecretKey) -> Self {
        self.key = Some(key);
        self
    }

    fn peer(&self, reason: impl ToString) -> Error {
        Error::Peer { address: self.address.clone(), reason: reason.to_string() }
    }

    /// Whether there is a cache, which is for this store directory.
    fn there(&self) -> Result<bool> {
        if self.known.get().is_some() {
            return Ok(true);
        }
        let text = self.files.read("nix-cache-info", MAX_CACHE_INFO).map_err(|e| self.peer(e))?;
        let Some(text) = text else { return Ok(false) };
        let text = String::from_utf8_lossy(&text);
        let directory = text.lines().find_map(|line| line.strip_prefix("StoreDir:"));
        if let Some(directory) = directory.map(str::trim).filter(|d| *d != STORE_DIR) {
            return Err(self.peer(format!("it is a cache for {directory}, not for {STORE_DIR}")));
        }
        let _ = self.known.set(true);
        Ok(true)
    }

    fn record(&self, path: &StorePath) -> Result<Option<NarInfo>> {
        let known = || self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(record) = known().get(path) {
            return Ok(Some(record.clone()));
        }
        let name = record_name(path);
        let limit = MAX_NARINFO_SIZE as u64;
        let text = self.files.read(&name, limit).map_err(|e| self.peer(format!("{name}: {e}")))?;
        let Some(text) = text else { return Ok(None) };
        let record = NarInfo::parse_in(&StoreDir::default(), &text)
            .map_err(|e| self.peer(format!("{name}: {e}")))?;
        if record.store_path() != path {
            return Err(self.peer(format!("{name} is about {}", record.store_path())));
        }
        known().insert(path.clone(), record.clone());
        Ok(Some(record))
    }
}

/// The name of the record of a path.
fn record_name(path: &StorePath) -> String {
    format!("{}.narinfo", nix_compat::path::hash_part(path))
}

impl Source for BinaryCache {
    fn name(&self) -> String {
        self.address.clone()
    }

    fn query(&self, path: &StorePath) -> Result<Option<PathInfo>> {
        if !self.there()? {
            return Err(self.peer("there is no binary cache: it has no nix-cache-info"));
        }
        let Some(record) = self.record(path)? else { return Ok(None) };
        Ok(Some(PathInfo {
            path: path.clone(),
            nar_hash: record.nar_hash().clone(),
            nar_size: record.nar_size(),
            references: record.references().clone(),
            deriver: record.deriver().cloned(),
            registered: SystemTime::now(),
            ultimate: false,
            signatures: record.signatures().iter().map(ToString::to_string).collect(),
            ca: record.content_address().cloned(),
        }))
    }

    fn query_many(&self, paths: &BTreeSet<StorePath>) -> Result<BTreeMap<StorePath, PathInfo>> {
        let paths: Vec<&StorePath> = paths.iter().collect();
        let share = paths.len().div_ceil(AT_ONCE).max(1);
        let mut found = BTreeMap::new();
        let parts: Vec<Result<Vec<PathInfo>>> = std::thread::scope(|scope| {
            let ask = |part: &[&StorePath]| -> Result<Vec<PathInfo>> {
                let infos = part.iter().map(|path| self.query(path));
                infos.filter_map(Result::transpose).collect()
            };
            let asking: Vec<_> =
                paths.chunks(share).map(|part| scope.spawn(move || ask(part))).collect();
            let done = asking.into_iter().map(std::thread::ScopedJoinHandle::join);
            done.map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        for part in parts {
            found.extend(part?.into_iter().map(|info| (info.path.clone(), info)));
        }
        Ok(found)
    }

    fn nar(&self, path: &StorePath, to: &mut dyn Write) -> Result<()> {
        let record = self.record(path)?;
        let record = record.ok_or_else(|| self.peer(format!("it does not have {path}")))?;
        let name = record.url();
        let wrong = |reason: String| self.peer(format!("{name}: {reason}"));
        let file = self.files.get(name).map_err(|e| wrong(e.to_string()))?;
        let file = file.ok_or_else(|| wrong("it is not there".into()))?;
        // One byte more than promised is enough to know.
        let limit = record.file_size().map_or(u64::MAX, |size| size.saturating_add(1));
        let algorithm = record.file_hash().map_or(HashAlgorithm::Sha256, |hash| hash.algorithm());
        let mut file =
            Hashing { from: file.take(limit), hasher: NixHasher::new(algorithm), done: 0 };
        let decoder = compression::decoder(record.compression(), &mut file);
        let mut decoder = decoder.map_err(|e| wrong(e.to_string()))?.ok_or_else(|| {
            wrong(format!("the compression {:?} is not known", record.compression().as_str()))
        })?;
        let sent = pump(&mut decoder, to);
        drop(decoder);
        if let Err(Stopped::Receiver(source)) = sent {
            return Err(crate::error::io("send", std::path::Path::new(name), source));
        }
        io::copy(&mut file, &mut io::sink()).map_err(|e| wrong(e.to_string()))?;
        if let Some(size) = record.file_size().filter(|size| *size != file.done) {
            let more = if file.done > size { "or more " } else { "" };
            return Err(wrong(format!("it has {} bytes {more}instead of {size}", file.done)));
        }
        let got = file.hasher.finalize();
        if let Some(hash) = record.file_hash().filter(|hash| **hash != got) {
            let (hash, got) = (hash.to_sri_string(), got.to_sri_string());
            return Err(wrong(format!("its hash is {got} instead of {hash}")));
        }
        match sent {
            Err(Stopped::Sender(error)) => Err(wrong(error.to_string())),
            _ => Ok(()),
        }
    }
}

/// Which end of a copy failed.
enum Stopped {
    Sender(io::Error),
    Receiver(io::Error),
}

fn pump(from: &mut dyn Read, to: &mut dyn Write) -> std::result::Result<(), Stopped> {
    let mut buffer = vec![0; 128 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return to.flush().map_err(Stopped::Receiver),
            Ok(n) => to.write_all(&buffer[..n]).map_err(Stopped::Receiver)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Stopped::Sender(error)),
        }
    }
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
