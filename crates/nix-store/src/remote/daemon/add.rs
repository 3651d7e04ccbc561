//! What is new is given to a daemon: it computes the path, and this side checks that it agrees.

use super::{Daemon, Refusal};
use crate::error::{Error, Result};
use nix_compat::wire::FramedWriter;
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
        let got = self.add_stream(name, "text:sha256", references, &mut &*contents)?;
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
        self.add_stream(name, "fixed:r:sha256", references, archive)
    }

    fn add_stream(
        &self,
        name: &str,
        method: &str,
        references: &BTreeSet<StorePath>,
        from: &mut dyn Read,
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
            let mut stream = FramedWriter::new(connection.stream.to.get_mut());
            let mut buffer = vec![0; super::super::stream::BUFFER];
            loop {
                let got = match from.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(got) => got,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(crate::error::io("read", name.as_ref(), error)),
                };
                if let Err(error) = stream.write_all(&buffer[..got]) {
                    return Ok(Err(error.into()));
                }
            }
            if let Err(error) = stream.finish() {
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
