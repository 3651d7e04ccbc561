//! Roots that last as long as a process has the store open.

use crate::error::{Context, Result};
use crate::layout::Layout;
use crate::lock;
use nix_compat::StorePath;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// The highest process number Linux gives, plus one.
const PIDS: u32 = 1 << 22;

/// A file named after the process with the paths it needs; locked as long as it is meant.
pub(crate) struct TempRoots {
    file: File,
    path: PathBuf,
    gc_lock: File,
    known: BTreeSet<StorePath>,
}

impl TempRoots {
    pub fn new(layout: &Layout) -> Result<Self> {
        let gc_lock = lock::open(&layout.gc_lock())?;
        // C++ Nix takes these names for numbers, and thinks that a file of its own number must be
        // left over; a process that opens the store twice needs numbers no process has.
        for nth in 0.. {
            let name = std::process::id() + nth * PIDS;
            let path = layout.temp_roots().join(name.to_string());
            let file = lock::open(&path)?;
            if !lock::try_lock(&file, true, &path)? {
                continue;
            }
            let size = file.metadata().on("read", &path)?.len();
            if size == 0 && path.exists() {
                return Ok(Self { file, path, gc_lock, known: BTreeSet::new() });
            }
            // Left by a dead process of this number, or deleted by a collector just now.
            let _ = hc_fs::plain::remove_file(&path)?;
            let file = lock::open(&path)?;
            if lock::try_lock(&file, true, &path)?
                && file.metadata().on("read", &path)?.len() == 0
                && path.exists()
            {
                return Ok(Self { file, path, gc_lock, known: BTreeSet::new() });
            }
        }
        unreachable!("the range has no end")
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
            if tell_collector(layout, path).is_ok() {
                self.known.insert(path.clone());
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        lock::unlock(&self.gc_lock, &gc_lock_path)?;
        self.known.insert(path.clone());
        Ok(())
    }
}

impl Drop for TempRoots {
    fn drop(&mut self) {
        let _ = hc_fs::plain::remove_file(&self.path);
    }
}

fn tell_collector(layout: &Layout, path: &StorePath) -> std::io::Result<()> {
    // A socket's address is short; the directory may be deep.
    let directory = File::open(layout.state.join("gc-socket"))?;
    let mut socket =
        UnixStream::connect(format!("/proc/self/fd/{}/socket", directory.as_raw_fd()))?;
    socket.write_all(format!("{path}\n").as_bytes())?;
    let mut answer = [0];
    socket.read_exact(&mut answer)
}

/// What all processes that have the store open need. Files of dead processes are deleted.
pub(crate) fn read_all(layout: &Layout) -> Result<BTreeSet<StorePath>> {
    let mut roots = BTreeSet::new();
    let directory = layout.temp_roots();
    for entry in std::fs::read_dir(&directory).on("read", &directory)? {
        let path = entry.on("read", &directory)?.path();
        let Ok(mut file) = lock::open(&path) else { continue };
        if lock::try_lock(&file, true, &path)? {
            let _ = file.write_all(b"d");
            let _ = hc_fs::plain::remove_file(&path);
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
