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

    /// Adds paths, those first that others refer to, in one request; `send` writes the archive of
    /// one.
    ///
    /// # Errors
    /// When `send` fails, an archive is not as long as it should be, or the daemon refuses one;
    /// those before it may stay.
    pub fn add_all<'i>(
        &self,
        infos: impl ExactSizeIterator<Item = &'i PathInfo>,
        send: &mut dyn FnMut(&PathInfo, &mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        if infos.len() == 0 {
            return Ok(());
        }
        let trusted = !self.options.check_signatures;
        let request = Request::AddMultipleToStore { repair: false, trusted };
        self.with_both(|connection| {
            let begun = request.write(&mut connection.stream.to);
            if let Err(error) = begun {
                return Ok(Err(error.into()));
            }
            let stream = FramedWriter::new(connection.stream.to.get_mut());
            let stream = Watched { to: stream, broken: None, written: 0 };
            let mut stream = Writer::new(stream);
            if let Err(error) = stream.number(infos.len() as u64) {
                return Ok(Err(Refusal::Broken(error)));
            }
            for info in infos {
                let told = UnkeyedPathInfo { ultimate: false, ..to_wire(info) };
                let said = stream.path(&info.path).and_then(|()| stream.path_info(&told));
                if let Err(error) = said {
                    return Ok(Err(Refusal::Broken(error)));
                }
                stream.get_mut().written = 0;
                let sent = send(info, stream.get_mut());
                if let Some(error) = stream.get_mut().broken.take() {
                    return Ok(Err(error.into()));
                }
                sent?;
                let (size, written) = (info.nar_size, stream.get_mut().written);
                if written != size {
                    let reason = format!("its archive has {written} bytes instead of {size}");
                    return Err(Error::Refused { path: info.path.clone(), reason });
                }
            }
            if let Err(error) = stream.into_inner().to.finish() {
                return Ok(Err(error.into()));
            }
            Ok(connection.answered())
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
            let mut stream = Watched { to: stream, broken: None, written: 0 };
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
    written: u64,
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = self.to.write(bytes).map_err(|error| {
            let kind = error.kind();
            self.broken = Some(error);
            std::io::Error::from(kind)
        })?;
        self.written += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
