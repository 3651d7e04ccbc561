//! Roots that last as long as a process has the store open.

use crate::error::{Context, Result};
use crate::layout::Layout;
use crate::lock;
use nix_compat::StorePath;
use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The highest process number Linux gives, plus one.
const PIDS: u32 = 1 << 22;

/// How many names a process has: C++ Nix reads numbers below 2^31.
const NAMES: u32 = (1 << 31) / PIDS;

/// How often this process has opened a store.
static OPENED: AtomicU32 = AtomicU32::new(0);

/// A file named after the process with the paths it needs; locked as long as it is meant.
pub(crate) struct TempRoots {
    file: File,
    path: PathBuf,
    gc_lock: File,
    /// The connection to the collector that runs. One for all paths: C++ Nix's collector can die of
    /// clients that come and go.
    collector: Option<UnixStream>,
    known: BTreeSet<StorePath>,
}

impl TempRoots {
    pub fn new(layout: &Layout) -> Result<Self> {
        let gc_lock = lock::open(&layout.gc_lock())?;
        // C++ Nix takes these names for numbers, and thinks that a file of its own number must be
        // left over; a process that opens the store twice needs numbers no process has. None is
        // used again soon: a collector that has just seen the old file would delete the new one.
        loop {
            let nth = OPENED.fetch_add(1, Ordering::Relaxed) % NAMES;
            let name = std::process::id() + nth * PIDS;
            let path = layout.temp_roots().join(name.to_string());
            let file = lock::open(&path)?;
            if !lock::try_lock(&file, true, &path)? {
                continue;
            }
            if file.metadata().on("read", &path)?.len() == 0 && is_at(&file, &path) {
                return Ok(Self { file, path, gc_lock, collector: None, known: BTreeSet::new() });
            }
            // Left by a dead process of this number, or deleted by a collector just now.
            bury(&file, &path)?;
        }
    }

    pub fn add(&mut self, layout: &Layout, path: &StorePath) -> Result<()> {
        if self.known.contains(path) {
            return Ok(());
        }
        // Written down first, for every collector that starts from now on. One that runs already
        // may have read the file before: it is told, and says when the path is safe.
        let mut line = path.to_string().into_bytes();
        line.push(0);
        self.file.write_all(&line).on("write", &self.path)?;
        let gc_lock_path = layout.gc_lock();
        while !lock::try_lock(&self.gc_lock, false, &gc_lock_path)? {
            // The connection there is may be to a collector that has ended since.
            let kept = self.collector.take().filter(|socket| tell(socket, path).is_ok());
            let told = kept.map_or_else(
                || connect(layout).and_then(|socket| tell(&socket, path).map(|()| socket)),
                Ok,
            );
            if let Ok(socket) = told {
                self.collector = Some(socket);
                self.known.insert(path.clone());
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        lock::unlock(&self.gc_lock, &gc_lock_path)?;
        self.collector = None; // of a collector that has ended
        self.known.insert(path.clone());
        Ok(())
    }
}

impl Drop for TempRoots {
    fn drop(&mut self) {
        let _ = bury(&self.file, &self.path);
    }
}

/// Whether the name is still this file's.
fn is_at(file: &File, path: &Path) -> bool {
    let same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    matches!((file.metadata(), path.symlink_metadata()), (Ok(a), Ok(b)) if same(&a, &b))
}

/// Deletes a file of roots that is meant no longer, which the caller has locked; whoever has it open
/// and waits for the lock sees that it is not empty.
fn bury(mut file: &File, path: &Path) -> Result<()> {
    let _ = file.write_all(b"d");
    if is_at(file, path) {
        hc_fs::plain::remove_file(path)?;
    }
    Ok(())
}

fn connect(layout: &Layout) -> std::io::Result<UnixStream> {
    // A socket's address is short; the directory may be deep.
    let directory = File::open(layout.state.join("gc-socket"))?;
    UnixStream::connect(format!("/proc/self/fd/{}/socket", directory.as_raw_fd()))
}

/// Tells the collector of a path, and waits until it is safe or gone.
fn tell(mut collector: &UnixStream, path: &StorePath) -> std::io::Result<()> {
    collector.write_all(format!("{path}\n").as_bytes())?;
    let mut answer = [0];
    collector.read_exact(&mut answer)
}

/// What all processes that have the store open need. Files of dead processes are deleted.
pub(crate) fn read_all(layout: &Layout) -> Result<BTreeSet<StorePath>> {
    let mut roots = BTreeSet::new();
    let directory = layout.temp_roots();
    for entry in std::fs::read_dir(&directory).on("read", &directory)? {
        let path = entry.on("read", &directory)?.path();
        let Ok(file) = lock::open(&path) else { continue };
        if lock::try_lock(&file, true, &path)? {
            let _ = bury(&file, &path);
            continue;
        }
        let Ok(file) = File::open(&path) else { continue };
        for line in BufReader::new(file).split(0) {
            let line = line.on("read", &path)?;
            roots.extend(StorePath::from_absolute_path(&line).ok());
        }
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;
    use std::process::{Command, Stdio};

    /// A collector that opened the file of a store that was closed meanwhile deletes no other.
    #[test]
    fn the_file_of_a_store_opened_again_is_not_taken_for_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(Some(dir.path())).unwrap();
        layout.create().unwrap();
        let first = TempRoots::new(&layout).unwrap();
        let (path, seen) = (first.path.clone(), lock::open(&first.path).unwrap());
        drop(first);
        let second = TempRoots::new(&layout).unwrap();
        assert_ne!(second.path, path, "collectors of C++ Nix do not look twice");
        let again = lock::open(&path).unwrap();
        assert!(lock::try_lock(&again, true, &path).unwrap());
        assert!(lock::try_lock(&seen, true, &path).unwrap());
        bury(&seen, &path).unwrap();
        assert!(path.exists());
        drop(seen);
        bury(&again, &path).unwrap();
        assert!(!path.exists());
    }

    /// C++ Nix up to 2.34 can die of clients that hang up at once: one whose thread ends before it
    /// was written down leaves its descriptor's number behind, and the next client with that number
    /// ends the collector.
    #[test]
    fn a_collector_of_nix_survives_many_roots() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let store = crate::Store::open(crate::StoreConfig {
            root: Some(root.clone()),
            ..crate::StoreConfig::default()
        });
        drop(store.unwrap());
        let layout = Layout::new(Some(&root)).unwrap();
        let hold = dir.path().join("hold");
        assert!(Command::new("mkfifo").arg(&hold).status().unwrap().success());
        let mut collector = Command::new("nix-store")
            .args(["--store", root.to_str().unwrap(), "--gc"])
            .env("HOME", dir.path())
            .env("NIX_CONF_DIR", dir.path())
            .env("NIX_CONFIG", "build-users-group =\nsubstitute = false")
            // Both names of the point where C++ Nix's own tests hold its collector.
            .env("_NIX_TEST_GC_SYNC", &hold)
            .env("_NIX_TEST_GC_SYNC_2", &hold)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nix-store is missing: install nix-bin, the judge of this test");
        while !layout.state.join("gc-socket/socket").exists() {
            assert!(collector.try_wait().unwrap().is_none(), "the collector ended by itself");
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut roots = TempRoots::new(&layout).unwrap();
        for n in 0..10_000 {
            let path: StorePath = format!("/nix/store/{n:0>32}-asked").parse().unwrap();
            roots.add(&layout, &path).unwrap();
        }
        assert!(collector.try_wait().unwrap().is_none(), "the collector ended meanwhile");
        // Opened for writing and closed: the collector goes on.
        std::fs::write(&hold, "").unwrap();
        let ended = collector.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
}
