//! What a daemon does for a builder with `recursive-nix`: it sees what its build may see, may add to
//! that, and may build what it sees. As `RestrictedStore` of C++ Nix.

use super::super::wire_info::{from_wire, to_wire};
use super::worker::{Answer, Session, answer, done, paths_answer, unsupported};
use super::{Access, Client, incoming, refused};
use crate::build::Yard;
use crate::copy::{Source, Trust};
use crate::error::{Error, Result};
use crate::info::PathInfo;
use crate::live::Keep;
use crate::store::Store;
use nix_compat::StorePath;
use nix_compat::wire::{BuildResult, UnkeyedPathInfo};
use nix_compat::worker::Request;
use std::collections::BTreeSet;
use std::io::Read;
use std::time::SystemTime;

/// Serves one connection of a builder until it ends.
///
/// # Errors
/// As for [`super::serve_daemon`].
pub(crate) fn serve_builder(store: &Store, yard: &dyn Yard, client: &mut Client<'_>) -> Result<()> {
    let trust = Trust { keys: store.config().trusted_keys.clone(), required: true };
    let access = Access { write: true, trust, trusted: false };
    let release = concat!("hc ", env!("CARGO_PKG_VERSION"));
    super::worker::serve_session(store, &access, Some(yard), Keep::default(), release, client)
}

fn unknown(path: &StorePath) -> Error {
    refused(format!("{path} is not among what this build may see"))
}

/// What a builder may know of a path: not who made it here, nor when.
fn censored(info: PathInfo) -> UnkeyedPathInfo {
    let registered = SystemTime::UNIX_EPOCH;
    let info = PathInfo { deriver: None, registered, ultimate: false, ..info };
    to_wire(&PathInfo { signatures: Vec::new(), ..info })
}

impl Session<'_> {
    /// Requests that a stream follows. What is added may refer to what the builder sees, and it sees
    /// it from then on.
    pub fn take_in(
        &self,
        yard: &dyn Yard,
        request: Request,
        stream: &mut dyn Read,
    ) -> Result<Answer> {
        let store = &self.store;
        let check = |references: &BTreeSet<StorePath>, itself: Option<&StorePath>| {
            let others = references.iter().filter(|path| Some(*path) != itself);
            others.filter(|path| !yard.sees(path)).map(unknown).next().map_or(Ok(()), Err)
        };
        let mut add = |info: &PathInfo, archive: &mut dyn Read| {
            check(&info.references, Some(&info.path))?;
            incoming::add(store, self.access, info, false, archive)?;
            yard.admit(&BTreeSet::from([info.path.clone()]))
        };
        match request {
            Request::AddToStore { name, method, references, .. } => {
                check(&references, None)?;
                let path = incoming::add_new(store, &name, &method, &references, stream)?;
                yard.admit(&BTreeSet::from([path.clone()]))?;
                let info = censored(store.info(&path)?);
                Ok(answer(move |to| {
                    to.path(&path)?;
                    to.path_info(&info)
                }))
            }
            Request::AddToStoreNar { path, info, .. } => {
                add(&from_wire(path, info), stream)?;
                Ok(answer(|_| Ok(())))
            }
            Request::AddMultipleToStore { .. } => {
                incoming::each(stream, &mut add)?;
                Ok(answer(|_| Ok(())))
            }
            other => Err(unsupported(&other)),
        }
    }

    /// All other requests.
    pub fn work_within(&self, yard: &dyn Yard, request: Request) -> Result<Answer> {
        let store = &self.store;
        let seen = |path: StorePath| if yard.sees(&path) { Ok(path) } else { Err(unknown(&path)) };
        Ok(match request {
            Request::IsValidPath(path) => {
                let valid = yard.sees(&path);
                answer(move |to| to.bool(valid))
            }
            Request::QueryValidPaths { mut paths, .. } => {
                paths.retain(|path| yard.sees(path));
                paths_answer(paths)
            }
            Request::QueryAllValidPaths => paths_answer(yard.paths()),
            Request::QueryReferrers(_)
            | Request::QueryValidDerivers(_)
            | Request::QuerySubstitutablePaths(_) => paths_answer(BTreeSet::new()),
            Request::QueryPathInfo(path) => {
                let info = if yard.sees(&path) { store.query(&path)?.map(censored) } else { None };
                answer(move |to| {
                    to.bool(info.is_some())?;
                    info.map_or(Ok(()), |info| to.path_info(&info))
                })
            }
            Request::QueryDerivationOutputMap(drv) => {
                let outputs = store.outputs(&seen(drv)?)?;
                answer(move |to| {
                    to.many(&outputs, |to, (name, path)| {
                        to.bytes(name)?;
                        to.optional_path(path.as_ref())
                    })
                })
            }
            Request::QueryRealisation(id) if yard.has_built(&id) => self.realisation(id)?,
            Request::QueryRealisation(_) => answer(|to| to.number(0)),
            Request::QueryMissing(targets) => {
                let (mut known, mut hidden) = (Vec::new(), BTreeSet::new());
                for target in targets {
                    let path = target_path(&target)?;
                    if yard.sees(&path) {
                        known.push(target);
                    } else {
                        hidden.insert(path);
                    }
                }
                self.missing(&known, hidden)?
            }
            Request::NarFromPath(path) => self.archive(seen(path)?)?,
            Request::EnsurePath(path) => {
                seen(path)?;
                done()
            }
            Request::BuildPaths { targets, mode } => {
                let results = self.build_within(yard, targets, mode)?;
                let mut failed = results.into_iter().filter(|(_, r)| !r.status.is_success());
                match failed.next() {
                    None => done(),
                    Some((_, result)) => return Err(refused(result.error)),
                }
            }
            Request::BuildPathsWithResults { targets, mode } => {
                let results = self.build_within(yard, targets, mode)?;
                self.results(results)
            }
            // Nothing outlives the build, and its host decides how things are built.
            Request::SetOptions { .. } => answer(|_| Ok(())),
            Request::AddTempRoot(_) | Request::AddIndirectRoot(_) | Request::OptimiseStore => {
                done()
            }
            Request::FindRoots => answer(|to| to.number(0)),
            // It collects nothing: no paths, no bytes.
            Request::CollectGarbage { .. } => answer(|to| (0..3).try_for_each(|_| to.number(0))),
            Request::VerifyStore { repair: false, .. } => answer(|to| to.bool(false)),
            other => return Err(unsupported(&other)),
        })
    }

    /// Builds what the builder sees; it sees what comes of it, with all that it refers to.
    fn build_within(
        &self,
        yard: &dyn Yard,
        targets: Vec<String>,
        mode: u64,
    ) -> Result<Vec<(String, BuildResult)>> {
        if mode != 0 {
            return Err(refused("a builder can neither check nor repair"));
        }
        for target in &targets {
            let path = target_path(target)?;
            if !yard.sees(&path) {
                return Err(unknown(&path));
            }
        }
        let results = self.build_each(targets, mode);
        let outputs = results.iter().flat_map(|(_, result)| &result.outputs);
        let (ids, paths): (BTreeSet<_>, BTreeSet<_>) =
            outputs.map(|(id, output)| (id.clone(), output.path.clone())).unzip();
        yard.admit(&self.store.closure(&paths)?)?;
        yard.note_built(ids);
        Ok(results)
    }
}

/// The path that a target is about.
fn target_path(target: &str) -> Result<StorePath> {
    let path = target.split('!').next().unwrap_or_default();
    path.parse().map_err(|_| refused(format!("{target:?} is no path of the store")))
}
