//! A connection to a peer, whatever is spoken over it.

use super::address::{Address, Protocol};
use super::process::{Process, plain};
use super::ssh::Ssh;
use crate::error::{Error, Result};
use nix_compat::nar::ArchiveReader;
use nix_compat::wire::{self, Reader, Writer};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

/// Bytes are read and written in pieces of this size.
pub(super) const BUFFER: usize = 64 << 10;

/// How a peer is reached.
#[derive(Debug, Clone)]
pub(super) enum Transport {
    Socket(PathBuf),
    Ssh(Ssh),
}

/// A connection.
pub(super) struct Stream {
    pub from: Reader<BufReader<Box<dyn Read + Send>>>,
    pub to: Writer<BufWriter<Box<dyn Write + Send>>>,
    process: Option<Process>,
    /// Breaks the connection, from another thread.
    pub abort: Box<dyn Fn() + Send + Sync>,
    /// Whether both sides know what comes next. Not while something is under way.
    pub in_step: bool,
}

impl Stream {
    pub fn open(address: &Address) -> Result<Self> {
        match &address.transport {
            Transport::Socket(_) => {
                let socket = address.connect()?;
                let cloned = socket.try_clone().and_then(|a| Ok((a, socket.try_clone()?)));
                let (from, to) = cloned.map_err(|error| address.error(error))?;
                let abort = Box::new(move || drop(socket.shutdown(Shutdown::Both)));
                Ok(Self::new(Box::new(from), Box::new(to), None, abort))
            }
            Transport::Ssh(ssh) => Self::ssh(address, ssh, address.protocol),
        }
    }

    fn ssh(address: &Address, ssh: &Ssh, protocol: Protocol) -> Result<Self> {
        let mut command = Command::new("ssh");
        command.args(ssh.arguments(protocol));
        let (process, from, to) = Process::start(&mut command).map_err(|error| {
            address.error(format!("cannot run ssh: {error}; is openssh-client installed?"))
        })?;
        let abort = Box::new(process.killer());
        Ok(Self::new(Box::new(from), Box::new(to), Some(process), abort))
    }

    fn new(
        from: Box<dyn Read + Send>,
        to: Box<dyn Write + Send>,
        process: Option<Process>,
        abort: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self {
            from: Reader::new(BufReader::with_capacity(BUFFER, from)),
            to: Writer::new(BufWriter::with_capacity(BUFFER, to)),
            process,
            abort,
            in_step: true,
        }
    }

    /// What went wrong, as far as this side knows, and what the other side said last.
    pub fn broken(&mut self, address: &Address, error: &wire::Error) -> Error {
        let mut reason = match error {
            wire::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                "the connection ended too soon".into()
            }
            other => other.to_string(),
        };
        if let Some(process) = &mut self.process {
            let ended = matches!(error, wire::Error::Io(_));
            if !ended {
                (self.abort)();
            }
            let words = process.last_words();
            if !words.is_empty() {
                reason = format!("{reason}; the other side said:\n  {}", words.join("\n  "));
            }
        }
        address.error(reason)
    }

    /// As [`Stream::broken`], before the peer has greeted.
    pub fn no_greeting(&mut self, address: &Address, error: &wire::Error) -> Error {
        let hint = match &address.transport {
            Transport::Socket(_) => "",
            Transport::Ssh(ssh) if ssh.program.is_some() => {
                "\n  see whether `ssh` alone connects, and whether remote-program is there"
            }
            Transport::Ssh(_) => {
                "\n  see whether `ssh` alone connects, and whether nix or hc is in the PATH of \
                 commands there; the setting remote-program=… names another program"
            }
        };
        match self.broken(address, error) {
            Error::Peer { address, reason } => {
                Error::Peer { address, reason: format!("{reason}{hint}") }
            }
            other => other,
        }
    }

    /// Passes the archive that comes next on, to its last byte.
    pub fn pass_archive(&mut self, address: &Address, to: &mut dyn Write) -> Result<()> {
        let mut archive = ArchiveReader::new(self.from.get_mut());
        let mut buffer = vec![0; BUFFER];
        loop {
            match archive.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => to.write_all(&buffer[..n]).map_err(|source| {
                    crate::error::io("send the archive from", address.name.as_ref(), source)
                })?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(address, &error.into())),
            }
        }
    }
}

/// What a daemon says, for people.
pub(super) fn said(text: &str) -> String {
    let text = plain(text);
    text.strip_prefix("error:").unwrap_or(&text).trim().to_owned()
}

impl Address {
    /// A connection to the socket.
    pub fn connect(&self) -> Result<UnixStream> {
        let Transport::Socket(path) = &self.transport else {
            return Err(self.error("it is no socket"));
        };
        UnixStream::connect(path).map_err(|error| {
            let path = path.display();
            self.error(format!("cannot connect to {path}: {error}{}", socket_hint(&error)))
        })
    }
}

fn socket_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "; is nix-daemon running? (systemctl start nix-daemon)"
        }
        io::ErrorKind::PermissionDenied => "; nix.conf's allowed-users says who may",
        _ => "",
    }
}
