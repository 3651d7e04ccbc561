//! The fork of an image: a machine's own writable layer over the read-only base.

mod overlay;

pub(crate) use overlay::{carries, mount_image, mounts_files, store};

use crate::base::{Bases, ImageFile};
use crate::config::Places;
use crate::error::{Doing, Hint, Problem, Res};
use crate::sys::{btrfs, mount};
use crate::vm::layer;
use hc_fs::Lingering;
use rustix::fs::{CWD, Mode};
use rustix::mount::MountAttrFlags;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A directory that holds `upper` and `work`, `root`, or a file system with the former in it.
#[derive(Debug)]
pub(crate) struct Fork {
    /// The directory, or the file system.
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
    /// A layer that is a file system of its own, of a size.
    Sized,
}

const OVERLAYFS: u64 = 0x794c_7630;
const ROOT: &str = "root";
const OLD: &str = "old-fork";

impl Fork {
    /// Makes the layer, or finds the one that belongs to `closure`. One that belongs to another
    /// closure is moved aside for [`discard_old`]. With a `size` it is a file system of so many bytes, of
    /// which `state_dir` keeps empty ones. Else a new one is a snapshot where `image` has a base
    /// to take it of: somebody has made that on purpose; else a layer, which needs none.
    pub fn prepare(
        places: &Places,
        closure: &Path,
        image: Option<(&Bases, &ImageFile)>,
        size: Option<(&Path, u64)>,
    ) -> Res<Self> {
        if let Some((state_dir, size)) = size {
            let dir = layer::open(places, closure, state_dir, size)?.path;
            return Ok(Self { dir, kind: Kind::Sized });
        }
        let dir = claim(places, closure)?;
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

    /// Whether its mounts are nobody else's, and nothing waits for their end.
    pub fn goes_by_itself(&self) -> bool {
        matches!(self.kind, Kind::Layer | Kind::Volatile)
    }

    /// The machine's root, detached: `image` below, this fork above, both with the ids of a user
    /// namespace whose root is a given id here. What it was made of is put with what lingers.
    pub fn mount(
        &self,
        image: &Path,
        userns: Option<(BorrowedFd<'_>, u32)>,
        lingering: &mut Lingering,
    ) -> Res<OwnedFd> {
        if self.kind == Kind::Snapshot {
            return self.mount_snapshot(userns.map(|(userns, _)| userns));
        }
        let lower = mount_image(image)?;
        let upper = match self.kind {
            Kind::Volatile => {
                mount::make("tmpfs", &[("mode", Some("700"))], MountAttrFlags::empty())
                    .doing("make a layer in memory")?
            }
            Kind::Sized => layer::mount(&self.dir)?,
            Kind::Layer | Kind::Snapshot => {
                mount::copy(CWD, &self.dir).doing_with(|| format!("open {}", self.dir.display()))?
            }
        };
        if matches!(self.kind, Kind::Volatile | Kind::Sized) {
            for (name, mode) in [("upper", 0o755), ("work", 0o700)] {
                match rustix::fs::mkdirat(&upper, name, Mode::from_raw_mode(mode)) {
                    Err(rustix::io::Errno::EXIST) => {}
                    made => made.doing("make the directories of a layer")?,
                }
            }
        }
        if let Some((userns, _)) = userns {
            for (layer, what) in [(&lower, image), (&upper, self.dir.as_path())] {
                map_ids(layer, userns, what)?;
            }
        }
        overlay::overlay(lower, upper, userns.map_or(0, |(_, base)| base), lingering)
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

/// The directory of the fork that belongs to `closure`. One of another closure is moved aside for
/// [`discard_old`].
pub(crate) fn claim(places: &Places, closure: &Path) -> Res<PathBuf> {
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
    Ok(dir)
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

/// Removes a machine's fork and log.
pub(crate) fn remove(places: &Places) -> Res<()> {
    discard(&places.fork())?;
    discard_old(places)?;
    hc_fs::tree::remove(&places.state).map_err(Problem::from)
}
