//! A daemon's store as a place to copy from and to.

use super::super::client::send_archive;
use super::super::wire_info::to_wire;
use super::{Daemon, Refusal};
use crate::copy::{Sink, Source};
use crate::error::{Error, Result};
use crate::info::PathInfo;
use crate::realisations::Realisation;
use nix_compat::resolve::realisation_hash;
use nix_compat::wire::{self, FramedWriter, RealisationId, UnkeyedPathInfo};
use nix_compat::worker::Request;
use nix_compat::{Derivation, ModuloHashes, NixHash, Output, StorePath, nar};
use std::collections::BTreeSet;
use std::io::{Read, Write};

impl Source for Daemon {
    fn name(&self) -> String {
        self.address.name.clone()
    }

    fn at_once(&self) -> usize {
        self.pool.limit()
    }

    fn query(&self, path: &StorePath) -> Result<Option<PathInfo>> {
        self.info(path)
    }

    fn realisations(&self, path: &StorePath, info: Option<&PathInfo>) -> Result<Vec<Realisation>> {
        let Some(id) = output_of(self, path, info)? else { return Ok(Vec::new()) };
        let found = self.realisation(&id)?.filter(|found| found.path == *path);
        let read = |found: wire::Realisation| Realisation::parse(found.to_json().as_bytes());
        Ok(found.and_then(read).into_iter().collect())
    }

    fn nar(&self, path: &StorePath, to: &mut dyn Write) -> Result<()> {
        // It would send what lies there, valid or not.
        if !self.is_valid(path)? {
            return Err(self.address.error(format!("it does not have {path}")));
        }
        self.with_both(|connection| {
            let mut ask = || {
                Request::NarFromPath(path.clone()).write(&mut connection.stream.to)?;
                connection.answered()
            };
            if let Err(refusal) = ask() {
                return Ok(Err(refusal));
            }
            connection.stream.pass_archive(&self.address, to).map(Ok)
        })
    }
}

/// What an output is known by that came to the path, where the path follows from what was built.
fn output_of(
    daemon: &Daemon,
    path: &StorePath,
    info: Option<&PathInfo>,
) -> Result<Option<RealisationId>> {
    let info = match info {
        Some(info) => Some(info.clone()),
        None => daemon.info(path)?,
    };
    let Some(info) = info.filter(|info| info.ca.is_some()) else { return Ok(None) };
    let Some(drv) = info.deriver else { return Ok(None) };
    if !daemon.is_valid(&drv)? {
        return Ok(None);
    }
    let made = derivation(daemon, &drv)?;
    let floating =
        made.outputs().iter().filter(|(_, output)| matches!(output, Output::Floating { .. }));
    let names: Vec<String> = floating.map(|(name, _)| name.to_string()).collect();
    if names.is_empty() {
        return Ok(None);
    }
    let known = daemon.outputs(&drv)?;
    let name =
        names.into_iter().find(|name| matches!(known.get(name), Some(Some(to)) if to == path));
    let Some(output) = name else { return Ok(None) };
    let mut hashes = ModuloHashes::default();
    let hash = realisation_hash(&mut hashes, &drv, |drv| derivation(daemon, drv));
    Ok(hash.ok().map(|hash| RealisationId { drv_hash: NixHash::Sha256(hash), output }))
}

/// The archive of no derivation is larger.
const DERIVATION_LIMIT: usize = 32 << 20;

/// Takes what a daemon sends into memory, up to there.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > DERIVATION_LIMIT {
            return Err(std::io::Error::other("it is too large for a derivation"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Reads a derivation that the daemon has.
fn derivation(daemon: &Daemon, drv: &StorePath) -> Result<Derivation> {
    let wrong = |reason: String| Error::Derivation { path: drv.clone(), reason };
    let mut archive = Bounded(Vec::new());
    daemon.nar(drv, &mut archive)?;
    let archive = archive.0;
    let mut text = None;
    let read = nar::decode_events(&archive, |event| {
        if let nar::Event::Regular { name: None, contents, .. } = event {
            text = Some(contents);
        }
        Ok(())
    });
    read.map_err(|error| wrong(error.to_string()))?;
    let text = text.ok_or_else(|| wrong("it is no file".into()))?;
    let name = drv.name().strip_suffix(".drv").unwrap_or(drv.name());
    Derivation::from_aterm_bytes(text, name).map_err(|error| wrong(error.to_string()))
}

impl Sink for Daemon {
    fn name(&self) -> String {
        self.address.name.clone()
    }

    fn at_once(&self) -> usize {
        self.pool.limit()
    }

    fn valid(&self, paths: &BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>> {
        if paths.is_empty() {
            return Ok(BTreeSet::new());
        }
        let request = Request::QueryValidPaths { paths: paths.clone(), substitute: false };
        self.ask(&request, |c| c.stream.from.paths())
    }

    fn add_many(
        &self,
        infos: &[PathInfo],
        send: &mut dyn FnMut(&PathInfo, &mut dyn Write) -> Result<()>,
    ) -> Result<bool> {
        // With several connections they go side by side.
        if self.pool.limit() > 1 {
            return Ok(false);
        }
        self.add_all(infos.iter(), send).map(|()| true)
    }

    fn add_realisations(&self, realisations: &[Realisation]) -> Result<()> {
        for realisation in realisations {
            let Ok(told) = wire::Realisation::parse(&realisation.to_json()) else { continue };
            // One without content-addressed derivations has no use for it.
            match self.register_output(told) {
                Err(Error::Peer { reason, .. }) if reason.contains("ca-derivations") => {
                    return Ok(());
                }
                done => done?,
            }
        }
        Ok(())
    }

    fn add(&self, info: &PathInfo, nar: &mut dyn Read) -> Result<()> {
        // It keeps the path from now on, and there is nothing to send where it has it.
        self.add_temp_root(&info.path)?;
        if self.is_valid(&info.path)? {
            return Ok(());
        }
        // What the sender thinks of itself does not count there.
        let told = UnkeyedPathInfo { ultimate: false, ..to_wire(info) };
        let request = Request::AddToStoreNar {
            path: info.path.clone(),
            info: told,
            repair: false,
            trusted: !self.options.check_signatures,
        };
        self.with_both(|connection| {
            if let Err(error) = request.write(&mut connection.stream.to) {
                return Ok(Err(error.into()));
            }
            let mut stream = FramedWriter::new(connection.stream.to.get_mut());
            if let Err(error) = send_archive(info, nar, &mut stream)? {
                return Ok(Err(Refusal::Broken(error)));
            }
            if let Err(error) = stream.finish() {
                return Ok(Err(error.into()));
            }
            Ok(connection.answered())
        })
    }
}
