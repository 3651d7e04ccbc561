//! Where the files of a cache are: a directory, or a server.

use crate::config::StoreConfig;
use crate::error::{Error, Result};
use crate::http::{Body, Client, Failure, Request};
use hc_fs::durable;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Component, Path, PathBuf};

/// The files of a cache.
pub enum Files {
    Directory(PathBuf),
    Server { base: String, client: Box<Client> },
}

impl Files {
    /// Those of `file://DIR`, `http://…` or `https://…`.
    pub fn open(address: &str, config: &StoreConfig) -> Result<Self> {
        let wrong = |reason: String| Error::Peer { address: address.into(), reason };
        if address.starts_with("file:") {
            let path = nix_compat::url::Url::parse(address, false).and_then(|url| url.to_path());
            return Ok(Self::Directory(path.map_err(|e| wrong(e.to_string()))?.into()));
        }
        if !address.starts_with("http://") && !address.starts_with("https://") {
            let reason = "a binary cache is at file://, http:// or https://".into();
            return Err(wrong(reason));
        }
        let base = address.trim_end_matches('/').to_owned();
        Ok(Self::Server { base, client: Box::new(Client::new(config)) })
    }

    /// Opens one of the files, by its name below the cache, and hands it on; nothing when there is
    /// none.
    pub fn get<T>(
        &self,
        name: &str,
        take: impl FnOnce(&mut dyn Read) -> T,
    ) -> io::Result<Option<T>> {
        match self {
            Self::Directory(directory) => match File::open(below(directory, name)?) {
                Ok(mut file) => Ok(Some(take(&mut file))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
            Self::Server { base, client } => {
                let url = join(base, name);
                let request = Request { url: &url, ..Request::default() };
                match Body::open(client, request, &|| false) {
                    Ok(mut body) => Ok(Some(take(&mut body))),
                    // S3 says 403 of what is not there and may not be listed.
                    Err(Failure::Absent(_)) => Ok(None),
                    Err(failure) => Err(io::Error::other(failure.to_string())),
                }
            }
        }
    }

    /// All of a small file.
    pub fn read(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let read = self.get(name, |file| {
            let mut bytes = Vec::new();
            file.take(limit + 1).read_to_end(&mut bytes).map(|_| bytes)
        })?;
        let Some(bytes) = read.transpose()? else { return Ok(None) };
        if bytes.len() as u64 > limit {
            return Err(io::Error::other(format!("it is larger than {limit} bytes")));
        }
        Ok(Some(bytes))
    }

    /// Writes a small file.
    pub fn write(&self, name: &str, kind: &str, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Directory(directory) => {
                let at = below(directory, name)?;
                let parent = at.parent().unwrap_or(directory);
                durable::create_dir_all(parent, 0o755).map_err(io::Error::other)?;
                durable::write(&at, bytes, 0o644).map_err(io::Error::other)
            }
            Self::Server { base, client } => {
                let open = || Ok(Box::new(Cursor::new(bytes.to_vec())) as Box<dyn Read>);
                let put = client.put(&join(base, name), kind, bytes.len() as u64, &open);
                put.map_err(|failure| io::Error::other(failure.to_string()))
            }
        }
    }

    /// Puts a finished file in place.
    pub fn place(&self, name: &str, kind: &str, file: &Path, size: u64) -> io::Result<()> {
        match self {
            Self::Directory(directory) => {
                durable::rename(file, &below(directory, name)?).map_err(io::Error::other)
            }
            Self::Server { base, client } => {
                let open = || Ok(Box::new(File::open(file)?) as Box<dyn Read>);
                let put = client.put(&join(base, name), kind, size, &open);
                put.map_err(|failure| io::Error::other(failure.to_string()))
            }
        }
    }
}

/// The address of a file, which may be elsewhere.
fn join(base: &str, name: &str) -> String {
    let absolute = name.starts_with("http://") || name.starts_with("https://");
    if absolute { name.to_owned() } else { format!("{base}/{name}") }
}

/// A file below a directory, whatever the name says.
fn below(directory: &Path, name: &str) -> io::Result<PathBuf> {
    let path = Path::new(name);
    if name.is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(io::Error::other(format!("{name:?} is not a file of the cache")));
    }
    Ok(directory.join(path))
}
