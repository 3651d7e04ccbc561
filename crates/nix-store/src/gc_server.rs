//! While a collector runs, processes tell it what they need over a socket, as with C++ Nix: a
//! line with a store path, answered by a `1` once the path is safe, or gone for good.

use crate::error::{Context, Result};
use crate::layout::Layout;
use nix_compat::StorePath;
use rustix::event::{PollFd, PollFlags, poll};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

type Digest = [u8; 20];

#[derive(Default)]
struct Told {
    /// Hashes of paths that somebody needs.
    kept: BTreeSet<Digest>,
    /// Hashes of paths that are being deleted.
    condemned: BTreeSet<Digest>,
}

#[derive(Default)]
struct Shared {
    told: Mutex<Told>,
    released: Condvar,
    stop: AtomicBool,
}

impl Shared {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, path: &StorePath) {
        let mut told = self.told();
        told.kept.insert(*path.digest());
        while told.condemned.contains(path.digest()) {
            told = self.released.wait(told).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

pub(crate) struct Server {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
    /// Closed when the collector is done: that ends the thread.
    running: Option<UnixStream>,
    path: PathBuf,
}

impl Server {
    /// Listens; the caller holds the collectors' lock, so a socket that is there is left over.
    pub fn start(layout: &Layout) -> Result<Self> {
        let directory = layout.state.join("gc-socket");
        let path = directory.join("socket");
        hc_fs::plain::remove_file(&path)?;
        // A socket's address is short; the directory may be deep.
        let handle = File::open(&directory).on("open", &directory)?;
        let short = format!("/proc/self/fd/{}/socket", handle.as_raw_fd());
        let listener = UnixListener::bind(short).on("listen at", &path)?;
        listener.set_nonblocking(true).on("listen at", &path)?;
        crate::layout::chmod(&path, 0o666)?;
        let shared = Arc::new(Shared::default());
        let (running, ended) = UnixStream::pair().on("listen at", &path)?;
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || serve(&listener, &ended, &shared)
        });
        Ok(Self { shared, thread: Some(thread), running: Some(running), path })
    }

    /// Marks paths as being deleted, except those that somebody needs, which it gives back.
    pub fn condemn(&self, paths: &[StorePath]) -> Vec<StorePath> {
        let mut told = self.shared.told();
        let mut kept = Vec::new();
        for path in paths {
            if told.kept.contains(path.digest()) {
                kept.push(path.clone());
            } else {
                told.condemned.insert(*path.digest());
            }
        }
        kept
    }

    /// What was marked is gone.
    pub fn release(&self) {
        self.shared.told().condemned.clear();
        self.shared.released.notify_all();
    }

    pub fn keeps(&self, path: &StorePath) -> bool {
        self.shared.told().kept.contains(path.digest())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.release();
        self.running = None;
        let _ = hc_fs::plain::remove_file(&self.path);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Takes clients in the moment they come: a collection may be over in milliseconds, and they wait.
fn serve(listener: &UnixListener, ended: &UnixStream, shared: &Arc<Shared>) {
    loop {
        let mut ready = [PollFd::new(listener, PollFlags::IN), PollFd::new(ended, PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // Without a server, clients wait for the lock that the collector holds.
            Err(_) => return,
        }
        if !ready[1].revents().is_empty() {
            return;
        }
        match listener.accept() {
            Ok((client, _)) => {
                let shared = Arc::clone(shared);
                std::thread::spawn(move || answer(&client, &shared));
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            // No descriptor is free, say: it is tried again, but not at once.
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Ends when the client hangs up; a client that is still there when the collector ends gets its
/// answers all the same, which are then true of nothing but harmless: it asks for validity next.
fn answer(client: &UnixStream, shared: &Shared) {
    let _ = client.set_nonblocking(false);
    for line in BufReader::new(client).lines() {
        let Ok(line) = line else { return };
        if shared.stop.load(Ordering::Relaxed) {
            return; // The collector is done: the client takes the lock instead.
        }
        if let Ok(path) = line.parse() {
            shared.keep(&path);
        }
        let mut client = client;
        if client.write_all(b"1").is_err() {
            return;
        }
    }
}
