//! The client of `nix-store --serve`.

use super::address::Address;
use super::pool::{Connected, Pool};
use super::stream::Stream;
use super::wire_info::{from_wire, to_wire};
use crate::copy::{Sink, Source};
use crate::error::{Error, Result};
use crate::info::PathInfo;
use nix_compat::serve::{self, BuildOptions, Request};
use nix_compat::{StorePath, wire};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

/// A store on another host, at the far end of `nix-store --serve --write`.
#[derive(Debug)]
pub struct ServeClient {
    address: Address,
    pool: Pool<Connection>,
}

struct Connection(Stream);

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connected for Connection {
    fn stream(&self) -> &Stream {
        &self.0
    }
}

impl ServeClient {
    pub(super) fn new(address: Address) -> Self {
        Self { pool: Pool::new(address.connections), address }
    }

    /// Sends a request, and reads its answer by `read`.
    fn ask<T>(
        &self,
        request: &Request,
        read: impl FnOnce(&mut Stream) -> wire::Result<T>,
    ) -> Result<T> {
        self.with(|stream| {
            let done = |stream: &mut Stream| {
                request.write(&mut stream.to)?;
                stream.to.flush()?;
                read(stream)
            };
            done(stream).map_err(|error| stream.broken(&self.address, &error))
        })
    }

    /// Does something with a connection, which is of no more use where that fails: this protocol
    /// has no errors but for builds.
    fn with<T>(&self, work: impl FnOnce(&mut Stream) -> Result<T>) -> Result<T> {
        let open = || {
            let mut stream = Stream::open(&self.address)?;
            serve::greet(&mut stream.from, &mut stream.to)
                .map_err(|error| stream.no_greeting(&self.address, &error))?;
            Ok(Connection(stream))
        };
        self.pool.with(open, |Connection(stream)| {
            stream.in_step = false;
            stream.from.begin();
            let done = work(stream)?;
            stream.in_step = true;
            Ok(done)
        })
    }

    /// Whether the other side answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn ping(&self) -> Result<()> {
        self.with(|_| Ok(()))
    }

    /// The paths and everything they refer to.
    ///
    /// # Errors
    /// When the other side lacks one of them.
    pub fn closure(&self, paths: &BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>> {
        let request = Request::QueryClosure { outputs: false, paths: paths.clone() };
        self.ask(&request, |stream| stream.from.paths())
    }

    /// Makes outputs (`/nix/store/….drv!out`) or paths valid, over there.
    ///
    /// # Errors
    /// Why it did not come to that.
    pub fn build(&self, targets: &[String], options: BuildOptions) -> Result<()> {
        let request = Request::BuildPaths { targets: targets.to_vec(), options };
        let failed = self.ask(&request, |stream| match stream.from.number()? {
            0 => Ok(None),
            _ => stream.from.text().map(Some),
        })?;
        failed.map_or(Ok(()), |reason| Err(self.address.error(super::process::plain(&reason))))
    }
}

impl Source for ServeClient {
    fn name(&self) -> String {
        self.address.name.clone()
    }

    fn at_once(&self) -> usize {
        self.pool.limit()
    }

    fn query(&self, path: &StorePath) -> Result<Option<PathInfo>> {
        Ok(self.query_many(&BTreeSet::from([path.clone()]))?.remove(path))
    }

    fn query_many(&self, paths: &BTreeSet<StorePath>) -> Result<BTreeMap<StorePath, PathInfo>> {
        if paths.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.ask(&Request::QueryPathInfos(paths.clone()), |stream| {
            let mut found = BTreeMap::new();
            while let Some((path, info)) = serve::read_path_info(&mut stream.from)? {
                if !paths.contains(&path) {
                    let reason = format!("it tells of {path}, which was not asked for");
                    return Err(wire::Error::Malformed(reason));
                }
                found.insert(path.clone(), from_wire(path, info));
            }
            Ok(found)
        })
    }

    fn nar(&self, path: &StorePath, to: &mut dyn Write) -> Result<()> {
        self.with(|stream| {
            let sent = Request::DumpStorePath(path.clone())
                .write(&mut stream.to)
                .and_then(|()| stream.to.flush());
            sent.map_err(|error| stream.broken(&self.address, &error))?;
            stream.pass_archive(&self.address, to)
        })
    }
}

impl Sink for ServeClient {
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
        let request =
            Request::QueryValidPaths { lock: true, substitute: false, paths: paths.clone() };
        self.ask(&request, |stream| stream.from.paths())
    }

    fn add(&self, info: &PathInfo, nar: &mut dyn Read) -> Result<()> {
        // It reads the archive in any case: better not to send it.
        if !self.valid(&BTreeSet::from([info.path.clone()]))?.is_empty() {
            return Ok(());
        }
        // What the sender thinks of itself does not count there.
        let told = wire::UnkeyedPathInfo { ultimate: false, ..to_wire(info) };
        self.with(|stream| {
            let sent = Request::AddToStoreNar { path: info.path.clone(), info: told }
                .write(&mut stream.to);
            sent.map_err(|error| stream.broken(&self.address, &error))?;
            send_archive(info, nar, stream.to.get_mut())
                .and_then(|sent| {
                    let answer = |stream: &mut Stream| {
                        sent?;
                        stream.to.flush()?;
                        stream.from.number()
                    };
                    answer(stream).map_err(|error| stream.broken(&self.address, &error))
                })
                .and_then(|answer| match answer {
                    1 => Ok(()),
                    _ => Err(self.address.error(format!("it does not take {}", info.path))),
                })
        })
    }
}

/// Sends `nar_size` bytes of an archive. What the peer has to do with it is in the inner result.
pub(super) fn send_archive(
    info: &PathInfo,
    nar: &mut dyn Read,
    to: &mut dyn Write,
) -> Result<wire::Result<()>> {
    let mut buffer = vec![0; super::stream::BUFFER];
    let mut done = 0;
    while done < info.nar_size {
        let wanted = usize::try_from(info.nar_size - done).unwrap_or(usize::MAX).min(buffer.len());
        let got = match nar.read(&mut buffer[..wanted]) {
            Ok(0) => {
                let size = info.nar_size;
                let reason = format!("its archive ends after {done} of {size} bytes");
                return Err(Error::Refused { path: info.path.clone(), reason });
            }
            Ok(got) => got,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let path = info.path.to_string();
                return Err(crate::error::io("read the archive of", path.as_ref(), error));
            }
        };
        if let Err(error) = to.write_all(&buffer[..got]) {
            return Ok(Err(error.into()));
        }
        done += got as u64;
    }
    Ok(Ok(()))
}
