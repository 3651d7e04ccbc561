//! Debian packages to a configured root file system, as a derivation's builder.
//!
//! The packages that `dpkg` needs are unpacked by hc, in a process that has confined itself and with
//! its own path checks; then the new
//! system's own `dpkg` installs all of them inside it, so that every maintainer script runs for
//! real. It runs as root over a range of mapped ids, in mount namespaces of its own, without a
//! network; what differs from run to run is removed afterwards.

mod clean;
mod configure;
mod order;
mod slim;
mod unpack;
mod users;

pub use users::User;

use crate::builder::{Env, number, path, text, work};
use crate::confine;
use crate::deb::control::paragraphs;
use crate::deb::relation::is_package_name;
use crate::deb::{self, Deb, Info};
use crate::erofs;
use crate::error::{Context, Error, Result};
use crate::tree::Tree;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A file laid over the finished system.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExtraFile {
    /// What is in it.
    pub text: String,
    /// Its permission bits, as a number of octal digits in a string; `0644` where not given.
    #[serde(default)]
    pub mode: Option<String>,
    /// Its owner.
    #[serde(default)]
    pub uid: u32,
    /// Its group.
    #[serde(default)]
    pub gid: u32,
}

/// What is built.
#[derive(Clone, Debug)]
pub struct Request {
    /// The output directory, which is made.
    pub out: PathBuf,
    /// A directory to work in.
    pub work: PathBuf,
    /// The package files.
    pub debs: Vec<PathBuf>,
    /// No file is younger.
    pub epoch: i64,
    /// Files by absolute path.
    pub files: BTreeMap<String, ExtraFile>,
    /// Users by name.
    pub users: BTreeMap<String, User>,
}

impl Request {
    /// From a build's environment: `out`, `debs` (paths with spaces between), `epoch`, and, where
    /// wanted, `files` (JSON by path: [`ExtraFile`]) and `users` (JSON by name: [`User`]).
    ///
    /// # Errors
    /// When one is missing or wrong.
    pub fn from_env(env: &Env) -> Result<Self> {
        let debs: Vec<PathBuf> =
            text(env, "debs")?.split_ascii_whitespace().map(PathBuf::from).collect();
        let (files, users) = (by_name(env, "files")?, by_name(env, "users")?);
        Ok(Self {
            out: path(env, "out")?,
            work: work(env)?,
            debs,
            epoch: number(env, "epoch")?,
            files,
            users,
        })
    }
}

/// An attribute that is JSON by some name, or nothing.
fn by_name<T: serde::de::DeserializeOwned>(env: &Env, name: &str) -> Result<BTreeMap<String, T>> {
    let Some(json) = env.get(name).filter(|json| !json.is_empty()) else {
        return Ok(BTreeMap::new());
    };
    serde_json::from_str(json).map_err(|e| Error::Attribute {
        name: name.into(),
        why: format!("is not what is expected: {e}"),
    })
}

/// One package of the manifest.
#[derive(Debug, Serialize)]
struct Installed<'a> {
    name: &'a str,
    version: &'a str,
    arch: &'a str,
}

#[derive(Debug, Serialize)]
struct Manifest<'a> {
    schema: u32,
    epoch: i64,
    packages: Vec<Installed<'a>>,
}

/// Builds `out/rootfs.erofs` and `out/manifest.json`.
///
/// # Errors
/// When a package is damaged, a script fails, or this process may not do what it must.
pub fn build(request: &Request) -> Result<()> {
    may_own_files()?;
    let root = request.work.join("rootfs");
    hc_fs::plain::create_dir(&root, 0o755)?;
    chmod(&root, 0o755)?;
    let infos = confine::in_child(&request.debs, &[&root], deb::DATA_MAX, || {
        let packages = sorted(&request.debs, infos(&request.debs)?)?;
        for at in order::first(&packages) {
            unpack::unpack(&Deb::open(&packages[at].path)?, &root)?;
        }
        Ok(packages.into_iter().map(|package| (package.at, package.info)).collect::<Vec<_>>())
    })?;
    let packages = sorted(&request.debs, infos)?;
    let first = order::first(&packages);
    configure::prepare(&root)?;
    configure::install(&root, &packages, &first, request.epoch)?;
    clean::clean(&root)?;
    users::add(&root, &request.users, request.epoch)?;
    lay_over(&root, &request.files)?;
    let mut tree = Tree::walk(&root)?;
    tree.clamp_mtimes(request.epoch);
    hc_fs::plain::create_dir_all(&request.out, 0o755)?;
    erofs::write_file(&tree, &request.out.join("rootfs.erofs"))?;
    let packages = packages.iter().map(|Package { info, .. }| Installed {
        name: &info.name,
        version: &info.version,
        arch: &info.arch,
    });
    let manifest = Manifest { schema: 1, epoch: request.epoch, packages: packages.collect() };
    let mut json = serde_json::to_vec_pretty(&manifest)
        .map_err(std::io::Error::from)
        .on("write", &request.out)?;
    json.push(b'\n');
    hc_fs::plain::write(&request.out.join("manifest.json"), &json, 0o644)?;
    Ok(hc_fs::tree::remove(&root)?)
}

/// A package to be installed.
#[derive(Debug)]
struct Package {
    info: Info,
    path: PathBuf,
    /// Its place in the request.
    at: usize,
}

/// What packages say of themselves, with their places.
fn infos(debs: &[PathBuf]) -> Result<Vec<(usize, Info)>> {
    let info = |(at, path): (usize, &PathBuf)| {
        let deb = Deb::open(path)?;
        let text = deb.control()?;
        let info = paragraphs(&text).next().ok_or_else(|| deb.refuse("no control".into()))?;
        Ok((at, Info::parse(&info).map_err(|why| deb.refuse(why))?))
    };
    debs.iter().enumerate().map(info).collect()
}

/// Packages by name. What they say of themselves may have come from a process that a hostile one
/// took over: nothing is believed that matters to this one.
fn sorted(debs: &[PathBuf], infos: Vec<(usize, Info)>) -> Result<Vec<Package>> {
    let refuse = |name: &str, why: String| Error::Package { package: name.into(), why };
    let mut packages = Vec::with_capacity(infos.len());
    for (at, info) in infos {
        let path = debs.get(at).filter(|_| is_package_name(&info.name)).cloned();
        let path = path.ok_or_else(|| refuse("?", format!("`{}` is no package", info.name)))?;
        packages.push(Package { info, path, at });
    }
    packages.sort_by(|a, b| a.info.name.cmp(&b.info.name));
    if let Some(pair) = packages.windows(2).find(|p| p[0].info.name == p[1].info.name) {
        let file = pair[1].path.file_name().unwrap_or_default().to_string_lossy();
        let why = format!("package `{}` is given twice", pair[1].info.name);
        return Err(refuse(&file, why));
    }
    Ok(packages)
}

/// Debian's users end at 65535 (`nogroup` is near): without that many ids, not even unpacking
/// works, and the system's own message would not tell why.
fn may_own_files() -> Result<()> {
    let map = Path::new("/proc/self/uid_map");
    let text = std::fs::read_to_string(map).on("read", map)?;
    let ids: u64 = text
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(2)?.parse::<u64>().ok())
        .sum();
    if rustix::process::geteuid().is_root() && ids >= 1 << 16 {
        return Ok(());
    }
    Err(Error::Attribute {
        name: "requiredSystemFeatures".into(),
        why: format!(
            "is not honoured: this build must be root over 65536 ids (`uid-range`) and is user {} \
             over {ids}",
            rustix::process::geteuid().as_raw()
        ),
    })
}

fn lay_over(root: &Path, files: &BTreeMap<String, ExtraFile>) -> Result<()> {
    for (path, file) in files {
        let wrong = |why: String| Error::Attribute {
            name: "files".into(),
            why: format!("has `{path}`: {why}"),
        };
        let mode = file.mode.as_deref().unwrap_or("0644");
        let mode = u32::from_str_radix(mode, 8)
            .ok()
            .filter(|m| *m <= 0o7777)
            .ok_or_else(|| wrong(format!("`{mode}` is not a mode")))?;
        let owner = unpack::Owner { uid: file.uid, gid: file.gid, mode };
        let relative = path.strip_prefix('/').ok_or_else(|| wrong("not absolute".into()))?;
        unpack::write_in(root, Path::new(relative), &mut file.text.as_bytes(), owner)
            .map_err(wrong)?;
    }
    Ok(())
}

/// Modes are exact, whatever the umask.
fn chmod(path: &Path, mode: u32) -> Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .on("set the mode of", path)
}
