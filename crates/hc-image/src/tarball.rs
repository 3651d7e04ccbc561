//! A tar file to a root file system, as a derivation's builder.

use crate::archive::{Budget, Limits, Slice, Spool, refuse};
use crate::builder::{Env, path, size, work};
use crate::config::{Config, Manifest, Origin, SCHEMA};
use crate::confine;
use crate::erofs;
use crate::error::Result;
use crate::layer::Layers;
use std::path::PathBuf;
use std::slice::from_ref;

/// What is built.
#[derive(Clone, Debug)]
pub struct Request {
    /// The output directory, which is made.
    pub out: PathBuf,
    /// A directory to work in, with room for the archive without its compression.
    pub work: PathBuf,
    /// The archive.
    pub src: PathBuf,
    /// What it may take.
    pub limits: Limits,
    /// How it is run.
    pub config: Config,
}

impl Request {
    /// From a build's environment: `out`, `src`, and, where wanted, `config` (JSON), `maxSize` and
    /// `maxEntries`.
    ///
    /// # Errors
    /// When one is missing or wrong.
    pub fn from_env(env: &Env) -> Result<Self> {
        let config = match env.get("config").filter(|json| !json.is_empty()) {
            None => Config::default(),
            Some(json) => Config::from_json(json)?,
        };
        Ok(Self {
            out: path(env, "out")?,
            work: work(env)?,
            src: path(env, "src")?,
            limits: limits(env)?,
            config,
        })
    }
}

/// What an image's archives may take, as its derivation says.
pub(crate) fn limits(env: &Env) -> Result<Limits> {
    let usual = Limits::default();
    Ok(Limits {
        bytes: size(env, "maxSize")?.unwrap_or(usual.bytes),
        entries: size(env, "maxEntries")?.unwrap_or(usual.entries),
    })
}

/// Builds `out/rootfs.erofs` and `out/manifest.json`.
///
/// # Errors
/// When the archive is damaged or hostile, or the system refuses something.
pub fn build(request: &Request) -> Result<()> {
    hc_fs::plain::create_dir_all(&request.out, 0o755)?;
    confine::this_process(
        from_ref(&request.src),
        &[&request.out, &request.work],
        request.limits.bytes,
    )?;
    let name = name(&request.src);
    let mut budget = Budget::new(request.limits);
    let spool = Spool { work: &request.work };
    let data = spool.plain(&Slice::open(&request.src)?, &name, &mut budget, None, None)?;
    let mut layers = Layers::default();
    layers.lay(data, &name, false, &mut budget)?;
    let tree = layers.into_tree();
    let has = |path: &[u8]| tree.find(path).is_some();
    if has(b"oci-layout") || has(b"manifest.json") && has(b"repositories") {
        let why = "it is an OCI image and no root file system: that is for `images.oci`, or `hc image \
                   import --as oci`";
        return Err(refuse(&name, why));
    }
    erofs::write_file(&tree, &request.out.join("rootfs.erofs"))?;
    let config = request.config.clone();
    Manifest { schema: SCHEMA, origin: Origin::Tar, config, store: Vec::new() }.write(&request.out)
}

/// What errors call an archive: its file's name without the hash that the store has before it.
pub(crate) fn name(src: &std::path::Path) -> String {
    let name = src.file_name().unwrap_or(src.as_os_str()).to_string_lossy();
    match name.split_at_checked(33) {
        Some((hash, rest)) if hash.ends_with('-') && !rest.is_empty() => rest.into(),
        _ => name.into(),
    }
}
