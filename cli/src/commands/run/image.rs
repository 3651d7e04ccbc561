//! What a throw-away machine runs from.

use super::super::build::{self, Report, Source, Target, targets};
use super::super::image::found::{self, Kind};
use super::Args;
use crate::context::Globals;
use crate::error::{Code, Coded, Failure};
use hc_agent::Generations;
use hc_spec::{MachineSet, MachineSpec, Vm};
use nix_store::{BuildMode, DrvOutput, StorePath};
use std::path::{Path, PathBuf};

/// A file of an image, as it is seen in the store.
pub struct Image {
    /// The file.
    pub file: PathBuf,
    /// What the image says about itself, where it does.
    pub manifest: Option<PathBuf>,
    /// The image, where it is one of the store.
    pub store_path: Option<StorePath>,
}

/// Bytes of a microVM's memory where nothing else is said, and of what it may write: what the options
/// `vm.memory` and `vm.layerSize` have too.
const MEMORY: u64 = 256 << 20;
const LAYER: u64 = 8 << 30;

impl Image {
    /// A directory with an image in it; paths in the store are as they are seen there.
    fn at(globals: &Globals, directory: &Path, kind: Kind) -> Option<Self> {
        let file = directory.join(kind.file());
        globals.physical(&file).exists().then(|| {
            let manifest = directory.join("manifest.json");
            Self {
                manifest: globals.physical(&manifest).exists().then_some(manifest),
                store_path: of_store(directory),
                file,
            }
        })
    }

    /// The root file system that is named.
    pub fn root(globals: &Globals, args: &Args) -> anyhow::Result<Self> {
        if let Some(spec) = of_machine(globals, &args.image)? {
            let directory = spec.image.rootfs().parent();
            let found = directory.and_then(|directory| Self::at(globals, directory, Kind::Rootfs));
            if let Some(image) = found {
                return Ok(image);
            }
        }
        Self::named(globals, args, &args.image, Kind::Rootfs)
    }

    fn named(globals: &Globals, args: &Args, name: &str, kind: Kind) -> anyhow::Result<Self> {
        let none = |what: &str| -> anyhow::Error {
            Failure::new(Code::Failed, format!("'{name}' is no image: {what}"))
                .hint("`hc image ls` lists those in the store")
                .into()
        };
        let missing = format!("there is no {} in it", kind.file());
        if name.contains('#') {
            let built = built(globals, args, name)?;
            return Self::at(globals, &built, kind)
                .ok_or_else(|| none(&format!("{} has no {}", built.display(), kind.file())));
        }
        if name.contains('/') {
            // A link such as `result` leads into the store, wherever that is.
            let path = std::fs::canonicalize(globals.physical(Path::new(name)))
                .or_else(|_| std::fs::canonicalize(name));
            let path = path.map_err(|error| none(&error.to_string()))?;
            let path = match globals.store.as_ref().map(|root| path.strip_prefix(root)) {
                Some(Ok(below)) => Path::new("/").join(below),
                _ => path,
            };
            return Self::at(globals, &path, kind).ok_or_else(|| none(&missing));
        }
        let mut found = found::all(globals)?;
        let is_one = |is: Kind| is == kind || kind == Kind::Rootfs && is == Kind::Nixos;
        found.retain(|image| image.name == name && is_one(image.kind));
        match choose(&found) {
            None => Err(none("there is none of that name in the store, and no machine")),
            Some(image) => Self::at(globals, &image.path, kind).ok_or_else(|| none(&missing)),
        }
    }
}

/// Of several images of one name, as older generations keep them, the one that machines of this generation
/// run from, and of several of those or of none the one that came last.
fn choose(found: &[found::Image]) -> Option<&found::Image> {
    found.iter().max_by_key(|image| (!image.machines.is_empty(), image.since))
}

fn of_store(directory: &Path) -> Option<StorePath> {
    let basename = directory.strip_prefix("/nix/store").ok()?.to_str()?;
    StorePath::from_basename(basename.as_bytes()).ok()
}

/// The computer for a microVM, and the store paths it needs: with the kernel and initrd that are named, or
/// those of the machine whose image it has, or of another microVM of this host.
pub fn computer(globals: &Globals, args: &Args) -> anyhow::Result<(Vm, Vec<StorePath>)> {
    let (kernel, initrd) = match (&args.kernel, &args.initrd) {
        (Some(kernel), Some(initrd)) => (
            Image::named(globals, args, kernel, Kind::Kernel)?.file,
            Image::named(globals, args, initrd, Kind::Initrd)?.file,
        ),
        _ => match used(globals, &args.image)? {
            Some(vm) => (vm.kernel, vm.initrd),
            None => {
                let message =
                    "no microVM is deployed on this host, whose kernel this one could have";
                let hint = "name one: --kernel FLAKE#ATTRIBUTE --initrd FLAKE#ATTRIBUTE";
                return Err(Failure::new(Code::Failed, message).hint(hint).into());
            }
        },
    };
    let paths = [&kernel, &initrd].into_iter().filter_map(|file| of_store(file.parent()?));
    let paths = paths.collect();
    let vm = Vm {
        kernel,
        initrd,
        memory: args.memory.unwrap_or(MEMORY),
        vcpus: 1,
        layer_size: LAYER,
        kernel_params: Vec::new(),
        resume: false,
        balloon: None,
    };
    Ok((vm, paths))
}

/// The computer that machine `name` is, or another machine of this host.
fn used(globals: &Globals, name: &str) -> anyhow::Result<Option<Vm>> {
    let Some(set) = current(globals)? else { return Ok(None) };
    let mut found = None;
    for (machine, closure) in &set.machines {
        let spec = MachineSpec::from_json(&std::fs::read(globals.physical(closure))?)?;
        if found.is_none() || machine.as_str() == name {
            found = spec.vm.or(found);
        }
    }
    Ok(found)
}

fn current(globals: &Globals) -> anyhow::Result<Option<MachineSet>> {
    let generations = Generations::new(&globals.state_dir);
    let Some(number) = generations.current()? else { return Ok(None) };
    Ok(Some(hc_agent::read_set(globals.store.as_deref(), &generations.set(number)?)?))
}

/// A machine of the current generation.
fn of_machine(globals: &Globals, name: &str) -> anyhow::Result<Option<MachineSpec>> {
    let Some(set) = current(globals)? else { return Ok(None) };
    let closure = set.machines.iter().find(|(machine, _)| machine.as_str() == name);
    let Some((_, closure)) = closure else { return Ok(None) };
    Ok(Some(MachineSpec::from_json(&std::fs::read(globals.physical(closure))?)?))
}

/// Builds what a flake says.
fn built(globals: &Globals, args: &Args, name: &str) -> anyhow::Result<PathBuf> {
    let store = build::store(globals)?;
    let report = Report::new(false);
    let source = Source {
        targets: vec![name],
        file: None,
        expr: None,
        evaluation: &args.evaluation,
        lock: &args.lock,
        fetch: Some(&report),
    };
    let targets = targets(globals, &store, &source)?;
    let wanted: Vec<DrvOutput> = targets.iter().flat_map(Target::outputs).collect();
    let built = store.build_in_mode(&wanted, BuildMode::Normal, &report);
    report.clear();
    let built = built.code(Code::Build)?;
    let mut paths = targets.iter().flat_map(|target| target.paths(&built));
    let (_, path) = paths
        .next()
        .ok_or_else(|| Failure::new(Code::Failed, format!("'{name}' makes nothing")))?;
    Ok(Path::new("/nix/store").join(path.to_string()))
}
