//! The images in the store, who uses them, and what of them is on the host's file system.

use crate::commands::build;
use crate::context::Globals;
use crate::error::{Code, Failure};
use hc_agent::Generations;
use hc_image::config::Manifest;
use hc_runtime::base::{Base, Bases};
use hc_runtime::disk::{Disk, Disks};
use hc_spec::MachineSpec;
use nix_compat::StoreDir;
use nix_store::HostStore;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

/// One image in the store.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Its store path.
    pub path: PathBuf,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The size of its file, and of a NixOS system's closure.
    pub size: u64,
    /// Bytes it takes on disk, with such a closure.
    pub disk: u64,
    /// How many of these are other images' too, and there once.
    pub shared: u64,
    /// When it came into the store, in seconds since 1970.
    pub since: u64,
    /// What it was made from and how it is run, where it says so.
    pub manifest: Option<Manifest>,
    /// What else its builder says: a kernel's version, an initrd's modules, Debian's packages.
    pub about: Option<serde_json::Value>,
    /// Machines of the current generation that run from it.
    pub machines: Vec<String>,
    /// Layers that other images in the store were made from too, by their digest.
    pub shared_layers: Vec<String>,
    /// Other images with exactly the same file.
    pub same_as: Vec<PathBuf>,
    /// What its forks share on the state directory's file system.
    pub base: Option<Base>,
    /// Disks that are forks of it, `MACHINE/DISK`.
    pub forks: Vec<String>,
}

/// What an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A root file system, as EROFS.
    Rootfs,
    /// A NixOS system, which is read where it lies in the store.
    Nixos,
    /// A disk of a virtual machine, raw.
    Disk,
    /// A kernel that QEMU starts.
    Kernel,
    /// A plain cpio archive.
    Initrd,
}

impl Kind {
    /// Those that can be told by their files.
    const FOUND: [Self; 4] = [Self::Rootfs, Self::Disk, Self::Kernel, Self::Initrd];

    /// Its file in the image.
    pub fn file(self) -> &'static str {
        match self {
            Self::Rootfs | Self::Nixos => "rootfs.erofs",
            Self::Disk => "disk.raw",
            Self::Kernel => "vmlinux",
            Self::Initrd => "initrd",
        }
    }

    /// What else is there, where its file alone says little.
    fn beside(self) -> Option<&'static str> {
        match self {
            Self::Rootfs | Self::Nixos | Self::Disk => None,
            Self::Kernel => Some("kernel.json"),
            Self::Initrd => Some("initrd.json"),
        }
    }

    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rootfs => "rootfs",
            Self::Nixos => "nixos",
            Self::Disk => "disk",
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
        }
    }
}

impl Image {
    fn layers(&self) -> impl Iterator<Item = &str> {
        let layers = match self.manifest.as_ref().map(|manifest| &manifest.origin) {
            Some(hc_image::config::Origin::Oci { layers, .. }) => &layers[..],
            _ => &[],
        };
        layers.iter().map(|layer| layer.diff_id.as_str())
    }

    fn closure(&self) -> &[String] {
        self.manifest.as_ref().map_or(&[], |manifest| &manifest.store)
    }
}

/// All images, by name.
pub fn all(globals: &Globals) -> anyhow::Result<Vec<Image>> {
    let store = build::store(globals)?;
    let users = users(globals)?;
    let bases = Bases::new(&globals.state_dir).list()?;
    let disks = Disks::new(&globals.state_dir).list()?;
    let mut images = Vec::new();
    let mut files: BTreeMap<(u64, u64), Vec<usize>> = BTreeMap::new();
    for path in store.valid_paths()? {
        let at = store.physical(&path);
        let file = |kind: Kind| {
            let found = at.join(kind.file()).symlink_metadata().ok().filter(|f| f.is_file())?;
            kind.beside().is_none_or(|file| at.join(file).is_file()).then_some((kind, found))
        };
        let Some((kind, found)) = Kind::FOUND.into_iter().find_map(file) else { continue };
        let registered = store.info(&path)?.registered;
        let since = registered.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let path = PathBuf::from(StoreDir::default().render_path(&path));
        let told = std::fs::read(at.join(kind.beside().unwrap_or(hc_image::config::MANIFEST))).ok();
        let manifest = told.as_ref().and_then(|text| serde_json::from_slice(text).ok());
        let about = told.as_ref().filter(|_| manifest.is_none());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        files.entry((found.dev(), found.ino())).or_default().push(images.len());
        let mut image = Image {
            name: name.get(33..).unwrap_or_default().to_owned(),
            kind,
            size: found.size(),
            disk: found.blocks() * 512,
            shared: 0,
            since,
            about: about.and_then(|text| serde_json::from_slice(text).ok()),
            manifest,
            machines: users.get(&path.join(kind.file())).cloned().unwrap_or_default(),
            shared_layers: Vec::new(),
            same_as: Vec::new(),
            base: bases.iter().find(|base| name == base.image.as_str()).cloned(),
            forks: disks
                .iter()
                .filter(|d| d.image.as_ref().is_some_and(|image| image.starts_with(&path)))
                .map(Disk::name)
                .collect(),
            path,
        };
        if !image.closure().is_empty() {
            image.kind = Kind::Nixos;
        }
        images.push(image);
    }
    share_files(&mut images, &files);
    share_layers(&mut images);
    share_closures(&store, &mut images)?;
    images.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
    Ok(images)
}

/// Files that are one, as `hc store optimise` makes them.
fn share_files(images: &mut [Image], files: &BTreeMap<(u64, u64), Vec<usize>>) {
    for same in files.values().filter(|same| same.len() > 1) {
        for at in same {
            let others = same.iter().filter(|other| *other != at);
            images[*at].same_as = others.map(|other| images[*other].path.clone()).collect();
            images[*at].shared = images[*at].disk;
        }
    }
}

fn share_layers(images: &mut [Image]) {
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for image in &*images {
        for layer in image.layers().collect::<BTreeSet<_>>() {
            *count.entry(layer.to_owned()).or_default() += 1;
        }
    }
    for image in images {
        let shared = image.layers().filter(|layer| count[*layer] > 1).map(str::to_owned).collect();
        image.shared_layers = shared;
    }
}

/// Counts what NixOS systems take of the store, and what several of them do.
fn share_closures(store: &HostStore, images: &mut [Image]) -> anyhow::Result<()> {
    let mut paths: BTreeMap<String, (u64, usize)> = BTreeMap::new();
    for path in images.iter().flat_map(Image::closure) {
        if let Some((_, count)) = paths.get_mut(path) {
            *count += 1;
            continue;
        }
        let size = store.info(&StoreDir::default().parse_path(path.as_bytes())?)?.nar_size;
        paths.insert(path.clone(), (size, 1));
    }
    for image in images {
        let own = image.closure().iter().map(|path| paths[path]);
        let (all, shared) = own.fold((0, 0), |(all, shared), (size, count)| {
            (all + size, if count > 1 { shared + size } else { shared })
        });
        image.size += all;
        image.disk += all;
        image.shared += shared;
    }
    Ok(())
}

/// The image that a name, a store path or a link to one means.
pub fn one(globals: &Globals, text: &str) -> anyhow::Result<Image> {
    let wanted = PathBuf::from(text);
    let linked = std::fs::read_link(&wanted).unwrap_or_else(|_| wanted.clone());
    let mut images = all(globals)?;
    images.retain(|image| image.path == wanted || image.path == linked || image.name == text);
    if images.len() == 1 {
        return Ok(images.swap_remove(0));
    }
    let (what, hint) = if images.is_empty() {
        ("no image", "`hc image ls` lists them".to_owned())
    } else {
        let paths: Vec<_> = images.iter().map(|i| i.path.display().to_string()).collect();
        ("more than one image", format!("name one by its path: {}", paths.join(", ")))
    };
    let message = format!("there is {what} '{text}' in the store");
    Err(Failure::new(Code::Failed, message).hint(hint).into())
}

/// Machines of the current generation, by the file they run from.
fn users(globals: &Globals) -> anyhow::Result<BTreeMap<PathBuf, Vec<String>>> {
    let generations = Generations::new(&globals.state_dir);
    let mut users: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    let Some(number) = generations.current()? else { return Ok(users) };
    let set = hc_agent::read_set(globals.store.as_deref(), &generations.set(number)?)?;
    for (name, closure) in &set.machines {
        let text = std::fs::read(globals.physical(closure))?;
        let spec = MachineSpec::from_json(&text)?;
        if let Some(file) = spec.image.file() {
            users.entry(file.into()).or_default().push(name.to_string());
        }
    }
    Ok(users)
}
