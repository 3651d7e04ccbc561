//! What requests are made with: certificates, proxy, timeouts, redirections.

use super::Failure;
use super::route::Route;
use crate::config::StoreConfig;
use std::sync::Arc;
use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::transport::{Connector, RustlsConnector};

/// Where systems keep the certificates they trust.
const CERTIFICATES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/nix/var/nix/profiles/default/etc/ssl/certs/ca-bundle.crt",
];
const REDIRECTS: u32 = 10;
pub(super) const USER_AGENT: &str = concat!("hc/", env!("CARGO_PKG_VERSION"));

pub(super) fn agent(config: &StoreConfig) -> Result<ureq::Agent, String> {
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
    let route = Route::new(config.proxies.clone());
    let settings = ureq::Agent::config_builder()
        .tls_config(tls)
        // The route sees to that.
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(REDIRECTS)
        .max_idle_connections(config.connections.max(1))
        .max_idle_connections_per_host(config.connections.max(1))
        // The bytes as they are: a hash is promised for them.
        .accept_encoding("identity")
        .user_agent(USER_AGENT)
        .timeout_connect(Some(config.fetch_timeout))
        .timeout_resolve(Some(config.fetch_timeout))
        .timeout_recv_response(Some(config.fetch_timeout))
        .timeout_per_read(Some(config.fetch_timeout))
        .timeout_per_write(Some(config.fetch_timeout))
        .build();
    let connector = route.clone().chain(RustlsConnector::default());
    Ok(ureq::Agent::with_parts(settings, connector, route))
}

/// The certificates (PEM) that are trusted, where there are any.
pub(crate) fn certificates(config: &StoreConfig) -> Result<Option<Vec<u8>>, String> {
    if let Some(file) = &config.ca_file {
        let read = std::fs::read(file);
        return read.map(Some).map_err(|e| format!("cannot read {}: {e}", file.display()));
    }
    Ok(CERTIFICATES.iter().find_map(|file| std::fs::read(file).ok()))
}

pub(super) fn classify(error: ureq::Error) -> Failure {
    use ureq::Error as E;
    let reason = error.to_string();
    match error {
        E::BadUri(_)
        | E::Tls(_)
        | E::Rustls(_)
        | E::TooManyRedirects
        | E::RedirectFailed
        | E::Http(_)
        | E::InvalidProxyUrl
        | E::RequireHttpsOnly(_) => Failure::Lasting(reason),
        E::ConnectProxyFailed(reason) if reason.contains("responded 4") => {
            Failure::Lasting(format!("the proxy does not let us through: {reason}"))
        }
        // What the route says.
        E::Other(reason) => Failure::Lasting(reason.to_string()),
        // What rustls finds wrong with a certificate comes as an error of reading.
        E::Io(error) if is_certificate(&error) => Failure::Lasting(error.to_string()),
        _ => Failure::Passing(reason),
    }
}

fn is_certificate(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}

/// What a status that is no success means.
pub(super) fn refusal(status: u16) -> Failure {
    let reason = format!("HTTP error {status}");
    match status {
        407 => Failure::Lasting(format!(
            "{reason}: the proxy wants a login, as in http://NAME:PASSWORD@HOST"
        )),
        401 => Failure::Lasting(format!(
            "{reason}: it wants a login, which the netrc-file of nix.conf can have"
        )),
        403 | 404 | 410 => Failure::Absent(reason),
        408 | 425 | 429 | 500.. => Failure::Passing(reason),
        _ => Failure::Lasting(reason),
    }
}
