//! The fork of an image: a machine's own writable layer over the read-only base.

use crate::base::{Bases, ImageFile};
use crate::config::Places;
use crate::error::{Doing, Hint, Problem, Res};
use crate::sys::{btrfs, mount, process};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsOpenFlags, MountAttrFlags, fsconfig_set_fd, fsconfig_set_flag, fsconfig_set_string, fsopen,
};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A directory that holds `upper` and `work`, or `root`.
#[derive(Debug)]
pub(crate) struct Fork {
    dir: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A layer for what is written, `upper` and `work`.
    Layer,
    /// Its file system cannot carry an overlay: the layer is kept in memory.
    Volatile,
    /// A snapshot of the image's base, `root`.
    Snapshot,
}

const OVERLAYFS: u64 = 0x794c_7630;
const ROOT: &str = "root";
const OLD: &str = "old-fork";

impl Fork {
    /// Makes the layer, or finds the one that belongs to `closure`. One that belongs to another
    /// closure is moved aside for [`discard_old`]. A new one is a snapshot where `image` has a base
    /// to take it of: somebody has made that on purpose; else a layer, which needs none.
    pub fn prepare(
        places: &Places,
        closure: &Path,
        image: Option<(&Bases, &ImageFile)>,
    ) -> Res<Self> {
        let dir = places.fork();
        let record = places.state.join("closure");
        let closure = closure.as_os_str().as_bytes();
        let recorded = std::fs::read(&record);
        if !recorded.as_ref().is_ok_and(|recorded| recorded == closure) {
            set_aside(places)?;
            hc_fs::plain::create_dir_all(&dir, 0o700)?;
            hc_fs::plain::write(&record, closure, 0o644)?;
        }
        hc_fs::plain::create_dir_all(&dir, 0o700)?;
        let root = dir.join(ROOT);
        if !root.exists()
            && !dir.join("upper").exists()
            && let Some((bases, image)) = image
        {
            snapshot(bases, image, &dir)?;
        }
        if root.exists() {
            return Ok(Self { dir, kind: Kind::Snapshot });
        }
        // The upper directory's own mode is what the machine sees on "/".
        hc_fs::plain::create_dir(&dir.join("upper"), 0o755)?;
        hc_fs::plain::create_dir(&dir.join("work"), 0o700)?;
        let kind = rustix::fs::statfs(&dir).doing_with(|| format!("look at {}", dir.display()))?;
        let volatile = u64::try_from(kind.f_type) == Ok(OVERLAYFS);
        Ok(Self { dir, kind: if volatile { Kind::Volatile } else { Kind::Layer } })
    }

    /// What is written is lost when the machine stops.
    pub fn is_volatile(&self) -> bool {
        self.kind == Kind::Volatile
    }

    /// The machine's root, detached: `image` below, this fork above, both with the ids of a user
    /// namespace whose root is a given id here.
    pub fn mount(&self, image: &Path, userns: Option<(BorrowedFd<'_>, u32)>) -> Res<OwnedFd> {
        if self.kind == Kind::Snapshot {
            return self.mount_snapshot(userns.map(|(userns, _)| userns));
        }
        let lower = mount_image(image)?;
        let upper = if self.is_volatile() {
            mount::make("tmpfs", &[("mode", Some("700"))], MountAttrFlags::empty())
                .doing("make a layer in memory")?
        } else {
            mount::copy(CWD, &self.dir).doing_with(|| format!("open {}", self.dir.display()))?
        };
        if self.is_volatile() {
            for (name, mode) in [("upper", 0o755), ("work", 0o700)] {
                rustix::fs::mkdirat(&upper, name, Mode::from_raw_mode(mode))
                    .doing("make a layer in memory")?;
            }
        }
        if let Some((userns, _)) = userns {
            for (layer, what) in [(&lower, image), (&upper, self.dir.as_path())] {
                map_ids(layer, userns, what)?;
            }
        }
        overlay(lower, upper, userns.map_or(0, |(_, base)| base))
    }

    fn mount_snapshot(&self, userns: Option<BorrowedFd<'_>>) -> Res<OwnedFd> {
        let path = self.dir.join(ROOT);
        let root = mount::copy(CWD, &path).doing_with(|| format!("open {}", path.display()))?;
        // As a mount of its own would be, whatever the state directory's says.
        let clear = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        mount::change(root.as_fd(), MountAttrFlags::MOUNT_ATTR_NODEV, clear)
            .doing_with(|| format!("mount {}", path.display()))?;
        if let Some(userns) = userns {
            map_ids(&root, userns, &path)?;
        }
        Ok(root)
    }
}

fn map_ids(layer: &OwnedFd, userns: BorrowedFd<'_>, what: &Path) -> Res<()> {
    mount::map_ids(layer.as_fd(), userns)
        .doing_with(|| format!("mount {} with mapped ids", what.display()))
        .hint(
            "; its file system has to be ext4, XFS, btrfs or EROFS on a recent kernel, or the \
             machine needs isolation.userNamespace = false",
        )
}

/// Takes a snapshot of the image's base, if it has one, as `root` in `dir`.
fn snapshot(bases: &Bases, image: &ImageFile, dir: &Path) -> Res<()> {
    let action = || format!("take a snapshot of the base of {}", image.logical.display());
    let base = bases.root(image).map_err(|error| Problem::plain(error.to_string()))?;
    let Some((base, _slot)) = base else { return Ok(()) };
    let target = std::fs::File::open(dir).doing_with(action)?;
    match btrfs::snapshot(base.as_fd(), target.as_fd(), ROOT.as_ref()) {
        // The machines are on another file system than the bases: layers it is.
        Err(error) if [libc::EXDEV, libc::ENOTTY].contains(&error.raw_os_error().unwrap_or(0)) => {
            Ok(())
        }
        taken => taken.doing_with(action),
    }
}

/// Moves a fork out of the way in one step.
fn set_aside(places: &Places) -> Res<()> {
    let dir = places.fork();
    if !dir.exists() {
        return Ok(());
    }
    let mut count = 0;
    loop {
        let old = places.state.join(format!("{OLD}-{count}"));
        if !old.exists() {
            return Ok(hc_fs::plain::rename(&dir, &old)?);
        }
        count += 1;
    }
}

/// Deletes a fork; a snapshot in one step.
fn discard(fork: &Path) -> Res<()> {
    let said = |error: crate::base::ForkError| Problem::plain(error.to_string());
    crate::base::discard(&fork.join(ROOT)).map_err(said)?;
    Ok(hc_fs::tree::remove(fork)?)
}

/// Deletes forks that were moved aside.
pub(crate) fn discard_old(places: &Places) -> Res<()> {
    for entry in std::fs::read_dir(&places.state).into_iter().flatten().flatten() {
        if entry.file_name().as_bytes().starts_with(OLD.as_bytes()) {
            discard(&entry.path())?;
        }
    }
    Ok(())
}

/// Mounts an EROFS file: straight from the file where the kernel can (6.12), else through a loop
/// device that goes with the mount.
pub(crate) fn mount_image(image: &Path) -> Res<OwnedFd> {
    let action = || format!("mount the image {}", image.display());
    match erofs(image.as_os_str()) {
        Err(error) if error.raw_os_error() == Some(libc::ENOTBLK) => {}
        mounted => return mounted.doing_with(action),
    }
    let device = crate::sys::loopdev::attach(image).doing_with(action)?;
    erofs(device.path.as_os_str()).doing_with(action)
}

fn erofs(source: &OsStr) -> io::Result<OwnedFd> {
    let context = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "source", source)?;
    // Or a read-only device could not be opened.
    fsconfig_set_flag(context.as_fd(), "ro")?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV;
    mount::finish(&context, attributes)
}

/// `index` and `metacopy` are off whatever the host's defaults: a fork outlives its mount, and an
/// instance that is still going away must not make the next one fail. `redirect_dir` lets package
/// managers rename directories of the image.
const OPTIONS: [(&str, &str); 3] = [("index", "off"), ("metacopy", "off"), ("redirect_dir", "on")];

/// The kernel writes to the upper layer as whoever mounts it: somebody who has an id there.
fn overlay(lower: OwnedFd, upper: OwnedFd, owner: u32) -> Res<OwnedFd> {
    layered(Layers::Writable { lower, upper }, owner)
        .doing("put the machine's layer over its image")
        .hint("; the state directory has to be on a local file system such as ext4 or XFS")
}

/// The store at `store`, detached, with the ids of a user namespace, and read-only whatever its user
/// may do: an overlay without an upper layer cannot be made writable, which a flag of a mount can.
pub(crate) fn store(store: &Path, userns: Option<(BorrowedFd<'_>, u32)>) -> Res<OwnedFd> {
    let action = || format!("show {} to the machine", store.display());
    let files = mount::copy(CWD, store).doing_with(action)?;
    if let Some((userns, _)) = userns {
        mount::map_ids(files.as_fd(), userns).doing_with(action).hint(
            "; the store's file system has to be ext4, XFS or btrfs, or the machine needs \
             isolation.userNamespace = false",
        )?;
    }
    // Without an upper layer there have to be two.
    let below = mount::make("tmpfs", &[("mode", Some("755"))], MountAttrFlags::empty())
        .doing_with(action)?;
    let mounted = layered(Layers::ReadOnly([files, below]), userns.map_or(0, |(_, base)| base))
        .doing_with(action)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID;
    mount::restrict(mounted.as_fd(), attributes).doing_with(action)?;
    Ok(mounted)
}

/// Detached mounts to be laid over each other.
enum Layers {
    Writable {
        lower: OwnedFd,
        upper: OwnedFd,
    },
    /// From the highest down.
    ReadOnly([OwnedFd; 2]),
}

impl Layers {
    fn mounts(&self) -> [BorrowedFd<'_>; 2] {
        match self {
            Self::Writable { lower, upper } => [lower.as_fd(), upper.as_fd()],
            Self::ReadOnly([first, second]) => [first.as_fd(), second.as_fd()],
        }
    }
}

fn layered(layers: Layers, owner: u32) -> io::Result<OwnedFd> {
    match process::as_owner(owner, || overlay_of_descriptors(&layers)) {
        Ok(root) => Ok(root),
        // Kernels before 6.15 take layers only from where the caller's own mounts are.
        Err(_) => overlay_of_paths(layers, owner),
    }
}

fn layer(upper: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(upper, name, flags, Mode::empty())?)
}

fn context() -> io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "source", "hc")?;
    for (key, value) in OPTIONS {
        fsconfig_set_string(context.as_fd(), key, value)
            .map_err(|error| mount::explain(&context, error))?;
    }
    Ok(context)
}

fn overlay_of_descriptors(layers: &Layers) -> io::Result<OwnedFd> {
    let context = context()?;
    let set = |key, fd: BorrowedFd<'_>| {
        fsconfig_set_fd(context.as_fd(), key, fd).map_err(|error| mount::explain(&context, error))
    };
    match layers {
        Layers::Writable { lower, upper } => {
            set("lowerdir+", lower.as_fd())?;
            set("upperdir", layer(upper.as_fd(), "upper")?.as_fd())?;
            set("workdir", layer(upper.as_fd(), "work")?.as_fd())?;
        }
        Layers::ReadOnly(all) => {
            all.iter().try_for_each(|lower| set("lowerdir+", lower.as_fd()))?;
        }
    }
    mount::finish(&context, MountAttrFlags::MOUNT_ATTR_NODEV)
}

/// The same through paths, on a thread whose mount namespace ends with it.
fn overlay_of_paths(layers: Layers, owner: u32) -> io::Result<OwnedFd> {
    let attached = move || -> io::Result<OwnedFd> {
        process::unshare(libc::CLONE_FS | libc::CLONE_NEWNS)?;
        rustix::mount::mount_change(
            "/",
            rustix::mount::MountPropagationFlags::PRIVATE
                | rustix::mount::MountPropagationFlags::REC,
        )?;
        // Any two directories do: nobody else sees what is mounted here, and the layers are named
        // by descriptor.
        for (mount, at) in layers.mounts().into_iter().zip(["/tmp", "/sys"]) {
            mount::attach_at(mount, Path::new(at))?;
        }
        process::as_owner(owner, || {
            let context = context()?;
            let path = |fd: &OwnedFd| format!("/proc/thread-self/fd/{}", fd.as_raw_fd());
            let set = |key, value: String| {
                fsconfig_set_string(context.as_fd(), key, value)
                    .map_err(|error| mount::explain(&context, error))
            };
            match &layers {
                Layers::Writable { lower, upper } => {
                    set("lowerdir", path(lower))?;
                    set("upperdir", path(&layer(upper.as_fd(), "upper")?))?;
                    set("workdir", path(&layer(upper.as_fd(), "work")?))?;
                }
                Layers::ReadOnly([first, second]) => {
                    set("lowerdir", format!("{}:{}", path(first), path(second)))?;
                }
            }
            mount::finish(&context, MountAttrFlags::MOUNT_ATTR_NODEV)
        })
    };
    std::thread::spawn(attached)
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the mounting thread ended")))
}

/// Whether this kernel mounts EROFS straight from files.
pub(crate) fn mounts_files(image: &Path) -> io::Result<()> {
    erofs(image.as_os_str()).map(drop)
}

/// Whether a file system can carry the writable layer of an overlay: one is mounted, seen by nobody.
pub(crate) fn carries(dir: &Path) -> Res<()> {
    let place = dir.join(format!(".hc-probe-{}", std::process::id()));
    hc_fs::tree::remove(&place)?;
    let tried = || -> Res<()> {
        for name in ["", "lower", "upper", "work"] {
            hc_fs::plain::create_dir(&place.join(name), 0o700)?;
        }
        let open =
            |path: &Path| mount::copy(CWD, path).doing_with(|| format!("open {}", path.display()));
        overlay(open(&place.join("lower"))?, open(&place)?, 0).map(drop)
    };
    let tried = tried();
    hc_fs::tree::remove(&place)?;
    tried
}

/// Removes a machine's fork and log.
pub(crate) fn remove(places: &Places) -> Res<()> {
    discard(&places.fork())?;
    discard_old(places)?;
    hc_fs::tree::remove(&places.state).map_err(Problem::from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;
    use std::io::{Read, Write};

    fn image(dir: &Path) -> PathBuf {
        let (tree, image) = (dir.join("tree"), dir.join("image"));
        std::fs::create_dir(&tree).unwrap();
        std::fs::write(tree.join("base"), "of the image").unwrap();
        let mut make = std::process::Command::new("mkfs.erofs");
        assert!(
            make.arg("--quiet")
                .arg(&image)
                .arg(&tree)
                .status()
                .expect("tests need the package erofs-utils")
                .success()
        );
        image
    }

    fn open(at: &OwnedFd, name: &str, flags: OFlags) -> rustix::io::Result<std::fs::File> {
        rustix::fs::openat(at, name, flags, Mode::from_raw_mode(0o644)).map(Into::into)
    }

    fn read(at: &OwnedFd) -> String {
        let mut text = String::new();
        open(at, "base", OFlags::RDONLY).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_loop_device_serves_where_the_kernel_takes_no_files() {
        let dir = tempfile::tempdir().unwrap();
        let image = image(dir.path());
        let device = crate::sys::loopdev::attach(&image).unwrap();
        let mounted = erofs(device.path.as_os_str()).unwrap();
        let name = device.path.file_name().unwrap().to_owned();
        drop(device);
        assert_eq!(read(&mounted), "of the image");
        let backing = Path::new("/sys/block").join(name).join("loop/backing_file");
        let is_ours =
            || std::fs::read_to_string(&backing).is_ok_and(|file| Path::new(file.trim()) == image);
        assert!(is_ours(), "it is there as long as the mount");
        drop(mounted);
        while is_ours() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn both_ways_of_naming_layers_give_the_same() {
        for by_paths in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let lower = mount_image(&image(dir.path())).unwrap();
            for name in ["upper", "work"] {
                std::fs::create_dir(dir.path().join(name)).unwrap();
            }
            let upper = mount::copy(CWD, dir.path()).unwrap();
            let layers = Layers::Writable { lower, upper };
            let root = if by_paths {
                overlay_of_paths(layers, 0).unwrap()
            } else {
                overlay_of_descriptors(&layers).unwrap()
            };
            assert_eq!(read(&root), "of the image");
            let mut file = open(&root, "new", OFlags::CREATE | OFlags::WRONLY).unwrap();
            file.write_all(b"mine").unwrap();
            drop((file, root));
            assert_eq!(std::fs::read(dir.path().join("upper/new")).unwrap(), b"mine");
        }
    }

    #[test]
    fn what_shows_the_store_cannot_be_made_writable() {
        for by_paths in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("base"), "of the image").unwrap();
            let make = || mount::make("tmpfs", &[], MountAttrFlags::empty()).unwrap();
            let layers = Layers::ReadOnly([mount::copy(CWD, dir.path()).unwrap(), make()]);
            let root = if by_paths {
                overlay_of_paths(layers, 0).unwrap()
            } else {
                overlay_of_descriptors(&layers).unwrap()
            };
            assert_eq!(read(&root), "of the image");
            let written = open(&root, "base", OFlags::WRONLY).map(drop);
            assert_eq!(written, Err(rustix::io::Errno::ROFS));
        }
    }
}
