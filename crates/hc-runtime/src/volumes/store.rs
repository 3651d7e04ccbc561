//! All volumes of a host, whether their machines run or are gone.

use super::held::Record;
use super::name::{VolumeName, is_snapshot, stamp, unused};
use super::{Doing, Result, VolumeError, image};
use crate::ids;
use crate::sys::clone::{Shared, share};
use crate::vm::session;
use hc_guest::wire::ToGuest;
use hc_spec::Name;
use serde::Serialize;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What snapshots by schedule begin with.
const AUTOMATIC: &str = "auto-";

/// The volumes of a state directory.
#[derive(Debug, Clone)]
pub struct VolumeStore {
    root: PathBuf,
    /// Where machines that run are described.
    run_dir: PathBuf,
}

/// How long the guest of a virtual machine may take to write out what it has in memory, or to grow.
const PATIENCE: Duration = Duration::from_secs(20);

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeInfo {
    /// `MACHINE/VOLUME`.
    pub name: String,
    /// Where its machine saw it last.
    pub path: PathBuf,
    /// Bytes it has room for.
    pub size_bytes: u64,
    /// Bytes it takes on the host; shared ones count for each who has them.
    pub used_bytes: u64,
    /// Whether something uses it now.
    pub in_use: bool,
    /// Whether it is to be kept.
    pub keep: bool,
    /// Oldest first.
    pub snapshots: Vec<Snapshot>,
}

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub made_at: u64,
    /// Bytes it has room for.
    pub size_bytes: u64,
}

/// Held by whoever changes a volume's files; waits for others.
pub(super) fn changing(dir: &Path) -> Result<File> {
    let path = dir.join("changing");
    let file = hc_fs::plain::append(&path, 0o600)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).doing("lock it", &path)?;
    Ok(file)
}

impl VolumeStore {
    /// The volumes of `state_dir`, of machines that run in `run_dir`.
    #[must_use]
    pub fn new(state_dir: &Path, run_dir: &Path) -> Self {
        Self { root: state_dir.join("volumes"), run_dir: run_dir.into() }
    }

    /// Has the guest of a virtual machine that uses a volume do something.
    fn tell(&self, name: &VolumeName, what: &ToGuest) -> Result<()> {
        match session::tell(&self.run_dir, name.machine.as_str(), what, PATIENCE) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(problem)) => {
                Err(VolumeError::Guest { volume: name.clone(), problem: problem.to_string() })
            }
        }
    }

    fn dir(&self, name: &VolumeName) -> Result<PathBuf> {
        let dir = self.root.join(name.machine.as_str()).join(name.volume.as_str());
        if dir.join("image").is_file() { Ok(dir) } else { Err(VolumeError::Missing(name.clone())) }
    }

    /// The image of a volume.
    ///
    /// # Errors
    /// When there is no such volume.
    pub fn image(&self, name: &VolumeName) -> Result<PathBuf> {
        Ok(self.dir(name)?.join("image"))
    }

    /// Every volume, by name.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn names(&self) -> Result<Vec<VolumeName>> {
        let mut names = Vec::new();
        for machine in labels(&self.root)? {
            for volume in labels(&self.root.join(machine.as_str()))? {
                let name = VolumeName { machine: machine.clone(), volume };
                if self.dir(&name).is_ok() {
                    names.push(name);
                }
            }
        }
        names.sort();
        Ok(names)
    }

    /// What there is to know of one.
    ///
    /// # Errors
    /// When there is no such volume, or it cannot be looked at.
    pub fn info(&self, name: &VolumeName) -> Result<VolumeInfo> {
        let dir = self.dir(name)?;
        let image = dir.join("image");
        let stat = std::fs::metadata(&image).doing("look at it", &image)?;
        let Record { path, keep, .. } = record(&dir);
        Ok(VolumeInfo {
            name: name.to_string(),
            path,
            size_bytes: stat.len(),
            used_bytes: stat.blocks() * 512,
            in_use: lock(&dir)?.is_none(),
            keep,
            snapshots: self.snapshots(name)?,
        })
    }

    /// Its snapshots, the oldest first.
    ///
    /// # Errors
    /// When there is no such volume, or they cannot be listed.
    pub fn snapshots(&self, name: &VolumeName) -> Result<Vec<Snapshot>> {
        let dir = self.dir(name)?.join("snapshots");
        let mut all = Vec::new();
        let entries = match std::fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
            entries => entries.doing("list its snapshots", &dir)?,
        };
        for entry in entries {
            let entry = entry.doing("list its snapshots", &dir)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !is_snapshot(&name) {
                continue;
            }
            let stat = entry.metadata().doing("look at a snapshot", &dir)?;
            let made_at = u64::try_from(stat.mtime()).unwrap_or(0);
            all.push(Snapshot { name, made_at, size_bytes: stat.len() });
        }
        all.sort_by(|a, b| (a.made_at, &a.name).cmp(&(b.made_at, &b.name)));
        Ok(all)
    }

    /// Makes a snapshot: all that was written so far, at one instant, whether the volume is in use
    /// or not. Blocks are shared; where they cannot be, only `copy` makes one, of a volume that is
    /// not in use. Without a name it has the time's.
    ///
    /// # Errors
    /// When there is no such volume, or no snapshot can be made.
    pub fn snapshot(&self, name: &VolumeName, as_name: Option<&str>, copy: bool) -> Result<String> {
        let dir = self.dir(name)?;
        if let Some(wrong) = as_name.filter(|name| !is_snapshot(name)) {
            return Err(VolumeError::Name(wrong.into()));
        }
        let _changing = changing(&dir)?;
        let snapshots = dir.join("snapshots");
        let snapshot = as_name.map_or_else(|| unused(&snapshots, &stamp(now())), str::to_owned);
        hc_fs::durable::create_dir_all(&snapshots, 0o700)?;
        let path = snapshots.join(&snapshot);
        if path.exists() {
            return Err(VolumeError::Exists { volume: name.clone(), snapshot });
        }
        let image = dir.join("image");
        self.tell(name, &ToGuest::Flush)?;
        image::sync(&image)?;
        // Nobody begins to use it while it is copied.
        let _unused = match copy {
            true => Some(lock(&dir)?.ok_or_else(|| VolumeError::Busy(name.clone()))?),
            false => None,
        };
        let new = snapshots.join(format!(".{snapshot}"));
        same_contents(&image, &new, copy, name)?;
        hc_fs::durable::rename(&new, &path)?;
        Ok(snapshot)
    }

    /// Makes a snapshot of today's schedule if the last one is at least `every_sec` old, and
    /// removes all but the `keep` newest of the schedule's. Gives the new one's name.
    ///
    /// # Errors
    /// As for [`Self::snapshot`].
    pub fn on_schedule(
        &self,
        name: &VolumeName,
        every_sec: u64,
        keep: u32,
    ) -> Result<Option<String>> {
        let is_automatic = |snapshot: &Snapshot| snapshot.name.starts_with(AUTOMATIC);
        let mut all = self.snapshots(name)?;
        all.retain(is_automatic);
        let newest = all.last().map_or(0, |snapshot| snapshot.made_at);
        let time = now();
        // A clock that was set back does not end the schedule.
        let made = if time >= newest.saturating_add(every_sec) || newest > time + every_sec {
            Some(self.snapshot(name, Some(&format!("{AUTOMATIC}{}", stamp(time))), false)?)
        } else {
            None
        };
        let mut all = self.snapshots(name)?;
        all.retain(is_automatic);
        let spare = all.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
        for old in &all[..spare] {
            self.remove_snapshot(name, &old.name)?;
        }
        Ok(made)
    }

    /// Makes the volume what it was at a snapshot. What it was until now becomes a snapshot itself,
    /// whose name is given back.
    ///
    /// # Errors
    /// When the volume is in use, or there is no such snapshot.
    pub fn restore(&self, name: &VolumeName, snapshot: &str, copy: bool) -> Result<String> {
        let dir = self.dir(name)?;
        let _changing = changing(&dir)?;
        let Some(_unused) = lock(&dir)? else { return Err(VolumeError::Busy(name.clone())) };
        let path = dir.join("snapshots").join(snapshot);
        if !is_snapshot(snapshot) || !path.is_file() {
            let (volume, snapshot) = (name.clone(), snapshot.into());
            return Err(VolumeError::NoSnapshot { volume, snapshot });
        }
        let (image, new) = (dir.join("image"), dir.join("image.new"));
        same_contents(&path, &new, copy, name)?;
        let before = unused(&dir.join("snapshots"), &format!("before-restore-{}", stamp(now())));
        let kept = dir.join("snapshots").join(&before);
        // The same file under a second name first: at no moment is there no image.
        hc_fs::plain::hard_link(&image, &kept)?;
        hc_fs::durable::sync_dir(&dir.join("snapshots"))?;
        hc_fs::durable::rename(&new, &image)?;
        hc_fs::plain::touch(&kept)?;
        Ok(before)
    }

    /// Makes room for `size` bytes, while it is in use too.
    ///
    /// # Errors
    /// When it has more already, or the file system cannot grow.
    pub fn grow(&self, name: &VolumeName, size: u64) -> Result<()> {
        let dir = self.dir(name)?;
        let _changing = changing(&dir)?;
        let image = dir.join("image");
        let now = std::fs::metadata(&image).doing("look at it", &image)?.len();
        if size < now {
            return Err(VolumeError::Shrinks { volume: name.clone(), now, asked: size });
        }
        image::grow(&image, size)?;
        self.tell(name, &ToGuest::Grow(name.volume.to_string(), size))
    }

    /// Removes one snapshot.
    ///
    /// # Errors
    /// When there is none.
    pub fn remove_snapshot(&self, name: &VolumeName, snapshot: &str) -> Result<()> {
        let path = self.dir(name)?.join("snapshots").join(snapshot);
        if !is_snapshot(snapshot) || !path.is_file() {
            let (volume, snapshot) = (name.clone(), snapshot.into());
            return Err(VolumeError::NoSnapshot { volume, snapshot });
        }
        Ok(hc_fs::durable::remove_file(&path)?)
    }

    /// Removes a volume and its snapshots; `force` one that is to be kept, too.
    ///
    /// # Errors
    /// When something uses it, or it is to be kept.
    pub fn remove(&self, name: &VolumeName, force: bool) -> Result<()> {
        let dir = self.dir(name)?;
        let changing = changing(&dir)?;
        let Some(unused) = lock(&dir)? else { return Err(VolumeError::Busy(name.clone())) };
        if record(&dir).keep && !force {
            return Err(VolumeError::Kept(name.clone()));
        }
        hc_fs::tree::remove(&dir)?;
        drop((changing, unused));
        // The machine's directory goes with its last volume.
        let _ = rustix::fs::rmdir(self.root.join(name.machine.as_str()));
        Ok(())
    }
}

/// Removes the volumes of forks that are gone: of one machine, or of all.
pub(crate) fn remove_forked(state_dir: &Path, machine: Option<&Name>) -> Result<()> {
    let store = VolumeStore::new(state_dir, Path::new(""));
    for name in store.names()? {
        let dir = store.root.join(name.machine.as_str()).join(name.volume.as_str());
        if machine.is_none_or(|machine| *machine == name.machine) && record(&dir).forked {
            match store.remove(&name, true) {
                // Its fork runs, or somebody else was here.
                Err(VolumeError::Busy(_) | VolumeError::Missing(_)) => {}
                removed => removed?,
            }
        }
    }
    Ok(())
}

/// Removes what a volume holds, whose directory the caller has taken.
pub(super) fn clear(dir: &Path) -> hc_fs::Result<()> {
    hc_fs::plain::remove_file(&dir.join("image"))?;
    hc_fs::tree::remove(&dir.join("snapshots"))
}

pub(super) fn record(dir: &Path) -> Record {
    let text = std::fs::read(dir.join("volume.json")).unwrap_or_default();
    // One that cannot be read is of a volume somebody may want.
    let unknown = || Record { path: PathBuf::new(), keep: true, forked: false };
    serde_json::from_slice(&text).unwrap_or_else(|_| unknown())
}

fn lock(dir: &Path) -> Result<Option<File>> {
    ids::lock(&dir.join("lock")).map_err(|problem| VolumeError::System {
        path: dir.into(),
        action: problem.to_string(),
        source: io::ErrorKind::Other.into(),
    })
}

/// Makes `to` the same as `from`, flushed: by sharing blocks, or with `copy` by copying.
fn same_contents(from: &Path, to: &Path, copy: bool, name: &VolumeName) -> Result<()> {
    hc_fs::plain::remove_file(to)?;
    let source = File::open(from).doing("open it", from)?;
    let target = hc_fs::plain::create_new(to, 0o600)?;
    let done = (|| {
        match share(&source, &target).doing("share its blocks", from)? {
            Shared::Yes => {}
            Shared::No(_) if copy => {
                crate::base::copy_data(&source, &target, &mut |_| ()).doing("copy it", from)?;
            }
            Shared::No(error) => {
                let kind = crate::disk::kind(from);
                let why = format!("{kind} ({}) shares no blocks: {error}", from.display());
                return Err(VolumeError::Copy { volume: name.clone(), why });
            }
        }
        target.sync_all().doing("write it out", to)
    })();
    if done.is_err() {
        let _ = hc_fs::plain::remove_file(to);
    }
    done
}

fn labels(dir: &Path) -> Result<Vec<Name>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.doing("list it", dir)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.doing("list it", dir)?.file_name();
        names.extend(name.to_str().and_then(|name| Name::new(name).ok()));
    }
    Ok(names)
}

/// The time in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
