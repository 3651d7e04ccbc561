//! What keeps what a machine writes over its image: an ext4 file system in a sparse file. It is a virtual
//! machine's disk, and the upper layer of a container whose root has a size.
//!
//! An empty one of each size is made once, `<state>/layers/BYTES.raw`, and machines' are copies that
//! share its blocks where the file system can; else the few hundred kilobytes in it are copied.

use super::command::Written;
use super::saved::Collected;
use crate::base::{ForkError, ImageFile, Keep};
use crate::config::{Places, RunConfig};
use crate::disk::{Disks, Method, Request};
use crate::error::{Doing, Hint, Problem, Res};
use crate::sys::clone::{Shared, share};
use crate::sys::mount;
use hc_spec::{MachineSpec, Name};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::mount::MountAttrFlags;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const LAYER: &str = "layer.raw";
/// The name of a machine's disk, where its root is on one.
pub(super) const ROOT: &str = "root";

/// A disk that a machine writes to.
pub(crate) struct Layer {
    pub path: PathBuf,
    pub file: File,
    /// The image below, where the file is a qcow2 overlay over it; else it is raw.
    pub below: Option<File>,
    /// Bytes that the machine sees.
    pub size: u64,
    /// It was made just now, as a copy of one that a saved machine has mounted.
    pub mounted: bool,
}

impl Layer {
    /// As QEMU has it. `is_root`: the root is on it.
    pub(super) fn written(&self, is_root: bool) -> Written<BorrowedFd<'_>> {
        let (file, below) = (self.file.as_fd(), self.below.as_ref().map(AsFd::as_fd));
        Written { file, below, is_root }
    }
}

/// Does something about the machine's fork of an image that is a whole disk.
fn on_disk<T>(
    config: &RunConfig,
    spec: &MachineSpec,
    image: &Path,
    work: impl FnOnce(&Disks, &Request<'_>) -> Result<T, ForkError>,
) -> Res<T> {
    let plain = |error: &dyn std::error::Error| Problem::plain(error.to_string());
    let disk = Name::new(ROOT).map_err(|error| plain(&error))?;
    let image =
        ImageFile::new(image, config.store_root.as_deref()).map_err(|error| plain(&error))?;
    let machine = &spec.name;
    let request = Request { machine, disk: &disk, image: &image, size: None, replace: false };
    work(&Disks::new(&config.state_dir), &request).map_err(|error| plain(&error))
}

/// Bytes of that fork, which need not be there.
pub(super) fn size_of_disk(config: &RunConfig, spec: &MachineSpec, image: &Path) -> Res<u64> {
    on_disk(config, spec, image, |disks, request| disks.size(request))
}

/// That fork: made, or found.
pub(super) fn of_disk(
    config: &RunConfig,
    spec: &MachineSpec,
    image: &Path,
    keep: Keep<'_>,
) -> Res<Layer> {
    let (made, image) = on_disk(config, spec, image, |disks, request| {
        let made = disks.fork(request, keep, &|_| ())?;
        Ok((made, request.image.physical.clone()))
    })?;
    let below = match made.method {
        Method::Overlay => {
            let below = File::open(&image);
            Some(below.doing_with(|| format!("open {}", image.display()))?)
        }
        Method::Reflink => None,
    };
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(&made.path, flags, Mode::empty());
    let file = file.doing_with(|| format!("open {}", made.path.display()))?.into();
    Ok(Layer { path: made.path, file, below, size: made.size, mounted: false })
}

/// The layer of the machine's fork that belongs to `closure`: made, or found. One of another closure
/// is moved aside, as a container's is.
pub(crate) fn open(places: &Places, closure: &Path, state_dir: &Path, size: u64) -> Res<Layer> {
    open_as(places, closure, state_dir, size, None)
}

/// The same; one that is made is a copy of `mounted`, if there is such a one.
pub(super) fn open_as(
    places: &Places,
    closure: &Path,
    state_dir: &Path,
    size: u64,
    mounted: Option<&Path>,
) -> Res<Layer> {
    let dir = crate::fork::claim(places, closure)?;
    let path = dir.join(LAYER);
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let opened = rustix::fs::open(&path, flags, Mode::empty()).map(File::from);
    // One that a power cut left empty never held anything.
    if let Ok(layer) = opened
        && layer.metadata().is_ok_and(|found| found.len() == size)
    {
        return Ok(Layer { path, file: layer, below: None, size, mounted: false });
    }
    let action = || format!("make {}", path.display());
    let mounted = mounted.and_then(|layer| File::open(layer).ok());
    let (empty, mounted) = match mounted {
        Some(layer) => (layer, true),
        None => (File::open(template(state_dir, size)?).doing_with(action)?, false),
    };
    let fresh = dir.join(".layer.raw");
    hc_fs::plain::remove_file(&fresh)?;
    hc_fs::plain::create_new(&fresh, 0o600)?;
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let layer = File::from(rustix::fs::open(&fresh, flags, Mode::empty()).doing_with(action)?);
    if let Shared::No(_) = share(&empty, &layer).doing_with(action)? {
        crate::base::copy_data(&empty, &layer, &mut |_| ()).doing_with(action)?;
    }
    hc_fs::plain::rename(&fresh, &path)?;
    Ok(Layer { path, file: layer, below: None, size, mounted })
}

/// The layer in the machine's fork, mounted by this host and not attached yet. Whoever used it before may
/// have ended a moment ago: the kernel unmounts it then, which is waited for.
pub(crate) fn mount(layer: &Path) -> Res<OwnedFd> {
    let plain = |error: crate::volumes::VolumeError| Problem::plain(error.to_string());
    let device = crate::volumes::attach(layer).map_err(plain)?;
    let source = device.path.to_string_lossy().into_owned();
    // What is deleted inside is room on the host again, and tables that are zeros stay holes.
    let options = [("source", Some(&*source)), ("discard", None), ("noinit_itable", None)];
    let mounted = mount::make("ext4", &options, MountAttrFlags::MOUNT_ATTR_NODEV);
    mounted
        .doing_with(|| format!("mount {}", layer.display()))
        .hint("; the host's kernel needs ext4 (CONFIG_EXT4_FS), and `e2fsck` mends a file system")
}

/// Bytes of the host that the layer in the machine's fork takes; none where there is none.
#[must_use]
pub fn used(places: &Places) -> Option<u64> {
    std::fs::metadata(places.fork().join(LAYER)).ok().map(|layer| layer.blocks() * 512)
}

/// An empty file of this size for a fork's disk, in the machine's fork that belongs to `closure`: what
/// is in it comes later.
pub(super) fn blank(places: &Places, closure: &Path, size: u64) -> Res<Layer> {
    let path = crate::fork::claim(places, closure)?.join(LAYER);
    let action = || format!("make {}", path.display());
    hc_fs::plain::remove_file(&path)?;
    let made = hc_fs::plain::create_new(&path, 0o600)?;
    rustix::fs::ftruncate(&made, size).doing_with(action)?;
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = File::from(rustix::fs::open(&path, flags, Mode::empty()).doing_with(action)?);
    Ok(Layer { path, file, below: None, size, mounted: false })
}

/// The empty file system of this size, made if it is not there.
pub(super) fn template(state_dir: &Path, size: u64) -> Res<PathBuf> {
    let dir = state_dir.join("layers");
    let path = dir.join(format!("{size}.raw"));
    if path.exists() {
        return Ok(path);
    }
    hc_fs::durable::create_dir_all(&dir, 0o700)?;
    let lock = hc_fs::plain::append(&dir.join("lock"), 0o600)?;
    let action = || format!("make {}", path.display());
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).doing_with(action)?;
    if path.exists() {
        return Ok(path);
    }
    let temporary = dir.join(format!("{size}.tmp"));
    hc_fs::plain::remove_file(&temporary)?;
    let file = hc_fs::plain::create_new(&temporary, 0o600)?;
    rustix::fs::ftruncate(&file, size).doing_with(action)?;
    // Nothing is left for the machine to do: the file's zeros are known to be zeros.
    let output = Command::new("mkfs.ext4")
        .args(["-q", "-F", "-m", "0", "-L", "layer", "-E", "lazy_journal_init=1"])
        .arg(&temporary)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| {
            Problem::plain(format!(
                "cannot run 'mkfs.ext4': {error}; install the package 'e2fsprogs'"
            ))
        })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Problem::plain(format!("'mkfs.ext4' failed ({}): {said}", output.status)));
    }
    rustix::fs::fsync(&file).doing_with(action)?;
    hc_fs::durable::rename(&temporary, &path)?;
    Ok(path)
}

/// Removes the empty file systems that are there.
pub(super) fn collect(state_dir: &Path, dry_run: bool) -> hc_fs::Result<Vec<Collected>> {
    let mut gone = Vec::new();
    for entry in std::fs::read_dir(state_dir.join("layers")).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_one = path.extension().is_some_and(|extension| extension == "raw");
        let Some(found) = entry.metadata().ok().filter(|_| is_one) else { continue };
        if !dry_run {
            hc_fs::plain::remove_file(&path)?;
        }
        gone.push(Collected { path, bytes: found.blocks() * 512 });
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_layer_outlives_restarts_and_goes_with_its_description() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(dir.path(), dir.path(), "db");
        hc_fs::plain::create_dir_all(&places.state, 0o755).unwrap();
        let size = 64 << 20;
        let layer =
            |closure: &str| open(&places, Path::new(closure), dir.path(), size).unwrap().file;
        let first = layer("/one");
        let mut magic = [0; 2];
        first.read_exact_at(&mut magic, 1080).unwrap();
        assert_eq!(magic, [0x53, 0xef]);
        assert_eq!(first.metadata().unwrap().len(), size);
        assert!(first.metadata().unwrap().blocks() * 512 < 8 << 20);
        first.write_all_at(b"kept", 4096).unwrap();
        let read = |layer: File| {
            let mut bytes = [0; 4];
            layer.read_exact_at(&mut bytes, 4096).unwrap();
            bytes
        };
        assert_eq!(&read(layer("/one")), b"kept");
        assert_ne!(&read(layer("/two")), b"kept");
        // What a power cut left of one is none.
        hc_fs::plain::write(&places.fork().join(LAYER), b"", 0o600).unwrap();
        assert_eq!(layer("/two").metadata().unwrap().len(), size);
    }
}
