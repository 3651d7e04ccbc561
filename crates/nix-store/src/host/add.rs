//! What is new goes to the daemon: texts, trees, derivations, streams.

use super::DaemonStore;
use crate::add::{Filter, IngestMethod, bad_name, describe, sha256};
use crate::copy::{Sink, Source, readdress_closure};
use crate::error::{Context, Error, Result, archive};
use crate::export::Place;
use crate::readdress::Addressed;
use nix_compat::nar::{self, Encoder};
use nix_compat::{CAHash, Derivation, StorePath, path};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

const BUFFER: usize = 256 << 10;

impl DaemonStore {
    pub(super) fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &BTreeSet<StorePath>,
    ) -> Result<StorePath> {
        let path = path::text(name, contents, references).map_err(bad_name(name))?;
        if self.is_valid(&path)? {
            return Ok(path);
        }
        self.daemon().add_text(name, contents, references)
    }

    pub(super) fn add_path(
        &self,
        name: &str,
        from: &Path,
        method: IngestMethod,
        references: &BTreeSet<StorePath>,
        filter: Option<&Filter<'_>>,
    ) -> Result<StorePath> {
        let keep = |child: &Path| {
            let kind = child.symlink_metadata().map(|found| found.file_type());
            filter.is_none_or(|filter| kind.is_ok_and(|kind| filter(child, kind)))
        };
        self.daemon().add_new(name, method, references, &mut |to| match method {
            IngestMethod::Recursive => {
                let mut to = BufWriter::with_capacity(BUFFER, to);
                nar::dump_filtered(from, &keep, &mut to).map_err(archive(from))?;
                to.flush().on("send", from)
            }
            IngestMethod::Flat => {
                let mut file = File::open(from).on("open", from)?;
                std::io::copy(&mut file, to).map(drop).on("send", from)
            }
        })
    }

    pub(super) fn add_executable(&self, name: &str, from: &Path) -> Result<StorePath> {
        let method = IngestMethod::Recursive;
        self.daemon().add_new(name, method, &BTreeSet::new(), &mut |mut to| {
            let mut file = File::open(from).on("open", from)?;
            let size = file.metadata().on("read", from)?.len();
            let mut encoder = Encoder::new(&mut to).map_err(archive(from))?;
            let mut writer = encoder.start_regular(None, true, size).map_err(archive(from))?;
            std::io::copy(&mut file, &mut writer).on("send", from)?;
            writer.finish().map_err(archive(from))?;
            encoder.finish().map(drop).map_err(archive(from))
        })
    }

    pub(super) fn add_derivations(&self, derivations: &[&Derivation]) -> Result<Vec<StorePath>> {
        let mut paths = Vec::with_capacity(derivations.len());
        let mut texts = Vec::new();
        for &derivation in derivations {
            let name = format!("{}.drv", derivation.name());
            let contents = derivation.to_aterm_bytes();
            let references: BTreeSet<StorePath> = derivation
                .input_derivations()
                .keys()
                .chain(derivation.input_sources())
                .cloned()
                .collect();
            let path = path::text(&name, &contents, &references).map_err(bad_name(&name))?;
            paths.push(path.clone());
            texts.push((path, contents, references));
        }
        let mut known = Sink::valid(self, &paths.iter().cloned().collect())?;
        let mut new = Vec::new();
        for (path, contents, references) in texts {
            if known.insert(path.clone()) {
                let archive = archived(&path, &contents)?;
                let hash = nar::NarHash { size: archive.len() as u64, sha256: sha256(&archive) };
                let ca = CAHash::Text(sha256(&contents));
                new.push((describe(&path, hash, &references, Some(ca), None), archive));
            }
        }
        let archives: BTreeMap<StorePath, &Vec<u8>> =
            new.iter().map(|(info, archive)| (info.path.clone(), archive)).collect();
        self.daemon().add_all(new.iter().map(|(info, _)| info), &mut |info, to| {
            let archive = archives.get(&info.path).map_or(&[][..], |archive| archive);
            to.write_all(archive).on("send", info.path.to_string().as_ref())
        })?;
        Ok(paths)
    }

    pub(super) fn import(
        &self,
        from: &mut dyn Read,
        came: &dyn Fn(&StorePath),
    ) -> Result<Vec<StorePath>> {
        crate::export::import(self, from, came, &|| self.place())
    }

    pub(super) fn copy_readdressed(
        &self,
        from: &dyn Source,
        path: &StorePath,
    ) -> Result<StorePath> {
        readdress_closure(from, path, &|| self.place(), &|addressed| self.add_addressed(addressed))
    }

    fn add_addressed(&self, addressed: &Addressed) -> Result<()> {
        let Addressed { at, path, ca, references } = addressed;
        if self.is_valid(path)? {
            return Ok(());
        }
        let hash = nar::hash_path(at).map_err(archive(at))?;
        let info = describe(path, hash, references, Some(ca.clone()), None);
        let (file, _kept) = self.place()?;
        let mut to = BufWriter::new(hc_fs::plain::create_new(&file, 0o600)?);
        nar::dump(at, &mut to).map_err(archive(at))?;
        to.flush().on("write", &file)?;
        let mut archive = BufReader::new(File::open(&file).on("open", &file)?);
        Sink::add(self, &info, &mut archive)
    }

    /// A place for something that is on its way.
    fn place(&self) -> Result<Place> {
        let temporary = &self.config().temporary;
        let directory = tempfile::tempdir_in(temporary).on("make a directory in", temporary)?;
        Ok((directory.path().join("it"), Box::new(directory)))
    }
}

/// The archive of a text.
fn archived(path: &StorePath, contents: &[u8]) -> Result<Vec<u8>> {
    let wrong = |source| Error::Archive { path: path.to_string().into(), source };
    let mut archive = Vec::with_capacity(contents.len() + 128);
    let mut encoder = Encoder::new(&mut archive).map_err(wrong)?;
    let mut writer = encoder.start_regular(None, false, contents.len() as u64).map_err(wrong)?;
    writer.write_all(contents).on("archive", path.to_string().as_ref())?;
    writer.finish().map_err(wrong)?;
    encoder.finish().map_err(wrong)?;
    Ok(archive)
}
