//! Indexes, manifests and configurations (image-spec, image-index.md, manifest.md and config.md).

use super::place::Place;
use crate::archive::{Slice, refuse, refuse_entry};
use crate::config::Config;
use crate::error::Result;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::collections::BTreeMap;
use std::fmt;

/// An index may name indexes, though hardly this deep.
const DEPTH_MAX: usize = 4;
/// Container runtimes take no more layers than overlayfs does.
const LAYERS_MAX: usize = 500;

/// Which of several images is wanted.
pub(super) struct Choice<'a> {
    pub platform: &'a str,
    pub tag: Option<&'a str>,
}

/// The image that was chosen.
pub(super) struct Chosen {
    pub layers: Vec<LayerFile>,
    pub diff_ids: Vec<Digest>,
    pub config: Config,
    pub manifest: Option<String>,
    pub platform: String,
}

/// A layer where it lies.
pub(super) struct LayerFile {
    pub data: Slice,
    /// The digest of these bytes, where a manifest tells it.
    pub digest: Option<Digest>,
    path: String,
}

impl LayerFile {
    pub fn shown(&self) -> String {
        self.digest.as_ref().map_or_else(|| self.path.clone(), Digest::to_string)
    }
}

/// `sha256:…` or `sha512:…`, checked for its form: it becomes part of a path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Digest {
    long: bool,
    hex: String,
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (long, hex) = match text.split_once(':') {
            Some(("sha256", hex)) => (false, hex),
            Some(("sha512", hex)) => (true, hex),
            _ => return Err(format!("`{text}` is no digest of SHA-256 or SHA-512")),
        };
        let digits = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !digits || hex.len() != if long { 128 } else { 64 } {
            return Err(format!("`{text}` is no digest of SHA-256 or SHA-512"));
        }
        Ok(Self { long, hex: hex.to_owned() })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", if self.long { "sha512" } else { "sha256" }, self.hex)
    }
}

/// A hash that is being made.
pub(super) enum Hasher {
    Short(sha2::Sha256),
    Long(sha2::Sha512),
}

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        use sha2::Digest as _;
        match self {
            Self::Short(hash) => hash.update(bytes),
            Self::Long(hash) => hash.update(bytes),
        }
    }
}

impl Digest {
    pub fn sha256(hash: &[u8]) -> Self {
        Self { long: false, hex: hash.iter().map(|b| format!("{b:02x}")).collect() }
    }

    pub fn hasher(&self) -> Hasher {
        use sha2::Digest as _;
        match self.long {
            false => Hasher::Short(sha2::Sha256::new()),
            true => Hasher::Long(sha2::Sha512::new()),
        }
    }

    pub fn check(&self, hasher: Hasher) -> Result<(), String> {
        use sha2::Digest as _;
        let hash = match hasher {
            Hasher::Short(hash) => hash.finalize().to_vec(),
            Hasher::Long(hash) => hash.finalize().to_vec(),
        };
        let got: String = hash.iter().map(|b| format!("{b:02x}")).collect();
        if got == self.hex {
            return Ok(());
        }
        Err(format!("its digest is {got}, and {self} is expected: it is damaged"))
    }

    fn path(&self) -> String {
        format!("blobs/{}/{}", if self.long { "sha512" } else { "sha256" }, self.hex)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
}

impl Platform {
    fn is(&self, wanted: &str) -> bool {
        let mut parts = wanted.split('/');
        let mut next = || parts.next();
        next() == Some(&self.os)
            && next() == Some(&self.architecture)
            && next().is_none_or(|variant| self.variant.as_deref() == Some(variant))
    }

    fn shown(&self) -> String {
        let variant = self.variant.as_ref().map(|v| format!("/{v}")).unwrap_or_default();
        format!("{}/{}{variant}", self.os, self.architecture)
    }
}

#[derive(Deserialize)]
struct Layout {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct ManifestDocument {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct ConfigDocument {
    architecture: String,
    os: String,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default)]
    config: Option<Run>,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<Digest>,
}

/// The execution parameters, with the names that OCI gives them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
pub(super) struct Run {
    pub user: Option<String>,
    pub exposed_ports: Option<BTreeMap<String, IgnoredAny>>,
    pub env: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    pub cmd: Option<Vec<String>>,
    pub volumes: Option<BTreeMap<String, IgnoredAny>>,
    pub working_dir: Option<String>,
    pub labels: Option<BTreeMap<String, String>>,
    pub stop_signal: Option<String>,
}

/// An element of the `manifest.json` that `docker save` writes.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Finds the image that is wanted.
pub(super) fn choose(place: &Place, choice: &Choice<'_>) -> Result<Chosen> {
    if let Some(layout) = place.file("oci-layout")? {
        let layout: Layout = parse(place, &place.document(&layout, "oci-layout")?, "oci-layout")?;
        if !layout.version.starts_with("1.") {
            let why = format!("its layout has version {}, which is not known", layout.version);
            return Err(refuse(&place.name, why));
        }
        let text = place.document(&place.need("index.json")?, "index.json")?;
        return of_index(place, choice, &text, "index.json", 0);
    }
    match place.file("manifest.json")? {
        Some(saved) => of_saved(place, choice, &place.document(&saved, "manifest.json")?),
        None => Err(refuse(
            &place.name,
            "it has neither `oci-layout` nor `manifest.json`: no OCI image and nothing that \
             `docker save` writes; a plain root file system is for `images.tar`",
        )),
    }
}

fn of_index(
    place: &Place,
    choice: &Choice<'_>,
    text: &[u8],
    path: &str,
    depth: usize,
) -> Result<Chosen> {
    let index: Index = parse(place, text, path)?;
    let named = |found: &&Descriptor| {
        let all = found.annotations.as_ref();
        let name = all.and_then(|all| all.get("org.opencontainers.image.ref.name"));
        depth > 0
            || choice.tag.is_none_or(|tag| {
                name.is_some_and(|name| name == tag || name.ends_with(&format!(":{tag}")))
            })
    };
    let fits = |found: &&Descriptor| {
        found.platform.as_ref().is_none_or(|platform| platform.is(choice.platform))
    };
    let mut fitting = index.manifests.iter().filter(named).filter(fits).peekable();
    let shown = || {
        let all = index.manifests.iter().filter_map(|found| {
            let name = found.annotations.as_ref()?.get("org.opencontainers.image.ref.name");
            name.cloned()
        });
        let all: Vec<String> = all
            .chain(index.manifests.iter().filter_map(|m| Some(m.platform.as_ref()?.shown())))
            .collect();
        if all.is_empty() { "none with a name".to_owned() } else { all.join(", ") }
    };
    let Some(found) = fitting.next() else {
        let tag = choice.tag.map(|tag| format!(" with the tag `{tag}`")).unwrap_or_default();
        let why = format!("it has no image for {}{tag}; there are: {}", choice.platform, shown());
        return Err(refuse(&place.name, why));
    };
    if depth == 0 && fitting.peek().is_some_and(|other| other.digest != found.digest) {
        let why = format!("it has several images; say which by `tag`: {}", shown());
        return Err(refuse(&place.name, why));
    }
    let (slice, path) = blob(place, found)?;
    let text = place.document(&slice, &path)?;
    check(place, &found.digest, &text, &path)?;
    let is_index = found.media_type.ends_with("image.index.v1+json")
        || found.media_type.ends_with("manifest.list.v2+json");
    if is_index {
        if depth == DEPTH_MAX {
            return Err(refuse_entry(
                &place.name,
                path.as_bytes(),
                "indexes in indexes in indexes",
            ));
        }
        return of_index(place, choice, &text, &path, depth + 1);
    }
    of_manifest(place, choice, &text, &path, found.digest.to_string())
}

fn of_manifest(
    place: &Place,
    choice: &Choice<'_>,
    text: &[u8],
    path: &str,
    digest: String,
) -> Result<Chosen> {
    let manifest: ManifestDocument = parse(place, text, path)?;
    let (slice, config) = blob(place, &manifest.config)?;
    let text = place.document(&slice, &config)?;
    check(place, &manifest.config.digest, &text, &config)?;
    let mut layers = Vec::new();
    for layer in &manifest.layers {
        // `+encrypted` and what else may come cannot be unpacked; the rest is seen from the bytes.
        let kind = layer.media_type.split('+').next().unwrap_or("");
        let known = kind.ends_with(".tar") || kind.contains("rootfs.diff.tar");
        if !known || layer.media_type.contains("encrypted") {
            let why = format!("a layer of the kind `{}`, which is not known", layer.media_type);
            return Err(refuse_entry(&place.name, path.as_bytes(), why));
        }
        let (data, path) = blob(place, layer)?;
        layers.push(LayerFile { data, digest: Some(layer.digest.clone()), path });
    }
    with_config(place, choice, layers, &text, &config, Some(digest))
}

fn of_saved(place: &Place, choice: &Choice<'_>, text: &[u8]) -> Result<Chosen> {
    let all: Vec<Saved> = parse(place, text, "manifest.json")?;
    let has = |saved: &&Saved| {
        let mut tags = saved.repo_tags.iter().flatten();
        choice.tag.is_none_or(|tag| tags.any(|t| t == tag || t.ends_with(&format!(":{tag}"))))
    };
    let mut fitting = all.iter().filter(has);
    let (first, second) = (fitting.next(), fitting.next());
    let tags = || all.iter().filter_map(|s| s.repo_tags.clone()).flatten().collect::<Vec<_>>();
    let saved = match (first, second) {
        (Some(saved), None) => saved,
        (None, _) => {
            let why = format!("it has no such image; there are: {}", tags().join(", "));
            return Err(refuse(&place.name, why));
        }
        _ => {
            let why = format!("it has several images; say which by `tag`: {}", tags().join(", "));
            return Err(refuse(&place.name, why));
        }
    };
    let text = place.document(&place.need(&saved.config)?, &saved.config)?;
    // The file is named after its digest.
    let hex = saved.config.rsplit('/').next().unwrap_or("").trim_end_matches(".json");
    if let Ok(digest) = Digest::try_from(format!("sha256:{hex}")) {
        check(place, &digest, &text, &saved.config)?;
    }
    let layer =
        |path: &String| Ok(LayerFile { data: place.need(path)?, digest: None, path: path.clone() });
    let layers = saved.layers.iter().map(layer).collect::<Result<Vec<_>>>()?;
    with_config(place, choice, layers, &text, &saved.config, None)
}

fn with_config(
    place: &Place,
    choice: &Choice<'_>,
    layers: Vec<LayerFile>,
    text: &[u8],
    path: &str,
    manifest: Option<String>,
) -> Result<Chosen> {
    let wrong = |why: String| refuse_entry(&place.name, path.as_bytes(), why);
    let document: ConfigDocument = parse(place, text, path)?;
    let ConfigDocument { os, architecture, variant, config, rootfs } = document;
    let platform = Platform { os, architecture, variant };
    if !platform.is(choice.platform) && choice.platform.split('/').count() == 2 {
        let (is, wanted) = (platform.shown(), choice.platform);
        return Err(wrong(format!("the image is for {is}, and {wanted} is wanted")));
    }
    if rootfs.diff_ids.len() != layers.len() {
        let (told, is) = (rootfs.diff_ids.len(), layers.len());
        return Err(wrong(format!("it tells of {told} layers, and there are {is}")));
    }
    if layers.len() > LAYERS_MAX {
        return Err(wrong(format!(
            "the image has {} layers, more than any runs with",
            layers.len()
        )));
    }
    let config = Config::from(config.unwrap_or_default());
    config.check().map_err(wrong)?;
    Ok(Chosen { layers, diff_ids: rootfs.diff_ids, config, manifest, platform: platform.shown() })
}

fn blob(place: &Place, found: &Descriptor) -> Result<(Slice, String)> {
    let path = found.digest.path();
    let slice = place.need(&path)?;
    if slice.len != found.size {
        let why = format!("it has {} bytes, and {} are expected", slice.len, found.size);
        return Err(refuse_entry(&place.name, path.as_bytes(), why));
    }
    Ok((slice, path))
}

fn check(place: &Place, digest: &Digest, text: &[u8], path: &str) -> Result<()> {
    let mut hasher = digest.hasher();
    hasher.update(text);
    digest.check(hasher).map_err(|why| refuse_entry(&place.name, path.as_bytes(), why))
}

fn parse<T: DeserializeOwned>(place: &Place, text: &[u8], path: &str) -> Result<T> {
    serde_json::from_slice(text).map_err(|e| {
        refuse_entry(&place.name, path.as_bytes(), format!("it is not what it should be: {e}"))
    })
}
