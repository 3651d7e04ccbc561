//! The one door to servers: downloads over HTTP (and from files that have a URL), resumed where a
//! connection breaks, and uploads.

mod agent;
mod body;
mod netrc;
mod proxy;
mod route;

pub(crate) use agent::certificates;
pub(crate) use body::Body;
pub use proxy::Proxies;

use crate::config::StoreConfig;
use crate::error::{Context, Error};
use hc_fs::plain;
use netrc::Netrc;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

/// Why something did not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The same address may work in a while.
    #[error("{0}")]
    Passing(String),
    /// It will not.
    #[error("{0}")]
    Lasting(String),
    /// The server does not have it.
    #[error("{0}")]
    Absent(String),
    /// It has nothing to do with the address.
    #[error(transparent)]
    Fatal(Error),
}

/// What to ask a server.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// The address: `http`, `https` or `file`.
    pub url: &'a str,
    /// Headers, such as for authorisation.
    pub headers: &'a [(String, String)],
    /// The mark of what is there already: the server need not send it again.
    pub etag: Option<&'a str>,
}

/// What a server answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// What is there already is what the server has.
    pub unchanged: bool,
    /// The mark of what came.
    pub etag: String,
    /// The address it came from in the end.
    pub url: String,
    /// The address that will always give the same, if the server told one.
    pub immutable: Option<String>,
}

/// Makes requests; connections are used again.
pub struct Client {
    agent: Result<ureq::Agent, String>,
    netrc: Result<Netrc, String>,
    mirrors: Vec<(String, String)>,
    tries: u32,
    timeout: Duration,
}

impl Client {
    /// With the proxy, the certificates, the logins, the mirrors and the limits of a store.
    #[must_use]
    pub fn new(config: &StoreConfig) -> Self {
        let netrc = config.netrc_file.as_deref().map_or_else(|| Ok(Netrc::default()), Netrc::read);
        Self {
            agent: agent::agent(config),
            netrc,
            mirrors: config.mirrors.clone(),
            tries: config.fetch_tries.max(1),
            timeout: config.fetch_timeout,
        }
    }

    /// Downloads to a file, which is written anew; from a mirror where one has it.
    ///
    /// # Errors
    /// What the server, the network or the file system said.
    pub fn download(&self, request: &Request<'_>, to: &Path) -> Result<Response, String> {
        let mut outcome = Err(Failure::Lasting("it was not tried".into()));
        for address in self.addresses(request.url) {
            outcome = self.download_from(&Request { url: &address, ..*request }, to);
            if let Ok(mut response) = outcome {
                if address != request.url {
                    response.url = request.url.to_owned();
                }
                return Ok(response);
            }
        }
        outcome.map_err(|reason| format!("unable to download '{}': {reason}", request.url))
    }

    fn download_from(&self, request: &Request<'_>, to: &Path) -> Result<Response, Failure> {
        let body = Body::open(self, *request, &|| false)?;
        self.save(body, to, &mut |_, _| {})
    }

    /// Writes what comes to a file, which is written anew; `told` gets how much has come, and how
    /// much it will be.
    pub(crate) fn save(
        &self,
        mut body: Body<'_>,
        to: &Path,
        told: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<Response, Failure> {
        let mut file = plain::create(to, 0o644).map_err(|e| Failure::Fatal(e.into()))?;
        let (mut done, mut buffer) = (0, vec![0; 128 << 10]);
        loop {
            let n = body.more(&mut buffer)?;
            if n == 0 {
                return Ok(body.answer);
            }
            file.write_all(&buffer[..n]).on("write", to).map_err(Failure::Fatal)?;
            done += n as u64;
            told(done, body.total);
        }
    }

    /// What is at an address, at most `limit` bytes of it.
    pub(crate) fn bytes(&self, url: &str, limit: u64) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let mut body =
            Body::open(self, Request { url, ..Request::default() }, &|| false)?.take(limit + 1);
        body.read_to_end(&mut bytes).map_err(|error| Failure::Lasting(error.to_string()))?;
        if bytes.len() as u64 > limit {
            return Err(Failure::Lasting(format!("it is larger than {limit} bytes")));
        }
        Ok(bytes)
    }

    /// Uploads a file of `size` bytes, which is opened again for each try.
    pub(crate) fn put(
        &self,
        url: &str,
        kind: &str,
        size: u64,
        open: &dyn Fn() -> std::io::Result<Box<dyn Read>>,
    ) -> Result<(), Failure> {
        let mut wait = Duration::from_millis(250);
        for last in 1..=self.tries {
            match self.put_once(url, kind, size, open) {
                Err(Failure::Passing(_)) if last < self.tries => {
                    body::pause(wait, &|| false)?;
                    wait *= 2;
                }
                other => return other,
            }
        }
        Ok(())
    }

    fn put_once(
        &self,
        url: &str,
        kind: &str,
        size: u64,
        open: &dyn Fn() -> std::io::Result<Box<dyn Read>>,
    ) -> Result<(), Failure> {
        let mut from = open().map_err(|error| Failure::Lasting(error.to_string()))?;
        let mut put = self.agent()?.put(url).header("Content-Type", kind);
        put = put.header("Content-Length", size.to_string());
        if let Some(login) = self.login(&Request { url, ..Request::default() })? {
            put = put.header("Authorization", login);
        }
        let response = put.send(ureq::SendBody::from_reader(&mut from)).map_err(agent::classify)?;
        let status = response.status().as_u16();
        match agent::refusal(status) {
            _ if (200..300).contains(&status) => Ok(()),
            Failure::Passing(reason) => Err(Failure::Passing(reason)),
            other => Err(Failure::Lasting(format!("the server does not take {url}: {other}"))),
        }
    }

    /// Where an address can be had: its mirrors, and itself.
    pub(crate) fn addresses(&self, url: &str) -> Vec<String> {
        let mirrored = self
            .mirrors
            .iter()
            .filter_map(|(prefix, with)| Some(format!("{with}{}", url.strip_prefix(prefix)?)));
        mirrored.chain([url.to_owned()]).collect()
    }

    fn agent(&self) -> Result<&ureq::Agent, Failure> {
        self.agent.as_ref().map_err(|reason| Failure::Lasting(reason.clone()))
    }

    /// The login for a request that has none.
    fn login(&self, request: &Request<'_>) -> Result<Option<String>, Failure> {
        if request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            return Ok(None);
        }
        let netrc = self.netrc.as_ref().map_err(|reason| Failure::Lasting(reason.clone()))?;
        Ok(netrc.authorization(request.url))
    }
}

/// The address in a `Link` header that says `rel="immutable"`.
fn immutable(link: &str) -> Option<String> {
    let (address, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    rest.contains("rel=\"immutable\"").then(|| address.to_owned())
}
