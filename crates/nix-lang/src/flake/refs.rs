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
            let (Some(owner), Some(repo)) = (parts.next(), parts.next()) else {
                return Err(format!(
                    "'{text}' is not a valid {kind} reference: owner/repo is missing"
                ));
            };
            let mut found = attrs([("type", kind), ("owner", owner), ("repo", repo)]);
            if let Some(rest) = parts.next() {
                let name = if is_revision(rest) { "rev" } else { "ref" };
                found.insert(name.to_owned(), rest.to_owned());
            }
            found
        }
        Some(("path", path)) => attrs([("type", "path"), ("path", path)]),
        Some(("flake", name)) => indirect(name),
        Some((scheme, _)) if scheme.starts_with("git+") => {
            attrs([("type", "git"), ("url", base.trim_start_matches("git+"))])
        }
        Some((scheme, _)) if scheme.starts_with("tarball+") => {
            attrs([("type", "tarball"), ("url", base.trim_start_matches("tarball+"))])
        }
        Some((scheme, _)) if scheme.starts_with("file+") => {
            attrs([("type", "file"), ("url", base.trim_start_matches("file+"))])
        }
        Some(("http" | "https" | "file", _)) => {
            let archive = [".zip", ".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst"];
            let kind =
                if archive.iter().any(|end| base.ends_with(end)) { "tarball" } else { "file" };
            attrs([("type", kind), ("url", base)])
        }
        Some((scheme, _)) => return Err(format!("the scheme '{scheme}' of '{text}' is not known")),
        None if base.starts_with(['/', '.']) => attrs([("type", "path"), ("path", base)]),
        None => indirect(base),
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        found.insert(name.to_owned(), value.to_owned());
    }
    Ok(found)
}

fn indirect(text: &str) -> RefAttrs {
    let mut parts = text.splitn(3, '/');
    let mut found = attrs([("type", "indirect"), ("id", parts.next().unwrap_or_default())]);
    for part in parts {
        let name = if is_revision(part) { "rev" } else { "ref" };
        found.insert(name.to_owned(), part.to_owned());
    }
    found
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
}
