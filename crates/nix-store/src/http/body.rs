//! What a server sends, resumed where a connection breaks.

use super::agent::{classify, refusal};
use super::{Client, Failure, Request, Response, immutable};
use crate::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::time::{Duration, Instant};
use ureq::ResponseExt;

/// A connection over which fewer bytes come in the time it may be silent is as good as dead.
const SLOWEST: u64 = 256;
/// How long nothing happens after the first failure; it doubles with each.
const PAUSE: Duration = Duration::from_millis(250);
/// Whether anybody still wants it is asked this often.
const TICK: Duration = Duration::from_millis(50);

/// What is at an address, from its first byte to its last.
pub(crate) struct Body<'a> {
    client: &'a Client,
    request: Request<'a>,
    stop: &'a dyn Fn() -> bool,
    /// What the first answer said.
    pub answer: Response,
    /// Bytes in all, where the server told.
    pub total: Option<u64>,
    done: u64,
    /// What tells this version of the file from another.
    mark: Option<String>,
    from: From,
    tries: u32,
    pause: Duration,
    /// How much there was when it broke the last time.
    broke_at: u64,
    /// Since when so many bytes have been there.
    pace: (Instant, u64),
}

enum From {
    Nothing,
    File(File),
    Server(ureq::BodyReader<'static>),
}

impl<'a> Body<'a> {
    pub fn open(
        client: &'a Client,
        request: Request<'a>,
        stop: &'a dyn Fn() -> bool,
    ) -> Result<Self, Failure> {
        let mut body = Self {
            client,
            request,
            stop,
            answer: Response::default(),
            total: None,
            done: 0,
            mark: None,
            from: From::Nothing,
            tries: client.tries,
            pause: PAUSE,
            broke_at: 0,
            pace: (Instant::now(), 0),
        };
        if request.url.starts_with("file:") {
            body.open_file()?;
        } else {
            body.ask()?;
        }
        Ok(body)
    }

    fn open_file(&mut self) -> Result<(), Failure> {
        let path = nix_compat::url::Url::parse(self.request.url, false)
            .and_then(|url| url.to_path())
            .map_err(|error| Failure::Lasting(error.to_string()))?;
        let file = File::open(&path).map_err(|error| {
            let reason = format!("cannot open the file {path}: {error}");
            let absent = error.kind() == io::ErrorKind::NotFound;
            if absent { Failure::Absent(reason) } else { Failure::Lasting(reason) }
        })?;
        self.total = file.metadata().ok().filter(|m| m.is_file()).map(|m| m.len());
        self.answer.url = self.request.url.to_owned();
        self.from = From::File(file);
        Ok(())
    }

    /// Asks for what has not come yet.
    fn ask(&mut self) -> Result<(), Failure> {
        loop {
            match self.ask_once() {
                Err(Failure::Passing(reason)) => self.wait(reason)?,
                other => return other,
            }
        }
    }

    fn ask_once(&mut self) -> Result<(), Failure> {
        let mut get = self.client.agent()?.get(self.request.url);
        for (name, value) in self.request.headers {
            get = get.header(name, value);
        }
        if let Some(login) = self.client.login(&self.request)? {
            get = get.header("Authorization", login);
        }
        if self.done > 0 {
            get = get.header("Range", format!("bytes={}-", self.done));
            if let Some(mark) = &self.mark {
                get = get.header("If-Range", mark);
            }
        } else if let Some(etag) = self.request.etag.filter(|etag| !etag.is_empty()) {
            get = get.header("If-None-Match", etag);
        }
        let response = get.call().map_err(classify)?;
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let status = response.status().as_u16();
        match status {
            206 if self.done > 0 => {
                let begins = format!("bytes {}-", self.done);
                if !header("content-range").is_some_and(|range| range.starts_with(&begins)) {
                    return Err(Failure::Lasting("the server sent another range".into()));
                }
            }
            304 if self.done == 0 => {
                self.answer = Response {
                    unchanged: true,
                    etag: self.request.etag.unwrap_or_default().to_owned(),
                    url: response.get_uri().to_string(),
                    immutable: header("link").and_then(|link| immutable(&link)),
                };
                return Ok(());
            }
            200..=299 => {
                self.mark = header("etag").filter(|mark| !mark.starts_with("W/"));
                self.total = response.body().content_length();
                self.answer = Response {
                    unchanged: false,
                    etag: header("etag").unwrap_or_default(),
                    url: response.get_uri().to_string(),
                    immutable: header("link").and_then(|link| immutable(&link)),
                };
            }
            404 | 410 if self.done > 0 => return Err(Failure::Lasting("the file is gone".into())),
            _ => return Err(refusal(status)),
        }
        let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
        if status != 206 && self.done > 0 {
            // All of it again: what has come is left out.
            match io::copy(&mut (&mut body).take(self.done), &mut io::sink()) {
                Ok(skipped) if skipped == self.done => {}
                Ok(_) => return Err(Failure::Lasting("the file became shorter".into())),
                Err(error) => return Err(Failure::Passing(error.to_string())),
            }
        }
        self.from = From::Server(body);
        self.pace = (Instant::now(), self.done);
        Ok(())
    }

    /// Waits before another try, or gives up.
    fn wait(&mut self, reason: String) -> Result<(), Failure> {
        // A connection that breaks now and then still gets there.
        if self.done >= self.broke_at.saturating_add(1 << 20) {
            (self.tries, self.pause) = (self.client.tries, PAUSE);
        }
        self.broke_at = self.done;
        self.tries = self.tries.saturating_sub(1);
        if self.tries == 0 {
            return Err(Failure::Lasting(reason));
        }
        pause(self.pause, self.stop)?;
        self.pause *= 2;
        Ok(())
    }

    /// Whether too little has come for too long.
    fn is_stalled(&mut self) -> bool {
        let (since, bytes) = self.pace;
        if since.elapsed() < self.client.timeout {
            return false;
        }
        self.pace = (Instant::now(), self.done);
        self.done - bytes < SLOWEST
    }

    /// More of it, or why there is none.
    pub fn more(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        loop {
            if (self.stop)() {
                return Err(Failure::Fatal(Error::Cancelled));
            }
            let read = match &mut self.from {
                From::Nothing => return Ok(0),
                From::File(file) => {
                    let read = file.read(buffer);
                    return read.map_err(|error| Failure::Lasting(error.to_string()));
                }
                From::Server(from) => from.read(buffer),
            };
            let reason = match read {
                Ok(0) if buffer.is_empty() || self.total.is_none_or(|all| self.done >= all) => {
                    return Ok(0);
                }
                Ok(0) => {
                    let total = self.total.unwrap_or_default();
                    format!("{} of {total} bytes came", self.done)
                }
                Ok(n) => {
                    self.done += n as u64;
                    if !self.is_stalled() {
                        return Ok(n);
                    }
                    self.done -= n as u64;
                    format!("fewer than {SLOWEST} bytes came in {:?}", self.client.timeout)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error.to_string(),
            };
            self.from = From::Nothing;
            self.wait(reason)?;
            self.ask()?;
        }
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.more(buffer).map_err(|failure| io::Error::other(failure.to_string()))
    }
}

/// Does nothing for a while, unless nobody wants to wait.
pub(super) fn pause(time: Duration, stop: &dyn Fn() -> bool) -> Result<(), Failure> {
    let until = Instant::now() + time;
    loop {
        if stop() {
            return Err(Failure::Fatal(Error::Cancelled));
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(TICK));
    }
}
