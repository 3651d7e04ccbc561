//! Learning by inotify that a supervisor wrote its status.

use crate::error::{Context, Result};
use hc_spec::Name;
use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask, Watches};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, watch};

/// Counts the changes below `<run>/machines/NAME/`, for each name. One inotify instance for all:
/// the system has few of them.
#[derive(Debug, Clone)]
pub(crate) struct Watcher {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    watches: Watches,
    names: HashMap<WatchDescriptor, Name>,
    counts: HashMap<Name, watch::Sender<u64>>,
    /// Told of all other names.
    others: Arc<Notify>,
}

impl Watcher {
    /// Watches `root`, which exists. Needs a tokio runtime, which ends it.
    pub(crate) fn new(root: &Path) -> Result<Self> {
        let inotify = Inotify::init().on("watch", root)?;
        let mut watches = inotify.watches();
        watches
            .add(root, WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::ONLYDIR)
            .on("watch", root)?;
        // SAFETY: an Inotify names the same open descriptor for as long as it lives.
        let inotify = unsafe { AsyncFd::register_with_interest(inotify, Interest::READABLE) };
        let inotify = inotify.on("watch", root)?;
        let mut inner = Inner {
            root: root.into(),
            watches,
            names: HashMap::new(),
            counts: HashMap::new(),
            others: Arc::default(),
        };
        for entry in std::fs::read_dir(root).on("read", root)?.flatten() {
            if let Some(Ok(name)) = entry.file_name().to_str().map(Name::new) {
                inner.watch(&name);
            }
        }
        let inner = Arc::new(Mutex::new(inner));
        tokio::spawn(follow(inotify, Arc::clone(&inner)));
        Ok(Self { inner })
    }

    /// Changes of one machine from now on. Its directory may come and go.
    pub(crate) fn changes(&self, name: &Name) -> watch::Receiver<u64> {
        let mut inner = lock(&self.inner);
        inner.watch(name);
        let count = inner.counts.entry(name.clone()).or_insert_with(|| watch::Sender::new(0));
        count.subscribe()
    }

    /// Told of changes of machines that nobody asked about.
    pub(crate) fn others(&self) -> Arc<Notify> {
        Arc::clone(&lock(&self.inner).others)
    }

    /// Nobody asks about this machine any more.
    pub(crate) fn forget(&self, name: &Name) {
        lock(&self.inner).counts.remove(name);
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn watch(&mut self, name: &Name) {
        let mask = WatchMask::MOVED_TO | WatchMask::CLOSE_WRITE | WatchMask::ONLYDIR;
        // A directory that is not there (yet) is seen when it appears in the root.
        if let Ok(descriptor) = self.watches.add(self.root.join(name.as_str()), mask) {
            self.names.insert(descriptor, name.clone());
        }
    }

    fn bump(&self, name: &Name) {
        match self.counts.get(name) {
            Some(count) => count.send_modify(|n| *n += 1),
            None => self.others.notify_one(),
        }
    }

    fn event(&mut self, event: &inotify::Event<&std::ffi::OsStr>) {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            self.counts.values().for_each(|count| count.send_modify(|n| *n += 1));
            self.others.notify_one();
        } else if event.mask.contains(EventMask::IGNORED) {
            self.names.remove(&event.wd);
        } else if let Some(name) = self.names.get(&event.wd) {
            if event.name.is_some_and(|file| file == "status.json") {
                self.bump(&name.clone());
            }
        } else if let Some(Ok(name)) = event.name.and_then(|n| n.to_str()).map(Name::new) {
            self.watch(&name);
            // What was written before the watch was there.
            self.bump(&name);
        }
    }
}

async fn follow(mut inotify: AsyncFd<Inotify>, inner: Arc<Mutex<Inner>>) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(mut ready) = inotify.readable_mut().await {
        match ready.get_inner_mut().read_events(&mut buffer) {
            Ok(events) => {
                let mut inner = lock(&inner);
                events.for_each(|event| inner.event(&event));
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => ready.clear_ready(),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                tracing::error!(%error, "cannot follow the machines' status files");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_that_is_made_again_is_still_watched() {
        let root = tempfile::tempdir().unwrap();
        let name = Name::new("web").unwrap();
        let watcher = Watcher::new(root.path()).unwrap();
        let mut changes = watcher.changes(&name);
        let directory = root.path().join("web");
        for _ in 0..3 {
            hc_fs::plain::create_dir(&directory, 0o755).unwrap();
            hc_fs::durable::write(&directory.join("status.json"), b"{}", 0o644).unwrap();
            changes.changed().await.unwrap();
            hc_fs::tree::remove(&directory).unwrap();
        }
    }

    #[tokio::test]
    async fn machines_that_nobody_asked_about_are_told_together() {
        let root = tempfile::tempdir().unwrap();
        hc_fs::plain::create_dir(&root.path().join("there"), 0o755).unwrap();
        let watcher = Watcher::new(root.path()).unwrap();
        let others = watcher.others();
        let write = |name: &str| {
            let status = root.path().join(name).join("status.json");
            hc_fs::durable::write(&status, b"{}", 0o644).unwrap();
        };
        write("there");
        others.notified().await;
        hc_fs::plain::create_dir(&root.path().join("new"), 0o755).unwrap();
        others.notified().await;
        write("new");
        others.notified().await;
    }
}
