//! A daemon's store as a place to copy from and to.

use super::super::client::send_archive;
use super::super::wire_info::to_wire;
use super::{Daemon, Refusal};
use crate::copy::{Sink, Source};
use crate::error::Result;
use crate::info::PathInfo;
use nix_compat::StorePath;
use nix_compat::wire::{FramedWriter, UnkeyedPathInfo};
use nix_compat::worker::Request;
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
