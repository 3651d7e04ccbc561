//! Where the files of a cache are: a directory, or a server.

use crate::config::StoreConfig;
use crate::error::{Error, Result};
use crate::http::{Failure, agent, classify};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// The files of a cache.
pub enum Files {
    Directory(PathBuf),
    Server { base: String, agent: ureq::Agent, tries: u32 },
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
        let agent = agent(config).map_err(wrong)?;
        let base = address.trim_end_matches('/').to_owned();
        Ok(Self::Server { base, agent, tries: config.fetch_tries.max(1) })
    }

    /// Opens one of the files, by its name below the cache; nothing when there is none.
    pub fn get(&self, name: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        match self {
            Self::Directory(directory) => match std::fs::File::open(below(directory, name)?) {
                Ok(file) => Ok(Some(Box::new(file))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
            Self::Server { base, agent, tries } => {
                let absolute = name.starts_with("http://") || name.starts_with("https://");
                let url = if absolute { name.to_owned() } else { format!("{base}/{name}") };
                let mut body = Body {
                    agent,
                    url,
                    tries: *tries,
                    pause: Duration::from_millis(250),
                    done: 0,
                    total: None,
                    mark: None,
                    from: None,
                };
                Ok(if body.ask()? { Some(Box::new(body)) } else { None })
            }
        }
    }

    /// All of a small file.
    pub fn read(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.get(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::other(format!("{name} is larger than {limit} bytes")));
        }
        Ok(Some(bytes))
    }
}

/// A file below a directory, whatever the name says.
pub fn below(directory: &Path, name: &str) -> io::Result<PathBuf> {
    let path = Path::new(name);
    if name.is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(io::Error::other(format!("{name:?} is not a file of the cache")));
    }
    Ok(directory.join(path))
}

/// What a server sends. A connection that breaks is made again, and goes on where it was.
struct Body<'a> {
    agent: &'a ureq::Agent,
    url: String,
    tries: u32,
    pause: Duration,
    done: u64,
    total: Option<u64>,
    /// What tells this version of the file from another.
    mark: Option<String>,
    from: Option<ureq::BodyReader<'static>>,
}

impl Body<'_> {
    /// Asks for what has not come yet; false when the server does not have it.
    fn ask(&mut self) -> io::Result<bool> {
        loop {
            match self.ask_once() {
                Ok(there) => return Ok(there),
                Err(Failure::Passing(reason)) => self.wait(reason)?,
                Err(Failure::Lasting(reason)) => return Err(io::Error::other(reason)),
                Err(Failure::Fatal(error)) => return Err(io::Error::other(error.to_string())),
            }
        }
    }

    fn ask_once(&mut self) -> std::result::Result<bool, Failure> {
        let mut get = self.agent.get(&self.url);
        if self.done > 0 {
            get = get.header("Range", format!("bytes={}-", self.done));
            if let Some(mark) = &self.mark {
                get = get.header("If-Range", mark);
            }
        }
        let response = get.call().map_err(classify)?;
        let status = response.status();
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        match status.as_u16() {
            // S3 says 403 of what is not there and may not be listed.
            404 | 403 | 410 if self.done == 0 => return Ok(false),
            206 if self.done > 0 => {
                let begins = format!("bytes {}-", self.done);
                if !header("content-range").is_some_and(|range| range.starts_with(&begins)) {
                    return Err(Failure::Lasting("the server sent another range".into()));
                }
            }
            200 => {
                self.mark = header("etag").filter(|mark| !mark.starts_with("W/"));
                self.total = response.body().content_length();
            }
            _ => {
                let reason = format!("HTTP error {}", status.as_u16());
                let passing =
                    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
                return Err(if passing {
                    Failure::Passing(reason)
                } else {
                    Failure::Lasting(reason)
                });
            }
        }
        let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
        if status.as_u16() == 200 && self.done > 0 {
            // All of it again: what has come is left out.
            let skipped = io::copy(&mut (&mut body).take(self.done), &mut io::sink());
            match skipped {
                Ok(skipped) if skipped == self.done => {}
                Ok(_) => return Err(Failure::Lasting("the file became shorter".into())),
                Err(error) => return Err(Failure::Passing(error.to_string())),
            }
        }
        self.from = Some(body);
        Ok(true)
    }

    /// Waits before another try, or gives up.
    fn wait(&mut self, reason: String) -> io::Result<()> {
        self.tries = self.tries.saturating_sub(1);
        if self.tries == 0 {
            return Err(io::Error::other(reason));
        }
        std::thread::sleep(self.pause);
        self.pause *= 2;
        Ok(())
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(from) = &mut self.from else { return Ok(0) };
            let reason = match from.read(buffer) {
                Ok(0) if buffer.is_empty() || self.total.is_none_or(|all| self.done >= all) => {
                    return Ok(0);
                }
                Ok(0) => format!("{} bytes of the file came", self.done),
                Ok(n) => {
                    self.done += n as u64;
                    return Ok(n);
                }
                Err(error) => error.to_string(),
            };
            self.wait(reason)?;
            if !self.ask()? {
                return Err(io::Error::other("the file is gone"));
            }
        }
    }
}
