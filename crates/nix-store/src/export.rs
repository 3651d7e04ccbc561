//! Paths in one stream: that of `nix-store --export` and `--import`.

use crate::copy::{Sink, Source};
use crate::error::{Context, Error, Result};
use crate::info::PathInfo;
use crate::scratch::Scratch;
use crate::store::Store;
use nix_compat::export::{Trailer, read_more, write_more};
use nix_compat::nar::ArchiveReader;
use nix_compat::wire::{Reader, Writer};
use nix_compat::{HashAlgorithm, NixHash, NixHasher, StorePath, wire};
use std::any::Any;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const BUFFER: usize = 256 << 10;

impl Store {
    /// Writes paths as `nix-store --export` does, references first. What they refer to and is not
    /// named itself is not in it.
    ///
    /// # Errors
    /// When a path is not valid, is not what was registered, or `to` refuses.
    pub fn export(&self, paths: &BTreeSet<StorePath>, to: &mut dyn Write) -> Result<()> {
        export(self, paths, to)
    }

    /// Adds what is in a stream of `nix-store --export`, and tells of each path that came. Nobody
    /// has signed it: whoever calls this trusts it. What had come before an error stays.
    ///
    /// # Errors
    /// When it is no such stream, ends too soon, a reference is missing, or it cannot be written.
    pub fn import(&self, from: &mut dyn Read, came: &dyn Fn(&StorePath)) -> Result<Vec<StorePath>> {
        import(self, from, came, &|| {
            let scratch = Scratch::temporary(self)?;
            Ok((scratch.path.clone(), Box::new(scratch)))
        })
    }
}

/// A path where nothing is yet; what is there goes when the other part is dropped.
pub(crate) type Place = (PathBuf, Box<dyn Any>);

/// As [`Store::export`], from any store.
pub(crate) fn export(
    from: &dyn Source,
    paths: &BTreeSet<StorePath>,
    to: &mut dyn Write,
) -> Result<()> {
    let mut to = Writer::new(std::io::BufWriter::with_capacity(BUFFER, to));
    for info in references_first(from, paths)? {
        let path = info.path;
        write_more(&mut to, true).map_err(sent)?;
        let mut hashing =
            Hashing { to: to.get_mut(), hasher: NixHasher::new(HashAlgorithm::Sha256) };
        from.nar(&path, &mut hashing)?;
        let got = hashing.hasher.finalize();
        if got != info.nar_hash {
            let specified = info.nar_hash.to_sri_string();
            return Err(Error::NarMismatch { path, specified, got: got.to_sri_string() });
        }
        let trailer = Trailer { path, references: info.references, deriver: info.deriver };
        trailer.write(&mut to).map_err(sent)?;
    }
    write_more(&mut to, false).and_then(|()| to.flush()).map_err(sent)
}

/// As [`Store::import`], to any store. `place` is where an archive waits for what says what it is.
pub(crate) fn import(
    to: &dyn Sink,
    from: &mut dyn Read,
    came: &dyn Fn(&StorePath),
    place: &dyn Fn() -> Result<Place>,
) -> Result<Vec<StorePath>> {
    // Not buffered beyond its end: what follows may belong to somebody else.
    let mut from = Reader::new(from);
    let mut all = Vec::new();
    while read_more(&mut from).map_err(received)? {
        // What it is comes after it: it waits on disk, however large.
        let (at, _kept) = place()?;
        let mut file = hc_fs::plain::create_new(&at, 0o600)?;
        let (size, hash) = spool(from.get_mut(), &mut file, &at)?;
        let Trailer { path, references, deriver } = Trailer::read(&mut from).map_err(received)?;
        let info = PathInfo {
            path,
            nar_hash: hash,
            nar_size: size,
            references,
            deriver,
            registered: SystemTime::now(),
            ultimate: false,
            signatures: Vec::new(),
            ca: None,
        };
        drop(file);
        let file = File::open(&at).on("open", &at)?;
        to.add(&info, &mut BufReader::with_capacity(BUFFER, file))?;
        came(&info.path);
        all.push(info.path);
    }
    Ok(all)
}

/// Valid paths in an order in which each comes after what it refers to.
fn references_first(from: &dyn Source, paths: &BTreeSet<StorePath>) -> Result<Vec<PathInfo>> {
    let (mut order, mut done) = (Vec::new(), BTreeSet::new());
    let mut open: Vec<(StorePath, Option<PathInfo>)> =
        paths.iter().rev().map(|path| (path.clone(), None)).collect();
    while let Some((path, left)) = open.pop() {
        if done.contains(&path) {
            continue;
        }
        if let Some(info) = left {
            done.insert(path);
            order.push(info);
            continue;
        }
        let Some(info) = from.query(&path)? else { return Err(Error::NotValid { path }) };
        let inner = info.references.iter().filter(|r| **r != path && paths.contains(*r));
        let inner: Vec<StorePath> = inner.filter(|r| !done.contains(*r)).cloned().collect();
        open.push((path, Some(info)));
        open.extend(inner.into_iter().map(|r| (r, None)));
    }
    Ok(order)
}

fn sent(error: wire::Error) -> Error {
    crate::error::io("write", Path::new("the export"), error.into())
}

fn received(error: wire::Error) -> Error {
    Error::Peer { address: "the import".into(), reason: error.to_string() }
}

/// Writes one archive to a file; gives its size and hash.
fn spool(from: impl Read, to: &mut File, at: &Path) -> Result<(u64, NixHash)> {
    let mut archive = ArchiveReader::new(from);
    let mut hashing = Hashing { to, hasher: NixHasher::new(HashAlgorithm::Sha256) };
    let mut buffer = vec![0; BUFFER];
    let mut size = 0;
    loop {
        // Words come in small pieces.
        let mut filled = 0;
        while filled < buffer.len() {
            match archive.read(&mut buffer[filled..]).map_err(|e| received(e.into()))? {
                0 => break,
                got => filled += got,
            }
        }
        if filled == 0 {
            break;
        }
        size += filled as u64;
        hashing.write_all(&buffer[..filled]).on("write", at)?;
    }
    let hash = hashing.hasher.finalize();
    Ok((size, hash))
}

struct Hashing<W> {
    to: W,
    hasher: NixHasher,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = self.to.write(bytes)?;
        self.hasher.update(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}
