//! Reading a binary cache: records, several at once, and archives.

use super::{BinaryCache, Hashing, compression};
use crate::copy::Source;
use crate::error::Result;
use crate::info::PathInfo;
use nix_compat::narinfo::NarInfo;
use nix_compat::{HashAlgorithm, NixHasher, StorePath};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

impl Source for BinaryCache {
    fn name(&self) -> String {
        self.address.clone()
    }

    fn query(&self, path: &StorePath) -> Result<Option<PathInfo>> {
        self.needed()?;
        let Some(record) = self.record(path, true)? else { return Ok(None) };
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
        let infos = at_once(self.at_once.1, paths, |path| self.query(path))?;
        Ok(infos.into_iter().flatten().map(|info| (info.path.clone(), info)).collect())
    }

    fn nar(&self, path: &StorePath, to: &mut dyn Write) -> Result<()> {
        let record = self.record(path, true)?;
        let record = record.ok_or_else(|| self.peer(format!("it does not have {path}")))?;
        let name = record.url();
        let wrong = |reason: String| self.peer(format!("{name}: {reason}"));
        let sent = self.files.get(name, |file| self.send(&record, file, to));
        let sent = match sent.map_err(|e| wrong(e.to_string())) {
            Ok(Some(sent)) => sent,
            Ok(None) => Err(wrong("it is not there".into())),
            Err(error) => Err(error),
        };
        if matches!(sent, Err(crate::Error::Peer { .. })) {
            self.forget(path);
        }
        sent
    }

    fn at_once(&self) -> usize {
        self.at_once.0
    }
}

impl BinaryCache {
    /// Unpacks an archive's file as it comes, and checks it.
    fn send(&self, record: &NarInfo, file: &mut dyn Read, to: &mut dyn Write) -> Result<()> {
        let name = record.url();
        let wrong = |reason: String| self.peer(format!("{name}: {reason}"));
        // One byte more than promised is enough to know.
        let limit = record.file_size().map_or(u64::MAX, |size| size.saturating_add(1));
        let algorithm = record.file_hash().map_or(HashAlgorithm::Sha256, |hash| hash.algorithm());
        let mut file =
            Hashing { from: file.take(limit), hasher: NixHasher::new(algorithm), done: 0 };
        let size = record.nar_size();
        let decoder = compression::decoder(record.compression(), &mut file, size);
        let mut decoder = decoder.map_err(|e| wrong(e.to_string()))?.ok_or_else(|| {
            wrong(format!("the compression {:?} is not known", record.compression().as_str()))
        })?;
        // The same for what it unpacks to: a file may claim any size.
        let sent = pump(&mut (&mut decoder).take(size.saturating_add(1)), to);
        match sent {
            Err(Stopped::Receiver(source)) => {
                return Err(crate::error::io("send", Path::new(name), source));
            }
            Ok(sent) if sent > size => {
                return Err(wrong(format!("it has more than the {size} bytes promised")));
            }
            _ => drop(decoder),
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

/// Does something for each of many, several at once; the first error ends it.
pub(crate) fn at_once<K: Sync, T: Send>(
    threads: usize,
    many: impl IntoIterator<Item = K>,
    one: impl Fn(&K) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let many: Vec<K> = many.into_iter().collect();
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<T>> {
        let mut done = Vec::new();
        while let Some(item) = many.get(next.fetch_add(1, Ordering::Relaxed)) {
            let made = one(item);
            if made.is_err() {
                next.store(many.len(), Ordering::Relaxed);
            }
            done.push(made?);
        }
        Ok(done)
    };
    if many.len() < 2 {
        return work();
    }
    let parts: Vec<Result<Vec<T>>> = std::thread::scope(|scope| {
        let working: Vec<_> = (0..threads.min(many.len())).map(|_| scope.spawn(work)).collect();
        let done = working.into_iter().map(std::thread::ScopedJoinHandle::join);
        done.map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let mut all = Vec::new();
    for part in parts {
        all.extend(part?);
    }
    Ok(all)
}

/// Which end of a copy failed.
enum Stopped {
    Sender(io::Error),
    Receiver(io::Error),
}

/// Sends all that comes; gives how much it was.
fn pump(from: &mut dyn Read, to: &mut dyn Write) -> std::result::Result<u64, Stopped> {
    let (mut buffer, mut sent) = (vec![0; 128 << 10], 0);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return to.flush().map(|()| sent).map_err(Stopped::Receiver),
            Ok(n) => {
                to.write_all(&buffer[..n]).map_err(Stopped::Receiver)?;
                sent += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Stopped::Sender(error)),
        }
    }
}
