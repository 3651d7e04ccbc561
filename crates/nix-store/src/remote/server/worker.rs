//! What a Nix daemon does, for one client.

use super::super::wire_info::{from_wire, to_wire};
use super::session::Speaker;
use super::{Access, Client, incoming, lost, refused};
use crate::build::Yard;
use crate::config::StoreConfig;
use crate::copy::{Sink, Source};
use crate::error::{Error, Result};
use crate::live::Keep;
use crate::store::Store;
use nix_compat::StorePath;
use nix_compat::wire::{
    self, BuildResult, FramedReader, Reader, Realisation, RealisationId, Writer,
};
use nix_compat::worker::{self, Message, Request, Server, Version};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{BufReader, BufWriter, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const BUFFER: usize = 64 << 10;

/// Serves a client of `ssh-ng://` until it leaves. `release` is what it is told of us.
///
/// # Errors
/// When the connection breaks in the middle of something, or the client does not keep to the
/// protocol. What goes wrong otherwise is told to the client.
pub fn serve_daemon(
    store: &Store,
    access: &Access,
    keep: Keep,
    release: &str,
    client: &mut Client<'_>,
) -> Result<()> {
    serve_session(store, access, None, keep, release, client)
}

/// The same, with `yard` for a builder.
pub(super) fn serve_session(
    store: &Store,
    access: &Access,
    yard: Option<&dyn Yard>,
    keep: Keep,
    release: &str,
    client: &mut Client<'_>,
) -> Result<()> {
    let mut from = Reader::new(BufReader::with_capacity(BUFFER, &mut *client.from));
    let mut to: super::session::Out<'_> =
        Writer::new(BufWriter::with_capacity(BUFFER, &mut *client.to));
    let server = Server { release: release.into(), trusts_us: Some(access.trusted) };
    let version = worker::welcome(&mut from, &mut to, &server).map_err(lost)?;
    let speaker = Speaker::new(to, client.gone);
    speaker.say(&Message::Last).map_err(lost)?;
    let builder = store.clone();
    let mut session =
        Session { store: store.clone(), builder, access, yard, keep, version, speaker };
    loop {
        match Request::read(&mut from) {
            Ok(None) => return Ok(()),
            Ok(Some(request)) => session.answer(request, &mut from)?,
            Err(error) => {
                let _ = session.speaker.say(&Message::Error(error.to_string()));
                return Err(lost(error));
            }
        }
    }
}

pub(super) struct Session<'a> {
    /// Open from the beginning to the end: it keeps what the client was told of.
    pub store: Store,
    /// The same, opened with the client's options.
    pub builder: Store,
    pub access: &'a Access,
    /// The client is a builder, which sees no more than this.
    yard: Option<&'a dyn Yard>,
    pub keep: Keep,
    version: Version,
    pub speaker: Speaker<'a>,
}

/// Writes an answer.
pub(super) type Answer = Box<dyn FnOnce(&mut super::session::Out<'_>) -> Result<()>>;

pub(super) fn answer(
    write: impl FnOnce(&mut super::session::Out<'_>) -> wire::Result<()> + 'static,
) -> Answer {
    Box::new(|to| write(to).map_err(lost))
}

pub(super) fn done() -> Answer {
    answer(|to| to.number(1))
}

impl Session<'_> {
    fn answer(&mut self, request: Request, from: &mut Reader<impl Read>) -> Result<()> {
        let streams = matches!(
            request,
            Request::AddToStore { .. }
                | Request::AddToStoreNar { .. }
                | Request::AddMultipleToStore { .. }
                | Request::AddBuildLog(_)
        );
        let done = if streams {
            let mut stream = FramedReader::new(from.get_mut());
            let done = match self.yard {
                Some(yard) => self.take_in(yard, request, &mut stream),
                None => self.take(request, &mut stream),
            };
            // The next request comes after it, whatever became of this one.
            stream.finish().map_err(|error| lost(error.into()))?;
            done
        } else {
            match self.yard {
                Some(yard) => self.work_within(yard, request),
                None => self.work(request),
            }
        };
        match done {
            Ok(write) => {
                self.speaker.say(&Message::Last).map_err(lost)?;
                let mut to = self.speaker.out();
                write(&mut to)?;
                to.flush().map_err(lost)
            }
            Err(error) => self.speaker.say(&Message::Error(error.to_string())).map_err(lost),
        }
    }

    fn may_write(&self) -> Result<()> {
        if self.access.write {
            return Ok(());
        }
        Err(refused("the store is served for reading: --write is not given"))
    }

    /// Requests that a stream follows.
    fn take(&self, request: Request, stream: &mut dyn Read) -> Result<Answer> {
        self.may_write()?;
        let store = &self.store;
        match request {
            Request::AddToStore { name, method, references, .. } => {
                let path = incoming::add_new(store, &name, &method, &references, stream)?;
                let info = to_wire(&store.info(&path)?);
                Ok(answer(move |to| {
                    to.path(&path)?;
                    to.path_info(&info)
                }))
            }
            Request::AddToStoreNar { path, info, trusted, .. } => {
                let info = from_wire(path, info);
                incoming::add(store, self.access, &info, trusted, stream)?;
                Ok(answer(|_| Ok(())))
            }
            Request::AddMultipleToStore { trusted, .. } => {
                incoming::add_many(store, self.access, trusted, stream)?;
                Ok(answer(|_| Ok(())))
            }
            Request::AddBuildLog(drv) => {
                if !self.access.trusted {
                    return Err(refused("a log is taken from a trusted client only"));
                }
                incoming::add_log(store, &drv, stream)?;
                Ok(done())
            }
            other => Err(unsupported(&other)),
        }
    }

    fn work(&mut self, request: Request) -> Result<Answer> {
        let store = &self.store;
        Ok(match request {
            Request::IsValidPath(path) => {
                let valid = store.is_valid(&path)?;
                answer(move |to| to.bool(valid))
            }
            Request::QueryValidPaths { paths, substitute } => {
                let valid = store.valid(&paths)?;
                paths_answer(if substitute { self.substitute(&paths, valid)? } else { valid })
            }
            Request::QuerySubstitutablePaths(paths) => {
                paths_answer(self.substitutable(&paths)?.into_keys().collect())
            }
            Request::QuerySubstitutablePathInfo(path) => self.substitutable_one(path)?,
            Request::QuerySubstitutablePathInfos(paths) => self.substitutable_many(paths)?,
            Request::QueryAllValidPaths => paths_answer(store.valid_paths()?),
            Request::QueryReferrers(path) => paths_answer(store.referrers(&path)?),
            Request::QueryValidDerivers(path) => paths_answer(store.valid_derivers(&path)?),
            Request::QueryPathFromHashPart(part) => {
                let path = store.path_from_hash_part(&part)?;
                answer(move |to| to.optional_path(path.as_ref()))
            }
            Request::QueryPathInfo(path) => {
                let info = store.query(&path)?.map(|info| to_wire(&info));
                answer(move |to| {
                    to.bool(info.is_some())?;
                    info.map_or(Ok(()), |info| to.path_info(&info))
                })
            }
            Request::QueryDerivationOutputMap(drv) => {
                let outputs = store.outputs(&drv)?;
                answer(move |to| {
                    to.many(&outputs, |to, (name, path)| {
                        to.bytes(name)?;
                        to.optional_path(path.as_ref())
                    })
                })
            }
            Request::QueryRealisation(id) => self.realisation(id)?,
            Request::QueryMissing(targets) => self.missing(&targets, BTreeSet::new())?,
            Request::NarFromPath(path) => self.archive(path)?,
            Request::EnsurePath(path) => {
                if !store.is_valid(&path)? {
                    let wanted = BTreeSet::from([path.clone()]);
                    if self.substitute(&wanted, BTreeSet::new())?.is_empty() {
                        return Err(Error::NotValid { path });
                    }
                }
                done()
            }
            Request::AddTempRoot(path) => {
                store.add_temp_root(&path)?;
                done()
            }
            Request::FindRoots => {
                let roots = store.roots()?;
                answer(move |to| {
                    to.many(&roots, |to, root| {
                        to.bytes(root.link.as_os_str().as_bytes())?;
                        to.path(&root.path)
                    })
                })
            }
            Request::SetOptions { keep_failed, keep_going, jobs, cores, substitute, .. } => {
                self.configure(|config| {
                    (config.keep_failed, config.keep_going) = (keep_failed, keep_going);
                    config.jobs = usize::try_from(jobs).unwrap_or(usize::MAX).max(1);
                    let cores = usize::try_from(cores).ok().filter(|n| *n > 0);
                    config.cores = cores.unwrap_or(config.cores);
                    if !substitute {
                        config.substituters.clear();
                    }
                })?;
                answer(|_| Ok(()))
            }
            other => {
                self.may_write()?;
                return self.change(other);
            }
        })
    }

    pub(super) fn realisation(&self, id: RealisationId) -> Result<Answer> {
        let key = id.drv_hash.to_nix_base16_string();
        let path = self.store.realisation(&key, &id.output)?;
        Ok(answer(move |to| {
            let found = path.map(|path| Realisation { id, path, signatures: Vec::new() });
            to.many(found.as_slice(), |to, found| to.realisation(found))
        }))
    }

    pub(super) fn archive(&self, path: StorePath) -> Result<Answer> {
        if !self.store.is_valid(&path)? {
            return Err(Error::NotValid { path });
        }
        let store = self.store.clone();
        Ok(Box::new(move |to| store.nar(&path, to.get_mut())))
    }

    pub(super) fn results(&self, results: Vec<(String, BuildResult)>) -> Answer {
        let cpu = self.version.has_cpu_times();
        answer(move |to| {
            to.many(&results, |to, (target, result)| {
                to.bytes(target)?;
                to.build_result(result, cpu)
            })
        })
    }

    /// How builds are done from now on.
    fn configure(&mut self, change: impl FnOnce(&mut StoreConfig)) -> Result<()> {
        let mut config = self.builder.config().clone();
        change(&mut config);
        self.builder = Store::open(config)?;
        Ok(())
    }

    /// Requests that change the store.
    fn change(&mut self, request: Request) -> Result<Answer> {
        let store = &self.store;
        Ok(match request {
            Request::BuildPaths { targets, mode } => {
                for target in &targets {
                    self.build(target, mode)?;
                }
                done()
            }
            Request::BuildPathsWithResults { targets, mode } => {
                let results = self.build_each(targets, mode);
                self.results(results)
            }
            Request::AddIndirectRoot(link) => {
                store.add_root(Path::new(OsStr::from_bytes(&link)))?;
                done()
            }
            Request::AddPermRoot { path, link } => {
                if !self.access.trusted {
                    return Err(refused("a link is made for a trusted client only"));
                }
                if !store.is_valid(&path)? {
                    return Err(Error::NotValid { path });
                }
                let file = Path::new(OsStr::from_bytes(&link));
                if file.symlink_metadata().is_ok_and(|there| !there.is_symlink()) {
                    let reason = "something is there that is no symlink";
                    return Err(Error::Root { link: file.into(), reason });
                }
                hc_fs::durable::symlink(Path::new(&path.to_string()), file)?;
                store.add_root(file)?;
                answer(move |to| to.bytes(&link))
            }
            Request::AddSignatures { path, signatures } => {
                if !self.access.trusted {
                    return Err(refused("signatures are taken from a trusted client only"));
                }
                for signature in &signatures {
                    store.add_signature(&path, signature)?;
                }
                done()
            }
            Request::OptimiseStore => {
                store.optimise(|_, _| ())?;
                done()
            }
            Request::VerifyStore { contents, repair } => {
                if repair {
                    return Err(refused("to repair is not supported: `hc build --repair` does it"));
                }
                let damaged = store.verify(contents, &mut |_, _| ())?;
                for damage in &damaged {
                    let line = Message::Line(format!("error: {damage}\n"));
                    self.speaker.say(&line).map_err(lost)?;
                }
                let any = !damaged.is_empty();
                answer(move |to| to.bool(any))
            }
            Request::CollectGarbage { action, paths, max_freed } => {
                self.collect(action, paths, max_freed)?
            }
            Request::BuildDerivation { path, derivation, mode } => {
                let result = self.build_sent(&path, &derivation, mode)?;
                let cpu = self.version.has_cpu_times();
                answer(move |to| to.build_result(&result, cpu))
            }
            Request::RegisterDrvOutput(realisation) => self.register_output(&realisation)?,
            other => return Err(unsupported(&other)),
        })
    }
}

pub(super) fn paths_answer(paths: BTreeSet<StorePath>) -> Answer {
    answer(move |to| to.paths(&paths))
}

pub(super) fn unsupported(request: &Request) -> Error {
    let name = format!("{request:?}");
    let name = name.split([' ', '(']).next().unwrap_or_default();
    refused(format!("{name} is not supported"))
}
