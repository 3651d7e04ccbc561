//! Flake references: text and attributes.

use std::collections::BTreeMap;

/// The attributes of a reference: `type` and what belongs to it.
pub(crate) type RefAttrs = BTreeMap<String, String>;

fn attrs<const N: usize>(entries: [(&str, &str); N]) -> RefAttrs {
    entries.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn is_revision(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What a branch or tag can be called.
fn is_ref(text: &str) -> bool {
    let first = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'@';
    text.as_bytes().first().is_some_and(first)
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_./@+-".contains(&byte))
}

/// What an input can be called in a registry.
fn is_id(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// `rev` or `ref`, whichever `text` is.
fn version(text: &str) -> Result<(String, String), String> {
    match text {
        _ if is_revision(text) => Ok(("rev".to_owned(), text.to_owned())),
        _ if is_ref(text) => Ok(("ref".to_owned(), text.to_owned())),
        _ => Err(format!("'{text}' is no commit, branch or tag")),
    }
}

/// The URL behind `tarball+` or `file+`.
fn download(base: &str, kind: &str) -> Result<RefAttrs, String> {
    let url = &base[kind.len() + 1..];
    match url.split_once(':') {
        Some(("http" | "https" | "file", _)) => Ok(attrs([("type", kind), ("url", url)])),
        _ => Err(format!("'{url}' is not a URL of http, https or file")),
    }
}

/// The attributes that a reference such as `github:owner/repo/branch?dir=x` stands for.
pub(crate) fn parse(text: &str) -> Result<RefAttrs, String> {
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    if !fragment.is_empty() {
        return Err(format!("unexpected fragment '{fragment}' in the flake reference"));
    }
    let (base, query) = text.split_once('?').unwrap_or((text, ""));
    let mut found = match base.split_once(':') {
        Some((kind @ ("github" | "gitlab" | "sourcehut"), rest)) => {
            let mut parts = rest.splitn(3, '/');
            let mut part = || parts.next().filter(|part| !part.is_empty());
            let (Some(owner), Some(repo)) = (part(), part()) else {
                return Err(format!(
                    "'{text}' is not a valid {kind} reference: owner/repo is missing"
                ));
            };
            let mut found = attrs([("type", kind), ("owner", owner), ("repo", repo)]);
            if let Some(rest) = parts.next() {
                found.extend([version(rest)?]);
            }
            found
        }
        Some(("path", path)) => attrs([("type", "path"), ("path", path)]),
        Some(("flake", name)) => indirect(name)?,
        Some((scheme, _)) if scheme.starts_with("git+") => {
            attrs([("type", "git"), ("url", base.trim_start_matches("git+"))])
        }
        Some((scheme, _)) if scheme.starts_with("tarball+") => download(base, "tarball")?,
        Some((scheme, _)) if scheme.starts_with("file+") => download(base, "file")?,
        Some(("http" | "https" | "file", _)) => {
            let archive = [".zip", ".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst"];
            let kind =
                if archive.iter().any(|end| base.ends_with(end)) { "tarball" } else { "file" };
            attrs([("type", kind), ("url", base)])
        }
        Some((scheme, _)) => return Err(format!("the scheme '{scheme}' of '{text}' is not known")),
        None if base.starts_with(['/', '.']) => attrs([("type", "path"), ("path", base)]),
        None => indirect(base)?,
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // Above all not `type`: what is fetched is not for the end of the text to change.
        if found.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(format!("the reference '{text}' says its '{name}' twice"));
        }
    }
    let kind = found.get("type").map(String::as_str).unwrap_or_default();
    let forge = matches!(kind, "github" | "gitlab" | "sourcehut");
    if forge || kind == "indirect" {
        let (branch, commit) = (found.get("ref"), found.get("rev"));
        if let Some(other) = branch.filter(|name| !is_ref(name)) {
            return Err(format!("'{other}' is no branch or tag"));
        }
        if let Some(other) = commit.filter(|hash| !is_revision(hash)) {
            return Err(format!("'{other}' is no commit"));
        }
        if forge && branch.is_some() && commit.is_some() {
            return Err(format!("the reference '{text}' has both a commit and a branch or tag"));
        }
    }
    Ok(found)
}

/// `id`, `id/ref`, `id/rev` or `id/ref/rev`.
fn indirect(text: &str) -> Result<RefAttrs, String> {
    let mut parts = text.splitn(3, '/');
    let id = parts.next().filter(|id| is_id(id));
    let id = id.ok_or_else(|| format!("'{text}' is not a flake reference"))?;
    let mut found = attrs([("type", "indirect"), ("id", id)]);
    if let Some(part) = parts.next() {
        found.extend([version(part)?]);
    }
    if let Some(part) = parts.next() {
        if found.contains_key("rev") || !is_revision(part) {
            return Err(format!("'{part}' is no commit"));
        }
        found.insert("rev".to_owned(), part.to_owned());
    }
    Ok(found)
}

/// The text of a reference.
pub(crate) fn render(found: &RefAttrs) -> String {
    let get = |name: &str| found.get(name).map(String::as_str).unwrap_or_default();
    let kind = get("type");
    let (mut text, used): (String, &[&str]) = match kind {
        "github" | "gitlab" | "sourcehut" => {
            let mut text = format!("{kind}:{}/{}", get("owner"), get("repo"));
            for name in ["ref", "rev"] {
                if !get(name).is_empty() {
                    text.push_str(&format!("/{}", get(name)));
                }
            }
            (text, &["owner", "repo", "ref", "rev"])
        }
        "path" => (format!("path:{}", get("path")), &["path"]),
        "git" => (format!("git+{}", get("url")), &["url"]),
        "indirect" => {
            let mut text = format!("flake:{}", get("id"));
            for name in ["ref", "rev"] {
                if !get(name).is_empty() {
                    text.push_str(&format!("/{}", get(name)));
                }
            }
            (text, &["id", "ref", "rev"])
        }
        _ => (get("url").to_owned(), &["url"]),
    };
    let rest: Vec<String> = found
        .iter()
        .filter(|(name, _)| *name != "type" && !used.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if !rest.is_empty() {
        text.push('?');
        text.push_str(&rest.join("&"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_there_and_back() {
        for text in [
            "github:NixOS/nixpkgs/nixos-25.11",
            "github:NixOS/nixpkgs?dir=lib",
            "path:../..",
            "git+https://example.org/x.git?ref=main",
            "flake:nixpkgs",
            "https://example.org/x.tar.gz",
        ] {
            assert_eq!(parse(text).map(|found| render(&found)).as_deref(), Ok(text));
        }
        assert_eq!(parse("nixpkgs").map(|found| render(&found)).as_deref(), Ok("flake:nixpkgs"));
        assert_eq!(parse("../x").map(|found| render(&found)).as_deref(), Ok("path:../x"));
    }

    #[test]
    fn what_nix_refuses_is_not_read_as_something_else() {
        for text in [
            "",
            "flake:",
            "a b",
            "x/..\u{1}/..",
            "x/branch/other",
            "x/a?ref=b",
            "github:a/",
            "github:/b",
            "github:a/b/c d",
            "github:a/b?owner=c",
            "github:a/b?ref==",
            "github:a/b?rev=main",
            "github:a/b/main?rev=0123456789012345678901234567890123456789",
            "github:a/b?type=path&path=/etc",
            "path:a?dir=b&dir=c",
            "tarball+nothing:x",
            "file+tarball+https://example.org/x",
        ] {
            assert!(parse(text).is_err(), "{text}: {:?}", parse(text));
        }
    }
}
