//! What a builder with `recursive-nix` may see of the store, which grows as it adds and builds, and
//! the socket where it asks.

use super::users::BuildUsers;
use crate::error::{Context, Result, io};
use crate::layout::chmod;
use crate::remote::{Client, serve_builder};
use crate::store::Store;
use nix_compat::StorePath;
use nix_compat::wire::RealisationId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use rustix::thread::{
    ThreadNameSpaceType, UnshareFlags, move_into_thread_name_spaces, unshare_unsafe,
};
use std::collections::BTreeSet;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The name of the socket in the build directory, as with C++ Nix.
pub(super) const SOCKET: &str = ".nix-socket";
/// Clients that are served at once; the others wait.
const CLIENTS: usize = 64;
/// Who waits for one of them, waits so long at a time.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// What a builder sees of the store.
pub(crate) trait Yard: Sync {
    /// Whether it may know of a path.
    fn sees(&self, path: &StorePath) -> bool;
    /// All that it sees.
    fn paths(&self) -> BTreeSet<StorePath>;
    /// Shows it valid paths.
    fn admit(&self, paths: &BTreeSet<StorePath>) -> Result<()>;
    /// It had these outputs built.
    fn note_built(&self, outputs: BTreeSet<RealisationId>);
    /// Whether it had this output built.
    fn has_built(&self, output: &RealisationId) -> bool;
}

/// The sandbox of one build, from outside.
pub(super) struct Sandbox<'a> {
    store: &'a Store,
    inputs: &'a BTreeSet<StorePath>,
    /// The builder's `/nix/store`, from before it ran: whatever it does to its tree, this is it.
    directory: OwnedFd,
    /// The builder's process, once it runs.
    process: OnceLock<OwnedFd>,
    added: Mutex<BTreeSet<StorePath>>,
    built: Mutex<BTreeSet<RealisationId>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Sandbox<'a> {
    /// `directory` is the sandbox's `/nix/store`, on the host.
    pub fn new(
        store: &'a Store,
        inputs: &'a BTreeSet<StorePath>,
        directory: &Path,
    ) -> Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::open(directory, flags, Mode::empty()).on("open", directory)?;
        let (added, built) = (Mutex::default(), Mutex::default());
        Ok(Self { store, inputs, directory: opened, process: OnceLock::new(), added, built })
    }

    /// The builder runs.
    pub fn started(&self, process: BorrowedFd<'_>) -> Result<()> {
        let process = process.try_clone_to_owned().on("watch", Path::new("the builder"))?;
        let _ = self.process.set(process);
        Ok(())
    }

    /// What was added to the inputs.
    pub fn into_added(self) -> BTreeSet<StorePath> {
        self.added.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a place for a path, and mounts it there. Links are made: they cannot be mounted.
    fn show(&self, path: &StorePath) -> Result<()> {
        let from = self.store.physical(path);
        let name = path.to_basename();
        let failed = |errno: Errno| io("show to the builder", &from, errno.into());
        let metadata = from.symlink_metadata().on("read", &from)?;
        if metadata.is_symlink() {
            let target = std::fs::read_link(&from).on("read", &from)?;
            return rustix::fs::symlinkat(target, &self.directory, name).map_err(failed);
        }
        if metadata.is_dir() {
            rustix::fs::mkdirat(&self.directory, &name, Mode::from_raw_mode(0o755))
        } else {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            rustix::fs::openat(&self.directory, &name, flags, Mode::from_raw_mode(0o644)).map(drop)
        }
        .map_err(failed)?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE
            | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
        let tree = open_tree(rustix::fs::CWD, &from, flags).map_err(failed)?;
        read_only(&tree).map_err(failed)?;
        let process = self.process.wait().as_fd();
        std::thread::scope(|scope| {
            let mounting = scope.spawn(|| mount_in(process, &tree, &path.to_string()));
            mounting.join().unwrap_or(Err(Errno::IO)).map_err(failed)
        })
    }
}

impl Yard for Sandbox<'_> {
    fn sees(&self, path: &StorePath) -> bool {
        self.inputs.contains(path) || lock(&self.added).contains(path)
    }

    fn paths(&self) -> BTreeSet<StorePath> {
        self.inputs.union(&lock(&self.added)).cloned().collect()
    }

    fn admit(&self, paths: &BTreeSet<StorePath>) -> Result<()> {
        // Held until they are there: nobody is told of a path before.
        let mut added = lock(&self.added);
        for path in paths {
            if !self.inputs.contains(path) && !added.contains(path) {
                // Asking keeps it from the collector.
                if !self.store.is_valid(path)? {
                    return Err(crate::Error::NotValid { path: path.clone() });
                }
                self.show(path)?;
                added.insert(path.clone());
            }
        }
        Ok(())
    }

    fn note_built(&self, outputs: BTreeSet<RealisationId>) {
        lock(&self.built).extend(outputs);
    }

    fn has_built(&self, output: &RealisationId) -> bool {
        lock(&self.built).contains(output)
    }
}

/// Nothing can be written through the mounts of a tree, nor does what happens to their origin show.
fn read_only(tree: &OwnedFd) -> rustix::io::Result<()> {
    // SAFETY: all zeros is a valid value: nothing is to change.
    let mut wanted: libc::mount_attr = unsafe { std::mem::zeroed() };
    wanted.attr_set = libc::MOUNT_ATTR_RDONLY;
    wanted.propagation = libc::MS_PRIVATE;
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: the kernel reads the path and as many bytes of `wanted` as it is told.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const wanted,
            size_of::<libc::mount_attr>(),
        )
    };
    if done < 0 {
        let errno = std::io::Error::last_os_error().raw_os_error();
        return Err(Errno::from_raw_os_error(errno.unwrap_or(libc::EIO)));
    }
    Ok(())
}

/// Mounts a tree in the mount namespace of a process. Only for a thread that does nothing after.
fn mount_in(process: BorrowedFd<'_>, tree: &OwnedFd, at: &str) -> rustix::io::Result<()> {
    // A thread that shares its working directory with others cannot change namespaces.
    // SAFETY: files opened by this thread stay in the table that all threads share.
    unsafe { unshare_unsafe(UnshareFlags::FS)? };
    move_into_thread_name_spaces(process, ThreadNameSpaceType::MOUNT)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    // What the builder put in the place of its own directories is followed in its own tree only.
    move_mount(tree, "", rustix::fs::CWD, at, flags)
}

/// The socket in a build directory; its clients are the builder's.
pub(super) fn listen(build: &Path, users: &BuildUsers) -> Result<UnixListener> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::PATH;
    let directory = rustix::fs::open(build, flags, Mode::empty()).on("open", build)?;
    // An address holds 107 bytes, and the directory's path may have more.
    let address = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
    let socket = build.join(SOCKET);
    let listener = UnixListener::bind(address).on("listen at", &socket)?;
    chmod(&socket, 0o600)?;
    users.give(&socket)?;
    Ok(listener)
}

/// Serves a builder while `work` runs.
pub(super) fn serve_while<T>(
    sandbox: &Sandbox<'_>,
    listener: &UnixListener,
    work: impl FnOnce() -> T,
) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = &over;
        scope.spawn(move || {
            let mut served: Vec<(UnixStream, std::thread::ScopedJoinHandle<'_, ()>)> = Vec::new();
            while let Ok((stream, _)) = listener.accept() {
                served.retain(|(_, thread)| !thread.is_finished());
                while served.len() >= CLIENTS && !over.load(Ordering::Relaxed) {
                    std::thread::sleep(PAUSE);
                    served.retain(|(_, thread)| !thread.is_finished());
                }
                let Ok(again) = stream.try_clone() else { continue };
                let thread = scope.spawn(move || serve(sandbox, &stream, over));
                served.push((again, thread));
            }
            for (stream, _) in &served {
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        // Ends the call of accept(2).
        let _ = rustix::net::shutdown(listener, rustix::net::Shutdown::Both);
        done
    })
}

/// One connection. What goes wrong with it is the builder's affair, which sees it end.
fn serve(sandbox: &Sandbox<'_>, stream: &UnixStream, over: &AtomicBool) {
    let gone = || {
        let mut watched = [PollFd::new(stream, PollFlags::RDHUP)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        over.load(Ordering::Relaxed) || matches!(poll(&mut watched, Some(&now)), Ok(n) if n > 0)
    };
    let (mut from, mut to) = (stream, stream);
    let mut client = Client { from: &mut from, to: &mut to, gone: &gone };
    let _ = serve_builder(sandbox.store, sandbox, &mut client);
    let _ = stream.shutdown(Shutdown::Both);
}
