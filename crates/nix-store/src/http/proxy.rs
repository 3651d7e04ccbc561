//! Which requests go through a proxy, by the rules of curl.

use base64::Engine;
use std::net::IpAddr;
use ureq::http::Uri;

/// The proxies of downloads and uploads, as the variables of the same names say them to curl.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http://`: such as `http://user:password@proxy:3128`; the scheme may be left out.
    pub http: Option<String>,
    /// For `https://`.
    pub https: Option<String>,
    /// For what has none of its own.
    pub all: Option<String>,
    /// Hosts that are asked directly, with commas or spaces between: names with all that is below
    /// them, addresses, networks (`10.0.0.0/8`), or `*` for all.
    pub except: String,
}

/// A proxy that speaks HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    /// `http://HOST:PORT/`
    pub address: Uri,
    /// Name and password.
    pub login: Option<(String, String)>,
}

impl Proxies {
    /// The proxy for an address; nothing where the host is asked itself.
    pub(super) fn of(&self, address: &Uri) -> Result<Option<Proxy>, String> {
        let own = match address.scheme_str() {
            Some("https") => &self.https,
            _ => &self.http,
        };
        let said = own.as_deref().or(self.all.as_deref()).unwrap_or_default();
        let host = address.host().unwrap_or_default();
        if said.is_empty() || self.excepts(host) {
            return Ok(None);
        }
        Proxy::parse(said).map(Some)
    }

    fn excepts(&self, host: &str) -> bool {
        let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        self.except.split([',', ' ', '\t']).filter(|entry| !entry.is_empty()).any(|entry| {
            let entry = entry.trim_matches(['[', ']']).to_ascii_lowercase();
            if entry == "*" {
                return true;
            }
            if let Some(address) = address {
                return in_network(address, &entry);
            }
            let name = entry.trim_start_matches('.').trim_end_matches('.');
            let above = host.strip_suffix(name);
            !name.is_empty() && above.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }
}

/// Whether an address is the one, or in the network, that is written down.
fn in_network(address: IpAddr, written: &str) -> bool {
    let (network, length) = match written.split_once('/') {
        Some((network, length)) => (network, length.parse::<u32>().ok()),
        None => (written, Some(u32::MAX)),
    };
    let (Ok(network), Some(length)) = (network.parse::<IpAddr>(), length) else { return false };
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let ((one, kind), (other, other_kind)) = (bits(address), bits(network));
    let length = length.min(kind);
    kind == other_kind && (length == 0 || (one ^ other) >> (128 - length) == 0)
}

impl Proxy {
    fn parse(said: &str) -> Result<Self, String> {
        let wrong = |reason: &str| format!("the proxy {} {reason}", without_login(said));
        let rest = match said.split_once("://") {
            None => said,
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return Err(wrong("is not spoken to: only http:// proxies are")),
        };
        let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        // The port that curl takes where none is said.
        let colon = place.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let port = if colon { "" } else { ":1080" };
        let address: Uri =
            format!("http://{place}{port}/").parse().map_err(|_| wrong("makes no sense"))?;
        if address.host().is_none_or(str::is_empty) || address.port_u16().is_none() {
            return Err(wrong("makes no sense"));
        }
        let plain =
            |text: &str| nix_compat::url::percent_decode(text).unwrap_or_else(|_| text.to_owned());
        let login = login.map(|login| {
            let (name, password) = login.split_once(':').unwrap_or((login, ""));
            (plain(name), plain(password))
        });
        Ok(Self { address, login })
    }

    /// The header that has the login.
    pub(super) fn authorization(&self) -> Option<String> {
        let (name, password) = self.login.as_ref()?;
        let plain = format!("{name}:{password}");
        let encoded = base64::engine::general_purpose::STANDARD.encode(plain);
        Some(format!("Proxy-Authorization: Basic {encoded}\r\n"))
    }

    /// Whether this is an address of the proxy itself.
    pub(super) fn is_at(&self, address: &Uri) -> bool {
        self.address.host() == address.host() && self.address.port_u16() == address.port_u16()
    }
}

fn without_login(said: &str) -> String {
    match said.rsplit_once('@') {
        Some((_, place)) => place.to_owned(),
        None => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(proxies: &Proxies, address: &str) -> String {
        match proxies.of(&address.parse().unwrap()) {
            Ok(None) => "itself".into(),
            Ok(Some(proxy)) => proxy.address.authority().unwrap().to_string(),
            Err(reason) => reason,
        }
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let mut proxies = Proxies { http: Some("a:1".into()), ..Proxies::default() };
        assert_eq!(of(&proxies, "http://x/"), "a:1");
        assert_eq!(of(&proxies, "https://x/"), "itself");
        proxies.all = Some("HTTP://b".into());
        assert_eq!(of(&proxies, "http://x/"), "a:1");
        assert_eq!(of(&proxies, "https://x/"), "b:1080");
        proxies.https = Some("http://me:p%40ss@[::1]:2/".into());
        assert_eq!(of(&proxies, "https://x/"), "[::1]:2");
        let proxy = proxies.of(&"https://x/".parse().unwrap()).unwrap().unwrap();
        assert_eq!(proxy.authorization().unwrap(), "Proxy-Authorization: Basic bWU6cEBzcw==\r\n");
        proxies.https = Some("socks5://me:secret@c".into());
        assert_eq!(
            of(&proxies, "https://x/"),
            "the proxy c is not spoken to: only http:// proxies are"
        );
        proxies.https = Some("http://:3".into());
        assert_eq!(of(&proxies, "https://x/"), "the proxy http://:3 makes no sense");
        // An empty one is none.
        proxies.https = Some(String::new());
        assert_eq!(of(&proxies, "https://x/"), "itself");
    }

    #[test]
    fn some_hosts_are_asked_themselves() {
        let cases = [
            ("example.com", "http://example.com/", true),
            ("example.com", "http://a.example.com/", true),
            (".example.com", "http://EXAMPLE.com./", true),
            ("example.com", "http://badexample.com/", false),
            ("example.com", "http://com/", false),
            ("a, b c", "http://c/", true),
            ("*", "http://x/", true),
            ("10.0.0.0/8", "http://10.1.2.3/", true),
            ("10.0.0.0/8", "http://11.1.2.3/", false),
            ("127.0.0.1", "http://127.0.0.1:80/", true),
            ("127.0.0.1", "http://127.0.0.2/", false),
            ("0.0.0.0/0", "http://127.0.0.2/", true),
            ("::1", "http://[::1]:80/", true),
            ("[fe80::]/10", "http://[::1]/", false),
            ("fe80::/10", "http://[fe81::1]/", true),
            ("1", "http://127.0.0.1/", false),
            ("", "http://x/", false),
        ];
        for (except, address, expected) in cases {
            let all = Some("http://p:1".into());
            let proxies = Proxies { all, except: except.into(), ..Proxies::default() };
            assert_eq!(of(&proxies, address) == "itself", expected, "{except:?} {address}");
        }
    }
}
