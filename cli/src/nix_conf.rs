//! Settings that this host's `nix.conf` has: both share one store, and one opinion.

use crate::error::{Code, Failure};
use nix_compat::narinfo::TrustedPublicKey;
use nix_store::http::Proxies;
use nix_store::{Keep, StoreConfig};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Files that may include each other, at most so deep.
const DEPTH: u32 = 16;

/// `keep-derivations` and `keep-outputs`, by these names or their older ones.
pub fn keep() -> anyhow::Result<Keep> {
    let settings = read()?;
    let default = Keep::default();
    Ok(Keep {
        derivations: boolean(
            &settings,
            &["keep-derivations", "gc-keep-derivations"],
            default.derivations,
        )?,
        outputs: boolean(&settings, &["keep-outputs", "gc-keep-outputs"], default.outputs)?,
    })
}

/// `auto-optimise-store`.
pub fn auto_optimise() -> anyhow::Result<bool> {
    boolean(&read()?, &["auto-optimise-store"], false)
}

/// `experimental-features`: their names.
pub fn experimental_features() -> anyhow::Result<Vec<String>> {
    let found = read()?.remove("experimental-features").unwrap_or_default();
    Ok(found.split_whitespace().map(str::to_owned).collect())
}

/// `nix-path`, where it is set: its entries.
pub fn nix_path() -> Option<Vec<String>> {
    let text = read().ok()?.remove("nix-path")?;
    Some(text.split_whitespace().map(str::to_owned).collect())
}

/// Where built paths may come from, and who must have signed them.
pub struct Substitution {
    /// The addresses of binary caches.
    pub substituters: Vec<String>,
    /// The keys that are trusted.
    pub trusted_keys: Vec<TrustedPublicKey>,
    /// Whether a signature is needed.
    pub require_signatures: bool,
}

/// `substitute`, `substituters`, `trusted-public-keys` (these two with their `extra-`) and
/// `require-sigs`. What is not set is empty: nothing is asked that nobody named.
pub fn substitution() -> anyhow::Result<Substitution> {
    let settings = read()?;
    let wanted = substitute_of(&settings)?;
    let substituters = words(&settings, &["substituters", "binary-caches"]);
    let keys = words(&settings, &["trusted-public-keys", "binary-cache-public-keys"]);
    let keys = keys.iter().map(|text| {
        TrustedPublicKey::parse(text).map_err(|error| {
            let message = format!("nix.conf: trusted-public-keys has {text:?}: {error}");
            Failure::new(Code::Host, message).into()
        })
    });
    Ok(Substitution {
        substituters: if wanted { substituters } else { Vec::new() },
        trusted_keys: keys.collect::<anyhow::Result<_>>()?,
        require_signatures: boolean(&settings, &["require-sigs"], true)?,
    })
}

/// `substitute`: whether anything may come from elsewhere at all.
pub fn substitute() -> anyhow::Result<bool> {
    substitute_of(&read()?)
}

fn substitute_of(settings: &BTreeMap<String, String>) -> anyhow::Result<bool> {
    boolean(settings, &["substitute", "build-use-substitutes"], true)
}

/// How servers are asked: `http-connections`, `max-substitution-jobs`, `download-attempts`,
/// `stalled-download-timeout`, `narinfo-cache-positive-ttl`, `narinfo-cache-negative-ttl`,
/// `netrc-file` and `ssl-cert-file` (or `$NIX_SSL_CERT_FILE`, or `$SSL_CERT_FILE`).
pub fn network(config: &mut StoreConfig) -> anyhow::Result<()> {
    let settings = read()?;
    let number = |names: &[&str]| number(&settings, names);
    if let Some(connections) = number(&["http-connections", "binary-caches-parallel-connections"])?
    {
        // Zero is as many as there is work for.
        config.connections = if connections == 0 { 64 } else { connections };
    }
    if let Some(jobs) = number(&["max-substitution-jobs", "substitution-max-jobs"])? {
        config.fetches = jobs.max(1);
    }
    if let Some(tries) = number(&["download-attempts"])? {
        config.fetch_tries = u32::try_from(tries).unwrap_or(u32::MAX);
    }
    let seconds = |names: &[&str]| -> anyhow::Result<Option<Duration>> {
        Ok(number(names)?.map(|seconds| Duration::from_secs(seconds as u64)))
    };
    if let Some(timeout) = seconds(&["stalled-download-timeout"])? {
        config.fetch_timeout = timeout;
    }
    if let Some(ttl) = seconds(&["narinfo-cache-positive-ttl"])? {
        config.positive_ttl = ttl;
    }
    if let Some(ttl) = seconds(&["narinfo-cache-negative-ttl"])? {
        config.negative_ttl = ttl;
    }
    let netrc = settings.get("netrc-file").map(PathBuf::from);
    config.netrc_file = Some(netrc.unwrap_or_else(|| directory().join("netrc")));
    config.proxies = proxies();
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    config.ca_file = settings
        .get("ssl-cert-file")
        .filter(|file| !file.is_empty())
        .map(PathBuf::from)
        .or_else(|| variable("NIX_SSL_CERT_FILE").map(PathBuf::from))
        .or_else(|| variable("SSL_CERT_FILE").map(PathBuf::from));
    Ok(())
}

/// The variables that curl reads, and C++ Nix with it. `HTTP_PROXY` is none of them: where a server
/// sets variables by what a client says, the client could set that one.
fn proxies() -> Proxies {
    let first = |names: &[&str]| {
        names.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    };
    Proxies {
        http: first(&["http_proxy"]),
        https: first(&["https_proxy", "HTTPS_PROXY"]),
        all: first(&["all_proxy", "ALL_PROXY"]),
        except: first(&["no_proxy", "NO_PROXY"]).unwrap_or_default(),
    }
}

fn number(settings: &BTreeMap<String, String>, names: &[&str]) -> anyhow::Result<Option<usize>> {
    let found = names.iter().find_map(|name| Some((name, settings.get(*name)?)));
    let Some((name, value)) = found else { return Ok(None) };
    value.parse().map(Some).map_err(|_| {
        let message = format!("nix.conf: {name} must be a number, not {value:?}");
        Failure::new(Code::Host, message).into()
    })
}

/// A list, by all of its names; each word once.
fn words(settings: &BTreeMap<String, String>, names: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let values = names.iter().filter_map(|name| settings.get(*name));
    for word in values.flat_map(|value| value.split_ascii_whitespace()) {
        if !words.iter().any(|known| known == word) {
            words.push(word.to_owned());
        }
    }
    words
}

/// The system's file, those of the user and `$NIX_CONFIG`, in the order in which C++ Nix reads them.
fn read() -> anyhow::Result<BTreeMap<String, String>> {
    let mut settings = BTreeMap::new();
    let files = std::iter::once(directory().join("nix.conf")).chain(user_files());
    for file in files {
        match std::fs::read_to_string(&file) {
            Ok(text) => parse(&text, &file, 0, &mut settings)?,
            Err(error) if is_absent(&error) => {}
            Err(error) => {
                let message = format!("cannot read {}: {error}", file.display());
                return Err(Failure::new(Code::Host, message).into());
            }
        }
    }
    if let Ok(text) = std::env::var("NIX_CONFIG") {
        parse(&text, Path::new("/"), 0, &mut settings)?;
    }
    Ok(settings)
}

/// Where the system's file is.
fn directory() -> PathBuf {
    std::env::var_os("NIX_CONF_DIR").map_or_else(|| "/etc/nix".into(), PathBuf::from)
}

fn is_absent(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// The user's files, what counts most last.
fn user_files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = match std::env::var_os("NIX_USER_CONF_FILES") {
        Some(named) => std::env::split_paths(&named).collect(),
        None => {
            let home = std::env::var_os("XDG_CONFIG_HOME")
                .map(PathBuf::from)
                .or_else(|| Some(std::env::home_dir()?.join(".config")));
            let shared = std::env::var_os("XDG_CONFIG_DIRS").unwrap_or_else(|| "/etc/xdg".into());
            let directories = home.into_iter().chain(std::env::split_paths(&shared));
            directories.map(|directory| directory.join("nix/nix.conf")).collect()
        }
    };
    files.retain(|file| file.is_absolute());
    files.reverse();
    files
}

/// `name = value` lines with `#` comments, `include` and `!include` (which may be missing).
/// `extra-name` adds to what `name` is.
fn parse(
    text: &str,
    file: &Path,
    depth: u32,
    to: &mut BTreeMap<String, String>,
) -> anyhow::Result<()> {
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            [include @ ("include" | "!include"), other] => {
                let other = file.parent().unwrap_or(Path::new("/")).join(other);
                match std::fs::read_to_string(&other) {
                    Ok(text) if depth < DEPTH => parse(&text, &other, depth + 1, to)?,
                    Err(_) if *include == "!include" => {}
                    _ => {
                        let message = format!(
                            "{} includes {}, which cannot be read",
                            file.display(),
                            other.display()
                        );
                        return Err(Failure::new(Code::Host, message).into());
                    }
                }
            }
            [name, "=", value @ ..] => {
                let value = value.join(" ");
                match name.strip_prefix("extra-") {
                    Some(name) => {
                        let known = to.entry(name.to_owned()).or_default();
                        *known = format!("{known} {value}").trim().to_owned();
                    }
                    None => {
                        to.insert((*name).to_owned(), value);
                    }
                }
            }
            // What else is wrong with it is for Nix to say.
            _ => {}
        }
    }
    Ok(())
}

fn boolean(
    settings: &BTreeMap<String, String>,
    names: &[&str],
    default: bool,
) -> anyhow::Result<bool> {
    let Some((name, value)) = names.iter().find_map(|name| Some((name, settings.get(*name)?)))
    else {
        return Ok(default);
    };
    match value.as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => {
            let message = format!("nix.conf: {name} must be true or false, not {value:?}");
            Err(Failure::new(Code::Host, message).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_extra_is_added() {
        let mut settings = BTreeMap::new();
        let text = "extra-a = 1\na = 2\nextra-a = 3 4";
        parse(text, Path::new("/x/nix.conf"), 0, &mut settings).unwrap();
        assert_eq!(settings["a"], "2 3 4");
    }

    #[test]
    fn settings_are_read_as_nix_reads_them() {
        let mut settings = BTreeMap::new();
        let text = "keep-outputs = true # why not\n\nbad line\n!include /no/such/file\nkeep-derivations = maybe";
        parse(text, Path::new("/x/nix.conf"), 0, &mut settings).unwrap();
        assert!(boolean(&settings, &["keep-outputs"], false).unwrap());
        assert!(!boolean(&settings, &["auto-optimise-store"], false).unwrap());
        assert!(boolean(&settings, &["keep-derivations"], true).is_err());
        let text = "substituters = http://a http://b\nextra-substituters = file:///c\nextra-substituters = http://a";
        parse(text, Path::new("/x/nix.conf"), 0, &mut settings).unwrap();
        let names = ["substituters", "binary-caches"];
        assert_eq!(words(&settings, &names), ["http://a", "http://b", "file:///c"]);
        assert!(parse("include /no/such", Path::new("/x"), 0, &mut settings).is_err());
    }
}
