//! The search path that `<name>` is looked up in: arguments, NIX_PATH, the defaults.

use std::path::{Component, Path, PathBuf};

/// The entries that hold: what arguments say first, then the setting (where `NIX_PATH` is in), or the
/// defaults. Relative directories start from the current one.
pub fn entries(include: &[String], setting: Option<&str>) -> Vec<String> {
    let rest = match setting {
        Some(words) => words.split_ascii_whitespace().map(str::to_owned).collect(),
        None => defaults(),
    };
    include.iter().cloned().chain(rest).map(|entry| absolute(&entry)).collect()
}

/// What `NIX_PATH` says.
pub fn of_environment() -> Option<Vec<String>> {
    std::env::var("NIX_PATH").ok().map(|text| split(&text))
}

/// The local directories of a search path.
pub fn directories(entries: &[String]) -> impl Iterator<Item = PathBuf> {
    entries.iter().map(|entry| path(entry)).filter(|path| !is_remote(path)).map(PathBuf::from)
}

/// Whether a path of an entry is something to fetch.
pub fn is_remote(path: &str) -> bool {
    const SCHEMES: [&str; 7] = ["http", "https", "file", "channel", "git", "s3", "ssh"];
    path.starts_with("channel:")
        || path.starts_with("flake:")
        || path.split_once("://").is_some_and(|(scheme, _)| SCHEMES.contains(&scheme))
}

fn path(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(_, path)| path)
}

fn absolute(entry: &str) -> String {
    let (name, path) = match entry.split_once('=') {
        Some((name, path)) => (Some(name), path),
        None => (None, entry),
    };
    if is_remote(path) {
        return entry.to_owned();
    }
    let path = canonical(&crate::evaluation::here().join(path));
    let path = path.to_string_lossy();
    name.map_or_else(|| path.to_string(), |name| format!("{name}={path}"))
}

/// Without `.` and `..`, as C++ Nix has the paths of command lines.
fn canonical(path: &Path) -> PathBuf {
    let mut found = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(found.pop()),
            part => found.push(part),
        }
    }
    found
}

/// NIX_PATH is separated by colons, and URLs in it have colons.
fn split(text: &str) -> Vec<String> {
    let (mut entries, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let colon = rest.find(':').unwrap_or(rest.len());
        let start = rest[..colon].rfind('=').map_or(0, |at| at + 1);
        let end = if is_remote(&rest[start..]) {
            rest.get(colon + 1..).and_then(|after| after.find(':')).map(|at| colon + 1 + at)
        } else {
            Some(colon)
        };
        let end = end.unwrap_or(rest.len());
        if end > 0 {
            entries.push(rest[..end].to_owned());
        }
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    entries
}

/// Where channels are, as far as they are there.
pub fn defaults() -> Vec<String> {
    const CHANNELS: &str = "/nix/var/nix/profiles/per-user/root/channels";
    let home = std::env::home_dir().map(|home| home.join(".nix-defexpr/channels"));
    let home = home.map(|path| (None, path));
    let there = |path: &Path| path.exists();
    home.into_iter()
        .chain([
            (Some("nixpkgs"), Path::new(CHANNELS).join("nixpkgs")),
            (None, PathBuf::from(CHANNELS)),
        ])
        .filter(|(_, path)| there(path))
        .map(|(name, path)| match name {
            Some(name) => format!("{name}={}", path.display()),
            None => path.display().to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_no_dots() {
        let here = crate::evaluation::here();
        assert_eq!(absolute("src=."), format!("src={}", here.display()));
        assert_eq!(absolute("/a/./b/../c"), "/a/c");
        assert_eq!(absolute("x=/.."), "x=/");
        assert_eq!(absolute("x=https://a.example/./b"), "x=https://a.example/./b");
    }

    #[test]
    fn colons_of_urls_do_not_separate() {
        assert_eq!(
            split("a=/x:/y:n=https://e.org/x.tar.gz:z=channel:unstable:f=flake:nixpkgs:/q"),
            [
                "a=/x",
                "/y",
                "n=https://e.org/x.tar.gz",
                "z=channel:unstable",
                "f=flake:nixpkgs",
                "/q"
            ]
        );
        assert_eq!(split("::/a:"), ["/a"]);
        assert!(split("").is_empty());
    }
}
