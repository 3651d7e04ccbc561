//! The volumes of a machine that runs.

use super::image;
use crate::error::{Doing, Hint, Problem, Res};
use crate::ids;
use crate::sys::loopdev::LoopDevice;
use crate::sys::mount;
use hc_spec::storage::Volume;
use hc_spec::{MachineSpec, Name};
use rustix::mount::MountAttrFlags as Attr;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Holds the machine's volumes for as long as it lives.
#[derive(Debug, Default)]
pub(crate) struct Volumes(BTreeMap<Name, Held>);

#[derive(Debug)]
struct Held {
    image: PathBuf,
    device: Option<LoopDevice>,
    _lock: File,
}

/// `volume.json`: what is to be known of a volume when its machine is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    /// Where its machine saw it last.
    pub path: PathBuf,
    /// Whether it is to be kept.
    #[serde(default)]
    pub keep: bool,
    /// Whether it is a fork's, and nobody's once that is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forked: bool,
}

/// What a machine has its volumes for.
#[derive(Debug, Clone, Copy)]
enum Use<'a> {
    /// To mount them on this host.
    Mounts,
    /// As disks.
    Disks,
    /// As disks of these sizes, in the order of their names, for another machine's contents.
    Blanks(&'a [u64]),
}

impl Volumes {
    /// Takes the volumes a description names, and makes those that are not there yet.
    pub fn hold(state_dir: &Path, spec: &MachineSpec) -> Res<Self> {
        Self::take(state_dir, spec, Use::Mounts)
    }

    /// Takes the volumes of a virtual machine. Its guest writes the images as it likes: this host's
    /// kernel never reads the file systems in them.
    pub fn hold_files(state_dir: &Path, spec: &MachineSpec) -> Res<Self> {
        Self::take(state_dir, spec, Use::Disks)
    }

    /// Makes files of these sizes for the volumes of a fork, in the order of their names. What is in them
    /// comes from the original.
    pub fn hold_blank(state_dir: &Path, spec: &MachineSpec, sizes: &[u64]) -> Res<Self> {
        Self::take(state_dir, spec, Use::Blanks(sizes))
    }

    fn take(state_dir: &Path, spec: &MachineSpec, purpose: Use<'_>) -> Res<Self> {
        let mut held = BTreeMap::new();
        for (index, (name, volume)) in spec.volumes.iter().enumerate() {
            let dir = dir(state_dir, spec, name);
            let taken = match purpose {
                Use::Mounts => hold(&dir, name, volume, true)?,
                Use::Disks => hold(&dir, name, volume, false)?,
                Use::Blanks(sizes) => {
                    let size = sizes.get(index).copied().unwrap_or(volume.size);
                    hold_blank(&dir, name, volume, size)?
                }
            };
            held.insert(name.clone(), taken);
        }
        Ok(Self(held))
    }

    /// The images, by name of the volume.
    pub fn images(&self) -> impl Iterator<Item = &Path> {
        self.0.values().map(|held| held.image.as_path())
    }

    /// The volume as a detached mount.
    pub fn mount(
        &self,
        name: &Name,
        read_only: bool,
        userns: Option<BorrowedFd<'_>>,
    ) -> Res<OwnedFd> {
        let action = || format!("mount volume '{name}'");
        let held = self.0.get(name);
        let Some((held, device)) = held.and_then(|held| Some((held, held.device.as_ref()?))) else {
            return Err(Problem::plain(format!("volume '{name}' is not held")));
        };
        let mounted = image::mount_device(device).doing_with(action).hint(
            "; the host's kernel needs XFS (CONFIG_XFS_FS), and `xfs_repair` mends an image",
        )?;
        image::fill(&mounted, &held.image).map_err(|error| Problem::plain(error.to_string()))?;
        if let Some(userns) = userns {
            mount::map_ids(mounted.as_fd(), userns).doing_with(action)?;
        }
        if read_only {
            mount::restrict(mounted.as_fd(), Attr::MOUNT_ATTR_RDONLY).doing_with(action)?;
        }
        Ok(mounted)
    }

    /// Waits until everything the machine wrote is in the images: the kernel unmounts what nobody
    /// uses a moment after its last user is gone.
    pub fn release(&mut self) -> Res<()> {
        for (name, held) in &mut self.0 {
            drop(held.device.take());
            let file = File::open(&held.image).doing_with(|| format!("open volume '{name}'"))?;
            if !image::released(&file).doing("look at the loop devices")? {
                return Err(Problem::plain(format!(
                    "volume '{name}' is still in use by something of the host (losetup -a)"
                )));
            }
        }
        Ok(())
    }
}

/// Bytes that a volume has, or will have when its machine starts.
pub(crate) fn size(state_dir: &Path, spec: &MachineSpec, name: &Name, volume: &Volume) -> u64 {
    let now = std::fs::metadata(dir(state_dir, spec, name).join("image"));
    now.map_or(0, |image| image.len()).max(volume.size)
}

fn dir(state_dir: &Path, spec: &MachineSpec, name: &Name) -> PathBuf {
    state_dir.join("volumes").join(spec.name.as_str()).join(name.as_str())
}

/// Takes a volume's directory, for as long as the file is open.
fn claim(dir: &Path, name: &Name) -> Res<File> {
    hc_fs::durable::create_dir_all(dir, 0o700)?;
    // Who only looks whether it is in use holds it for a moment, too.
    let mut lock = ids::lock(&dir.join("lock"))?;
    for _ in 0..50 {
        if lock.is_none() {
            std::thread::sleep(std::time::Duration::from_millis(10));
            lock = ids::lock(&dir.join("lock"))?;
        }
    }
    lock.ok_or_else(|| Problem::plain(format!("volume '{name}' is in use by something else")))
}

fn write_down(dir: &Path, record: &Record) -> Res<()> {
    let text = serde_json::to_vec(record).expect("a record is a struct of plain fields");
    let file = dir.join("volume.json");
    if std::fs::read(&file).ok().as_deref() != Some(&text) {
        hc_fs::durable::write(&file, &text, 0o600)?;
    }
    Ok(())
}

/// What a fork of this name left when the host went down is no volume of its machine.
fn clear_forked(dir: &Path) -> hc_fs::Result<()> {
    let is_forked = dir.join("image").exists() && super::store::record(dir).forked;
    if is_forked { super::store::clear(dir) } else { Ok(()) }
}

fn hold_blank(dir: &Path, name: &Name, volume: &Volume, size: u64) -> Res<Held> {
    let lock = claim(dir, name)?;
    let wrong = |error: super::VolumeError| Problem::plain(error.to_string());
    let _changing = super::store::changing(dir).map_err(wrong)?;
    let image = dir.join("image");
    if image.exists() && !super::store::record(dir).forked {
        return Err(Problem::plain(format!(
            "there is a volume '{name}' that a machine of this name left ({}); `hc volume rm` removes it",
            image.display()
        )));
    }
    super::store::clear(dir)?;
    write_down(dir, &Record { path: volume.path.clone(), keep: false, forked: true })?;
    let made = hc_fs::plain::create_new(&image, 0o600)?;
    rustix::fs::ftruncate(&made, size).doing_with(|| format!("make {}", image.display()))?;
    Ok(Held { image, device: None, _lock: lock })
}

fn hold(dir: &Path, name: &Name, volume: &Volume, shown: bool) -> Res<Held> {
    let lock = claim(dir, name)?;
    let wrong = |error: super::VolumeError| Problem::plain(error.to_string());
    let _changing = super::store::changing(dir).map_err(wrong)?;
    let image = dir.join("image");
    clear_forked(dir)?;
    write_down(dir, &Record { path: volume.path.clone(), keep: volume.keep, forked: false })?;
    match std::fs::metadata(&image) {
        Ok(now) if now.len() >= volume.size => {}
        Ok(_) => image::grow(&image, volume.size).map_err(wrong)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            image::make(&image, volume.size).map_err(wrong)?;
        }
        Err(error) => return Err(error).doing_with(|| format!("look at volume '{name}'")),
    }
    let device = shown.then(|| image::attach(&image)).transpose().map_err(wrong)?;
    Ok(Held { image, device, _lock: lock })
}

#[cfg(test)]
mod tests {
    use super::super::{VolumeStore, store};
    use super::*;
    use std::io::Read;

    #[test]
    fn what_a_fork_had_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let text = r#"{"schema":1,"name":"two","host":"demo","cloud":"demo","kind":"microvm",
            "image":{"rootfs":"/r"},"command":["/x"],
            "volumes":{"data":{"path":"/data","size":314572800,"keep":true}},
            "vm":{"kernel":"/k","initrd":"/i","memory":268435456,"vcpus":1,"layerSize":67108864}}"#;
        let spec = MachineSpec::from_json(text.as_bytes()).unwrap();
        let (state, image) = (dir.path(), dir.path().join("volumes/two/data/image"));
        let names = || VolumeStore::new(state, state).names().unwrap().len();
        let first = || {
            let mut bytes = [0; 4];
            File::open(&image).unwrap().read_exact(&mut bytes).unwrap();
            bytes
        };
        let fork = || Volumes::hold_blank(state, &spec, &[1 << 30]);
        let held = fork().unwrap();
        hc_fs::plain::write(&image, b"the original's", 0o600).unwrap();
        // It runs.
        store::remove_forked(state, None).unwrap();
        assert_eq!(names(), 1);
        drop(held);
        // The host went down, and there is another of that name, or a machine.
        let held = fork().unwrap();
        assert_eq!((first(), std::fs::metadata(&image).unwrap().len()), ([0; 4], 1 << 30));
        drop(held);
        let volume = image.parent().unwrap();
        clear_forked(volume).unwrap();
        assert_eq!(names(), 0);
        // Which keeps its own.
        write_down(volume, &Record::default()).unwrap();
        hc_fs::plain::write(&image, b"its own", 0o600).unwrap();
        clear_forked(volume).unwrap();
        let refused = fork().unwrap_err().to_string();
        assert!(refused.contains("there is a volume 'data'"), "{refused}");
        store::remove_forked(state, None).unwrap();
        assert_eq!(names(), 1);
        let (other, forked) =
            (Name::new("one").unwrap(), Record { forked: true, ..Record::default() });
        write_down(volume, &forked).unwrap();
        store::remove_forked(state, Some(&other)).unwrap();
        assert_eq!(names(), 1);
        // A process that another test has just forked may still have the lock's file open.
        for _ in 0..500 {
            store::remove_forked(state, Some(&spec.name)).unwrap();
            if names() == 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("it is still there");
    }
}
