//! What a client of a daemon sends besides its requests: archives, texts, logs.

use super::super::wire_info::from_wire;
use super::{Access, lost, refused};
use crate::add::IngestMethod;
use crate::copy::Sink;
use crate::error::{Context, Error, Result};
use crate::info::PathInfo;
use crate::store::Store;
use nix_compat::nar::ArchiveReader;
use nix_compat::wire::{MESSAGE_LIMIT, Reader};
use nix_compat::{Derivation, StorePath};
use std::collections::BTreeSet;
use std::io::{BufReader, Read};

const BUFFER: usize = 64 << 10;

/// One path, signed by somebody that is trusted or sent by somebody that is.
pub(super) fn add(
    store: &Store,
    access: &Access,
    info: &PathInfo,
    trusted: bool,
    archive: &mut dyn Read,
) -> Result<()> {
    let trusted = trusted && access.trusted;
    if !trusted && !access.trust.accepts(info) {
        let reason = "it lacks a signature by a trusted key".into();
        return Err(Error::Refused { path: info.path.clone(), reason });
    }
    store.add(info, archive)
}

/// A stream of paths after their number, references first.
pub(super) fn add_many(
    store: &Store,
    access: &Access,
    trusted: bool,
    from: &mut dyn Read,
) -> Result<()> {
    each(from, &mut |info, archive| add(store, access, info, trusted, archive))
}

/// Goes through such a stream.
pub(super) fn each(
    from: &mut dyn Read,
    add: &mut dyn FnMut(&PathInfo, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let mut from = Reader::new(BufReader::with_capacity(BUFFER, from));
    for _ in 0..from.number().map_err(lost)? {
        from.begin();
        let path = from.path().map_err(lost)?;
        let info = from_wire(path, from.path_info().map_err(lost)?);
        let mut archive = ArchiveReader::new(from.get_mut());
        add(&info, &mut archive)?;
        archive.finish().map_err(|error| lost(error.into()))?;
    }
    Ok(())
}

/// Something new, by a content-address method of C++ Nix.
pub(super) fn add_new(
    store: &Store,
    name: &str,
    method: &str,
    references: &BTreeSet<StorePath>,
    from: &mut dyn Read,
) -> Result<StorePath> {
    match method {
        "text:sha256" => {
            let mut text = Vec::new();
            from.take(MESSAGE_LIMIT).read_to_end(&mut text).map_err(|e| lost(e.into()))?;
            if text.len() as u64 == MESSAGE_LIMIT {
                return Err(refused(format!("the text {name:?} is too large")));
            }
            match name.strip_suffix(".drv") {
                Some(of) => add_derivation(store, of, &text, references),
                None => store.add_text(name, &text, references),
            }
        }
        "fixed:r:sha256" => store.add_incoming(name, IngestMethod::Recursive, references, from),
        "fixed:sha256" => store.add_incoming(name, IngestMethod::Flat, references, from),
        other => Err(refused(format!(
            "adding by {other:?} is not supported: only text:sha256, fixed:sha256 and fixed:r:sha256 are"
        ))),
    }
}

/// A derivation is known for one, and is one.
fn add_derivation(
    store: &Store,
    name: &str,
    text: &[u8],
    references: &BTreeSet<StorePath>,
) -> Result<StorePath> {
    let wrong = |what: String| refused(format!("the text {name}.drv is no derivation: {what}"));
    let derivation =
        Derivation::from_aterm_bytes(text, name).map_err(|error| wrong(error.to_string()))?;
    let inputs = derivation.input_derivations().keys().chain(derivation.input_sources());
    if inputs.collect::<BTreeSet<_>>() != references.iter().collect() {
        return Err(wrong("it does not refer to its inputs".into()));
    }
    if derivation.to_aterm_bytes() != text {
        return Err(wrong("it is not written as one".into()));
    }
    store.add_derivation(&derivation)
}

/// The log of a build that ran elsewhere.
pub(super) fn add_log(store: &Store, drv: &StorePath, from: &mut dyn Read) -> Result<()> {
    let path = store.layout().build_log(drv).with_added_extension("bz2");
    if let Some(directory) = path.parent() {
        hc_fs::plain::create_dir_all(directory, 0o755)?;
    }
    let file = hc_fs::plain::create(&path, 0o644)?;
    let mut file = bzip2::write::BzEncoder::new(file, bzip2::Compression::best());
    std::io::copy(from, &mut file).on("write", &path)?;
    file.finish().map(drop).on("write", &path)
}
