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
}

impl Volumes {
    /// Takes the volumes a description names, and makes those that are not there yet.
    pub fn hold(state_dir: &Path, spec: &MachineSpec) -> Res<Self> {
        Self::take(state_dir, spec, true)
    }

    /// Takes the volumes of a virtual machine. Its guest writes the images as it likes: this host's
    /// kernel never reads the file systems in them.
    pub fn hold_files(state_dir: &Path, spec: &MachineSpec) -> Res<Self> {
        Self::take(state_dir, spec, false)
    }

    fn take(state_dir: &Path, spec: &MachineSpec, shown: bool) -> Res<Self> {
        let mut held = BTreeMap::new();
        for (name, volume) in &spec.volumes {
            let dir = dir(state_dir, spec, name);
            held.insert(name.clone(), hold(&dir, name, volume, shown)?);
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

fn hold(dir: &Path, name: &Name, volume: &Volume, shown: bool) -> Res<Held> {
    hc_fs::durable::create_dir_all(dir, 0o700)?;
    // Who only looks whether it is in use holds it for a moment, too.
    let mut lock = ids::lock(&dir.join("lock"))?;
    for _ in 0..50 {
        if lock.is_none() {
            std::thread::sleep(std::time::Duration::from_millis(10));
            lock = ids::lock(&dir.join("lock"))?;
        }
    }
    let Some(lock) = lock else {
        return Err(Problem::plain(format!("volume '{name}' is in use by something else")));
    };
    let wrong = |error: super::VolumeError| Problem::plain(error.to_string());
    let _changing = super::store::changing(dir).map_err(wrong)?;
    let record = Record { path: volume.path.clone(), keep: volume.keep };
    let text = serde_json::to_vec(&record).expect("a record is a struct of plain fields");
    let file = dir.join("volume.json");
    if std::fs::read(&file).ok().as_deref() != Some(&text) {
        hc_fs::durable::write(&file, &text, 0o600)?;
    }
    let image = dir.join("image");
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
