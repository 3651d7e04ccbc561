//! Saved machines: a computer whose kernel has come up and waits to be told who it is.
//!
//! Nothing of the machine is in it, no disk is mounted and no identity known: so one serves every
//! machine that is built alike, and a machine whose disk has changed since. `<state>/saved/KEY/` holds
//! `ram`, the memory as a sparse file that copies map privately; `state`, what QEMU's devices were; and
//! `saved.json`. The key is a hash of all that has to be the same.
//!
//! `KEY-mounted` beside it is the same computer a step later, for machines that have no disk yet: its root is
//! mounted, on a layer that was empty; `layer.raw` is that layer at this very moment, and theirs is a copy of it.

use super::accelerator::{Accelerator, Kind};
use super::layer;
use crate::config::RunConfig;
use crate::error::{Doing, Problem, Res};
use hc_spec::{MachineSpec, Vm};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const ABOUT: &str = "saved.json";
const LAYER: &str = "layer.raw";

/// What a saved machine was made of and is checked by.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    /// Files of the store that it was made from: it goes when one of them has gone.
    made_from: Vec<PathBuf>,
    /// BLAKE3 of `state`.
    state_hash: String,
    /// BLAKE3 of what is in `ram`, without its holes.
    ram_hash: String,
    /// Bytes of `ram`, and of that those on disk.
    ram: (u64, u64),
    /// Last change of `ram`, in nanoseconds since 1970.
    changed: i128,
    /// The same of the layer, where one is mounted: bytes, and those on disk; last change.
    #[serde(default)]
    layer: Option<((u64, u64), i128)>,
    /// And BLAKE3 of what is in it, without its holes.
    #[serde(default)]
    layer_hash: Option<String>,
    /// Its guest cannot mount a root before it is anybody.
    #[serde(default)]
    unmountable: bool,
}

/// A place for a saved machine: there, or to be made.
#[derive(Debug)]
pub(super) struct Slot {
    dir: PathBuf,
    made_from: Vec<PathBuf>,
}

/// All that has to be the same for a saved machine to go on.
pub(super) struct Likeness<'a> {
    pub qemu: &'a Path,
    pub accelerator: &'a Accelerator,
    pub vm: &'a Vm,
    /// What its root is made from.
    pub image: &'a Path,
    /// Bytes of the disks that are written to or outlive it, and whether they can only be read.
    pub disks: Vec<(u64, bool)>,
    pub networks: usize,
    /// The kernel's command line.
    pub words: &'a [String],
}

impl Slot {
    /// The place for machines like this one.
    pub fn of(state_dir: &Path, like: &Likeness<'_>) -> Res<Self> {
        let qemu = like.qemu;
        let program = qemu.metadata().doing_with(|| format!("look at {}", qemu.display()))?;
        let vm = like.vm;
        let mut hasher = blake3::Hasher::new();
        for part in [
            format!("2 {} {} {}", qemu.display(), program.len(), program.mtime()),
            // Without translation the guest has seen this very processor.
            match like.accelerator.kind {
                Kind::Kvm => processor().doing("read /proc/cpuinfo")?,
                Kind::Tcg => "tcg".into(),
            },
            format!("{} {}", vm.kernel.display(), vm.initrd.display()),
            format!("{} {:?}", like.image.display(), like.disks),
            format!("{} {} {}", vm.memory, vm.vcpus, like.networks),
            like.words.join(" "),
        ] {
            hasher.update(part.as_bytes()).update(b"\0");
        }
        let key = &hasher.finalize().to_hex()[..32];
        let made_from = vec![vm.kernel.clone(), vm.initrd.clone(), like.image.into()];
        Ok(Self { dir: dir(state_dir).join(key), made_from })
    }

    /// The memory, for QEMU to map.
    pub fn ram(&self) -> PathBuf {
        self.dir.join("ram")
    }

    /// What the devices were, where a whole saved machine is there; else why it is of no use. Of the
    /// memory only size, blocks and time are looked at: reading it would take longer than the start.
    pub fn find(&self) -> Result<File, &'static str> {
        const DAMAGED: &str = "what was saved for it is damaged";
        let about = self.about().ok_or("no memory was saved for machines like it")?;
        let ram = self.ram().metadata().map_err(|_| DAMAGED)?;
        let state = self.dir.join("state");
        let layer = self.layer().metadata().ok().map(|layer| fingerprint(&layer));
        let whole = (about.ram, about.changed) == fingerprint(&ram)
            && (about.layer.is_none() || about.layer == layer)
            && std::fs::read(&state).is_ok_and(|s| hash(&s) == about.state_hash);
        if whole { File::open(state).map_err(|_| DAMAGED) } else { Err(DAMAGED) }
    }

    /// The same, and the memory is read too: it is what was written. Takes as long as that takes.
    pub fn verify(&self) -> bool {
        let whole = || {
            let about = self.about()?;
            let has = |path: PathBuf| contents_hash(&File::open(path).ok()?).ok();
            let same = about.ram_hash == has(self.ram())?;
            Some(same && (about.layer.is_none() || about.layer_hash == has(self.layer())))
        };
        self.find().is_ok() && whole().unwrap_or(false)
    }

    /// The place for the same computer with its root mounted.
    pub fn mounted(&self) -> Self {
        let mut name = self.dir.clone().into_os_string();
        name.push("-mounted");
        Self { dir: name.into(), made_from: self.made_from.clone() }
    }

    /// The layer that it has mounted, as it was at that moment.
    pub fn layer(&self) -> PathBuf {
        self.dir.join(LAYER)
    }

    /// Which one is there: no two are the same.
    pub fn which(&self) -> Option<String> {
        Some(self.about()?.state_hash)
    }

    /// Whether its guest can mount a root before it is anybody, as far as is known.
    pub fn may_mount(&self) -> bool {
        self.about().is_none_or(|about| !about.unmountable)
    }

    fn about(&self) -> Option<About> {
        serde_json::from_slice(&std::fs::read(self.dir.join(ABOUT)).ok()?).ok()
    }

    /// Takes a saved machine away that is of no use.
    pub fn discard(&self) -> Res<()> {
        Ok(hc_fs::tree::remove(&self.dir)?)
    }

    /// Begins to save: a directory that has no name yet, with an empty file for QEMU's state. What is
    /// in its place is no whole machine, and goes.
    pub fn begin(&self) -> Res<Saving> {
        self.discard()?;
        let aside = self.dir.with_extension(std::process::id().to_string());
        hc_fs::tree::remove(&aside)?;
        hc_fs::durable::create_dir_all(&aside, 0o700)?;
        hc_fs::plain::create_new(&aside.join("state"), 0o600)?;
        // QEMU takes a descriptor for writing alone, and no other.
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let state = rustix::fs::open(aside.join("state"), flags, Mode::empty());
        let state = File::from(state.doing("save the machine")?);
        let (target, made_from) = (self.dir.clone(), self.made_from.clone());
        Ok(Saving { aside, target, made_from, state, layer: None })
    }
}

/// The place for a machine's like. `volumes`: their disks, and whether they can only be read; `written`:
/// bytes that it sees of the disk that it writes to.
pub(super) fn slot<F: AsFd>(
    config: &RunConfig,
    spec: &MachineSpec,
    (qemu, accelerator, words): (&Path, &Accelerator, &[String]),
    volumes: &[(F, bool)],
    written: u64,
) -> Res<Slot> {
    let vm = spec.vm.as_ref().ok_or_else(|| Problem::plain("vm is missing"))?;
    let mut disks = vec![(written, false)];
    for (file, read_only) in volumes {
        let found = rustix::fs::fstat(file).doing("look at a volume")?;
        disks.push((found.st_size.cast_unsigned(), *read_only));
    }
    Slot::of(
        &config.state_dir,
        &Likeness {
            qemu,
            accelerator,
            vm,
            image: spec.image.disk.as_deref().unwrap_or_else(|| spec.image.rootfs()),
            disks,
            networks: spec.networks.len() + spec.lan.len(),
            words,
        },
    )
}

/// A machine that is being saved.
#[derive(Debug)]
pub(super) struct Saving {
    aside: PathBuf,
    target: PathBuf,
    made_from: Vec<PathBuf>,
    /// Where QEMU writes what its devices are.
    pub state: File,
    /// The layer that it has mounted.
    pub layer: Option<PathBuf>,
}

impl Saving {
    /// Copies the memory of a machine that stands still, and its layer.
    pub fn copy(&self, ram: &Path) -> Res<()> {
        let copy = |from: &Path, name: &str| {
            let copy = hc_fs::plain::create_new(&self.aside.join(name), 0o444)?;
            let copied =
                File::open(from).and_then(|from| crate::base::copy_data(&from, &copy, &mut |_| ()));
            copied.doing_with(|| format!("copy the machine's {name}"))
        };
        copy(ram, "ram")?;
        self.layer.as_ref().map_or(Ok(()), |layer| copy(layer, LAYER))
    }

    /// Flushes it and gives it its name: from then on it is found. The machine may run meanwhile.
    /// `unmountable`: its guest was found to be one that cannot mount a root before it is anybody.
    pub fn finish(self, unmountable: bool) -> Res<()> {
        let action = "save the machine";
        let ram = File::open(self.aside.join("ram")).doing(action)?;
        let state = std::fs::read(self.aside.join("state")).doing(action)?;
        let ram_hash = contents_hash(&ram).doing(action)?;
        rustix::fs::fsync(&ram).doing(action)?;
        rustix::fs::fsync(File::open(self.aside.join("state")).doing(action)?).doing(action)?;
        let (ram, changed) = fingerprint(&ram.metadata().doing(action)?);
        let mut about = About {
            made_from: self.made_from.clone(),
            state_hash: hash(&state),
            ram_hash,
            ram,
            changed,
            layer: None,
            layer_hash: None,
            unmountable,
        };
        if self.layer.is_some() {
            let layer = File::open(self.aside.join(LAYER)).doing(action)?;
            rustix::fs::fsync(&layer).doing(action)?;
            about.layer_hash = Some(contents_hash(&layer).doing(action)?);
            about.layer = Some(fingerprint(&layer.metadata().doing(action)?));
        }
        let text = serde_json::to_vec(&about).expect("it has string keys only");
        hc_fs::durable::write(&self.aside.join(ABOUT), &text, 0o600)?;
        // Another machine may have been faster.
        if self.target.join(ABOUT).exists() {
            return Ok(());
        }
        hc_fs::tree::remove(&self.target)?;
        Ok(hc_fs::durable::rename(&self.aside, &self.target)?)
    }
}

impl Drop for Saving {
    fn drop(&mut self) {
        let _ = hc_fs::tree::remove(&self.aside);
    }
}

fn dir(state_dir: &Path) -> PathBuf {
    state_dir.join("saved")
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Hashes the pages of a file that are not empty, and where they are: holes come and go.
fn contents_hash(file: &File) -> std::io::Result<String> {
    const PAGE: usize = 4096;
    let mut hasher = blake3::Hasher::new();
    crate::base::read_data(file, &mut |mut offset, bytes| {
        for page in bytes.chunks(PAGE) {
            if page.iter().any(|byte| *byte != 0) {
                hasher.update(&offset.to_le_bytes()).update(page);
            }
            offset += page.len() as u64;
        }
        Ok(())
    })?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Bytes of a file and those on disk, and its last change in nanoseconds since 1970.
fn fingerprint(file: &std::fs::Metadata) -> ((u64, u64), i128) {
    let changed = i128::from(file.mtime()) * 1_000_000_000 + i128::from(file.mtime_nsec());
    ((file.len(), file.blocks()), changed)
}

/// What the kernel says of the first processor, without what changes as it runs.
fn processor() -> std::io::Result<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo")?;
    let lines = text.lines().take_while(|line| !line.is_empty());
    let lasting =
        lines.filter(|line| !line.starts_with("cpu MHz") && !line.starts_with("bogomips"));
    Ok(lasting.collect::<Vec<_>>().join("\n"))
}

/// What [`collect`] took away, or would.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Collected {
    /// The directory or file.
    pub path: PathBuf,
    /// Bytes it took on disk.
    pub bytes: u64,
}

/// Removes saved machines of which a file has left the store, ones that were not finished, and empty
/// file systems for layers, which are made again when they are needed.
///
/// # Errors
/// What the system refused.
pub fn collect(
    state_dir: &Path,
    in_store: &dyn Fn(&Path) -> bool,
    dry_run: bool,
) -> hc_fs::Result<Vec<Collected>> {
    let mut gone = Vec::new();
    let entries = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries(dir(state_dir)) {
        let path = entry.path();
        let about = std::fs::read(path.join(ABOUT)).ok();
        let about = about.and_then(|text| serde_json::from_slice::<About>(&text).ok());
        let kept = about.is_some_and(|about| about.made_from.iter().all(|file| in_store(file)));
        // Somebody may be at it: one that is not finished has the number of its maker.
        let maker = path.extension().and_then(|pid| pid.to_str()?.parse().ok());
        if kept || maker.is_some_and(|pid: i32| crate::status::start_time(pid).is_some()) {
            continue;
        }
        let bytes = entries(path.clone()).filter_map(|file| file.metadata().ok());
        let bytes = bytes.map(|file| file.blocks() * 512).sum();
        if !dry_run {
            hc_fs::tree::remove(&path)?;
        }
        gone.push(Collected { path, bytes });
    }
    gone.extend(layer::collect(state_dir, dry_run)?);
    Ok(gone)
}

#[cfg(test)]
mod tests;
