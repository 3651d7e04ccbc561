//! The two sides there are: the host, and a container that runs.

use super::pack::pack;
use super::unpack::{Destination, unpack};
use super::{Done, Files, Owners, Sink, Source, means_contents};
use crate::error::{Doing, Problem, Res, RunError};
use crate::exec::{Inside, enter};
use crate::inside::{capabilities, payload, seccomp};
use crate::sys::{process, signals, socket};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The host's own files; relative paths are those of this process.
#[derive(Debug)]
pub struct Host {
    /// What is packed, and what is unpacked, belongs to whom.
    pub owners: Owners,
}

/// A container that runs.
pub(super) struct Container {
    name: String,
    inside: Inside,
}

impl Container {
    /// The machine `name`, found in `run_dir`.
    pub fn find(run_dir: &Path, name: &str, store: Option<&Path>) -> Result<Self, RunError> {
        Ok(Self { name: name.into(), inside: Inside::find(run_dir, name, store)? })
    }
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Pack,
    Unpack,
}

/// What the process of a side needs: it holds nothing else.
struct Work<'a> {
    way: Way,
    path: &'a Path,
    owners: Owners,
    inside: Option<&'a Inside>,
    stream: OwnedFd,
    report: BorrowedFd<'a>,
}

impl Files for Host {
    fn pack(&self, path: &Path) -> Result<Box<dyn Source>, RunError> {
        Ok(Box::new(start("the host", None, Way::Pack, path, self.owners)?))
    }

    fn unpack(&self, path: &Path) -> Result<Box<dyn Sink>, RunError> {
        Ok(Box::new(start("the host", None, Way::Unpack, path, self.owners)?))
    }
}

impl Files for Container {
    fn pack(&self, path: &Path) -> Result<Box<dyn Source>, RunError> {
        Ok(Box::new(start(&self.name, Some(&self.inside), Way::Pack, path, Owners::Kept)?))
    }

    fn unpack(&self, path: &Path) -> Result<Box<dyn Sink>, RunError> {
        Ok(Box::new(start(&self.name, Some(&self.inside), Way::Unpack, path, Owners::Kept)?))
    }
}

/// This process's end of a side.
struct Stream {
    side: String,
    child: process::Cloned,
    stream: Option<File>,
    report: OwnedFd,
    waited: bool,
}

fn start(
    side: &str,
    inside: Option<&Inside>,
    way: Way,
    path: &Path,
    owners: Owners,
) -> Result<Stream, RunError> {
    let copy = |problem: Problem| RunError::Copy { problem: format!("{side}: {problem}") };
    let make = || -> Res<Stream> {
        let (read, write) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).doing("make a pipe")?;
        let (ours, theirs) = match way {
            Way::Pack => (read, write),
            Way::Unpack => (write, read),
        };
        let (report, said) = socket::pair().doing("make a socket pair")?;
        // SAFETY: the caller has one thread (`Inside::find` looked), and the child never returns.
        let child = unsafe { process::clone(0, None, libc::SIGCHLD) }.doing("make a process")?;
        let Some(child) = child else {
            drop((ours, report));
            main(Work { way, path, owners, inside, stream: theirs, report: said.as_fd() })
        };
        Ok(Stream { side: side.into(), child, stream: Some(ours.into()), report, waited: false })
    };
    make().map_err(copy)
}

fn main(work: Work<'_>) -> ! {
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let report = work.report;
        let text = match run(work) {
            Ok(left_out) => {
                const MOST: usize = 50;
                let more = left_out.len().saturating_sub(MOST);
                let mut text = String::from("d");
                text.push_str(&left_out[..left_out.len() - more].join("\n"));
                if more > 0 {
                    text += &format!("\n… and {more} more");
                }
                text
            }
            Err(problem) => format!("f{problem}"),
        };
        let text = &text.as_bytes()[..text.len().min(60_000)];
        let _ = socket::send(report, text, &[]);
    }));
    process::exit_now(if ran.is_ok() { 0 } else { 70 })
}

fn run(work: Work<'_>) -> Res<Done> {
    process::die_with_parent().doing("follow the caller")?;
    let Work { way, path, owners, inside, stream, report } = work;
    let root = match inside {
        Some(inside) => {
            let keep = [inside.init.as_raw_fd(), stream.as_raw_fd(), report.as_raw_fd()];
            enter::join(&inside.status, &inside.spec, inside.init.as_fd(), &keep)?;
            // The change of ids has undone it.
            process::die_with_parent().doing("follow the caller")?;
            // Files are all it is about, whatever else the machine may do.
            let needed = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETFCAP"];
            let set = needed.iter().filter_map(|name| capabilities::bit(name)).sum();
            payload::confine(set, &seccomp::filter(set))?;
            process::set_capabilities(set).doing("give up capabilities")?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            Some(rustix::fs::open("/", flags, Mode::empty()).doing("open the machine's root")?)
        }
        None => None,
    };
    more_descriptors();
    rustix::process::umask(Mode::empty());
    let place = Place { root };
    match way {
        Way::Pack => {
            let opened = place.open(path, OFlags::PATH);
            let opened = opened.doing_with(|| format!("open {}", path.display()))?;
            let kind = rustix::fs::fstat(&opened).doing("look at it")?.st_mode;
            let top = match FileType::from_raw_mode(kind) {
                FileType::Directory => place.open(path, OFlags::RDONLY | OFlags::DIRECTORY),
                FileType::RegularFile => place.open(path, OFlags::RDONLY | OFlags::NONBLOCK),
                _ => Ok(opened),
            };
            let top = top.doing_with(|| format!("open {}", path.display()))?;
            let out = std::io::BufWriter::with_capacity(64 << 10, File::from(stream));
            pack(top, path, owners, out)
        }
        Way::Unpack => {
            let destination = place.destination(path)?;
            let mut stream = File::from(stream);
            let done = unpack(&destination, owners, &mut stream)?;
            // What follows the archive's end is padding; whoever writes it is not to be cut off.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
            Ok(done)
        }
    }
}

/// A deep tree is a descriptor for each of its directories.
fn more_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Where paths begin.
struct Place {
    /// The machine's root; absent for the host.
    root: Option<OwnedFd>,
}

impl Place {
    /// Symlinks lead where they lead in the machine, and never out of it.
    fn open(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        match &self.root {
            None => rustix::fs::openat(CWD, path, flags, Mode::empty()),
            Some(root) => {
                let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
                rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)
            }
        }
    }

    fn destination(&self, path: &Path) -> Res<Destination> {
        let directory = OFlags::RDONLY | OFlags::DIRECTORY;
        let shown = path.to_path_buf();
        let missing = match self.open(path, directory) {
            Ok(dir) => return Ok(Destination { dir, rename: None, shown }),
            Err(error @ (Errno::NOENT | Errno::NOTDIR)) => error,
            refused => {
                return Err(refused.doing_with(|| format!("open {}", path.display())).unwrap_err());
            }
        };
        let name = path.file_name().filter(|_| !means_contents(path));
        let Some(name) = name else {
            return Err(missing).doing_with(|| format!("copy into {}", path.display()));
        };
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from(if self.root.is_some() { "/" } else { "." }),
        };
        let dir = self
            .open(&parent, directory)
            .doing_with(|| format!("copy to {}: open {}", path.display(), parent.display()))?;
        Ok(Destination { dir, rename: Some(name.to_owned()), shown })
    }
}

impl Stream {
    fn end(&mut self) -> Result<Done, RunError> {
        drop(self.stream.take());
        let said = socket::receive(self.report.as_fd(), true);
        let ended = process::wait(self.child.pid);
        self.waited = true;
        let copy =
            |problem: String| RunError::Copy { problem: format!("{}: {problem}", self.side) };
        match said {
            Ok((bytes, _)) if bytes.starts_with(b"d") => {
                let text = String::from_utf8_lossy(&bytes[1..]).into_owned();
                Ok(text.lines().map(|line| format!("{}: {line}", self.side)).collect())
            }
            Ok((bytes, _)) if bytes.starts_with(b"f") => {
                Err(copy(String::from_utf8_lossy(&bytes[1..]).into_owned()))
            }
            _ => Err(copy(format!("it ended in the middle ({ended:?}); it may just have stopped"))),
        }
    }

    fn file(&self) -> std::io::Result<&File> {
        self.stream.as_ref().ok_or_else(|| std::io::ErrorKind::BrokenPipe.into())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.waited {
            let _ = signals::kill_fd(self.child.pidfd.as_fd(), libc::SIGKILL);
            let _ = process::wait(self.child.pid);
        }
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.file()?.read(bytes)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file()?.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Source for Stream {
    fn finish(mut self: Box<Self>) -> Result<Done, RunError> {
        self.end()
    }
}

impl Sink for Stream {
    fn finish(mut self: Box<Self>) -> Result<Done, RunError> {
        self.end()
    }
}

/// Standard input or output as a side: the caller has the other end.
#[derive(Debug)]
pub struct Standard;

impl Read for Standard {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        Ok(rustix::io::read(rustix::stdio::stdin(), bytes)?)
    }
}

impl Write for Standard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let out: BorrowedFd<'_> = rustix::stdio::stdout();
        Ok(rustix::io::write(out, bytes)?)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Source for Standard {
    fn finish(self: Box<Self>) -> Result<Done, RunError> {
        Ok(Vec::new())
    }
}

impl Sink for Standard {
    fn finish(self: Box<Self>) -> Result<Done, RunError> {
        Ok(Vec::new())
    }
}
