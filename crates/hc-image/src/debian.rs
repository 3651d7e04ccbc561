//! The lock file of a Debian image, and the resolver that writes it.

mod release;
mod resolve;

pub use release::{Release, Signature};

use crate::deb::control::paragraphs;
use crate::deb::relation::is_package_name;
use crate::error::{Error, Result};
use release::{check_sha256, hex};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;

/// The version of the lock file's form.
pub const SCHEMA: u32 = 1;

/// Where packages are taken from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// The archive, such as `http://deb.debian.org/debian`.
    pub mirror: String,
    /// The same archive as it was, such as `http://snapshot.debian.org/archive/debian`; a package
    /// that the mirror has dropped is found there.
    pub snapshot: Option<String>,
    /// The suite, such as `trixie`.
    pub suite: String,
    /// The components, such as `main`.
    pub components: Vec<String>,
}

impl Source {
    /// Debian's own archive, component `main`.
    #[must_use]
    pub fn debian(suite: &str) -> Self {
        Self {
            mirror: "http://deb.debian.org/debian".into(),
            snapshot: Some("http://snapshot.debian.org/archive/debian".into()),
            suite: suite.into(),
            components: vec!["main".into()],
        }
    }
}

/// What a lock is asked for.
#[derive(Clone, Debug)]
pub struct LockRequest {
    /// Where packages are taken from; of several versions the highest is.
    pub sources: Vec<Source>,
    /// Debian's name of the architecture, such as `amd64`.
    pub arch: String,
    /// The packages wanted beside those that are essential.
    pub packages: Vec<String>,
    /// Whether packages of priority `required` come too, as in the smallest official images.
    pub required: bool,
    /// How the archive's signature is checked.
    pub signature: Signature,
}

/// One package of a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// A name for its file in the store: the file's, without what a store name cannot hold.
    pub file: String,
    /// Where it can be fetched; the second address stays when the archive moves on.
    pub urls: Vec<String>,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// The file's size.
    pub size: u64,
}

/// Every package of an image, pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lock {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The architecture.
    pub arch: String,
    /// The date of the newest release the packages are from, in seconds since 1970: no file of
    /// the image is younger.
    pub epoch: i64,
    /// What was asked for, so that `hc image lock` can ask again.
    pub request: Vec<String>,
    /// Whether packages of priority `required` were asked for too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// Where they are from.
    pub sources: Vec<Source>,
    /// The packages, by name.
    pub packages: Vec<LockedPackage>,
}

impl Lock {
    /// As it is written: one line a package would hide changes, so one line a field.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// What was asked for, to ask again for what is newest now.
    #[must_use]
    pub fn request(&self, signature: Signature) -> LockRequest {
        LockRequest {
            sources: self.sources.clone(),
            arch: self.arch.clone(),
            packages: self.request.clone(),
            required: self.required,
            signature,
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is no lock file of this schema.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let lock: Self = serde_json::from_str(text).map_err(|e| format!("not a lock file: {e}"))?;
        if lock.schema == SCHEMA {
            Ok(lock)
        } else {
            Err(format!("the lock file has schema {}; this hc reads {SCHEMA}", lock.schema))
        }
    }
}

/// A package as the archive's list has it.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub info: crate::deb::Info,
    /// 0 is `required`; the higher, the less of a system's base.
    pub priority: usize,
    pub breaks: Vec<crate::deb::relation::Relation>,
    pub path: String,
    pub sha256: String,
    pub size: u64,
    pub source: usize,
}

/// Resolves what is asked for against the archive, fetching its lists with `fetch`.
///
/// # Errors
/// When a list cannot be fetched, is not signed or not what the signed release says, or the
/// packages do not fit together.
pub fn lock(
    request: &LockRequest,
    fetch: &dyn Fn(&str) -> std::io::Result<Vec<u8>>,
) -> Result<Lock> {
    if let Some(bad) = request.packages.iter().find(|name| !is_package_name(name)) {
        return Err(Error::Resolve(vec![format!("  `{bad}` is not a package name")]));
    }
    let get = |url: &str| {
        fetch(url).map_err(|e| Error::Archive { url: url.into(), why: format!("not fetched: {e}") })
    };
    let mut pool = BTreeMap::new();
    let mut releases = Vec::new();
    for (at, source) in request.sources.iter().enumerate() {
        let base = format!("{}/dists/{}", source.mirror.trim_end_matches('/'), source.suite);
        let url = format!("{base}/InRelease");
        let text = request.signature.verify(&get(&url)?, &url)?;
        let release = Release::parse(&text, &url)?;
        for component in &source.components {
            let name = format!("{component}/binary-{}/Packages.xz", request.arch);
            let url = format!("{base}/{name}");
            let (sha256, size) = release.file(&name).ok_or_else(|| Error::Archive {
                url: url.clone(),
                why: "the release has no such list: check the component and the architecture"
                    .into(),
            })?;
            let list = get(&url)?;
            check_sha256(&list, sha256, size, &url)?;
            read_list(&unpack(&list, &url)?, at, request, &url, &mut pool)?;
        }
        releases.push(release);
    }
    let chosen = resolve::resolve(&pool, &request.packages, request.required)?;
    let packages = chosen.iter().map(|c| locked(c, request, &releases)).collect();
    Ok(Lock {
        schema: SCHEMA,
        arch: request.arch.clone(),
        epoch: releases.iter().map(|r| r.date).max().unwrap_or(0),
        request: request.packages.clone(),
        required: request.required,
        sources: request.sources.clone(),
        packages,
    })
}

fn unpack(list: &[u8], url: &str) -> Result<String> {
    /// Ten times the largest there is.
    const LIST_MAX: u64 = 1 << 30;
    let wrong = |why: String| Error::Archive { url: url.into(), why };
    let reader =
        crate::deb::decompress(".xz", std::io::Cursor::new(list.to_vec())).map_err(wrong)?;
    let mut text = String::new();
    reader.take(LIST_MAX).read_to_string(&mut text).map_err(|e| wrong(format!("damaged: {e}")))?;
    Ok(text)
}

/// The newest version of every package, by name.
type Pool = BTreeMap<String, Candidate>;

fn read_list(
    text: &str,
    source: usize,
    request: &LockRequest,
    url: &str,
    pool: &mut Pool,
) -> Result<()> {
    for paragraph in paragraphs(text) {
        let found = candidate(&paragraph, source).map_err(|why| Error::Archive {
            url: url.into(),
            why: format!("package `{}`: {why}", paragraph.get("Package").unwrap_or("?")),
        })?;
        if found.info.arch != request.arch && found.info.arch != "all" {
            continue;
        }
        let newer = pool.get(&found.info.name).is_none_or(|known| {
            crate::deb::version::compare(&found.info.version, &known.info.version).is_gt()
        });
        if newer {
            pool.insert(found.info.name.clone(), found);
        }
    }
    Ok(())
}

const PRIORITIES: [&str; 4] = ["required", "important", "standard", "optional"];

fn candidate(
    paragraph: &crate::deb::control::Paragraph<'_>,
    source: usize,
) -> Result<Candidate, String> {
    let field = |name: &str| paragraph.get(name).ok_or_else(|| format!("it has no `{name}`"));
    let path = field("Filename")?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"+-._~%/:".contains(&b);
    if path.starts_with('/') || path.split('/').any(|p| p == "..") || !path.bytes().all(plain) {
        return Err(format!("its file name `{path}` is not a path in the archive"));
    }
    let sha256 = field("SHA256")?;
    if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("its SHA256 is not one".into());
    }
    let mut breaks = Vec::new();
    for name in ["Breaks", "Conflicts"] {
        breaks.extend(crate::deb::relation::parse(paragraph.get(name).unwrap_or(""))?);
    }
    Ok(Candidate {
        info: crate::deb::Info::parse(paragraph)?,
        priority: PRIORITIES
            .iter()
            .position(|known| paragraph.get("Priority") == Some(known))
            .unwrap_or(PRIORITIES.len()),
        breaks: breaks.into_iter().flatten().collect(),
        path: path.into(),
        sha256: sha256.to_ascii_lowercase(),
        size: field("Size")?.parse().map_err(|_| "its Size is not a number".to_owned())?,
        source,
    })
}

fn locked(found: &Candidate, request: &LockRequest, releases: &[Release]) -> LockedPackage {
    let source = &request.sources[found.source];
    let mut urls = vec![format!("{}/{}", source.mirror.trim_end_matches('/'), found.path)];
    if let Some(snapshot) = &source.snapshot {
        let stamp = releases[found.source].snapshot_stamp();
        urls.push(format!("{}/{stamp}/{}", snapshot.trim_end_matches('/'), found.path));
    }
    LockedPackage {
        name: found.info.name.clone(),
        version: found.info.version.clone(),
        file: store_name(&found.path),
        urls,
        sha256: found.sha256.clone(),
        size: found.size,
    }
}

/// A name the store takes, from a path in the pool.
fn store_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path).replace("%3a", "-").replace("%3A", "-");
    let legal = |c: char| if c.is_ascii_alphanumeric() || "+-._?=".contains(c) { c } else { '-' };
    file.trim_start_matches('.').chars().map(legal).collect()
}

/// The SHA-256 of some bytes, in hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex(&sha2::Sha256::digest(bytes))
}

#[cfg(test)]
mod tests;
