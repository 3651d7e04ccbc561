//! Which store is meant by `--store` or `NIX_REMOTE`.

use crate::error::{Code, Failure};
use nix_store::Way;
use nix_store::remote::DAEMON_SOCKET;
use std::path::PathBuf;

/// The store of this host: where it is, and the way to it.
#[derive(Debug, Clone)]
pub struct Place {
    /// The directory it is in, where that is not `/`.
    pub root: Option<PathBuf>,
    /// The way to it.
    pub way: Way,
}

impl Default for Place {
    fn default() -> Self {
        Self { root: None, way: Way::Auto { socket: socket() } }
    }
}

/// Where the daemon of this host listens.
fn socket() -> PathBuf {
    let said = std::env::var_os("NIX_DAEMON_SOCKET_PATH").filter(|path| !path.is_empty());
    said.map_or_else(|| DAEMON_SOCKET.into(), PathBuf::from)
}

impl Place {
    /// By what a person says or, where nobody says anything, by `NIX_REMOTE`.
    pub fn find(said: Option<&str>) -> anyhow::Result<Self> {
        if let Some(address) = said {
            return Self::parse(address, &socket())?.ok_or_else(|| {
                let message = format!("--store {address} is not a store of this host");
                Failure::new(Code::Failed, message)
                    .hint("`hc copy --from` and `--to`, and `hc build --on` go to others")
                    .into()
            });
        }
        let remote = std::env::var("NIX_REMOTE").unwrap_or_default();
        let found = Self::parse(&remote, &socket())?;
        Ok(found.unwrap_or_else(|| {
            let reason = "NIX_REMOTE says so, and it is no store of this host; --store auto is, \
                          and `hc build --on` builds on others";
            Self { root: None, way: Way::Nowhere { address: remote, reason: reason.into() } }
        }))
    }

    /// Reads an address; nothing where it is not of this host.
    fn parse(address: &str, socket: &std::path::Path) -> anyhow::Result<Option<Self>> {
        let direct = |root: &str| -> anyhow::Result<Self> {
            let root = Some(std::path::absolute(root)?);
            Ok(Self { root, way: Way::Direct })
        };
        Ok(Some(match address {
            "" | "auto" => Self { root: None, way: Way::Auto { socket: socket.into() } },
            "local" => Self { root: None, way: Way::Direct },
            "daemon" => {
                let way = Way::via(socket);
                Self { root: None, way }
            }
            _ if address.starts_with("unix://") || address.starts_with("daemon?") => {
                Self { root: None, way: Way::Daemon(address.into()) }
            }
            _ if address == "dummy://" || address.starts_with("dummy://?") => {
                let reason = "it keeps nothing, and is there to evaluate; --store auto is the \
                              store of this host";
                let way = Way::Nowhere { address: address.into(), reason: reason.into() };
                Self { root: None, way }
            }
            _ if address.starts_with("local?root=") => direct(&address["local?root=".len()..])?,
            _ if address.contains("://") || address.contains('?') => return Ok(None),
            directory => direct(directory)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: &str) -> Option<Place> {
        Place::parse(address, "/run/a socket".as_ref()).unwrap()
    }

    #[test]
    fn addresses_are_those_of_nix() {
        let auto = Way::Auto { socket: "/run/a socket".into() };
        for (address, root, way) in [
            ("", None, auto.clone()),
            ("auto", None, auto),
            ("local", None, Way::Direct),
            ("/x", Some("/x"), Way::Direct),
            ("local?root=/x", Some("/x"), Way::Direct),
            ("daemon", None, Way::Daemon("unix:///run/a%20socket".into())),
            ("unix:///s?root=/x", None, Way::Daemon("unix:///s?root=/x".into())),
        ] {
            let found = place(address).unwrap();
            assert_eq!((found.root, found.way), (root.map(PathBuf::from), way), "{address}");
        }
        for nothing in ["dummy://", "dummy://?read-only=false"] {
            let way = place(nothing).unwrap().way;
            assert!(matches!(way, Way::Nowhere { .. }), "{way:?}");
        }
        assert!(place("dir").unwrap().root.unwrap().is_absolute());
        for other in ["ssh://a", "ssh-ng://a", "https://a", "file:///a", "local?real=/x"] {
            assert!(place(other).is_none(), "{other}");
        }
    }
}
