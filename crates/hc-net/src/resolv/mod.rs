//! Makes the host itself resolve names of machines, and undoes that.
//!
//! Where systemd-resolved runs, it is told to ask hc about the cloud's zone, on the link of a
//! bridge; it forgets that with the bridge. Elsewhere hc's name server is put first in
//! `resolv.conf`, with the others behind it for the time hc is not there.

mod file;

use crate::error::{Error, Result};
use crate::program;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// How the host asks for names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// systemd-resolved; names are set on a link.
    Resolved {
        /// A bridge of hc.
        link: String,
    },
    /// A file in the format of resolv.conf(5).
    File {
        /// Usually `/etc/resolv.conf`.
        path: PathBuf,
    },
}

impl Host {
    /// Finds out what the host uses: systemd-resolved when its socket is in `run` (`/run`) and
    /// `resolv_conf` leads to its stub, the file otherwise.
    #[must_use]
    pub fn detect(run: &Path, resolv_conf: &Path, link: &str) -> Self {
        let socket = run.join("systemd/resolve/io.systemd.Resolve");
        let stub = std::fs::read_to_string(resolv_conf)
            .is_ok_and(|text| file::nameservers(&text).any(|server| server == STUB));
        if stub && std::os::unix::net::UnixStream::connect(socket).is_ok() {
            Self::Resolved { link: link.into() }
        } else {
            Self::File { path: resolv_conf.into() }
        }
    }

    /// Has the host ask `server` about `zone` (such as `demo.internal`). May be repeated, also
    /// after a crash.
    ///
    /// # Errors
    /// When `resolvectl` fails, or the file cannot be read or written.
    pub fn enable(&self, zone: &str, server: IpAddr) -> Result<()> {
        match self {
            Self::Resolved { link } => {
                resolvectl(&["dns", link, &server.to_string()])?;
                // `~`: only questions about this zone come here, and it is no search domain.
                resolvectl(&["domain", link, &format!("~{zone}")])
            }
            Self::File { path } => edit(path, |text| Some(file::enable(text, server))),
        }
    }

    /// Undoes [`Self::enable`]; nothing to undo is fine.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn disable(&self) -> Result<()> {
        match self {
            Self::Resolved { link } => match resolvectl(&["revert", link]) {
                // The bridge, or resolved, has gone, and with it what was set.
                Err(Error::Failed { .. }) => Ok(()),
                other => other,
            },
            Self::File { path } => edit(path, file::disable),
        }
    }
}

/// Where systemd-resolved listens.
const STUB: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 53));

fn resolvectl(args: &[&str]) -> Result<()> {
    program::output("resolvectl", "systemd-resolved", args).map(drop)
}

/// The resolvers a `resolv.conf` names, without hc's own: whom to ask about other names.
///
/// # Errors
/// When the file cannot be read; a missing one names none.
pub fn upstreams(resolv_conf: &Path, own: &[IpAddr]) -> Result<Vec<SocketAddr>> {
    let text = file::disable(read(resolv_conf)?.as_deref()).unwrap_or_default();
    let others = file::nameservers(&text).filter(|server| !own.contains(server));
    Ok(others.map(|server| SocketAddr::new(server, 53)).collect())
}

fn read(path: &Path) -> Result<Option<String>> {
    match std::fs::read(path) {
        // Only lines that hc put there are looked at; the rest may be in any encoding.
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|error| Error::Read {
            path: path.into(),
            source: std::io::Error::new(ErrorKind::InvalidData, error),
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { path: path.into(), source }),
    }
}

/// Rewrites a file. `change` returns its new text, or nothing when it should not be there.
fn edit(path: &Path, change: impl FnOnce(Option<&str>) -> Option<String>) -> Result<()> {
    // The file a symlink leads to is the one that programs read.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let old = read(&path)?;
    let new = change(old.as_deref());
    match (old, new) {
        (old, new) if old == new => Ok(()),
        (_, Some(new)) => write(&path, &new),
        (Some(_), None) => Ok(hc_fs::durable::remove_file(&path)?),
        (None, None) => Ok(()),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = path.metadata().map_or(0o644, |meta| meta.permissions().mode() & 0o7777);
    match hc_fs::durable::write(path, text.as_bytes(), mode) {
        // A bind-mounted file, as containers have, cannot be replaced; a directory may be read-only
        // around a file that is not.
        Err(error) if error.io().is_some_and(in_place_helps) => {
            Ok(hc_fs::plain::write(path, text.as_bytes(), mode)?)
        }
        other => Ok(other?),
    }
}

fn in_place_helps(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EXDEV | libc::EROFS | libc::EACCES))
}
