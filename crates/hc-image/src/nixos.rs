//! A NixOS system that runs straight off the store, as a derivation's builder.
//!
//! Nothing of the system is copied. The image is the places that the paths of its closure are mounted
//! on, and a list of them: the list is what keeps them in the store, and a machine sees no others.

use crate::builder::{Env, path, text, work};
use crate::config::{Config, Manifest, Origin, SCHEMA};
use crate::erofs;
use crate::error::{Context, Error, Result};
use crate::tree::{Content, Kind, Meta, Tree};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const STORE: &str = "/nix/store/";
/// The attribute `exportReferencesGraph` names the file with the closure like this.
const GRAPH: &str = "closure";
/// What stage 2 of NixOS and its activation expect to be there, beside the places of the closure.
const DIRECTORIES: [(&str, u32); 13] = [
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("nix", 0o755),
    ("nix/store", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sbin", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("var", 0o755),
];
/// Where programs are on NixOS.
const PATH: &str = "/run/wrappers/bin:/nix/var/nix/profiles/default/bin:/run/current-system/sw/bin:\
                    /run/current-system/sw/sbin";

/// What is built.
#[derive(Clone, Debug)]
pub struct Request {
    /// The output directory, which is made.
    pub out: PathBuf,
    /// `config.system.build.toplevel`.
    pub toplevel: PathBuf,
    /// The paths of its closure, itself among them.
    pub closure: BTreeSet<PathBuf>,
}

impl Request {
    /// From a build's environment: `out`, `toplevel`, and in the build directory the file `closure`
    /// that `exportReferencesGraph` asks for.
    ///
    /// # Errors
    /// When one is missing or wrong.
    pub fn from_env(env: &Env) -> Result<Self> {
        text(env, "exportReferencesGraph")?;
        let graph = work(env)?.join(GRAPH);
        let lines = std::fs::read_to_string(&graph).on("read", &graph)?;
        Ok(Self {
            out: path(env, "out")?,
            toplevel: path(env, "toplevel")?,
            closure: paths(&lines).map_err(|why| Error::Attribute {
                name: "exportReferencesGraph".into(),
                why: format!("gives no closure: {why}"),
            })?,
        })
    }
}

/// The paths in what `exportReferencesGraph` writes (Nix manual, "Advanced attributes"): for each a
/// line with it, one with its deriver or nothing, one with the number of its references, and they.
fn paths(text: &str) -> Result<BTreeSet<PathBuf>, String> {
    let mut found = BTreeSet::new();
    let mut lines = text.lines();
    while let Some(path) = lines.next() {
        let name = path
            .strip_prefix(STORE)
            .filter(|name| !name.is_empty() && !name.starts_with('.') && !name.contains('/'));
        if name.is_none() {
            return Err(format!("`{path}` is no store path"));
        }
        found.insert(PathBuf::from(path));
        lines.next();
        let count: usize = lines
            .next()
            .and_then(|count| count.parse().ok())
            .ok_or_else(|| format!("`{path}` has no number of references"))?;
        for _ in 0..count {
            lines.next().ok_or_else(|| format!("it is cut off in the references of `{path}`"))?;
        }
    }
    Ok(found)
}

/// Builds `out/rootfs.erofs` and `out/manifest.json`.
///
/// # Errors
/// When the system has no `init`, or something cannot be read or written.
pub fn build(request: &Request) -> Result<()> {
    let wrong = |why: String| Error::Attribute { name: "toplevel".into(), why };
    let toplevel = request.toplevel.to_str().unwrap_or_default();
    if !request.closure.contains(&request.toplevel) {
        return Err(wrong(format!("is `{toplevel}`, which is not in its own closure")));
    }
    let init = request.toplevel.join("init");
    if !init.is_file() {
        let why = format!("is `{toplevel}`, which has no `init`: name system.build.toplevel");
        return Err(wrong(why));
    }
    let tree = tree(&request.closure)?;
    hc_fs::plain::create_dir_all(&request.out, 0o755)?;
    erofs::write_file(&tree, &request.out.join("rootfs.erofs"))?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let config = Config {
        command: vec![text(&init)],
        env: [("PATH".to_owned(), PATH.to_owned())].into(),
        // There is no /etc/passwd before the first activation.
        user: Some("0".into()),
        // What systemd takes for "power off" (systemd(1)).
        stop_signal: Some("RTMIN+3".into()),
        init: true,
        ..Config::default()
    };
    let origin = Origin::Nixos { toplevel: toplevel.into() };
    let store = request.closure.iter().map(|path| text(path)).collect();
    Manifest { schema: SCHEMA, origin, config, store }.write(&request.out)
}

/// Directories, and a place for each path of the closure: what cannot be mounted on, a symlink, is
/// there itself.
fn tree(closure: &BTreeSet<PathBuf>) -> Result<Tree> {
    let mut tree = Tree::new(Meta::root(0o755, 1));
    for (path, mode) in DIRECTORIES {
        let kind = Kind::Directory(BTreeMap::new());
        tree.add(path.as_bytes(), kind, Meta::root(mode, 1))?;
    }
    for path in closure {
        let found = path.symlink_metadata().on("look at", path)?;
        let (kind, mode) = if found.is_dir() {
            (Kind::Directory(BTreeMap::new()), 0o555)
        } else if found.is_symlink() {
            let target = std::fs::read_link(path).on("read", path)?;
            (Kind::Symlink(target.as_os_str().as_bytes().to_vec()), 0o777)
        } else {
            (Kind::File(Content::Bytes(Vec::new())), 0o444)
        };
        let at = path.strip_prefix("/").unwrap_or(path).as_os_str().as_bytes();
        tree.add(at, kind, Meta::root(mode, 1))?;
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closure_is_read_as_nix_writes_it() {
        let text = "/nix/store/a-top\n\n2\n/nix/store/a-top\n/nix/store/b-sh\n\
                    /nix/store/b-sh\n/nix/store/b-sh.drv\n0\n";
        let found = paths(text).unwrap();
        assert_eq!(found, ["/nix/store/a-top", "/nix/store/b-sh"].map(PathBuf::from).into());
        for (text, says) in [
            ("/nix/store/../etc\n\n0\n", "no store path"),
            ("/nix/store/.x\n\n0\n", "no store path"),
            ("/etc\n\n0\n", "no store path"),
            ("/nix/store/a\n\nmany\n", "no number"),
            ("/nix/store/a\n\n2\n/nix/store/b\n", "cut off"),
        ] {
            assert!(paths(text).unwrap_err().contains(says), "{text}");
        }
    }
}
