//! An image below, a writable layer above.

use crate::error::{Doing, Hint, Res};
use crate::sys::{mount, process};
use hc_fs::Lingering;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsOpenFlags, MountAttrFlags, fsconfig_set_fd, fsconfig_set_flag, fsconfig_set_string, fsopen,
};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

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
pub(super) fn overlay(
    lower: OwnedFd,
    upper: OwnedFd,
    owner: u32,
    lingering: &mut Lingering,
) -> Res<OwnedFd> {
    layered(Layers::Writable { lower, upper }, owner, lingering)
        .doing("put the machine's layer over its image")
        .hint("; the state directory has to be on a local file system such as ext4 or XFS")
}

/// The store at `store`, detached, with the ids of a user namespace, and read-only whatever its user
/// may do: an overlay without an upper layer cannot be made writable, which a flag of a mount can.
pub(crate) fn store(
    store: &Path,
    userns: Option<(BorrowedFd<'_>, u32)>,
    lingering: &mut Lingering,
) -> Res<OwnedFd> {
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
    let layers = Layers::ReadOnly([files, below]);
    let owner = userns.map_or(0, |(_, base)| base);
    let mounted = layered(layers, owner, lingering).doing_with(action)?;
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

impl From<Layers> for [OwnedFd; 2] {
    fn from(layers: Layers) -> Self {
        match layers {
            Layers::Writable { lower, upper } => [lower, upper],
            Layers::ReadOnly(all) => all,
        }
    }
}

impl Layers {
    fn mounts(&self) -> [BorrowedFd<'_>; 2] {
        match self {
            Self::Writable { lower, upper } => [lower.as_fd(), upper.as_fd()],
            Self::ReadOnly([first, second]) => [first.as_fd(), second.as_fd()],
        }
    }
}

/// The kernel has its own copies of the layers' mounts then.
fn layered(layers: Layers, owner: u32, lingering: &mut Lingering) -> io::Result<OwnedFd> {
    match process::as_owner(owner, || overlay_of_descriptors(&layers)) {
        Ok(root) => {
            <[OwnedFd; 2]>::from(layers).into_iter().for_each(|layer| lingering.hold(layer));
            Ok(root)
        }
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
        let mut lingering = Lingering::default();
        overlay(open(&place.join("lower"))?, open(&place)?, 0, &mut lingering).map(drop)
    };
    let tried = tried();
    hc_fs::tree::remove(&place)?;
    tried
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;
    use std::io::{Read, Write};
    use std::path::PathBuf;

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
