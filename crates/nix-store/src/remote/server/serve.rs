//! What `nix-store --serve` does.

use super::super::wire_info::{from_wire, to_wire};
use super::session::Gone;
use super::{Access, Client, Target, lost, refused, sent};
use crate::build::{BuildEvent, BuildMode, BuildObserver};
use crate::error::{Error, Result};
use crate::host::{HostConfig, HostStore};
use nix_compat::serve::{self, BuildOptions, Request};
use nix_compat::wire::{Reader, Writer};
use std::collections::BTreeSet;
use std::io::{BufReader, BufWriter, Read};
use std::time::Duration;

const BUFFER: usize = 64 << 10;

/// Serves a client of `ssh://` until it leaves. `tell` gets what builders write.
///
/// # Errors
/// What ended the connection too early: this protocol has no other way to say it.
pub fn serve(
    store: &HostStore,
    access: &Access,
    client: &mut Client<'_>,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<()> {
    let mut from = Reader::new(BufReader::with_capacity(BUFFER, &mut *client.from));
    let mut to = Writer::new(BufWriter::with_capacity(BUFFER, &mut *client.to));
    serve::welcome(&mut from, &mut to).map_err(lost)?;
    while let Some(request) = Request::read(&mut from).map_err(lost)? {
        let changes = matches!(
            request,
            Request::ImportPaths
                | Request::BuildPaths { .. }
                | Request::BuildDerivation { .. }
                | Request::AddToStoreNar { .. }
        );
        if changes && !access.write {
            return Err(refused("the store is served for reading: --write is not given"));
        }
        match request {
            // Whatever is found valid is kept as long as the connection lasts.
            Request::QueryValidPaths { paths, .. } => {
                to.paths(&store.sink().valid(&paths)?).map_err(lost)?;
            }
            Request::QueryPathInfos(paths) => {
                for path in &paths {
                    if let Some(info) = store.source().query(path)? {
                        serve::write_path_info(&mut to, path, &to_wire(&info)).map_err(lost)?;
                    }
                }
                serve::write_path_info_end(&mut to).map_err(lost)?;
            }
            Request::DumpStorePath(path) => store.source().nar(&path, to.get_mut())?,
            Request::ExportPaths(paths) => store.export(&paths, to.get_mut())?,
            Request::QueryClosure { outputs, paths } => {
                let closure = closure(store, &paths, outputs)?;
                to.paths(&closure).map_err(lost)?;
            }
            Request::ImportPaths => {
                store.import(from.get_mut(), &|_| ())?;
                to.number(1).map_err(lost)?;
            }
            Request::AddToStoreNar { path, info } => {
                let size = info.nar_size;
                let mut archive = from.get_mut().take(size);
                store.sink().add(&from_wire(path, info), &mut archive)?;
                // What was there already was not read.
                std::io::copy(&mut archive, &mut std::io::sink())
                    .map_err(|error| lost(error.into()))?;
                to.number(1).map_err(lost)?;
            }
            Request::BuildPaths { targets, options } => {
                match build(store, &targets, options, &Tell { tell, gone: client.gone }) {
                    Ok(()) => to.number(0).map_err(lost)?,
                    Err(error) => {
                        to.number(1).map_err(lost)?;
                        to.bytes(error.to_string()).map_err(lost)?;
                    }
                }
            }
            Request::BuildDerivation { path, derivation, options } => {
                let observer = Tell { tell, gone: client.gone };
                let builder = HostStore::open(limited(store, options))?;
                let result = match (&builder, store) {
                    (HostStore::Local(builder), HostStore::Local(store)) => sent::build(
                        builder,
                        &path,
                        &derivation,
                        BuildMode::Normal,
                        &observer,
                        store,
                    ),
                    (HostStore::Daemon(builder), _) => {
                        builder.daemon().build_derivation(path, derivation, &observer)?
                    }
                    (HostStore::Local(_), HostStore::Daemon(_)) => {
                        return Err(refused("the way to the store changed meanwhile"));
                    }
                };
                to.build_result(&result, false).map_err(lost)?;
            }
            other => return Err(refused(format!("{other:?} is not supported"))),
        }
        to.flush().map_err(lost)?;
    }
    Ok(())
}

fn closure(
    store: &HostStore,
    paths: &BTreeSet<nix_compat::StorePath>,
    outputs: bool,
) -> Result<BTreeSet<nix_compat::StorePath>> {
    let mut closure = store.closure(paths)?;
    if outputs {
        let mut more = BTreeSet::new();
        for drv in closure.iter().filter(|path| path.name().ends_with(".drv")) {
            for output in store.outputs(drv)?.into_values().flatten() {
                if store.is_valid(&output)? {
                    more.insert(output);
                }
            }
        }
        closure.extend(store.closure(&more)?);
    }
    Ok(closure)
}

/// How the store is opened to build with a client's options.
fn limited(store: &HostStore, options: BuildOptions) -> HostConfig {
    let mut host = store.host_config();
    let config = &mut host.store;
    let seconds = |n: u64| (n > 0).then(|| Duration::from_secs(n));
    config.max_silent_time = seconds(options.max_silent).or(config.max_silent_time);
    config.build_timeout = seconds(options.timeout).or(config.build_timeout);
    config.max_log_size = Some(options.max_log).filter(|n| *n > 0).or(config.max_log_size);
    config.keep_failed |= options.keep_failed;
    host.remote.keep_failed |= options.keep_failed;
    let limits = [
        ("max-silent-time", options.max_silent),
        ("timeout", options.timeout),
        ("max-build-log-size", options.max_log),
    ];
    let limits = limits.into_iter().filter(|(_, limit)| *limit > 0);
    host.remote.settings.extend(limits.map(|(name, limit)| (name.into(), limit.to_string())));
    host
}

fn build(
    store: &HostStore,
    targets: &[String],
    options: BuildOptions,
    observer: &dyn BuildObserver,
) -> Result<()> {
    let host = limited(store, options);
    let mut wanted = Vec::new();
    for target in targets {
        match Target::parse(store, target)? {
            Target::Outputs(outputs) => wanted.extend(outputs),
            Target::Path(path) if store.is_valid(&path)? => {}
            Target::Path(path) => return Err(Error::NotValid { path }),
        }
    }
    let builder = HostStore::open(host)?;
    let built = builder.build(&wanted, observer)?;
    // The store that built them is closed now: this one keeps them for the client.
    store.sink().valid(&built.into_values().collect()).map(drop)
}

struct Tell<'a> {
    tell: &'a (dyn Fn(&str) + Sync),
    gone: Gone<'a>,
}

impl BuildObserver for Tell<'_> {
    fn event(&self, event: BuildEvent<'_>) {
        match event {
            BuildEvent::Log { line, .. } | BuildEvent::Warning { text: line } => (self.tell)(line),
            _ => {}
        }
    }

    fn cancelled(&self) -> bool {
        (self.gone)()
    }
}
