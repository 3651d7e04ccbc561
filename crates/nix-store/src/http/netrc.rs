//! Logins for servers, as curl reads them from a netrc file.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::path::Path;

/// The logins of a file.
#[derive(Default)]
pub(super) struct Netrc {
    /// By host; the one without a host is for all others.
    logins: Vec<(Option<String>, Login)>,
}

#[derive(Default)]
struct Login {
    name: String,
    password: String,
}

impl Netrc {
    /// Reads a file; one that is not there has no logins.
    pub fn read(file: &Path) -> Result<Self, String> {
        match std::fs::read_to_string(file) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("cannot read {}: {error}", file.display())),
        }
    }

    /// `machine NAME login NAME password WORD`, in any lines; `default` is for all other hosts.
    fn parse(text: &str) -> Self {
        let mut logins: Vec<(Option<String>, Login)> = Vec::new();
        let mut words = words(text).into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "machine" => logins.push((words.next(), Login::default())),
                "default" => logins.push((None, Login::default())),
                "login" | "password" | "account" => {
                    let value = words.next().unwrap_or_default();
                    if let Some((_, login)) = logins.last_mut() {
                        match word.as_str() {
                            "login" => login.name = value,
                            "password" => login.password = value,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Self { logins }
    }

    /// The `Authorization` for an address, where there is a login for its host.
    pub fn authorization(&self, url: &str) -> Option<String> {
        let host = host(url)?;
        let wanted = |name: Option<&str>| self.logins.iter().find(|(n, _)| n.as_deref() == name);
        let (_, login) = wanted(Some(host)).or_else(|| wanted(None))?;
        Some(format!("Basic {}", STANDARD.encode(format!("{}:{}", login.name, login.password))))
    }
}

/// The host of an address that has no login of its own.
fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    if authority.contains('@') {
        return None;
    }
    match authority.strip_prefix('[') {
        Some(six) => six.split(']').next(),
        None => authority.split(':').next(),
    }
}

/// Words, perhaps in quotes with `\` before what is meant as it is; without comments and macros.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut macro_lines = false;
    for line in text.lines() {
        if macro_lines {
            macro_lines = !line.trim().is_empty();
            continue;
        }
        if line.trim_start().starts_with('#') {
            continue;
        }
        let mut characters = line.chars().peekable();
        while let Some(first) = characters.next() {
            if first.is_whitespace() {
                continue;
            }
            let mut word = String::new();
            if first == '"' {
                while let Some(c) = characters.next().filter(|c| *c != '"') {
                    word.extend(if c == '\\' { characters.next() } else { Some(c) });
                }
            } else {
                word.push(first);
                while let Some(c) = characters.next_if(|c| !c.is_whitespace()) {
                    word.push(c);
                }
                if word == "macdef" {
                    macro_lines = true;
                    break;
                }
            }
            words.push(word);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_found_by_host() {
        let text = "# a comment\nmachine one login a password b\nmachine two\n\tlogin \"c d\"\n\
                    password \"e\\\"f\"\nmacdef init\nmachine three login x password y\n\n\
                    machine ::1 login six password p\ndefault login z password w";
        let netrc = Netrc::parse(text);
        let login = |url: &str| {
            let text = netrc.authorization(url)?;
            let bytes = STANDARD.decode(text.strip_prefix("Basic ")?).ok()?;
            String::from_utf8(bytes).ok()
        };
        assert_eq!(login("https://one/x").as_deref(), Some("a:b"));
        assert_eq!(login("https://one:8080?x").as_deref(), Some("a:b"));
        assert_eq!(login("http://two").as_deref(), Some("c d:e\"f"));
        assert_eq!(login("http://[::1]:1/").as_deref(), Some("six:p"));
        assert_eq!(login("http://three/").as_deref(), Some("z:w"));
        assert_eq!(login("http://me:mine@one/"), None);
        assert_eq!(Netrc::parse("machine one").authorization("http://two/"), None);
    }
}
