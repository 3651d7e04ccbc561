//! The kinds of inputs: their URLs and the attributes they take.

use super::attrs::{Attr, Attrs, to_json};
use super::git_url::fix_git_url;
use super::input::{Input, RefError, sha1};
use super::names::{is_id, is_legal_ref, is_revision};
use crate::url::{Url, split_scheme};

/// What ends the name of an archive.
const ARCHIVES: [&str; 7] = [".zip", ".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst"];

/// The attributes of a type, beside `type`; nothing for a type that is not known.
fn allowed(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "path" => &["path", "rev", "revCount", "lastModified", "narHash"],
        "git" => &[
            "url",
            "ref",
            "rev",
            "shallow",
            "submodules",
            "lfs",
            "exportIgnore",
            "lastModified",
            "revCount",
            "narHash",
            "allRefs",
            "name",
            "dirtyRev",
            "dirtyShortRev",
            "verifyCommit",
            "keytype",
            "publicKey",
            "publicKeys",
        ],
        "hg" => &["url", "ref", "rev", "revCount", "narHash", "name"],
        "indirect" => &["id", "ref", "rev", "narHash"],
        "github" | "gitlab" | "sourcehut" => {
            &["owner", "repo", "ref", "rev", "narHash", "lastModified", "host", "treeHash"]
        }
        "tarball" | "file" => {
            &["url", "narHash", "name", "unpack", "rev", "revCount", "lastModified"]
        }
        _ => return None,
    })
}

fn set(attrs: &mut Attrs, name: &str, value: impl Into<Attr>) {
    attrs.insert(name.to_owned(), value.into());
}

/// The attributes that a URL says.
pub(super) fn from_url(url: &Url, tree: bool) -> Result<Attrs, RefError> {
    let (application, transport) = split_scheme(&url.scheme);
    let download = matches!(transport, "http" | "https" | "file");
    let archive =
        url.path.last().is_some_and(|name| ARCHIVES.iter().any(|end| name.ends_with(end)));
    match (application, url.scheme.as_str()) {
        (_, "git") | (Some("git"), _) => git(url),
        (Some("hg"), _) => mercurial(url),
        (_, kind @ ("github" | "gitlab" | "sourcehut")) => forge(kind, url),
        (_, "flake") => indirect(url),
        (_, "path") => path(url),
        (Some("file"), _) if download => Ok(file(url, "file")),
        (Some("tarball"), _) if download => Ok(file(url, "tarball")),
        (None, _) if download => Ok(file(url, if tree || archive { "tarball" } else { "file" })),
        (Some("file"), _) if transport == "git" => Err(RefError::Wrong(format!(
            "input '{url}' is unsupported; did you mean 'git+file' instead of 'file+git'?"
        ))),
        _ => Err(RefError::Wrong(format!("input '{url}' is unsupported"))),
    }
}

fn git(url: &Url) -> Result<Attrs, RefError> {
    let mut attrs = Attrs::new();
    let mut rest = Url { query: Default::default(), ..url.clone() };
    for (name, value) in &url.query {
        match name.as_str() {
            "rev" | "ref" | "keytype" | "publicKey" | "publicKeys" => {
                set(&mut attrs, name, value.as_str());
            }
            "shallow" | "submodules" | "lfs" | "exportIgnore" | "allRefs" | "verifyCommit" => {
                set(&mut attrs, name, Attr::Bool(value == "1"));
            }
            _ => {
                rest.query.insert(name.clone(), value.clone());
            }
        }
    }
    set(&mut attrs, "type", "git");
    set(&mut attrs, "url", rest.to_string());
    check(attrs)
}

fn mercurial(url: &Url) -> Result<Attrs, RefError> {
    let mut attrs = Attrs::new();
    let mut rest = Url { query: Default::default(), ..url.clone() };
    rest.scheme = split_scheme(&url.scheme).1.to_owned();
    for (name, value) in &url.query {
        if matches!(name.as_str(), "rev" | "ref") {
            set(&mut attrs, name, value.as_str());
        } else {
            rest.query.insert(name.clone(), value.clone());
        }
    }
    set(&mut attrs, "type", "hg");
    set(&mut attrs, "url", rest.to_string());
    check(attrs)
}

fn forge(kind: &str, url: &Url) -> Result<Attrs, RefError> {
    let parts: Vec<&str> = url.segments().collect();
    let mut attrs = Attrs::new();
    match parts.as_slice() {
        [_, _] => {}
        [_, _, version] if is_revision(version) => set(&mut attrs, "rev", *version),
        [_, _, rest @ ..] => set(&mut attrs, "ref", rest.join("/")),
        _ => return Err(RefError::Url(format!("URL '{url}' is invalid"))),
    }
    for (name, value) in &url.query {
        match name.as_str() {
            "rev" if attrs.contains_key("rev") => {
                return Err(RefError::Url(format!("URL '{url}' contains multiple commit hashes")));
            }
            "ref" if attrs.contains_key("ref") => {
                let message = format!("URL '{url}' contains multiple branch/tag names");
                return Err(RefError::Url(message));
            }
            "rev" | "ref" | "host" | "narHash" => set(&mut attrs, name, value.as_str()),
            _ => {}
        }
    }
    set(&mut attrs, "type", kind);
    set(&mut attrs, "owner", parts[0]);
    set(&mut attrs, "repo", parts[1]);
    check(attrs)
}

fn indirect(url: &Url) -> Result<Attrs, RefError> {
    let parts: Vec<&str> = url.segments().collect();
    let mut attrs = Attrs::new();
    let bad = |part: &str, what: &str| {
        Err(RefError::Url(format!("in flake URL '{url}', '{part}' is not a {what}")))
    };
    match parts.as_slice() {
        [_] => {}
        [_, version] if is_revision(version) => {
            set(&mut attrs, "rev", version.to_ascii_lowercase());
        }
        [_, version] if is_legal_ref(version) => set(&mut attrs, "ref", *version),
        [_, version] => return bad(version, "commit hash or branch/tag name"),
        [_, branch, _] if !is_legal_ref(branch) => return bad(branch, "branch/tag name"),
        [_, _, commit] if !is_revision(commit) => return bad(commit, "commit hash"),
        [_, branch, commit] => {
            set(&mut attrs, "ref", *branch);
            set(&mut attrs, "rev", commit.to_ascii_lowercase());
        }
        _ => return Err(RefError::Url(format!("GitHub URL '{url}' is invalid"))),
    }
    if !is_id(parts[0]) {
        return Err(RefError::Url(format!("'{}' is not a valid flake ID", parts[0])));
    }
    set(&mut attrs, "type", "indirect");
    set(&mut attrs, "id", parts[0]);
    Ok(attrs)
}

fn path(url: &Url) -> Result<Attrs, RefError> {
    if let Some(authority) = url.authority.as_ref().filter(|it| !it.host.is_empty()) {
        return Err(RefError::Wrong(format!(
            "path URL '{url}' should not have an authority ('{authority}')"
        )));
    }
    let mut attrs = Attrs::new();
    for (name, value) in &url.query {
        match name.as_str() {
            "rev" | "narHash" => set(&mut attrs, name, value.as_str()),
            "revCount" | "lastModified" => {
                let number = value.parse().map_err(|_| {
                    RefError::Wrong(format!("path URL '{url}' has invalid parameter '{name}'"))
                })?;
                set(&mut attrs, name, Attr::Int(number));
            }
            _ => {
                return Err(RefError::Wrong(format!(
                    "path URL '{url}' has unsupported parameter '{name}'"
                )));
            }
        }
    }
    let path = url.to_path()?;
    set(&mut attrs, "type", "path");
    set(&mut attrs, "path", if path.is_empty() { "/".to_owned() } else { path });
    Ok(attrs)
}

fn file(url: &Url, kind: &str) -> Attrs {
    let mut attrs = Attrs::new();
    let mut rest = url.clone();
    rest.scheme = split_scheme(&url.scheme).1.to_owned();
    for name in ["narHash", "rev"] {
        if let Some(value) = url.query.get(name) {
            set(&mut attrs, name, value.as_str());
        }
    }
    for name in ["revCount", "lastModified"] {
        if let Some(number) = url.query.get(name).and_then(|value| value.parse().ok()) {
            set(&mut attrs, name, Attr::Int(number));
        }
    }
    // What is meant for whoever fetches is not for the server.
    for name in allowed(kind).unwrap_or_default() {
        rest.query.remove(*name);
    }
    set(&mut attrs, "type", kind);
    set(&mut attrs, "url", rest.to_string());
    attrs
}

/// The attributes, if they are right for their type; those of a type not known are let be.
pub(super) fn from_attrs(attrs: Attrs) -> Result<Attrs, RefError> {
    let wrong = |message: String| RefError::Wrong(message);
    let kind = match attrs.get("type") {
        Some(Attr::Text(kind)) => kind.clone(),
        Some(_) => {
            let json = to_json(&attrs);
            return Err(wrong(format!("input attribute 'type' is not a string {json}")));
        }
        None => {
            return Err(wrong(
                "'type' attribute to specify input scheme is required but not provided".into(),
            ));
        }
    };
    if let Some(allowed) = allowed(&kind) {
        for name in attrs.keys() {
            if name != "type" && !allowed.contains(&name.as_str()) {
                return Err(wrong(format!(
                    "input attribute '{name}' not supported by scheme '{kind}'"
                )));
            }
        }
    }
    check(attrs)
}

fn text<'a>(attrs: &'a Attrs, name: &str) -> Result<Option<&'a str>, RefError> {
    match attrs.get(name) {
        None => Ok(None),
        Some(Attr::Text(text)) => Ok(Some(text)),
        Some(_) => Err(RefError::Wrong(format!(
            "input attribute '{name}' is not a string {}",
            to_json(attrs)
        ))),
    }
}

fn need<'a>(attrs: &'a Attrs, name: &str) -> Result<&'a str, RefError> {
    text(attrs, name)?
        .ok_or_else(|| RefError::Wrong(format!("input attribute '{name}' is missing")))
}

fn check(mut attrs: Attrs) -> Result<Attrs, RefError> {
    let kind = text(&attrs, "type")?.unwrap_or_default().to_owned();
    match kind.as_str() {
        "path" => {
            need(&attrs, "path")?;
        }
        "git" => check_git(&mut attrs)?,
        "hg" => {
            let url = need(&attrs, "url")?;
            Url::parse(url, false)?;
            check_ref(&attrs, |_, name| format!("invalid Mercurial branch/tag name '{name}'"))?;
        }
        "indirect" => {
            let id = need(&attrs, "id")?;
            if !is_id(id) {
                return Err(RefError::Url(format!("'{id}' is not a valid flake ID")));
            }
        }
        "github" | "gitlab" | "sourcehut" => check_forge(&attrs)?,
        _ => {}
    }
    text(&attrs, "ref")?;
    for name in ["revCount", "lastModified"] {
        if !matches!(attrs.get(name), None | Some(Attr::Int(_))) {
            return Err(RefError::Wrong(format!("input attribute '{name}' is not an integer")));
        }
    }
    Ok(attrs)
}

fn check_ref(attrs: &Attrs, message: impl Fn(&Attrs, &str) -> String) -> Result<(), RefError> {
    match text(attrs, "ref")? {
        Some(name) if !is_legal_ref(name) => Err(RefError::Url(message(attrs, name))),
        _ => Ok(()),
    }
}

fn check_git(attrs: &mut Attrs) -> Result<(), RefError> {
    for name in ["verifyCommit", "keytype", "publicKey", "publicKeys"] {
        if attrs.contains_key(name) {
            return Err(RefError::Wrong(
                "experimental Nix feature 'verified-fetches' is disabled; add \
                 '--extra-experimental-features verified-fetches' to enable it"
                    .into(),
            ));
        }
    }
    check_ref(attrs, |_, name| format!("invalid Git branch/tag name '{name}'"))?;
    let url = fix_git_url(need(attrs, "url")?)?;
    set(attrs, "url", url.to_string());
    for name in ["shallow", "submodules", "allRefs"] {
        if !matches!(attrs.get(name), None | Some(Attr::Bool(_))) {
            return Err(RefError::Wrong(format!("input attribute '{name}' is not a Boolean")));
        }
    }
    Ok(())
}

fn check_forge(attrs: &Attrs) -> Result<(), RefError> {
    need(attrs, "owner")?;
    need(attrs, "repo")?;
    let (branch, commit) = (text(attrs, "ref")?, text(attrs, "rev")?);
    if let (Some(branch), Some(commit)) = (branch, commit) {
        return Err(RefError::Url(format!(
            "input {} contains both a commit hash ('{commit}') and a branch/tag name ('{branch}')",
            to_json(attrs)
        )));
    }
    if let Some(commit) = commit {
        sha1(commit)?;
    }
    check_ref(attrs, |attrs, _| {
        format!("input {} contains an invalid branch/tag name", to_json(attrs))
    })?;
    let proper =
        |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    match text(attrs, "host")? {
        Some(host) if !proper(host) => Err(RefError::Url(format!(
            "input {} contains an invalid instance host",
            to_json(attrs)
        ))),
        _ => Ok(()),
    }
}

/// The URL of an input.
pub(super) fn to_url(input: &Input) -> Result<Url, RefError> {
    let attrs = input.attrs();
    match input.kind() {
        "path" => {
            let mut url = Url::of_path("path", need(attrs, "path")?);
            url.authority = None;
            url.query = attrs
                .iter()
                .filter(|(name, _)| !matches!(name.as_str(), "path" | "type"))
                .map(|(name, attr)| (name.clone(), attr.in_query()))
                .collect();
            Ok(url)
        }
        "git" => git_to_url(input),
        "hg" => {
            let mut url = Url::parse(need(attrs, "url")?, false)?;
            url.scheme = format!("hg+{}", url.scheme);
            for name in ["rev", "ref"] {
                if let Some(value) = text(attrs, name)? {
                    url.query.insert(name.into(), value.into());
                }
            }
            Ok(url)
        }
        "indirect" => {
            let mut url = Url { scheme: "flake".into(), ..Url::default() };
            url.path.push(need(attrs, "id")?.to_owned());
            url.path.extend(text(attrs, "ref")?.map(str::to_owned));
            url.path.extend(input.rev()?);
            Ok(url)
        }
        kind @ ("github" | "gitlab" | "sourcehut") => {
            let mut url = Url { scheme: kind.into(), ..Url::default() };
            url.path.push(need(attrs, "owner")?.to_owned());
            url.path.push(need(attrs, "repo")?.to_owned());
            url.path.extend(text(attrs, "ref")?.map(str::to_owned));
            url.path.extend(input.rev()?);
            if let Some(hash) = input.nar_hash()? {
                url.query.insert("narHash".into(), hash.to_sri_string());
            }
            if let Some(host) = text(attrs, "host")? {
                url.query.insert("host".into(), host.into());
            }
            Ok(url)
        }
        "tarball" | "file" => {
            let mut url = Url::parse(need(attrs, "url")?, false)?;
            if let Some(hash) = input.nar_hash()? {
                url.query.insert("narHash".into(), hash.to_sri_string());
            }
            Ok(url)
        }
        _ => Err(RefError::Wrong(format!("cannot show unsupported input '{}'", to_json(attrs)))),
    }
}

fn git_to_url(input: &Input) -> Result<Url, RefError> {
    let attrs = input.attrs();
    let mut url = Url::parse(need(attrs, "url")?, false)?;
    if url.scheme != "git" {
        url.scheme = format!("git+{}", url.scheme);
    }
    if let Some(rev) = input.rev()? {
        url.query.insert("rev".into(), rev);
    }
    if let Some(name) = text(attrs, "ref")? {
        url.query.insert("ref".into(), name.into());
    }
    for name in ["shallow", "lfs", "submodules", "exportIgnore"] {
        if input.flag(name) {
            url.query.insert(name.into(), "1".into());
        }
    }
    Ok(url)
}
