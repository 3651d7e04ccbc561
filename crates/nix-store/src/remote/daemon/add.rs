//! What is new is given to a daemon: it computes the path, and this side checks that it agrees.

use super::super::wire_info::to_wire;
use super::{Daemon, Refusal};
use crate::add::IngestMethod;
use crate::error::{Context, Error, Result};
use crate::info::PathInfo;
use nix_compat::wire::{FramedWriter, UnkeyedPathInfo, Writer};
use nix_compat::worker::Request;
use nix_compat::{StorePath, path};
use std::collections::BTreeSet;
use std::io::{Read, Write};

impl Daemon {
    /// Adds a text with references, as `builtins.toFile` does; derivations are such texts too.
    ///
    /// # Errors
    /// When the name breaks the rules, a reference is not valid, or the daemon refuses.
    pub fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &BTreeSet<StorePath>,
    ) -> Result<StorePath> {
        let wanted = path::text(name, contents, references)
            .map_err(|source| Error::Name { name: name.into(), source })?;
        let got = self.add_stream(name, "text:sha256", references, &mut |to| {
            to.write_all(contents).on("send the text", name.as_ref())
        })?;
        if got != wanted {
            return Err(self.not_promised(&format!("{got} is not the path of that text")));
        }
        Ok(got)
    }

    /// Adds a tree, addressed by its content (SHA-256); `archive` ends where it does.
    ///
    /// # Errors
    /// When the name breaks the rules, the archive is malformed, or the daemon refuses.
    pub fn add_archive(
        &self,
        name: &str,
        references: &BTreeSet<StorePath>,
        archive: &mut dyn Read,
    ) -> Result<StorePath> {
        self.add_new(name, IngestMethod::Recursive, references, &mut |to| {
            std::io::copy(archive, to).map(drop).on("send the archive of", name.as_ref())
        })
    }

    /// Adds what `write` writes, an archive or the bytes of a file, addressed by its content
    /// (SHA-256).
    ///
    /// # Errors
    /// When the name breaks the rules, `write` fails, or the daemon refuses.
    pub fn add_new(
        &self,
        name: &str,
        method: IngestMethod,
        references: &BTreeSet<StorePath>,
        write: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
    ) -> Result<StorePath> {
        let method = match method {
            IngestMethod::Recursive => "fixed:r:sha256",
            IngestMethod::Flat => "fixed:sha256",
        };
        self.add_stream(name, method, references, write)
    }

    /// Adds paths with their archives, those first that others refer to, in one request.
    ///
    /// # Errors
    /// When the daemon refuses one of them; those before it stay.
    pub fn add_many(&self, paths: &[(PathInfo, Vec<u8>)]) -> Result<()> {
        if paths.is_empty() {
            return Ok(());
        }
        let trusted = !self.options.check_signatures;
        let request = Request::AddMultipleToStore { repair: false, trusted };
        self.with(|connection| {
            request.write(&mut connection.stream.to)?;
            let mut stream = Writer::new(FramedWriter::new(connection.stream.to.get_mut()));
            stream.number(paths.len() as u64)?;
            for (info, archive) in paths {
                stream.path(&info.path)?;
                stream.path_info(&UnkeyedPathInfo { ultimate: false, ..to_wire(info) })?;
                stream.get_mut().write_all(archive)?;
            }
            stream.into_inner().finish()?;
            connection.answered()
        })
    }

    fn add_stream(
        &self,
        name: &str,
        method: &str,
        references: &BTreeSet<StorePath>,
        write: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
    ) -> Result<StorePath> {
        let request = Request::AddToStore {
            name: name.into(),
            method: method.into(),
            references: references.clone(),
            repair: false,
        };
        self.with_both(|connection| {
            if let Err(error) = request.write(&mut connection.stream.to) {
                return Ok(Err(error.into()));
            }
            let stream = FramedWriter::new(connection.stream.to.get_mut());
            let mut stream = Watched { to: stream, broken: None };
            match (write(&mut stream), stream.broken) {
                (_, Some(error)) => return Ok(Err(error.into())),
                (Err(error), None) => return Err(error),
                (Ok(()), None) => {}
            }
            if let Err(error) = stream.to.finish() {
                return Ok(Err(error.into()));
            }
            let mut answer = || {
                connection.answered()?;
                let path = connection.stream.from.path()?;
                connection.stream.from.path_info()?;
                Ok::<_, Refusal>(path)
            };
            Ok(answer())
        })
    }
}

/// Tells an error of the connection from one of what is read to be sent.
struct Watched<W> {
    to: W,
    broken: Option<std::io::Error>,
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.to.write(bytes).map_err(|error| {
            let kind = error.kind();
            self.broken = Some(error);
            kind.into()
        })
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
