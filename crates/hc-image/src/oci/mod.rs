//! An OCI image to a root file system, as a derivation's builder: a layout (image-spec,
//! image-layout.md) as a directory or in a tar file, or what `docker save` writes.

mod document;
mod place;

use crate::archive::{Budget, Limits, Slice, Spool, refuse};
use crate::builder::{Env, path, work};
use crate::config::{self, Config, Manifest, Origin, SCHEMA};
use crate::confine;
use crate::erofs;
use crate::error::{Error, Result};
use crate::layer::Layers;
use crate::tarball::{limits, name};
use crate::tree::Tree;
use document::{Choice, Chosen, Digest};
use place::Place;
use std::path::{Path, PathBuf};
use std::slice::from_ref;

/// The platform that is chosen where nobody says which.
pub const PLATFORM: &str = "linux/amd64";

/// What is built.
#[derive(Clone, Debug)]
pub struct Request {
    /// The output directory, which is made.
    pub out: PathBuf,
    /// A directory to work in, with room for the layers without their compression.
    pub work: PathBuf,
    /// The archive or layout.
    pub src: PathBuf,
    /// What it may take.
    pub limits: Limits,
    /// Of several platforms this one, as `os/architecture` or `os/architecture/variant`.
    pub platform: String,
    /// Of several images this one.
    pub tag: Option<String>,
}

impl Request {
    /// From a build's environment: `out`, `src`, and, where wanted, `platform`, `tag`, `maxSize`
    /// and `maxEntries`.
    ///
    /// # Errors
    /// When one is missing or wrong.
    pub fn from_env(env: &Env) -> Result<Self> {
        let given = |name: &str| env.get(name).filter(|value| !value.is_empty()).cloned();
        let platform = given("platform").unwrap_or_else(|| PLATFORM.into());
        if !(2..=3).contains(&platform.split('/').filter(|part| !part.is_empty()).count()) {
            let why = format!("is `{platform}`; write it as `os/architecture`, such as {PLATFORM}");
            return Err(Error::Attribute { name: "platform".into(), why });
        }
        Ok(Self {
            out: path(env, "out")?,
            work: work(env)?,
            src: path(env, "src")?,
            limits: limits(env)?,
            platform,
            tag: given("tag"),
        })
    }
}

/// Builds `out/rootfs.erofs` and `out/manifest.json`.
///
/// # Errors
/// When the image is damaged or hostile, or the system refuses something.
pub fn build(request: &Request) -> Result<()> {
    hc_fs::plain::create_dir_all(&request.out, 0o755)?;
    confine::this_process(
        from_ref(&request.src),
        &[&request.out, &request.work],
        request.limits.bytes,
    )?;
    let choice = Choice { platform: &request.platform, tag: request.tag.as_deref() };
    let (tree, manifest) = read(&request.src, &request.work, request.limits, &choice)?;
    erofs::write_file(&tree, &request.out.join("rootfs.erofs"))?;
    manifest.write(&request.out)
}

/// The image's files and what is known about it, without writing anything but to `work`.
///
/// # Errors
/// As [`build`].
pub fn load(request: &Request) -> Result<(Tree, Manifest)> {
    let choice = Choice { platform: &request.platform, tag: request.tag.as_deref() };
    read(&request.src, &request.work, request.limits, &choice)
}

fn read(src: &Path, work: &Path, limits: Limits, choice: &Choice<'_>) -> Result<(Tree, Manifest)> {
    let name = name(src);
    let (mut budget, spool) = (Budget::new(limits), Spool { work });
    let place = Place::open(src, &name, &spool, &mut budget)?;
    let chosen = document::choose(&place, choice)?;
    let mut layers = Layers::default();
    let mut noted = Vec::new();
    for (number, layer) in chosen.layers.iter().enumerate() {
        let shown = format!("{name}: layer {} ({})", number + 1, layer.shown());
        let (data, diff_id) =
            unpack(&layer.data, layer.digest.as_ref(), &shown, &spool, &mut budget)?;
        let told = &chosen.diff_ids[number];
        if diff_id != *told {
            let why = format!("unpacked, its digest is {diff_id}, the configuration says {told}");
            return Err(refuse(&shown, why));
        }
        noted.push(config::Layer { diff_id: diff_id.to_string(), size: data.len });
        layers.lay(data, &shown, true, &mut budget)?;
    }
    let Chosen { config, manifest, platform, .. } = chosen;
    let origin = Origin::Oci { manifest, platform, layers: noted };
    Ok((layers.into_tree(), Manifest { schema: SCHEMA, origin, config, store: Vec::new() }))
}

/// A layer as a tar file, and that file's digest; what it is packed in must have `digest`.
fn unpack(
    packed: &Slice,
    digest: Option<&Digest>,
    shown: &str,
    spool: &Spool<'_>,
    budget: &mut Budget,
) -> Result<(Slice, Digest)> {
    use sha2::Digest as _;
    let mut outer = digest.map(Digest::hasher);
    let mut inner = sha2::Sha256::new();
    let data = {
        let mut of_packed = |bytes: &[u8]| outer.iter_mut().for_each(|hash| hash.update(bytes));
        let mut of_plain = |bytes: &[u8]| inner.update(bytes);
        let of_packed: Option<crate::archive::Observer<'_>> = match digest {
            Some(_) => Some(&mut of_packed),
            None => None,
        };
        spool.plain(packed, shown, budget, of_packed, Some(&mut of_plain))?
    };
    if let (Some(told), Some(hasher)) = (digest, outer) {
        told.check(hasher).map_err(|why| refuse(shown, why))?;
    }
    Ok((data, Digest::sha256(&inner.finalize())))
}

impl From<document::Run> for Config {
    fn from(run: document::Run) -> Self {
        let command = run.entrypoint.unwrap_or_default().into_iter();
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let keys = |map: Option<std::collections::BTreeMap<String, serde::de::IgnoredAny>>| {
            map.unwrap_or_default().into_keys().collect()
        };
        Self {
            command: command.chain(run.cmd.unwrap_or_default()).collect(),
            env: run
                .env
                .unwrap_or_default()
                .iter()
                .filter_map(|pair| pair.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            user: filled(run.user),
            workdir: filled(run.working_dir),
            stop_signal: filled(run.stop_signal)
                .map(|name| name.strip_prefix("SIG").unwrap_or(&name).to_owned()),
            init: false,
            exposed_ports: keys(run.exposed_ports),
            volumes: keys(run.volumes),
            labels: run.labels.unwrap_or_default(),
        }
    }
}
