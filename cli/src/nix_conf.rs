//! Settings that this host's `nix.conf` has: both share one store, and one opinion. What the command
//! line says counts over it.

use crate::error::{Code, Failure};
use crate::output;
use crate::search_path;
use crate::settings::{self, Part};
use nix_compat::narinfo::TrustedPublicKey;
use nix_store::http::Proxies;
use nix_store::{Keep, StoreConfig};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// What the command line of this process says, in its order.
static COMMAND_LINE: OnceLock<Vec<(String, String)>> = OnceLock::new();

/// Takes what the command line of this process says, once, and says what of it has no effect.
pub fn heed(given: Vec<(String, String)>) {
    for (name, _) in &given {
        let known = settings::find(name.strip_prefix("extra-").unwrap_or(name));
        match known.map(|setting| setting.part) {
            None => output::warn_once(format!("unknown setting '{name}'")),
            Some(Part::None) => {
                output::warn_once(format!("the setting '{name}' of Nix has no effect here"));
            }
            Some(_) => {}
        }
    }
    // There is one command line, and this is called for it.
    let _ = COMMAND_LINE.set(given);
}

/// What files say, and below it what the command line does.
pub struct Layers {
    /// What holds.
    pub all: Settings,
    /// What of it the command line says.
    pub line: Settings,
}

/// All settings.
pub fn layers() -> anyhow::Result<Layers> {
    let mut all = of_files()?;
    // `NIX_PATH` counts over files.
    if let Some(entries) = search_path::of_environment() {
        all.insert("nix-path".into(), entries.join(" "));
    }
    let mut line = Settings::new();
    for (name, value) in COMMAND_LINE.get().into_iter().flatten() {
        put(&mut all, name, value);
        let name = name.strip_prefix("extra-").unwrap_or(name);
        let name = settings::find(name).map_or(name, |setting| setting.name);
        line.extend(all.get_key_value(name).map(|(name, value)| (name.clone(), value.clone())));
    }
    Ok(Layers { all, line })
}

/// Values by their names.
pub type Settings = BTreeMap<String, String>;

/// Files that may include each other, at most so deep.
const DEPTH: u32 = 16;

/// `keep-derivations` and `keep-outputs`, by these names or their older ones.
pub fn keep() -> anyhow::Result<Keep> {
    let settings = read()?;
    let default = Keep::default();
    Ok(Keep {
        derivations: boolean(&settings, "keep-derivations")?.unwrap_or(default.derivations),
        outputs: boolean(&settings, "keep-outputs")?.unwrap_or(default.outputs),
    })
}

/// `auto-optimise-store`.
pub fn auto_optimise() -> anyhow::Result<bool> {
    Ok(boolean(&read()?, "auto-optimise-store")?.unwrap_or(false))
}

/// `experimental-features`: their names.
pub fn experimental_features() -> anyhow::Result<Vec<String>> {
    let found = read()?.remove("experimental-features").unwrap_or_default();
    Ok(found.split_whitespace().map(str::to_owned).collect())
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
    let substituters = words(&settings, "substituters");
    let keys = words(&settings, "trusted-public-keys");
    let keys = keys.iter().map(|text| {
        TrustedPublicKey::parse(text).map_err(|error| {
            let message = format!("nix.conf: trusted-public-keys has {text:?}: {error}");
            Failure::new(Code::Host, message).into()
        })
    });
    Ok(Substitution {
        substituters: if wanted { substituters } else { Vec::new() },
        trusted_keys: keys.collect::<anyhow::Result<_>>()?,
        require_signatures: boolean(&settings, "require-sigs")?.unwrap_or(true),
    })
}

/// `substitute`: whether anything may come from elsewhere at all.
pub fn substitute() -> anyhow::Result<bool> {
    substitute_of(&read()?)
}

fn substitute_of(settings: &Settings) -> anyhow::Result<bool> {
    Ok(boolean(settings, "substitute")?.unwrap_or(true))
}

/// `eval-cache`: whether results of evaluations are kept for the next process.
pub fn evaluations_are_kept() -> anyhow::Result<bool> {
    Ok(boolean(&read()?, "eval-cache")?.unwrap_or(true))
}

/// How much is built at once and how long: `max-jobs`, `cores`, `timeout`, `max-silent-time`,
/// `max-build-log-size`, `keep-failed`, `keep-going` and `sandbox-paths`.
pub fn building(config: &mut StoreConfig) -> anyhow::Result<()> {
    let settings = read()?;
    let processors = config.cores;
    // Both have a word, or a number, for as many as there are processors.
    let count = |name: &str, all: &str| match settings.get(name) {
        Some(value) if value == all => Ok(Some(processors)),
        _ => number(&settings, name),
    };
    config.jobs = count("max-jobs", "auto")?.filter(|jobs| *jobs > 0).unwrap_or(config.jobs);
    config.cores = count("cores", "0")?.unwrap_or(config.cores);
    // Zero is no limit.
    let limit = |name: &str| -> anyhow::Result<Option<u64>> {
        Ok(number(&settings, name)?.filter(|limit| *limit > 0).map(|limit| limit as u64))
    };
    config.build_timeout = limit("timeout")?.map(Duration::from_secs);
    config.max_silent_time = limit("max-silent-time")?.map(Duration::from_secs);
    config.max_log_size = limit("max-build-log-size")?;
    config.keep_failed = boolean(&settings, "keep-failed")?.unwrap_or(false);
    config.keep_going = boolean(&settings, "keep-going")?.unwrap_or(false);
    for pair in words(&settings, "sandbox-paths") {
        // `?` at the end: where it is there.
        let (pair, optional) =
            pair.strip_suffix('?').map_or((pair.as_str(), false), |pair| (pair, true));
        let (target, source) = pair.split_once('=').unwrap_or((pair, pair));
        if !optional || Path::new(source).exists() {
            config.sandbox_paths.push((target.into(), source.into()));
        }
    }
    Ok(())
}

/// How sources are fetched: `tarball-ttl`, `access-tokens`, `allow-dirty`, `warn-dirty`, and what
/// [`network`] reads.
pub fn fetching(config: &mut nix_fetch::Config) -> anyhow::Result<()> {
    network(&mut config.http)?;
    let settings = read()?;
    if let Some(seconds) = number(&settings, "tarball-ttl")? {
        config.ttl = Duration::from_secs(seconds as u64);
    }
    config.allow_dirty = boolean(&settings, "allow-dirty")?.unwrap_or(config.allow_dirty);
    config.warn_dirty = boolean(&settings, "warn-dirty")?.unwrap_or(config.warn_dirty);
    let tokens = words(&settings, "access-tokens");
    let pairs = tokens.iter().filter_map(|pair| pair.split_once('='));
    config.access_tokens.extend(pairs.map(|(host, token)| (host.to_owned(), token.to_owned())));
    Ok(())
}

/// `flake-registry`, where it is set.
pub fn flake_registry() -> anyhow::Result<Option<String>> {
    Ok(read()?.remove("flake-registry"))
}

/// What is done with lock files.
pub struct Locking {
    /// `use-registries`: look short names up.
    pub registries: bool,
    /// `allow-dirty-locks`: write down inputs that have no revision.
    pub unlocked: bool,
    /// `commit-lock-file-summary`: the first line of the commit.
    pub summary: Option<String>,
}

/// How lock files are written.
pub fn locking() -> anyhow::Result<Locking> {
    let mut settings = read()?;
    Ok(Locking {
        registries: boolean(&settings, "use-registries")?.unwrap_or(true),
        unlocked: boolean(&settings, "allow-dirty-locks")?.unwrap_or(false),
        summary: settings.remove("commit-lock-file-summary").filter(|text| !text.is_empty()),
    })
}

/// How servers are asked: `http-connections`, `max-substitution-jobs`, `download-attempts`,
/// `stalled-download-timeout`, `narinfo-cache-positive-ttl`, `narinfo-cache-negative-ttl`,
/// `netrc-file` and `ssl-cert-file` (or `$NIX_SSL_CERT_FILE`, or `$SSL_CERT_FILE`).
pub fn network(config: &mut StoreConfig) -> anyhow::Result<()> {
    let settings = read()?;
    let number = |name: &str| number(&settings, name);
    if let Some(connections) = number("http-connections")? {
        // Zero is as many as there is work for.
        config.connections = if connections == 0 { 64 } else { connections };
    }
    if let Some(jobs) = number("max-substitution-jobs")? {
        config.fetches = jobs.max(1);
    }
    if let Some(tries) = number("download-attempts")? {
        config.fetch_tries = u32::try_from(tries).unwrap_or(u32::MAX);
    }
    let seconds = |name: &str| -> anyhow::Result<Option<Duration>> {
        Ok(number(name)?.map(|seconds| Duration::from_secs(seconds as u64)))
    };
    if let Some(timeout) = seconds("stalled-download-timeout")? {
        config.fetch_timeout = timeout;
    }
    if let Some(ttl) = seconds("narinfo-cache-positive-ttl")? {
        config.positive_ttl = ttl;
    }
    if let Some(ttl) = seconds("narinfo-cache-negative-ttl")? {
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

fn number(settings: &Settings, name: &str) -> anyhow::Result<Option<usize>> {
    let Some(value) = settings.get(name) else { return Ok(None) };
    value.parse().map(Some).map_err(|_| {
        let message = format!("the setting {name} must be a number, not {value:?}");
        Failure::new(Code::Host, message).into()
    })
}

/// A list; each word once.
fn words(settings: &Settings, name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in settings.get(name).into_iter().flat_map(|value| value.split_ascii_whitespace()) {
        if !words.iter().any(|known| known == word) {
            words.push(word.to_owned());
        }
    }
    words
}

/// What holds: what the command line says, and files where it says nothing.
fn read() -> anyhow::Result<Settings> {
    Ok(layers()?.all)
}

/// The system's file, those of the user and `$NIX_CONFIG`, in the order in which C++ Nix reads them.
fn of_files() -> anyhow::Result<Settings> {
    let mut settings = Settings::new();
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
pub fn directory() -> PathBuf {
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
fn parse(text: &str, file: &Path, depth: u32, to: &mut Settings) -> anyhow::Result<()> {
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
            [name, "=", value @ ..] => put(to, name, &value.join(" ")),
            // What else is wrong with it is for Nix to say.
            _ => {}
        }
    }
    Ok(())
}

/// Sets one, or adds to it, by any of its names.
fn put(to: &mut Settings, name: &str, value: &str) {
    let known = |name| settings::find(name).map_or(name, |setting| setting.name).to_owned();
    match name.strip_prefix("extra-") {
        Some(name) => {
            let usual = || {
                if name == "nix-path" { search_path::defaults().join(" ") } else { String::new() }
            };
            let value_so_far = to.entry(known(name)).or_insert_with(usual);
            *value_so_far = format!("{value_so_far} {value}").trim().to_owned();
        }
        None => {
            to.insert(known(name), value.to_owned());
        }
    }
}

/// What a setting that is true or false says.
pub fn truth(value: &str) -> Option<bool> {
    match value {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

fn boolean(settings: &Settings, name: &str) -> anyhow::Result<Option<bool>> {
    let Some(value) = settings.get(name) else { return Ok(None) };
    truth(value).map(Some).ok_or_else(|| {
        let message = format!("the setting {name} must be true or false, not {value:?}");
        Failure::new(Code::Host, message).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_extra_is_added() {
        let mut settings = Settings::new();
        let text = "extra-a = 1\na = 2\nextra-a = 3 4";
        parse(text, Path::new("/x/nix.conf"), 0, &mut settings).unwrap();
        assert_eq!(settings["a"], "2 3 4");
    }

    #[test]
    fn settings_are_read_as_nix_reads_them() {
        let mut settings = Settings::new();
        let text = "keep-outputs = true # why not\n\nbad line\n!include /no/such/file\nkeep-derivations = maybe";
        parse(text, Path::new("/x/nix.conf"), 0, &mut settings).unwrap();
        assert_eq!(boolean(&settings, "keep-outputs").unwrap(), Some(true));
        assert_eq!(boolean(&settings, "auto-optimise-store").unwrap(), None);
        assert!(boolean(&settings, "keep-derivations").is_err());
        let text = "substituters = http://a http://b\nextra-substituters = file:///c\nextra-binary-caches = http://a";
        parse(text, Path::new("/x/nix.conf"), 0, &mut settings).unwrap();
        assert_eq!(words(&settings, "substituters"), ["http://a", "http://b", "file:///c"]);
        assert!(parse("include /no/such", Path::new("/x"), 0, &mut settings).is_err());
    }
}
