//! Downloads over HTTP, and from files that have a URL.

use crate::config::StoreConfig;
use crate::error::Error;
use hc_fs::plain;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ureq::ResponseExt;

/// Where systems keep the certificates they trust.
const CERTIFICATES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/nix/var/nix/profiles/default/etc/ssl/certs/ca-bundle.crt",
];

pub(crate) enum Failure {
    /// The same address may work in a while.
    Passing(String),
    /// It will not.
    Lasting(String),
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
    agent: std::result::Result<ureq::Agent, String>,
    mirrors: Vec<(String, String)>,
    tries: u32,
}

impl Client {
    /// With the proxy, the certificates, the mirrors and the limits of a store.
    #[must_use]
    pub fn new(config: &StoreConfig) -> Self {
        let mirrors = config.mirrors.clone();
        Self { agent: agent(config), mirrors, tries: config.fetch_tries.max(1) }
    }

    /// Downloads to a file, which is written anew.
    ///
    /// # Errors
    /// What the server, the network or the file system said.
    pub fn download(
        &self,
        request: &Request<'_>,
        to: &Path,
    ) -> std::result::Result<Response, String> {
        let mirrored = self.mirrors.iter().filter_map(|(prefix, with)| {
            request.url.strip_prefix(prefix).map(|rest| format!("{with}{rest}"))
        });
        for address in mirrored {
            if let Ok(mut response) = self.try_address(&Request { url: &address, ..*request }, to) {
                response.url = request.url.to_owned();
                return Ok(response);
            }
        }
        self.try_address(request, to)
            .map_err(|reason| format!("unable to download '{}': {reason}", request.url))
    }

    fn try_address(
        &self,
        request: &Request<'_>,
        to: &Path,
    ) -> std::result::Result<Response, String> {
        let mut pause = Duration::from_millis(250);
        for last in 1..=self.tries {
            match self.try_once(request, to) {
                Ok(response) => return Ok(response),
                Err(Failure::Passing(_)) if last < self.tries => {
                    std::thread::sleep(pause);
                    pause *= 2;
                }
                Err(Failure::Passing(reason) | Failure::Lasting(reason)) => return Err(reason),
                Err(Failure::Fatal(error)) => return Err(error.to_string()),
            }
        }
        Err(String::from("it was not tried"))
    }

    fn try_once(&self, request: &Request<'_>, to: &Path) -> std::result::Result<Response, Failure> {
        let fatal = |error: hc_fs::Error| Failure::Fatal(error.into());
        let mut file = plain::create(to, 0o644).map_err(fatal)?;
        if request.url.starts_with("file:") {
            return copy_file(request.url, &mut file);
        }
        let agent = self.agent.as_ref().map_err(|reason| Failure::Lasting(reason.clone()))?;
        let mut get = agent.get(request.url);
        for (name, value) in request.headers {
            get = get.header(name, value);
        }
        if let Some(etag) = request.etag.filter(|etag| !etag.is_empty()) {
            get = get.header("If-None-Match", etag);
        }
        let mut response = get.call().map_err(classify)?;
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let mut answer = Response {
            unchanged: response.status().as_u16() == 304,
            etag: header("etag").unwrap_or_default(),
            url: response.get_uri().to_string(),
            immutable: header("link").and_then(|link| immutable(&link)),
        };
        if answer.unchanged {
            answer.etag = request.etag.unwrap_or_default().to_owned();
            return Ok(answer);
        }
        let status = response.status();
        if !status.is_success() {
            let reason = format!("HTTP error {}", status.as_u16());
            let passing = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
            return Err(if passing { Failure::Passing(reason) } else { Failure::Lasting(reason) });
        }
        let total = response.body().content_length();
        let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
        let done = copy(&mut body, &mut file)?;
        match total {
            Some(total) if total != done => {
                Err(Failure::Passing(format!("{done} of {total} bytes came")))
            }
            _ => Ok(answer),
        }
    }
}

fn copy(from: &mut dyn Read, to: &mut dyn Write) -> std::result::Result<u64, Failure> {
    let (mut done, mut buffer) = (0, vec![0; 128 << 10]);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(done),
            Ok(n) => {
                to.write_all(&buffer[..n]).map_err(|error| Failure::Lasting(error.to_string()))?;
                done += n as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::Passing(error.to_string())),
        }
    }
}

fn copy_file(url: &str, to: &mut dyn Write) -> std::result::Result<Response, Failure> {
    let bad = |reason: String| Failure::Lasting(reason);
    let path = nix_compat::url::Url::parse(url, false)
        .and_then(|url| url.to_path())
        .map_err(|error| bad(error.to_string()))?;
    let mut from = std::fs::File::open(&path).map_err(|_| {
        bad(format!("Could not read a file:// file (37) Could not open file {path}"))
    })?;
    copy(&mut from, to)?;
    Ok(Response { url: url.to_owned(), ..Response::default() })
}

/// The address in a `Link` header that says `rel="immutable"`.
fn immutable(link: &str) -> Option<String> {
    let (address, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    rest.contains("rel=\"immutable\"").then(|| address.to_owned())
}

pub(crate) fn classify(error: ureq::Error) -> Failure {
    use ureq::Error as E;
    let reason = error.to_string();
    match error {
        E::BadUri(_)
        | E::Tls(_)
        | E::Rustls(_)
        | E::TooManyRedirects
        | E::Http(_)
        | E::InvalidProxyUrl
        | E::RequireHttpsOnly(_) => Failure::Lasting(reason),
        _ => Failure::Passing(reason),
    }
}

/// What requests are made with.
pub(crate) fn agent(config: &StoreConfig) -> std::result::Result<ureq::Agent, String> {
    use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider};
    let roots = match certificates(config)? {
        Some(pem) => {
            let certificates: Vec<_> = ureq::tls::parse_pem(&pem)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            RootCerts::Specific(Arc::new(certificates))
        }
        // Only addresses without TLS will work, and the others will say why.
        None => RootCerts::Specific(Arc::new(Vec::new())),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(roots)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let proxy = match &config.proxy {
        Some(url) => Some(ureq::Proxy::new(url).map_err(|e| format!("the proxy {url}: {e}"))?),
        None => None,
    };
    let settings = ureq::Agent::config_builder()
        .tls_config(tls)
        .proxy(proxy)
        .http_status_as_error(false)
        .max_redirects(10)
        // The bytes as they are: a hash is promised for them.
        .accept_encoding("identity")
        .user_agent(concat!("hc/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(config.fetch_timeout))
        .timeout_resolve(Some(config.fetch_timeout))
        .timeout_recv_response(Some(config.fetch_timeout))
        .timeout_per_read(Some(config.fetch_timeout))
        .build();
    Ok(settings.new_agent())
}

/// The certificates (PEM) that are trusted, where there are any.
pub(crate) fn certificates(config: &StoreConfig) -> std::result::Result<Option<Vec<u8>>, String> {
    if let Some(file) = &config.ca_file {
        let read = std::fs::read(file);
        return read.map(Some).map_err(|e| format!("cannot read {}: {e}", file.display()));
    }
    Ok(CERTIFICATES.iter().find_map(|file| std::fs::read(file).ok()))
}
