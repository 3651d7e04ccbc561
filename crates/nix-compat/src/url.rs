//! URLs as flake references and fetchers write them: RFC 3986, strict where Nix is.

use std::collections::BTreeMap;
use std::fmt;

/// A text that is no URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadUrl(pub String);

/// Who serves a URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Authority {
    /// The user, decoded.
    pub user: Option<String>,
    /// The password, decoded.
    pub password: Option<String>,
    /// The host, decoded; an address in brackets keeps them.
    pub host: String,
    /// The port.
    pub port: Option<u16>,
}

/// A URL in its parts; everything is decoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Url {
    /// The scheme, such as `git+https`.
    pub scheme: String,
    /// What follows `//`, if that is there.
    pub authority: Option<Authority>,
    /// The segments of the path; an absolute path begins with an empty one.
    pub path: Vec<String>,
    /// The parameters after `?`.
    pub query: BTreeMap<String, String>,
    /// What follows `#`.
    pub fragment: String,
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn is_pchar(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@%".contains(&byte)
}

/// Writes a text so that it can stand in a URL; `keep` are bytes that may stay as they are.
#[must_use]
pub fn percent_encode(text: &str, keep: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_unreserved(byte) || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The text that was written with [`percent_encode`].
///
/// # Errors
/// When a `%` has no two digits behind it.
pub fn percent_decode(text: &str) -> Result<String, BadUrl> {
    let bad = || BadUrl(format!("invalid URI parameter '{text}'"));
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(bad()) };
        out.push((high * 16 + low) as u8);
    }
    // Paths are bytes, and references are text: what is no text cannot be said in a lock file.
    String::from_utf8(out).map_err(|_| bad())
}

/// The parameters of a query. One without `=` is ignored, of one said twice the first counts.
///
/// # Errors
/// When there is a character that no query has.
pub fn decode_query(text: &str, lenient: bool) -> Result<BTreeMap<String, String>, BadUrl> {
    let allowed =
        |byte| is_pchar(byte) || b"/?".contains(&byte) || lenient && b" \"".contains(&byte);
    if !text.bytes().all(allowed) {
        return Err(BadUrl(format!("invalid URI query '{text}'")));
    }
    let mut found = BTreeMap::new();
    for pair in text.split('&') {
        if let Some((name, value)) = pair.split_once('=') {
            let value = percent_decode(value)?;
            found.entry(percent_decode(name)?).or_insert(value);
        }
    }
    Ok(found)
}

/// `git` and `https` of `git+https`; only `https` of `https`.
#[must_use]
pub fn split_scheme(scheme: &str) -> (Option<&str>, &str) {
    match scheme.split_once('+') {
        Some((application, transport)) => (Some(application), transport),
        None => (None, scheme),
    }
}

impl Authority {
    fn parse(text: &str) -> Result<Self, BadUrl> {
        let bad = || BadUrl(format!("invalid URL authority: '{text}'"));
        let (user_info, rest) = match text.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, text),
        };
        let (host, port) = match rest.strip_prefix('[') {
            Some(address) => {
                let (address, port) = address.split_once(']').ok_or_else(bad)?;
                let named = address.split('%').next().unwrap_or_default();
                if named.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err(bad());
                }
                match port.strip_prefix(':') {
                    _ if port.is_empty() => (format!("[{address}]"), ""),
                    Some(port) => (format!("[{address}]"), port),
                    None => return Err(bad()),
                }
            }
            None => {
                let (host, port) = rest.split_once(':').unwrap_or((rest, ""));
                let allowed = |byte| is_pchar(byte) && !b":@".contains(&byte);
                if !host.bytes().all(allowed) {
                    return Err(bad());
                }
                (percent_decode(host)?, port)
            }
        };
        let port = match port {
            "" => None,
            port if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(port.parse().map_err(|_| BadUrl(format!("port '{port}' is invalid")))?)
            }
            _ => return Err(bad()),
        };
        let (mut user, mut password) = (None, None);
        if let Some(info) = user_info {
            if !info.bytes().all(|byte| is_pchar(byte) && byte != b'@') {
                return Err(bad());
            }
            let (name, secret) = match info.split_once(':') {
                Some((name, secret)) => (name, Some(percent_decode(secret)?)),
                None => (info, None),
            };
            (user, password) = (Some(percent_decode(name)?), secret);
        }
        Ok(Authority { user, password, host, port })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            f.write_str(&percent_encode(user, b""))?;
            if let Some(password) = &self.password {
                write!(f, ":{}", percent_encode(password, b""))?;
            }
            f.write_str("@")?;
        }
        match self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => write!(f, "[{}]", percent_encode(address, b":"))?,
            None => f.write_str(&percent_encode(&self.host, b""))?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl Url {
    /// Reads a URL; `lenient` lets a few characters pass that people forget to encode.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str, lenient: bool) -> Result<Self, BadUrl> {
        let bad = |why: &str| BadUrl(format!("'{text}' is not a valid URL: {why}"));
        let (scheme, rest) = text
            .split_once(':')
            .ok_or_else(|| BadUrl(format!("'{text}' doesn't have a scheme")))?;
        let proper = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            || !scheme.bytes().all(proper)
        {
            return Err(BadUrl(format!("'{text}' doesn't have a scheme")));
        }
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let end = rest.find('/').unwrap_or(rest.len());
                (Some(Authority::parse(&rest[..end])?), &rest[end..])
            }
            None => (None, rest),
        };
        if !path.bytes().all(|byte| is_pchar(byte) || byte == b'/') {
            return Err(bad("its path has characters that must be encoded"));
        }
        let in_fragment =
            |byte| is_pchar(byte) || b"/?".contains(&byte) || lenient && b" \"^".contains(&byte);
        if !fragment.bytes().all(in_fragment) {
            return Err(bad("its fragment has characters that must be encoded"));
        }
        let is_file = split_scheme(scheme).1 == "file";
        if is_file && let Some(host) = authority.as_ref().filter(|it| !it.host.is_empty()) {
            return Err(BadUrl(format!("file:// URL '{text}' has unexpected authority '{host}'")));
        }
        let path = if is_file && path.is_empty() { "/" } else { path };
        Ok(Url {
            scheme: scheme.to_owned(),
            authority,
            path: path.split('/').map(percent_decode).collect::<Result<_, _>>()?,
            query: decode_query(query, lenient)?,
            fragment: percent_decode(fragment)?,
        })
    }

    /// A URL of a path on disk.
    #[must_use]
    pub fn of_path(scheme: &str, path: &str) -> Self {
        Url {
            scheme: scheme.to_owned(),
            authority: path.starts_with('/').then(Authority::default),
            path: path.split('/').map(str::to_owned).collect(),
            ..Url::default()
        }
    }

    /// The path on disk that a `file` or `path` URL means.
    ///
    /// # Errors
    /// When a segment holds a slash or a NUL, which no file name has.
    pub fn to_path(&self) -> Result<String, BadUrl> {
        if self.path.iter().any(|part| part.contains(['/', '\0'])) {
            return Err(BadUrl(format!("'{self}' has an encoded slash or NUL in its path")));
        }
        let absolute = self.path.first().is_some_and(String::is_empty);
        let trailing = self.path.last().is_some_and(String::is_empty);
        let parts: Vec<&str> =
            self.path.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        let mut path = if absolute { String::from("/") } else { String::new() };
        path.push_str(&parts.join("/"));
        if trailing && !parts.is_empty() {
            path.push('/');
        }
        Ok(path)
    }

    /// The segments of the path that are not empty.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.path.iter().map(String::as_str).filter(|part| !part.is_empty())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme)?;
        if let Some(authority) = &self.authority {
            write!(f, "//{authority}")?;
        }
        let path: Vec<String> = self.path.iter().map(|part| percent_encode(part, b":@")).collect();
        f.write_str(&path.join("/"))?;
        for (index, (name, value)) in self.query.iter().enumerate() {
            let keep = b":@/?";
            let (name, value) = (percent_encode(name, keep), percent_encode(value, keep));
            write!(f, "{}{name}={value}", if index == 0 { '?' } else { '&' })?;
        }
        if !self.fragment.is_empty() {
            write!(f, "#{}", percent_encode(&self.fragment, b""))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for text in [
            "git+https://user:pa%20ss@example.org:80/x?q=a%26b",
            "https://[::1]:8080/x",
            "file:///a/b%20c",
            "path:./a",
            "github:a%2Fb/c?dir=x%20y#frag",
        ] {
            assert_eq!(Url::parse(text, false).map(|url| url.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_no_url() {
        for text in ["", "a", "1a:b", "a:b c", "http://a b/", "http://[x]/", "a:%zz", "file://h/x"]
        {
            assert!(Url::parse(text, true).is_err(), "{text}");
        }
        assert!(Url::parse("a:b?x=y z", false).is_err());
        assert!(Url::parse("a:b?x=y z", true).is_ok());
    }
}
