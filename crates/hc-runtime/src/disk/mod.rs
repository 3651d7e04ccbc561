//! Forks of disks: what a virtual machine writes to, and only what it changed takes room.
//!
//! `<state>/machines/MACHINE/disks/DISK/` holds `disk.raw` (blocks shared with the image) or
//! `disk.qcow2` (an overlay), and `image`, a link to the image's file. The directory gets its name
//! when it is whole: killed at any time, the old fork is there, or the new one. A fork is not
//! flushed to disk when it is made; after a power cut it may be empty, which is seen, and then
//! nothing that a machine had flushed was ever on it.

mod plan;
mod probe;
pub mod qcow2;

pub use plan::{Findings, Method, Plan, plan};
pub(crate) use probe::kind;
pub use probe::probe;

use crate::base::{self, Bases, Copying, Doing, ForkError, ImageFile, Keep, names};
use crate::sys::clone::share;
use hc_spec::Name;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes of a sector: a disk has whole ones.
pub const SECTOR: u64 = 512;

/// The disks of one state directory's machines.
#[derive(Debug, Clone)]
pub struct Disks {
    machines: PathBuf,
    bases: Bases,
}

/// A fork that is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The machine that writes to it.
    pub machine: &'a Name,
    /// Its name in the machine.
    pub disk: &'a Name,
    /// What it is a fork of: a raw disk.
    pub image: &'a ImageFile,
    /// Bytes, where it is to be larger than its image; rounded up to whole sectors. A fork that is
    /// there keeps the size it has.
    pub size: Option<u64>,
    /// Put it in the place of a fork of another image, or of this one; what was on that is lost.
    pub replace: bool,
}

/// A fork that is there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// The machine.
    pub machine: String,
    /// Its name in the machine.
    pub disk: String,
    /// The file to hand to the machine.
    pub path: PathBuf,
    /// What it is: [`Method::Reflink`] a raw disk, [`Method::Overlay`] a qcow2 one.
    pub method: Method,
    /// The image's file, by its name in the store; none for a disk that began empty.
    pub image: Option<PathBuf>,
    /// Bytes that the machine sees.
    pub size: u64,
    /// Bytes on disk; of a raw one, those it shares count too.
    pub bytes: u64,
}

impl Disk {
    /// `MACHINE/DISK`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.machine, self.disk)
    }
}

impl Disks {
    /// Those below `state_dir`, such as `/var/lib/hc`.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self { machines: state_dir.join("machines"), bases: Bases::new(state_dir) }
    }

    fn dir(&self, machine: &str) -> PathBuf {
        self.machines.join(machine).join("disks")
    }

    /// Takes a machine's disks for itself, and clears what was not finished.
    fn lock(&self, machine: &str) -> Result<(PathBuf, OwnedFd), ForkError> {
        let dir = self.dir(machine);
        let lock = loop {
            hc_fs::plain::create_dir_all(&dir, 0o700)?;
            if let Some(lock) = base::lock(&dir, rustix::fs::FlockOperation::LockExclusive)? {
                break lock;
            }
        };
        for name in names(&dir)?.iter().filter(|name| name.starts_with('.')) {
            hc_fs::tree::remove(&dir.join(name))?;
        }
        Ok((dir, lock))
    }

    /// The fork that is asked for: made the best way that works here, or found. Where only a copy
    /// of the image on this file system can share blocks, that copy is made first, once for all
    /// forks of the image, and `watch` is told; [`Bases::make_disk`] makes it ahead of time.
    ///
    /// # Errors
    /// [`ForkError::OtherImage`], [`ForkError::NoRoom`], [`ForkError::Impossible`], or what the
    /// system refused. What was there before is then still there.
    pub fn fork(
        &self,
        request: &Request<'_>,
        keep: Keep<'_>,
        watch: &dyn Fn(Copying<'_>),
    ) -> Result<Disk, ForkError> {
        let (machine, disk) = (request.machine.as_str(), request.disk.as_str());
        let (dir, _lock) = self.lock(machine)?;
        let target = dir.join(disk);
        let old = read(&target, machine, disk)?;
        if let (Some(old), false) = (&old, request.replace) {
            if old.image.as_ref() != Some(&request.image.logical) {
                return Err(ForkError::OtherImage {
                    machine: machine.into(),
                    disk: disk.into(),
                    old: old.image.clone().unwrap_or_else(|| "nothing".into()),
                    new: request.image.logical.clone(),
                });
            }
            return Ok(old.clone());
        }
        let fresh = dir.join(format!(".{disk}"));
        let made = self.make(request, &fresh, keep, watch).and_then(|slot| {
            // Also what is there and is no whole fork gives way.
            if target.symlink_metadata().is_ok() {
                hc_fs::plain::exchange(&fresh, &target)?;
                hc_fs::tree::remove(&fresh)?;
            } else {
                hc_fs::plain::rename(&fresh, &target)?;
            }
            drop(slot);
            Ok(())
        });
        if let Err(error) = made {
            let _ = hc_fs::tree::remove(&fresh);
            return Err(error);
        }
        read(&target, machine, disk)?.ok_or(ForkError::Gone(target))
    }

    /// A disk that begins empty, sparse: made, or found, and then no smaller than `size`, which is
    /// whole sectors. Gives its file, which is raw.
    ///
    /// # Errors
    /// When a disk of that name is a fork of an image, or what the system refused.
    pub fn blank(&self, machine: &Name, disk: &Name, size: u64) -> Result<PathBuf, ForkError> {
        let (dir, _lock) = self.lock(machine.as_str())?;
        let target = dir.join(disk.as_str());
        if let Some(old) = read(&target, machine.as_str(), disk.as_str())? {
            if let Some(image) = old.image {
                return Err(ForkError::OtherImage {
                    machine: machine.to_string(),
                    disk: disk.to_string(),
                    old: image,
                    new: "nothing".into(),
                });
            }
            let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file =
                rustix::fs::open(&old.path, flags, Mode::empty()).doing("open", &old.path)?;
            grow(&file.into(), size, &old.path)?;
            return Ok(old.path);
        }
        let fresh = dir.join(format!(".{disk}"));
        hc_fs::plain::create_dir(&fresh, 0o700)?;
        let raw = fresh.join("disk.raw");
        grow(&hc_fs::plain::create_new(&raw, 0o600)?, size, &raw)?;
        // What a power cut left is in the way.
        if target.symlink_metadata().is_ok() {
            hc_fs::plain::exchange(&fresh, &target)?;
            hc_fs::tree::remove(&fresh)?;
        } else {
            hc_fs::plain::rename(&fresh, &target)?;
        }
        Ok(target.join("disk.raw"))
    }

    /// Makes a fork in the directory `fresh`. What it gives keeps the base until the fork has its
    /// name and can be found.
    fn make(
        &self,
        request: &Request<'_>,
        fresh: &Path,
        keep: Keep<'_>,
        watch: &dyn Fn(Copying<'_>),
    ) -> Result<Option<base::Slot>, ForkError> {
        let image = request.image;
        let source = match File::open(&image.physical) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ForkError::Gone(image.logical.clone()));
            }
            opened => opened.doing("open", &image.physical)?,
        };
        let length = source.metadata().doing("look at", &image.physical)?.len();
        let size = wanted_size(request, length)?;
        hc_fs::plain::create_dir(fresh, 0o700)?;
        hc_fs::plain::symlink(&image.logical, &fresh.join("image"))?;
        let raw = fresh.join("disk.raw");
        let file = hc_fs::plain::create_new(&raw, 0o600)?;
        let try_share = |from: &File| -> Result<Result<(), String>, ForkError> {
            let shared = share(from, &file).map_err(|e| base::no_room(e, &raw, 0))?;
            Ok(probe::answer(shared, &self.machines))
        };

        let store = try_share(&source)?;
        if store.is_ok() {
            grow(&file, size, &raw)?;
            return Ok(None);
        }
        // The file system is asked by the fork itself: nothing is remembered that could be stale.
        let copy = self.bases.disk(image)?;
        let here = match &copy {
            Some((copy, _)) => try_share(copy)?,
            None => {
                hc_fs::durable::create_dir_all(self.bases.dir(), 0o700)?;
                probe::shares(self.bases.dir(), &self.machines)?
            }
        };
        let overlay = qcow2::fits(&image.physical);
        let findings = Findings { store, here, copied: copy.is_some(), overlay };
        let plan = plan(&findings)
            .map_err(|reasons| ForkError::Impossible { dir: self.machines.clone(), reasons })?;
        match (plan.method, copy) {
            (Method::Reflink, Some((_, slot))) => {
                grow(&file, size, &raw)?;
                Ok(Some(slot))
            }
            (Method::Reflink, None) => {
                self.bases.make_disk(image, watch)?;
                let made = self.bases.disk(image)?;
                let (copy, slot) = made.ok_or_else(|| ForkError::Gone(image.logical.clone()))?;
                try_share(&copy)?.map_err(|why| ForkError::Impossible {
                    dir: self.machines.clone(),
                    reasons: vec![why],
                })?;
                grow(&file, size, &raw)?;
                Ok(Some(slot))
            }
            (Method::Overlay, _) => {
                let slot = self.bases.keep(image, keep)?;
                qcow2::create(&file, &image.physical, size)
                    .map_err(|error| base::no_room(error, &raw, 256 << 10))?;
                hc_fs::plain::rename(&raw, &fresh.join("disk.qcow2"))?;
                Ok(Some(slot))
            }
        }
    }

    /// All forks that are there, by machine and name.
    ///
    /// # Errors
    /// When the directories cannot be read.
    pub fn list(&self) -> Result<Vec<Disk>, ForkError> {
        let mut disks = Vec::new();
        for machine in names(&self.machines)? {
            let dir = self.dir(&machine);
            for disk in names(&dir)?.iter().filter(|disk| !disk.starts_with('.')) {
                disks.extend(read(&dir.join(disk), &machine, disk)?);
            }
        }
        Ok(disks)
    }

    /// Makes a disk larger that nothing uses; what is new reads as zeros. Nothing where there is no such
    /// disk.
    ///
    /// # Errors
    /// [`ForkError::Size`] when it has more already, or what the system refused.
    pub fn grow(&self, machine: &Name, disk: &Name, size: u64) -> Result<Option<Disk>, ForkError> {
        let (dir, _lock) = self.lock(machine.as_str())?;
        let target = dir.join(disk.as_str());
        let Some(old) = read(&target, machine.as_str(), disk.as_str())? else { return Ok(None) };
        let refuse = |why: String| ForkError::Size {
            machine: machine.to_string(),
            disk: disk.to_string(),
            asked: size,
            why,
        };
        if size < old.size || size > qcow2::SIZE_MAX {
            return Err(refuse(format!("it has {}, and does not shrink", old.size)));
        }
        let size = size.next_multiple_of(SECTOR);
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::open(&old.path, flags, Mode::empty()).doing("open", &old.path)?;
        let file = File::from(file);
        match old.method {
            Method::Reflink => {
                grow(&file, size, &old.path)?;
                file.sync_all().doing("write out", &old.path)?;
            }
            Method::Overlay => qcow2::grow(&file, size).map_err(|error| match error.kind() {
                std::io::ErrorKind::InvalidInput => refuse(error.to_string()),
                _ => base::no_room(error, &old.path, 0),
            })?,
        }
        read(&target, machine.as_str(), disk.as_str())
    }

    /// Bytes that a machine sees of a disk, or would see of one that is made now.
    ///
    /// # Errors
    /// When it or its image cannot be read.
    pub fn size(&self, request: &Request<'_>) -> Result<u64, ForkError> {
        let (machine, disk) = (request.machine.as_str(), request.disk.as_str());
        if let Some(there) = read(&self.dir(machine).join(disk), machine, disk)? {
            return Ok(there.size);
        }
        let image = &request.image.physical;
        wanted_size(request, image.metadata().doing("look at", image)?.len())
    }

    /// Whether a fork, or a snapshot of one, reads `image` (the last part of its store path) in the
    /// store.
    ///
    /// # Errors
    /// When the directories cannot be read.
    pub fn read_image(&self, image: &str) -> Result<bool, ForkError> {
        let path = Path::new("/nix/store").join(image);
        let reads = |disk: &Disk| {
            disk.method == Method::Overlay
                && disk.image.as_ref().is_some_and(|image| image.starts_with(&path))
        };
        let mut all = self.list()?;
        for dir in crate::snapshots::disks(&self.machines)? {
            for disk in names(&dir)? {
                all.extend(read(&dir.join(&disk), "", &disk)?);
            }
        }
        Ok(all.iter().any(reads))
    }

    /// Removes one disk of a machine; says whether it was there.
    ///
    /// # Errors
    /// What the system refused.
    pub fn remove(&self, machine: &Name, disk: &Name) -> Result<bool, ForkError> {
        if !self.dir(machine.as_str()).join(disk.as_str()).exists() {
            return Ok(false);
        }
        let (dir, _lock) = self.lock(machine.as_str())?;
        let aside = dir.join(format!(".{disk}"));
        hc_fs::durable::rename(&dir.join(disk.as_str()), &aside)?;
        hc_fs::tree::remove(&aside)?;
        Ok(true)
    }
}

fn wanted_size(request: &Request<'_>, length: u64) -> Result<u64, ForkError> {
    let asked = request.size.unwrap_or(length);
    let refuse = |why: String| ForkError::Size {
        machine: request.machine.to_string(),
        disk: request.disk.to_string(),
        asked,
        why,
    };
    if asked < length {
        return Err(refuse(format!("its image has {length}, and cutting it off loses data")));
    }
    if asked > qcow2::SIZE_MAX {
        return Err(refuse(format!("no disk has more than {}", qcow2::SIZE_MAX)));
    }
    Ok(asked.next_multiple_of(SECTOR))
}

fn grow(file: &File, size: u64, path: &Path) -> Result<(), ForkError> {
    if file.metadata().doing("look at", path)?.len() < size {
        rustix::fs::ftruncate(file, size).doing("size", path)?;
    }
    Ok(())
}

/// The fork in a directory; `None` when there is none, or one that a power cut left empty.
fn read(dir: &Path, machine: &str, disk: &str) -> Result<Option<Disk>, ForkError> {
    let image = std::fs::read_link(dir.join("image")).ok();
    for (file, method) in [("disk.raw", Method::Reflink), ("disk.qcow2", Method::Overlay)] {
        let path = dir.join(file);
        let opened = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            opened => opened.doing("open", &path)?,
        };
        let found = opened.metadata().doing("look at", &path)?;
        let size = match method {
            Method::Reflink => Some(found.len()).filter(|length| *length > 0),
            Method::Overlay => qcow2::read(&opened).doing("read", &path)?.map(|h| h.size),
        };
        let Some(size) = size else { return Ok(None) };
        let (machine, disk) = (machine.to_owned(), disk.to_owned());
        let bytes = found.blocks() * 512;
        return Ok(Some(Disk { machine, disk, path, method, image, size, bytes }));
    }
    Ok(None)
}
